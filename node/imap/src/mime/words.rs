//! Encoded words in header fields (RFC 2047), for SEARCH.

use super::charset;
use super::transfer::Transfer;

/// A value as text, its encoded words decoded. What is none, or cannot be decoded, stays as it is;
/// bytes that are no UTF-8 become U+FFFD.
///
/// White space between two encoded words is dropped (section 6.2), and a character that was cut in
/// two by them is put together, although section 5 forbids it.
pub fn decode_words(value: &[u8]) -> String {
    let mut decoder = Decoder::default();
    let mut rest = value;
    while !rest.is_empty() {
        let plain = find_start(rest);
        let (before, from_start) = rest.split_at(plain);
        decoder.plain(before);
        rest = match encoded_word(from_start) {
            Some((word, after)) => {
                decoder.encoded(&word);
                after
            }
            None => {
                let (start, after) = from_start.split_at(from_start.len().min(2));
                decoder.plain(start);
                after
            }
        };
    }
    decoder.finish()
}

/// Where the next `=?` is, or the end.
fn find_start(text: &[u8]) -> usize {
    text.windows(2)
        .position(|pair| pair == b"=?")
        .unwrap_or(text.len())
}

struct Word<'a> {
    charset: &'a [u8],
    is_base64: bool,
    text: &'a [u8],
}

/// `=?charset?encoding?text?=` at the beginning, and what follows. None of its fields may have a
/// `?`, so looking for it reads no byte more than a few times, however many false starts there are.
fn encoded_word(text: &[u8]) -> Option<(Word<'_>, &[u8])> {
    let text = text.strip_prefix(b"=?")?;
    let (charset, text) = until_question_mark(text)?;
    let (encoding, text) = until_question_mark(text)?;
    let (encoded, text) = until_question_mark(text)?;
    let after = text.strip_prefix(b"=")?;
    let is_base64 = match encoding {
        b"B" | b"b" => true,
        b"Q" | b"q" => false,
        _ => return None,
    };
    // A language may follow the charset (RFC 2231 section 5).
    let charset = charset.split(|&byte| byte == b'*').next()?;
    Some((
        Word {
            charset,
            is_base64,
            text: encoded,
        },
        after,
    ))
}

fn until_question_mark(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|&byte| byte == b'?')?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

#[derive(Default)]
struct Decoder<'a> {
    out: String,
    /// White space after an encoded word, which counts only if no encoded word follows.
    gap: Vec<u8>,
    /// Decoded bytes of the last encoded words, if they were in one charset.
    bytes: Vec<u8>,
    charset: Option<&'a [u8]>,
}

impl<'a> Decoder<'a> {
    fn plain(&mut self, text: &[u8]) {
        if self.charset.is_some() && text.iter().all(u8::is_ascii_whitespace) {
            self.gap.extend_from_slice(text);
        } else {
            self.flush();
            let gap = std::mem::take(&mut self.gap);
            self.out += &String::from_utf8_lossy(&gap);
            self.out += &String::from_utf8_lossy(text);
        }
    }

    fn encoded(&mut self, word: &Word<'a>) {
        self.gap.clear();
        if !self
            .charset
            .is_some_and(|charset| charset.eq_ignore_ascii_case(word.charset))
        {
            self.flush();
        }
        self.charset = Some(word.charset);
        if word.is_base64 {
            let mut transfer = Transfer::base64();
            transfer.push(word.text, &mut self.bytes);
        } else {
            let text: Vec<_> = word
                .text
                .iter()
                .map(|&byte| if byte == b'_' { b' ' } else { byte })
                .collect();
            let mut transfer = Transfer::quoted_printable();
            transfer.push(&text, &mut self.bytes);
            transfer.finish(&mut self.bytes);
        }
    }

    fn flush(&mut self) {
        if let Some(charset) = self.charset.take() {
            self.out += &charset::encoding(charset)
                .decode_without_bom_handling(&self.bytes)
                .0;
        }
        self.bytes.clear();
    }

    fn finish(mut self) -> String {
        self.flush();
        self.out += &String::from_utf8_lossy(&self.gap);
        self.out
    }
}
