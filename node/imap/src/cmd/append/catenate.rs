//! A URL of CATENATE (RFC 4469, RFC 5092, URL-PARTIAL of RFC 5550): bytes of a message that is here
//! already, passed from the backend to the backend piece by piece.

use bytes::Bytes;
use mailbox::{Answer, Message, Query, Uid, UidRanges};

use super::{Intake, check_size};
use crate::backend::{Backend, BackendError, Transport};
use crate::cmd::fetch::chunks::Chunks;
use crate::cmd::fetch::items::{self, Value};
use crate::cmd::others::is_refusal;
use crate::grammar::{FetchItem, MessageUrl};
use crate::names;
use crate::respond::Code;
use crate::source::Source;
use crate::state::{Result, Session, Stop};

impl<T: Transport, B: Backend> Session<'_, T, B> {
    /// Adds what a URL names to the message that is coming.
    pub(super) async fn catenate(&mut self, intake: &mut Intake<B>, url: &Bytes) -> Result<()> {
        let coming = intake.last.as_mut().ok_or(BackendError::Broken)?;
        coming.add_part()?;
        let bad_url = || Stop::no(Code::BadUrl(url.clone()), "Nothing is to be had there");
        let parsed = MessageUrl::parse(url).ok_or_else(bad_url)?;
        // It may be in the mail of another than where it goes to.
        let target = self.backend.clone();
        let found = self.message_at(&parsed).await;
        let from = std::mem::replace(&mut self.backend, target);
        let message = match found {
            Err(stop) if is_refusal(&stop) => None,
            found => found?,
        };
        let message = message.ok_or_else(bad_url)?;
        let mut source = Source::new(&from, &message, false);
        let item = FetchItem::Section {
            section: parsed.section,
            partial: parsed.partial,
            peek: true,
        };
        let Value::Bytes(size, mut chunks) = items::value(&mut source, &item).await? else {
            return Err(bad_url());
        };
        let append_limit = self.conn.config.append_limit;
        check_size(coming.bytes, intake.bytes, size, append_limit)?;
        pass(&self.backend, &mut chunks, &mut source, &mut coming.upload).await?;
        coming.bytes += size;
        intake.bytes += size;
        Ok(())
    }

    /// The message that a URL names, if there is such a one. It may be one that was expunged and of
    /// which this session was not told.
    async fn message_at(&mut self, url: &MessageUrl) -> Result<Option<Message>> {
        let (mailbox, uid_validity) = match &url.mailbox {
            Some(name) => match self.named_mailbox(name).await? {
                Some(found) => found,
                None => return Ok(None),
            },
            None => match &self.selected {
                Some(selected) => {
                    self.backend = self.opened.clone();
                    (selected.mailbox, selected.uid_validity)
                }
                None => return Ok(None),
            },
        };
        if url.uid_validity.is_some_and(|said| said != uid_validity.0) {
            return Ok(None);
        }
        let uid = Uid(url.uid);
        let is_same = self.opened.account() == self.backend.account();
        let selected = self.selected.as_ref().filter(|_| is_same);
        let selected = selected.filter(|selected| selected.mailbox == mailbox);
        let is_known = selected.is_some_and(|selected| selected.view.sequence(uid).is_some());
        let query = Query::Messages {
            account: self.backend.account(),
            mailbox,
            uids: [uid].into_iter().collect::<UidRanges>(),
            changed_since: None,
            limit: 1,
            include_expunged: is_known,
        };
        let page = self.ask(query, |answer| match answer {
            Answer::Messages(page) => Some(page),
            _ => None,
        });
        Ok(page.await?.messages.into_iter().next())
    }

    /// The mailbox of a name in a URL, which is always UTF-8 (RFC 5092 section 8).
    async fn named_mailbox(
        &mut self,
        name: &[u8],
    ) -> Result<Option<(mailbox::MailboxId, mailbox::UidValidity)>> {
        let Ok(name) = names::decode(name, true) else {
            return Ok(None);
        };
        self.enter(&name).await?;
        let query = Query::Folder {
            account: self.backend.account(),
            name,
        };
        let folder = self.ask(query, |answer| match answer {
            Answer::Folder(folder) => Some(folder),
            _ => None,
        });
        let folder = folder.await?.filter(|folder| folder.exists);
        Ok(folder.map(|folder| (folder.id, folder.uid_validity)))
    }
}

async fn pass<B: Backend>(
    backend: &B,
    chunks: &mut Chunks,
    source: &mut Source<'_, B>,
    upload: &mut B::Upload,
) -> std::result::Result<(), BackendError> {
    while let Some(bytes) = chunks.next(source).await? {
        if !bytes.is_empty() {
            backend.upload_put(upload, bytes).await?;
        }
    }
    Ok(())
}
