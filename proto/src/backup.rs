//! The files of a backup: frames behind each other, each with its length and checksum.
//!
//! ```text
//!   file  = "rookery backup 1\n" | frame..
//!   frame = length u32 | CRC-32C of the message u32 | BackupFrame
//! ```
//!
//! Numbers are big endian. The last frame says that it is the last, so a file that was cut is told
//! from a whole one.

use std::io::{self, Read, Write};

use prost::Message as _;

use crate::v1::BackupFrame;
use crate::v1::backup_frame::Frame;

const NAME: &str = "rookery backup ";
const FORMAT: &str = "rookery backup 1\n";

/// Bytes of the largest frame: a body of 1 MiB and a chunk of rows are far below.
pub const FRAME_BYTES_MAX: usize = 4 << 20;

/// Begins a file.
///
/// # Errors
///
/// Those of `out`.
pub fn begin(out: &mut impl Write) -> io::Result<()> {
    out.write_all(FORMAT.as_bytes())
}

/// Writes a frame.
///
/// # Errors
///
/// Those of `out`, and `InvalidInput` for a frame that no reader would take.
pub fn write(out: &mut impl Write, frame: &BackupFrame) -> io::Result<()> {
    let bytes = frame.encode_to_vec();
    let too_large = || io::Error::new(io::ErrorKind::InvalidInput, "the frame is too large");
    let length = u32::try_from(bytes.len()).ok();
    let length = length.filter(|_| bytes.len() <= FRAME_BYTES_MAX);
    out.write_all(&length.ok_or_else(too_large)?.to_be_bytes())?;
    out.write_all(&crc32c::crc32c(&bytes).to_be_bytes())?;
    out.write_all(&bytes)
}

/// The frames of a file, up to and with its end. An error ends them.
#[derive(Debug)]
pub struct Frames<R> {
    input: R,
    done: bool,
}

impl<R: Read> Frames<R> {
    /// Begins to read a file.
    ///
    /// # Errors
    ///
    /// Those of `input`, and `InvalidData` for a file that is no backup, or of another format.
    pub fn open(mut input: R) -> io::Result<Self> {
        let mut found = [0; FORMAT.len()];
        input
            .read_exact(&mut found)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => damaged("it is no backup"),
                _ => error,
            })?;
        if found == FORMAT.as_bytes() {
            return Ok(Self { input, done: false });
        }
        Err(damaged(if found.starts_with(NAME.as_bytes()) {
            "another version wrote it, in a format that this one does not know"
        } else {
            "it is no backup"
        }))
    }

    fn read(&mut self) -> io::Result<BackupFrame> {
        let mut head = [0; 8];
        let cut = |error: io::Error| match error.kind() {
            io::ErrorKind::UnexpectedEof => damaged("it was cut"),
            _ => error,
        };
        self.input.read_exact(&mut head).map_err(cut)?;
        let [a, b, c, d, sum @ ..] = head;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length > FRAME_BYTES_MAX {
            return Err(damaged("a frame is too large"));
        }
        let mut bytes = vec![0; length];
        self.input.read_exact(&mut bytes).map_err(cut)?;
        if crc32c::crc32c(&bytes) != u32::from_be_bytes(sum) {
            return Err(damaged("a frame does not have its checksum"));
        }
        BackupFrame::decode(bytes::Bytes::from(bytes)).map_err(|error| damaged(&error.to_string()))
    }
}

impl<R: Read> Iterator for Frames<R> {
    type Item = io::Result<BackupFrame>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let frame = self.read();
        self.done = match &frame {
            Ok(frame) => matches!(frame.frame, Some(Frame::End(_))),
            Err(_) => true,
        };
        Some(frame)
    }
}

fn damaged(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
