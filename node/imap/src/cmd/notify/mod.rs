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
//! `arrivals`; all other events come out of a comparison of states (`known`). The state lives in
//! the session: whatever leader dies, it is compared with what the next one knows.
//!
//! Without SELECTED the view of the selected mailbox stands still (RFC 5465 section 5): nothing
//! that others do is taken in, and only what the client itself removes is told. NOTIFY SET tells
//! what has gathered meanwhile.

mod arrivals;
mod known;

use std::collections::BTreeSet;
use std::pin::Pin;

use mailbox::{Annotation, Command, Folder, MailboxId, Reply, Uid, UidRanges};

use crate::backend::{Backend, Transport};
use crate::cmd::list;
use crate::connection::{Request, Woken};
use crate::grammar::{Events, FetchItem, Notify, NotifyMailboxes, NotifySet};
use crate::limits;
use crate::names;
use crate::respond::{Code, ListAttribute};
use crate::state::{Done, Result, Session, Stop};
use crate::sync::Expunges;

use known::{Known, News, Terms, Wanted, first_items};

pub(crate) use arrivals::Arrivals;

/// What a client that has used NOTIFY wants to hear of. By default that is nothing.
#[derive(Default)]
pub(crate) struct Watch {
    /// Of the selected mailbox; `None` if nothing.
    selected: Option<OfSelected>,
    /// Of all others, and of names.
    groups: Vec<Group>,
    known: Known,
    /// Whether states are to be compared.
    is_due: bool,
    /// Whether the last comparison failed.
    is_stale: bool,
}

/// What is wanted of the selected mailbox: new and expunged messages, and perhaps more.
struct OfSelected {
    /// Whether EXPUNGE waits for a command that allows it (RFC 5465 section 6.1.2).
    is_delayed: bool,
    /// Whether changes of flags are.
    flags: bool,
    /// What is told of new messages.
    fetch: Vec<FetchItem>,
}

struct Group {
    mailboxes: Mailboxes,
    events: Events,
}

/// Names in UTF-8.
enum Mailboxes {
    All,
    Subscribed,
    Subtree(BTreeSet<String>),
    Named(BTreeSet<String>),
}

impl Mailboxes {
    /// What is no name can be no mailbox's (RFC 5465 section 3.1). Mail may be delivered into any
    /// mailbox, so all of the user's are inboxes (section 6.3).
    fn of(mailboxes: &NotifyMailboxes, utf8: bool) -> Mailboxes {
        let decoded = |raw: &[bytes::Bytes]| {
            let names = raw.iter().filter_map(|raw| names::decode(raw, utf8).ok());
            names.collect()
        };
        match mailboxes {
            NotifyMailboxes::Subscribed => Mailboxes::Subscribed,
            NotifyMailboxes::Subtree(raw) => Mailboxes::Subtree(decoded(raw)),
            NotifyMailboxes::Mailboxes(raw) => Mailboxes::Named(decoded(raw)),
            _ => Mailboxes::All,
        }
    }

    fn has(&self, name: &str, is_subscribed: bool) -> bool {
        match self {
            Mailboxes::All => true,
            Mailboxes::Subscribed => is_subscribed,
            Mailboxes::Subtree(roots) => {
                roots.contains(name) || names::parents(name).any(|above| roots.contains(above))
            }
            Mailboxes::Named(names) => names.contains(name),
        }
    }
}

impl Watch {
    fn new(set: &NotifySet, utf8: bool) -> Watch {
        let mut watch = Watch::default();
        for group in &set.groups {
            let events = group.events.clone();
            match &group.mailboxes {
                NotifyMailboxes::Selected | NotifyMailboxes::SelectedDelayed => {
                    let is_delayed = group.mailboxes == NotifyMailboxes::SelectedDelayed;
                    watch.selected = events.messages.then_some(OfSelected {
                        is_delayed,
                        flags: events.flags,
                        fetch: events.fetch,
                    });
                }
                mailboxes if events != Events::default() => watch.groups.push(Group {
                    mailboxes: Mailboxes::of(mailboxes, utf8),
                    events,
                }),
                _ => {}
            }
        }
        watch
    }

    /// What all groups together want of a name.
    fn wanted(&self, name: &str, is_subscribed: bool) -> Wanted {
        let mut wanted = Wanted::default();
        let groups = self.groups.iter();
        for group in groups.filter(|group| group.mailboxes.has(name, is_subscribed)) {
            wanted.messages |= group.events.messages;
            wanted.flags |= group.events.flags;
            wanted.names |= group.events.names;
            wanted.subscriptions |= group.events.subscriptions;
            wanted.metadata |= group.events.metadata;
        }
        wanted
    }

    fn wants_server_metadata(&self) -> bool {
        self.groups.iter().any(|group| group.events.server_metadata)
    }

    fn wants_annotations(&self) -> bool {
        let wants = |group: &Group| group.events.metadata || group.events.server_metadata;
        self.groups.iter().any(wants)
    }

    fn is_listening(&self) -> bool {
        self.selected.is_some() || !self.groups.is_empty()
    }
}

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
        let (folders, annotations) = self.states(&watch).await?;
        watch.known = Known::of(&folders, annotations.as_deref());
        if watch.known.bytes() > limits::NOTIFY_STATE_BYTES_MAX {
            let text = "There are too many mailboxes to be watched";
            return Err(Stop::no(Code::NotificationOverflow, text));
        }
        let fetched = watch.selected.iter().flat_map(|of| &of.fetch);
        if { fetched }.any(|item| *item == FetchItem::ModSeq) {
            self.enable_condstore();
        }
        let flushed = self.flush_selected().await?;
        watch.known.hear(flushed.known);
        if set.status {
            self.tell_first_status(&watch, &folders).await?;
        }
        self.watch(watch);
        Ok(done)
    }

    /// Tells all that has gathered in the selected mailbox, as NOOP would if there were no NOTIFY.
    /// Returns what the client has heard.
    async fn flush_selected(&mut self) -> Result<Watch> {
        let before = self.notify.take();
        let all = OfSelected {
            is_delayed: false,
            flags: true,
            fetch: Vec::new(),
        };
        self.watch(Watch {
            selected: Some(all),
            ..Watch::default()
        });
        let result = self.refresh(Expunges::Tell).await;
        let flushed = self.notify.take().map(|flushed| *flushed);
        if let (Err(_), Some(before)) = (&result, before) {
            self.watch(*before);
        }
        result.map(|()| flushed.unwrap_or_default())
    }

    async fn tell_first_status(&mut self, watch: &Watch, folders: &[Folder]) -> Result<()> {
        let selected = self.selected.as_ref().map(|selected| selected.mailbox);
        let is_other = |folder: &&Folder| folder.exists && Some(folder.id) != selected;
        for folder in folders.iter().filter(is_other) {
            let wanted = watch.wanted(&folder.name, folder.subscribed);
            if wanted.messages {
                let items = first_items(wanted.flags, self.condstore);
                self.tell_status(folder, &items).await?;
                self.conn.relieve().await?;
            }
        }
        Ok(())
    }

    /// From now on this is what the client wants.
    fn watch(&mut self, watch: Watch) {
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
        watch.known.forget_other(folder);
        watch.known.note_messages(folder);
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
        if !selected.view.gone().is_empty() {
            watch.known.forget_messages(selected.mailbox);
        }
    }

    /// The client is about to hear of this state of the selected mailbox.
    pub(crate) fn watch_told(&mut self, folder: Option<&Folder>) {
        if let (Some(watch), Some(folder)) = (&mut self.notify, folder) {
            watch.known.note_messages(folder);
        }
    }

    /// Notes a hint that was heard elsewhere.
    pub(crate) fn watch_hinted(&mut self) {
        if let Some(watch) = &mut self.notify {
            watch.is_due = true;
        }
    }

    /// Whether the client wants to hear nothing of the selected mailbox.
    pub(crate) fn is_hushed(&self) -> bool {
        let watch = self.notify.as_ref();
        watch.is_some_and(|watch| watch.selected.is_none())
    }

    /// Whether reading what is to be told has failed.
    pub(crate) fn is_behind(&self) -> bool {
        let selected = self.selected.as_ref();
        selected.is_some_and(|selected| selected.is_stale && !self.is_hushed())
            || self.notify.as_ref().is_some_and(|watch| watch.is_stale)
    }

    /// The next command. Until it comes, what NOTIFY asks for is told.
    pub(crate) async fn next_request(&mut self) -> Result<Request> {
        let watch = self.notify.as_ref();
        if watch.is_some_and(|watch| watch.is_listening()) {
            return Box::pin(self.listen()).await;
        }
        self.conn.request().await
    }

    async fn listen(&mut self) -> Result<Request> {
        let mut timer = Box::pin(self.conn.transport.sleep(self.patience()));
        loop {
            self.tell_between().await?;
            if let Some(request) = self.conn.begun()? {
                return Ok(request);
            }
            let has_news = !self.conn.out.is_empty();
            self.conn.flush().await?;
            if has_news || self.is_behind() {
                timer.set(self.conn.transport.sleep(self.patience()));
            }
            self.hear(timer.as_mut()).await?;
        }
    }

    /// Waits for something to do.
    async fn hear(&mut self, mut timer: Pin<&mut T::Sleep>) -> Result<()> {
        match self.conn.wait(&self.backend, timer.as_mut()).await? {
            Woken::Read(bytes) => return self.conn.push(bytes),
            Woken::Changed => self.watch_hinted(),
            Woken::Timer if self.is_behind() => self.watch_hinted(),
            Woken::Timer => self.conn.out.untagged_ok(None, "Still here"),
        }
        timer.set(self.conn.transport.sleep(self.patience()));
        Ok(())
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
        if watch.groups.is_empty() {
            return Ok(());
        }
        match Box::pin(self.tell_others()).await {
            Err(Stop::No(..) | Stop::Bad(_) | Stop::BadCode(..)) => {
                if let Some(watch) = &mut self.notify {
                    watch.is_stale = true;
                }
                Ok(())
            }
            result => result,
        }
    }

    /// All mailboxes and subscribed names, and annotations if they are watched.
    async fn states(&mut self, watch: &Watch) -> Result<(Vec<Folder>, Option<Vec<Annotation>>)> {
        let folders = self.folders().await?;
        let annotations = match watch.wants_annotations() {
            true => Some(self.annotations(None).await?),
            false => None,
        };
        Ok((folders, annotations))
    }

    /// Compares all mailboxes with what the client knows of them, and tells the difference.
    async fn tell_others(&mut self) -> Result<()> {
        let Some(mut watch) = self.notify.take() else {
            return Ok(());
        };
        let states = self.states(&watch).await;
        let (folders, annotations) = match states {
            Ok(states) => states,
            Err(stop) => {
                self.notify = Some(watch);
                return Err(stop);
            }
        };
        let mut known = std::mem::take(&mut watch.known);
        let news = known.update(
            &folders,
            &Terms {
                wanted: |name: &str, is_subscribed| watch.wanted(name, is_subscribed),
                server_metadata: watch.wants_server_metadata(),
                selected: self.selected.as_ref().map(|selected| selected.mailbox),
                condstore: self.condstore,
                annotations: annotations.as_deref(),
            },
        );
        if known.bytes() > limits::NOTIFY_STATE_BYTES_MAX {
            // RFC 5465 section 5.8: as if NOTIFY NONE were received.
            let text = "There are too many mailboxes to be watched";
            let code = Code::NotificationOverflow;
            self.conn.out.untagged_ok(Some(&code), text);
            self.watch(Watch::default());
            return Ok(());
        }
        watch.known = known;
        self.notify = Some(watch);
        self.tell_news(folders, news).await
    }

    async fn tell_news(&mut self, folders: Vec<Folder>, news: News) -> Result<()> {
        let has_names = !(news.gone.is_empty() && news.renamed.is_empty() && news.names.is_empty());
        if has_names {
            let gone = news.gone.len();
            let renamed = news.renamed.into_iter();
            let renamed = renamed.map(|(name, old)| (name, Some(old)));
            let plain = |names: BTreeSet<String>| names.into_iter().map(|name| (name, None));
            let told: Vec<_> = plain(news.gone)
                .chain(renamed)
                .chain(plain(news.names))
                .collect();
            let names: Vec<String> = told.iter().map(|(name, _)| name.clone()).collect();
            let described = list::described(folders, names).into_iter().zip(told);
            for (at, ((name, mut attributes), (_, old))) in described.enumerate() {
                if at < gone && !attributes.contains(&ListAttribute::NonExistent) {
                    // Another mailbox has the name by now: it is told again.
                    attributes = vec![ListAttribute::NonExistent, ListAttribute::NoSelect];
                }
                match old {
                    Some(old) => self.conn.out.list_renamed(&attributes, &name, &old),
                    None => self.conn.out.list(&attributes, &name, &[]),
                }
                self.conn.relieve().await?;
            }
        }
        for (folder, items) in &news.status {
            self.tell_status(folder, items).await?;
            self.conn.relieve().await?;
        }
        for (name, entries) in &news.metadata {
            self.conn.out.metadata_changed(name, entries);
            self.conn.relieve().await?;
        }
        Ok(())
    }

    /// Notes what the client itself has done, so that it need not hear of it (RFC 5465 section 5).
    /// What others did at the same time is told all the same.
    pub(crate) fn watch_own(&mut self, command: &Command, reply: &Reply) {
        self.note_own_messages(command, reply);
        let Some(watch) = &mut self.notify else {
            return;
        };
        let known = &mut watch.known;
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
            (Command::Subscribe { name, on, .. }, _) => known.note_subscribed(name, *on),
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

    fn note_own_messages(&mut self, command: &Command, reply: &Reply) {
        match (command, reply) {
            (Command::Copy { to: mailbox, .. }, Reply::Copied { to, .. })
            | (Command::Move { to: mailbox, .. }, Reply::Moved { to, .. }) => {
                for (first, last) in to.ranges() {
                    self.note_added(*mailbox, first, last.0 - first.0 + 1);
                }
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

    /// The client has added messages to a mailbox.
    pub(crate) fn note_added(&mut self, mailbox: MailboxId, first: Uid, count: u32) {
        if let Some(watch) = &mut self.notify {
            watch.known.note_added(mailbox, first, count);
        }
        if let Some(selected) = &mut self.selected
            && selected.mailbox == mailbox
            && let Some(more) = count.checked_sub(1)
        {
            selected.arrivals.note_own(first, Uid(first.0 + more));
        }
    }
}
