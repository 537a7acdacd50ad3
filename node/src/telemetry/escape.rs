//! One event, one line, and no control character in it.

use std::io::{self, Write};

/// Escapes every control character of an event but the line break that ends it. An event comes in
/// one `write`, as the formatter of `tracing-subscriber` makes it.
pub struct Lines<W> {
    inner: W,
}

impl<W: Write> Lines<W> {
    /// Writes lines to `inner`.
    pub fn new(inner: W) -> Self {
        Self { inner }
    }
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let (line, end) = match text.strip_suffix('\n') {
            Some(line) => (line, "\n"),
            None => (text.as_ref(), ""),
        };
        let mut escaped = String::with_capacity(text.len());
        for character in line.chars() {
            if is_unsafe(character) {
                escaped.extend(character.escape_default());
            } else {
                escaped.push(character);
            }
        }
        escaped.push_str(end);
        self.inner.write_all(escaped.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Control characters, and those that turn the direction of text or break lines.
fn is_unsafe(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
