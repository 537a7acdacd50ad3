//! What a cluster tells of itself: to operators, to the system, in its logs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context;
use client::v1::{AdminStatus, AdminStorage};
use node::config::Config;
use node::tls::Tls;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Cluster, Leader};
use crate::level::newest_leaders;
use crate::limits::ADMIN_WAIT;

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
}
