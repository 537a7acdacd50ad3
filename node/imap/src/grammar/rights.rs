//! Which rights each command needs on mailboxes of others (RFC 4314 section 4; METADATA: RFC 5464
//! section 3.3; MOVE: RFC 6851 section 3.3; REPLACE: RFC 8508 section 3.4; QUOTA: RFC 9208 section
//! 3.2). Owners have all. Sessions refuse what they can foresee, and the machine that has the
//! mailbox decides.

/// Which mailbox of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// The one that is selected.
    Selected,
    /// The one that it names, or each that it names; of RENAME the first, and all below it.
    Named,
    /// The one that messages go to.
    Target,
    /// The nearest one that exists above the one that is made.
    Above,
}

/// What a command needs on one mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Which.
    pub on: On,
    /// All of these letters.
    pub all: &'static str,
    /// And one of these, if there are any.
    pub one_of: &'static str,
}

const fn all(on: On, all: &'static str) -> Needs {
    Needs {
        on,
        all,
        one_of: "",
    }
}

const fn with_one(on: On, all: &'static str, one_of: &'static str) -> Needs {
    Needs { on, all, one_of }
}

/// Nothing: it is about no mailbox, or about one's own ones.
const NOTHING: &[Needs] = &[];
const READS_SELECTED: &[Needs] = &[all(On::Selected, "r")];
const READS_NAMED: &[Needs] = &[all(On::Named, "r")];
const ADMINISTERS: &[Needs] = &[all(On::Named, "a")];
const ANNOTATES: &[Needs] = &[with_one(On::Named, "l", "rswip")];
const COPIES: &[Needs] = &[all(On::Selected, "r"), all(On::Target, "i")];
const MOVES: &[Needs] = &[all(On::Selected, "rte"), all(On::Target, "i")];
const EXPUNGES: &[Needs] = &[all(On::Selected, "re")];
const STORES: &[Needs] = &[with_one(On::Selected, "r", "swt")];

/// Every command of [`super::COMMANDS`], in the order of names.
pub const RIGHTS: &[(&str, &[Needs])] = &[
    ("APPEND", &[all(On::Target, "i")]),
    ("AUTHENTICATE", NOTHING),
    ("CANCELUPDATE", NOTHING),
    ("CAPABILITY", NOTHING),
    ("CHECK", NOTHING),
    // Without `e` it closes and expunges nothing.
    ("CLOSE", NOTHING),
    ("COMPRESS", NOTHING),
    ("COPY", COPIES),
    ("CREATE", &[all(On::Above, "k")]),
    ("DELETE", &[all(On::Named, "x")]),
    ("DELETEACL", ADMINISTERS),
    ("ENABLE", NOTHING),
    // What may not be read, or not be looked up, is not found.
    ("ESEARCH", &[all(On::Named, "lr")]),
    ("EXAMINE", READS_NAMED),
    ("EXPUNGE", EXPUNGES),
    ("FETCH", READS_SELECTED),
    ("GETACL", ADMINISTERS),
    ("GETMETADATA", ANNOTATES),
    ("GETQUOTA", READS_NAMED),
    ("GETQUOTAROOT", READS_NAMED),
    ("ID", NOTHING),
    ("IDLE", NOTHING),
    // What may not be looked up is not listed; STATUS needs `r` also here.
    ("LIST", &[all(On::Named, "l")]),
    ("LISTRIGHTS", ADMINISTERS),
    ("LOGIN", NOTHING),
    ("LOGOUT", NOTHING),
    ("LSUB", NOTHING),
    ("MOVE", MOVES),
    ("MYRIGHTS", &[with_one(On::Named, "", "lrikxa")]),
    ("NAMESPACE", NOTHING),
    ("NOOP", NOTHING),
    ("NOTIFY", NOTHING),
    ("RENAME", &[all(On::Named, "x"), all(On::Above, "k")]),
    ("REPLACE", MOVES),
    ("SEARCH", READS_SELECTED),
    ("SELECT", READS_NAMED),
    ("SETACL", ADMINISTERS),
    ("SETMETADATA", ANNOTATES),
    ("SETQUOTA", NOTHING),
    ("SORT", READS_SELECTED),
    ("STARTTLS", NOTHING),
    ("STATUS", READS_NAMED),
    ("STORE", STORES),
    ("SUBSCRIBE", NOTHING),
    ("THREAD", READS_SELECTED),
    ("UID COPY", COPIES),
    ("UID EXPUNGE", EXPUNGES),
    ("UID FETCH", READS_SELECTED),
    ("UID MOVE", MOVES),
    ("UID REPLACE", MOVES),
    ("UID SEARCH", READS_SELECTED),
    ("UID SORT", READS_SELECTED),
    ("UID STORE", STORES),
    ("UID THREAD", READS_SELECTED),
    ("UIDBATCHES", READS_SELECTED),
    ("UNAUTHENTICATE", NOTHING),
    ("UNSELECT", NOTHING),
    ("UNSUBSCRIBE", NOTHING),
];

/// What a command needs, by its name as in [`super::COMMANDS`].
pub fn rights_of(name: &str) -> Option<&'static [Needs]> {
    let found = RIGHTS.iter().find(|(of, _)| *of == name);
    found.map(|(_, needs)| *needs)
}
