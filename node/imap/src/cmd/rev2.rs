//! What a client hears that has enabled IMAP4rev2 (RFC 9051), beside what others hear.
//!
//! ```text
//!   SELECT, EXAMINE     LIST of the mailbox; no RECENT, no UNSEEN code
//!   SEARCH              ESEARCH, also without RETURN
//!   FETCH unasked for   with UID
//!   flags               never \Recent
//!   names               in UTF-8, both ways
//!   CREATE, DELETE, RENAME, SELECT of a name that is kept in another form: LIST with OLDNAME
//! ```
//!
//! All else is the same in both revisions, or asked for by other words.

use mailbox::Folder;

use crate::backend::{Backend, Transport};
use crate::cmd::list;
use crate::names;
use crate::respond::ListAttribute;
use crate::state::{Result, Session};

/// LIST of one mailbox, ready to be told.
pub(crate) struct Listed {
    attributes: Vec<ListAttribute>,
    name: String,
    /// As the client wrote it, if it is kept in another form.
    sent: Option<String>,
}

impl<T: Transport, B: Backend> Session<'_, T, B> {
    /// From now on, for the rest of the session.
    pub(crate) fn enable_rev2(&mut self) {
        self.rev2 = true;
        self.conn.out.set_utf8(true);
        if let Some(selected) = &mut self.selected {
            selected.view.forget_recent();
        }
    }

    /// What is told of a mailbox that is being selected (RFC 9051 section 6.3.2).
    pub(crate) async fn listed(&mut self, folder: &Folder, raw: &[u8]) -> Result<Option<Listed>> {
        if !self.rev2 {
            return Ok(None);
        }
        let sent = self.sent_otherwise(raw, &folder.name);
        let name = folder.name.clone();
        let described = list::described(self.folders().await?, [name]);
        Ok(described
            .into_iter()
            .next()
            .map(|(name, attributes)| Listed {
                attributes,
                name,
                sent,
            }))
    }

    pub(crate) fn tell_listed(&mut self, listed: Option<&Listed>) {
        let Some(listed) = listed else { return };
        let (out, attributes) = (&mut self.conn.out, &listed.attributes);
        match &listed.sent {
            Some(sent) => out.list_renamed(attributes, &listed.name, sent),
            None => out.list(attributes, &listed.name, &[]),
        }
    }

    /// Tells that a mailbox is kept, or was, under another form of the name that a client wrote
    /// (RFC 9051 sections 6.3.4 to 6.3.6).
    pub(crate) async fn tell_kept_name(&mut self, raw: &[u8], name: &str) -> Result<()> {
        let Some(sent) = self.sent_otherwise(raw, name) else {
            return Ok(());
        };
        self.tell_old_name(&sent, name).await
    }

    /// Tells that a mailbox has this name now instead of one that a client wrote, if either was
    /// written in another form than it is kept in.
    pub(crate) async fn tell_new_name(&mut self, from: &[u8], to: &[u8], name: &str) -> Result<()> {
        let utf8 = self.conn.out.is_utf8();
        let Ok(sent) = names::decode_as_sent(from, utf8) else {
            return Ok(());
        };
        let is_kept = names::decode(from, utf8).is_ok_and(|kept| kept == sent);
        if is_kept && self.sent_otherwise(to, name).is_none() {
            return Ok(());
        }
        self.tell_old_name(&sent, name).await
    }

    async fn tell_old_name(&mut self, sent: &str, name: &str) -> Result<()> {
        if self.rev2 {
            for (name, attributes) in list::described(self.folders().await?, [name.to_owned()]) {
                self.conn.out.list_renamed(&attributes, &name, sent);
            }
        }
        Ok(())
    }

    /// A name as a client wrote it, if it is kept in another form.
    fn sent_otherwise(&self, raw: &[u8], name: &str) -> Option<String> {
        let raw = raw.strip_suffix(b"/").unwrap_or(raw);
        let sent = names::decode_as_sent(raw, self.conn.out.is_utf8()).ok()?;
        (sent != name).then_some(sent)
    }
}
