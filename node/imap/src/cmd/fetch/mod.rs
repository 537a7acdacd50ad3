//! FETCH and UID FETCH (RFC 3501 section 6.4.5, RFC 7162 section 3.1.4, RFC 9394 section 3.3).
//!
//! ```text
//!   set ─► pages of message rows ─► \Seen for a page ─► for each message: values, then the line
//! ```
//!
//! `items` works out what each item of one message is, `binary` and `preview` those that need a
//! file of their own; `chunks` are the bytes of a section, `write` sends it all. All that is likely
//! to fail is done before a message's line begins. After that a failure ends the connection,
//! because a literal that was announced cannot be taken back.

mod binary;
pub(crate) mod chunks;
pub(crate) mod items;
mod preview;
mod write;

use mailbox::{Answer, Command, Flags, Message, Messages, ModSeq, Query, Reply, Rights};
use mailbox::{StoreMode, SystemFlags, UidRanges};

use crate::backend::{Backend, BackendError, Transport};
use crate::cmd::places::at_places;
use crate::cmd::store::chunks;
use crate::grammar::{Fetch, FetchItem};
use crate::limits;
use crate::respond::Code;
use crate::state::{Done, Result, Session, Stop};

/// What is told of every message.
struct Plan {
    items: Vec<FetchItem>,
    /// Whether messages become `\Seen`.
    sets_seen: bool,
    /// Whether no item needs more than the header.
    only_header: bool,
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
        let sets_seen = !read_only && items.iter().any(FetchItem::sets_seen);
        let only_header = items.iter().all(items::needs_header_at_most);
        Plan {
            items,
            sets_seen,
            only_header,
        }
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
        let plan = Plan::new(fetch, selected.read_only || !may_see, uid_only);
        let (wanted, mut found, mut is_whole) = (uids.len(), 0, true);
        // What did not change is told by nobody, so a page may reach far.
        let reach = if fetch.changed_since.is_some() {
            u64::MAX
        } else {
            PAGE
        };
        for mut uids in chunks(&uids, reach) {
            while !uids.is_empty() {
                let page = self.messages(&uids, fetch.changed_since).await?;
                uids = match page.next {
                    Some(next) => UidRanges::range(next, mailbox::Uid::MAX).intersect(&uids),
                    None => UidRanges::new(),
                };
                found += page.messages.len() as u64;
                is_whole &= self.fetch_page(&plan, page.messages).await?;
            }
        }
        if !is_whole {
            // RFC 3516 section 4.3.
            return Err(Stop::no(Code::UnknownCte, "A part cannot be decoded"));
        }
        let is_gone = found < wanted && fetch.changed_since.is_none();
        let text = if fetch.uid {
            "UID FETCH completed"
        } else {
            "FETCH completed"
        };
        Ok(Done {
            code: is_gone.then_some(Code::ExpungeIssued),
            text,
        })
    }

    /// A page of messages, expunged ones among them, for the client may not know yet.
    async fn messages(&mut self, uids: &UidRanges, changed_since: Option<u64>) -> Result<Messages> {
        let query = Query::Messages {
            account: self.backend.account(),
            mailbox: self.selected()?.mailbox,
            uids: uids.clone(),
            changed_since: changed_since.map(ModSeq),
            limit: limits::PAGE_MESSAGES,
            include_expunged: true,
        };
        let page = self.ask(query, |answer| match answer {
            Answer::Messages(page) => Some(page),
            _ => None,
        });
        page.await
    }

    /// Whether all of it could be told.
    async fn fetch_page(&mut self, plan: &Plan, mut page: Vec<Message>) -> Result<bool> {
        let seen = if plan.sets_seen {
            self.see(&mut page).await?
        } else {
            UidRanges::new()
        };
        let mut is_whole = true;
        for message in page {
            let is_seen = seen.contains(message.uid);
            is_whole &= self.fetch_message(plan, &message, is_seen).await?;
        }
        Ok(is_whole)
    }

    /// Sets `\Seen` for those messages that do not have it, and reads them again: somebody else may
    /// have changed them in between. Returns which they are.
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
        match self.change(command).await {
            Ok(Reply::Stored { .. }) => {}
            Ok(_) => return Err(BackendError::Broken.into()),
            // The right was taken away meanwhile.
            Err(Stop::No(Some(Code::NoPerm), _)) => return Ok(UidRanges::new()),
            Err(stop) => return Err(stop),
        }
        for now in self.messages(&uids, None).await?.messages {
            self.selected()?.view.told(now.modseq, [now.uid]);
            if let Ok(at) = page.binary_search_by_key(&now.uid, |message| message.uid) {
                page[at] = now;
            }
        }
        Ok(uids)
    }
}

const PAGE: u64 = limits::PAGE_MESSAGES as u64;
