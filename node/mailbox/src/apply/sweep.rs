//! Looking through lanes and duplicates for those that have expired.
//!
//! Neither table has an index by time: it would cost two rows more per message. Both are short
//! lived, so they are looked through as a whole every [`limits::SWEEP_EVERY_MS`], a part with each
//! tick; and when one is full, the one that expires first among the next few is forgotten early.

use bytes::Bytes;
use proto::v1::{MailDuplicateRow, MailLaneRow};
use rows::{Fault, Row, Rows};

use super::state::add_long;
use crate::keys;
use crate::layer::Layer;
use crate::limits;
use crate::stored::decode;
use crate::types::Millis;

/// Sees to it that lanes and duplicates will be looked through.
pub(super) fn schedule<R: Rows>(rows: &mut Layer<'_, R>, time: Millis) {
    let meta = rows.meta_mut();
    if meta.sweep_ms.is_none() {
        meta.sweep_ms = Some(time.after(limits::SWEEP_EVERY_MS).0);
    }
}

/// Goes on looking through both tables, if it is time to: at most `budget` rows.
pub(super) fn run<R: Rows>(
    rows: &mut Layer<'_, R>,
    time: Millis,
    budget: usize,
) -> Result<(), Fault> {
    if rows.meta().sweep_ms.is_none_or(|due| due > time.0) {
        return Ok(());
    }
    let lanes = rows.collect(&keys::lanes_after(&rows.meta().sweep_lane), budget)?;
    for (key, value) in &lanes {
        let lane: MailLaneRow = decode(key, value.clone())?;
        if Millis(lane.time_ms).after(limits::LANE_LIFE_MS) <= time {
            forget_lane(rows, key, &lane)?;
        }
    }
    if let Some((key, _)) = lanes.last() {
        rows.meta_mut().sweep_lane = key.clone();
    }
    let budget = budget - lanes.len();
    if budget == 0 {
        return Ok(());
    }
    let duplicates = rows.collect(
        &keys::duplicates_after(&rows.meta().sweep_duplicate),
        budget,
    )?;
    for (key, value) in &duplicates {
        let duplicate: MailDuplicateRow = decode(key, value.clone())?;
        if duplicate.expires_ms <= time.0 {
            forget_duplicate(rows, key)?;
        }
    }
    if let Some((key, _)) = duplicates.last() {
        rows.meta_mut().sweep_duplicate = key.clone();
    }
    if duplicates.len() < budget {
        let meta = rows.meta_mut();
        (meta.sweep_lane, meta.sweep_duplicate) = (Bytes::new(), Bytes::new());
        meta.sweep_ms = None;
        if meta.lanes > 0 || meta.duplicates > 0 {
            schedule(rows, time);
        }
    }
    Ok(())
}

/// Forgets a lane if there are as many as there may be.
pub(super) fn make_room_for_lane<R: Rows>(rows: &mut Layer<'_, R>) -> Result<(), Fault> {
    if rows.meta().lanes < limits::LANES_MAX {
        return Ok(());
    }
    let mut seen = rows.collect(
        &keys::lanes_after(&rows.meta().evicted_lane),
        limits::EVICTION_ROWS,
    )?;
    if seen.is_empty() {
        seen = rows.collect(&keys::lanes_after(&[]), limits::EVICTION_ROWS)?;
    }
    let mut oldest: Option<(Bytes, MailLaneRow)> = None;
    for (key, value) in &seen {
        let lane: MailLaneRow = decode(key, value.clone())?;
        if oldest
            .as_ref()
            .is_none_or(|(_, kept)| lane.time_ms < kept.time_ms)
        {
            oldest = Some((key.clone(), lane));
        }
    }
    rows.meta_mut().evicted_lane = last_key(&seen);
    match oldest {
        Some((key, lane)) => forget_lane(rows, &key, &lane),
        None => Err(Fault::invariant("lanes are counted that are not there")),
    }
}

/// Forgets a duplicate if there are as many as there may be.
pub(super) fn make_room_for_duplicate<R: Rows>(rows: &mut Layer<'_, R>) -> Result<(), Fault> {
    if rows.meta().duplicates < limits::DUPLICATES_MAX {
        return Ok(());
    }
    let mut seen = rows.collect(
        &keys::duplicates_after(&rows.meta().evicted_duplicate),
        limits::EVICTION_ROWS,
    )?;
    if seen.is_empty() {
        seen = rows.collect(&keys::duplicates_after(&[]), limits::EVICTION_ROWS)?;
    }
    let mut first: Option<(Bytes, u64)> = None;
    for (key, value) in &seen {
        let duplicate: MailDuplicateRow = decode(key, value.clone())?;
        if first
            .as_ref()
            .is_none_or(|&(_, expires)| duplicate.expires_ms < expires)
        {
            first = Some((key.clone(), duplicate.expires_ms));
        }
    }
    rows.meta_mut().evicted_duplicate = last_key(&seen);
    match first {
        Some((key, _)) => forget_duplicate(rows, &key),
        None => Err(Fault::invariant(
            "duplicates are counted that are not there",
        )),
    }
}

fn forget_lane<R: Rows>(
    rows: &mut Layer<'_, R>,
    key: &Bytes,
    lane: &MailLaneRow,
) -> Result<(), Fault> {
    rows.delete(key.clone());
    let meta = rows.meta_mut();
    meta.lane_floor_ms = meta.lane_floor_ms.max(lane.issued_ms);
    add_long(&mut meta.lanes, -1)
}

fn forget_duplicate<R: Rows>(rows: &mut Layer<'_, R>, key: &Bytes) -> Result<(), Fault> {
    rows.delete(key.clone());
    add_long(&mut rows.meta_mut().duplicates, -1)
}

fn last_key(rows: &[Row]) -> Bytes {
    rows.last().map(|(key, _)| key.clone()).unwrap_or_default()
}
