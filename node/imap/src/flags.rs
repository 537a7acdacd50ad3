//! Flags between the grammar's words and the machine's.

use mailbox::{Flags, Rights, SystemFlags};

use crate::grammar::Flag;
use crate::respond::Code;

/// A message's flags as they are written.
pub(crate) fn names(flags: &Flags, is_recent: bool) -> impl Iterator<Item = &str> {
    let system = flags.system;
    let system = SystemFlags::NAMES
        .into_iter()
        .filter(move |(flag, _)| system.has(*flag));
    let keywords = flags.keywords().iter().map(String::as_str);
    system
        .map(|(_, name)| name)
        .chain(keywords)
        .chain(is_recent.then_some("\\Recent"))
}

/// All flags that can be in a mailbox with these keywords.
pub(crate) fn all(keywords: &[String]) -> impl Iterator<Item = &str> {
    let system = SystemFlags::NAMES.into_iter().map(|(_, name)| name);
    system.chain(keywords.iter().map(String::as_str))
}

/// PERMANENTFLAGS of a mailbox with these keywords.
pub(crate) fn permanent(keywords: &[String], read_only: bool) -> Code {
    if read_only {
        return Code::PermanentFlags {
            flags: Vec::new(),
            may_create: false,
        };
    }
    let flags = all(keywords).map(str::to_owned).collect();
    let may_create = keywords.len() < mailbox::limits::KEYWORDS_PER_MAILBOX_MAX;
    Code::PermanentFlags { flags, may_create }
}

/// PERMANENTFLAGS for a user with these rights; `None` is the owner (RFC 4314 section 5.1.1).
pub(crate) fn permitted(keywords: &[String], read_only: bool, guest: Option<Rights>) -> Code {
    let (Some(rights), false) = (guest, read_only) else {
        return permanent(keywords, read_only);
    };
    let needed = |flag: &str| match flag {
        "\\Seen" => Rights::SEEN,
        "\\Deleted" => Rights::DELETE_MESSAGES,
        _ => Rights::WRITE,
    };
    let may_set = |flag: &&str| rights.has(needed(flag));
    let is_full = keywords.len() >= mailbox::limits::KEYWORDS_PER_MAILBOX_MAX;
    Code::PermanentFlags {
        flags: all(keywords).filter(may_set).map(str::to_owned).collect(),
        may_create: rights.has(Rights::WRITE) && !is_full,
    }
}

/// What a client wrote, as the machine keeps it.
pub(crate) fn parsed(flags: &[Flag]) -> Flags {
    let mut system = SystemFlags::NONE;
    let mut keywords = Vec::new();
    for flag in flags {
        match flag {
            Flag::Answered => system = system.with(SystemFlags::ANSWERED),
            Flag::Flagged => system = system.with(SystemFlags::FLAGGED),
            Flag::Deleted => system = system.with(SystemFlags::DELETED),
            Flag::Seen => system = system.with(SystemFlags::SEEN),
            Flag::Draft => system = system.with(SystemFlags::DRAFT),
            Flag::Keyword(keyword) => keywords.push(keyword.as_str().to_owned()),
        }
    }
    Flags::new(system, keywords)
}
