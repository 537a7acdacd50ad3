//! What the client itself does: it need not hear of it (RFC 5465 section 5). What others did at the
//! same time is told all the same.

use mailbox::{AccountId, Command, MailboxId, Reply, Uid, UidRanges};

use super::known::Known;
use crate::backend::{Backend, Transport};
use crate::guest::owner_of;
use crate::names;
use crate::state::Session;

impl<T: Transport, B: Backend> Session<'_, T, B> {
    /// What the client knows of an account, if that is watched.
    fn known(&mut self, id: AccountId) -> Option<&mut Known> {
        let watch = self.notify.as_mut()?;
        Some(&mut watch.account(id)?.known)
    }

    /// Notes what the client itself has done in the account that the session has turned to.
    pub(crate) fn watch_own(&mut self, command: &Command, reply: &Reply) {
        self.note_own_messages(command, reply);
        if let Command::Subscribe { name, on, .. } = command {
            self.note_own_subscription(name, *on);
            return;
        }
        let Some(known) = self.known(self.backend.account()) else {
            return;
        };
        match (command, reply) {
            (
                Command::CreateMailbox {
                    name, special_use, ..
                },
                Reply::Created {
                    mailbox,
                    uid_validity,
                },
            ) => known.note_created(*mailbox, name, *uid_validity, *special_use),
            (Command::DeleteMailbox { name, .. }, _) => known.note_deleted(name),
            (
                Command::RenameMailbox { from, to, .. },
                Reply::Created {
                    mailbox,
                    uid_validity,
                },
            ) if from == names::INBOX => known.note_created(*mailbox, to, *uid_validity, None),
            (Command::RenameMailbox { from, to, .. }, _) => known.note_renamed(from, to),
            (
                Command::SetMetadata {
                    mailbox,
                    entries,
                    special_use,
                    ..
                },
                _,
            ) => known.note_annotated(*mailbox, entries, *special_use),
            (Command::Annotate(one), _) => {
                known.note_annotated(Some(one.mailbox), &one.entries, one.special_use);
            }
            _ => {}
        }
    }

    /// A name is known where the mailbox is that it may name.
    fn note_own_subscription(&mut self, name: &str, on: bool) {
        let Some(watch) = &mut self.notify else {
            return;
        };
        let owner = owner_of(name);
        let is_there = |prefix: &str| owner.is_some() && owner == owner_of(prefix);
        let at = watch.others().iter().position(|it| is_there(it.prefix()));
        let at = at.map_or(0, |at| at + 1);
        if let Some(account) = watch.accounts.get_mut(at) {
            account.known.note_subscribed(name, on);
        }
    }

    fn note_own_messages(&mut self, command: &Command, reply: &Reply) {
        match (command, reply) {
            (Command::Copy { to: mailbox, .. }, Reply::Copied { to, .. })
            | (Command::Move { to: mailbox, .. }, Reply::Moved { to, .. }) => {
                self.note_all_added(*mailbox, to);
            }
            _ => {}
        }
        match reply {
            Reply::Moved { from: gone, .. } | Reply::Expunged { uids: gone, .. } => {
                self.note_gone(gone);
            }
            _ => {}
        }
    }

    /// The client has removed messages from the selected mailbox. It hears of them with the
    /// changes, if it hears of any.
    pub(crate) fn note_gone(&mut self, gone: &UidRanges) {
        let is_hushed = self.is_hushed();
        if let Some(selected) = self.selected.as_mut().filter(|_| is_hushed) {
            selected.view.lose(gone);
        }
    }

    /// The client has added messages to a mailbox of the account that the session has turned to.
    pub(crate) fn note_all_added(&mut self, mailbox: MailboxId, uids: &UidRanges) {
        for (first, last) in uids.ranges() {
            self.note_added(mailbox, first, last.0 - first.0 + 1);
        }
    }

    /// The same, one after the other.
    pub(crate) fn note_added(&mut self, mailbox: MailboxId, first: Uid, count: u32) {
        let account = self.backend.account();
        if let Some(known) = self.known(account) {
            known.note_added(mailbox, first, count);
        }
        let is_opened = self.opened.account() == account;
        if let Some(selected) = self.selected.as_mut().filter(|_| is_opened)
            && selected.mailbox == mailbox
            && let Some(more) = count.checked_sub(1)
        {
            selected.arrivals.note_own(first, Uid(first.0 + more));
        }
    }
}
