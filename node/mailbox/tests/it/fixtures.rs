//! Bytes as they were released: log entries, outcomes that lanes keep, and rows. Each folder under
//! `tests/fixtures` is a format, and all of them are read for ever.
//!
//! ```text
//!   entry HEX      the bytes of a log entry          what it says
//!   outcome HEX    what a lane keeps
//!   row HEX HEX    a key and a value; all rows of a file add up
//! ```
//!
//! The bytes are input, which nothing but `cargo test -p mailbox -- --ignored write_fixtures`
//! writes anew; a changed text under the same bytes means that old logs would be read otherwise. A
//! kind without an example fails here, so a new kind comes with its bytes.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;

use bytes::Bytes;
use goldenscript::ArgumentConsumer;
use mailbox::check::check;
use mailbox::codec::{decode_envelope, decode_outcome, encode_envelope, encode_outcome};
use mailbox::keys::{AccountKey, Due, Key};
use mailbox::{Command, Delivered, Outcome, Rejection, Reply};
use prost::Message;
use proto::v1;
use rows::{DIGEST_KEY, Memory};

use crate::fixture_samples;

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
    CreateAccount DeleteAccount CreateMailbox DeleteMailbox RenameMailbox Subscribe Deliver Chunk
    DropUpload Append Store Copy Move Expunge SetRetention SetDefaultRetention Undelete
    RestoreMailbox Purge SetQuota SetMetadata SetGrant
    Tick AppendMany OnBehalf Import Remove BeginMove EndMove Annotate
} }
kinds! { outcomes: Outcome { Done Rejected Forgotten Moved } }
kinds! { replies: Reply {
    Nothing Created Delivered Appended Stored Copied Moved Expunged Restored Purged
} }
kinds! { deliveries: Delivered {
    Stored Duplicate NoAccount Moved OverQuota NoUpload MailboxFull
} }
kinds! { rejections: Rejection {
    NoAccount NoMailbox Exists NotPermitted NameInvalid OverQuota TooMany NoUpload UploadLimit
    KeywordLimit MailboxLimit MailboxFull SequenceUsed Invalid MetadataLimit GrantLimit
    NoMessage NoRight MoveLimit BeingMoved
} }
kinds! { keys: Key { Meta Lane Duplicate Upload Chunk Due Of Move } }
kinds! { dues: Due { Folder Account Upload Retention Retentions } }
kinds! { account_keys: AccountKey {
    State Name Folder Keyword Change Message Vacant Metadata Grant Move
} }

/// The first byte of a message's row, as `row.proto` says.
const MESSAGES: [(u8, &str); 4] = [
    (1, "message"),
    (2, "expunged message"),
    (3, "moved message"),
    (4, "purged message"),
];

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
            "entry" => self.entry(bytes(&mut args)?)?,
            "outcome" => self.outcome(bytes(&mut args)?)?,
            "row" => self.row(bytes(&mut args)?, bytes(&mut args)?)?,
            other => return Err(format!("no bytes of kind {other}").into()),
        };
        args.reject_next()?;
        Ok(text)
    }
}

impl Reader {
    fn entry(&mut self, bytes: Bytes) -> Result<String> {
        let envelope = decode_envelope(&bytes)?;
        assert_eq!(encode_envelope(&envelope), bytes);
        self.seen.insert(commands::of(&envelope.command));
        Ok(format!("{envelope:?}"))
    }

    fn outcome(&mut self, bytes: Bytes) -> Result<String> {
        let outcome = decode_outcome(&bytes)?;
        assert_eq!(encode_outcome(&outcome), bytes);
        self.seen.insert(outcomes::of(&outcome));
        match &outcome {
            Outcome::Done(reply) => {
                self.seen.insert(replies::of(reply));
                if let Reply::Delivered(results) = reply {
                    self.seen.extend(results.iter().map(deliveries::of));
                }
            }
            Outcome::Rejected(rejection) => drop(self.seen.insert(rejections::of(rejection))),
            Outcome::Forgotten | Outcome::Moved => {}
        }
        Ok(format!("{outcome:?}"))
    }

    fn row(&mut self, key: Bytes, value: Bytes) -> Result<String> {
        self.rows.load([(key.clone(), value.clone())]);
        if key == DIGEST_KEY {
            return Ok(format!("digest {}", hex(&value)));
        }
        let decoded = Key::decode(&key)?;
        assert_eq!(decoded.encode(), key);
        self.seen.insert(keys::of(&decoded));
        let text = match &decoded {
            Key::Meta => told::<v1::MailMetaRow>(&value)?,
            Key::Lane(_) => told::<v1::MailLaneRow>(&value)?,
            Key::Duplicate(_) => told::<v1::MailDuplicateRow>(&value)?,
            Key::Upload(_) => told::<v1::MailUploadRow>(&value)?,
            Key::Chunk(..) => told::<v1::MailChunkRow>(&value)?,
            Key::Due(_, due) => {
                self.seen.insert(dues::of(due));
                assert!(value.is_empty());
                String::new()
            }
            Key::Of(_, inner) => self.of_account(inner, &value)?,
            Key::Move(..) => {
                assert!(value.is_empty());
                String::new()
            }
        };
        Ok(format!("{decoded:?}: {text}"))
    }

    fn of_account(&mut self, key: &AccountKey, value: &Bytes) -> Result<String> {
        self.seen.insert(account_keys::of(key));
        match key {
            AccountKey::State => told::<v1::MailAccountRow>(value),
            AccountKey::Name(_) => told::<v1::MailNameRow>(value),
            AccountKey::Folder(_) => told::<v1::MailFolderRow>(value),
            AccountKey::Keyword(..) => told::<v1::MailKeywordRow>(value),
            AccountKey::Change(..) => told::<v1::MailChangeRow>(value),
            AccountKey::Vacant(_) => told::<v1::MailVacantRow>(value),
            AccountKey::Grant(..) => told::<v1::MailGrantRow>(value),
            AccountKey::Move(_) => told::<v1::MailMoveRow>(value),
            AccountKey::Metadata(..) => told::<v1::MailMetadataRow>(value),
            AccountKey::Message(..) => {
                let (state, flags) = (value[0], value[1]);
                let known = MESSAGES.iter().find(|(byte, _)| *byte == state);
                let (_, kind) = known.ok_or("no such kind of message")?;
                self.seen.insert(kind);
                let row = value.slice(2..);
                let body = v1::MailMessageRow::decode(row.clone())?.upload.is_empty();
                self.seen.insert(if body {
                    "body in an entry"
                } else {
                    "body in chunks"
                });
                Ok(format!(
                    "{kind}, flags {flags}, {}",
                    told::<v1::MailMessageRow>(&row)?
                ))
            }
        }
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
    let all = [
        outcomes::ALL,
        replies::ALL,
        deliveries::ALL,
        rejections::ALL,
    ];
    assert_all(&read("outcomes"), &all);
}

#[test]
fn rows_of_format_1() {
    let mut reader = read("rows");
    let later = read("rows_later");
    check(&later.rows).expect("they add up");
    check(&read("rows_moved").rows).expect("they add up");
    let moving = read("rows_moving");
    check(&moving.rows).expect("they add up");
    reader.seen.extend(later.seen);
    reader.seen.extend(moving.seen);
    let messages: Vec<&str> = MESSAGES.iter().map(|(_, kind)| *kind).collect();
    let bodies = ["body in an entry", "body in chunks"];
    let all = [keys::ALL, dues::ALL, account_keys::ALL, &messages, &bodies];
    assert_all(&reader, &all);
    check(&reader.rows).expect("they add up");
    let referred = |(key, value): (&Bytes, &Bytes)| {
        (key != DIGEST_KEY).then(|| mailbox::referred(key, value).expect("it is understood"))
    };
    assert!(reader.rows.iter().filter_map(referred).flatten().count() > 3);
}

fn rows_text(comment: &str, rows: &Memory) -> String {
    let mut text = String::from(comment);
    for (key, value) in rows.iter() {
        let value = match hex(value) {
            value if value.is_empty() => "\"\"".to_owned(),
            value => value,
        };
        writeln!(text, "row {} {value}", hex(key)).expect("memory");
    }
    text
}

#[test]
#[ignore = "writes the bytes of the present format; UPDATE_GOLDENFILES=1 then fills in the text"]
fn write_fixtures() {
    let mut entries = String::from("# Log entries, one of each kind of command.\n");
    for envelope in fixture_samples::envelopes() {
        writeln!(entries, "entry {}", hex(&encode_envelope(&envelope))).expect("memory");
    }
    let mut outcomes = String::from("# Outcomes, as lanes keep them and callers get them.\n");
    for outcome in fixture_samples::outcomes() {
        writeln!(outcomes, "outcome {}", hex(&encode_outcome(&outcome))).expect("memory");
    }
    let rows = rows_text(
        "# All rows of a machine.\n",
        &fixture_samples::machine().rows,
    );
    let later = rows_text(
        "# All rows of a machine, with kinds that came later.\n",
        &fixture_samples::later_machine().rows,
    );
    let moved = rows_text(
        "# All rows of a machine that a message was moved to from another account.\n",
        &fixture_samples::moved_machine().rows,
    );
    let moving = rows_text(
        "# All rows of a machine out of which a message is being moved to another account.\n",
        &fixture_samples::moving_machine().rows,
    );
    std::fs::create_dir_all(folder("v1")).expect("a folder");
    let files = [
        ("entries", entries),
        ("outcomes", outcomes),
        ("rows", rows),
        ("rows_later", later),
        ("rows_moved", moved),
        ("rows_moving", moving),
    ];
    for (file, text) in files {
        std::fs::write(folder("v1").join(file), text + "---\n").expect("a file");
    }
}
