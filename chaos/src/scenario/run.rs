//! Mail and kills: `rookery-chaos run`.

use tokio::time::Instant;

use super::stage::{Setting, Stage, seconds};
use crate::load::{Crowd, Load};
use crate::nemesis::{self, Strike};
use crate::report::{Demands, Ending};

/// What can be chosen.
#[derive(Clone, Debug)]
pub struct Options {
    /// What every scenario is told.
    pub setting: Setting,
    /// How many nodes are killed, one or two at a time.
    pub kills: u32,
    /// How many leaders are put to sleep for a while.
    pub pauses: u32,
    /// How many clients there are.
    pub crowd: Crowd,
}

/// Runs load and kills against a new cluster, and judges. Lines are printed as things happen.
///
/// # Errors
///
/// When the cluster does not come up, does not heal, or stops answering.
pub async fn run(options: &Options) -> anyhow::Result<Ending> {
    let began = Instant::now();
    let stage = Stage::set(&options.setting).await?;
    let groups = u64::from(options.setting.partitions) + 1;
    let steps = nemesis::plan(options.setting.seed, options.kills, options.pauses, groups);
    println!(
        "cluster of {} nodes, {} groups, {} accounts after {}",
        stage.scene.doors().len(),
        groups,
        stage.scene.accounts.len(),
        seconds(began.elapsed())
    );
    let load = Load::start(&stage.scene, options.crowd);
    let raged = nemesis::rage(&steps, &stage.cluster, &stage.scene, |number, campaign| {
        let failover = campaign.failovers.last().map(|it| it.took.as_millis());
        println!(
            "strike {number} of {} done after {}: {} kills, {} operations, \
             last failover {failover:?} ms",
            steps.len(),
            seconds(began.elapsed()),
            campaign.kills,
            stage.scene.recorder.acknowledged(),
        );
    });
    let campaign = raged.await?;
    load.stop().await?;
    println!(
        "the load has ended after {}; reading everything",
        seconds(began.elapsed())
    );
    let leaders = steps
        .iter()
        .filter(|step| matches!(step.strike, Strike::Leader { .. }));
    let demands = Demands {
        kills: options.kills,
        leaders: u32::try_from(leaders.count())?,
        full: steps
            .iter()
            .map(|step| u32::from(step.strike == Strike::All))
            .sum(),
        index_harmed: false,
        pauses: options.pauses,
        operations: steps.iter().map(|step| step.after_operations).sum(),
    };
    stage.conclude(&demands, &campaign).await
}
