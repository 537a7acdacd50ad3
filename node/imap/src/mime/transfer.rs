//! Content transfer encodings (RFC 2045 section 6), undone chunk by chunk. Nothing is an error:
//! what is not in the alphabet is passed over or passed on (RFC 2045 section 6.8 asks for that).

use super::structure::{Kind, Part};

/// Undoes the transfer encoding of a part that comes in chunks, for BINARY (RFC 3516).
#[derive(Debug)]
pub struct PartDecoder(Transfer);

impl PartDecoder {
    /// At the beginning of this part's body; `None` if we do not know how it is encoded.
    ///
    /// The encoding of a multipart or of a message/rfc822 is always the identity, whatever its
    /// header says: others are not allowed there (RFC 2045 section 6.4).
    pub fn new(part: &Part) -> Option<PartDecoder> {
        const KNOWN: [&[u8]; 5] = [b"7bit", b"8bit", b"binary", b"base64", b"quoted-printable"];
        if part.kind != Kind::Leaf {
            return Some(PartDecoder(Transfer::Identity));
        }
        let name = part.encoding.as_deref().unwrap_or(b"7bit");
        let is_known = KNOWN.iter().any(|known| known.eq_ignore_ascii_case(name));
        is_known.then(|| PartDecoder(Transfer::by_name(name)))
    }

    /// One that changes nothing.
    pub fn identity() -> PartDecoder {
        PartDecoder(Transfer::Identity)
    }

    /// Whether nothing is changed.
    pub fn is_identity(&self) -> bool {
        matches!(self.0, Transfer::Identity)
    }

    /// Decodes the next chunk; at most as many bytes as it has, and three more.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        self.0.push(chunk, out);
    }

    /// What was held back, the part having ended.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.0.finish(out);
    }
}

/// The state of a decoder between two chunks.
#[derive(Debug)]
pub(super) enum Transfer {
    /// 7bit, 8bit, binary, and what we do not know.
    Identity,
    /// `bits` holds the last `count` characters' values, 6 bits each.
    Base64 { bits: u32, count: u8 },
    /// What stands after an `=` and is not yet a whole escape.
    QuotedPrintable { pending: Pending },
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Pending {
    Nothing,
    Equals,
    /// A hexadecimal digit.
    Digit(u8),
    /// White space or CR: a soft line break, if only a line feed follows.
    SoftBreak,
}

impl Transfer {
    /// By the name in Content-Transfer-Encoding.
    pub(super) fn by_name(name: &[u8]) -> Transfer {
        match name.to_ascii_lowercase().as_slice() {
            b"base64" => Transfer::base64(),
            b"quoted-printable" => Transfer::quoted_printable(),
            _ => Transfer::Identity,
        }
    }

    pub(super) fn base64() -> Transfer {
        Transfer::Base64 { bits: 0, count: 0 }
    }

    pub(super) fn quoted_printable() -> Transfer {
        Transfer::QuotedPrintable {
            pending: Pending::Nothing,
        }
    }

    /// Decodes the next chunk; at most as many bytes as it has, and three more.
    pub(super) fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        match self {
            Transfer::Identity => out.extend_from_slice(chunk),
            Transfer::Base64 { bits, count } => {
                for &byte in chunk {
                    base64_char(bits, count, byte, out);
                }
            }
            Transfer::QuotedPrintable { pending } => {
                for &byte in chunk {
                    *pending = quoted_printable_byte(*pending, byte, out);
                }
            }
        }
    }

    /// What was held back, the content having ended.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        if let Transfer::QuotedPrintable { pending } = self {
            match std::mem::replace(pending, Pending::Nothing) {
                Pending::Equals => out.push(b'='),
                Pending::Digit(digit) => out.extend_from_slice(&[b'=', digit]),
                Pending::Nothing | Pending::SoftBreak => {}
            }
        }
    }
}

/// A byte goes out as soon as its eight bits are there, so a missing end loses nothing. Padding
/// starts anew: some programs encode line by line.
fn base64_char(bits: &mut u32, count: &mut u8, byte: u8, out: &mut Vec<u8>) {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        b'=' => {
            (*bits, *count) = (0, 0);
            return;
        }
        _ => return,
    };
    *bits = (*bits << 6 | u32::from(value)) & 0xff_ffff;
    *count = (*count + 1) % 4;
    let shift = match *count {
        2 => 4,
        3 => 2,
        0 => 0,
        _ => return,
    };
    let [.., low] = (*bits >> shift).to_be_bytes();
    out.push(low);
}

fn quoted_printable_byte(pending: Pending, byte: u8, out: &mut Vec<u8>) -> Pending {
    match (pending, byte) {
        (Pending::Nothing, b'=') => Pending::Equals,
        (Pending::Nothing, _) => {
            out.push(byte);
            Pending::Nothing
        }
        (Pending::Equals | Pending::SoftBreak, b'\n') => Pending::Nothing,
        (Pending::Equals | Pending::SoftBreak, b' ' | b'\t' | b'\r') => Pending::SoftBreak,
        (Pending::Equals, _) if byte.is_ascii_hexdigit() => Pending::Digit(byte),
        (Pending::Digit(digit), _) => match (hex(digit), hex(byte)) {
            (Some(high), Some(low)) => {
                out.push(high << 4 | low);
                Pending::Nothing
            }
            _ => {
                out.extend_from_slice(&[b'=', digit]);
                quoted_printable_byte(Pending::Nothing, byte, out)
            }
        },
        (Pending::Equals, _) => {
            out.push(b'=');
            quoted_printable_byte(Pending::Nothing, byte, out)
        }
        (Pending::SoftBreak, _) => quoted_printable_byte(Pending::Nothing, byte, out),
    }
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}
