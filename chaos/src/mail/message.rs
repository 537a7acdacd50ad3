//! Messages that tell who they are.
//!
//! The first header field of every message is its serial number, which nothing else carries. What
//! follows is drawn from the seed and the serial: 8-bit text in lines, some of which begin with a
//! dot. So a message can be made again from two numbers, what the server put before it is told
//! apart from it, and no two messages are alike.

use std::fmt;

use rand::{Rng, RngCore};
use serde::{Deserialize, Serialize};

use crate::seed;

/// The name of the first header field, with its colon and space.
pub const SERIAL_FIELD: &str = "X-Chaos-Serial: ";

/// The longest prefix of trace headers that a server may put before a message, bytes.
pub const PREFIX_BYTES_MAX: usize = 1024;

/// Longest line of a body without its CRLF; RFC 5322 section 2.1.1 allows 998.
const LINE_BYTES_MAX: usize = 200;

/// The number that tells one message of a run from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Serial(pub u64);

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What a message is, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Bytes.
    pub length: u64,
    /// The first half of the BLAKE3 hash, in hexadecimal.
    pub hash: String,
}

impl Content {
    /// Of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let hash = blake3::hash(bytes).to_hex();
        Self {
            length: bytes.len() as u64,
            hash: hash[..32].to_owned(),
        }
    }
}

/// A message as it was read from a server, taken apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// Its serial number; none if it has none.
    pub serial: Option<Serial>,
    /// From the serial number's field to the end, or all of it.
    pub content: Content,
    /// Bytes of trace headers before it.
    pub prefix_bytes: usize,
    /// What is wrong with the prefix, if anything is.
    pub prefix_fault: Option<String>,
}

impl Received {
    /// Takes a message apart.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let reach = bytes.len().min(PREFIX_BYTES_MAX + SERIAL_FIELD.len());
        let found = bytes[..reach]
            .windows(SERIAL_FIELD.len())
            .position(|window| window == SERIAL_FIELD.as_bytes());
        let start = found.unwrap_or(0);
        let (prefix, message) = bytes.split_at(start);
        Self {
            serial: found.and_then(|_| serial_of(message)),
            content: Content::of(message),
            prefix_bytes: start,
            prefix_fault: fault_of_prefix(prefix),
        }
    }
}

/// The serial number in a header field, or in the first line of a message.
#[must_use]
pub fn serial_of(header: &[u8]) -> Option<Serial> {
    let digits = header.strip_prefix(SERIAL_FIELD.as_bytes())?.get(..16)?;
    let digits = std::str::from_utf8(digits).ok()?;
    u64::from_str_radix(digits, 16).ok().map(Serial)
}

/// Sizes of the messages of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Of a thousand messages so many are large, which the server takes in chunks.
    pub large_per_mille: u32,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            large_per_mille: 10,
        }
    }
}

impl Sizes {
    fn draw(self, rng: &mut impl Rng) -> usize {
        if rng.random_range(0..1000) < self.large_per_mille {
            return rng.random_range(1_500 << 10..3 << 20);
        }
        // As many of each magnitude, as mail is.
        let magnitude = rng.random_range(0..9);
        rng.random_range(200_usize << magnitude..400 << magnitude)
    }
}

/// The message with this serial number, 200 bytes to 3 MiB.
#[must_use]
pub fn message(seed: u64, serial: Serial, sizes: Sizes) -> Vec<u8> {
    let mut rng = seed::generator(seed, "message", serial.0);
    let size = sizes.draw(&mut rng);
    fill(serial, size, &mut rng)
}

/// The message with this serial number and about this size.
#[must_use]
pub fn message_of_size(seed: u64, serial: Serial, size: usize) -> Vec<u8> {
    let mut rng = seed::generator(seed, "message of size", serial.0);
    fill(serial, size, &mut rng)
}

fn fill(serial: Serial, size: usize, rng: &mut impl RngCore) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size + LINE_BYTES_MAX + 2);
    let header = format!(
        "{SERIAL_FIELD}{serial}\r\n\
         From: Chaos <chaos@example.net>\r\n\
         To: undisclosed-recipients:;\r\n\
         Subject: message {serial}\r\n\
         Message-ID: <{serial}@chaos.example.net>\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=iso-8859-1\r\n\
         Content-Transfer-Encoding: 8bit\r\n\r\n"
    );
    bytes.extend_from_slice(header.as_bytes());
    let mut line = [0; LINE_BYTES_MAX];
    while bytes.len() < size {
        let length = rng.random_range(1..=LINE_BYTES_MAX);
        rng.fill_bytes(&mut line[..length]);
        for byte in &mut line[..length] {
            *byte = printable(*byte);
        }
        if rng.random_range(0..8) == 0 {
            line[0] = b'.';
        }
        bytes.extend_from_slice(&line[..length]);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Any byte as one that may stand in 8-bit text: no control characters.
fn printable(byte: u8) -> u8 {
    match byte {
        0x00..=0x1f => byte + 0x20,
        0x7f => b'~',
        0x80..=0x9f => byte + 0x20,
        _ => byte,
    }
}

/// Every field of a prefix must be one that the server adds.
fn fault_of_prefix(prefix: &[u8]) -> Option<String> {
    const FIELDS: [&str; 3] = ["Return-Path:", "Delivered-To:", "Received:"];
    if prefix.is_empty() {
        return None;
    }
    let text = String::from_utf8_lossy(prefix);
    let Some(text) = text.strip_suffix("\r\n") else {
        return Some("the prefix does not end with a line".into());
    };
    text.split("\r\n")
        .find(|line| {
            let folded = line.starts_with(['\t', ' ']);
            !folded && !FIELDS.iter().any(|field| line.starts_with(field))
        })
        .map(|line| format!("a strange line in the prefix: {line:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_known_again_behind_its_prefix() {
        let serial = Serial(0x1234);
        let sent = message(7, serial, Sizes::default());
        assert_eq!(sent, message(7, serial, Sizes::default()));
        assert_ne!(sent, message(8, serial, Sizes::default()));
        assert!(sent.ends_with(b"\r\n"));

        let mut received = b"Return-Path: <a@b>\r\nReceived: from x\r\n\tby y\r\n".to_vec();
        received.extend_from_slice(&sent);
        let received = Received::of(&received);
        assert_eq!(received.serial, Some(serial));
        assert_eq!(received.content, Content::of(&sent));
        assert_eq!(received.prefix_fault, None);
        assert_eq!(Received::of(&sent).prefix_bytes, 0);
    }

    #[test]
    fn what_nobody_sent_has_no_serial() {
        let received = Received::of(b"Subject: spam\r\n\r\nbuy\r\n");
        assert_eq!((received.serial, received.prefix_bytes), (None, 0));
        let odd = [
            b"Bcc: x\r\n".as_slice(),
            &message(1, Serial(1), Sizes::default()),
        ]
        .concat();
        assert!(Received::of(&odd).prefix_fault.is_some());
    }

    #[test]
    fn text_is_clean_and_lines_are_short() {
        let sizes = Sizes { large_per_mille: 0 };
        for number in 0..200 {
            let bytes = message(3, Serial(number), sizes);
            assert!((200..120 << 10).contains(&bytes.len()));
            for line in bytes.split(|byte| *byte == b'\n') {
                assert!(line.len() <= 998);
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                assert!(line.iter().all(|byte| *byte >= 0x20 && *byte != 0x7f));
            }
        }
        let large = Sizes {
            large_per_mille: 1000,
        };
        assert!(message(3, Serial(1), large).len() > 1 << 20);
    }
}
