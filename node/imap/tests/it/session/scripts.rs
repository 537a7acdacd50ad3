//! Goldenscripts: dialogues of several clients.
//!
//! ```text
//!   user alice                  makes an account; `alice` and `bob` exist from the start
//!   delete-user alice           deletes it with all its mail
//!   c1: login alice             connects and logs in without a word
//!   c1: connect [tls=no]        connects and shows the greeting; `tls=no` forbids plain logins
//!   c1:> a1 SELECT INBOX        sends a line and shows all that every client receives
//!   c1: bytes "a1 NOOP\r\n"     sends exactly these bytes, in one piece
//!   c1: repeat "x" 1000         sends a string many times
//!   c1: advance 120             lets seconds pass;  c1: silence  very many;  c1: close  hangs up
//!   shut-down                   the server is about to stop
//!   c1: certify bob             its certificate names bob;  c1: bind  its channel can be bound
//!   c1: tick 20                 so many seconds pass whenever the session looks at its clock
//!   stall, go                   proposals and reads of bodies wait, or go on
//!   stall-uploads               messages that have been uploaded wait, until `go`
//!   stall-reads alice           what others ask of her account waits
//!   deliver alice "text" [folder=F] [n=3]
//!   message alice NAME          delivers `tests/messages/NAME`, line ends made CRLF
//!   forget                      so much time passes that expunges until now are not remembered
//!   messages-max 3              one command touches 3 messages at most, for who connects later
//!   limit alice [bytes=N] [messages=N]
//!   fail ERROR [after=1]        the next proposal is Unavailable, Unknown .., or a later one
//!   fail-read ERROR [after=1]   the next read is, or a later one
//!   fail-body ERROR [after=1]   the next read of a body is, or a later one
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use imap::backend::BackendError;
use imap::{Config, TokenService};

use super::backend::{PASSWORD, Partition};
use super::executor::{self, Task};
use super::transport::Client;
use super::users::Users;

#[test]
fn sessions() {
    crate::scripts::run_all("session", Dialogue::new);
}

/// What mail clients send, recorded from them and trimmed.
#[test]
fn clients() {
    crate::scripts::run_all("clients", Dialogue::new);
}

/// Several clients on one partition.
pub struct Dialogue {
    pub partition: Partition,
    pub config: Arc<Config>,
    clients: BTreeMap<String, (Client, Task)>,
}

impl Dialogue {
    pub fn new() -> Dialogue {
        let partition = Partition::default();
        partition.user("alice");
        partition.user("bob");
        let clients = BTreeMap::new();
        let config = Config {
            append_limit: 1 << 20,
            tokens: Some(TokenService {
                discovery: Some("https://id.example.org/.well-known".to_owned()),
                scope: "mail".to_owned(),
            }),
            ..Config::default()
        };
        Dialogue {
            partition,
            config: Arc::new(config),
            clients,
        }
    }

    /// Connects a client.
    pub fn connect(&mut self, name: &str, client: Client) {
        let (mut server, users) = (client.server(), Users(self.partition.clone()));
        let config = Arc::clone(&self.config);
        let task = Task::new(async move { imap::serve(&mut server, &users, &config).await });
        self.clients.insert(name.to_owned(), (client, task));
        self.run();
    }

    /// Connects a client that has logged in.
    pub fn log_in(&mut self, name: &str, user: &str) {
        self.connect(name, Client::plain());
        let client = self.client(name);
        client.send(format!("in LOGIN {user} {PASSWORD}\r\n"));
        self.run();
        let said = String::from_utf8(client.take()).unwrap();
        assert!(said.contains("in OK"), "{said}");
    }

    pub fn client(&self, name: &str) -> Client {
        self.clients[name].0.clone()
    }

    pub fn run(&mut self) {
        executor::run(self.clients.values_mut().map(|(_, task)| task));
    }

    /// Sends bytes and returns what this client receives.
    pub fn say(&mut self, name: &str, bytes: &[u8]) -> Vec<u8> {
        let client = self.client(name);
        client.send(bytes.to_vec());
        self.run();
        client.take()
    }

    /// How often the session of a client has had its turn.
    pub fn turns(&self, name: &str) -> u64 {
        self.clients[name].1.turns
    }

    /// How the session of a client ended, if it did.
    pub fn ended(&self, name: &str) -> Option<String> {
        self.clients[name]
            .1
            .end
            .as_ref()
            .map(|end| format!("{end:?}"))
    }

    /// What all clients received, those but `speaker` with their names.
    fn heard(&mut self, speaker: &str) -> String {
        self.run();
        let mut heard = String::new();
        for (name, (client, task)) in &mut self.clients {
            let label = if name == speaker {
                String::new()
            } else {
                format!("[{name}] ")
            };
            let bytes = client.take();
            crate::codec::reads_responses(&bytes);
            for line in String::from_utf8_lossy(&bytes).split_inclusive('\n') {
                let line = line.strip_suffix('\n').unwrap_or(line);
                let line = line.strip_suffix('\r').unwrap_or(line);
                let printable: String = line
                    .chars()
                    .map(|char| if char.is_control() { '?' } else { char })
                    .collect();
                writeln!(heard, "{label}{printable}").unwrap();
            }
            if let Some(end) = task.end.take() {
                writeln!(heard, "{label}({end:?})").unwrap();
            }
        }
        heard
    }

    fn error(name: &str) -> BackendError {
        match name {
            "Unavailable" => BackendError::Unavailable,
            "Unknown" => BackendError::Unknown,
            "NoSpace" => BackendError::NoSpace,
            "TooLarge" => BackendError::TooLarge,
            "Gone" => BackendError::Gone,
            _ => BackendError::Broken,
        }
    }

    /// A command without a client.
    fn happen(&mut self, command: &goldenscript::Command) -> Result<(), Box<dyn Error>> {
        let mut args = command.consume_args();
        match command.name.as_str() {
            "administrator" => {
                let user = args.next_pos().ok_or("who?")?;
                self.partition.administrator(user);
            }
            "user" => drop(self.partition.user(args.next_pos().ok_or("whose?")?)),
            "delete-user" => {
                let user = args.next_pos().ok_or("whose?")?;
                self.partition.delete_user(user);
            }
            "deliver" => {
                let user = args.next_pos().ok_or("to whom?")?.to_owned();
                let text = args.next_pos().ok_or("what?")?.to_owned();
                let folder = args.take_key("folder").map(str::to_owned);
                let times = args.take_key("n").unwrap_or("1").parse()?;
                for _ in 0..times {
                    self.partition
                        .deliver(&user, folder.as_deref(), text.as_bytes());
                }
            }
            "message" => {
                let user = args.next_pos().ok_or("to whom?")?.to_owned();
                let name = args.next_pos().ok_or("which?")?.to_owned();
                let text = std::fs::read_to_string(format!("tests/messages/{name}"))?;
                self.partition
                    .deliver(&user, None, text.replace('\n', "\r\n").as_bytes());
            }
            "forget" => self.partition.forget_expunged(),
            "shut-down" => {
                let clients = self.clients.values();
                clients.for_each(|(client, _)| client.shut_down());
            }
            "stall" => self.partition.stall(true),
            "stall-uploads" => self.partition.stall_uploads(true),
            "stall-reads" => {
                let user = args.next_pos().ok_or("of whom?")?;
                self.partition.stall_others(Some(user));
            }
            "go" => {
                self.partition.stall_others(None);
                self.partition.stall_uploads(false);
                self.partition.stall(false);
            }
            "messages-max" => {
                let limit = args.next_pos().ok_or("how many?")?.parse()?;
                Arc::make_mut(&mut self.config).message_limit = Some(limit);
            }
            "limit" => {
                let account = self.partition.account(args.next_pos().ok_or("whose?")?);
                self.partition.apply(mailbox::Command::SetQuota {
                    account,
                    bytes: args.take_key("bytes").map(str::parse).transpose()?,
                    messages: args.take_key("messages").map(str::parse).transpose()?,
                });
            }
            "fail" => {
                let error = Self::error(args.next_pos().ok_or("how?")?);
                let after = args.take_key("after").unwrap_or("0").parse()?;
                self.partition.fail(error, after);
            }
            "fail-read" => {
                let error = Self::error(args.next_pos().ok_or("how?")?);
                let after = args.take_key("after").unwrap_or("0").parse()?;
                self.partition.fail_read(error, after);
            }
            "fail-body" => {
                let error = Self::error(args.next_pos().ok_or("how?")?);
                let after = args.take_key("after").unwrap_or("0").parse()?;
                self.partition.fail_body(error, after);
            }
            name => return Err(format!("unknown command {name}").into()),
        }
        args.reject_next()?;
        Ok(())
    }

    fn act(&mut self, name: &str, command: &goldenscript::Command) -> Result<(), Box<dyn Error>> {
        let mut args = command.consume_args();
        match command.name.as_str() {
            "login" => {
                let user = args.next_pos().ok_or("who?")?.to_owned();
                self.log_in(name, &user);
            }
            "connect" => {
                let is_plain = args.take_key("tls").is_none();
                let client = if is_plain {
                    Client::plain()
                } else {
                    Client::default()
                };
                self.connect(name, client);
            }
            "bytes" => {
                let bytes: Vec<u8> = args
                    .next_pos()
                    .ok_or("what?")?
                    .chars()
                    .map(|char| char as u8)
                    .collect();
                self.client(name).send(bytes);
            }
            "repeat" => {
                let text = args.next_pos().ok_or("what?")?.to_owned();
                let times: usize = args.next_pos().ok_or("how often?")?.parse()?;
                for piece in text.repeat(times).into_bytes().chunks(16 * 1024) {
                    self.client(name).send(piece.to_vec());
                }
            }
            "advance" => {
                let seconds = args.next_pos().ok_or("how long?")?.parse()?;
                self.client(name).advance(Duration::from_secs(seconds));
            }
            "tick" => {
                let seconds = args.next_pos().ok_or("how long?")?.parse()?;
                self.client(name).tick(Duration::from_secs(seconds));
            }
            "certify" => self.client(name).certify(args.next_pos().ok_or("whom?")?),
            "bind" => self.client(name).bind_channel(),
            "silence" => self.client(name).fall_silent(),
            "close" => self.client(name).close(),
            line => self.client(name).send(format!("{line}\r\n")),
        }
        args.reject_next()?;
        Ok(())
    }
}

impl goldenscript::Runner for Dialogue {
    type Command = goldenscript::Command;

    fn run(
        &mut self,
        command: &goldenscript::Command,
        context: &goldenscript::Context,
    ) -> Result<String, Box<dyn Error>> {
        match &context.prefix {
            Some(name) => {
                self.act(name, command)?;
                Ok(self.heard(name))
            }
            None => {
                self.happen(command)?;
                Ok(self.heard(""))
            }
        }
    }
}
