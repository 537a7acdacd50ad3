//! Goldenscripts: what a client sends, and what comes out of the framer; mailbox names and
//! patterns. `UPDATE_GOLDENFILES=1` writes the expected output anew, to be read before it is kept.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;

use imap::grammar::{CommandBody, Framer, Item};
use imap::limits::Limits;
use imap::names;

/// Runs every script of a folder, each with a fresh runner.
pub fn run_all<R: goldenscript::Runner>(folder: &str, runner: impl Fn() -> R) {
    let folder = Path::new("tests/scripts").join(folder);
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    for path in paths {
        println!("{}", path.display());
        goldenscript::run(&mut runner(), path).unwrap();
    }
}

#[test]
fn grammar() {
    run_all("grammar", FramerRunner::new);
}

#[test]
fn framer() {
    run_all("framer", FramerRunner::new);
}

#[test]
fn names() {
    run_all("names", || NamesRunner);
}

/// Feeds a framer. A raw line (`> a1 NOOP`) is sent with its CRLF. Otherwise:
/// `bytes STRING` sends exactly these bytes (one per character), `repeat STRING TIMES` sends them
/// many times and reads them in steps, `accept`, `refuse`, `line` and `discard` are the framer's
/// calls, and `limits pre` sets the limits that hold before login.
struct FramerRunner {
    framer: Framer,
}

impl FramerRunner {
    fn new() -> FramerRunner {
        FramerRunner {
            framer: Framer::new(Limits::AUTHENTICATED),
        }
    }

    fn feed(&mut self, bytes: &[u8]) -> String {
        let mut out = String::new();
        self.framer.push(bytes);
        loop {
            match self.framer.next() {
                Ok(None) => return out,
                Ok(Some(item)) => {
                    writeln!(out, "{}", render(&item)).unwrap();
                    if is_starttls(&item) {
                        return out;
                    }
                }
                Err(error) => {
                    writeln!(out, "{error:?}").unwrap();
                    return out;
                }
            }
        }
    }
}

/// Nothing may be read between STARTTLS and the handshake.
fn is_starttls(item: &Item) -> bool {
    matches!(item, Item::Command(command) if command.body == CommandBody::StartTls)
}

/// Without the wrappers that every line would have.
fn render(item: &Item) -> String {
    match item {
        Item::Command(command) => {
            format!(
                "{:?} {} {:?}",
                command.tag,
                command.body.name(),
                command.body
            )
        }
        Item::Bad(bad) => match &bad.tag {
            Some(tag) => format!("{tag:?} BAD {:?}", bad.error),
            None => format!("* BAD {:?}", bad.error),
        },
        other => format!("{other:?}"),
    }
}

pub fn latin1(text: &str) -> Vec<u8> {
    text.chars()
        .map(|char| u8::try_from(u32::from(char)).unwrap())
        .collect()
}

impl goldenscript::Runner for FramerRunner {
    type Command = goldenscript::Command;

    fn run(
        &mut self,
        command: &goldenscript::Command,
        _context: &goldenscript::Context,
    ) -> Result<String, Box<dyn Error>> {
        let mut args = command.consume_args();
        let output = match command.name.as_str() {
            "bytes" => {
                let bytes = latin1(args.next_pos().ok_or("bytes of what")?);
                self.feed(&bytes)
            }
            "repeat" => {
                let bytes = latin1(args.next_pos().ok_or("repeat what")?);
                let times: usize = args.next_pos().ok_or("how often")?.parse()?;
                let mut out = String::new();
                for chunk in bytes.repeat(times).chunks(4096) {
                    out += &self.feed(chunk);
                    assert!(self.framer.buffered() <= self.framer.buffered_max());
                    if out.contains("Fatal") {
                        break;
                    }
                }
                out
            }
            "accept" => {
                self.framer.accept_literal();
                self.feed(b"")
            }
            "refuse" => {
                self.framer.refuse_append();
                self.feed(b"")
            }
            "line" => {
                self.framer.expect_line();
                self.feed(b"")
            }
            "discard" => format!("discarded {}", self.framer.discard_buffered()),
            "limits" => {
                self.framer.set_limits(Limits::NOT_AUTHENTICATED);
                args.next_pos().ok_or("which limits")?;
                String::new()
            }
            line => self.feed(format!("{line}\r\n").as_bytes()),
        };
        args.reject_next()?;
        Ok(output)
    }
}

/// `decode STRING` and `encode STRING` show a name in the other form, `pattern REFERENCE PATTERN
/// NAME..` says which names match.
struct NamesRunner;

impl goldenscript::Runner for NamesRunner {
    type Command = goldenscript::Command;

    fn run(
        &mut self,
        command: &goldenscript::Command,
        _context: &goldenscript::Context,
    ) -> Result<String, Box<dyn Error>> {
        let mut args = command.consume_args();
        let mut next = || args.next_pos().unwrap_or_default();
        Ok(match command.name.as_str() {
            "decode" => show(names::decode(&latin1(next()), false)),
            "decode_new" => show(names::decode_new(&latin1(next()), false)),
            "decode_utf8" => show(names::decode(next().as_bytes(), true)),
            "encode" => names::encode(next()),
            "parents" => format!("{:?}", names::parents(next()).collect::<Vec<_>>()),
            "pattern" => {
                let (reference, pattern) = (next().to_owned(), next().to_owned());
                match names::Pattern::new(reference.as_bytes(), pattern.as_bytes(), false) {
                    Ok(pattern) => {
                        let given = std::iter::from_fn(|| args.next_pos());
                        let matching: Vec<_> = given.filter(|name| pattern.matches(name)).collect();
                        format!("{matching:?}")
                    }
                    Err(error) => format!("{error:?}"),
                }
            }
            other => return Err(format!("unknown command {other}").into()),
        })
    }
}

fn show(name: imap::Result<String>) -> String {
    match name {
        Ok(name) => format!("{name:?}"),
        Err(error) => format!("{error:?}"),
    }
}
