//! What is sent for a case, piece by piece.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::cluster::{DOMAIN, PASSWORD};

/// Bytes of a message of several chunks, which go ahead of their command.
const BIG_BYTES: usize = 3 << 20;

/// Of a message that is made of one line again and again.
const LINE: &str = "More words, and again more words, until it is a large message indeed.\r\n";

/// Part of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Send this.
    Bytes(Vec<u8>),
    /// Wait until the server says that it waits.
    Continuation,
    /// The leader may be killed here.
    Cut,
    /// Another client adds a message, and this one is told.
    News,
}

/// What stands for the names in a text.
#[derive(Clone, Debug)]
pub struct Words {
    /// The account, without its domain.
    pub user: String,
    /// UIDVALIDITY of INBOX.
    pub validity: u32,
}

/// A message with this number: some lines, in a thread with the first.
#[must_use]
pub fn message(number: u32) -> String {
    let references = match number {
        2 | 3 => "References: <1@chaos.example>\r\n",
        _ => "",
    };
    format!(
        "From: Ann <ann{number}@else.example>\r\nTo: you@chaos.example\r\n\
         Subject: message {number}\r\nDate: Mon, 01 Jan 2024 10:0{number}:00 +0000\r\n\
         Message-ID: <{number}@chaos.example>\r\n{references}\r\n\
         Some words of message {number}.\r\n"
    )
}

fn big() -> Vec<u8> {
    let mut bytes = message(9).into_bytes();
    bytes.extend(LINE.bytes().cycle().take(BIG_BYTES));
    bytes.extend(b"\r\n");
    bytes
}

/// A command without its tag, with the end of its line.
#[must_use]
pub fn pieces(text: &str, words: &Words) -> Vec<Piece> {
    let mut pieces = Pieces::default();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        match first {
            '^' => pieces.waits(),
            // In the middle of the answer: the command is whole by then.
            '|' if rest.is_empty() => {
                pieces.bytes(b"\r\n");
                pieces.push(Piece::Cut);
                return pieces.cut_somewhere();
            }
            '|' => pieces.push(Piece::Cut),
            '&' => pieces.push(Piece::News),
            '$' => {
                let length = rest.bytes().take_while(u8::is_ascii_uppercase).count();
                let (name, after) = rest.split_at(length);
                // A keyword or a saved search.
                let is_other = after.starts_with(|next: char| next.is_ascii_lowercase());
                if is_other || !pieces.name(name, words) {
                    pieces.bytes(b"$");
                } else {
                    rest = after;
                }
            }
            other => pieces.bytes(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    pieces.bytes(b"\r\n");
    pieces.cut_somewhere()
}

#[derive(Default)]
struct Pieces {
    done: Vec<Piece>,
    last: Vec<u8>,
}

impl Pieces {
    fn bytes(&mut self, bytes: &[u8]) {
        self.last.extend_from_slice(bytes);
    }

    fn push(&mut self, piece: Piece) {
        if !self.last.is_empty() {
            self.done.push(Piece::Bytes(std::mem::take(&mut self.last)));
        }
        self.done.push(piece);
    }

    fn waits(&mut self) {
        self.bytes(b"\r\n");
        self.push(Piece::Continuation);
    }

    fn literal(&mut self, bytes: &[u8]) {
        self.bytes(format!("{{{}}}", bytes.len()).as_bytes());
        self.waits();
        self.bytes(bytes);
    }

    /// Puts in what this name stands for, if it does.
    fn name(&mut self, name: &str, words: &Words) -> bool {
        let user = &words.user;
        match name {
            "USER" => self.bytes(format!("{user}@{DOMAIN}").as_bytes()),
            "PLAIN" => {
                let plain = format!("\0{user}@{DOMAIN}\0{PASSWORD}");
                self.bytes(STANDARD.encode(plain).as_bytes());
            }
            "VALIDITY" => self.bytes(words.validity.to_string().as_bytes()),
            "DATE" => self.bytes(b"\"01-Feb-2024 10:11:12 +0000\""),
            "SMALL" => self.literal(message(8).as_bytes()),
            "BIG" => self.literal(&big()),
            _ => return false,
        }
        true
    }

    /// With a place where the leader is killed: half way if the text names none.
    fn cut_somewhere(mut self) -> Vec<Piece> {
        let last = std::mem::take(&mut self.last);
        self.done.push(Piece::Bytes(last));
        if self.done.contains(&Piece::Cut) {
            return self.done;
        }
        let length = |piece: &Piece| match piece {
            Piece::Bytes(bytes) => bytes.len(),
            _ => 0,
        };
        let mut half = self.done.iter().map(length).sum::<usize>() / 2;
        let mut cut = Vec::new();
        let mut is_cut = false;
        for piece in self.done {
            match piece {
                Piece::Bytes(bytes) if !is_cut && half < bytes.len() => {
                    let (before, after) = bytes.split_at(half);
                    cut.push(Piece::Bytes(before.to_vec()));
                    cut.push(Piece::Cut);
                    cut.push(Piece::Bytes(after.to_vec()));
                    is_cut = true;
                }
                piece => {
                    half = half.saturating_sub(length(&piece));
                    cut.push(piece);
                }
            }
        }
        cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(text: &str) -> Vec<Piece> {
        let words = Words {
            user: "ann".to_owned(),
            validity: 17,
        };
        pieces(text, &words)
    }

    fn bytes(text: &str) -> Piece {
        Piece::Bytes(text.as_bytes().to_vec())
    }

    #[test]
    fn a_command_is_cut_in_its_middle() {
        let expected = [bytes("NO"), Piece::Cut, bytes("OP 17\r\n")].to_vec();
        assert_eq!(script("NOOP $VALIDITY")[1], Piece::Cut);
        assert_eq!(script("NO|OP $VALIDITY"), expected);
    }

    #[test]
    fn a_command_is_whole_before_its_answer_is_cut() {
        let expected = [bytes("FETCH 1:* UID\r\n"), Piece::Cut, bytes("")].to_vec();
        assert_eq!(script("FETCH 1:* UID|"), expected);
    }

    #[test]
    fn a_literal_is_waited_for_and_cut() {
        let script = script("APPEND INBOX $BIG");
        assert!(matches!(&script[0], Piece::Bytes(head) if head.ends_with(b"}\r\n")));
        assert_eq!(script[1], Piece::Continuation);
        let (Piece::Bytes(before), Piece::Bytes(after)) = (&script[2], &script[4]) else {
            panic!("the message is cut: {} pieces", script.len());
        };
        assert_eq!(script[3], Piece::Cut);
        assert!(before.len().abs_diff(after.len()) < 100);
    }

    #[test]
    fn what_is_no_name_stays() {
        assert_eq!(script("FETCH $ |(UID)")[0], bytes("FETCH $ "));
        assert_eq!(script("STORE $Label|FLAGS")[0], bytes("STORE $Label"));
        let idle = [
            bytes("IDLE\r\n"),
            Piece::Continuation,
            Piece::Cut,
            Piece::News,
        ];
        assert_eq!(script("IDLE^|&DONE")[..4], idle);
    }
}
