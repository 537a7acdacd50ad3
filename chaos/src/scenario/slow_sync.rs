//! A leader whose disk is slow, killed and restarted at once: `rookery-chaos slow-sync`.
//!
//! A leader sends an entry to its followers before it is on its own disk. When they have it, it is
//! acknowledged, rightly, though the leader's own copy still waits for the disk. Killed then, it
//! comes back without the entry. If it went on in its old term it would give the same place in the
//! log to another entry, and its followers would take that for the one they have: an acknowledged
//! mail, exchanged. So a node is made a leader, its disk is made slow, and it is killed and
//! restarted at once, under load, many times.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::ensure;
use tokio::time::{Instant, sleep};

use super::stage::{Setting, Stage, seconds};
use crate::cluster::{Cluster, Leader};
use crate::limits::{LOOK_EVERY, SETTLE_WAIT};
use crate::load::{Crowd, Load};
use crate::nemesis::{Campaign, wait_for_load};
use crate::report::{Demands, Ending};

/// What can be chosen.
#[derive(Clone, Debug)]
pub struct Options {
    /// What every scenario is told.
    pub setting: Setting,
    /// How often the slow leader is killed.
    pub rounds: u32,
    /// By how much its syncs are delayed, milliseconds.
    pub delay_ms: u64,
    /// How many clients there are.
    pub crowd: Crowd,
}

/// After so many rounds another node is the slow one.
const ROUNDS_PER_NODE: u32 = 10;

/// How often a node is made a leader for one kill, on average: it may hand over before.
const TRIES_PER_ROUND: u32 = 4;

/// Operations between two kills.
const OPERATIONS: u64 = 40;

/// Runs it and judges.
///
/// # Errors
///
/// When the cluster does not heal or stops answering, or the server cannot be slowed down.
pub async fn run(options: &Options) -> anyhow::Result<Ending> {
    let began = Instant::now();
    let stage = Stage::set(&options.setting).await?;
    let cluster = &stage.cluster;
    let nodes: Vec<u64> = cluster.nodes().iter().map(|node| node.id).collect();
    let load = Load::start(&stage.scene, options.crowd);
    let mut campaign = Campaign::default();
    // For each group the last term whose leader was killed.
    let mut ended = BTreeMap::new();
    let mut tries = 0;
    while campaign.kills < options.rounds && tries < options.rounds * TRIES_PER_ROUND {
        tries += 1;
        let node = nodes[(campaign.kills / ROUNDS_PER_NODE) as usize % nodes.len()];
        let led = take_leadership(cluster, node, &ended).await?;
        cluster.slow_disk(node, options.delay_ms)?;
        wait_for_load(cluster, &stage.scene.recorder, OPERATIONS).await?;
        // A leader whose disk is slow hands over after a while: then there is nothing to see.
        let led = still_led(&cluster.leaders().await, node, &led);
        if led.keys().all(|group| *group == 0) {
            cluster.slow_disk(node, 0)?;
            continue;
        }
        cluster.kill(node, led.keys().copied().collect()).await?;
        cluster.slow_disk(node, 0)?;
        cluster.start(node).await?;
        campaign.kills += 1;
        println!(
            "round {} of {}: node {node} killed as leader of {} groups after {}",
            campaign.kills,
            options.rounds,
            led.len(),
            seconds(began.elapsed())
        );
        ended.extend(led);
    }
    println!(
        "{} of {tries} times it led when it was killed",
        campaign.kills
    );
    load.stop().await?;
    let operations = u64::from(options.rounds) * OPERATIONS;
    let demands = Demands {
        kills: options.rounds,
        operations,
        ..Demands::default()
    };
    stage.conclude(&demands, &campaign).await
}

/// Of what a node led it still leads this, in the same terms.
fn still_led(
    leaders: &BTreeMap<u64, Leader>,
    node: u64,
    led: &BTreeMap<u64, u64>,
) -> BTreeMap<u64, u64> {
    let led = led.iter().map(|(group, term)| (*group, *term));
    led.filter(|(group, term)| {
        let leader = Leader { term: *term, node };
        leaders.get(group) == Some(&leader)
    })
    .collect()
}

/// Makes the node lead something; answers what it leads then and in which terms. `ended` are terms
/// that nobody leads any more, though followers may not know it yet.
pub(super) async fn take_leadership(
    cluster: &Cluster,
    node: u64,
    ended: &BTreeMap<u64, u64>,
) -> anyhow::Result<BTreeMap<u64, u64>> {
    let deadline = Instant::now() + SETTLE_WAIT;
    cluster.answers(node).await?;
    loop {
        let mut leaders = cluster.leaders().await;
        leaders.retain(|group, leader| ended.get(group).is_none_or(|term| leader.term > *term));
        let led: BTreeMap<u64, u64> = leaders
            .iter()
            .filter(|(_, leader)| leader.node == node)
            .map(|(group, leader)| (*group, leader.term))
            .collect();
        // The directory alone takes few writes; a partition is wanted, better some.
        let partitions = led.keys().filter(|group| **group != 0).count();
        if partitions > 0 && partitions >= leaders.len() / 4 {
            return Ok(led);
        }
        ensure!(
            Instant::now() < deadline,
            "node {node} does not get to lead: {leaders:?}"
        );
        for (group, leader) in &leaders {
            if leader.node != node && *group != 0 {
                // It may refuse while the node is behind; the next look tells.
                drop(cluster.transfer(*group, node).await);
            }
        }
        sleep(LOOK_EVERY.max(Duration::from_millis(200))).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_still_led() {
        let led = [(0, 3), (1, 3), (2, 4)].into();
        let leader = |term, node| Leader { term, node };
        let leaders = [(0, leader(3, 1)), (1, leader(5, 1)), (2, leader(4, 2))].into();
        assert_eq!(still_led(&leaders, 1, &led), [(0, 3)].into());
        assert_eq!(still_led(&BTreeMap::new(), 1, &led), BTreeMap::new());
    }
}
