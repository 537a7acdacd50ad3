//! Bytes as they were released: log entries, outcomes and rows. Each folder under
//! `tests/fixtures` is a format, and all of them are read for ever.
//!
//! ```text
//!   entry HEX      the bytes of a log entry          what it says
//!   outcome HEX    an answer, as it is kept for repeats
//!   row HEX HEX    a key and a value; all rows of a file add up
//! ```
//!
//! The bytes are input, which nothing but `cargo test -p directory -- --ignored write_fixtures`
//! writes anew; a changed text under the same bytes means that old logs would be read otherwise. A
//! kind without an example fails here, so a new kind comes with its bytes.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;

use bytes::Bytes;
use directory::codec::{decode_envelope, decode_outcome, encode_envelope, encode_outcome};
use directory::verifier::{Argon2id, Argon2idParams};
use directory::{
    AccountId, Command, Envelope, GroupId, Millis, NodeId, OperationId, Outcome, Rejection,
    ReplicaId, RequestId, Verifiers, View, check,
};
use goldenscript::ArgumentConsumer;
use prost::Message;
use proto::v1;
use rows::{DIGEST_KEY, Memory};

use crate::cluster::{Cluster, init, report, verifiers};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Says which variant a value is, and lists all of them: without a new one it does not compile.
macro_rules! kinds {
    ($name:ident: $type:ident { $($variant:ident)+ }) => {
        mod $name {
            use super::$type;

            pub const ALL: &[&str] = &[$(concat!(stringify!($type), "::", stringify!($variant))),+];

            pub fn of(value: &$type) -> &'static str {
                match value {
                    $($type::$variant { .. } =>
                        concat!(stringify!($type), "::", stringify!($variant)),)+
                }
            }
        }
    };
}

kinds! { commands: Command {
    Init JoinNode UpdateNode ActivateNode RemoveNode PlaceReplica MarkVoter MarkLearner
    RemoveReplica PlacePartitions CreateAccount SetPassword LockAccount DeleteAccount
    FinishOperation SetSetting RaiseFeatureLevel ReplaceNode DrainNode MoveReplica
    RetireReplica Share
} }
kinds! { outcomes: Outcome { Done Placed AccountMade OperationBegun Rejected } }
kinds! { rejections: Rejection {
    NoCluster ClusterExists ShapeInvalid NodeInvalid NoNode NodeRemoved NodeNotActive NodeInUse
    AddressInvalid AddressTaken TooManyNodes TooFewNodes NoGroup NoReplica LastVoter
    TooManyReplicas NotPlaced NameInvalid NameTaken NoAccount AccountBusy TooManyAccounts
    VerifierInvalid PasswordInvalid SettingInvalid TooManySettings FeatureLevel NodeLeaving
    ReplicaThere TooManyShares
} }

/// The first bytes of keys.
const TABLES: [&str; 12] = ["c", "k", "n", "g", "a", "m", "o", "s", "r", "q", "h", "i"];

#[derive(Default)]
struct Reader {
    seen: BTreeSet<&'static str>,
    rows: Memory,
}

impl goldenscript::Runner for Reader {
    type Command = goldenscript::Command;

    fn run(
        &mut self,
        command: &goldenscript::Command,
        _context: &goldenscript::Context,
    ) -> Result<String> {
        let mut args = command.consume_args();
        let text = match command.name.as_str() {
            "entry" => self.entry(&bytes(&mut args)?)?,
            "outcome" => self.outcome(&bytes(&mut args)?)?,
            "row" => self.row(bytes(&mut args)?, bytes(&mut args)?)?,
            other => return Err(format!("no bytes of kind {other}").into()),
        };
        args.reject_next()?;
        Ok(text)
    }
}

impl Reader {
    fn entry(&mut self, bytes: &Bytes) -> Result<String> {
        let envelope = decode_envelope(bytes)?;
        assert_eq!(encode_envelope(&envelope), bytes);
        let kind = commands::of(&envelope.command);
        self.seen.insert(kind);
        // A command does not show what is in it, so that no log does; its message does.
        Ok(format!("{kind} {}", told::<v1::DirectoryEnvelope>(bytes)?))
    }

    fn outcome(&mut self, bytes: &Bytes) -> Result<String> {
        let outcome = decode_outcome(bytes)?;
        assert_eq!(encode_outcome(&outcome), bytes);
        self.seen.insert(outcomes::of(&outcome));
        if let Outcome::Rejected(rejection) = &outcome {
            self.seen.insert(rejections::of(rejection));
        }
        Ok(format!("{outcome:?}"))
    }

    fn row(&mut self, key: Bytes, value: Bytes) -> Result<String> {
        self.rows.load([(key.clone(), value.clone())]);
        if key == DIGEST_KEY {
            return Ok(format!("digest {}", hex(&value)));
        }
        let text = match key.first() {
            Some(b'c') => told::<v1::DirectoryCluster>(&value),
            Some(b'k') => told::<v1::DirectoryCounters>(&value),
            Some(b'n') => told::<v1::DirectoryNode>(&value),
            Some(b'g') => told::<v1::DirectoryGroup>(&value),
            Some(b'a') => told::<v1::DirectoryAccount>(&value),
            Some(b'm') => told::<v1::DirectoryName>(&value),
            Some(b'o') => told::<v1::DirectoryOperation>(&value),
            Some(b's') => told::<v1::DirectorySetting>(&value),
            Some(b'r') => told::<v1::DirectoryRequest>(&value),
            Some(b'q') => told::<v1::DirectoryRequestOrder>(&value),
            Some(b'h' | b'i') => told::<v1::DirectoryShare>(&value),
            _ => Err("no such table".into()),
        }?;
        let table = TABLES
            .iter()
            .find(|table| key.starts_with(table.as_bytes()));
        self.seen.extend(table);
        Ok(format!("{}: {text}", key.escape_ascii()))
    }
}

/// What a message says, if all of it is understood.
fn told<M: Message + Default + std::fmt::Debug>(value: &Bytes) -> Result<String> {
    let message = M::decode(value.clone())?;
    if message.encode_to_vec() != *value {
        return Err("it does not encode back".into());
    }
    Ok(format!("{message:?}"))
}

fn bytes(args: &mut ArgumentConsumer<'_>) -> Result<Bytes> {
    let text = args.next_pos().ok_or("bytes are missing")?;
    let byte = |at: usize| u8::from_str_radix(text.get(at..at + 2).unwrap_or("odd"), 16);
    let bytes: std::result::Result<Vec<u8>, _> = (0..text.len()).step_by(2).map(byte).collect();
    Ok(bytes?.into())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn folder(format: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures")).join(format)
}

/// Reads a file of the first format.
fn read(file: &str) -> Reader {
    let mut reader = Reader::default();
    goldenscript::run(&mut reader, folder("v1").join(file)).expect("it is as it was");
    reader
}

fn assert_all(reader: &Reader, all: &[&[&'static str]]) {
    let missing = all.iter().copied().flatten();
    let missing: Vec<_> = missing
        .filter(|kind| !reader.seen.contains(*kind))
        .collect();
    assert!(missing.is_empty(), "no example of {missing:?}");
}

#[test]
fn entries_of_format_1() {
    assert_all(&read("entries"), &[commands::ALL]);
}

#[test]
fn outcomes_of_format_1() {
    assert_all(&read("outcomes"), &[outcomes::ALL, rejections::ALL]);
}

#[test]
fn rows_of_format_1() {
    let mut reader = read("rows");
    let later = read("rows_later");
    check(&later.rows).expect("they add up");
    reader.seen.extend(later.seen);
    assert_all(&reader, &[&TABLES]);
    check(&reader.rows).expect("they add up");
    let view = View::load(&reader.rows).expect("they are understood");
    assert!(view.account("alice@example.org").is_some());
}

/// Verifiers of both kinds.
fn both() -> Verifiers {
    let argon2id = Argon2id {
        params: Argon2idParams::default(),
        salt: Bytes::from_static(b"sixteen bytes of"),
        hash: [7; 32],
    };
    Verifiers {
        argon2id: Some(argon2id),
        ..verifiers("fixture")
    }
}

fn samples() -> Vec<Command> {
    let (node, group, replica) = (NodeId(2), GroupId(1), ReplicaId(7));
    let name = || "alice@example.org".to_owned();
    vec![
        init(1, 3, 16),
        Command::JoinNode(report(2, 1)),
        Command::UpdateNode(report(2, 2)),
        Command::ActivateNode { node },
        Command::RemoveNode { node },
        Command::PlaceReplica { group, node },
        Command::MarkVoter { group, replica },
        Command::MarkLearner { group, replica },
        Command::RemoveReplica { group, replica },
        Command::PlacePartitions,
        Command::CreateAccount {
            name: name(),
            verifiers: both(),
            quota_bytes: Some(1 << 30),
        },
        Command::SetPassword {
            name: name(),
            verifiers: both(),
        },
        Command::LockAccount {
            name: name(),
            locked: true,
        },
        Command::DeleteAccount { name: name() },
        Command::FinishOperation {
            operation: OperationId(9),
        },
        Command::SetSetting {
            name: "retention.days".into(),
            value: "14".into(),
        },
        Command::RaiseFeatureLevel { level: 2 },
        Command::ReplaceNode {
            old: node,
            new: report(4, 2),
        },
        Command::DrainNode { node, shrink: true },
        Command::MoveReplica {
            group,
            from: node,
            to: NodeId(4),
        },
        Command::RetireReplica { group, replica },
        Command::Share {
            user: AccountId(0),
            account: AccountId(8),
        },
    ]
}

fn answers() -> Vec<Outcome> {
    let rejected = (1..).map_while(|number| {
        let known = v1::DirectoryRejection::try_from(number).ok()?;
        let kind = Some(v1::directory_outcome::Kind::Rejected(known.into()));
        let bytes = v1::DirectoryOutcome { kind }.encode_to_vec();
        decode_outcome(&bytes.into()).ok()
    });
    let mut all = vec![
        Outcome::Done,
        Outcome::Placed(ReplicaId(7)),
        Outcome::AccountMade {
            account: AccountId(8),
            partition: GroupId(1),
            operation: OperationId(9),
        },
        Outcome::OperationBegun(OperationId(9)),
    ];
    all.extend(rejected);
    all
}

/// A directory that has a row of every kind.
fn cluster() -> Cluster {
    let mut cluster = Cluster::default();
    let create = |name: &str| Command::CreateAccount {
        name: name.to_owned(),
        verifiers: both(),
        quota_bytes: Some(1 << 30),
    };
    let commands = [
        init(1, 1, 2),
        Command::JoinNode(report(2, 1)),
        Command::PlaceReplica {
            group: GroupId(0),
            node: NodeId(2),
        },
        Command::PlacePartitions,
        create("alice@example.org"),
        Command::FinishOperation {
            operation: OperationId(1),
        },
        create("bob@example.org"),
        Command::SetSetting {
            name: "retention.days".into(),
            value: "14".into(),
        },
    ];
    for command in commands {
        let (outcome, _) = cluster.ask(command.clone());
        assert!(
            !matches!(outcome, Outcome::Rejected(_)),
            "{command:?}: {outcome:?}"
        );
    }
    cluster.check();
    cluster
}

/// One that has rows of the kinds that came later.
fn later_cluster() -> Cluster {
    let mut cluster = cluster();
    for user in [0, 2] {
        let (user, account) = (AccountId(user), AccountId(1));
        let (outcome, _) = cluster.ask(Command::Share { user, account });
        assert_eq!(outcome, Outcome::Done);
    }
    cluster.check();
    cluster
}

fn rows_text(comment: &str, cluster: &Cluster) -> String {
    let mut rows = String::from(comment);
    for (key, value) in cluster.rows.iter() {
        let value = match hex(value) {
            value if value.is_empty() => "\"\"".to_owned(),
            value => value,
        };
        writeln!(rows, "row {} {value}", hex(key)).expect("memory");
    }
    rows
}

#[test]
#[ignore = "writes the bytes of the present format; UPDATE_GOLDENFILES=1 then fills in the text"]
fn write_fixtures() {
    let mut entries = String::from("# Log entries, one of each kind of command.\n");
    for (number, command) in (1..).zip(samples()) {
        let envelope = Envelope {
            request: RequestId(number),
            time: Millis(1_700_000_000_000),
            command,
        };
        writeln!(entries, "entry {}", hex(&encode_envelope(&envelope))).expect("memory");
    }
    let mut outcomes = String::from("# Outcomes, as they are kept for repeats.\n");
    for outcome in answers() {
        let text = hex(&encode_outcome(&outcome));
        writeln!(outcomes, "outcome {text}").expect("memory");
    }
    let rows = rows_text("# All rows of a directory.\n", &cluster());
    let later = rows_text(
        "# All rows of a directory, with kinds that came later.\n",
        &later_cluster(),
    );
    std::fs::create_dir_all(folder("v1")).expect("a folder");
    let files = [
        ("entries", entries),
        ("outcomes", outcomes),
        ("rows", rows),
        ("rows_later", later),
    ];
    for (file, text) in files {
        std::fs::write(folder("v1").join(file), text + "---\n").expect("a file");
    }
}
