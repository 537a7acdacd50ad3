//! A machine to test: rows, a log that grows, a clock that the test moves.

use std::collections::BTreeMap;

use bytes::Bytes;
use mailbox::check::{check, references};
use mailbox::codec::{decode_answer, decode_envelope, encode_answer, encode_envelope};
use mailbox::{
    AccountId, Answer, BodyChange, BodySource, Changes, Command, Deliver, Delivered, EntryAt,
    Envelope, Event, Folder, Hash16, Lane, MailboxId, Message, Millis, ModSeq, NewBody, NewFolder,
    Opened, Outcome, Query, QueryError, Recipient, Rejection, Reply, Roster, Stamp, UploadId,
    apply, query,
};
use rows::{Digest, Memory, Rows, Staged};

/// 2023-11-14T22:13:20Z.
pub const START: Millis = Millis(1_700_000_000_000);

pub const ALICE: AccountId = AccountId(1);
pub const BOB: AccountId = AccountId(2);

pub struct Machine {
    pub rows: Memory,
    pub index: u64,
    pub now: Millis,
    /// The lane that commands go by.
    pub lane: u64,
    sequences: BTreeMap<u64, u64>,
    /// References to bodies, summed up from what apply said.
    pub bodies: BTreeMap<(u64, u64), (u64, i64)>,
}

impl Machine {
    pub fn new() -> Machine {
        let rows = Memory::new();
        let (sequences, bodies) = (BTreeMap::new(), BTreeMap::new());
        Machine {
            rows,
            index: 0,
            now: START,
            lane: 1,
            sequences,
            bodies,
        }
    }

    pub fn with_account(account: AccountId) -> Machine {
        let mut machine = Machine::new();
        machine.create_account(account, &[], None);
        machine
    }

    pub fn create_account(&mut self, account: AccountId, folders: &[&str], quota: Option<u64>) {
        let folder = |name: &&str| NewFolder {
            name: (*name).to_owned(),
            special_use: None,
        };
        let folders = folders.iter().map(folder).collect();
        self.done(Command::CreateAccount {
            account,
            folders,
            quota_bytes: quota,
        });
    }

    /// The stamp that the next command of the lane gets.
    pub fn stamp(&mut self) -> Stamp {
        let sequence = self.sequences.entry(self.lane).or_default();
        *sequence += 1;
        let lane = Lane {
            node: 1,
            boot: 1,
            lane: self.lane,
        };
        Stamp {
            lane,
            sequence: *sequence,
            issued: self.now,
        }
    }

    /// Applies a command of the present lane, without a body.
    pub fn run(&mut self, command: Command) -> Outcome {
        self.run_with(command, 0)
    }

    pub fn run_with(&mut self, command: Command, body_length: u64) -> Outcome {
        let stamp = self.stamp();
        self.run_as(stamp, command, body_length).0
    }

    pub fn run_as(
        &mut self,
        stamp: Stamp,
        command: Command,
        body_length: u64,
    ) -> (Outcome, Vec<Event>) {
        let envelope = Envelope {
            stamp,
            time: self.now,
            command,
        };
        let bytes = encode_envelope(&envelope);
        assert_eq!(decode_envelope(&bytes).as_ref(), Ok(&envelope));
        self.index += 1;
        let at = EntryAt {
            index: self.index,
            term: 1,
            body_length,
        };
        let mut staged = Staged::new(&self.rows);
        let applied = apply(&mut staged, at, &envelope).expect("no fault");
        let writes = staged.into_writes().expect("no fault");
        self.rows.commit(writes);
        self.refer(applied.bodies);
        (applied.outcome, applied.events)
    }

    pub fn done(&mut self, command: Command) -> Reply {
        self.done_with(command, 0)
    }

    pub fn done_with(&mut self, command: Command, body_length: u64) -> Reply {
        match self.run_with(command.clone(), body_length) {
            Outcome::Done(reply) => reply,
            other => panic!("{other:?} to {command:?}"),
        }
    }

    pub fn rejected(&mut self, command: Command) -> Rejection {
        let before = self.rows.clone();
        let rejection = match self.run(command.clone()) {
            Outcome::Rejected(rejection) => rejection,
            other => panic!("{other:?} to {command:?}"),
        };
        let mut changed: Vec<_> = self.rows.iter().collect();
        changed.retain(|(key, value)| before.get(key).expect("rows").as_ref() != Some(*value));
        // The digest's row, the machine's and the lane's.
        assert!(
            changed.len() <= 3,
            "{command:?} was refused and changed rows"
        );
        rejection
    }

    pub fn tick(&mut self) {
        self.run_as(Stamp::default(), Command::Tick, 0);
    }

    /// Ticks until nothing is due. Says how often.
    pub fn settle(&mut self) -> usize {
        let mut ticks = 0;
        while mailbox::next_due(&self.rows)
            .expect("rows")
            .is_some_and(|due| due <= self.now)
        {
            self.tick();
            ticks += 1;
        }
        ticks
    }

    /// Lets time pass. Who comes back after long opens another lane.
    pub fn advance(&mut self, ms: u64) {
        self.now = self.now.after(ms);
        if ms > mailbox::limits::LANE_LIFE_MS / 2 {
            self.lane += 1_000;
        }
    }

    /// Counts references to bodies.
    pub fn refer(&mut self, bodies: Vec<BodyChange>) {
        for BodyChange {
            index,
            term,
            length,
            change,
        } in bodies
        {
            let known = self.bodies.entry((index, term)).or_insert((length, 0));
            assert_eq!(known.0, length);
            known.1 += change;
            assert!(known.1 >= 0);
        }
        self.bodies.retain(|_, (_, count)| *count > 0);
    }

    /// Everything adds up.
    pub fn check(&self) {
        check(&self.rows).expect("everything adds up");
        let mut counted = BTreeMap::new();
        references(&self.rows, |piece| {
            counted
                .entry((piece.index, piece.term))
                .or_insert((piece.length, 0))
                .1 += 1;
        })
        .expect("rows");
        assert_eq!(counted, self.bodies, "references to bodies");
    }

    pub fn try_ask(&self, question: &Query) -> Result<Answer, QueryError> {
        let answer = query(&self.rows, question);
        let bytes = encode_answer(&answer).expect("no fault");
        assert_eq!(decode_answer(&bytes), answer, "answers survive the wire");
        answer
    }

    pub fn ask(&self, question: &Query) -> Answer {
        self.try_ask(question).expect("an answer")
    }

    pub fn folder(&self, account: AccountId, name: &str) -> Folder {
        match self.ask(&Query::Folder {
            account,
            name: name.into(),
        }) {
            Answer::Folder(Some(folder)) => folder,
            other => panic!("{name}: {other:?}"),
        }
    }

    pub fn folders(&self, account: AccountId) -> Vec<Folder> {
        match self.ask(&Query::Folders { account }) {
            Answer::Folders(folders) => folders,
            other => panic!("{other:?}"),
        }
    }

    pub fn open(&self, account: AccountId, mailbox: MailboxId) -> Opened {
        match self.ask(&Query::Open { account, mailbox }) {
            Answer::Opened(opened) => opened,
            other => panic!("{other:?}"),
        }
    }

    /// The mailbox of a roster, once it has come up with the rows.
    pub fn caught_up(&self, roster: &mut Roster) -> Opened {
        loop {
            if let Some(opened) = roster.step(&self.rows).expect("the mailbox is there") {
                return opened;
            }
        }
    }

    pub fn changes(&self, account: AccountId, mailbox: MailboxId, since: ModSeq) -> Changes {
        match self.ask(&Query::Changes {
            account,
            mailbox,
            since,
        }) {
            Answer::Changes(changes) => changes,
            other => panic!("{other:?}"),
        }
    }

    /// All messages, page by page.
    pub fn messages(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        include_expunged: bool,
    ) -> Vec<Message> {
        let mut all = Vec::new();
        let mut uids = mailbox::UidRanges::all();
        loop {
            let page = match self.ask(&Query::Messages {
                account,
                mailbox,
                uids: uids.clone(),
                changed_since: None,
                limit: 7,
                include_expunged,
            }) {
                Answer::Messages(page) => page,
                other => panic!("{other:?}"),
            };
            all.extend(page.messages);
            let Some(next) = page.next else { return all };
            uids = mailbox::UidRanges::range(next, mailbox::Uid::MAX);
        }
    }

    /// Delivers a body of some size and content to addresses of accounts.
    pub fn deliver(&mut self, to: &[AccountId], content: u64, length: u64) -> Vec<Delivered> {
        let command = delivery(to, content, length, self.now);
        match self.done_with(command, length) {
            Reply::Delivered(results) => results,
            other => panic!("{other:?}"),
        }
    }

    pub fn append(&mut self, account: AccountId, mailbox: MailboxId, length: u64) -> Reply {
        let command = Command::Append {
            account,
            mailbox,
            flags: mailbox::Flags::default(),
            date: self.now,
            body: inline(length, length),
        };
        self.done_with(command, length)
    }

    /// Sends an upload of full chunks and a last one.
    pub fn upload(&mut self, upload: UploadId, account: AccountId, chunks: &[u32]) {
        for (number, &length) in chunks.iter().enumerate() {
            let number = number as u32;
            let chunk = Command::Chunk {
                upload,
                account,
                number,
                length,
            };
            self.done_with(chunk, length.into());
        }
    }
}

pub fn inline(content: u64, length: u64) -> NewBody {
    let hash = Hash16::of(&content.to_be_bytes());
    NewBody {
        hash,
        length,
        source: BodySource::Inline,
    }
}

pub fn uploaded(upload: UploadId, length: u64) -> NewBody {
    NewBody {
        source: BodySource::Upload(upload),
        ..inline(0, length)
    }
}

pub fn recipient(account: AccountId) -> Recipient {
    let address = format!("user{account}@example.com");
    let prefix = Bytes::from(format!("Delivered-To: {address}\r\n"));
    Recipient {
        account,
        address,
        folder: None,
        prefix,
    }
}

pub fn delivery(to: &[AccountId], content: u64, length: u64, received: Millis) -> Command {
    Command::Deliver(Deliver {
        sender: "sender@example.org".into(),
        recipients: to.iter().copied().map(recipient).collect(),
        body: inline(content, length),
        received,
        suppress_duplicates: true,
        confirmed: Vec::new(),
    })
}

/// The digest, after it was held against the rows.
pub fn digest(rows: &impl Rows) -> Digest {
    let kept = Digest::kept(rows).expect("rows");
    assert_eq!(Digest::counted(rows), Ok(kept));
    kept
}
