//! Checkpoints as they were released: `tests/fixtures` is read for ever. Format 2 says where bodies
//! belong.
//!
//! ```text
//!   record HEX            the payload of a `rows` or `base` record, the next one of a run
//!   run TERM INDEX        what the run says that they make
//!   place KEY VALUE       a local row
//! ```
//!
//! The bytes are input, which nothing but `cargo test -p node -- --ignored write_run_fixtures`, and
//! `write_place_fixtures`, writes anew; a changed text under the same bytes means that old
//! checkpoints would be read otherwise.

use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use goldenscript::ArgumentConsumer;
use node::replica::places::{self, Kept};
use node::replica::run::{Mark, RecordAt, Run, RunKind, RunWriter};
use node::replica::{LogId, Logged};
use rows::Digest;
use seglog::sim::SimDisk;
use seglog::{Log, Place, Record, ReplicaId, Sync, Writer};

use super::rig::options;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A log to put records in.
struct Reader {
    log: Log,
    writer: Writer,
    records: Vec<RecordAt>,
    runs: usize,
}

impl Reader {
    fn new() -> Self {
        let disk = Arc::new(SimDisk::new());
        let (log, writer, _) = seglog::open(disk, options()).unwrap();
        Self {
            log,
            writer,
            records: Vec::new(),
            runs: 0,
        }
    }

    fn append(&mut self, payload: Bytes) {
        let written = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&written);
        let done = Box::new(move |result| *slot.lock().unwrap() = Some(result));
        let record = Record::rows(ReplicaId(1), (1, 1), (true, false), vec![payload]);
        self.log.append(vec![record], Sync::Required, done).unwrap();
        while written.lock().unwrap().is_none() {
            self.writer.step().unwrap();
        }
        let written = written.lock().unwrap().take().unwrap().unwrap();
        self.records.extend(written.iter().map(RecordAt::from));
    }

    fn run(&mut self, at: LogId) -> std::result::Result<String, rows::Fault> {
        let records = std::mem::take(&mut self.records);
        let run = Run { at, records };
        self.runs += 1;
        let mut output = format!("{:?}\n", run.mark(&self.log)?);
        for change in run.changes(&self.log)? {
            let (key, value) = change?;
            let value = value.map_or("(removed)".to_owned(), |value| {
                format!("{:?}", value.escape_ascii().to_string())
            });
            writeln!(output, "{} = {value}", key.escape_ascii()).unwrap();
        }
        Ok(output)
    }
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
            "record" => {
                self.append(unhex(next(&mut args)?)?);
                String::new()
            }
            "run" => {
                let (term, index) = (next(&mut args)?.parse()?, next(&mut args)?.parse()?);
                self.run(LogId { term, index })?
            }
            "place" => {
                let (key, value) = (unhex(next(&mut args)?)?, unhex(next(&mut args)?)?);
                let (id, kept) = (places::id_of(&key)?, places::parse(&key, &value)?);
                // A checkpoint takes it out of its digest as it stands there.
                assert_eq!((places::key(id), places::value(&kept)), (key, value));
                format!("{id} {kept:?}\n")
            }
            other => return Err(format!("no command {other}").into()),
        };
        args.reject_next()?;
        Ok(text)
    }
}

fn next<'a>(args: &mut ArgumentConsumer<'a>) -> Result<&'a str> {
    args.next_pos()
        .ok_or_else(|| "an argument is missing".into())
}

fn unhex(text: &str) -> Result<Bytes> {
    let byte = |at: usize| u8::from_str_radix(text.get(at..at + 2).unwrap_or("odd"), 16);
    let bytes: std::result::Result<Vec<u8>, _> = (0..text.len()).step_by(2).map(byte).collect();
    Ok(bytes?.into())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures")).join(name)
}

fn payload(record: &Record) -> Bytes {
    record.payload.concat().into()
}

/// A run of rows, a base of two records, and members in every form.
fn runs() -> Vec<(LogId, Vec<Record>)> {
    let at = |index| LogId { term: 3, index };
    let mark = |at, membership| Mark {
        at,
        membership,
        digest: Digest::from_bytes([0xd1; 16]),
        places: Digest::from_bytes([0xd2; 16]),
    };
    let members = Bytes::from_static(b"members");
    let mut rows = RunWriter::new(ReplicaId(1), RunKind::Rows, at(7));
    rows.push(b"a", Some(b"value"));
    rows.push(b"b\0\xff", Some(b""));
    rows.push(b"c", None);
    let rows = rows.finish(&mark(at(7), Some((Some(at(2)), members.clone()))));
    let mut base = RunWriter::new(ReplicaId(1), RunKind::Base, at(8));
    base.push(b"a", Some(b"value"));
    let base = base.finish(&mark(at(8), Some((None, members))));
    let empty = RunWriter::new(ReplicaId(1), RunKind::Rows, at(9));
    let empty = empty.finish(&mark(at(9), None));
    vec![(at(7), rows), (at(8), base), (at(9), empty)]
}

#[test]
fn runs_of_format_1() {
    let mut reader = Reader::new();
    goldenscript::run(&mut reader, file("v1/runs")).expect("it is as it was");
    assert_eq!(
        reader.runs, 3,
        "members with an entry, without one, and none"
    );
}

#[test]
#[ignore = "writes the bytes of the present format; UPDATE_GOLDENFILES=1 then fills in the text"]
fn write_run_fixtures() {
    let mut text = String::from("# Runs of checkpoints and a base, with members in every form.\n");
    for (at, records) in runs() {
        for record in &records {
            writeln!(text, "record {}", hex(&payload(record))).unwrap();
        }
        writeln!(text, "run {} {}", at.term, at.index).unwrap();
    }
    std::fs::create_dir_all(file("v1/runs").parent().unwrap()).unwrap();
    std::fs::write(file("v1/runs"), text + "---\n").unwrap();
}

#[test]
fn places_of_all_formats() {
    for name in ["v1/places", "v2/places"] {
        goldenscript::run(&mut Reader::new(), file(name)).expect("it is as it was");
    }
}

#[test]
#[ignore = "writes the bytes of the present format; UPDATE_GOLDENFILES=1 then fills in the text"]
fn write_place_fixtures() {
    let logged = Logged {
        place: Place {
            segment: 0x0102_0304_0506_0708,
            offset: 0x1112_1314,
            length: 0x2122_2324,
        },
        checksum: 0x3132_3334,
        skip: 0x4142,
    };
    let mut text =
        String::from("# Where bodies lie and belong, and how many rows refer to them.\n");
    for (index, home) in [(7, None), (8, Some(0)), (9, Some((5 << 64) | 1))] {
        let kept = Kept {
            logged,
            references: 3,
            home,
        };
        let key = places::key(LogId { term: 3, index });
        writeln!(text, "place {} {}", hex(&key), hex(&places::value(&kept))).unwrap();
    }
    std::fs::create_dir_all(file("v2")).unwrap();
    std::fs::write(file("v2/places"), text + "---\n").unwrap();
}

#[test]
fn a_place_of_no_format_is_refused() {
    let key = places::key(LogId { term: 3, index: 7 });
    for length in (0..64).filter(|length| ![28, 44].contains(length)) {
        let refused = places::parse(&key, &vec![0; length]).expect_err("it is none");
        assert!(refused.to_string().contains("28 bytes, or 44"), "{refused}");
    }
}

#[test]
fn a_newer_format_is_refused() {
    let (at, records) = runs().remove(0);
    let mut newer = payload(&records[0]).to_vec();
    newer[2] = b'2';
    let mut reader = Reader::new();
    reader.append(newer.into());
    let refused = reader.run(at).expect_err("it is newer").to_string();
    let why = "a record has format \"RK2\"; this version knows \"RK1\"";
    assert!(refused.ends_with(why), "{refused}");
}
