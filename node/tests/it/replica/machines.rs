//! The real machines on a replica.

use std::sync::Arc;

use bytes::Bytes;
use directory::{RequestId, View};
use mailbox::{
    AccountId, Answer, BodySource, Command, Deliver, Envelope, Hash16, Lane, Message, Millis,
    NewBody, Outcome, Query, Recipient, Stamp, UidRanges, UploadId,
};
use node::replica::directory::Directory;
use node::replica::index::MemoryIndexes;
use node::replica::partition::Partition;
use node::replica::{
    Applying, Arrival, BodyError, Chunks, LogId, Machine, Opening, Referred, Replica, Snapshot,
    open,
};
use parking_lot::RwLock;
use seglog::sim::SimDisk;
use seglog::{Log, Writer};

use super::rig::{Entry, GROUP, REPLICA, RaftLog, WriterThread, options, tight};

/// A replica with a real machine.
struct Bench {
    disk: SimDisk,
    indexes: Arc<MemoryIndexes>,
    log: Log,
    writer: Writer,
    raft: Arc<RaftLog>,
    replica: Arc<Replica>,
}

impl Bench {
    fn new(machine: Arc<dyn Machine>) -> Self {
        Self::open(SimDisk::new(), Arc::default(), machine)
    }

    fn open(disk: SimDisk, indexes: Arc<MemoryIndexes>, machine: Arc<dyn Machine>) -> Self {
        let (log, writer, recovered) = seglog::open(Arc::new(disk.clone()), options()).unwrap();
        let opening = Opening {
            bounds: tight(),
            ..Opening::new(GROUP, REPLICA, log.clone(), indexes.clone(), machine)
        };
        let replica = open(&opening, recovered.replicas.get(&REPLICA)).unwrap();
        let raft = Arc::new(RaftLog::default());
        replica.attach(raft.clone());
        Self {
            disk,
            indexes,
            log,
            writer,
            raft,
            replica,
        }
    }

    fn apply(&mut self, time_ms: u64, command: Bytes, body: &[u8]) -> (LogId, Bytes) {
        let index = self.replica.applied().last.map_or(1, |last| last.index + 1);
        let id = LogId { term: 3, index };
        let entry = Entry {
            id,
            command,
            body: Bytes::copy_from_slice(body),
        };
        self.raft.append(&self.log, REPLICA, &entry);
        let body_length = body.len() as u64;
        let applying = Applying::Command {
            time_ms,
            command: &entry.command,
            body_length,
        };
        (id, self.replica.apply(id, applying).unwrap())
    }

    fn checkpoint(&mut self) {
        while self.replica.step(node::replica::Due::Now) != node::replica::Progress::Idle {
            while self.writer.step().unwrap() != seglog::Step::Idle {}
        }
    }
}

const ALICE: AccountId = AccountId(5);

/// Commands of one lane.
struct Mail {
    bench: Bench,
    sequence: u64,
}

impl Mail {
    fn new() -> Self {
        Self {
            bench: Bench::new(Arc::new(Partition)),
            sequence: 0,
        }
    }

    fn ask(&mut self, command: Command, body: &[u8]) -> Outcome {
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
        let command = mailbox::codec::encode_envelope(&envelope);
        let (_, outcome) = self.bench.apply(1_000 + self.sequence, command, body);
        mailbox::codec::decode_outcome(&outcome).unwrap()
    }

    fn create(&mut self) {
        let create = Command::CreateAccount {
            account: ALICE,
            folders: Vec::new(),
            quota_bytes: None,
        };
        assert!(matches!(self.ask(create, b""), Outcome::Done(_)));
    }

    fn deliver(&mut self, text: &[u8], source: BodySource) {
        let recipient = Recipient {
            account: ALICE,
            address: "alice@example.org".into(),
            folder: None,
            prefix: Bytes::from_static(b"Return-Path: <>\r\n"),
        };
        let inline = if source == BodySource::Inline {
            text
        } else {
            b""
        };
        let deliver = Command::Deliver(Deliver {
            sender: String::new(),
            recipients: vec![recipient],
            body: NewBody {
                hash: Hash16::of(text),
                length: text.len() as u64,
                source,
            },
            received: Millis(1_000),
            suppress_duplicates: false,
            confirmed: Vec::new(),
        });
        let outcome = self.ask(deliver, inline);
        assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    }
}

fn messages(replica: &Replica) -> Vec<Message> {
    let query = Query::Messages {
        account: ALICE,
        mailbox: mailbox::MailboxId::INBOX,
        uids: UidRanges::all(),
        changed_since: None,
        limit: 100,
        include_expunged: false,
    };
    match replica.read(|rows| mailbox::query(rows, &query)).unwrap() {
        Answer::Messages(page) => page.messages,
        other => panic!("{other:?}"),
    }
}

/// Delivered, checkpointed, purged, opened again: the messages and their bytes are there.
#[test]
fn mail_survives() {
    let mut mail = Mail::new();
    mail.create();
    let small = b"Subject: small\r\n\r\nHello.\r\n".to_vec();
    mail.deliver(&small, BodySource::Inline);
    let large: Vec<u8> = (0..150_000_u32).map(|byte| (byte % 251) as u8).collect();
    let upload = UploadId(77);
    for (number, chunk) in large.chunks(60_000).enumerate() {
        let (number, length) = (number as u32, chunk.len() as u32);
        mail.ask(
            Command::Chunk {
                upload,
                account: ALICE,
                number,
                length,
            },
            chunk,
        );
        if number == 1 {
            mail.bench.checkpoint();
        }
    }
    mail.deliver(&large, BodySource::Upload(upload));
    let digest = mail.bench.replica.digest();
    let check = |replica: &Replica| {
        let found = messages(replica);
        let bodies: Vec<_> = found
            .iter()
            .map(|message| replica.body(&message.body).unwrap())
            .collect();
        assert_eq!(
            bodies,
            [Bytes::from(small.clone()), Bytes::from(large.clone())]
        );
        let part = replica.body_range(&found[1].body, 59_990..120_010).unwrap();
        assert_eq!(part, large[59_990..120_010]);
        assert!(matches!(
            replica.body_range(&found[1].body, 0..150_001),
            Err(BodyError::NoBody)
        ));
    };
    check(&mail.bench.replica);
    mail.bench.checkpoint();
    mail.bench.raft.purge(u64::MAX);
    check(&mail.bench.replica);
    let Bench {
        disk,
        indexes,
        log,
        writer,
        raft,
        replica,
    } = mail.bench;
    drop((log, writer, raft, replica));
    let again = Bench::open(disk, indexes, Arc::new(Partition));
    assert_eq!(again.replica.digest(), digest);
    check(&again.replica);
    // From the log alone.
    let Bench {
        disk,
        log,
        writer,
        replica,
        ..
    } = again;
    drop((log, writer, replica));
    check(&Bench::open(disk, Arc::default(), Arc::new(Partition)).replica);
}

#[test]
fn mail_travels_in_a_snapshot() {
    let mut mail = Mail::new();
    mail.create();
    for number in 0..30 {
        mail.deliver(
            format!("Subject: {number}\r\n\r\n").as_bytes(),
            BodySource::Inline,
        );
    }
    mail.bench.checkpoint();
    let snapshot = mail.bench.replica.snapshot().unwrap();
    let follower = Bench::new(Arc::new(Partition));
    let writing = WriterThread::start(follower.writer);
    follower.replica.install(snapshot.clone()).unwrap();
    drop(writing.stop());
    assert_eq!(follower.replica.digest(), mail.bench.replica.digest());
    let found = messages(&follower.replica);
    assert_eq!(found, messages(&mail.bench.replica));
    assert!(matches!(
        follower.replica.body(&found[0].body),
        Err(BodyError::Missing(_))
    ));
    assert_eq!(follower.replica.next_due(), mail.bench.replica.next_due());

    // With the bodies that its rows say are missing.
    let follower = Bench::new(Arc::new(Partition));
    let writing = WriterThread::start(follower.writer);
    let at = snapshot.last.unwrap();
    let mut arrival = Arrival::begin(&follower.replica, at, None).unwrap();
    for chunk in snapshot.chunks.iter() {
        arrival.push(&chunk.unwrap()).unwrap();
    }
    let wanted = arrival.wanted().unwrap();
    assert_eq!(wanted.len(), found.len());
    let bring = |missing: &Referred| {
        let body = mail.bench.replica.entry_body(missing.id).unwrap();
        (*missing, body)
    };
    arrival.put(wanted.iter().map(bring).collect()).unwrap();
    assert_eq!(arrival.wanted().unwrap(), []);
    let arrived = Snapshot {
        chunks: Chunks::from(arrival),
        ..snapshot
    };
    follower.replica.install(arrived).unwrap();
    drop(writing.stop());
    assert_eq!(follower.replica.digest(), mail.bench.replica.digest());
    for message in &found {
        let there = mail.bench.replica.body(&message.body).unwrap();
        assert_eq!(follower.replica.body(&message.body).unwrap(), there);
    }
}

/// Bytes that are no command of this version stop the replica, and nobody is answered.
#[test]
fn what_is_no_command() {
    let bench = Bench::new(Arc::new(Partition));
    let command = Bytes::from_static(b"\xffwhat");
    let applying = Applying::Command {
        time_ms: 1,
        command: &command,
        body_length: 0,
    };
    let fault = bench
        .replica
        .apply(LogId { term: 1, index: 1 }, applying)
        .unwrap_err();
    assert!(matches!(fault, rows::Fault::Command(_)), "{fault}");
}

fn directory_command(request: u128, command: directory::Command) -> Bytes {
    let time = directory::Millis(0);
    let envelope = directory::Envelope {
        request: RequestId(request),
        time,
        command,
    };
    directory::codec::encode_envelope(&envelope)
}

/// The view is as the rows are: as they are applied, after an open, and after a snapshot.
#[test]
fn the_view_follows() {
    let view = Arc::new(RwLock::new(View::default()));
    let mut bench = Bench::new(Arc::new(Directory::new(view.clone())));
    for (number, name) in ["mail.max", "mail.min", "mail.max"].into_iter().enumerate() {
        let command = directory::Command::SetSetting {
            name: name.into(),
            value: format!("value {number}"),
        };
        let command = directory_command(number as u128, command);
        let (_, outcome) = bench.apply(5, command, b"");
        directory::codec::decode_outcome(&outcome).unwrap();
    }
    let loaded = |replica: &Replica| replica.read(|rows| View::load(rows).unwrap());
    assert_eq!(*view.read(), loaded(&bench.replica));
    assert_eq!(bench.replica.next_due(), None);
    bench.checkpoint();
    let snapshot = bench.replica.snapshot().unwrap();
    let chunks: Vec<Bytes> = snapshot.chunks.iter().map(Result::unwrap).collect();
    let arrived = Snapshot {
        chunks: Chunks::from(chunks),
        ..snapshot.clone()
    };
    drop(snapshot);

    let elsewhere = Arc::new(RwLock::new(View::default()));
    let follower = Bench::new(Arc::new(Directory::new(elsewhere.clone())));
    let writing = WriterThread::start(follower.writer);
    follower.replica.install(arrived).unwrap();
    drop(writing.stop());
    assert_eq!(*elsewhere.read(), *view.read());

    let Bench {
        disk,
        indexes,
        log,
        writer,
        raft,
        replica,
    } = bench;
    drop((log, writer, raft, replica));
    let opened = Arc::new(RwLock::new(View::default()));
    let again = Bench::open(disk, indexes, Arc::new(Directory::new(opened.clone())));
    assert_eq!(*opened.read(), *view.read());
    assert_eq!(*opened.read(), loaded(&again.replica));
}
