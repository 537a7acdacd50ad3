//! The goldenscripts: what a client says, and what comes of it.
//!
//! ```text
//! > LINE            the client sends LINE and CRLF
//! raw "BYTES"       the client sends these bytes; \xNN is one byte
//! drip "BYTES"      the same, each byte in a buffer of its own
//! queue "BYTES"     the bytes are pushed, and nothing is taken yet
//! repeat N "BYTES"  the same bytes N times over
//! open [KEY=VALUE]  a new connection; starttls tls bounce quit-shows size=N rcpt=N errors=N
//! hold              questions after the message stay open from now on
//! answer            .. and are answered now
//! hangup idle|shutdown, gone
//! ```
//! Output: `S>` begins a reply event, `S|` goes on with it; other events by their names.

use std::error::Error;
use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use goldenscript::{Command, Context};
use lmtp::{Address, Delivered, Event, HangUp, OverQuota, Session};

use crate::client;

struct Dialogue {
    session: Session,
    recipients: Vec<Address>,
    hold: bool,
}

type Output = Result<String, Box<dyn Error>>;

impl Dialogue {
    fn new() -> Self {
        let session = Session::new(Arc::new(client::config()));
        Self {
            session,
            recipients: Vec::new(),
            hold: false,
        }
    }

    fn open(&mut self, command: &Command) -> Output {
        let mut config = client::config();
        let mut args = command.consume_args();
        while let Some(flag) = args.next_pos() {
            match flag {
                "starttls" => config.starttls = true,
                "tls" => config.tls = true,
                "bounce" => config.over_quota = OverQuota::Bounce,
                "quit-shows" => config.seen_by_quit = true,
                _ => return Err(format!("unknown flag {flag}").into()),
            }
        }
        while let Some((key, value)) = args.next_key() {
            match key {
                "size" => config.size_bytes_max = value.parse()?,
                "rcpt" => config.recipients_max = value.parse()?,
                "errors" => config.errors_max = value.parse()?,
                _ => return Err(format!("unknown key {key}").into()),
            }
        }
        *self = Self {
            session: Session::new(Arc::new(config)),
            ..Self::new()
        };
        Ok(show(&self.session.greeting()))
    }

    fn drain(&mut self) -> Output {
        let mut out = String::new();
        while let Some(event) = self.session.next() {
            match event {
                Event::Reply(bytes) => out.push_str(&show(&bytes)),
                Event::Recipient(address) => {
                    writeln!(out, "recipient {}", describe(&address))?;
                    self.session.recipient(client::verdict(&address))?;
                }
                Event::Begin {
                    size_hint,
                    sender,
                    recipients,
                    utf8,
                } => {
                    let sender = sender.map_or("<>".to_owned(), |sender| sender.to_string());
                    let to: Vec<_> = recipients.iter().map(Address::to_string).collect();
                    let to = to.join(" ");
                    writeln!(
                        out,
                        "begin from={sender} to={to} size={size_hint:?} utf8={utf8}"
                    )?;
                    self.recipients = recipients;
                }
                Event::Data(bytes) => writeln!(out, "data {}", bytes.escape_ascii())?,
                Event::End => {
                    writeln!(out, "end")?;
                    if !self.hold {
                        self.answer()?;
                    }
                }
                Event::Abort => writeln!(out, "abort")?,
                Event::Seen => writeln!(out, "seen")?,
                Event::StartTls => writeln!(out, "starttls")?,
                Event::Quit => writeln!(out, "quit")?,
            }
        }
        Ok(out)
    }

    fn answer(&mut self) -> Result<(), Box<dyn Error>> {
        let outcomes: Vec<Delivered> = self.recipients.iter().map(client::outcome).collect();
        Ok(self.session.delivered(&outcomes)?)
    }
}

impl goldenscript::Runner for Dialogue {
    type Command = Command;

    fn run(&mut self, command: &Command, _: &Context) -> Output {
        let mut args = command.consume_args();
        match command.name.as_str() {
            "open" => return self.open(command),
            "raw" => self
                .session
                .push(bytes(args.next_pos().ok_or("no bytes")?))?,
            "queue" => {
                self.session
                    .push(bytes(args.next_pos().ok_or("no bytes")?))?;
                return Ok(String::new());
            }
            "drip" => {
                for byte in bytes(args.next_pos().ok_or("no bytes")?) {
                    self.session.push(Bytes::copy_from_slice(&[byte]))?;
                }
            }
            "repeat" => {
                let times = args.next_pos().ok_or("no number")?.parse()?;
                let bytes = bytes(args.next_pos().ok_or("no bytes")?);
                self.session.push(bytes.repeat(times).into())?;
            }
            "hold" => self.hold = true,
            "answer" => self.answer()?,
            "hangup" => self.session.hang_up(match args.next_pos() {
                Some("idle") => HangUp::Idle,
                _ => HangUp::Shutdown,
            }),
            "gone" => self.session.disconnected(),
            line => self.session.push(format!("{line}\r\n").into())?,
        }
        self.drain()
    }
}

/// Each character of the script's string is one byte.
fn bytes(text: &str) -> Bytes {
    text.chars()
        .map(|char| u8::try_from(u32::from(char)).expect("a byte"))
        .collect()
}

fn show(replies: &[u8]) -> String {
    let text = std::str::from_utf8(replies).expect("replies are UTF-8");
    let lines = text
        .strip_suffix("\r\n")
        .expect("replies end with CRLF")
        .split("\r\n");
    let marks = std::iter::once("S>").chain(std::iter::repeat("S|"));
    lines
        .zip(marks)
        .map(|(line, mark)| format!("{mark} {line}\n"))
        .collect()
}

fn describe(address: &Address) -> String {
    let Address {
        local,
        domain,
        detail,
        raw,
    } = address;
    let part = |part: &Option<String>| part.clone().unwrap_or("-".to_owned());
    format!(
        "{raw} local={local} detail={} domain={}",
        part(detail),
        part(domain)
    )
}

#[test]
fn scripts() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scripts");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(paths.len() >= 15, "scripts are missing");
    for path in paths {
        println!("{}", path.display());
        goldenscript::run(&mut Dialogue::new(), path).unwrap();
    }
}
