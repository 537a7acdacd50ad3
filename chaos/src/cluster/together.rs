//! What happens to several nodes at one moment.
//!
//! Nodes that are killed one after the other are not killed at once: those that still run have seen
//! the first one die, and have written and acknowledged meanwhile. So all are stopped (SIGSTOP)
//! before anything else is done to any of them.

use anyhow::Context;

use super::Cluster;
use crate::history::Fault;

impl Cluster {
    /// Kills nodes with -9, as at one moment; `led` is what each led, for the record.
    ///
    /// # Errors
    ///
    /// When one does not run.
    pub async fn kill_together(
        &self,
        nodes: &[u64],
        led: impl Fn(u64) -> Vec<u64>,
    ) -> anyhow::Result<()> {
        self.check_processes().await?;
        self.freeze(nodes).await?;
        for node in nodes {
            self.kill(*node, led(*node)).await?;
        }
        Ok(())
    }

    /// Cuts the power of nodes, all at the same moment, and gives it back once their processes are
    /// gone. They are down then. Answers those of which the power was not cut in truth: what was
    /// written there right before, and not synced, is still there.
    ///
    /// # Errors
    ///
    /// When the disk of one is not its own, or one was down before.
    pub async fn lose_power(&self, nodes: &[u64]) -> anyhow::Result<Vec<u64>> {
        self.check_processes().await?;
        self.freeze(nodes).await?;
        for node in nodes {
            self.disk(*node)?.write_unsynced()?;
        }
        for node in nodes {
            self.disk(*node)?.cut_power()?;
        }
        for node in nodes {
            let mut member = self.member(*node)?.lock().await;
            let mut process = member
                .process
                .take()
                .with_context(|| format!("node {node} is down"))?;
            let led = Vec::new();
            self.recorder.fault(Fault::Kill { node: *node, led });
            process.kill().await?;
        }
        let mut kept = Vec::new();
        for node in nodes {
            let disk = self.disk(*node)?;
            disk.restore_power()?;
            if disk.kept_unsynced()? {
                kept.push(*node);
            }
        }
        Ok(kept)
    }

    /// Takes the processor away from all of these.
    async fn freeze(&self, nodes: &[u64]) -> anyhow::Result<()> {
        for node in nodes {
            let mut member = self.member(*node)?.lock().await;
            let process = member.process.as_mut();
            let process = process.with_context(|| format!("node {node} is down"))?;
            process.pause()?;
        }
        Ok(())
    }
}
