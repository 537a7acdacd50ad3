//! The machine of a partition: `mailbox` over a replica's rows.
//!
//! `mailbox` stands on nothing but its own traits, so this is where its words and ours are put
//! together: its layer of writes lies over the replica's, which keeps the digest.

use bytes::Bytes;
use mailbox::{Millis, codec};
use rows::{Fault, Rows, Staged};

use super::machine::{Applied, At, Hint, Machine};
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
        let mut envelope = codec::decode_envelope(command).map_err(fault)?;
        envelope.time = Millis(at.time_ms);
        let entry = mailbox::EntryAt {
            index: at.index,
            term: at.term,
            body_length: at.body_length,
        };
        let (outcome, events, writes) = {
            let base = MailRows(&*rows);
            let mut staged = mailbox::Staged::new(&base).map_err(fault)?;
            let (outcome, events) = mailbox::apply(&mut staged, entry, &envelope).map_err(fault)?;
            (outcome, events, staged.into_writes().map_err(fault)?)
        };
        for (key, value) in writes.rows {
            match value {
                Some(value) => rows.put(key, value),
                None => rows.remove(key),
            }
        }
        let hint = |event: &mailbox::Event| Hint {
            account: event.account.0,
            mailbox: event.mailbox.0,
            modseq: event.modseq.0,
        };
        let hints = events.iter().map(hint).collect();
        Ok(Applied {
            outcome: codec::encode_outcome(&outcome),
            hints,
        })
    }

    fn next_due(&self, rows: &Layers) -> Option<u64> {
        mailbox::next_due(&MailRows(rows))
            .ok()
            .flatten()
            .map(|due| due.0)
    }
}

/// Rows as `mailbox` reads them.
pub struct MailRows<'a, R>(pub &'a R);

impl<R: Rows> mailbox::Rows for MailRows<'_, R> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, mailbox::Fault> {
        self.0.get(key).map_err(unreadable)
    }

    fn scan(&self, from: &[u8], to: &[u8]) -> Result<mailbox::RowIter<'_>, mailbox::Fault> {
        let rows = self.0.scan(from, to).map_err(unreadable)?;
        Ok(Box::new(rows.map(|row| row.map_err(unreadable))))
    }
}

fn unreadable(fault: Fault) -> mailbox::Fault {
    mailbox::Fault::Unreadable(fault.to_string())
}

/// A fault of the machine as one of the replica.
pub(crate) fn fault(fault: mailbox::Fault) -> Fault {
    match fault {
        mailbox::Fault::Unreadable(why) => Fault::Store(why),
        mailbox::Fault::Row { key, reason } => Fault::row(&key, reason),
        mailbox::Fault::Broken(why) => Fault::Invariant(why),
        mailbox::Fault::Bytes(what) => Fault::Command(what.to_owned()),
    }
}
