//! SELECT, EXAMINE, CLOSE and UNSELECT (RFC 3501 sections 6.3.1, 6.3.2, 6.4.2; RFC 3691).

use mailbox::{Answer, Opened, Query, Uid};

use crate::backend::{Backend, Transport};
use crate::flags;
use crate::grammar::Select;
use crate::respond::Code;
use crate::state::{Done, Result, Selected, Session, Stop};
use crate::view::View;

impl<T: Transport, B: Backend> Session<'_, T, B> {
    /// Whatever becomes of it, what was selected before is so no more.
    pub(crate) async fn select(&mut self, select: &Select, read_only: bool) -> Result<Done> {
        if select.qresync.is_some() && !self.qresync {
            return Err(Stop::Bad("ENABLE QRESYNC first"));
        }
        if self.selected.is_some() {
            self.unselect()?;
            self.conn
                .out
                .untagged_ok(Some(&Code::Closed), "The previous mailbox is closed");
        }
        if select.condstore {
            self.enable_condstore();
        }
        let folder = self.folder(&select.mailbox).await?;
        let (account, mailbox) = (self.backend.account(), folder.id);
        let opened = self.ask(Query::Open { account, mailbox }, |answer| match answer {
            Answer::Opened(opened) => Some(opened),
            _ => None,
        });
        let opened = opened.await?;
        let listed = self.listed(&opened.folder, &select.mailbox).await?;
        let mut view = View::open(&opened);
        // IMAP4rev2 knows no recent messages.
        if !self.rev2 {
            let claim = if read_only {
                Uid(0)
            } else {
                opened.folder.uid_next
            };
            let recent_from = self.backend.recent_from(mailbox, claim).await?;
            view.mark_recent(&opened.uids, recent_from);
        }
        self.describe(&opened, &mut view, read_only);
        self.tell_listed(listed.as_ref());
        let uid_validity = opened.folder.uid_validity;
        let keywords = opened.keywords;
        self.selected = Some(Selected {
            mailbox,
            uid_validity,
            read_only,
            view,
            is_stale: false,
            updates: Box::default(),
            arrivals: Box::default(),
            keywords,
        });
        self.watch_selected(&opened.folder);
        if let Some(known) = &select.qresync {
            self.resynchronise(known).await?;
        }
        Ok(if read_only {
            Done {
                code: Some(Code::ReadOnly),
                text: "EXAMINE completed",
            }
        } else {
            Done {
                code: Some(Code::ReadWrite),
                text: "SELECT completed",
            }
        })
    }

    fn describe(&mut self, opened: &Opened, view: &mut View, read_only: bool) {
        let out = &mut self.conn.out;
        out.flags(flags::all(&opened.keywords));
        out.exists(view.messages());
        // From here on only what differs is told.
        view.counts();
        if !self.rev2 {
            out.recent(view.recent());
        }
        let unseen = opened.first_unseen.and_then(|uid| view.sequence(uid));
        if let Some(unseen) = unseen.filter(|_| !self.uid_only && !self.rev2) {
            out.untagged_ok(Some(&Code::Unseen(unseen)), "First unseen message");
        }
        let permanent = flags::permanent(&opened.keywords, read_only);
        out.untagged_ok(Some(&permanent), "Flags that last");
        out.untagged_ok(Some(&Code::UidNext(opened.folder.uid_next.0)), "Next UID");
        out.untagged_ok(
            Some(&Code::UidValidity(opened.folder.uid_validity.0)),
            "UIDs are valid",
        );
        let id = opened.folder.id.object_id(self.backend.account());
        out.untagged_ok(Some(&Code::MailboxId(id)), "The mailbox's id");
        let modseq = Code::HighestModSeq(opened.folder.highest_modseq.0);
        out.untagged_ok(Some(&modseq), "Highest mod-sequence");
    }

    pub(crate) fn unselect(&mut self) -> Result<Done> {
        self.watch_unselected();
        self.selected = None;
        self.structures = Vec::new();
        Ok(Done::text("UNSELECT completed"))
    }

    /// Expunges without a word, unless the mailbox was only examined.
    pub(crate) async fn close(&mut self) -> Result<Done> {
        if !self.selected()?.read_only {
            self.expunge_all().await?;
        }
        self.unselect()?;
        Ok(Done::text("CLOSE completed"))
    }
}
