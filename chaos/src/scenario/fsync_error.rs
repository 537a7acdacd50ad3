//! Disks that refuse: `rookery-chaos fsync-error`.
//!
//! At moments that the seed decides, syncs or writes of one node's log fail with an I/O error. What
//! was written before is in doubt then, and the kernel may say of the next sync that all is well.
//! So the node must end at once, with one clear line, and acknowledge nothing more. Started again
//! on a disk that works it writes what was in doubt once more, and catches up. All of it under
//! load.

use std::time::Duration;

use anyhow::ensure;
use rand::Rng;
use tokio::time::{Instant, sleep};

use super::stage::{Rounds, Stage, seconds};
use crate::cluster::Refusal;
use crate::history::Fault;
use crate::load::Load;
use crate::nemesis::{Campaign, wait_for_load};
use crate::report::{Demands, Ending};
use crate::seed;

/// Operations between two errors.
const OPERATIONS: std::ops::Range<u64> = 40..160;

/// How a node's last line begins, and what the log has to say in it.
const LAST_LINE: (&str, &str) = ("rookeryd: ", "the log accepts nothing more");

/// How a node ends that cannot write its log (`EX_SOFTWARE`).
const EXIT_CODE: i32 = 70;

/// Runs it and judges.
///
/// # Errors
///
/// When a node does not end, or ends in another way, or the cluster does not heal.
pub async fn run(options: &Rounds) -> anyhow::Result<Ending> {
    let began = Instant::now();
    let stage = Stage::set(&options.setting).await?;
    let cluster = &stage.cluster;
    let load = Load::start(&stage.scene, options.crowd);
    let mut campaign = Campaign::default();
    let mut rng = seed::generator(options.setting.seed, "fsync-error", 0);
    for round in 1..=options.rounds {
        let nodes = cluster.nodes();
        let node = nodes[rng.random_range(0..nodes.len())].id;
        let refusal = match rng.random_range(0..3) {
            0 => Refusal::Write,
            _ => Refusal::Sync,
        };
        wait_for_load(cluster, &stage.scene.recorder, rng.random_range(OPERATIONS)).await?;
        sleep(Duration::from_millis(rng.random_range(0..300))).await;
        let said = || cluster.told(node, LAST_LINE.0);
        let before = said()?;
        cluster.refuse(node, Some(refusal))?;
        let status = cluster.ends_by_itself(node).await?;
        ensure!(
            status.code() == Some(EXIT_CODE),
            "node {node} ended with {status}"
        );
        let lines = said()? - before;
        ensure!(lines == 1, "node {node} said {lines} last lines");
        let line = cluster.last_line(node, LAST_LINE.0)?;
        ensure!(line.contains(LAST_LINE.1), "node {node} ended with: {line}");
        campaign.kills += 1;
        cluster.refuse(node, None)?;
        sleep(Duration::from_millis(rng.random_range(0..1500))).await;
        cluster.start(node).await?;
        cluster.answers(node).await?;
        cluster.settle().await?;
        stage.scene.recorder.fault(Fault::Healed);
        println!(
            "round {round} of {}: node {node} ended on a refused {refusal:?} and is back after {}",
            options.rounds,
            seconds(began.elapsed())
        );
    }
    load.stop().await?;
    let demands = Demands {
        kills: options.rounds,
        operations: u64::from(options.rounds) * OPERATIONS.start,
        ..Demands::default()
    };
    stage.conclude(&demands, &campaign).await
}
