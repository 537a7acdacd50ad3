//! Nodes tell each other how they are, and one that should not lead hands over.
//!
//! What a condition is and what follows from it stands in [`crate::raft::Health`]. Here is the task
//! that every node runs: once a turn it tells all others, hears how they are, and looks at itself.
//! A node whose disk is much slower than that of a follower that has kept up, for several turns in
//! a row, hands the groups that it leads to that follower; so does one whose clock is far off. The
//! balancing of leaders ([`super::steward`]) asks [`Health::may_lead`] before it gives a lead back.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use proto::v1;

use super::clock::Others;
use super::limits::{
    BALANCE_LAG_MAX, CONDITION_EVERY, CONDITION_WAIT, HEALTH_LOOKS_MIN, HEALTH_PAUSE,
};
use super::{Service, now_ms};
use crate::raft::{Group, Health};

/// Runs for as long as the node does.
pub async fn run(service: Service) {
    tokio::spawn(tell(service.clone()));
    let mut relief = Relief::default();
    loop {
        tokio::time::sleep(HEALTH_PAUSE).await;
        let Some(why) = relief.look(service.health()) else {
            continue;
        };
        for group in service.router().local().groups().all() {
            hand_over(&service, &group, why).await;
        }
    }
}

/// Tells the others how this node is and hears how they are.
async fn tell(service: Service) {
    loop {
        let others: Vec<u64> = {
            let view = service.view().read();
            let nodes = view.nodes().map(|node| node.id.0);
            nodes.filter(|node| *node != service.node()).collect()
        };
        let peers = service.router().local().groups().peers();
        let logins = service.penalties().take_news();
        join_all(others.iter().map(|&node| {
            let (service, logins) = (&service, logins.clone());
            async move {
                let own = v1::PeerCondition {
                    logins,
                    ..service.health().to_wire(now_ms())
                };
                if let Some(told) = peers.exchange(node, own, CONDITION_WAIT).await {
                    service.health().heard(node, &told, now_ms());
                }
            }
        }))
        .await;
        service.clock().follow(match others.is_empty() {
            true => Others::None,
            false if service.health().clock_is_confirmed() => Others::Agree,
            false => Others::Differ,
        });
        if let Some(sync) = service.health().own().sync {
            metrics::gauge!("rookery_log_sync_seconds").set(sync.as_secs_f64());
        }
        tokio::time::sleep(CONDITION_EVERY).await;
    }
}

/// Why a node should not lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    SlowDisk,
    Clock,
}

/// How long this node has been unfit to lead.
#[derive(Default)]
struct Relief {
    slow: u32,
    off: u32,
}

impl Relief {
    /// Looks again; says why, once it has been so for long.
    fn look(&mut self, health: &Health) -> Option<Why> {
        let count = |looks: u32, holds: bool| if holds { looks.saturating_add(1) } else { 0 };
        self.slow = count(self.slow, health.is_slower_than(Duration::ZERO));
        self.off = count(self.off, health.clock_is_off(health.node()));
        match (self.off >= HEALTH_LOOKS_MIN, self.slow >= HEALTH_LOOKS_MIN) {
            (true, _) => Some(Why::Clock),
            (_, true) => Some(Why::SlowDisk),
            _ => None,
        }
    }
}

/// Hands a group that this node leads to the follower that is fittest, if one is.
async fn hand_over(service: &Service, group: &Arc<Group>, why: Why) {
    if !group.is_leader() {
        return;
    }
    let (status, health) = (group.status(), service.health());
    let fit = |replica: u64| {
        let node = service.router().remote().node_of(replica)?;
        let sync = health.of(node)?.sync;
        let is_fit = match why {
            Why::SlowDisk => sync.is_some_and(|sync| health.is_slower_than(sync)),
            Why::Clock => true,
        };
        (is_fit && !health.clock_is_off(node)).then_some((sync, replica))
    };
    let followers = status.matched.iter().filter(|(replica, matched)| {
        *replica != group.replica()
            && status.voters.contains(replica)
            && matched.is_some_and(|upto| upto + BALANCE_LAG_MAX >= status.last_index)
    });
    let Some((sync, heir)) = followers.filter_map(|(replica, _)| fit(*replica)).min() else {
        return;
    };
    let (id, own) = (group.id().0, health.own().sync);
    tracing::warn!(group = id, ?why, heir, ?own, heirs = ?sync, "this node should not lead");
    metrics::counter!("rookery_leads_handed_over_total").increment(1);
    if let Err(error) = group.transfer(heir).await {
        tracing::debug!(group = id, %error, "transfer");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_unfit_once_it_was_so_for_several_looks() {
        let health = Health::new(1, 1, 0);
        let mut relief = Relief::default();
        assert_eq!(relief.look(&health), None);
        let sync = |time| {
            health.sync_begins();
            std::thread::sleep(time);
            health.sync_ends(true);
        };
        sync(Duration::from_millis(25));
        for _ in 1..HEALTH_LOOKS_MIN {
            assert_eq!(relief.look(&health), None);
        }
        assert_eq!(relief.look(&health), Some(Why::SlowDisk));
        // Most of the last ones are fast again.
        (0..3).for_each(|_| sync(Duration::ZERO));
        assert_eq!(relief.look(&health), None);
    }
}
