//! SELECT, EXAMINE, CLOSE and UNSELECT (RFC 3501 sections 6.3.1, 6.3.2, 6.4.2; RFC 3691).

use mailbox::{Answer, Opened, Query, Rights, Uid, UidRanges};

use crate::backend::{Backend, Transport};
use crate::cmd::others::{is_refusal, only_reads};
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
        let folder = self.folder_with(&select.mailbox, Rights::READ).await?;
        let (account, mailbox) = (self.backend.account(), folder.id);
        let opened = self.ask(Query::Open { account, mailbox }, |answer| match answer {
            Answer::Opened(opened) => Some(opened),
            _ => None,
        });
        let opened = opened.await?;
        let listed = self.listed(&opened.folder, &select.mailbox).await?;
        let guest = opened.folder.guest;
        let examined = read_only;
        let read_only = examined || only_reads(guest);
        let mut view = View::open(&opened);
        // IMAP4rev2 knows no recent messages.
        if !self.rev2 {
            let claim = if read_only || guest.is_some() {
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
        self.opened = self.backend.clone();
        self.selected = Some(Selected {
            mailbox,
            uid_validity,
            read_only,
            examined,
            guest,
            view,
            is_stale: false,
            updates: Box::default(),
            arrivals: Box::default(),
            fresh: UidRanges::new(),
            keywords,
        });
        self.watch_selected(&opened.folder);
        if let Some(known) = &select.qresync {
            self.resynchronise(known).await?;
        }
        let code = match read_only {
            true => Code::ReadOnly,
            false => Code::ReadWrite,
        };
        let text = match examined {
            true => "EXAMINE completed",
            false => "SELECT completed",
        };
        Ok(Done {
            code: Some(code),
            text,
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
        let guest = opened.folder.guest;
        let permanent = flags::permitted(&opened.keywords, read_only, guest);
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
        self.opened = self.home.clone();
        self.structures = Vec::new();
        Ok(Done::text("UNSELECT completed"))
    }

    /// Expunges without a word, unless the mailbox was only examined or the user may not (RFC 4314
    /// section 4).
    pub(crate) async fn close(&mut self) -> Result<Done> {
        if !self.selected()?.read_only {
            match self.expunge_all().await {
                Err(stop) if self.is_guest() && is_refusal(&stop) => {}
                expunged => expunged?,
            }
        }
        self.unselect()?;
        Ok(Done::text("CLOSE completed"))
    }
}
