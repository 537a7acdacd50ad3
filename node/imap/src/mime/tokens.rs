//! Words of a text, and how often others are among them: for FUZZY (RFC 6203), where the words of a
//! key match in any order, and whole words count for more than parts of words.

use super::casemap::fold;
use super::limits::TOKEN_BYTES_MAX;

/// The first `max` words of a text of which no two are the same as SEARCH compares.
pub fn words(text: &str, max: usize) -> Vec<String> {
    let (mut found, mut known) = (Vec::new(), Vec::new());
    let words = text.split(|char: char| !is_part_of_word(char));
    for word in words.filter(|word| !word.is_empty()) {
        if found.len() == max {
            break;
        }
        let folded = folded(word);
        if !known.contains(&folded) {
            known.push(folded);
            found.push(word.to_owned());
        }
    }
    found
}

/// What is not ASCII belongs to words: marks stand by their letters.
fn is_part_of_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || !char.is_ascii()
}

fn folded(word: &str) -> Vec<u8> {
    super::collate(word, TOKEN_BYTES_MAX)
}

/// How a word was met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// As a word.
    pub whole: u32,
    /// At the beginning of a longer one.
    pub prefix: u32,
    /// Within a longer one.
    pub inside: u32,
}

/// Counts some words in texts that come in pieces.
pub struct WordCounter {
    words: Vec<Vec<u8>>,
    hits: Vec<Hits>,
    /// The word that has not ended yet, at most [`TOKEN_BYTES_MAX`] of it.
    token: Vec<u8>,
}

impl WordCounter {
    /// Of these words.
    pub fn new(words: &[String]) -> WordCounter {
        WordCounter {
            words: words.iter().map(|word| folded(word)).collect(),
            hits: vec![Hits::default(); words.len()],
            token: Vec::new(),
        }
    }

    /// The next piece of a text; whether the next one goes on where it ends.
    pub fn push(&mut self, text: &str, goes_on: bool) {
        for char in text.chars() {
            if !is_part_of_word(char) {
                self.end_token();
            } else if self.token.len() < TOKEN_BYTES_MAX {
                fold(char, |byte| self.token.push(byte));
            }
        }
        if !goes_on {
            self.end_token();
        }
    }

    fn end_token(&mut self) {
        let WordCounter { words, hits, token } = self;
        if token.is_empty() {
            return;
        }
        for (word, hits) in words.iter().zip(hits) {
            let count = if token == word {
                &mut hits.whole
            } else if token.starts_with(word) {
                &mut hits.prefix
            } else if has(token, word) {
                &mut hits.inside
            } else {
                continue;
            };
            *count = count.saturating_add(1);
        }
        token.clear();
    }

    /// What was met since it was asked last, in the order of the words.
    pub fn take(&mut self) -> Vec<Hits> {
        self.end_token();
        let none = vec![Hits::default(); self.hits.len()];
        std::mem::replace(&mut self.hits, none)
    }
}

fn has(token: &[u8], word: &[u8]) -> bool {
    !word.is_empty() && token.windows(word.len()).any(|part| part == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(word: &str, texts: &[&str]) -> (u32, u32, u32) {
        let mut counter = WordCounter::new(&[word.to_owned()]);
        for text in texts {
            counter.push(text, true);
        }
        let hits = counter.take();
        let [hit] = &hits[..] else {
            panic!("one word was looked for");
        };
        (hit.whole, hit.prefix, hit.inside)
    }

    #[test]
    fn words_of_a_key() {
        let all = |text: &str| words(text, usize::MAX);
        assert_eq!(all("IMAP break"), ["IMAP", "break"]);
        assert_eq!(all(" a-b, A <c@d> "), ["a", "b", "c", "d"]);
        assert_eq!(all("gr\u{fc}n GR\u{dc}N"), ["gr\u{fc}n"]);
        assert_eq!(all("!?"), Vec::<String>::new());
    }

    /// Of very many words no more are looked at than are wanted.
    #[test]
    fn words_have_a_maximum() {
        assert_eq!(words("a A b a c d", 3), ["a", "b", "c"]);
        assert_eq!(words("a b", 0), Vec::<String>::new());
        let many: Vec<String> = (0..1 << 20).map(|number| number.to_string()).collect();
        let first: Vec<String> = many.iter().take(16).cloned().collect();
        assert_eq!(words(&many.join(" "), 16), first);
    }

    #[test]
    fn words_are_met_whole_or_in_parts() {
        assert_eq!(
            hits("break", &["Break! broken breaks, out", "break"]),
            (1, 1, 1)
        );
        assert_eq!(hits("break", &["br", "eak"]), (1, 0, 0));
        assert_eq!(hits("gru\u{308}n", &["GR\u{dc}N gr\u{fc}ner"]), (1, 1, 0));
        assert_eq!(hits("x", &[""]), (0, 0, 0));
        let long = "a".repeat(1 << 20);
        assert_eq!(hits("b", &[&long, "b"]), (0, 0, 0));
    }
}
