//! Snapshots as they were released: `tests/fixtures/v1` is read for ever.
//!
//! ```text
//!   from NUMBER KEY ROWS DIGEST KEPT   a reader that has taken so many chunks, up to this key
//!   chunk HEX                          the rows in it
//!   finish                             the digest of all
//! ```
//!
//! The bytes are input, which nothing but `cargo test -p rows -- --ignored write_fixtures` writes
//! anew; a changed text under the same bytes means that old snapshots would be read otherwise.

use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;

use bytes::Bytes;
use goldenscript::ArgumentConsumer;
use rows::snapshot::{Cursor, Reader, SnapshotError, read, write};
use rows::{Digest, Memory, Staged};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

struct Taker {
    reader: Reader,
    chunks: usize,
}

impl goldenscript::Runner for Taker {
    type Command = goldenscript::Command;

    fn run(
        &mut self,
        command: &goldenscript::Command,
        _context: &goldenscript::Context,
    ) -> Result<String> {
        let mut args = command.consume_args();
        let mut output = String::new();
        match command.name.as_str() {
            "from" => {
                let chunk = u32::from_be_bytes(bytes(&mut args)?.as_ref().try_into()?);
                let after = bytes(&mut args)?;
                let rows = u64::from_be_bytes(bytes(&mut args)?.as_ref().try_into()?);
                self.reader = Reader::at(Cursor {
                    chunk,
                    after,
                    rows,
                    digest: digest(&mut args)?,
                    kept: digest(&mut args)?,
                });
            }
            "chunk" => {
                for (key, value) in self.reader.push(&bytes(&mut args)?)? {
                    let (key, value) = (key.escape_ascii(), value.escape_ascii());
                    writeln!(output, "{key} = {value}")?;
                }
                self.chunks += 1;
                write!(output, "last: {}", self.reader.is_done())?;
            }
            "finish" => {
                let reader = std::mem::replace(&mut self.reader, read());
                write!(output, "{}", hex(&reader.finish()?.to_bytes()))?;
            }
            other => return Err(format!("no command {other}").into()),
        }
        args.reject_next()?;
        Ok(output)
    }
}

fn digest(args: &mut ArgumentConsumer<'_>) -> Result<Digest> {
    Ok(Digest::from_bytes(bytes(args)?.as_ref().try_into()?))
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

fn file() -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/v1/snapshot"
    ))
}

#[test]
fn snapshots_of_format_1() {
    let mut taker = Taker {
        reader: read(),
        chunks: 0,
    };
    goldenscript::run(&mut taker, file()).expect("it is as it was");
    assert_eq!(taker.chunks, 2, "a whole one, and the end of another");
}

/// A few rows, one of them empty.
fn memory() -> Memory {
    let mut memory = Memory::new();
    let mut staged = Staged::new(&memory);
    staged.put(b"a".to_vec(), Vec::new());
    staged.put(b"b".to_vec(), b"value".to_vec());
    staged.put(b"b\0\xfe".to_vec(), vec![0, 255]);
    let writes = staged.into_writes().expect("memory");
    memory.commit(writes);
    memory
}

#[test]
#[ignore = "writes the bytes of the present format; UPDATE_GOLDENFILES=1 then fills in the text"]
fn write_fixtures() {
    let memory = memory();
    let chunk = |cursor| {
        let mut chunks = write(&memory, cursor);
        hex(&chunks.next().expect("one").expect("memory"))
    };
    let whole = chunk(Cursor::default());
    // As if a chunk had ended behind the first of these rows.
    let rows: Vec<_> = memory.iter().collect();
    let mut before = Digest::default();
    let (key, value) = rows
        .iter()
        .find(|(key, _)| *key == "a")
        .expect("it is there");
    before.add(key, value);
    let kept = Digest::kept(&memory).expect("memory");
    let place = rows.iter().position(|(key, _)| *key == "a").expect("there");
    let cursor = Cursor {
        chunk: 1,
        after: (*key).clone(),
        rows: place as u64 + 1,
        digest: before,
        kept,
    };
    let rest = chunk(cursor.clone());
    let text = format!(
        "# A snapshot in one chunk, and the end of one, taken up where another reader stood.\n\
         chunk {whole}\nfinish\nfrom {} {} {} {} {}\nchunk {rest}\nfinish\n---\n",
        hex(&cursor.chunk.to_be_bytes()),
        hex(&cursor.after),
        hex(&cursor.rows.to_be_bytes()),
        hex(&cursor.digest.to_bytes()),
        hex(&cursor.kept.to_bytes()),
    );
    let folder = file();
    std::fs::create_dir_all(folder.parent().expect("a folder")).expect("a folder");
    std::fs::write(folder, text).expect("a file");
}

#[test]
fn a_newer_format_is_refused() {
    let memory = memory();
    let chunk = write(&memory, Cursor::default()).next();
    let mut newer = chunk.expect("one").expect("memory").to_vec();
    newer[2] = b'2';
    let body = newer.len() - 16;
    let mut hash = [0; 16];
    blake3::Hasher::new()
        .update(&newer[..body])
        .finalize_xof()
        .fill(&mut hash);
    newer[body..].copy_from_slice(&hash);
    let refused = read().push(&newer.into()).expect_err("it is newer");
    assert!(matches!(refused, SnapshotError::OtherFormat { .. }));
    assert_eq!(
        refused.to_string(),
        "the snapshot has format \"RR2\"; this version knows \"RR1\""
    );
}
