//! Nodes that are lost, come, go, and take places.

use anyhow::{Context, bail, ensure};
use client::Error;
use client::members::Goal;
use node::demo::child::tail;
use tokio::time::{Instant, sleep};

use super::Cluster;
use crate::limits::{LOOK_EVERY, SETTLE_WAIT, START_WAIT};

/// What a node says that has lost its data and was not told.
const FORGOTTEN: &str = "the data directory is empty, but the cluster knows node";

/// What a node says that was removed.
const REMOVED: &str = "was removed from the cluster";

/// What a node is told that has been added already.
const BELONGS: &str = "belongs to the cluster";

impl Cluster {
    /// Takes away all that a node that was killed had on its disk.
    ///
    /// # Errors
    ///
    /// When it runs, or the folder cannot be emptied.
    pub async fn wipe(&self, node: u64) -> anyhow::Result<()> {
        let member = self.member(node)?.lock().await;
        ensure!(member.process.is_none(), "node {node} runs");
        let dir = &member.node.data_dir;
        std::fs::remove_dir_all(dir).with_context(|| dir.display().to_string())
    }

    /// Starts a node that was wiped, under the number that it had, and waits until it has ended by
    /// itself: its data is forgotten, and it must not vote.
    ///
    /// # Errors
    ///
    /// When it goes on.
    pub async fn start_forgotten(&self, node: u64) -> anyhow::Result<()> {
        let before = self.told(node, FORGOTTEN)?;
        self.start(node).await?;
        self.ends_by_itself(node).await?;
        let said = self.told(node, FORGOTTEN)? > before;
        ensure!(said, "node {node} ended without a word about its data");
        // Nothing of the attempt is of use.
        self.wipe(node).await
    }

    /// Starts a node that is not in the cluster, and waits until it answers.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub async fn start_spare(&self, node: u64) -> anyhow::Result<()> {
        self.start(node).await?;
        self.answers(node).await
    }

    /// Lets a started node take the place of another one, and waits until that is so.
    ///
    /// # Errors
    ///
    /// When it is refused or does not come about by itself.
    pub async fn replace(&self, old: u64, new: u64) -> anyhow::Result<()> {
        self.serving().remove(&old);
        let peer = self.peer(new)?;
        self.insist(async || {
            let operator = self.operator()?;
            Ok(operator.replace_node(old, new, peer.clone()).await?)
        })
        .await?;
        self.reach(&[Goal::NodeSettled(new), Goal::NodeGone(old)])
            .await?;
        self.serving().insert(new);
        Ok(())
    }

    /// Adds a started node, and waits until it holds its share.
    ///
    /// # Errors
    ///
    /// As [`Cluster::replace`].
    pub async fn add(&self, node: u64) -> anyhow::Result<()> {
        let peer = self.peer(node)?;
        self.insist(async || {
            let members: Vec<u64> = self.serving().iter().copied().collect();
            let operator = self.plan.operator(&members)?;
            match operator.add_node(node, peer.clone()).await {
                // Asked again after an answer was lost.
                Err(Error::Refused { message, .. }) if message.contains(BELONGS) => Ok(()),
                added => Ok(added?),
            }
        })
        .await?;
        self.reach(&[Goal::NodeSettled(node)]).await?;
        self.serving().insert(node);
        Ok(())
    }

    /// Removes a running node, and waits until it has gone and ended by itself.
    ///
    /// # Errors
    ///
    /// As [`Cluster::replace`].
    pub async fn remove(&self, node: u64) -> anyhow::Result<()> {
        self.serving().remove(&node);
        self.insist(async || Ok(self.operator()?.remove_node(node, false).await?))
            .await?;
        self.reach(&[Goal::NodeGone(node)]).await?;
        self.ends_by_itself(node).await?;
        let said = self.told(node, REMOVED)? > 0;
        ensure!(said, "node {node} ended without a word about its removal");
        Ok(())
    }

    /// Moves a replica of a group from one node to another, and waits until that is so.
    ///
    /// # Errors
    ///
    /// As [`Cluster::replace`].
    pub async fn move_replica(&self, group: u64, from: u64, to: u64) -> anyhow::Result<()> {
        self.insist(async || Ok(self.operator()?.move_replica(group, from, to).await?))
            .await?;
        self.reach(&[Goal::GroupSettled(group)]).await
    }

    /// A group that one node holds and another does not.
    pub async fn movable(&self, from: u64, to: u64) -> Option<u64> {
        let statuses = self.statuses().await;
        let groups = &statuses.get(&from)?.groups;
        let holds = |group: &client::v1::AdminGroup, node| {
            group.replicas.iter().any(|replica| replica.node == node)
        };
        let mut fit = groups
            .iter()
            .filter(|group| group.group != 0 && holds(group, from) && !holds(group, to));
        fit.next().map(|group| group.group)
    }

    fn peer(&self, node: u64) -> anyhow::Result<String> {
        let node = self.plan.node(node).context("there is no such node")?;
        Ok(node.addresses.peer.to_string())
    }

    /// Asks again while the directory has no leader. All that is asked so may be asked twice.
    async fn insist(&self, ask: impl AsyncFn() -> anyhow::Result<()>) -> anyhow::Result<()> {
        let deadline = Instant::now() + SETTLE_WAIT;
        loop {
            let Err(error) = ask().await else {
                return Ok(());
            };
            let passes = error.downcast_ref::<Error>().is_some_and(Error::may_pass);
            if !passes || Instant::now() >= deadline {
                return Err(error);
            }
            sleep(LOOK_EVERY).await;
        }
    }

    async fn reach(&self, goals: &[Goal]) -> anyhow::Result<()> {
        let deadline = Instant::now() + SETTLE_WAIT;
        let mut last = "nobody answers".to_owned();
        loop {
            if let Ok(moves) = self.operator()?.moves().await {
                if goals.iter().all(|goal| goal.is_reached(&moves)) {
                    return Ok(());
                }
                last = format!("{moves:?}");
            }
            ensure!(
                Instant::now() < deadline,
                "{goals:?} are not reached: {last}"
            );
            sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until a node has ended without being asked to.
    async fn ends_by_itself(&self, node: u64) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_WAIT;
        loop {
            let mut member = self.member(node)?.lock().await;
            let member = &mut *member;
            let Some(process) = &mut member.process else {
                return Ok(());
            };
            if process.ended()?.is_some() {
                member.process = None;
                return Ok(());
            }
            if Instant::now() >= deadline {
                bail!("node {node} goes on; {}", tail(&member.node.log));
            }
            sleep(LOOK_EVERY).await;
        }
    }
}
