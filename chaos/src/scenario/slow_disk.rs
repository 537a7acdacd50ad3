//! A disk that becomes slow: `rookery-chaos slow-disk`.
//!
//! A node leads, and its disk becomes much slower than those of the others. It must hand over what
//! it leads and not get it back, though it is the one that shall lead some of it, until its disk is
//! fast again. All of it under load.

use std::time::Duration;

use anyhow::ensure;
use rand::Rng;
use tokio::time::{Instant, sleep};

use super::slow_sync::take_leadership;
use super::stage::{Rounds, Stage, seconds};
use crate::cluster::Cluster;
use crate::limits::{LOOK_EVERY, SETTLE_WAIT};
use crate::load::Load;
use crate::nemesis::{Campaign, wait_for_load};
use crate::report::{Demands, Ending};
use crate::seed;

/// By how much syncs are delayed, milliseconds.
const DELAY_MS: std::ops::Range<u64> = 80..200;

/// For how long a slow node must lead nothing once it has handed over: longer than it takes until
/// leaders are balanced.
const WATCHED: Duration = Duration::from_secs(15);

/// Operations while a disk is slow.
const OPERATIONS: u64 = 50;

/// Runs it and judges.
///
/// # Errors
///
/// When a slow node keeps leading, or a fast one never leads again.
pub async fn run(options: &Rounds) -> anyhow::Result<Ending> {
    let began = Instant::now();
    let stage = Stage::set(&options.setting).await?;
    let cluster = &stage.cluster;
    let nodes: Vec<u64> = cluster.nodes().iter().map(|node| node.id).collect();
    let load = Load::start(&stage.scene, options.crowd);
    let mut rng = seed::generator(options.setting.seed, "slow-disk", 0);
    for round in 1..=options.rounds {
        let node = nodes[rng.random_range(0..nodes.len())];
        let led = take_leadership(cluster, node, &[].into()).await?.len();
        cluster.slow_disk(node, rng.random_range(DELAY_MS))?;
        let slow = Instant::now();
        leads(cluster, node, false).await?;
        let handed_over = slow.elapsed();
        wait_for_load(cluster, &stage.scene.recorder, OPERATIONS).await?;
        let watched = Instant::now();
        while watched.elapsed() < WATCHED {
            ensure!(
                led_by(cluster, node).await == 0,
                "node {node} leads again, and its disk is slow"
            );
            sleep(Duration::from_millis(500)).await;
        }
        cluster.slow_disk(node, 0)?;
        leads(cluster, node, true).await?;
        println!(
            "round {round} of {}: node {node} gave {led} groups away within {}, after {}",
            options.rounds,
            seconds(handed_over),
            seconds(began.elapsed())
        );
    }
    load.stop().await?;
    let demands = Demands {
        operations: u64::from(options.rounds) * OPERATIONS,
        ..Demands::default()
    };
    stage.conclude(&demands, &Campaign::default()).await
}

async fn led_by(cluster: &Cluster, node: u64) -> usize {
    let leaders = cluster.leaders().await;
    leaders
        .values()
        .filter(|leader| leader.node == node)
        .count()
}

/// Waits until a node leads something, or nothing.
async fn leads(cluster: &Cluster, node: u64, wanted: bool) -> anyhow::Result<()> {
    let deadline = Instant::now() + SETTLE_WAIT;
    loop {
        cluster.check_processes().await?;
        let led = led_by(cluster, node).await;
        if (led > 0) == wanted {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "node {node} leads {led} groups");
        sleep(LOOK_EVERY).await;
    }
}
