//! The machine of a partition: `mailbox` over a replica's rows.

use bytes::Bytes;
use mailbox::{
    AccountId, Answer, MailboxId, Message, Millis, Query, QueryError, Uid, UidRanges, codec,
};
use rows::{Fault, Staged};

use super::Replica;
use super::machine::{Applied, At, Hint, LogId, Machine, Referred};
use super::overlay::Layers;

/// A partition's machine on this node.
pub struct Partition;

impl Machine for Partition {
    fn apply(
        &self,
        rows: &mut Staged<'_, Layers>,
        at: At,
        command: &Bytes,
    ) -> Result<Applied, Fault> {
        let mut envelope = codec::decode_envelope(command)?;
        envelope.time = Millis(at.time_ms);
        let entry = mailbox::EntryAt {
            index: at.index,
            term: at.term,
            body_length: at.body_length,
        };
        let applied = mailbox::apply(rows, entry, &envelope)?;
        let hint = |event: &mailbox::Event| Hint {
            account: event.account.0,
            mailbox: event.mailbox.0,
            modseq: event.modseq.0,
            brings_mail: event.kind == mailbox::EventKind::Arrived,
        };
        let reference = |body: &mailbox::BodyChange| {
            let (term, index) = (body.term, body.index);
            (LogId { term, index }, body.change)
        };
        Ok(Applied {
            outcome: codec::encode_outcome(&applied.outcome),
            hints: applied.events.iter().map(hint).collect(),
            references: applied.bodies.iter().map(reference).collect(),
        })
    }

    fn next_due(&self, rows: &Layers) -> Option<u64> {
        mailbox::next_due(rows).ok().flatten().map(|due| due.0)
    }

    fn referred(&self, key: &Bytes, value: &Bytes) -> Result<Option<Referred>, Fault> {
        let referred = mailbox::referred(key, value)?;
        Ok(referred.map(|referred| Referred {
            id: LogId {
                term: referred.piece.term,
                index: referred.piece.index,
            },
            length: referred.piece.length,
            hash: referred.hash.map(|hash| hash.0),
            home: referred.home,
        }))
    }
}

/// Reads from a replica as it is now, without asking whether it leads; `None` if it cannot be read
/// or does not have what is asked for. For caches, which look again at what comes later.
pub fn read(replica: &Replica, query: &Query) -> Option<Answer> {
    let answer = replica.read(|rows| {
        rows.check().map_err(QueryError::Fault)?;
        mailbox::query(rows, query)
    });
    answer.ok()
}

/// The first messages of these of a mailbox that are there, at most `limit`, as [`read`]; in `uids`
/// those stay that were not looked at.
pub fn take_page(
    replica: &Replica,
    (account, mailbox): (AccountId, MailboxId),
    uids: &mut UidRanges,
    limit: u32,
) -> Option<Vec<Message>> {
    let query = Query::Messages {
        account,
        mailbox,
        uids: uids.clone(),
        changed_since: None,
        limit,
        include_expunged: false,
    };
    let Answer::Messages(page) = read(replica, &query)? else {
        return None;
    };
    *uids = match page.next {
        Some(next) => UidRanges::range(next, Uid::MAX).intersect(uids),
        None => UidRanges::new(),
    };
    Some(page.messages)
}
