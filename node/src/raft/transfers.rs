//! Which snapshots this node is sending, and how far each has come.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::convert::Route;
use super::limits::TRANSFER_TOLD_EVERY;
use crate::replica::GroupId;

/// A snapshot on its way to a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// The group.
    pub group: GroupId,
    /// The replica that is brought to a checkpoint.
    pub replica: u64,
    /// The node that holds it.
    pub node: u64,
    /// Bytes of rows that were sent in this stream.
    pub row_bytes: u64,
    /// Rows that have arrived, in this stream and those before it.
    pub rows: u64,
    /// Bodies that have arrived in this stream.
    pub bodies: u64,
    /// Their bytes.
    pub body_bytes: u64,
    /// For how long it has been on its way.
    pub since: Duration,
}

/// All of them. Clones share it.
#[derive(Clone, Default)]
pub struct Transfers {
    running: Arc<Mutex<BTreeMap<(GroupId, u64), Running>>>,
}

struct Running {
    transfer: Transfer,
    began: Instant,
    told: Instant,
}

impl Transfers {
    /// Those that are on their way now.
    #[must_use]
    pub fn all(&self) -> Vec<Transfer> {
        let running = self.running.lock();
        let transfers = running.values().map(|running| Transfer {
            since: running.began.elapsed(),
            ..running.transfer.clone()
        });
        transfers.collect()
    }

    /// One begins; it is listed until what is returned is dropped.
    #[must_use]
    pub fn begin(&self, route: Route, node: u64) -> OnItsWay {
        let now = Instant::now();
        let key = (route.group, route.to);
        let transfer = Transfer {
            group: route.group,
            replica: route.to,
            node,
            row_bytes: 0,
            rows: 0,
            bodies: 0,
            body_bytes: 0,
            since: Duration::ZERO,
        };
        tracing::info!(group = route.group.0, to = node, "snapshot begins");
        let running = Running {
            transfer,
            began: now,
            told: now,
        };
        self.running.lock().insert(key, running);
        OnItsWay {
            transfers: self.clone(),
            key,
            began: now,
        }
    }
}

/// One of them, for whoever sends it.
pub struct OnItsWay {
    transfers: Transfers,
    key: (GroupId, u64),
    began: Instant,
}

impl OnItsWay {
    /// It has come further. Says so in the log now and then.
    pub fn note(&self, change: impl FnOnce(&mut Transfer)) {
        let mut running = self.transfers.running.lock();
        let Some(running) = running.get_mut(&self.key) else {
            return;
        };
        change(&mut running.transfer);
        if running.told.elapsed() >= TRANSFER_TOLD_EVERY {
            running.told = Instant::now();
            let transfer = &running.transfer;
            tracing::info!(
                group = transfer.group.0,
                to = transfer.node,
                row_bytes = transfer.row_bytes,
                rows = transfer.rows,
                bodies = transfer.bodies,
                body_bytes = transfer.body_bytes,
                seconds = running.began.elapsed().as_secs(),
                "snapshot"
            );
        }
    }
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        let mut running = self.transfers.running.lock();
        // A later stream to the same replica may have taken its place.
        if running
            .get(&self.key)
            .is_some_and(|running| running.began == self.began)
        {
            running.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_while_on_its_way() {
        let transfers = Transfers::default();
        let route = Route {
            group: GroupId(3),
            from: 30,
            to: 31,
        };
        let sending = transfers.begin(route, 2);
        sending.note(|transfer| {
            transfer.rows = 7;
            transfer.body_bytes += 100;
        });
        let all = transfers.all();
        assert_eq!(all.len(), 1);
        assert_eq!(
            (all[0].group, all[0].replica, all[0].node),
            (GroupId(3), 31, 2)
        );
        assert_eq!((all[0].rows, all[0].body_bytes), (7, 100));
        drop(sending);
        assert_eq!(transfers.all(), []);
    }
}
