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
use crate::cluster::Cluster;
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
    for round in 0..options.rounds {
        let at = (round / ROUNDS_PER_NODE) as usize % nodes.len();
        let led = take_leadership(cluster, nodes[at], &ended).await?;
        cluster.slow_disk(nodes[at], options.delay_ms)?;
        wait_for_load(cluster, &stage.scene.recorder, OPERATIONS).await?;
        cluster
            .kill(nodes[at], led.keys().copied().collect())
            .await?;
        cluster.slow_disk(nodes[at], 0)?;
        cluster.start(nodes[at]).await?;
        campaign.kills += 1;
        println!(
            "round {} of {}: node {} killed as leader of {} groups after {}",
            round + 1,
            options.rounds,
            nodes[at],
            led.len(),
            seconds(began.elapsed())
        );
        ended.extend(led);
    }
    load.stop().await?;
    let operations = u64::from(options.rounds) * OPERATIONS;
    let demands = Demands {
        kills: options.rounds,
        operations,
        ..Demands::default()
    };
    stage.conclude(&demands, &campaign).await
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
