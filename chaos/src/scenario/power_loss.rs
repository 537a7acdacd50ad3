//! Power cuts: `rookery-chaos power-loss`.
//!
//! Each node has a disk of its own. At moments that the seed decides the power of one node is cut,
//! or of all at once: from that moment on nothing more becomes durable, and what was written and
//! not synced is gone when the node comes back. A kill with -9 alone would leave all of that in the
//! page cache. So whatever was acknowledged without a sync is found out here. Of each disk a file
//! is written right before the cut: if it is whole afterwards the run is void, since no power was
//! cut.

use std::time::Duration;

use anyhow::Context;
use rand::Rng;
use tokio::time::{Instant, sleep};

use super::stage::{Disks, Rounds, Stage, seconds};
use crate::disk;
use crate::history::Fault;
use crate::load::Load;
use crate::nemesis::{Campaign, wait_for_load};
use crate::report::{Demands, Ending};
use crate::seed;

/// Operations between two cuts.
const OPERATIONS: std::ops::Range<u64> = 60..180;

/// Every so many rounds all nodes lose power at once.
const ALL_EVERY: u32 = 3;

/// Bytes of each disk: room for all that a run writes.
const DISK_BYTES: u64 = 2 << 30;

/// Runs it and judges.
///
/// # Errors
///
/// When the cluster does not heal or stops answering.
pub async fn run(options: &Rounds) -> anyhow::Result<Ending> {
    if let Some(why) = disk::missing_for_power() {
        println!("SKIPPED      {why}");
        return Ok(Ending::Skipped);
    }
    let began = Instant::now();
    let disks = Disks {
        bytes: DISK_BYTES,
        reserve_bytes: None,
    };
    let stage = Stage::set_on(&options.setting, Some(disks)).await?;
    let cluster = &stage.cluster;
    let load = Load::start(&stage.scene, options.crowd);
    let mut campaign = Campaign::default();
    let mut rng = seed::generator(options.setting.seed, "power-loss", 0);
    let nodes: Vec<u64> = cluster.nodes().iter().map(|node| node.id).collect();
    for round in 1..=options.rounds {
        wait_for_load(cluster, &stage.scene.recorder, rng.random_range(OPERATIONS)).await?;
        sleep(Duration::from_millis(rng.random_range(0..300))).await;
        let victims = match round % ALL_EVERY {
            0 => nodes.clone(),
            _ => vec![nodes[rng.random_range(0..nodes.len())]],
        };
        let lost = cluster.lose_power(&victims).await;
        let kept = lost.with_context(|| format!("cutting the power of nodes {victims:?}"))?;
        if !kept.is_empty() {
            let what = format!("round {round}: nodes {kept:?} still had what was not synced");
            campaign.short.push(what);
        }
        match victims.len() {
            1 => campaign.kills += 1,
            _ => campaign.full += 1,
        }
        sleep(Duration::from_millis(rng.random_range(0..1500))).await;
        for node in &victims {
            cluster.start(*node).await?;
        }
        let healing = cluster.settle().await?;
        if victims.len() > 1 {
            campaign.recoveries.push(healing);
        }
        stage.scene.recorder.fault(Fault::Healed);
        println!(
            "round {round} of {}: nodes {victims:?} lost power and are back after {}",
            options.rounds,
            seconds(began.elapsed())
        );
    }
    load.stop().await?;
    let full = options.rounds / ALL_EVERY;
    let demands = Demands {
        kills: options.rounds - full,
        full,
        operations: u64::from(options.rounds) * OPERATIONS.start,
        ..Demands::default()
    };
    stage.conclude(&demands, &campaign).await
}
