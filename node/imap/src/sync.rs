//! Telling the client what others did to the mailbox that it has selected.

use futures_util::FutureExt as _;
use mailbox::{Answer, Flags, ModSeq, Query, Rights, Uid, UidRanges};

use crate::backend::{Backend, Transport};
use crate::cmd::others::{is_refusal, only_reads};
use crate::cmd::store::ranges;
use crate::cmd::uid_only::Line;
use crate::flags;
use crate::limits;
use crate::respond::Code;
use crate::state::{End, Reading, Result, Session, Stop};
use crate::view::News;

/// Whether EXPUNGE may be sent now (invariant I1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expunges {
    /// Tell them.
    Tell,
    /// Keep them for later.
    Hold,
}

impl<T: Transport, B: Backend> Session<'_, T, B> {
    /// Reads what changed in the selected mailbox, and tells it: flags, EXISTS, RECENT, and EXPUNGE
    /// if it may be sent.
    pub(crate) async fn refresh(&mut self, expunges: Expunges) -> Result<()> {
        self.take_changes(expunges, Reading::Latest).await
    }

    async fn take_changes(&mut self, expunges: Expunges, reading: Reading) -> Result<()> {
        self.backend = self.opened.clone();
        if self.is_hushed() {
            return Box::pin(self.tell(News::default(), expunges)).await;
        }
        let account = self.backend.account();
        while let Some(selected) = &self.selected {
            let (mailbox, since) = (selected.mailbox, selected.view.since());
            let uid_validity = selected.uid_validity;
            let query = Query::Changes {
                account,
                mailbox,
                since,
            };
            let pick = |answer| match answer {
                Answer::Changes(changes) => Some(changes),
                _ => None,
            };
            let changes = match self.ask_selected(reading, query, pick).await {
                Err(stop) if self.is_guest() && is_refusal(&stop) => return Err(self.expel()),
                changes => changes.map_err(mailbox_gone)?,
            };
            let found = changes.folder.as_ref();
            let Some(folder) = found.filter(|folder| folder.uid_validity == uid_validity) else {
                return Err(if self.is_guest() {
                    self.expel()
                } else {
                    gone()
                });
            };
            self.tell_rights(folder.guest);
            if folder.vanished_floor > since {
                self.resync().await?;
            }
            let more = changes.more;
            self.note_changed(&changes);
            if !more {
                self.watch_told(changes.folder.as_ref());
            }
            let selected = self.selected()?;
            let news = selected.view.absorb(changes);
            selected.arrivals.note(&news.arrived);
            self.note_fresh(&news.arrived);
            self.claim_recent(&news.arrived).await?;
            self.tell(news, expunges).await?;
            if !more {
                break;
            }
        }
        Ok(())
    }

    /// Like [`Session::refresh`], if there is reason to believe that something changed. A failure
    /// costs a delay and not the command that was done before.
    pub(crate) async fn refresh_if_hinted(&mut self, expunges: Expunges) -> Result<()> {
        let Some(selected) = &self.selected else {
            return Ok(());
        };
        self.backend = self.opened.clone();
        let is_due = selected.is_stale || selected.view.is_ahead_of_changes();
        let is_hinted = self.backend.changed().now_or_never().is_some();
        if is_hinted {
            self.watch_hinted();
        }
        if is_due || is_hinted {
            return self.refresh_near(expunges).await;
        }
        Box::pin(self.tell(News::default(), expunges)).await
    }

    /// Like [`Session::refresh`], after a command that was done: a failure costs a delay.
    pub(crate) async fn refresh_after(&mut self, expunges: Expunges) -> Result<()> {
        self.refresh_or_delay(expunges, Reading::Latest).await
    }

    /// The same after a hint: whoever hinted has applied what it hints at, and is near.
    pub(crate) async fn refresh_near(&mut self, expunges: Expunges) -> Result<()> {
        self.refresh_or_delay(expunges, Reading::Near).await
    }

    async fn refresh_or_delay(&mut self, expunges: Expunges, reading: Reading) -> Result<()> {
        if let Some(selected) = &mut self.selected {
            selected.is_stale = false;
        }
        let result = Box::pin(self.take_changes(expunges, reading)).await;
        self.or_delay(result)
    }

    /// What was not told is told later.
    fn or_delay(&mut self, result: Result<()>) -> Result<()> {
        match result {
            Err(Stop::No(..) | Stop::Bad(_) | Stop::BadCode(..)) => {
                if let Some(selected) = &mut self.selected {
                    selected.is_stale = true;
                }
                Ok(())
            }
            result => result,
        }
    }

    /// Tells what the view knows and the client does not. What goes beyond the view is told later
    /// if it cannot be read now: no command depends on it.
    pub(crate) async fn tell(&mut self, news: News, expunges: Expunges) -> Result<()> {
        if expunges == Expunges::Tell {
            self.tell_removed();
        }
        let Some(selected) = &mut self.selected else {
            return Ok(());
        };
        if expunges == Expunges::Tell && (self.qresync || self.uid_only) {
            let gone = selected.view.vanish();
            self.tell_vanished(false, &gone).await?;
        } else if expunges == Expunges::Tell {
            for sequence in selected.view.expunge() {
                self.conn.out.expunge(sequence);
                self.conn.relieve().await?;
            }
        }
        let (exists, recent) = self.selected()?.view.counts();
        if let Some(exists) = exists {
            self.conn.out.exists(exists);
        }
        if let Some(recent) = recent {
            self.conn.out.recent(recent);
        }
        for (uid, modseq, flags) in news.flags {
            // RFC 5465 section 5.1, RFC 9051 section 7.5.2.
            let with_uid = self.condstore || self.rev2 || self.notify.is_some();
            self.tell_flags(uid, modseq, &flags, with_uid);
            self.conn.relieve().await?;
        }
        let mut told = Box::pin(self.tell_changed()).await;
        if told.is_ok() {
            told = Box::pin(self.tell_arrived()).await;
        }
        self.or_delay(told)
    }

    /// Writes VANISHED, in several lines if it is long; `earlier` for what has no sequence numbers
    /// in this session.
    pub(crate) async fn tell_vanished(&mut self, earlier: bool, uids: &UidRanges) -> Result<()> {
        for part in ranges(uids).chunks(limits::VANISHED_RANGES) {
            self.conn.out.vanished(earlier, part);
            self.conn.relieve().await?;
        }
        Ok(())
    }

    /// Writes an unsolicited FETCH with a message's flags.
    pub(crate) fn tell_flags(&mut self, uid: Uid, modseq: ModSeq, flags: &Flags, with_uid: bool) {
        self.tell_keywords(flags);
        let Some(selected) = &mut self.selected else {
            return;
        };
        let Some(line) = Line::of(&selected.view, uid, self.uid_only) else {
            return;
        };
        if self.condstore {
            selected.view.show(modseq);
        }
        let out = &mut self.conn.out;
        line.begin(out);
        if with_uid {
            line.uid(out);
        }
        out.fetch_flags(flags::names(flags, selected.view.is_recent(uid)));
        if self.condstore {
            out.fetch_modseq(modseq.0);
        }
        out.fetch_end();
    }

    /// Writes FLAGS if there are keywords that the client does not know (RFC 3501 section 7.2.6).
    pub(crate) fn tell_keywords(&mut self, flags: &Flags) {
        let Some(selected) = &mut self.selected else {
            return;
        };
        let known = &mut selected.keywords;
        let is_new = |keyword: &&String| !known.iter().any(|k| k.eq_ignore_ascii_case(keyword));
        let new: Vec<String> = flags.keywords().iter().filter(is_new).cloned().collect();
        if !new.is_empty() {
            known.extend(new);
            self.conn.out.flags(flags::all(known));
            let code = flags::permitted(known, selected.read_only, selected.guest);
            self.conn.out.untagged_ok(Some(&code), "More keywords");
        }
    }

    /// What the user may do in a mailbox of another may change at any time (RFC 4314 section
    /// 5.1.1).
    fn tell_rights(&mut self, now: Option<Rights>) {
        let Some(selected) = self.selected.as_mut().filter(|it| it.guest != now) else {
            return;
        };
        selected.guest = now;
        selected.read_only = selected.examined || only_reads(now);
        self.conn.out.flags(flags::all(&selected.keywords));
        let code = flags::permitted(&selected.keywords, selected.read_only, now);
        self.conn
            .out
            .untagged_ok(Some(&code), "Your rights have changed");
    }

    /// Switches CONDSTORE on, for the rest of the session (RFC 7162 section 3.1).
    pub(crate) fn enable_condstore(&mut self) {
        if self.condstore {
            return;
        }
        self.condstore = true;
        if let Some(selected) = &self.selected {
            let code = Code::HighestModSeq(selected.view.highest_modseq().0);
            self.conn.out.untagged_ok(Some(&code), "CONDSTORE enabled");
        }
    }

    /// Makes messages that arrived recent in this session, unless another session was first. If
    /// that cannot be told they are: a message may be recent twice, never not at all.
    async fn claim_recent(&mut self, arrived: &UidRanges) -> Result<()> {
        let Some(selected) = &self.selected else {
            return Ok(());
        };
        if arrived.is_empty() || self.rev2 {
            return Ok(());
        }
        let claim = if selected.read_only || selected.guest.is_some() {
            Uid(0)
        } else {
            selected.view.next_uid()
        };
        let from = self.backend.recent_from(selected.mailbox, claim).await;
        self.selected()?
            .view
            .mark_recent(arrived, from.unwrap_or(Uid(1)));
        Ok(())
    }

    /// Compares the view with the whole mailbox.
    async fn resync(&mut self) -> Result<()> {
        let (account, mailbox) = (self.backend.account(), self.selected()?.mailbox);
        let query = Query::Open { account, mailbox };
        let opened = self.ask(query, |answer| match answer {
            Answer::Opened(opened) => Some(opened),
            _ => None,
        });
        let opened = opened.await.map_err(mailbox_gone)?;
        self.selected()?.view.resync(&opened.uids);
        Ok(())
    }
}

fn gone() -> Stop {
    Stop::Close(
        End::Gone,
        Some((None, "The selected mailbox has been deleted")),
    )
}

/// A mailbox that is selected and does not exist ends the session.
fn mailbox_gone(stop: Stop) -> Stop {
    match stop {
        Stop::No(Some(Code::NonExistent), _) => gone(),
        stop => stop,
    }
}
