//! What each command does: a file for a command or a close family.
//!
//! ```text
//!   login  sasl           STARTTLS LOGIN AUTHENTICATE, and LOGOUT in every state
//!   capability            CAPABILITY ID ENABLE NAMESPACE
//!   select  resync        SELECT EXAMINE CLOSE UNSELECT; what changed while a client was away
//!   folder  list  status  CREATE DELETE RENAME SUBSCRIBE UNSUBSCRIBE; LIST LSUB; STATUS
//!   hierarchy             names with their superiors
//!   quota  metadata       GETQUOTA GETQUOTAROOT SETQUOTA; GETMETADATA SETMETADATA
//!   acl                   SETACL DELETEACL GETACL LISTRIGHTS MYRIGHTS
//!   others  across        whose mail a command is about; COPY and MOVE from one user to another
//!   append                APPEND REPLACE, and with UID
//!   compress              COMPRESS
//!   progress              INPROGRESS, of whatever takes long
//!   idle  notify          IDLE; NOTIFY, and what it lets be told between commands
//!   fetch                 FETCH, and with UID
//!   search                SEARCH SORT THREAD, and with UID; ESEARCH CANCELUPDATE
//!   rev2                  what IMAP4rev2 changes in all the others
//!   uid_batches  uid_only UIDBATCHES; what UIDONLY changes in all the others
//!   store  copy  expunge  STORE; COPY MOVE; EXPUNGE, and with UID
//!   message_limit         how many messages one of these may touch
//! ```
//!
//! A handler is a method of [`crate::state::Session`]. It writes untagged responses as it goes and
//! returns the text of the tagged OK, or a [`crate::state::Stop`]. Whether the command is valid in
//! this state was checked before; what others changed is told by the session around it, so a
//! handler never sends EXPUNGE. It asks the backend in few and large steps, and holds pages of
//! messages and pieces of bodies, never a mailbox's messages or a message.

pub(crate) mod login;

mod sasl;

pub(crate) mod capability;
pub(crate) mod progress;

mod acl;
mod across;
mod append;
mod compress;
mod folder;
mod hierarchy;
mod idle;
mod list;
mod metadata;
pub(crate) mod notify;
pub(crate) mod others;
mod quota;
mod resync;
mod rev2;
mod select;
mod status;

mod messages;
mod places;

mod copy;
mod expunge;
pub(crate) mod fetch;
mod message_limit;
pub(crate) mod search;
pub(crate) mod store;
mod uid_batches;
pub(crate) mod uid_only;

use mailbox::{Answer, Folder, Query, Rights};

use crate::backend::{Backend, Transport};
use crate::names;
use crate::respond::Code;
use crate::state::{Result, Session, Stop};

/// Reads the name of a mailbox that is to exist: what is no name cannot be found. `utf8` says
/// whether the client has enabled UTF-8.
pub(crate) fn existing(raw: &[u8], utf8: bool) -> Result<String> {
    names::decode(raw, utf8).map_err(|_| no_mailbox())
}

pub(crate) fn no_mailbox() -> Stop {
    Stop::no(Code::NonExistent, "There is no such mailbox")
}

impl<T: Transport, B: Backend> Session<'_, T, B> {
    /// The mailbox of this name, as sent; NO if there is none. The session turns to the account
    /// that it is in.
    pub(crate) async fn folder(&mut self, raw: &[u8]) -> Result<Folder> {
        let utf8 = self.conn.out.is_utf8();
        let name = existing(raw, utf8)?;
        self.enter(&name).await?;
        let sent = names::decode_as_sent(raw, utf8);
        let sent = sent.ok().filter(|sent| *sent != name);
        let mut found = self.folder_named(name).await?;
        if let (None, Some(sent)) = (&found, sent) {
            // It may have been made when names were kept as they were written.
            found = self.folder_named(sent).await?;
        }
        found.ok_or_else(no_mailbox)
    }

    async fn folder_named(&mut self, name: String) -> Result<Option<Folder>> {
        let account = self.backend.account();
        let folder = self.ask(Query::Folder { account, name }, |answer| match answer {
            Answer::Folder(folder) => Some(folder),
            _ => None,
        });
        Ok(folder.await?.filter(|folder| folder.exists))
    }

    /// The name of a mailbox that is to exist, in the form in which it is kept.
    pub(crate) async fn existing_name(&mut self, raw: &[u8]) -> Result<String> {
        let utf8 = self.conn.out.is_utf8();
        let name = existing(raw, utf8)?;
        if names::decode_as_sent(raw, utf8).is_ok_and(|sent| sent != name) {
            return Ok(self.folder(raw).await?.name);
        }
        Ok(name)
    }

    /// Like [`Session::folder`], for a command that would put messages there.
    pub(crate) async fn target(&mut self, raw: &[u8]) -> Result<Folder> {
        let folder = self.folder_with(raw, Rights::INSERT);
        folder.await.map_err(try_create)
    }
}

/// A target that does not exist: the client may create it and try again (RFC 3501 section 7.1).
pub(crate) fn try_create(stop: Stop) -> Stop {
    match stop {
        Stop::No(Some(Code::NonExistent), text) => Stop::No(Some(Code::TryCreate), text),
        stop => stop,
    }
}
