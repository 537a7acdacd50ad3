//! What is sent for each command: at least one case for each row of [`imap::grammar::COMMANDS`].
//!
//! Every account begins the same: INBOX with six messages (2 and 5 `\Seen`, 3 and 6 `\Flagged`, 4
//! `\Deleted`, 1 to 3 a thread), `Box` with two, subscribed, with an annotation.
//!
//! The texts are commands without their tag. In them
//!
//! ```text
//!   $USER  $PLAIN       the account's name; what AUTHENTICATE PLAIN wants to hear
//!   $VALIDITY           UIDVALIDITY of INBOX
//!   $DATE               a date for APPEND
//!   $SMALL  $BIG        a literal with a message of one chunk, or of several
//!   ^                   the line ends here, and the server is waited for: it says +
//!   |                   the leader is killed here, if it is killed in the middle; otherwise
//!                       that is half of the bytes
//!   &                   another client adds a message, and this one hears of it
//! ```

use imap::grammar::{CommandInfo, ValidIn};

/// One command that is under way when the leader dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// A row of the table of commands.
    pub command: &'static str,
    /// What is sent, as above.
    pub text: &'static str,
    /// What is sent before it, undisturbed; after SELECT INBOX where something must be selected.
    pub before: &'static [&'static str],
    /// How the answer begins.
    pub answer: &'static str,
    /// Bytes of its answer that are read before the leader is killed in the middle of it.
    pub read_first: usize,
    /// It changes something, so that its outcome may stay unknown.
    pub changes: bool,
}

impl Case {
    /// Whether somebody has logged in before.
    #[must_use]
    pub fn logs_in(&self) -> bool {
        self.info().valid_in != ValidIn::NotAuthenticated
    }

    /// Whether INBOX was selected before.
    #[must_use]
    pub fn selects(&self) -> bool {
        self.info().valid_in == ValidIn::Selected
    }

    /// Whether INBOX is selected afterwards too.
    #[must_use]
    pub fn stays_selected(&self) -> bool {
        let opens = self.command == "SELECT" || self.command == "IDLE";
        opens || self.selects() && !matches!(self.command, "CLOSE" | "UNSELECT")
    }

    /// Whether it ends the connection.
    #[must_use]
    pub fn ends(&self) -> bool {
        self.command == "LOGOUT"
    }

    fn info(&self) -> CommandInfo {
        CommandInfo::of(self.command).expect("cases are of commands that there are")
    }

    const fn after(self, before: &'static [&'static str]) -> Self {
        Self { before, ..self }
    }

    const fn answered(self, answer: &'static str) -> Self {
        Self { answer, ..self }
    }

    const fn read_first(self, read_first: usize) -> Self {
        Self { read_first, ..self }
    }
}

/// One that changes nothing: it is answered in any case.
const fn reads(command: &'static str, text: &'static str) -> Case {
    Case {
        command,
        text,
        before: &[],
        answer: "OK",
        read_first: 0,
        changes: false,
    }
}

/// One that changes something.
const fn changes(command: &'static str, text: &'static str) -> Case {
    Case {
        changes: true,
        ..reads(command, text)
    }
}

/// Four large messages: more than the sockets between client and server hold.
const LARGE: &[&str] = &[
    "APPEND INBOX $DATE $BIG",
    "APPEND INBOX $DATE $BIG",
    "APPEND INBOX $DATE $BIG",
    "APPEND INBOX $DATE $BIG",
];

/// A search that is saved.
const SAVED: &[&str] = &["UID SEARCH RETURN (SAVE) SUBJECT message"];

/// All cases, in the order of the table.
pub const CASES: &[Case] = &[
    reads("CAPABILITY", "CAPABILITY"),
    reads("ID", "ID (\"name\" \"chaos\" \"version\" NIL)"),
    reads("LOGOUT", "LOGOUT"),
    reads("NOOP", "NOOP"),
    reads("AUTHENTICATE", "AUTHENTICATE PLAIN^$PLAIN"),
    reads("AUTHENTICATE", "AUTHENTICATE PLAIN $PLAIN"),
    reads("LOGIN", "LOGIN $USER pass"),
    reads("LOGIN", "LOGIN $USER {4}^pass"),
    reads("STARTTLS", "STARTTLS"),
    changes("APPEND", "APPEND INBOX (\\Seen) $DATE $SMALL"),
    changes("APPEND", "APPEND INBOX (\\Seen \\Flagged) $DATE $BIG"),
    changes(
        "APPEND",
        "APPEND Box (\\Seen) $DATE $SMALL (\\Flagged) $DATE $BIG $DATE $SMALL",
    ),
    changes(
        "APPEND",
        "APPEND INBOX $DATE CATENATE (URL \"/INBOX/;UID=1/;SECTION=HEADER\" TEXT $BIG)",
    )
    .after(&["SELECT INBOX"]),
    reads("COMPRESS", "COMPRESS DEFLATE").after(&["SELECT INBOX"]),
    changes("CREATE", "CREATE Box/New"),
    changes("CREATE", "CREATE Sent2 (USE (\\Archive))"),
    changes("DELETE", "DELETE Box"),
    changes("DELETEACL", "DELETEACL Box spectator").after(&["SETACL Box spectator lr"]),
    reads("ENABLE", "ENABLE QRESYNC CONDSTORE").after(&["SELECT INBOX"]),
    reads(
        "ESEARCH",
        "ESEARCH IN (mailboxes (INBOX Box)) RETURN (ALL COUNT) BODY words",
    ),
    reads("EXAMINE", "EXAMINE Box"),
    reads("GETACL", "GETACL Box"),
    reads("GETMETADATA", "GETMETADATA Box (/private/comment)"),
    reads("GETQUOTA", "GETQUOTA \"\""),
    reads("GETQUOTAROOT", "GETQUOTAROOT INBOX"),
    reads("IDLE", "IDLE^|&DONE").after(&["SELECT INBOX"]),
    reads("IDLE", "IDLE^|&DONE").after(&["SELECT INBOX", "ENABLE QRESYNC"]),
    reads(
        "LIST",
        "LIST \"\" * RETURN (SUBSCRIBED STATUS (MESSAGES UNSEEN))",
    ),
    reads("LISTRIGHTS", "LISTRIGHTS Box anyone"),
    reads("LSUB", "LSUB \"\" *"),
    reads("MYRIGHTS", "MYRIGHTS Box"),
    reads("NAMESPACE", "NAMESPACE"),
    reads("NOTIFY", "NOTIFY SET (personal (MailboxName))"),
    changes("RENAME", "RENAME Box Renamed/Box"),
    reads("SELECT", "SELECT INBOX"),
    reads("SELECT", "SELECT INBOX (QRESYNC ($VALIDITY 1 1:9))").after(&[
        "ENABLE QRESYNC",
        "SELECT INBOX",
        "STORE 1 +FLAGS (\\Answered)",
        "EXPUNGE",
        "UNSELECT",
    ]),
    changes("SETACL", "SETACL Box spectator lr"),
    changes(
        "SETMETADATA",
        "SETMETADATA Box (/private/comment {7}^changed)",
    ),
    reads("SETQUOTA", "SETQUOTA \"\" (STORAGE 10)").answered("NO"),
    reads(
        "STATUS",
        "STATUS INBOX (MESSAGES UIDNEXT UNSEEN SIZE HIGHESTMODSEQ)",
    ),
    changes("SUBSCRIBE", "SUBSCRIBE INBOX"),
    reads("UNAUTHENTICATE", "UNAUTHENTICATE").after(&["SELECT INBOX"]),
    changes("UNSUBSCRIBE", "UNSUBSCRIBE Box"),
    reads("CANCELUPDATE", "CANCELUPDATE \"b1\"").after(&["SEARCH RETURN (UPDATE) UNSEEN"]),
    reads("CHECK", "CHECK"),
    changes("CLOSE", "CLOSE"),
    changes("COPY", "COPY 1:3 Box"),
    changes("COPY", "COPY $ Box").after(SAVED),
    changes("EXPUNGE", "EXPUNGE"),
    reads(
        "FETCH",
        "FETCH 1:* (FLAGS ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS (SUBJECT)])",
    ),
    reads("FETCH", "FETCH $ (UID FLAGS)").after(SAVED),
    changes("FETCH", "FETCH 1:4 (UID BODY[TEXT])"),
    reads("FETCH", "FETCH 1:* (UID BODY.PEEK[])|")
        .after(LARGE)
        .read_first(4 << 20),
    reads("FETCH", "FETCH 1:* (UID PREVIEW BINARY.SIZE[1])"),
    changes("MOVE", "MOVE 2:3 Box"),
    changes("REPLACE", "REPLACE 2 INBOX (\\Seen) $DATE $BIG"),
    reads("SEARCH", "SEARCH BODY words"),
    reads("SEARCH", "SEARCH RETURN (SAVE COUNT) SUBJECT message"),
    reads("SORT", "SORT (REVERSE SUBJECT) UTF-8 ALL"),
    changes("STORE", "STORE 1:3 +FLAGS (\\Answered $Label)"),
    changes(
        "STORE",
        "STORE 1:* (UNCHANGEDSINCE 99999999) -FLAGS (\\Flagged)",
    ),
    reads("THREAD", "THREAD REFERENCES UTF-8 ALL"),
    changes("UID COPY", "UID COPY 4:6 Box"),
    changes("UID EXPUNGE", "UID EXPUNGE 1:*"),
    reads("UID FETCH", "UID FETCH 1:* (FLAGS)"),
    reads("UID FETCH", "UID FETCH 7 (BODY.PEEK[]<1000000.2000000>)").after(LARGE),
    reads("UID FETCH", "UID FETCH 1:* (UID BODY.PEEK[])|")
        .after(&[
            "APPEND INBOX $DATE $BIG",
            "APPEND INBOX $DATE $BIG",
            "COMPRESS DEFLATE",
        ])
        .read_first(1 << 20),
    reads(
        "UID FETCH",
        "UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)",
    )
    .after(&["ENABLE QRESYNC", "EXPUNGE"]),
    changes("UID MOVE", "UID MOVE 1:* Box"),
    changes("UID REPLACE", "UID REPLACE 2 Box (\\Draft) $DATE $SMALL"),
    reads(
        "UID SEARCH",
        "UID SEARCH RETURN (MIN MAX ALL) OR FLAGGED BODY words",
    ),
    reads(
        "UID SORT",
        "UID SORT RETURN (COUNT ALL) (SIZE) UTF-8 BODY words",
    ),
    changes("UID STORE", "UID STORE 1:* +FLAGS.SILENT (\\Seen)"),
    changes("UID STORE", "UID STORE $ FLAGS (\\Answered)").after(SAVED),
    reads("UID THREAD", "UID THREAD ORDEREDSUBJECT UTF-8 TEXT words"),
    reads("UIDBATCHES", "UIDBATCHES 500"),
    reads("UNSELECT", "UNSELECT"),
];

#[cfg(test)]
mod tests {
    use imap::grammar::COMMANDS;

    use super::*;

    /// A new command needs a case here: it is to outlive leaders as well.
    #[test]
    fn every_command_has_a_case() {
        let has_none = |info: &&CommandInfo| CASES.iter().all(|case| case.command != info.name);
        let missing: Vec<_> = COMMANDS.iter().filter(has_none).collect();
        assert!(missing.is_empty(), "no case for {missing:?}");
    }

    #[test]
    fn every_case_is_of_its_command() {
        for case in CASES {
            assert!(CommandInfo::of(case.command).is_some(), "{case:?}");
            let begins = case.text.starts_with(case.command);
            assert!(begins, "{case:?}");
        }
    }
}
