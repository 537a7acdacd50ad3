//! A socket loop for tests: pushes bytes, answers questions by fixed rules, records what came out.

use std::sync::Arc;

use bytes::Bytes;
use lmtp::{Address, Config, Delivered, Event, Session, Verdict};

/// The settings of most tests.
pub fn config() -> Config {
    Config::new("store.example").unwrap()
}

/// A session whose questions are answered by the local parts of the recipients.
pub struct Client {
    pub session: Session,
    /// Everything but `Reply` and `Data`, in order.
    pub events: Vec<Event>,
    /// All replies.
    pub replies: Vec<u8>,
    /// The content of each message that ended.
    pub messages: Vec<Vec<u8>>,
    /// The content of the open message.
    open: Option<(Vec<Address>, Vec<u8>)>,
}

impl Client {
    pub fn new(config: Config) -> Self {
        Self {
            session: Session::new(Arc::new(config)),
            events: Vec::new(),
            replies: Vec::new(),
            messages: Vec::new(),
            open: None,
        }
    }

    /// A client that has said LHLO.
    pub fn greeted(config: Config) -> Self {
        let mut client = Self::new(config);
        client.send(b"LHLO mx.example\r\n");
        client.clear();
        client
    }

    /// A client that waits for the content of DATA, for one recipient.
    pub fn in_data(config: Config) -> Self {
        let mut client = Self::greeted(config);
        client.send(b"MAIL FROM:<s@example.org>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\n");
        assert!(
            client.reply_text().contains("354"),
            "{}",
            client.reply_text()
        );
        client.clear();
        client
    }

    pub fn clear(&mut self) {
        self.events.clear();
        self.replies.clear();
    }

    pub fn reply_text(&self) -> String {
        String::from_utf8(self.replies.clone()).unwrap()
    }

    /// The codes of all replies so far, continuation lines not counted.
    pub fn codes(&self) -> Vec<u16> {
        let lines = self.reply_text();
        lines
            .lines()
            .filter(|line| line.as_bytes()[3] == b' ')
            .map(|line| line[..3].parse().unwrap())
            .collect()
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.session.push(Bytes::copy_from_slice(bytes)).unwrap();
        self.drain();
    }

    pub fn drain(&mut self) {
        while let Some(event) = self.session.next() {
            self.take(event);
        }
    }

    fn take(&mut self, event: Event) {
        match &event {
            Event::Reply(bytes) => {
                assert!(bytes.ends_with(b"\r\n"));
                self.replies.extend_from_slice(bytes);
                return;
            }
            Event::Data(bytes) => {
                assert!(!bytes.is_empty());
                let (_, content) = self.open.as_mut().expect("data without begin");
                content.extend_from_slice(bytes);
                return;
            }
            Event::Recipient(address) => {
                let verdict = verdict(address);
                self.session.recipient(verdict).unwrap();
            }
            Event::Begin { recipients, .. } => {
                assert!(self.open.is_none(), "two messages at once");
                assert!(!recipients.is_empty());
                self.open = Some((recipients.clone(), Vec::new()));
            }
            Event::End => {
                let (recipients, content) = self.open.take().expect("end without begin");
                self.messages.push(content);
                let outcomes: Vec<_> = recipients.iter().map(outcome).collect();
                self.session.delivered(&outcomes).unwrap();
            }
            Event::Abort => assert!(self.open.take().is_some(), "abort without begin"),
            Event::Seen | Event::StartTls | Event::Quit => {}
        }
        self.events.push(event);
    }
}

/// The verdict that a test's recipient asks for by its name.
pub fn verdict(address: &Address) -> Verdict {
    match address.local.as_str() {
        "nobody" => Verdict::NoSuchUser,
        "full" => Verdict::OverQuota,
        "busy" => Verdict::Busy,
        "headless" => Verdict::Unavailable,
        "nospace" => Verdict::NoSpace,
        "small" => Verdict::TooLarge,
        "later" => Verdict::TempFail("come back\r\n250 2.0.0 later".to_owned()),
        "never" => Verdict::Rejected("not from you, \u{fc}ser".to_owned()),
        _ => Verdict::Accept,
    }
}

/// The outcome that a test's recipient asks for by its name.
pub fn outcome(address: &Address) -> Delivered {
    match address.local.as_str() {
        "d-again" => Delivered::Duplicate,
        "d-nobody" => Delivered::NoSuchUser,
        "d-full" => Delivered::OverQuota,
        "d-busy" => Delivered::Busy,
        "d-headless" => Delivered::Unavailable,
        "d-nospace" => Delivered::NoSpace,
        "d-small" => Delivered::TooLarge,
        "d-later" => Delivered::TempFail("come back".to_owned()),
        "d-never" => Delivered::Rejected("spam".to_owned()),
        _ => Delivered::Ok {
            id: "1-2-3".to_owned(),
        },
    }
}
