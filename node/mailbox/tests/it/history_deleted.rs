//! Steps of random histories that concern what was deleted.

use mailbox::{
    Answer, Command, DeletedFolder, MailboxId, Millis, Outcome, Query, Rejection, Reply, Uid,
};

use crate::history::{History, ranges};
use crate::machine::ALICE;
use crate::steps::{NAMES, Step};

impl History {
    pub fn deleted_step(&mut self, step: Step) {
        let now = self.machine.now;
        match step {
            Step::Undelete {
                from,
                to,
                uids,
                ago,
            } => {
                let since = now.0.saturating_sub(ago);
                let command = Command::Undelete {
                    account: ALICE,
                    from: self.id(from),
                    to: self.id(to),
                    uids: ranges(&uids),
                    since: (ago != u64::MAX).then_some(Millis(since)),
                };
                let outcome = self.propose(command, 0);
                let back = self.agree(&outcome, |model| {
                    model.undelete(NAMES[from], NAMES[to], &uids, since, now.0)
                });
                if let Outcome::Done(Reply::Restored { from, to, next, .. }) = outcome {
                    let (old, new) = back.expect("agreed");
                    assert_eq!(from, old.into_iter().map(Uid).collect());
                    assert_eq!(to, new.into_iter().map(Uid).collect());
                    assert_eq!(next, None);
                }
            }
            Step::Restore { which, name } => self.restore(which, name),
            Step::Purge(name) => {
                let outcome = self.purge(self.id(name));
                let purged = self.agree(&outcome, |model| model.purge(NAMES[name]));
                if let Outcome::Done(Reply::Purged {
                    messages, bytes, ..
                }) = outcome
                {
                    assert_eq!(purged, Some((messages, bytes)));
                }
            }
            Step::PurgeDeleted(which) => {
                let Some(folder) = self.deleted(which) else {
                    return;
                };
                let outcome = self.purge(folder.id);
                let mailbox = folder.id.0 as usize - 1;
                self.agree(&outcome, |model| model.purge_deleted(mailbox));
            }
            Step::Retention { own, days } => self.retention(own, days),
            other => unreachable!("{other:?} is done elsewhere"),
        }
    }

    fn purge(&mut self, mailbox: MailboxId) -> Outcome {
        let command = Command::Purge {
            account: ALICE,
            mailbox,
            from: Uid(1),
        };
        self.propose(command, 0)
    }

    fn restore(&mut self, which: usize, name: Option<usize>) {
        let name = name.map(|name| NAMES[name]);
        let Some(folder) = self.deleted(which) else {
            return;
        };
        let command = Command::RestoreMailbox {
            account: ALICE,
            mailbox: folder.id,
            name: name.map(str::to_owned),
        };
        let outcome = self.propose(command, 0);
        let (mailbox, now) = (folder.id.0 as usize - 1, self.machine.now.0);
        let same = self.agree(&outcome, |model| model.restore(mailbox, name, now));
        if let Outcome::Done(Reply::Created {
            mailbox,
            uid_validity,
        }) = outcome
        {
            assert_eq!(mailbox, folder.id);
            let highest = self.lives.values().map(|life| life.0).max();
            let life = self.lives.get_mut(&mailbox);
            if same == Some(true) {
                // If it came and went between two looks, nobody knew it.
                assert!(life.is_none_or(|life| life.0 == uid_validity), "M2");
            } else {
                assert!(Some(uid_validity) > highest, "M2");
                if let Some(life) = life {
                    life.0 = uid_validity;
                }
                self.views.remove(&mailbox);
            }
        }
    }

    fn retention(&mut self, own: bool, days: Option<u64>) {
        let retention = days.map(|days| Millis(days * 86_400_000));
        let command = match (own, retention) {
            (false, Some(retention)) => Command::SetDefaultRetention { retention },
            _ => Command::SetRetention {
                account: ALICE,
                retention,
            },
        };
        assert_eq!(self.propose(command, 0), Outcome::Done(Reply::Nothing));
        let Answer::Usage(usage) = self.machine.ask(&Query::Usage { account: ALICE }) else {
            unreachable!("usage");
        };
        if own && let Some(retention) = retention {
            assert_eq!((usage.retention, usage.own_retention), (retention, true));
        }
        self.alice().retention = usage.retention.0;
        self.settle();
    }

    /// Ticks run until nothing is due.
    pub fn settle(&mut self) {
        self.machine.settle_with(&mut self.pending);
        let now = self.machine.now.0;
        self.alice().expire(now);
    }

    fn deleted(&self, which: usize) -> Option<DeletedFolder> {
        let mut folders = self.machine.deleted_folders(ALICE);
        let at = which % folders.len().max(1);
        (at < folders.len()).then(|| folders.swap_remove(at))
    }

    /// What can be restored, and how much it is (M5).
    pub fn compare_deleted(&mut self) {
        let now = self.machine.now;
        let Answer::Usage(usage) = self.machine.ask(&Query::Usage { account: ALICE }) else {
            unreachable!("usage");
        };
        let folders = self.machine.deleted_folders(ALICE);
        let model = self.models.get_mut(&ALICE).expect("made first");
        let retention = model.retention;
        let held = (usage.held_messages, usage.held_bytes);
        assert_eq!(held, model.held(), "M5");
        let mut told: Vec<_> = folders
            .iter()
            .map(|folder| {
                let (messages, bytes) = (folder.messages as usize, folder.bytes);
                (folder.id.0 as usize - 1, &folder.name, messages, bytes)
            })
            .collect();
        told.sort_unstable();
        let kept = model
            .deleted
            .iter()
            .filter(|one| one.at + retention > now.0);
        let mut kept: Vec<_> = kept
            .map(|one| {
                let mails = &model.mailboxes[one.mailbox].mails;
                let bytes = mails.iter().map(|mail| mail.size).sum();
                (one.mailbox, &one.name, mails.len(), bytes)
            })
            .collect();
        kept.sort_unstable();
        assert_eq!(told, kept);
        for name in NAMES {
            let Some(mailbox) = model.mailbox(name).cloned() else {
                continue;
            };
            let id = self.machine.folder(ALICE, name).id;
            let told = self.machine.deleted(ALICE, id);
            let told: Vec<_> = told.iter().map(|one| (one.uid.0, one.size)).collect();
            let kept = mailbox.gone.iter().filter(|(_, at)| at + retention > now.0);
            let mut kept: Vec<_> = kept.map(|(mail, _)| (mail.uid, mail.size)).collect();
            kept.sort_unstable();
            assert_eq!(told, kept, "{name}");
        }
    }
}

/// What no step may do.
#[test]
fn nothing_comes_back_from_nowhere() {
    let mut machine = crate::machine::Machine::with_account(ALICE);
    let restore = |mailbox| Command::RestoreMailbox {
        account: ALICE,
        mailbox,
        name: None,
    };
    assert_eq!(
        machine.rejected(restore(MailboxId::INBOX)),
        Rejection::NoMailbox
    );
    assert_eq!(
        machine.rejected(restore(MailboxId(9))),
        Rejection::NoMailbox
    );
}
