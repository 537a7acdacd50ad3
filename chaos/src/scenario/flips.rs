//! A node whose disk lies: `rookery-chaos flips`.
//!
//! Bits flip and bytes go in every kind of file of one node, while it is down and while it runs,
//! again and again under load. It must notice, serve nothing of it, and have it again from the
//! others: at the end every body is read on every replica and compared with its row. Where nobody
//! can tell what was lost, the replicas must be replaced by themselves.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use tokio::time::{Instant, sleep};

use super::stage::{Setting, Stage, seconds};
use crate::harm::{ACTIVE_BYTES_MIN, Disk, Kind, harm_many};
use crate::history::Place;
use crate::limits::{LOOK_EVERY, SETTLE_WAIT};
use crate::load::mta::Mta;
use crate::load::{Crowd, Load, Role, serial};
use crate::mail::message::{Sizes, message_of_size};
use crate::nemesis::{Campaign, wait_for_load};
use crate::report::{Demands, Ending};
use crate::seed;

/// What can be chosen.
#[derive(Clone, Debug)]
pub struct Options {
    /// What every scenario is told.
    pub setting: Setting,
    /// How many places are harmed.
    pub places: u32,
    /// How many of them between two starts of the node.
    pub places_per_round: u32,
    /// Operations between two rounds.
    pub operations: u64,
    /// How many clients there are.
    pub crowd: Crowd,
}

/// More of the large messages than usual, so that segments are filled soon.
pub const SIZES: Sizes = Sizes {
    large_per_mille: 60,
};

/// Bytes of the messages that fill segments: they ride along in an entry each.
const FILL_BYTES: usize = 900 << 10;

/// Of these at most so many at once: more than two segments.
const FILLS_MAX: u32 = 48;

/// The node that is harmed.
const VICTIM: u64 = 2;

/// Runs it and judges.
///
/// # Errors
///
/// When the cluster does not heal, or damage is left.
pub async fn run(options: &Options) -> anyhow::Result<Ending> {
    let began = Instant::now();
    let stage = Stage::set(&options.setting).await?;
    let cluster = &stage.cluster;
    let node = cluster.nodes().into_iter().find(|node| node.id == VICTIM);
    let data = node.context("there is no such node")?.data_dir;
    let mut rng = seed::generator(options.setting.seed, "flips", 0);
    let load = Load::start(&stage.scene, options.crowd);
    let mut campaign = Campaign::default();
    let (mut harmed, mut mended, mut replaced) = (0, 0, 0);
    let (mut rounds, mut sent) = (0, 0);
    let mut untouched: BTreeSet<Kind> = Kind::ALL.into();
    while harmed < options.places {
        wait_for_load(cluster, &stage.scene.recorder, options.operations).await?;
        if !untouched.is_empty() {
            fill(&stage, &mut sent).await?;
        }
        let places = options.places_per_round.min(options.places - harmed);
        // Some of it while the node runs, in what is written no more; the rest while it is down.
        let live = places / 4;
        let mut done = Vec::new();
        let segments = cluster.storage(VICTIM).await?.segments;
        let mut disk = Disk {
            data: data.clone(),
            active: (0, 0),
        };
        if segments.iter().any(|segment| segment.sealed) {
            done = harm_many(&disk, &[Kind::Sealed], live, &mut rng)?;
        }
        mended += scrub(cluster).await?;
        let segments = cluster.storage(VICTIM).await?.segments;
        let active = segments.last().context("a log has a segment")?;
        disk.active = (active.number, active.bytes);
        cluster.kill(VICTIM, Vec::new()).await?;
        campaign.kills += 1;
        let down = places - u32::try_from(done.len())?;
        done.extend(harm_many(&disk, &Kind::ALL, down, &mut rng)?);
        harmed += u32::try_from(done.len())?;
        rounds += 1;
        for what in &done {
            println!("harmed: {what}");
        }
        untouched.retain(|kind| !done.iter().any(|what| kind.is_of(what)));
        let before = cluster.replicas_on(VICTIM).await;
        cluster.start(VICTIM).await?;
        cluster.answers(VICTIM).await?;
        cluster.settle().await?;
        mended += scrub(cluster).await?;
        let gone = before
            .difference(&cluster.replicas_on(VICTIM).await)
            .count();
        let of_nobody = |what: &&String| what.starts_with("Active") && what.contains("zeros");
        let lost = done.iter().filter(of_nobody).count();
        ensure!(
            lost == 0 || gone == before.len(),
            "{lost} losses of nobody knows what, but of {} replicas {gone} were replaced",
            before.len()
        );
        replaced += gone;
        println!(
            "{harmed} places harmed, {mended} records mended, {replaced} replicas replaced \
             after {}",
            seconds(began.elapsed())
        );
    }
    load.stop().await?;
    cluster.settle().await?;
    scrub(cluster).await?;
    for kind in untouched {
        campaign
            .short
            .push(format!("nothing was harmed of kind {kind:?}"));
    }
    if mended == 0 && replaced == 0 {
        let what = "nothing was mended and nothing replaced".to_owned();
        campaign.short.push(what);
    }
    let demands = Demands {
        kills: rounds,
        operations: u64::from(rounds) * options.operations,
        index_harmed: true,
        ..Demands::default()
    };
    stage.conclude(&demands, &campaign).await
}

/// Delivers large messages until every kind of file is there: a sealed segment, and enough in the
/// one that is written. The load alone may take long for it.
async fn fill(stage: &Stage, sent: &mut u64) -> anyhow::Result<()> {
    let scene = &stage.scene;
    let mut rng = seed::generator(scene.seed, "fill", *sent);
    let mut mta = Mta::new(scene, Role::Fill, 0, scene.doors());
    for _ in 0..FILLS_MAX {
        let segments = stage.cluster.storage(VICTIM).await?.segments;
        let is_sealed = segments.iter().any(|segment| segment.sealed);
        let active = segments.last().map_or(0, |segment| segment.bytes);
        if is_sealed && active >= ACTIVE_BYTES_MIN {
            break;
        }
        *sent += 1;
        let serial = serial(Role::Fill, 0, *sent);
        let message = message_of_size(scene.seed, serial, FILL_BYTES);
        let account = u32::try_from(*sent % scene.accounts.len() as u64)?;
        let place = Place {
            account,
            mailbox: 0,
        };
        mta.send(serial, &message, vec![place], &mut rng).await;
    }
    mta.hang_up().await;
    Ok(())
}

/// Has the node read its whole log, and waits until all that it found is mended; answers how much
/// that was since the node started.
async fn scrub(cluster: &crate::cluster::Cluster) -> anyhow::Result<u64> {
    let pass = cluster.scrub(VICTIM).await?;
    let deadline = Instant::now() + SETTLE_WAIT;
    loop {
        cluster.check_processes().await?;
        let scrubbed = cluster.storage(VICTIM).await?.scrubbed.unwrap_or_default();
        if scrubbed.passes >= pass && scrubbed.open == 0 {
            return Ok(scrubbed.mended);
        }
        ensure!(
            Instant::now() < deadline,
            "the node does not mend its log: {scrubbed:?}"
        );
        sleep(LOOK_EVERY).await;
    }
}
