//! Lanes: a command takes effect at most once (invariant M4).
//!
//! A lane's row keeps its last sequence, a hash of that command and its outcome. A repeated command
//! is answered from there. What is older, or of a lane that is not known and not new, is
//! `Forgotten`: not run.
//!
//! A lane that is forgotten raises the floor to its highest stamp, so that no late copy of its
//! first command is ever taken for that of a new lane.

use bytes::Bytes;
use proto::v1::MailLaneRow;
use rows::{Fault, Rows};

use super::sweep;
use crate::codec::{decode_outcome, encode_command, kept};
use crate::command::{Command, Outcome, Rejection};
use crate::keys::Key;
use crate::layer::Layer;
use crate::limits;
use crate::types::{Millis, Stamp};

/// What tells commands of one sequence apart.
pub(super) fn command_hash(command: &Command) -> u64 {
    let hash = match command {
        // Most commands are deliveries: what makes one differ from another is enough.
        Command::Deliver(deliver) => {
            let mut told = Vec::with_capacity(256);
            told.extend_from_slice(b"deliver");
            told.extend_from_slice(&deliver.body.hash.0);
            told.extend_from_slice(&deliver.received.0.to_be_bytes());
            for recipient in &deliver.recipients {
                told.extend_from_slice(&recipient.account.0.to_be_bytes());
                told.extend_from_slice(&(recipient.address.len() as u64).to_be_bytes());
                told.extend_from_slice(recipient.address.as_bytes());
            }
            told.extend_from_slice(deliver.sender.as_bytes());
            blake3::hash(&told)
        }
        other => blake3::hash(&encode_command(other)),
    };
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_bytes()[..8]);
    u64::from_be_bytes(first)
}

/// `None` if the command is to be run now, else what to answer.
pub(super) fn admit<R: Rows>(
    rows: &mut Layer<'_, R>,
    stamp: &Stamp,
    command: u64,
    time: Millis,
) -> Result<Option<Outcome>, Fault> {
    if stamp.sequence == 0 {
        return Ok(Some(Outcome::Rejected(Rejection::Invalid)));
    }
    let Some(lane) = rows.row::<MailLaneRow>(&Key::Lane(stamp.lane).encode())? else {
        let first = stamp.sequence == 1;
        let above = stamp.issued.0 > rows.meta().lane_floor_ms;
        let ahead = stamp.issued > time.after(limits::ISSUED_AHEAD_MS_MAX);
        return Ok((!first || !above || ahead).then_some(Outcome::Forgotten));
    };
    if stamp.sequence > lane.sequence {
        return Ok(None);
    }
    if stamp.sequence < lane.sequence {
        return Ok(Some(Outcome::Forgotten));
    }
    if command != lane.command {
        return Ok(Some(Outcome::Rejected(Rejection::SequenceUsed)));
    }
    decode_outcome(&lane.outcome).map(Some)
}

/// Keeps what became of a command that was admitted.
pub(super) fn record<R: Rows>(
    rows: &mut Layer<'_, R>,
    stamp: &Stamp,
    command: u64,
    time: Millis,
    outcome: &Outcome,
    duplicates: Vec<u8>,
) -> Result<(), Fault> {
    let key = Key::Lane(stamp.lane).encode();
    let before = rows.row::<MailLaneRow>(&key)?;
    if before.is_none() {
        sweep::make_room_for_lane(rows)?;
        rows.meta_mut().lanes += 1;
        sweep::schedule(rows, time);
    }
    let row = MailLaneRow {
        sequence: stamp.sequence,
        command,
        time_ms: time.0,
        issued_ms: before.map_or(0, |lane| lane.issued_ms).max(stamp.issued.0),
        outcome: kept(outcome),
        duplicates: Bytes::from(duplicates),
    };
    rows.put_row(key, &row);
    Ok(())
}
