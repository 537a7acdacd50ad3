//! FETCH and UID FETCH (RFC 3501 section 6.4.5, RFC 7162 section 3.1.4, RFC 9394 section 3.3).
//!
//! ```text
//!   set ─► pages of message rows ─► \Seen for a page ─► for each message: values, then the line
//! ```
//!
//! `items` works out what each item of one message is, `binary` and `preview` those that need a
//! file of their own, `derived` remembers it, `beforehand` works it out before it is asked for;
//! `chunks` are the bytes of a section, `write` sends it all. All that is likely to fail is done
//! before a message's line begins. After that a failure ends the connection, because a literal that
//! was announced cannot be taken back.

pub(crate) mod beforehand;
mod binary;
pub(crate) mod chunks;
mod derived;
pub(crate) mod items;
mod preview;
mod write;

use std::sync::Arc;

use mailbox::{Answer, Command, Flags, Message, Messages, ModSeq, Query, Reply, Rights};
use mailbox::{StoreMode, SystemFlags, UidRanges};

use crate::backend::{Backend, BackendError, Transport};
use crate::cmd::places::at_places;
use crate::cmd::store::chunks;
use crate::grammar::{Fetch, FetchItem};
use crate::limits;
use crate::respond::Code;
use crate::source::read_ahead;
use crate::state::{Done, Reading, Result, Session, Stop};

use items::Value;

/// What is told of every message.
struct Plan {
    items: Vec<FetchItem>,
    /// Of each item whether what it is of a message is remembered.
    remembered: Vec<Option<Arc<FetchItem>>>,
    /// Whether messages become `\Seen`.
    sets_seen: bool,
    /// Whether no item needs more than the header.
    only_header: bool,
    /// Whether an item is made of the beginning of the body.
    reads_bodies: bool,
    /// Whether messages are told from the highest UID down.
    is_down: bool,
}

/// What became of a FETCH.
struct Fetched {
    /// Messages that were found.
    found: u64,
    /// Whether all of them could be told.
    is_whole: bool,
}

impl Plan {
    fn new(fetch: &Fetch, read_only: bool, uid_only: bool) -> Plan {
        let mut items = fetch.items.clone();
        if fetch.uid && !uid_only && !items.contains(&FetchItem::Uid) {
            items.insert(0, FetchItem::Uid);
        }
        if fetch.changed_since.is_some() && !items.contains(&FetchItem::ModSeq) {
            items.push(FetchItem::ModSeq);
        }
        Plan::of(items, read_only)
    }

    /// What is asked for twice is told once: it may be long.
    fn of(all: Vec<FetchItem>, read_only: bool) -> Plan {
        let mut items: Vec<FetchItem> = Vec::with_capacity(all.len());
        for item in all {
            if !items.contains(&item) {
                items.push(item);
            }
        }
        let sets_seen = !read_only && items.iter().any(FetchItem::sets_seen);
        let only_header = items.iter().all(items::needs_header_at_most);
        let reads_bodies = items.iter().any(items::reads_beginning);
        Plan {
            remembered: items.iter().map(derived::remembered).collect(),
            items,
            sets_seen,
            only_header,
            reads_bodies,
            is_down: false,
        }
    }
}

/// What is remembered of a message, item by item.
type Recalled = Vec<Option<Value>>;

impl Plan {
    fn recall<B: Backend>(&self, backend: &B, message: &Message) -> Recalled {
        let items = self.remembered.iter();
        let recalled = items.map(|item| derived::recall(backend, item.as_ref()?, message));
        recalled.collect()
    }

    /// Whether a message has to be read from its beginning.
    fn reads(&self, recalled: &Recalled) -> bool {
        let mut items = self.items.iter().zip(recalled);
        items.any(|(item, value)| value.is_none() && items::reads_beginning(item))
    }
}

impl<T: Transport, B: Backend> Session<'_, T, B> {
    pub(crate) async fn fetch(&mut self, fetch: &Fetch) -> Result<Done> {
        if fetch.vanished && !self.qresync {
            return Err(Stop::Bad("ENABLE QRESYNC first"));
        }
        if fetch.changed_since.is_some() || fetch.items.contains(&FetchItem::ModSeq) {
            self.enable_condstore();
        }
        if let (true, Some(since)) = (fetch.vanished, fetch.changed_since) {
            self.tell_vanished_of(&fetch.set, ModSeq(since)).await?;
        }
        self.check_page(fetch.partial)?;
        let uid_only = self.uid_only;
        let selected = self.selected()?;
        let mut uids = selected.view.resolve(&fetch.set, fetch.uid)?;
        if let Some(partial) = fetch.partial {
            // Before CHANGEDSINCE (RFC 9394 section 3.4).
            let named = usize::try_from(uids.len()).unwrap_or(usize::MAX);
            uids = at_places(&uids, partial.of(named));
        }
        // RFC 4314 section 4.
        let may_see = selected.guest.is_none_or(|has| has.has(Rights::SEEN));
        let mut plan = Plan::new(fetch, selected.read_only || !may_see, uid_only);
        let (uids, limit) = self.limited(uids);
        plan.is_down = limit.is_some();
        self.usual.note(plan.remembered.iter().flatten());
        self.forget_fresh(&uids);
        let fetched = self.fetch_all(&plan, &uids, fetch.changed_since).await?;
        if !fetched.is_whole {
            self.tell_partly(limit);
            // RFC 3516 section 4.3.
            return Err(Stop::no(Code::UnknownCte, "A part cannot be decoded"));
        }
        let is_gone = fetched.found < uids.len() && fetch.changed_since.is_none();
        let text = if fetch.uid {
            "UID FETCH completed"
        } else {
            "FETCH completed"
        };
        let code = is_gone.then_some(Code::ExpungeIssued);
        Ok(self.partly(Done { code, text }, limit))
    }

    async fn fetch_all(
        &mut self,
        plan: &Plan,
        uids: &UidRanges,
        changed_since: Option<u64>,
    ) -> Result<Fetched> {
        let mut fetched = Fetched {
            found: 0,
            is_whole: true,
        };
        // What did not change is told by nobody, so a page may reach far.
        let is_far = changed_since.is_some() && !plan.is_down;
        let mut parts: Vec<_> = chunks(uids, if is_far { u64::MAX } else { PAGE }).collect();
        if plan.is_down {
            parts.reverse();
        }
        let mut reading = Reading::Latest;
        for mut uids in parts {
            let mut held = Vec::new();
            while !uids.is_empty() {
                let page = self.messages(reading, &uids, changed_since).await?;
                // What follows is as of then or later.
                reading = Reading::Near;
                uids = match page.next {
                    Some(next) => UidRanges::range(next, mailbox::Uid::MAX).intersect(&uids),
                    None => UidRanges::new(),
                };
                fetched.found += page.messages.len() as u64;
                held.extend(page.messages);
                if !plan.is_down || uids.is_empty() {
                    let page = std::mem::take(&mut held);
                    fetched.is_whole &= self.fetch_page(plan, page).await?;
                }
            }
        }
        Ok(fetched)
    }

    /// A page of messages, expunged ones among them, for the client may not know yet.
    async fn messages(
        &mut self,
        reading: Reading,
        uids: &UidRanges,
        changed_since: Option<u64>,
    ) -> Result<Messages> {
        let query = Query::Messages {
            account: self.backend.account(),
            mailbox: self.selected()?.mailbox,
            uids: uids.clone(),
            changed_since: changed_since.map(ModSeq),
            limit: limits::PAGE_MESSAGES,
            include_expunged: true,
        };
        let page = self.ask_selected(reading, query, |answer| match answer {
            Answer::Messages(page) => Some(page),
            _ => None,
        });
        let page = page.await?;
        self.selected()?.view.see(page.modseq);
        Ok(page)
    }

    /// Tells some items of one message although no FETCH asked for them. What cannot be decoded is
    /// left out.
    pub(crate) async fn fetch_one(
        &mut self,
        items: Vec<FetchItem>,
        message: Message,
    ) -> Result<()> {
        let plan = Plan::of(items, self.selected()?.read_only);
        self.fetch_page(&plan, vec![message]).await.map(drop)
    }

    /// Whether all of it could be told.
    async fn fetch_page(&mut self, plan: &Plan, mut page: Vec<Message>) -> Result<bool> {
        let seen = if plan.sets_seen {
            self.see(&mut page).await?
        } else {
            UidRanges::new()
        };
        let mut is_whole = true;
        if plan.is_down {
            page.reverse();
        }
        for messages in page.chunks(limits::RECALLED_MESSAGES) {
            let recalled = messages.iter();
            let recalled = recalled.map(|message| plan.recall(&self.backend, message));
            let mut recalled: Vec<Recalled> = recalled.collect();
            let mut ahead = 0;
            for (at, message) in messages.iter().enumerate() {
                if plan.reads_bodies && at >= ahead {
                    let (next, known) = (&messages[at..], &recalled[at..]);
                    let reads = |place: usize, _: &Message| plan.reads(&known[place]);
                    let read = read_ahead(&self.backend, next, plan.only_header, reads);
                    ahead = at.saturating_add(read.await);
                }
                let is_seen = seen.contains(message.uid);
                let recalled = std::mem::take(&mut recalled[at]);
                is_whole &= self.fetch_message(plan, message, recalled, is_seen).await?;
            }
        }
        Ok(is_whole)
    }

    /// Sets `\Seen` for those messages that do not have it, and reads them again: somebody else may
    /// have changed them in between. Returns which they are. What the client knows is noted with
    /// each one's line, for one before it may fail.
    async fn see(&mut self, page: &mut [Message]) -> Result<UidRanges> {
        let is_unseen =
            |message: &&Message| !message.expunged && !message.flags.system.has(SystemFlags::SEEN);
        let uids: UidRanges = page
            .iter()
            .filter(is_unseen)
            .map(|message| message.uid)
            .collect();
        if uids.is_empty() {
            return Ok(uids);
        }
        let command = Command::Store {
            account: self.backend.account(),
            mailbox: self.selected()?.mailbox,
            uids: uids.clone(),
            mode: StoreMode::Add,
            flags: Flags::system(SystemFlags::SEEN),
            unchanged_since: None,
        };
        let modseq = match self.change(command).await {
            Ok(Reply::Stored { modseq, .. }) => modseq,
            Ok(_) => return Err(BackendError::Broken.into()),
            // The right was taken away meanwhile.
            Err(Stop::No(Some(Code::NoPerm), _)) => return Ok(UidRanges::new()),
            Err(stop) => return Err(stop),
        };
        self.selected()?.view.see(modseq);
        let mut rest = uids.clone();
        while !rest.is_empty() {
            let again = self.messages(Reading::Near, &rest, None).await?;
            rest = match again.next {
                Some(next) => UidRanges::range(next, mailbox::Uid::MAX).intersect(&rest),
                None => UidRanges::new(),
            };
            for now in again.messages {
                if let Ok(at) = page.binary_search_by_key(&now.uid, |message| message.uid) {
                    page[at] = now;
                }
            }
        }
        Ok(uids)
    }
}

const PAGE: u64 = limits::PAGE_MESSAGES as u64;
