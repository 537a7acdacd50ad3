//! NOTIFY (RFC 5465): the client says once what it wants to hear of, and hears it at any time.
//!
//! ```text
//!   input ──────────────────────────► the next command
//!   a hint ─► the selected mailbox    as after a command, if SELECTED asks for it
//!          └► all others              Known before, the folders now ─► LIST, STATUS, METADATA
//!   nothing for long ─► "Still here", so that routers in between do not forget the connection
//! ```
//!
//! What is wanted of the selected mailbox is decided here and told in [`crate::sync`] and
//! `arrivals`; all other events come out of a comparison of states: `watch` says whose mail is
//! watched, `others` reads it, `known` compares, and `own` notes what the client does itself. The
//! state lives in the session: whatever leader dies, it is compared with what the next one knows.
//!
//! Without SELECTED the view of the selected mailbox stands still (RFC 5465 section 5): nothing
//! that others do is taken in, and only what the client itself removes is told, or what it asks for
//! by VANISHED of UID FETCH. NOTIFY SET tells what has gathered meanwhile.

mod arrivals;
mod known;
mod others;
mod own;
mod renames;
mod watch;

use std::future::pending;
use std::pin::Pin;

use mailbox::Folder;

use crate::backend::{Backend, Transport};
use crate::connection::{Request, Woken};
use crate::grammar::{FetchItem, Notify};
use crate::respond::Code;
use crate::state::{Done, Result, Session, Stop};
use crate::sync::Expunges;

use known::{Known, first_items, may_read};
use others::Seen;

pub(crate) use arrivals::Arrivals;
pub(crate) use watch::Watch;

impl<T: Transport, B: Backend> Session<'_, T, B> {
    pub(crate) async fn notify(&mut self, notify: &Notify) -> Result<Done> {
        let done = Done::text("NOTIFY completed");
        let Notify::Set(set) = notify else {
            self.watch(Watch::default());
            return Ok(done);
        };
        if set.groups.iter().any(|group| group.events.unknown) {
            return Err(Stop::no(Code::BadEvent, "There is no such event here"));
        }
        let mut watch = Watch::new(set, self.conn.out.is_utf8());
        let all = Box::pin(self.begin_watching(&mut watch)).await?;
        let fetched = watch.selected.iter().flat_map(|of| &of.fetch);
        if { fetched }.any(|item| *item == FetchItem::ModSeq) {
            self.enable_condstore();
        }
        let flushed = self.flush_selected().await?;
        if let Some(account) = watch.account(self.opened.account()) {
            account.known.hear(flushed);
        }
        if set.status {
            self.tell_first_status(&watch, &all).await?;
        }
        self.watch(watch);
        Ok(done)
    }

    /// Tells all that has gathered in the selected mailbox, as NOOP would if there were no NOTIFY.
    /// Returns what the client has heard.
    async fn flush_selected(&mut self) -> Result<Known> {
        let before = self.notify.take();
        self.watch(Watch::of_selected(self.opened.clone()));
        let result = self.refresh(Expunges::Tell).await;
        let flushed = self.notify.take();
        if let (Err(_), Some(before)) = (&result, before) {
            self.watch(*before);
        }
        let heard = flushed.and_then(|flushed| flushed.accounts.into_iter().next());
        result.map(|()| heard.map(|account| account.known).unwrap_or_default())
    }

    async fn tell_first_status(&mut self, watch: &Watch<B>, all: &[Seen]) -> Result<()> {
        let opened = self.opened.account();
        for (account, seen) in watch.accounts.iter().zip(all) {
            let is_opened = account.backend.account() == opened;
            let selected = self.selected.as_ref().filter(|_| is_opened);
            let selected = selected.map(|selected| selected.mailbox);
            let is_own = account.backend.guest().is_none();
            let is_other = |folder: &&Folder| folder.exists && Some(folder.id) != selected;
            for folder in seen.folders.iter().filter(is_other) {
                let wanted = watch.wanted(&folder.name, folder.subscribed, is_own);
                if wanted.messages && may_read(folder) {
                    let items = first_items(wanted.flags, self.condstore);
                    self.tell_status(folder, &items).await?;
                    self.conn.relieve().await?;
                }
            }
        }
        Ok(())
    }

    /// From now on this is what the client wants.
    fn watch(&mut self, watch: Watch<B>) {
        let is_hushed = watch.selected.as_ref().is_some_and(|of| !of.flags);
        self.notify = Some(Box::new(watch));
        if let Some(selected) = &mut self.selected {
            selected.view.hush_flags(is_hushed);
        }
    }

    /// A mailbox has been selected: what the client heard with it is known.
    pub(crate) fn watch_selected(&mut self, folder: &Folder) {
        let Some(watch) = &mut self.notify else {
            return;
        };
        if let Some(account) = watch.account(self.opened.account()) {
            account.known.forget_other(folder);
            account.known.note_messages(folder);
        }
        let is_hushed = watch.selected.as_ref().is_some_and(|of| !of.flags);
        if let Some(selected) = &mut self.selected {
            selected.view.hush_flags(is_hushed);
        }
    }

    /// The selected mailbox is about to be so no more.
    pub(crate) fn watch_unselected(&mut self) {
        let (Some(watch), Some(selected)) = (&mut self.notify, &self.selected) else {
            return;
        };
        // What was not told of it may have to be told now.
        watch.is_due = true;
        if let Some(account) = watch.account(self.opened.account()) {
            account.is_due = true;
            if !selected.view.gone().is_empty() {
                account.known.forget_messages(selected.mailbox);
            }
        }
    }

    /// The client is about to hear of this state of the selected mailbox.
    pub(crate) fn watch_told(&mut self, folder: Option<&Folder>) {
        if let (Some(watch), Some(folder)) = (&mut self.notify, folder)
            && let Some(account) = watch.account(self.opened.account())
        {
            account.known.note_messages(folder);
        }
    }

    /// Notes a hint that was heard elsewhere, of the account whose mailbox is selected.
    pub(crate) fn watch_hinted(&mut self) {
        if let Some(watch) = &mut self.notify {
            watch.hint(&[self.opened.account()]);
        }
    }

    /// What is to be told was not told to its end.
    fn watch_interrupted(&mut self) {
        if let Some(watch) = &mut self.notify {
            watch.is_due = true;
        }
    }

    /// Whether the client wants to hear nothing of the selected mailbox.
    pub(crate) fn is_hushed(&self) -> bool {
        let watch = self.notify.as_ref();
        watch.is_some_and(|watch| watch.selected.is_none())
    }

    /// Whether there is something to be told that nothing more has to happen for.
    pub(crate) fn has_more_to_tell(&self) -> bool {
        self.notify.as_ref().is_some_and(|watch| watch.is_due)
    }

    /// Whether reading what is to be told has failed.
    pub(crate) fn is_behind(&self) -> bool {
        let selected = self.selected.as_ref();
        selected.is_some_and(|selected| selected.is_stale && !self.is_hushed())
            || self.notify.as_ref().is_some_and(|watch| watch.is_stale)
    }

    /// The next command. Until it comes, what NOTIFY asks for is told, and what the client may ask
    /// for is worked out.
    pub(crate) async fn next_request(&mut self) -> Result<Request> {
        let watch = self.notify.as_ref();
        if watch.is_some_and(|watch| watch.is_listening()) {
            return Box::pin(self.listen()).await;
        }
        if self.has_fresh() {
            Box::pin(self.work_out_fresh()).await?;
        }
        self.conn.request().await
    }

    async fn listen(&mut self) -> Result<Request> {
        // Whoever has said something already does not wait for what is to be read elsewhere.
        if let Some(request) = self.conn.begun()? {
            return Ok(request);
        }
        // Nor for the answer to what it said before.
        self.conn.flush().await?;
        let mut timer = Box::pin(self.conn.transport.sleep(self.patience()));
        loop {
            self.tell_between().await?;
            if let Some(request) = self.conn.begun()? {
                return Ok(request);
            }
            let has_news = self.conn.has_news();
            self.conn.flush().await?;
            if self.has_more_to_tell() {
                continue;
            }
            if has_news || self.is_behind() {
                timer.set(self.conn.transport.sleep(self.patience()));
            }
            self.hear(timer.as_mut()).await?;
        }
    }

    /// Waits for something to do.
    async fn hear(&mut self, mut timer: Pin<&mut T::Sleep>) -> Result<()> {
        match self.wait(timer.as_mut()).await? {
            Woken::Read(bytes) => return self.conn.push(bytes),
            Woken::Worked(()) => return Ok(()),
            Woken::Changed(_) => {}
            Woken::Timer if self.is_behind() => self.watch_interrupted(),
            Woken::Timer => self.conn.out.untagged_ok(None, "Still here"),
        }
        timer.set(self.conn.transport.sleep(self.patience()));
        Ok(())
    }

    /// Waits for the client, for the timer, or for a change that may have to be told. Meanwhile
    /// what the client may ask for next is worked out.
    pub(crate) async fn wait(&mut self, timer: Pin<&mut T::Sleep>) -> Result<Woken<()>> {
        let accounts = match &self.notify {
            Some(watch) => watch.waited_for(&self.opened),
            None => vec![&self.opened],
        };
        let waiting = match self.next_fresh() {
            Some(next) => {
                let work = Box::pin(next.work(&self.opened));
                self.conn.wait(&accounts, work, timer).await
            }
            None => self.conn.wait(&accounts, pending(), timer).await,
        };
        let woken = waiting?;
        match (&woken, &mut self.notify) {
            (Woken::Changed(which), Some(watch)) => watch.hint(which),
            (Woken::Worked(()), _) => self.done_fresh(),
            _ => {}
        }
        Ok(woken)
    }

    /// Tells what is due between two commands.
    async fn tell_between(&mut self) -> Result<()> {
        let Some(watch) = &self.notify else {
            return Ok(());
        };
        let (is_due, of) = (watch.is_due, watch.selected.as_ref());
        let expunges = match of {
            Some(of) if !of.is_delayed => Expunges::Tell,
            _ => Expunges::Hold,
        };
        if is_due {
            return self.tell_all(expunges).await;
        }
        // A command may have kept some back.
        let gone = self.selected.as_ref().map(|selected| selected.view.gone());
        if expunges == Expunges::Tell && gone.is_some_and(|gone| !gone.is_empty()) {
            self.backend = self.opened.clone();
            self.tell(crate::view::News::default(), expunges).await?;
        }
        Ok(())
    }

    /// Tells what changed, in the selected mailbox and elsewhere. A failure costs a delay.
    pub(crate) async fn tell_all(&mut self, expunges: Expunges) -> Result<()> {
        self.refresh_near(expunges).await?;
        let Some(watch) = &mut self.notify else {
            return Ok(());
        };
        watch.is_due = false;
        watch.is_stale = false;
        match watch.has_groups() {
            true => Box::pin(self.tell_others()).await,
            false => Ok(()),
        }
    }
}
