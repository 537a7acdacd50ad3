//! The search index: it never says that a message lacks what it has, whatever becomes of its files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use imap::mime::{self, Needle, NeedleGrams, Scope};
use mailbox::{
    AccountId, Answer, BodySource, Command, Deliver, Envelope, Hash16, Lane, MailboxId, Message,
    Millis, NewBody, Outcome, Query, Recipient, Stamp, StoreMode, SystemFlags, Uid, UidRanges,
};
use node::replica::index::MemoryIndexes;
use node::replica::partition::Partition;
use node::replica::{Applying, Checkpointer, LogId, Opening, Replica, open};
use node::search::{Pace, Room, Search};
use seglog::Log;
use seglog::sim::SimDisk;

use super::rig::{Entry, GROUP, REPLICA, RaftLog, WriterThread, options, tight};

pub const ALICE: AccountId = AccountId(5);

/// So that a test ends.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// A partition with mail, and the index beside it.
pub struct Mail {
    log: Log,
    writer: Option<WriterThread>,
    raft: Arc<RaftLog>,
    replica: Arc<Replica>,
    pub replicas: Arc<Checkpointer>,
    sequence: u64,
    folder: tempfile::TempDir,
    is_full: Arc<AtomicBool>,
    running: Option<(Arc<Search>, JoinHandle<()>)>,
}

impl Mail {
    pub fn new() -> Self {
        let disk = SimDisk::new();
        let (log, writer, _) = seglog::open(Arc::new(disk), options()).unwrap();
        let indexes = Arc::new(MemoryIndexes::new());
        let opening = Opening {
            bounds: tight(),
            ..Opening::new(GROUP, REPLICA, log.clone(), indexes, Arc::new(Partition))
        };
        let replica = open(&opening, None).unwrap();
        let raft = Arc::new(RaftLog::default());
        replica.attach(raft.clone());
        let replicas = Arc::new(Checkpointer::new());
        replicas.add(Arc::clone(&replica));
        let mut mail = Self {
            log,
            writer: Some(WriterThread::start(writer)),
            raft,
            replica,
            replicas,
            sequence: 0,
            folder: tempfile::tempdir().unwrap(),
            is_full: Arc::default(),
            running: None,
        };
        mail.ask(
            Command::CreateAccount {
                account: ALICE,
                folders: Vec::new(),
                quota_bytes: None,
            },
            b"",
        );
        mail
    }

    fn ask(&mut self, command: Command, body: &[u8]) {
        self.sequence += 1;
        let lane = Lane {
            node: 1,
            boot: 1,
            lane: 1,
        };
        let stamp = Stamp {
            lane,
            sequence: self.sequence,
            issued: Millis(1_000),
        };
        let envelope = Envelope {
            stamp,
            time: Millis(0),
            command,
        };
        let index = self.replica.applied().last.map_or(1, |last| last.index + 1);
        let entry = Entry {
            id: LogId { term: 3, index },
            command: mailbox::codec::encode_envelope(&envelope),
            body: Bytes::copy_from_slice(body),
        };
        self.raft.append(&self.log, REPLICA, &entry);
        let applying = Applying::Command {
            time_ms: 1_000 + self.sequence,
            command: &entry.command,
            body_length: body.len() as u64,
        };
        let outcome = self.replica.apply(entry.id, applying).unwrap();
        let outcome = mailbox::codec::decode_outcome(&outcome).unwrap();
        assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
        if let Some((search, _)) = &self.running {
            let hint = node::replica::Hint {
                account: ALICE.0,
                mailbox: MailboxId::INBOX.0,
                modseq: 1,
                brings_mail: true,
            };
            search.note(GROUP, &[hint]);
        }
    }

    pub fn deliver(&mut self, text: &str) {
        let recipient = Recipient {
            account: ALICE,
            address: "alice@example.org".into(),
            folder: None,
            prefix: Bytes::from_static(b"Return-Path: <bounces@example.net>\r\n"),
        };
        let deliver = Command::Deliver(Deliver {
            sender: String::new(),
            recipients: vec![recipient],
            body: NewBody {
                hash: Hash16::of(text.as_bytes()),
                length: text.len() as u64,
                source: BodySource::Inline,
            },
            received: Millis(1_000),
            suppress_duplicates: false,
            confirmed: Vec::new(),
        });
        self.ask(deliver, text.as_bytes());
    }

    fn deliver_many(&mut self, numbers: std::ops::Range<u32>) {
        for number in numbers {
            self.deliver(&text(number));
        }
    }

    fn expunge(&mut self, uids: UidRanges) {
        self.ask(
            Command::Store {
                account: ALICE,
                mailbox: MailboxId::INBOX,
                uids: uids.clone(),
                mode: StoreMode::Add,
                flags: mailbox::Flags::new(SystemFlags::DELETED, Vec::new()),
                unchanged_since: None,
            },
            b"",
        );
        let expunge = Command::Expunge {
            account: ALICE,
            mailbox: MailboxId::INBOX,
            uids: Some(uids),
        };
        self.ask(expunge, b"");
    }

    pub fn messages(&self) -> Vec<Message> {
        let (mut all, mut uids) = (Vec::new(), UidRanges::all());
        while !uids.is_empty() {
            let query = Query::Messages {
                account: ALICE,
                mailbox: MailboxId::INBOX,
                uids: uids.clone(),
                changed_since: None,
                limit: 100,
                include_expunged: false,
            };
            let answer = self.replica.read(|rows| mailbox::query(rows, &query));
            let Answer::Messages(page) = answer.unwrap() else {
                panic!("no messages");
            };
            all.extend(page.messages);
            uids = page
                .next
                .map_or_else(UidRanges::new, |next| UidRanges::range(next, Uid::MAX));
        }
        all
    }

    fn index(&self) -> PathBuf {
        self.folder.path().join("search")
    }

    /// Starts an index that has heard of the mailbox.
    fn start(&mut self) {
        self.start_unasked();
        while self.search().messages().is_none() {
            std::thread::sleep(Duration::from_millis(2));
        }
        self.check("whatever");
    }

    fn start_unasked(&mut self) {
        let pace = Pace {
            commit_every: Duration::from_millis(1),
            poll_every: Duration::from_millis(2),
            bytes_per_second: u64::MAX,
            failure_pause: Duration::from_millis(2),
        };
        let (replicas, is_full) = (Arc::clone(&self.replicas), Arc::clone(&self.is_full));
        let search = Arc::new(Search::new(
            &self.index(),
            replicas,
            Box::new(move || match is_full.load(Ordering::Relaxed) {
                true => Room::None,
                false => Room::Enough,
            }),
            pace,
        ));
        let running = Arc::clone(&search);
        self.running = Some((search, std::thread::spawn(move || running.run())));
    }

    fn stop(&mut self) {
        let (search, thread) = self.running.take().unwrap();
        search.stop();
        thread.join().unwrap();
    }

    fn search(&self) -> &Search {
        &self.running.as_ref().unwrap().0
    }

    /// Waits until so many messages are in the index.
    #[track_caller]
    fn indexed(&self, count: u64) {
        let deadline = Instant::now() + PATIENCE;
        while self.search().messages() != Some(count) {
            assert!(
                Instant::now() < deadline,
                "{:?} of {count}",
                self.search().messages()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Compares what the index says of a text with the messages; answers how many it knows to lack
    /// it.
    #[track_caller]
    fn check(&self, key: &str) -> u64 {
        let needle = Needle::new(key);
        let asked = NeedleGrams::in_text(Scope::Text, &needle).unwrap();
        let place = (ALICE, MailboxId::INBOX);
        let lacking = self.search().lacking(GROUP, place, &[asked]);
        let lacking = lacking.into_iter().next().unwrap_or_default();
        for message in self.messages() {
            let body = self.replica.body(&message.body).unwrap();
            let bytes = [&message.prefix[..], &body[..]].concat();
            let structure = mime::scan(&bytes);
            let has = mime::search_text(&bytes, &structure, Scope::Text, &needle);
            assert!(
                !(has && lacking.contains(message.uid)),
                "{key} {:?}",
                message.uid
            );
        }
        lacking.len()
    }
}

impl Drop for Mail {
    fn drop(&mut self) {
        if self.running.is_some() {
            self.stop();
        }
        if let Some(writer) = self.writer.take() {
            writer.stop();
        }
    }
}

/// Every tenth is about pears, and one in a hundred about plums.
fn text(number: u32) -> String {
    let about = match number {
        number if number.is_multiple_of(100) => "Pflaumen =?utf-8?q?=C3=84pfel?=",
        number if number.is_multiple_of(10) => "pears",
        _ => "apples",
    };
    format!("From: p{number}@example.org\r\nSubject: {about}\r\n\r\nNumber {number} of many\r\n")
}

#[test]
fn mail_is_indexed_as_it_comes_and_after_a_restart() {
    let mut mail = Mail::new();
    mail.deliver_many(0..250);
    mail.start();
    mail.indexed(250);
    assert_eq!(mail.check("nowhere to be found"), 250);
    assert_eq!(mail.check("\u{e4}PFEL"), 247);
    assert_eq!(mail.check("pears"), 228);
    assert_eq!(mail.check("bounces@example.net"), 0);
    mail.deliver_many(250..300);
    mail.indexed(300);
    assert_eq!(mail.check("Number 299"), 299);
    mail.stop();
    // Of these it is not told.
    mail.deliver_many(300..310);
    mail.start();
    mail.indexed(310);
    assert_eq!(mail.check("Number 305"), 309);
    assert_eq!(mail.check("\u{e4}PFEL"), 306);
    mail.stop();
    mail.expunge(UidRanges::range(Uid(1), Uid(300)));
    mail.start();
    mail.indexed(10);
    assert_eq!(mail.check("Number 305"), 9);
    mail.stop();
}

#[test]
fn what_is_gone_leaves_no_more_than_it_may() {
    let mut mail = Mail::new();
    mail.deliver_many(0..3000);
    mail.start();
    mail.indexed(3000);
    mail.stop();
    // More than are taken out in one go, fewer than stay.
    mail.expunge(UidRanges::range(Uid(1), Uid(1200)));
    mail.start();
    mail.indexed(1800);
    mail.stop();
    // More than stay.
    mail.expunge(UidRanges::range(Uid(1201), Uid(2900)));
    mail.start();
    mail.indexed(100);
    assert_eq!(mail.check("Number 2999"), 99);
    mail.stop();
}

#[test]
fn it_makes_room_for_mail() {
    let mut mail = Mail::new();
    mail.deliver_many(0..20);
    mail.start();
    mail.indexed(20);
    mail.is_full.store(true, Ordering::Relaxed);
    mail.indexed(0);
    assert_eq!(mail.check("pears"), 0);
    mail.is_full.store(false, Ordering::Relaxed);
    mail.indexed(20);
    mail.stop();
}

#[test]
fn only_what_was_searched_is_indexed() {
    let mut mail = Mail::new();
    mail.deliver_many(0..20);
    mail.start_unasked();
    mail.indexed(0);
    mail.deliver_many(20..30);
    std::thread::sleep(Duration::from_millis(50));
    mail.indexed(0);
    assert_eq!(mail.check("pears"), 0, "the first search reads");
    mail.indexed(30);
    mail.stop();
    mail.deliver_many(30..40);
    // What is in the index was searched.
    mail.start_unasked();
    mail.indexed(40);
    mail.stop();
}

/// The files of an index, the largest first.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let mut files: Vec<_> = entries
        .map(|entry| (entry.metadata().unwrap().len(), entry.path()))
        .collect();
    files.sort();
    files.reverse();
    files.into_iter().map(|(_, path)| path).collect()
}

#[test]
fn a_damaged_index_says_nothing_wrong_and_is_made_anew() {
    let mut mail = Mail::new();
    mail.deliver_many(0..120);
    type Harm = fn(&Path);
    let flip: Harm = |path| {
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        if let Some(byte) = bytes.get_mut(middle) {
            *byte ^= 0x10;
        }
        fs::write(path, bytes).unwrap();
    };
    let cut: Harm = |path| {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() * 2 / 3]).unwrap();
    };
    let remove: Harm = |path| fs::remove_file(path).unwrap();
    for harm in [flip, cut, remove] {
        for number in 0.. {
            mail.start();
            mail.indexed(120);
            mail.stop();
            let Some(path) = files(&mail.index()).into_iter().nth(number) else {
                break;
            };
            harm(&path);
            mail.start();
            for key in ["pears", "\u{e4}pfel", "Number 77", "many"] {
                mail.check(key);
            }
            // What is damaged may be met only now.
            let deadline = Instant::now() + PATIENCE;
            while mail.check("nowhere") < 120 {
                assert!(Instant::now() < deadline, "{}", path.display());
                std::thread::sleep(Duration::from_millis(2));
            }
            mail.stop();
        }
    }
}

#[test]
fn an_index_is_removed_whole() {
    let mut mail = Mail::new();
    mail.deliver_many(0..10);
    mail.start();
    mail.indexed(10);
    mail.stop();
    assert!(mail.index().exists());
    node::search::remove(&mail.index()).unwrap();
    node::search::remove(&mail.index()).unwrap();
    assert!(!mail.index().exists());
    assert_eq!(fs::read_dir(mail.folder.path()).unwrap().count(), 0);
}
