//! APPEND (RFC 3501 section 6.3.11, RFC 4315 section 3).
//!
//! The message is never held: what arrives goes to the backend piece by piece. What can be refused
//! by name and size is refused before a client that asks has sent it.

use mailbox::{Millis, Reply};

use crate::backend::{Backend, BackendError, Transport};
use crate::flags;
use crate::grammar::{AppendStart, Bad, Item};
use crate::respond::Code;
use crate::state::{Done, Result, Session, Stop, reply};

impl<T: Transport, B: Backend> Session<'_, T, B> {
    pub(crate) async fn append(&mut self, start: &AppendStart) -> Result<Done> {
        let begun = match self.check_append(start).await {
            Ok(mailbox) => self
                .backend
                .upload(start.size)
                .map(|upload| (mailbox, upload))
                .map_err(Stop::from),
            Err(stop) => Err(stop),
        };
        let (mailbox, mut upload) = match begun {
            Ok(begun) => begun,
            Err(stop) => {
                self.conn.framer.refuse_literal();
                return Err(stop);
            }
        };
        self.conn.framer.accept_literal();
        if start.sync {
            self.conn.out.continuation("Ready for the message");
        }
        self.receive(&mut upload).await?;
        let (flags, date) = (flags::parsed(&start.flags), self.date(start));
        let outcome = self.backend.append(upload, mailbox, flags, date).await?;
        match reply(outcome).map_err(super::try_create)? {
            Reply::Appended {
                uid_validity, uid, ..
            } => {
                let code = Code::AppendUid {
                    uid_validity: uid_validity.0,
                    uid: uid.0,
                };
                Ok(Done {
                    code: Some(code),
                    text: "APPEND completed",
                })
            }
            _ => Err(BackendError::Broken.into()),
        }
    }

    async fn check_append(&mut self, start: &AppendStart) -> Result<mailbox::MailboxId> {
        if start.size > self.conn.config.append_limit {
            return Err(Stop::no(Code::TooBig, "The message is too big"));
        }
        if start.size == 0 {
            return Err(Stop::No(None, "The message is empty".into()));
        }
        self.target(&start.mailbox).await.map(|folder| folder.id)
    }

    /// Passes the message on. If the backend fails, the rest is still read, for it was accepted.
    async fn receive(&mut self, upload: &mut B::Upload) -> Result<()> {
        let mut failed = None;
        loop {
            match self.conn.item().await? {
                Item::Body(bytes) if failed.is_none() => {
                    failed = self.backend.upload_put(upload, bytes).await.err();
                }
                Item::BodyEnd => break,
                Item::Bad(Bad { error, .. }) => return Err(error.into()),
                _ => {}
            }
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// INTERNALDATE: as the client says, else now. Before 1970 is 1970.
    fn date(&self, start: &AppendStart) -> Millis {
        match start.date {
            Some(date) => {
                let seconds = u64::try_from(date.unix_seconds()).unwrap_or(0);
                Millis(seconds * 1000)
            }
            None => self.conn.transport.now(),
        }
    }
}
