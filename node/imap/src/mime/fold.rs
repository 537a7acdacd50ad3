//! Substring search without regard to case, in text that comes in pieces.
//!
//! Both sides are folded as `casemap` does it, character by character; the automaton of Knuth,
//! Morris and Pratt (SIAM J. Comput. 6, 1977) then reads every byte once and needs no window.

use super::casemap::fold;

/// What is searched for.
#[derive(Clone, Debug)]
pub struct Needle {
    folded: Vec<u8>,
    /// For each length of a match that failed, how much of it is still one.
    fallbacks: Vec<usize>,
}

impl Needle {
    /// A needle; the empty one is found everywhere.
    pub fn new(text: &str) -> Needle {
        let mut folded = Vec::with_capacity(text.len());
        for char in text.chars() {
            fold(char, |byte| folded.push(byte));
        }
        let mut needle = Needle {
            folded,
            fallbacks: vec![0],
        };
        let mut matched = 0;
        for at in 1..needle.folded.len() {
            let byte = needle.folded.get(at).copied().unwrap_or_default();
            matched = needle.step(matched, byte);
            needle.fallbacks.push(matched);
        }
        needle
    }

    /// Whether it is the empty one.
    pub fn is_empty(&self) -> bool {
        self.folded.is_empty()
    }

    /// What is compared, byte by byte.
    pub(super) fn folded(&self) -> &[u8] {
        &self.folded
    }

    /// Whether it is in the text.
    pub fn is_in(&self, text: &str) -> bool {
        Matcher::default().push(self, text)
    }

    /// How much is matched after one more byte.
    fn step(&self, mut matched: usize, byte: u8) -> usize {
        loop {
            if self.folded.get(matched) == Some(&byte) {
                return matched + 1;
            }
            match matched.checked_sub(1) {
                None => return 0,
                Some(last) => matched = self.fallbacks.get(last).copied().unwrap_or(0),
            }
        }
    }
}

/// How far a needle is matched between two pieces of one text.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Matcher {
    matched: usize,
}

impl Matcher {
    /// Whether the text so far has the needle, which must always be the same. Not to be asked
    /// again once it has.
    pub(super) fn push(&mut self, needle: &Needle, text: &str) -> bool {
        if needle.is_empty() {
            return true;
        }
        for char in text.chars() {
            let mut is_found = false;
            fold(char, |byte| {
                self.matched = needle.step(self.matched, byte);
                is_found |= self.matched == needle.folded.len();
            });
            if is_found {
                return true;
            }
        }
        false
    }
}
