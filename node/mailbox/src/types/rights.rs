//! Rights on a mailbox (RFC 4314 section 2.1).

use std::fmt;

/// A set of rights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rights(u16);

impl Rights {
    /// None.
    pub const NONE: Rights = Rights(0);
    /// `l`: the mailbox is seen by LIST.
    pub const LOOKUP: Rights = Rights(1);
    /// `r`: it can be selected and read.
    pub const READ: Rights = Rights(1 << 1);
    /// `s`: `\Seen` can be set and cleared.
    pub const SEEN: Rights = Rights(1 << 2);
    /// `w`: so can other flags and keywords, but for `\Deleted`.
    pub const WRITE: Rights = Rights(1 << 3);
    /// `i`: messages can be appended and copied into it.
    pub const INSERT: Rights = Rights(1 << 4);
    /// `p`: mail can be sent to its address.
    pub const POST: Rights = Rights(1 << 5);
    /// `k`: mailboxes can be made below it.
    pub const CREATE: Rights = Rights(1 << 6);
    /// `x`: it can be deleted and renamed.
    pub const DELETE_MAILBOX: Rights = Rights(1 << 7);
    /// `t`: `\Deleted` can be set and cleared.
    pub const DELETE_MESSAGES: Rights = Rights(1 << 8);
    /// `e`: messages with `\Deleted` can be expunged.
    pub const EXPUNGE: Rights = Rights(1 << 9);
    /// `a`: rights can be given and seen.
    pub const ADMINISTER: Rights = Rights(1 << 10);
    /// All there are.
    pub const ALL: Rights = Rights((1 << 11) - 1);

    /// Of these one is needed, beside `l`, for annotations (RFC 5464 section 3.3).
    pub const ANNOTATE: [Rights; 5] = [
        Rights::READ,
        Rights::SEEN,
        Rights::WRITE,
        Rights::INSERT,
        Rights::POST,
    ];

    /// Each right with its letter, in the order in which they are written.
    pub const LETTERS: [(Rights, char); 11] = [
        (Rights::LOOKUP, 'l'),
        (Rights::READ, 'r'),
        (Rights::SEEN, 's'),
        (Rights::WRITE, 'w'),
        (Rights::INSERT, 'i'),
        (Rights::POST, 'p'),
        (Rights::CREATE, 'k'),
        (Rights::DELETE_MAILBOX, 'x'),
        (Rights::DELETE_MESSAGES, 't'),
        (Rights::EXPUNGE, 'e'),
        (Rights::ADMINISTER, 'a'),
    ];

    /// Rights that older clients know, each of which stands for two (RFC 4314 section 2.1.1).
    pub const VIRTUAL: [(Rights, char); 2] = [
        (Rights(Rights::CREATE.0 | Rights::DELETE_MAILBOX.0), 'c'),
        (Rights(Rights::DELETE_MESSAGES.0 | Rights::EXPUNGE.0), 'd'),
    ];

    /// As bits, for rows and commands.
    #[must_use]
    pub fn bits(self) -> u16 {
        self.0
    }

    /// The set with these bits; `None` if one of them is no right.
    #[must_use]
    pub fn from_bits(bits: u16) -> Option<Rights> {
        (bits & !Rights::ALL.0 == 0).then_some(Rights(bits))
    }

    /// Whether it has all of others.
    #[must_use]
    pub fn has(self, others: Rights) -> bool {
        self.0 & others.0 == others.0
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// With others.
    #[must_use]
    pub const fn with(self, others: Rights) -> Rights {
        Rights(self.0 | others.0)
    }

    /// Without others.
    #[must_use]
    pub fn without(self, others: Rights) -> Rights {
        Rights(self.0 & !others.0)
    }

    /// What letters say, `c` and `d` included; `None` if one of them is no right.
    #[must_use]
    pub fn parse(letters: &str) -> Option<Rights> {
        letters.chars().try_fold(Rights::NONE, |rights, letter| {
            let mut known = Rights::LETTERS.iter().chain(&Rights::VIRTUAL);
            let found = known.find(|(_, known)| *known == letter);
            found.map(|(right, _)| rights.with(*right))
        })
    }
}

/// The letters, with `c` and `d` for older clients if a part of what they stand for is there
/// (RFC 4314 section 2.1.1).
impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = Rights::LETTERS.iter().filter(|(right, _)| self.has(*right));
        let older = Rights::VIRTUAL
            .iter()
            .filter(|(rights, _)| self.0 & rights.0 != 0);
        own.chain(older)
            .try_for_each(|(_, letter)| write!(f, "{letter}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_and_bits() {
        assert_eq!(Rights::ALL.to_string(), "lrswipkxteacd");
        assert_eq!(Rights::parse("lrswipkxtea"), Some(Rights::ALL));
        assert_eq!(Rights::parse("cd"), Rights::parse("kxte"));
        assert_eq!(
            Rights::parse("rx").map(|rights| rights.to_string()),
            Some("rxc".into())
        );
        assert_eq!(Rights::parse(""), Some(Rights::NONE));
        assert_eq!(Rights::parse("rz"), None);
        assert_eq!(Rights::parse("R"), None);
        assert_eq!(Rights::from_bits(1 << 11), None);
        for (right, _) in Rights::LETTERS {
            assert_eq!(Rights::from_bits(right.bits()), Some(right));
            assert!(!Rights::ALL.without(right).has(right));
        }
    }
}
