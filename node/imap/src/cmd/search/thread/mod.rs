//! THREAD and UID THREAD (RFC 5256, draft-ietf-morg-inthread).
//!
//! ```text
//!   header of each message ─► Row: dates, subject ─► ordered_subject ─► Tree ─► parts of THREAD
//!                         └─► ids ─► Links ──────► references ────────┘
//! ```
//!
//! Ids and subjects are held as hashes, which are equal where these are. Nothing recurses: a thread
//! may be as deep as a mailbox is large.

mod forest;
mod links;
mod ordered_subject;
mod references;

use mailbox::{Hash16, Message, Uid};

use super::found::{Criteria, Searcher};
use super::header::{Header, arrived};
use super::sort::check_number;
use crate::backend::{Backend, Transport};
use crate::cmd::progress::Tally;
use crate::grammar::{Thread, ThreadAlgorithm};
use crate::mime;
use crate::pace::Pace;
use crate::respond::ThreadPart;
use crate::state::{Done, Result, Session};

use links::Links;

/// What is held of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    uid: Uid,
    /// When it was sent, in Unix seconds.
    sent: i64,
    /// When it arrived, in Unix seconds.
    arrived: i64,
    /// The hash of its base subject as it is compared; `None` if that is empty.
    subject: Option<Hash16>,
    /// Whether its subject says that it is a reply or a forward.
    is_reply: bool,
}

impl Row {
    fn new(message: &Message, header: &Header) -> Row {
        let base = mime::base_subject(header.subject());
        let subject = mime::collate(&base.text, usize::MAX);
        Row {
            uid: message.uid,
            sent: header.sent(message),
            arrived: arrived(message),
            subject: (!subject.is_empty()).then(|| Hash16::of(&subject)),
            is_reply: base.is_reply,
        }
    }

    /// What it is ordered by, and then by its place in the mailbox (RFC 5256 section 2.2).
    fn when(&self) -> (i64, Uid) {
        (self.sent, self.uid)
    }
}

/// Threads that are ready to be told.
#[derive(Debug, Default)]
struct Tree {
    /// The first message of each thread, or one that is not there and holds several together.
    roots: Vec<usize>,
    nodes: Vec<Node>,
}

/// A message among others, or one that they refer to and that is not there.
#[derive(Clone, Debug, Default)]
struct Node {
    message: Option<Row>,
    /// In the order in which they are told.
    children: Vec<usize>,
}

impl<T: Transport, B: Backend> Session<'_, T, B> {
    pub(crate) async fn thread(&mut self, thread: &Thread) -> Result<Done> {
        let criteria = self.criteria(Some(thread.charset), &thread.key)?;
        let tally = Tally::default();
        let searcher = Searcher::of(&self.backend, self.selected.as_ref(), &tally)?;
        let searched = searcher.searched(&criteria).await;
        self.check_ordered(&searched)?;
        let threading = threaded(&searcher, &criteria, thread.algorithm);
        let waiting = &self.progress;
        let threaded = waiting.while_waiting(&mut self.conn, &tally, threading);
        let tree = threaded.await??;
        let view = &self.selected()?.view;
        let id = |uid: Uid| {
            if thread.uid {
                Some(uid.0)
            } else {
                view.sequence(uid)
            }
        };
        let parts = tree.parts(id);
        self.conn.out.thread(parts);
        Ok(Done::text(if thread.uid {
            "UID THREAD completed"
        } else {
            "THREAD completed"
        }))
    }
}

/// The messages that match, each below the one that it belongs to.
async fn threaded<B: Backend>(
    searcher: &Searcher<'_, B>,
    criteria: &Criteria,
    algorithm: ThreadAlgorithm,
) -> Result<Tree> {
    let found = searcher.matching(criteria).await?;
    check_number(&found.uids)?;
    let mut threads = Threads::new(algorithm);
    let mut walk = searcher.walk(&found.uids, true, |_| true);
    while let Some(message) = walk.next().await? {
        threads.read(searcher, &message, &mut walk.pace).await?;
    }
    Ok(threads.tree().await)
}

/// What was read so far.
enum Threads {
    BySubject(Vec<Row>),
    ByReferences { links: Links, is_refs: bool },
}

impl Threads {
    fn new(algorithm: ThreadAlgorithm) -> Threads {
        match algorithm {
            ThreadAlgorithm::OrderedSubject => Threads::BySubject(Vec::new()),
            ThreadAlgorithm::References | ThreadAlgorithm::Refs => Threads::ByReferences {
                links: Links::default(),
                is_refs: algorithm == ThreadAlgorithm::Refs,
            },
        }
    }

    async fn read<B: Backend>(
        &mut self,
        searcher: &Searcher<'_, B>,
        message: &Message,
        pace: &mut Pace,
    ) -> Result<()> {
        let header = Header::read(searcher.backend, message, pace).await?;
        let row = Row::new(message, &header);
        match self {
            Threads::BySubject(rows) => rows.push(row),
            Threads::ByReferences { links, .. } => {
                let hash = |id: Vec<u8>| Hash16::of(&id);
                let references = header.references().into_iter().map(hash);
                links.add(row, header.message_id().map(hash), references)?;
            }
        }
        Ok(())
    }

    async fn tree(self) -> Tree {
        match self {
            Threads::BySubject(rows) => ordered_subject::tree(rows).await,
            Threads::ByReferences { links, is_refs } => references::tree(links, is_refs).await,
        }
    }
}

impl Tree {
    /// The pieces of the THREAD response. A message that `id` does not know is left out.
    fn parts(&self, id: impl Fn(Uid) -> Option<u32>) -> Vec<ThreadPart> {
        let mut parts = Vec::new();
        let mut to_do: Vec<Option<usize>> = self.roots.iter().rev().copied().map(Some).collect();
        while let Some(next) = to_do.pop() {
            let Some(mut at) = next else {
                parts.push(ThreadPart::Close);
                continue;
            };
            parts.push(ThreadPart::Open);
            to_do.push(None);
            loop {
                let node = &self.nodes[at];
                let known = node.message.and_then(|row| id(row.uid));
                parts.extend(known.map(ThreadPart::Id));
                match node.children.as_slice() {
                    [] => break,
                    [child] => at = *child,
                    children => {
                        to_do.extend(children.iter().rev().copied().map(Some));
                        break;
                    }
                }
            }
        }
        parts
    }
}
