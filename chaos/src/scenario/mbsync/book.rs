//! What was done on both sides, and so what must be there in the end.

use std::collections::BTreeMap;
use std::fmt;

use crate::history::Flags;
use crate::mail::message::{SERIAL_FIELD, Serial, serial_of};

/// Whether something was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Known {
    /// It was not.
    #[default]
    No,
    /// It may have been.
    Maybe,
    /// It was.
    Yes,
}

/// One message of the run. On each is done at most one thing of each kind, on one side.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    mailbox: usize,
    text: String,
    made: Known,
    gone: Known,
    flag: Option<(Flags, Known)>,
}

/// A message as it was found on one side.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// The index of its mailbox.
    pub mailbox: usize,
    /// Which one it is; none if it does not say so.
    pub serial: Option<Serial>,
    /// Its flags.
    pub flags: Flags,
    /// What mbsync did not add, with the line ends of this machine.
    pub text: String,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mailbox, bytes) = (self.mailbox, self.text.len());
        match self.serial {
            Some(serial) => write!(f, "message {serial}")?,
            None => write!(f, "a message without a number")?,
        }
        write!(f, " in mailbox {mailbox}, {}, {bytes} bytes", self.flags)
    }
}

impl Found {
    /// From the text of a message as either side has it.
    #[must_use]
    pub fn new(mailbox: usize, flags: Flags, text: &str) -> Self {
        let lines = text.split_inclusive('\n');
        let text: String = lines
            .filter(|line| !line.starts_with("X-TUID: "))
            .flat_map(|line| [line.trim_end_matches(['\r', '\n']), "\n"])
            .collect();
        Self {
            mailbox,
            serial: text.lines().find_map(|line| serial_of(line.as_bytes())),
            flags,
            text,
        }
    }
}

/// All that was done.
#[derive(Debug, Default)]
pub struct Book {
    entries: BTreeMap<Serial, Entry>,
}

/// The text of a message: its number first, and lines of words.
#[must_use]
pub fn text(serial: Serial, lines: usize) -> String {
    let mut text = format!(
        "{SERIAL_FIELD}{serial}\nFrom: Ann <ann@else.example>\nSubject: number {serial}\n\
         Date: Mon, 01 Jan 2024 10:00:00 +0000\nMessage-ID: <{serial}@chaos.example>\n\n"
    );
    for line in 0..lines {
        text += &format!("Line {line} of message {serial}, and some words to fill it.\n");
    }
    text
}

impl Book {
    /// Somebody is about to add a message.
    pub fn adds(&mut self, serial: Serial, mailbox: usize, text: &str) {
        let entry = Entry {
            mailbox,
            text: text.to_owned(),
            made: Known::Maybe,
            gone: Known::No,
            flag: None,
        };
        self.entries.insert(serial, entry);
    }

    /// Whether a message was added.
    pub fn added(&mut self, serial: Serial, made: Known) {
        if let Some(entry) = self.entries.get_mut(&serial) {
            entry.made = made;
        }
    }

    /// Whether nobody has deleted it yet; then somebody is about to.
    pub fn deletes(&mut self, serial: Serial) -> bool {
        let entry = self.entries.get_mut(&serial);
        let entry = entry.filter(|entry| entry.gone == Known::No);
        entry.map(|entry| entry.gone = Known::Maybe).is_some()
    }

    /// Whether a message was deleted.
    pub fn deleted(&mut self, serial: Serial, gone: Known) {
        if let Some(entry) = self.entries.get_mut(&serial) {
            entry.gone = gone;
        }
    }

    /// Whether nobody has marked it yet; then somebody is about to.
    pub fn marks(&mut self, serial: Serial, flag: Flags) -> bool {
        let entry = self.entries.get_mut(&serial);
        let entry = entry.filter(|entry| entry.flag.is_none() && entry.gone == Known::No);
        entry
            .map(|entry| entry.flag = Some((flag, Known::Maybe)))
            .is_some()
    }

    /// Whether a message was marked.
    pub fn marked(&mut self, serial: Serial, known: Known) {
        if let Some(entry) = self.entries.get_mut(&serial) {
            entry.flag = entry.flag.map(|(flag, _)| (flag, known));
            entry.flag = entry.flag.filter(|_| known != Known::No);
        }
    }

    /// How many messages were added, deleted and marked for sure.
    #[must_use]
    pub fn counts(&self) -> (usize, usize, usize) {
        let count = |of: fn(&Entry) -> bool| self.entries.values().filter(|it| of(it)).count();
        (
            count(|entry| entry.made == Known::Yes),
            count(|entry| entry.gone == Known::Yes),
            count(|entry| matches!(entry.flag, Some((_, Known::Yes)))),
        )
    }

    /// What is wrong with one side.
    #[must_use]
    pub fn judge(&self, side: &str, found: &[Found]) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut there: BTreeMap<Serial, &Found> = BTreeMap::new();
        for message in found {
            match message.serial.filter(|it| self.entries.contains_key(it)) {
                None => wrong.push(format!("{side}: {message}: nobody has written it")),
                Some(serial) => {
                    if there.insert(serial, message).is_some() {
                        wrong.push(format!("{side}: {message} is doubled"));
                    }
                }
            }
        }
        for (serial, entry) in &self.entries {
            let fault = match there.get(serial) {
                None if entry.made == Known::Yes && entry.gone == Known::No => "is lost",
                Some(_) if entry.made == Known::No => "was refused, and is there",
                Some(_) if entry.gone == Known::Yes => "was deleted, and is there",
                Some(found) if found.mailbox != entry.mailbox => "is in another mailbox",
                Some(found) if found.text != entry.text => "is another text",
                Some(found) if entry.lacks_its_flag(found.flags) => "is not marked",
                _ => continue,
            };
            wrong.push(format!(
                "{side}: message {serial} {fault}: {:?}",
                entry.flag
            ));
        }
        wrong
    }
}

impl Entry {
    fn lacks_its_flag(&self, flags: Flags) -> bool {
        self.flag
            .is_some_and(|(flag, known)| known == Known::Yes && !flags.has(flag))
    }
}

/// What is on one side and not on the other.
#[must_use]
pub fn differences(near: &[Found], far: &[Found]) -> Vec<String> {
    let sorted = |side: &[Found]| {
        let mut side = side.to_vec();
        side.sort();
        side
    };
    let (near, far) = (sorted(near), sorted(far));
    let only = |side: &str, one: &[Found], other: &[Found]| -> Vec<String> {
        let missing = one.iter().filter(|it| other.binary_search(it).is_err());
        missing.map(|it| format!("only {side}: {it}")).collect()
    };
    let mut differences = only("near", &near, &far);
    differences.extend(only("far", &far, &near));
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book() -> Book {
        let mut book = Book::default();
        for number in 1..=3 {
            let serial = Serial(number);
            book.adds(serial, 0, &text(serial, 2));
            book.added(serial, Known::Yes);
        }
        assert!(book.marks(Serial(1), Flags::SEEN) && !book.marks(Serial(1), Flags::SEEN));
        book.marked(Serial(1), Known::Yes);
        assert!(book.deletes(Serial(2)));
        book.deleted(Serial(2), Known::Yes);
        book
    }

    fn found(number: u64, flags: Flags) -> Found {
        let text = text(Serial(number), 2).replace("\n\n", "\nX-TUID: abc\n\n");
        Found::new(0, flags, &text.replace('\n', "\r\n"))
    }

    #[test]
    fn what_must_be_there_is() {
        let side = [found(1, Flags::SEEN), found(3, Flags::default())];
        assert_eq!(book().judge("near", &side), [""; 0]);
        assert_eq!(differences(&side, &side), [""; 0]);
    }

    #[test]
    fn what_is_wrong_is_found() {
        let side = [
            found(1, Flags::default()),
            found(2, Flags::default()),
            found(4, Flags::default()),
            found(1, Flags::default()),
        ];
        let wrong = book().judge("far", &side).join("; ");
        for what in [
            "doubled",
            "not marked",
            "deleted, and is",
            "3 is lost",
            "nobody has",
        ] {
            assert!(wrong.contains(what), "{what}: {wrong}");
        }
        let other = [found(1, Flags::SEEN)];
        assert_eq!(differences(&side[..1], &other).len(), 2);
    }
}
