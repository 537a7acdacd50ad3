//! Flags of messages (RFC 9051 section 2.3.2).

use std::cmp::Ordering;
use std::fmt;

use crate::limits;

/// The system flags, as bits. `\Recent` is not among them: it is never stored.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SystemFlags(u8);

impl SystemFlags {
    /// No flag.
    pub const NONE: SystemFlags = SystemFlags(0);
    /// `\Answered`
    pub const ANSWERED: SystemFlags = SystemFlags(1);
    /// `\Flagged`
    pub const FLAGGED: SystemFlags = SystemFlags(2);
    /// `\Deleted`
    pub const DELETED: SystemFlags = SystemFlags(4);
    /// `\Seen`
    pub const SEEN: SystemFlags = SystemFlags(8);
    /// `\Draft`
    pub const DRAFT: SystemFlags = SystemFlags(16);
    /// All five.
    pub const ALL: SystemFlags = SystemFlags(31);

    /// Each flag with its name, in the order in which they are printed.
    pub const NAMES: [(SystemFlags, &'static str); 5] = [
        (SystemFlags::ANSWERED, "\\Answered"),
        (SystemFlags::FLAGGED, "\\Flagged"),
        (SystemFlags::DELETED, "\\Deleted"),
        (SystemFlags::SEEN, "\\Seen"),
        (SystemFlags::DRAFT, "\\Draft"),
    ];

    /// The flags with these bits; `None` if there are others among them.
    pub fn from_bits(bits: u8) -> Option<SystemFlags> {
        (bits & !SystemFlags::ALL.0 == 0).then_some(SystemFlags(bits))
    }

    /// The bits.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// Whether all of `other` are set.
    pub fn has(self, other: SystemFlags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether none is set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// These and those of `other`.
    #[must_use]
    pub fn with(self, other: SystemFlags) -> SystemFlags {
        SystemFlags(self.0 | other.0)
    }

    /// Those of these that are in `other` as well.
    #[must_use]
    pub fn only(self, other: SystemFlags) -> SystemFlags {
        SystemFlags(self.0 & other.0)
    }

    /// These without those of `other`.
    #[must_use]
    pub fn without(self, other: SystemFlags) -> SystemFlags {
        SystemFlags(self.0 & !other.0)
    }
}

impl fmt::Display for SystemFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut gap = "";
        for (flag, name) in SystemFlags::NAMES {
            if self.has(flag) {
                write!(f, "{gap}{name}")?;
                gap = " ";
            }
        }
        Ok(())
    }
}

impl fmt::Debug for SystemFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SystemFlags({self})")
    }
}

/// The flags of a message: system flags, and keywords in their order, each once.
///
/// Keywords differ only if they differ in more than ASCII case; the first spelling that a mailbox
/// saw is the one it keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags {
    /// The system flags.
    pub system: SystemFlags,
    keywords: Vec<String>,
}

impl Flags {
    /// System flags and keywords; keywords are put in order, of equal ones the first stays.
    pub fn new(system: SystemFlags, keywords: impl IntoIterator<Item = String>) -> Flags {
        let mut keywords: Vec<String> = keywords.into_iter().collect();
        keywords.sort_by(|a, b| compare_keywords(a, b));
        keywords.dedup_by(|later, earlier| later.eq_ignore_ascii_case(earlier));
        Flags { system, keywords }
    }

    /// System flags alone.
    pub fn system(system: SystemFlags) -> Flags {
        Flags {
            system,
            keywords: Vec::new(),
        }
    }

    /// The keywords, sorted without regard to ASCII case.
    pub fn keywords(&self) -> &[String] {
        &self.keywords
    }

    /// Whether a keyword is set, in any spelling.
    pub fn has_keyword(&self, keyword: &str) -> bool {
        self.keywords
            .binary_search_by(|kept| compare_keywords(kept, keyword))
            .is_ok()
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.system.is_empty() && self.keywords.is_empty()
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.system)?;
        let mut gap = if self.system.is_empty() { "" } else { " " };
        for keyword in &self.keywords {
            write!(f, "{gap}{keyword}")?;
            gap = " ";
        }
        Ok(())
    }
}

/// The order of keywords: without regard to ASCII case.
pub(crate) fn compare_keywords(a: &str, b: &str) -> Ordering {
    let fold = |byte: u8| byte.to_ascii_lowercase();
    a.bytes().map(fold).cmp(b.bytes().map(fold))
}

/// Whether a keyword may be kept: a flag-keyword of RFC 9051 section 9 of bounded length.
pub(crate) fn is_keyword(word: &str) -> bool {
    let atom = |byte: u8| byte.is_ascii_graphic() && !b"(){%*\"\\]".contains(&byte);
    !word.is_empty() && word.len() <= limits::KEYWORD_BYTES_MAX && word.bytes().all(atom)
}
