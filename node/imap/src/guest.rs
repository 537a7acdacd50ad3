//! Mailboxes of other users (RFC 2342 section 4, RFC 4314): what they are called, and what is asked
//! of their accounts.
//!
//! ```text
//!   user/alice@example.org/INBOX           the INBOX of alice
//!   user/alice@example.org/Lists/imap      her mailbox `Lists/imap`
//! ```
//!
//! Every mailbox has the name that its owner knows, INBOX too, below a name that is none: so no two
//! mailboxes have one name, and a client needs no rule for INBOX. The name of the user is spelled
//! in one way. Where no user has it the name is one of one's own mailboxes, made before there was
//! such a namespace; new ones cannot be made there.
//!
//! A mailbox is shared as it is: its flags are the same for all who see it, `\Seen` as well. What
//! is subscribed to, and what a mailbox is for, is each user's own matter.
//!
//! Whoever reaches into the account of another says who he is with all that he asks. The machine
//! that has the account decides.

use mailbox::{AccountId, Answer, Command, Folder, Query};

/// What the names of others' mailboxes begin with.
pub const OTHERS: &str = "user/";

/// The user whose mailbox a name may be, `None` if it is not below [`OTHERS`].
pub fn owner_of(name: &str) -> Option<&str> {
    let (owner, _) = name.strip_prefix(OTHERS)?.split_once('/')?;
    Some(owner)
}

/// Whether a name is kept for the mailboxes of others.
pub fn is_reserved(name: &str) -> bool {
    name.starts_with(OTHERS) || OTHERS.strip_suffix('/') == Some(name)
}

/// A user in the account of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// Who he is.
    actor: AccountId,
    /// What the names of all mailboxes there begin with for him.
    prefix: String,
}

impl Guest {
    /// The user `actor` in the account of `owner`.
    pub fn new(actor: AccountId, owner: &str) -> Guest {
        Guest {
            actor,
            prefix: format!("{OTHERS}{owner}/"),
        }
    }

    /// What the names of all mailboxes there begin with for him.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The name of the owner.
    pub fn owner(&self) -> &str {
        owner_of(&self.prefix).unwrap_or_default()
    }

    /// A question of his, as the account's machine takes it.
    pub fn query(&self, query: Query) -> Query {
        let query = match query {
            Query::Folder { account, name } => Query::Folder {
                account,
                name: self.inside(name),
            },
            query => query,
        };
        Query::OnBehalf {
            actor: self.actor,
            query: Box::new(query),
        }
    }

    /// An answer, as he knows the names.
    pub fn answer(&self, mut answer: Answer) -> Answer {
        match &mut answer {
            Answer::Folders(folders) => folders.iter_mut().for_each(|folder| self.tell(folder)),
            Answer::Folder(folder) => folder.iter_mut().for_each(|folder| self.tell(folder)),
            Answer::Opened(opened) => self.tell(&mut opened.folder),
            Answer::Changes(changes) => changes.folder.iter_mut().for_each(|it| self.tell(it)),
            _ => {}
        }
        answer
    }

    /// Something that he does, as the account's machine takes it.
    pub fn command(&self, command: Command) -> Command {
        let command = match command {
            Command::CreateMailbox {
                account,
                name,
                special_use,
            } => Command::CreateMailbox {
                account,
                name: self.inside(name),
                special_use,
            },
            Command::DeleteMailbox { account, name } => Command::DeleteMailbox {
                account,
                name: self.inside(name),
            },
            Command::RenameMailbox { account, from, to } => Command::RenameMailbox {
                account,
                from: self.inside(from),
                to: self.inside(to),
            },
            command => command,
        };
        Command::OnBehalf {
            actor: self.actor,
            command: Box::new(command),
        }
    }

    /// The name that the owner knows.
    fn inside(&self, name: String) -> String {
        match name.strip_prefix(&self.prefix) {
            Some(inside) => inside.to_owned(),
            None => name,
        }
    }

    fn tell(&self, folder: &mut Folder) {
        folder.name.insert_str(0, &self.prefix);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_others() {
        assert_eq!(
            owner_of("user/alice@example.org/a/b"),
            Some("alice@example.org")
        );
        assert_eq!(owner_of("user/alice@example.org"), None);
        assert_eq!(owner_of("users/alice/a"), None);
        assert_eq!(owner_of("INBOX"), None);
        for (name, is_kept) in [
            ("user", true),
            ("user/a", true),
            ("users", false),
            ("a", false),
        ] {
            assert_eq!(is_reserved(name), is_kept, "{name}");
        }
    }

    #[test]
    fn names_change_on_the_way() {
        let guest = Guest::new(AccountId(2), "alice");
        assert_eq!((guest.owner(), guest.prefix()), ("alice", "user/alice/"));
        let account = AccountId(1);
        let command = Command::RenameMailbox {
            account,
            from: "user/alice/a".to_owned(),
            to: "user/alice/user/alice/b".to_owned(),
        };
        let inner = Command::RenameMailbox {
            account,
            from: "a".to_owned(),
            to: "user/alice/b".to_owned(),
        };
        let asked = Command::OnBehalf {
            actor: AccountId(2),
            command: Box::new(inner),
        };
        assert_eq!(guest.command(command), asked);
        let folder = Folder {
            name: "INBOX".to_owned(),
            ..Folder::default()
        };
        let Answer::Folder(Some(told)) = guest.answer(Answer::Folder(Some(folder))) else {
            panic!("another answer");
        };
        assert_eq!(told.name, "user/alice/INBOX");
    }
}
