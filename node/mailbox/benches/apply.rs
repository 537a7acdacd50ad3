//! What a command costs, in microseconds of CPU time, over rows in memory.
//!
//! `cargo bench -p mailbox` prints a line for each case. Decoding the entry's bytes is part of a
//! delivery, as it is in a replica; the writes are put into the rows after each entry.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mailbox::codec::{decode_envelope, encode_envelope};
use mailbox::{
    AccountId, BodySource, Command, Confirmed, Deliver, EntryAt, Envelope, Flags, Hash16, Lane,
    MailboxId, Millis, ModSeq, NewBody, Query, Recipient, Stamp, StoreMode, SystemFlags, Uid,
    UidRanges, apply, query,
};
use rows::{Memory, Staged};

const ACCOUNTS: u64 = 200;
const DELIVERIES: u64 = 100_000;
const LANES: u64 = 64;
/// Deliveries between two looks at the clock.
const BATCH: u64 = 1000;

struct Machine {
    rows: Memory,
    index: u64,
    sequences: BTreeMap<u64, u64>,
}

impl Machine {
    fn entry(&mut self, lane: u64, command: Command) -> Bytes {
        let sequence = self.sequences.entry(lane).or_default();
        *sequence += 1;
        let lane = Lane {
            node: 1,
            boot: 1,
            lane,
        };
        let now = Millis(1_700_000_000_000 + self.index / 4);
        let stamp = Stamp {
            lane,
            sequence: *sequence,
            issued: now,
        };
        encode_envelope(&Envelope {
            stamp,
            time: now,
            command,
        })
    }

    fn apply(&mut self, entry: &Bytes, body_length: u64) {
        self.index += 1;
        let envelope = decode_envelope(entry).expect("it was just encoded");
        let at = EntryAt {
            index: self.index,
            term: 1,
            body_length,
        };
        let mut staged = Staged::new(&self.rows);
        apply(&mut staged, at, &envelope).expect("no fault");
        let writes = staged.into_writes().expect("no fault");
        self.rows.commit(writes);
    }

    fn run(&mut self, lane: u64, command: Command) {
        let entry = self.entry(lane, command);
        self.apply(&entry, 0);
    }

    fn deliver(&mut self, number: u64) -> Bytes {
        let account = number % ACCOUNTS + 1;
        let lane = number % LANES + 10;
        let seen = self.sequences.get(&lane).copied();
        let prefix = format!(
            "Return-Path: <sender@example.org>\r\nDelivered-To: user{account}@example.com\r\n\
             Received: from mx.example.org (mx.example.org [192.0.2.1]) by node1.example.com with \
             LMTP id {number:016x}\r\n for <user{account}@example.com>; \
             Tue, 14 Nov 2023 22:13:20 +0000\r\n"
        );
        let deliver = Deliver {
            sender: "sender@example.org".into(),
            recipients: vec![Recipient {
                account: AccountId(account),
                address: format!("user{account}@example.com"),
                folder: None,
                prefix: prefix.into(),
            }],
            body: NewBody {
                hash: Hash16::of(&number.to_be_bytes()),
                length: 4096,
                source: BodySource::Inline,
            },
            received: Millis(1_700_000_000_000),
            suppress_duplicates: true,
            confirmed: seen
                .map(|sequence| Confirmed { lane, sequence })
                .into_iter()
                .collect(),
        };
        self.entry(lane, Command::Deliver(deliver))
    }
}

fn main() {
    let rows = Memory::new();
    let mut machine = Machine {
        rows,
        index: 0,
        sequences: BTreeMap::new(),
    };
    for account in 1..=ACCOUNTS {
        let account = AccountId(account);
        machine.run(
            1,
            Command::CreateAccount {
                account,
                folders: Vec::new(),
                quota_bytes: None,
            },
        );
    }
    let mut seconds = 0.0;
    for batch in 0..DELIVERIES / BATCH {
        let numbers = batch * BATCH..(batch + 1) * BATCH;
        let entries: Vec<Bytes> = numbers.map(|number| machine.deliver(number)).collect();
        let start = spent();
        for entry in &entries {
            machine.apply(entry, 4096);
        }
        seconds += (spent() - start).as_secs_f64();
    }
    report("a delivery", seconds, DELIVERIES);

    let account = AccountId(1);
    let mailbox = MailboxId::INBOX;
    let uids = UidRanges::range(Uid(1), Uid(500));
    let start = spent();
    machine.run(
        2,
        Command::Store {
            account,
            mailbox,
            uids,
            mode: StoreMode::Add,
            flags: Flags::system(SystemFlags::SEEN),
            unchanged_since: None,
        },
    );
    report(
        "a flag of one of 500 messages",
        (spent() - start).as_secs_f64(),
        500,
    );

    machine.rows = Memory::new();
    machine.index += 1;
    machine.sequences.clear();
    large_mailbox(&mut machine);
}

fn large_mailbox(machine: &mut Machine) {
    let account = AccountId(1);
    let mailbox = MailboxId::INBOX;
    machine.run(
        1,
        Command::CreateAccount {
            account,
            folders: Vec::new(),
            quota_bytes: None,
        },
    );
    for number in 0..100_000 {
        let entry = machine.deliver(number * ACCOUNTS);
        machine.apply(&entry, 4096);
    }
    let start = spent();
    query(&machine.rows, &Query::Open { account, mailbox }).expect("an answer");
    report(
        "opening 100,000 messages",
        (spent() - start).as_secs_f64(),
        1,
    );
    let since = ModSeq(100_000);
    let start = spent();
    for _ in 0..1000 {
        query(
            &machine.rows,
            &Query::Changes {
                account,
                mailbox,
                since,
            },
        )
        .expect("an answer");
    }
    report(
        "asking for the changes of 1 message",
        (spent() - start).as_secs_f64(),
        1000,
    );
}

/// Time that this thread was on a CPU, so that others on the machine do not count; wall time where
/// the system does not tell.
fn spent() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = told
        .as_deref()
        .and_then(|told| told.split(' ').next()?.parse().ok());
    nanos.map_or_else(|| START.elapsed(), Duration::from_nanos)
}

fn report(what: &str, seconds: f64, count: u64) {
    println!("{what}: {:.2} us", seconds * 1e6 / count as f64);
}
