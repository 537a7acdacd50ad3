//! Literals as lines announce them: `{310}`, and `{310+}` (RFC 7888).

use super::lexer::number_of;

/// A literal as announced at the end of a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Announced {
    /// Where its `{` stands.
    pub brace: usize,
    /// `None` beyond 63 bits.
    pub size: Option<u64>,
    /// Whether the client waits for `+`.
    pub sync: bool,
}

/// Bytes of the longest `{n+}` and CR that is kept to be recognised, digits beyond 64 bits
/// included.
pub(super) const ANNOUNCED_BYTES_MAX: usize = 64;

/// The literal that a line, without its line feed, announces at its end. `offset` is where the line
/// begins.
pub(super) fn announced(line: &[u8], offset: usize) -> Option<Announced> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let line = line.strip_suffix(b"}")?;
    let (line, sync) = match line.strip_suffix(b"+") {
        Some(line) => (line, false),
        None => (line, true),
    };
    let digits = line
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let (line, digits) = line.split_at(line.len() - digits);
    let line = line.strip_suffix(b"{")?;
    if digits.is_empty() {
        return None;
    }
    Some(Announced {
        brace: offset + line.len(),
        size: number_of(digits),
        sync,
    })
}
