//! Disks that are full: `rookery-chaos full-disk`.
//!
//! Each node has a small disk of its own. In turn one node's disk is filled, so that the others
//! take mail without it, and those of all nodes: a little room is left for the load to fill. Then
//! new mail must be refused with 452 and copies and appends with NO, while flags change, messages
//! are expunged and mailboxes read. When space is given back, mail must come in again without
//! anybody's help.

use std::time::Duration;

use anyhow::{Context, ensure};
use rand::Rng;
use tokio::time::{Instant, sleep};

use super::stage::{Disks, Rounds, Stage, seconds};
use crate::disk;
use crate::history::{Answer, End, Fault, History, Op, Receipt};
use crate::limits::{FULL_WAIT, LOOK_EVERY};
use crate::load::Load;
use crate::nemesis::{Campaign, wait_for_load};
use crate::report::{Demands, Ending};
use crate::seed;

/// Operations while disks are full, and after it.
const OPERATIONS: u64 = 150;

/// Bytes of each disk.
const DISK_BYTES: u64 = 1 << 30;

/// Room of the logs that mail does not take, bytes: three of their segments.
const RESERVE_BYTES: u64 = 48 << 20;

/// What is left for mail when a disk is filled, bytes: a segment, so that the load has to fill it.
const LEFT_BYTES: std::ops::Range<u64> = 1 << 20..16 << 20;

/// What was seen of a cluster whose disks are full.
#[derive(Debug, Default)]
struct Seen {
    /// Deliveries that got 452 4.3.1.
    refused_mail: usize,
    /// Appends and copies that got NO.
    refused_adds: usize,
    /// Changes of flags and expunges that were done.
    changes: usize,
    /// Mailboxes and messages that were read.
    reads: usize,
}

impl Seen {
    /// In what began after the event `from`.
    fn since(history: &History, from: usize) -> Self {
        let mut seen = Self::default();
        for entry in history.entries() {
            if entry.begin < from {
                continue;
            }
            match (entry.op, entry.end) {
                (Op::Deliver { .. }, End::Ok(_, Answer::Delivered(receipts))) => {
                    seen.refused_mail += usize::from(receipts.iter().any(no_space));
                }
                (Op::Append { .. } | Op::Copy { moving: false, .. }, End::Fail(why)) => {
                    seen.refused_adds += usize::from(why.contains("nearly full"));
                }
                (Op::Store { .. } | Op::Expunge { .. }, End::Ok(..)) => seen.changes += 1,
                (Op::List { .. } | Op::Read { .. }, End::Ok(..)) => seen.reads += 1,
                _ => {}
            }
        }
        seen
    }

    fn is_enough(&self) -> bool {
        self.refused_mail >= 5 && self.refused_adds >= 2 && self.changes >= 5 && self.reads >= 5
    }
}

fn no_space(receipt: &Receipt) -> bool {
    match receipt {
        Receipt::Stored => false,
        Receipt::Unknown(why) | Receipt::Refused(why) => why.starts_with("452 4.3.1"),
    }
}

/// Runs it and judges.
///
/// # Errors
///
/// When nothing is refused, too much is, or mail does not come in again.
pub async fn run(options: &Rounds) -> anyhow::Result<Ending> {
    if let Some(why) = disk::missing() {
        println!("SKIPPED      {why}");
        return Ok(Ending::Skipped);
    }
    let began = Instant::now();
    let disks = Disks {
        bytes: DISK_BYTES,
        reserve_bytes: Some(RESERVE_BYTES),
    };
    let stage = Stage::set_on(&options.setting, Some(disks)).await?;
    let (cluster, recorder) = (&stage.cluster, &stage.scene.recorder);
    let load = Load::start(&stage.scene, options.crowd);
    let mut rng = seed::generator(options.setting.seed, "full-disk", 0);
    let nodes: Vec<u64> = cluster.nodes().iter().map(|node| node.id).collect();
    for round in 1..=options.rounds {
        wait_for_load(cluster, recorder, OPERATIONS).await?;
        let all = round % 2 == 0;
        let victims = match all {
            true => nodes.clone(),
            false => vec![nodes[rng.random_range(0..nodes.len())]],
        };
        let nodes = victims.clone();
        recorder.fault(Fault::Full { nodes });
        // A quarter of the reserve beside it is the index's.
        for node in &victims {
            let left = RESERVE_BYTES * 5 / 4 + rng.random_range(LEFT_BYTES);
            cluster.disk(*node)?.leave(left)?;
        }
        until(&stage, &victims, false)
            .await
            .with_context(|| format!("filling the disks of nodes {victims:?}"))?;
        let from = recorder.history().events.len();
        let seen = if all {
            until_seen(&stage, from).await?
        } else {
            wait_for_load(cluster, recorder, OPERATIONS).await?;
            let seen = Seen::since(&recorder.history(), from);
            ensure!(seen.refused_mail == 0, "two nodes have room, and {seen:?}");
            seen
        };
        for node in &victims {
            cluster.disk(*node)?.unload()?;
        }
        until(&stage, &victims, true)
            .await
            .with_context(|| format!("giving back the disks of nodes {victims:?}"))?;
        let nodes = victims.clone();
        recorder.fault(Fault::Room { nodes });
        cluster.settle().await?;
        recorder.fault(Fault::Healed);
        println!(
            "round {round} of {}: nodes {victims:?} were full, {seen:?}, after {}",
            options.rounds,
            seconds(began.elapsed())
        );
    }
    wait_for_load(cluster, recorder, OPERATIONS).await?;
    load.stop().await?;
    let demands = Demands {
        operations: u64::from(options.rounds) * OPERATIONS,
        ..Demands::default()
    };
    stage.conclude(&demands, &Campaign::default()).await
}

/// Waits until each of these nodes says that it takes mail, or that it does not.
async fn until(stage: &Stage, nodes: &[u64], takes_mail: bool) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        stage.cluster.check_processes().await?;
        let statuses = stage.cluster.statuses().await;
        let says = |node: &u64| {
            let status = statuses.get(node)?;
            let own = status.nodes.iter().find(|own| own.node == *node)?;
            Some(own.condition?.takes_mail)
        };
        if nodes.iter().all(|node| says(node) == Some(takes_mail)) {
            break;
        }
        ensure!(
            began.elapsed() < FULL_WAIT,
            "not all of nodes {nodes:?} come to say that they take mail: {takes_mail}"
        );
        sleep(LOOK_EVERY).await;
    }
    // The others hear of it.
    sleep(Duration::from_secs(2)).await;
    Ok(())
}

/// Waits until enough was refused, and enough was not.
async fn until_seen(stage: &Stage, from: usize) -> anyhow::Result<Seen> {
    let began = Instant::now();
    loop {
        stage.cluster.check_processes().await?;
        let seen = Seen::since(&stage.scene.recorder.history(), from);
        if seen.is_enough() {
            return Ok(seen);
        }
        ensure!(
            began.elapsed() < FULL_WAIT,
            "all disks are full, and {seen:?}"
        );
        sleep(Duration::from_millis(500)).await;
    }
}
