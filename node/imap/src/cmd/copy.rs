//! COPY and MOVE, and with UID (RFC 3501 section 6.4.7, RFC 6851).

use mailbox::{Command, Reply, UidRanges, UidValidity};

use crate::backend::{Backend, BackendError, Transport};
use crate::cmd::message_limit::limited;
use crate::cmd::store::{batches, ranges};
use crate::cmd::try_create;
use crate::grammar::Copy;
use crate::limits;
use crate::respond::Code;
use crate::state::{Done, Result, Session, Stop};

impl<T: Transport, B: Backend> Session<'_, T, B> {
    /// All or nothing, so all at once.
    pub(crate) async fn copy(&mut self, copy: &Copy) -> Result<Done> {
        let selected = self.selected()?;
        let (from, uids) = (
            selected.mailbox,
            selected.view.resolve(&copy.set, copy.uid)?,
        );
        let folder = self.target(&copy.mailbox).await?;
        if !uids.is_empty() && self.backend.account() != self.opened.account() {
            return Box::pin(self.copy_across(copy, &folder, &uids)).await;
        }
        let to = folder.id;
        let text = if copy.uid {
            "UID COPY completed"
        } else {
            "COPY completed"
        };
        if uids.is_empty() {
            return Ok(Done::text(text));
        }
        // RFC 9738: a part of a COPY would not be one.
        let limit = self.message_limit().unwrap_or(limits::SAVED_MESSAGES_MAX);
        let (uids, exceeded) = limited(Some(limit), uids);
        if let Some(code) = exceeded {
            return Err(Stop::no(code, "Too many messages at once"));
        }
        let account = self.backend.account();
        let command = Command::Copy {
            account,
            from,
            to,
            uids,
        };
        match self.change(command).await.map_err(try_create)? {
            Reply::Copied {
                uid_validity,
                from,
                to,
            } => Ok(Done {
                code: copy_uid(uid_validity, &from, &to),
                text,
            }),
            _ => Err(BackendError::Broken.into()),
        }
    }

    /// Each message is moved whole; if there are very many, not all of them at once (RFC 6851
    /// section 3.3). COPYUID goes out before the EXPUNGEs, which are told with the changes.
    pub(crate) async fn r#move(&mut self, copy: &Copy) -> Result<Done> {
        let selected = self.writable()?;
        let (from, uids) = (
            selected.mailbox,
            selected.view.resolve(&copy.set, copy.uid)?,
        );
        let folder = self.target(&copy.mailbox).await?;
        let (uids, limit) = self.limited(uids);
        if self.backend.account() != self.opened.account() {
            let done = Box::pin(self.move_across(copy, &folder, &uids)).await?;
            return Ok(self.partly(done, limit));
        }
        let to = folder.id;
        let account = self.backend.account();
        let (mut done, goal) = (0, uids.len());
        for uids in batches(&uids) {
            self.report(done, goal).await?;
            done += uids.len();
            let command = Command::Move {
                account,
                from,
                to,
                uids,
            };
            let reply = self.change(command).await.map_err(try_create)?;
            let Reply::Moved {
                uid_validity,
                from,
                to,
                ..
            } = reply
            else {
                return Err(BackendError::Broken.into());
            };
            if let Some(code) = copy_uid(uid_validity, &from, &to) {
                self.conn.out.untagged_ok(Some(&code), "Moved");
            }
        }
        let done = Done::text(if copy.uid {
            "UID MOVE completed"
        } else {
            "MOVE completed"
        });
        Ok(self.partly(done, limit))
    }
}

/// COPYUID; nothing if nothing was copied.
pub(super) fn copy_uid(
    uid_validity: UidValidity,
    from: &UidRanges,
    to: &UidRanges,
) -> Option<Code> {
    let is_told = !from.is_empty() && from.len() == to.len();
    is_told.then(|| Code::CopyUid {
        uid_validity: uid_validity.0,
        from: ranges(from),
        to: ranges(to),
    })
}
