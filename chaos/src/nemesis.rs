//! What breaks the cluster, planned from a seed.
//!
//! A plan has no times of day: a strike comes after so many operations were acknowledged since the
//! last one, and a short pause. So every strike meets a cluster that works, on a fast machine as on
//! a slow one, and if the operations do not come, that is itself the finding.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use rand::Rng;
use rand::seq::SliceRandom;
use tokio::time::{Instant, sleep};

use crate::cluster::Cluster;
use crate::history::{Fault, Recorder};
use crate::limits::{LOAD_WAIT, LOOK_EVERY};
use crate::load::Scene;
use crate::load::probe::{Failover, Probes};
use crate::seed;

/// One blow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strike {
    /// Kills the node that leads this group.
    Leader {
        /// 0 is the directory.
        group: u64,
    },
    /// Kills a node that does not lead this group.
    Follower {
        /// 0 is the directory.
        group: u64,
    },
    /// Kills the leader of this group and, before it is back, another node: nobody leads until one
    /// of them returns.
    Two {
        /// 0 is the directory.
        group: u64,
        /// Between the two.
        gap: Duration,
    },
    /// Kills all nodes at once.
    All,
    /// Lets the node that leads this group sleep, mostly for longer than it takes the others to
    /// elect another: when it wakes, it believes for a moment that it leads.
    Pause {
        /// 0 is the directory.
        group: u64,
    },
}

impl Strike {
    /// Nodes that it kills, where they count for `--kills`; the one full-cluster kill of a plan
    /// comes on top.
    #[must_use]
    pub fn kills(self) -> u32 {
        match self {
            Self::Leader { .. } | Self::Follower { .. } => 1,
            Self::Two { .. } => 2,
            Self::All | Self::Pause { .. } => 0,
        }
    }
}

/// A strike and when it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// After so many acknowledged operations since the step before.
    pub after_operations: u64,
    /// And then this long.
    pub pause: Duration,
    /// What happens.
    pub strike: Strike,
    /// How long what was killed stays down, or sleeps.
    pub down: Duration,
}

/// Plans with fewer kills have no full-cluster kill.
const KILLS_FOR_ALL: u32 = 4;

/// Operations between two steps.
const OPERATIONS: std::ops::Range<u64> = 60..180;

/// The plan of a seed: so many kills, one full-cluster kill if there are some, so many pauses in
/// between, `groups` with the directory.
#[must_use]
pub fn plan(seed: u64, kills: u32, pauses: u32, groups: u64) -> Vec<Step> {
    let mut rng = seed::generator(seed, "plan", 0);
    let mut strikes = Vec::new();
    let mut left = kills;
    while left > 0 {
        let group = rng.random_range(0..groups);
        let strike = match rng.random_range(0..20) {
            0..2 if left >= 2 => Strike::Two {
                group,
                gap: Duration::from_millis(rng.random_range(0..400)),
            },
            2..5 => Strike::Follower { group },
            _ => Strike::Leader { group },
        };
        left -= strike.kills();
        strikes.push(strike);
    }
    if kills >= KILLS_FOR_ALL {
        let middle = rng.random_range(1..strikes.len());
        strikes.insert(middle, Strike::All);
    }
    for _ in 0..pauses {
        let at = rng.random_range(0..=strikes.len());
        let group = rng.random_range(0..groups);
        strikes.insert(at, Strike::Pause { group });
    }
    let step = |strike| Step {
        after_operations: rng.random_range(OPERATIONS),
        pause: Duration::from_millis(rng.random_range(0..500)),
        strike,
        // Long enough for an election, or so short that the old leader comes back in its midst.
        down: Duration::from_millis(match rng.random_range(0..4) {
            0 => rng.random_range(0..100),
            _ => rng.random_range(500..3000),
        }),
    };
    strikes.into_iter().map(step).collect()
}

/// What was really done.
#[derive(Clone, Debug, Default)]
pub struct Campaign {
    /// Single nodes that were killed.
    pub kills: u32,
    /// Full-cluster kills.
    pub full: u32,
    /// Nodes that slept.
    pub pauses: u32,
    /// Of the nodes that were killed to have a group lose its leader, those that led it.
    pub leaders: u32,
    /// What had to happen beside this and did not: with any of it the run means nothing.
    pub short: Vec<String>,
    /// From each kill of one node, for each group that it led, until that took mail again.
    pub failovers: Vec<Failover>,
    /// From each start after a full-cluster kill until everything was level again.
    pub recoveries: Vec<Duration>,
}

/// Carries out a plan, healing after each strike.
///
/// # Errors
///
/// When a node ends by itself, the cluster does not heal by itself, or the load comes to a halt:
/// findings, all of them.
pub async fn rage(
    steps: &[Step],
    cluster: &Arc<Cluster>,
    scene: &Arc<Scene>,
    mut told: impl FnMut(usize, &Campaign),
) -> anyhow::Result<Campaign> {
    let mut campaign = Campaign::default();
    for (number, step) in steps.iter().enumerate() {
        let strike = format!("strike {} ({:?})", number + 1, step.strike);
        wait_for_load(cluster, &scene.recorder, step.after_operations)
            .await
            .with_context(|| format!("before {strike}"))?;
        sleep(step.pause).await;
        blow(number as u64, step, cluster, scene, &mut campaign)
            .await
            .context(strike)?;
        told(number + 1, &campaign);
    }
    Ok(campaign)
}

/// Waits until so many more operations were acknowledged.
///
/// # Errors
///
/// When that takes for ever: somebody does not get an answer although nothing is broken.
pub async fn wait_for_load(
    cluster: &Cluster,
    recorder: &Recorder,
    operations: u64,
) -> anyhow::Result<()> {
    let from = recorder.acknowledged();
    let began = Instant::now();
    while recorder.acknowledged() < from + operations {
        cluster.check_processes().await?;
        ensure!(
            began.elapsed() < LOAD_WAIT,
            "clients got {} of {operations} answers in {LOAD_WAIT:?}",
            recorder.acknowledged() - from
        );
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}

async fn blow(
    number: u64,
    step: &Step,
    cluster: &Arc<Cluster>,
    scene: &Arc<Scene>,
    campaign: &mut Campaign,
) -> anyhow::Result<()> {
    let leaders = cluster.leaders().await;
    let led = |node: u64| -> Vec<u64> {
        let led = leaders.iter().filter(|(_, leader)| leader.node == node);
        led.map(|(group, _)| *group).collect()
    };
    let mut nodes: Vec<u64> = cluster.nodes().iter().map(|node| node.id).collect();
    nodes.shuffle(&mut seed::generator(scene.seed, "victims", number));
    let leader_of = |group: u64| leaders.get(&group).map_or(nodes[0], |leader| leader.node);
    let other_than = |taken: u64| nodes.iter().copied().find(|node| *node != taken);

    let mut victims = BTreeSet::new();
    match step.strike {
        Strike::Pause { group } => {
            let node = leader_of(group);
            cluster.pause(node, led(node)).await?;
            sleep(step.down).await;
            cluster.resume(node).await?;
            campaign.pauses += 1;
        }
        Strike::Leader { group } => {
            victims.insert(leader_of(group));
            campaign.leaders += u32::from(leaders.contains_key(&group));
        }
        Strike::Follower { group } => victims.extend(other_than(leader_of(group))),
        Strike::Two { group, gap } => {
            let first = leader_of(group);
            cluster.kill(first, led(first)).await?;
            sleep(gap).await;
            let second = other_than(first).context("there are several nodes")?;
            cluster.kill(second, led(second)).await?;
            campaign.kills += 2;
            sleep(step.down).await;
            cluster.start(first).await?;
            cluster.start(second).await?;
        }
        Strike::All => {
            cluster.kill_together(&nodes, led).await?;
            campaign.full += 1;
            sleep(step.down).await;
            for node in &nodes {
                cluster.start(*node).await?;
            }
        }
    }
    for victim in victims {
        let groups = led(victim);
        let probes = Probes::prepare(scene, &groups, victim, number + 1);
        let killed = cluster.kill(victim, groups).await?;
        campaign.kills += 1;
        let measuring = tokio::spawn(probes.measure(killed));
        sleep(step.down).await;
        cluster.start(victim).await?;
        campaign.failovers.extend(measuring.await?);
    }
    let healing = cluster.settle().await?;
    scene.recorder.fault(Fault::Healed);
    if step.strike == Strike::All {
        campaign.recoveries.push(healing);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_plan() {
        assert_eq!(plan(7, 30, 5, 17), plan(7, 30, 5, 17));
        assert_ne!(plan(7, 30, 5, 17), plan(8, 30, 5, 17));
    }

    #[test]
    fn a_plan_has_as_many_kills_as_asked_for() {
        for seed in 0..200 {
            for kills in [1, 2, 3, 4, 30] {
                let steps = plan(seed, kills, 3, 17);
                let sum: u32 = steps.iter().map(|step| step.strike.kills()).sum();
                assert_eq!(sum, kills);
                let full = steps
                    .iter()
                    .filter(|step| step.strike == Strike::All)
                    .count();
                assert_eq!(full, usize::from(kills >= KILLS_FOR_ALL));
                let pauses = steps
                    .iter()
                    .filter(|step| matches!(step.strike, Strike::Pause { .. }));
                assert_eq!(pauses.count(), 3);
            }
        }
        let steps = plan(7, 30, 0, 17);
        let leaders = steps
            .iter()
            .filter(|step| matches!(step.strike, Strike::Leader { .. }));
        assert!(leaders.count() > steps.len() / 2);
    }
}
