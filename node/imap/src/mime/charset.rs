//! The text of a part: its transfer encoding undone and its charset read.

use encoding_rs::{Decoder, Encoding, UTF_8};

use super::limits::DECODE_BYTES;
use super::structure::Part;
use super::transfer::Transfer;

/// The encoding of this name. One that we do not know is read as UTF-8, and so is US-ASCII: what
/// is 8-bit there is most often that.
pub(super) fn encoding(charset: &[u8]) -> &'static Encoding {
    if charset.eq_ignore_ascii_case(b"us-ascii") || charset.eq_ignore_ascii_case(b"ascii") {
        return UTF_8;
    }
    Encoding::for_label_no_replacement(charset).unwrap_or(UTF_8)
}

/// Decodes the content of a part that comes in chunks. Malformed bytes become U+FFFD.
pub struct TextDecoder {
    transfer: Transfer,
    charset: Decoder,
    bytes: Vec<u8>,
}

impl TextDecoder {
    /// At the beginning of this part's body.
    pub fn new(part: &Part) -> TextDecoder {
        TextDecoder {
            transfer: Transfer::by_name(part.encoding.as_deref().unwrap_or_default()),
            charset: encoding(part.param("charset").unwrap_or_default()).new_decoder(),
            bytes: Vec::new(),
        }
    }

    /// The next bytes of the body. Their text is handed over piece by piece, each of a few KiB at
    /// most, until `read` returns false.
    pub fn push(&mut self, body: &[u8], mut read: impl FnMut(&str) -> bool) {
        let mut text = String::new();
        for chunk in body.chunks(DECODE_BYTES) {
            self.transfer.push(chunk, &mut self.bytes);
            self.decode(&mut text, false);
            if !read(&text) {
                return;
            }
        }
    }

    /// The body has ended: the text of what was held back.
    pub fn finish(mut self, mut read: impl FnMut(&str) -> bool) {
        self.transfer.finish(&mut self.bytes);
        let mut text = String::new();
        self.decode(&mut text, true);
        read(&text);
    }

    fn decode(&mut self, text: &mut String, is_last: bool) {
        text.clear();
        let len_max = self.charset.max_utf8_buffer_length(self.bytes.len());
        text.reserve(len_max.expect("a chunk is bounded"));
        // All is read: there is room for the longest text that it can be.
        let _ = self.charset.decode_to_string(&self.bytes, text, is_last);
        self.bytes.clear();
    }
}
