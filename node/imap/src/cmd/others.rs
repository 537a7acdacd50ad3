//! Mailboxes of others: whose account a command is about, and what may be done there.
//!
//! ```text
//!   home      one's own mail: what a command is about until it names a mailbox of another
//!   opened    whose mailbox is selected
//!   backend   whose mail the command at hand is about
//! ```

use mailbox::{Answer, Folder, Query, Rights};

use crate::backend::{Backend, BackendError, Transport};
use crate::cmd::no_mailbox;
use crate::grammar::ValidIn;
use crate::guest::{OTHERS, is_reserved, owner_of};
use crate::respond::Code;
use crate::state::{Result, Session, Stop};

/// Rights of which one lets a mailbox be opened to be changed (RFC 4314 section 5.2). All flags are
/// shared, `\Seen` as well.
const CHANGES: [Rights; 5] = [
    Rights::INSERT,
    Rights::EXPUNGE,
    Rights::SEEN,
    Rights::WRITE,
    Rights::DELETE_MESSAGES,
];

/// A mailbox and whose mail it is in.
pub(crate) struct Place<B> {
    pub(crate) backend: B,
    pub(crate) folder: Folder,
}

/// The user has not been given the right.
pub(crate) fn no_right() -> Stop {
    BackendError::NoRight.into()
}

/// Refuses what the user has no right to do: as if the mailbox did not exist if he may not look it
/// up (RFC 4314 section 6). The machine decides again.
pub(crate) fn permit(folder: &Folder, rights: Rights) -> Result<()> {
    match folder.guest {
        Some(has) if !has.has(rights) && has.has(Rights::LOOKUP) => Err(no_right()),
        Some(has) if !has.has(rights) => Err(no_mailbox()),
        _ => Ok(()),
    }
}

/// Whether a mailbox can only be read by whoever has these rights; `None` is its owner.
pub(crate) fn only_reads(guest: Option<Rights>) -> bool {
    guest.is_some_and(|has| !CHANGES.iter().any(|right| has.has(*right)))
}

/// Whether it was refused because of rights, or of their lack of anything to be seen.
pub(crate) fn is_refusal(stop: &Stop) -> bool {
    matches!(stop, Stop::No(Some(Code::NoPerm | Code::NonExistent), _))
}

/// Whether a LIST pattern may match a name that begins so. Only its beginning without wildcards is
/// looked at.
pub(crate) fn may_match(reference: &[u8], pattern: &[u8], prefix: &str) -> bool {
    let whole = [reference, pattern].concat();
    let is_wild = |byte: &u8| matches!(byte, b'*' | b'%' | b'&') || !byte.is_ascii();
    let end = whole.iter().position(is_wild).unwrap_or(whole.len());
    let plain = whole.get(..end).unwrap_or_default();
    plain.starts_with(prefix.as_bytes()) || prefix.as_bytes().starts_with(plain)
}

impl<T: Transport, B: Backend> Session<'_, T, B> {
    /// Turns to the mail that a command is about before it names a mailbox.
    pub(crate) fn turn_to(&mut self, valid_in: ValidIn) {
        self.backend = match valid_in {
            ValidIn::Selected => self.opened.clone(),
            _ => self.home.clone(),
        };
    }

    /// Turns to the mail in which a name is.
    pub(crate) async fn enter(&mut self, name: &str) -> Result<()> {
        let other = match owner_of(name) {
            Some(owner) => self.other(owner).await?,
            None => None,
        };
        self.backend = other.unwrap_or_else(|| self.home.clone());
        Ok(())
    }

    /// The same for a mailbox that is to be made. Where the mailboxes of others are, one's own
    /// cannot be made.
    pub(crate) async fn enter_new(&mut self, name: &str) -> Result<()> {
        self.enter(name).await?;
        if is_reserved(name) && self.backend.guest().is_none() {
            return Err(no_mailbox());
        }
        Ok(())
    }

    /// The mail of another, if there is such a user.
    pub(crate) async fn other(&mut self, owner: &str) -> Result<Option<B>> {
        let guest = self.opened.guest();
        if guest.is_some_and(|guest| guest.owner() == owner) {
            return Ok(Some(self.opened.clone()));
        }
        Ok(self.home.of(owner).await?)
    }

    /// The mailbox of this name, as sent, if the user has these rights on it.
    pub(crate) async fn folder_with(&mut self, raw: &[u8], rights: Rights) -> Result<Folder> {
        let folder = self.folder(raw).await?;
        permit(&folder, rights)?;
        Ok(folder)
    }

    /// Whether the selected mailbox is another's.
    pub(crate) fn is_guest(&self) -> bool {
        self.opened.guest().is_some()
    }

    /// The selected mailbox is another's, and the user may not read it any more, or it is gone
    /// (RFC 4314 section 5.1.1). The session goes on without one.
    pub(crate) fn expel(&mut self) -> Stop {
        if let Err(stop) = self.unselect() {
            return stop;
        }
        let text = "The mailbox may not be read any more";
        self.conn.out.untagged_ok(Some(&Code::Closed), text);
        no_right()
    }

    /// One's own mailboxes, and those that others let the user look up whose names may be wanted.
    /// One that is subscribed to is so here, and not there.
    pub(crate) async fn all_folders(
        &mut self,
        is_wanted: impl Fn(&str) -> bool + Send,
    ) -> Result<Vec<Place<B>>> {
        self.backend = self.home.clone();
        let own = self.folders().await?;
        let mut found = Vec::new();
        if is_wanted(OTHERS) {
            for other in self.home.sharing().await? {
                let prefix = other.guest().map_or("", |guest| guest.prefix());
                if is_wanted(prefix) {
                    found.extend(self.folders_of(&other).await?);
                }
            }
        }
        let mut are_others = vec![false; own.len()];
        for place in &mut found {
            let folder = &mut place.folder;
            if let Ok(at) = own.binary_search_by(|own| own.name.cmp(&folder.name)) {
                folder.subscribed = own[at].subscribed;
                are_others[at] = true;
            }
        }
        let own = own.into_iter().zip(are_others);
        let own = own.filter(|(_, is_others)| !is_others);
        let own = own.map(|(folder, _)| Place {
            backend: self.home.clone(),
            folder,
        });
        Ok(own.chain(found).collect())
    }

    async fn folders_of(&mut self, other: &B) -> Result<Vec<Place<B>>> {
        let place = |folder| Place {
            backend: other.clone(),
            folder,
        };
        Ok(visible(other).await?.into_iter().map(place).collect())
    }
}

/// The mailboxes of another that the user may look up; none if the account is gone by now.
pub(crate) async fn visible<B: Backend>(
    other: &B,
) -> std::result::Result<Vec<Folder>, BackendError> {
    let account = other.account();
    match other.read(Query::Folders { account }).await {
        Ok(Answer::Folders(folders)) => Ok(folders),
        Ok(_) => Err(BackendError::Broken),
        Err(BackendError::NoMailbox | BackendError::NoRight | BackendError::Gone) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_may_match() {
        let may = |pattern: &str| may_match(b"", pattern.as_bytes(), "user/alice/");
        for pattern in [
            "*",
            "%",
            "u*",
            "user/%",
            "user/alice/a",
            "user/a*",
            "&AOQ-*",
        ] {
            assert!(may(pattern), "{pattern}");
        }
        for pattern in ["INBOX", "users/*", "user/bob/*", "a%"] {
            assert!(!may(pattern), "{pattern}");
        }
        assert!(may_match(b"user/", b"alice/*", "user/alice/"));
    }
}
