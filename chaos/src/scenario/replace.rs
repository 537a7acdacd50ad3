//! Nodes that are lost, replaced, added and removed: `rookery-chaos replace`.
//!
//! Round after round, while mail goes on, one node is killed and its disk emptied. Started again
//! under its old number it must refuse; then a new node takes its place. In the end one more node
//! is added, a replica is moved, and a node that is whole is removed. Nobody does anything else.

use anyhow::{Context, ensure};
use rand::seq::IndexedRandom;
use tokio::time::Instant;

use super::stage::{Setting, Stage, seconds};
use crate::load::{Crowd, Load};
use crate::nemesis::{Campaign, wait_for_load};
use crate::report::{Demands, Ending};
use crate::seed;

/// What can be chosen.
#[derive(Clone, Debug)]
pub struct Options {
    /// What every scenario is told.
    pub setting: Setting,
    /// How many nodes lose their data, one after the other.
    pub rounds: u32,
    /// Operations between two of these.
    pub operations: u64,
    /// How many clients there are.
    pub crowd: Crowd,
}

/// Runs it and judges.
///
/// # Errors
///
/// When a node does not take the place of another one, or a forgotten one is let in.
pub async fn run(options: &Options) -> anyhow::Result<Ending> {
    let began = Instant::now();
    let setting = Setting {
        spares: options.rounds + 1,
        ..options.setting.clone()
    };
    let stage = Stage::set(&setting).await?;
    let (cluster, scene) = (&stage.cluster, &stage.scene);
    let mut spares = cluster
        .planned()
        .iter()
        .map(|node| node.id)
        .skip(cluster.nodes().len());
    let mut spare = || spares.next().context("there are spares");
    let load = Load::start(scene, options.crowd);
    let mut campaign = Campaign::default();
    for round in 0..options.rounds {
        wait_for_load(cluster, &scene.recorder, options.operations).await?;
        let nodes: Vec<u64> = cluster.nodes().iter().map(|node| node.id).collect();
        let mut rng = seed::generator(scene.seed, "lost", u64::from(round));
        let lost = *nodes.choose(&mut rng).context("a cluster has nodes")?;
        cluster.kill(lost, Vec::new()).await?;
        campaign.kills += 1;
        scene.set_open(lost, false);
        cluster.wipe(lost).await?;
        cluster.start_forgotten(lost).await?;
        let new = spare()?;
        cluster.start_spare(new).await?;
        cluster.replace(lost, new).await?;
        scene.set_open(new, true);
        cluster.settle().await?;
        println!(
            "node {new} has the place of node {lost}, which lost everything, after {}",
            seconds(began.elapsed())
        );
    }
    wait_for_load(cluster, &scene.recorder, options.operations).await?;
    let added = spare()?;
    cluster.start_spare(added).await?;
    cluster.add(added).await?;
    scene.set_open(added, true);
    cluster.settle().await?;
    println!("node {added} is added after {}", seconds(began.elapsed()));

    let gone = cluster.nodes().first().context("a cluster has nodes")?.id;
    let moved = cluster.movable(gone, added).await;
    if let Some(group) = moved {
        cluster.move_replica(group, gone, added).await?;
        cluster.settle().await?;
        println!("group {group} has moved after {}", seconds(began.elapsed()));
    }
    ensure!(
        moved.is_some() || setting.partitions < 2,
        "node {added} holds every group that node {gone} holds"
    );
    wait_for_load(cluster, &scene.recorder, options.operations).await?;
    scene.set_open(gone, false);
    cluster.remove(gone).await?;
    cluster.settle().await?;
    println!("node {gone} is removed after {}", seconds(began.elapsed()));
    wait_for_load(cluster, &scene.recorder, options.operations).await?;
    load.stop().await?;
    let demands = Demands {
        kills: options.rounds,
        operations: u64::from(options.rounds + 3) * options.operations,
        ..Demands::default()
    };
    stage.conclude(&demands, &campaign).await
}
