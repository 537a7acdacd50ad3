//! What a cluster tells of itself: to operators, to the system, in its logs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, ensure};
use client::v1::{AdminStatus, AdminStorage};
use node::config::Config;
use node::tls::Tls;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::{Cluster, Leader, NODES};
use crate::level::newest_leaders;
use crate::limits::{ADMIN_WAIT, LOOK_EVERY, SETTLE_WAIT};

impl Cluster {
    /// How often a text stands in the log of a node.
    ///
    /// # Errors
    ///
    /// When there is no such node or log.
    pub fn told(&self, node: u64, text: &str) -> anyhow::Result<usize> {
        let node = self.plan.node(node).context("there is no such node")?;
        let log = std::fs::read(&node.log).with_context(|| node.log.display().to_string())?;
        Ok(String::from_utf8_lossy(&log).matches(text).count())
    }

    /// What each node says that answers.
    pub async fn statuses(&self) -> BTreeMap<u64, AdminStatus> {
        let mut statuses = BTreeMap::new();
        for node in self.nodes() {
            if let Ok(status) = self.plan.status_of(node.id).await {
                statuses.insert(node.id, status);
            }
        }
        statuses
    }

    /// The process of a node.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub async fn pid(&self, node: u64) -> anyhow::Result<u32> {
        let member = self.member(node)?.lock().await;
        let process = member.process.as_ref().context("the node does not run")?;
        Ok(process.pid())
    }

    /// The file with the certificate of the cluster's authority.
    #[must_use]
    pub fn authority(&self) -> &Path {
        &self.plan.ca
    }

    /// The metrics of a node, as text.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub async fn metrics(&self, node: u64) -> anyhow::Result<String> {
        let node = self.plan.node(node).context("there is no such node")?;
        let mut stream = TcpStream::connect(node.addresses.metrics).await?;
        let request = b"GET /metrics HTTP/1.0\r\n\r\n";
        stream.write_all(request).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    /// The replicas that are placed on a node, as the others know it.
    pub async fn replicas_on(&self, node: u64) -> BTreeSet<u64> {
        let statuses = self.statuses().await;
        let others = statuses.iter().filter(|(other, _)| **other != node);
        let groups = others.flat_map(|(_, status)| &status.groups);
        let replicas = groups.flat_map(|group| &group.replicas);
        replicas
            .filter(|replica| replica.node == node)
            .map(|replica| replica.replica)
            .collect()
    }

    /// Who leads what, by the newest term that anyone knows.
    pub async fn leaders(&self) -> BTreeMap<u64, Leader> {
        newest_leaders(
            self.statuses()
                .await
                .values()
                .flat_map(|status| &status.groups),
        )
    }

    /// TLS as a node has it.
    ///
    /// # Errors
    ///
    /// When its configuration or its certificates cannot be read.
    pub fn tls(&self, node: u64) -> anyhow::Result<Tls> {
        let planned = self.plan.node(node).context("there is no such node")?;
        let config = Config::load(&planned.config)?;
        Ok(Tls::load(&config.tls, node)?)
    }

    /// How a node uses its disk, and what its scrubber found.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub async fn storage(&self, node: u64) -> anyhow::Result<AdminStorage> {
        let operator = self.plan.operator(&[node])?.with_deadline(ADMIN_WAIT);
        Ok(operator.storage().await?)
    }

    /// Compares all replicas of all groups at one log index each; answers those that differ or
    /// could not be compared.
    ///
    /// # Errors
    ///
    /// When no node answers.
    pub async fn verify(&self) -> anyhow::Result<Vec<String>> {
        let deadline = Instant::now() + SETTLE_WAIT;
        loop {
            let differing = self.verify_once().await?;
            // A replica that was not level when it was asked gives no digest: that is no verdict.
            let certain = differing.iter().all(|(comparable, _)| *comparable);
            if certain || Instant::now() >= deadline {
                return Ok(differing.into_iter().map(|(_, what)| what).collect());
            }
            sleep(LOOK_EVERY).await;
        }
    }

    async fn verify_once(&self) -> anyhow::Result<Vec<(bool, String)>> {
        let members: Vec<u64> = self.serving().iter().copied().collect();
        let reply = self.plan.operator(&members)?.verify(&[]).await?;
        ensure!(!reply.groups.is_empty(), "there are no groups to verify");
        let mut differing = Vec::new();
        for group in &reply.groups {
            let replicas: Vec<String> = group
                .replicas
                .iter()
                .map(|replica| {
                    let digest: String = replica
                        .digest
                        .iter()
                        .map(|byte| format!("{byte:02x}"))
                        .collect();
                    let (node, at) = (replica.node, replica.applied_index);
                    format!("node {node} at {at}: {digest}{}", replica.error)
                })
                .collect();
            let indexes: BTreeSet<u64> = group
                .replicas
                .iter()
                .map(|replica| replica.applied_index)
                .collect();
            let failed = group
                .replicas
                .iter()
                .any(|replica| !replica.error.is_empty());
            let whole = group.replicas.len() >= NODES as usize;
            if !(group.equal && whole) {
                let comparable = indexes.len() == 1 && !failed && whole;
                differing.push((
                    comparable,
                    format!("group {}: {}", group.group, replicas.join(", ")),
                ));
            }
        }
        Ok(differing)
    }

    /// Has every replica read all of its bodies; answers those that are bad.
    ///
    /// # Errors
    ///
    /// When no node answers, or a replica does not.
    pub async fn verify_deep(&self) -> anyhow::Result<Vec<String>> {
        let reply = self.plan.operator(&[])?.verify_deep(&[]).await?;
        let mut bad = Vec::new();
        let mut bodies = 0;
        for group in &reply.groups {
            for replica in &group.replicas {
                bodies += replica.bodies;
                bad.extend(replica.bad.iter().map(|body| {
                    let (term, index) = (body.term, body.index);
                    format!(
                        "group {}, node {}, entry {term}.{index}: {}",
                        group.group, replica.node, body.why
                    )
                }));
                ensure!(
                    replica.error.is_empty(),
                    "group {}, node {}: {}",
                    group.group,
                    replica.node,
                    replica.error
                );
            }
        }
        ensure!(bodies > 0, "no replica has read a body");
        Ok(bad)
    }
}
