//! A node that was away for long: `rookery-chaos away`.
//!
//! One node after the other is killed and stays down while mail goes on, until the others have
//! purged entries that it lacks. Started again it cannot be served from their logs: it gets
//! checkpoints, and the bodies that it misses, while mail still goes on.

use anyhow::ensure;
use tokio::time::{Instant, sleep};

use super::stage::{Setting, Stage, seconds};
use crate::limits::PURGE_WAIT;
use crate::load::{Crowd, Load};
use crate::nemesis::{Campaign, wait_for_load};
use crate::report::{Demands, Ending};

/// What can be chosen.
#[derive(Clone, Debug)]
pub struct Options {
    /// What every scenario is told.
    pub setting: Setting,
    /// How many nodes are away, one after the other.
    pub rounds: u32,
    /// Operations that each misses.
    pub operations: u64,
    /// How many clients there are.
    pub crowd: Crowd,
}

/// What a node says when it has taken a checkpoint in.
const INSTALLED: &str = "snapshot installed";

/// Runs it and judges.
///
/// # Errors
///
/// When the cluster does not heal, or a node came back without a snapshot: then nothing was tested.
pub async fn run(options: &Options) -> anyhow::Result<Ending> {
    let began = Instant::now();
    let stage = Stage::set(&options.setting).await?;
    let cluster = &stage.cluster;
    let nodes: Vec<u64> = cluster.nodes().iter().map(|node| node.id).collect();
    let load = Load::start(&stage.scene, options.crowd);
    let mut campaign = Campaign::default();
    for node in nodes.iter().cycle().take(options.rounds as usize) {
        let before = cluster.told(*node, INSTALLED)?;
        cluster.kill(*node, Vec::new()).await?;
        campaign.kills += 1;
        wait_for_load(cluster, &stage.scene.recorder, options.operations).await?;
        sleep(PURGE_WAIT).await;
        cluster.start(*node).await?;
        cluster.answers(*node).await?;
        cluster.settle().await?;
        let taken = cluster.told(*node, INSTALLED)? - before;
        ensure!(
            taken > 0,
            "node {node} was served from logs: let it miss more"
        );
        println!(
            "node {node} is back with {taken} snapshots after {}",
            seconds(began.elapsed())
        );
    }
    load.stop().await?;
    let demands = Demands {
        kills: options.rounds,
        operations: u64::from(options.rounds) * options.operations,
        ..Demands::default()
    };
    stage.conclude(&demands, &campaign).await
}
