//! What an operator would do with three new nodes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use client::demo::{Demo, DemoNode};
use client::v1::{AdminInitRequest, AdminStatus};
use client::{Admin, Credentials, Error};
use futures_util::{StreamExt, stream};
use tokio::time::{Instant, sleep};
use tonic::Code;

use super::plan::{Plan, PlannedNode};
use super::watch::Leaders;

/// Between two looks at something that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long the groups of a new or restarted cluster may take to have leaders and replicas.
const READY_WAIT: Duration = Duration::from_secs(180);

/// How long a question to a node may take that has just been started.
const ASK_WAIT: Duration = Duration::from_secs(2);

/// Accounts that are made at the same time. A node derives the verifiers of four passwords at once.
const ACCOUNTS_AT_ONCE: usize = 16;

/// The same without passwords: enough that each step of making an account is taken for many.
const SILENT_ACCOUNTS_AT_ONCE: usize = 512;

/// Attempts at one account.
const ACCOUNT_TRIES: u32 = 20;

impl Plan {
    /// An operator who asks these nodes, or all if none are named.
    ///
    /// # Errors
    ///
    /// When the certificates cannot be used.
    pub fn operator(&self, nodes: &[u64]) -> Result<Admin, Error> {
        let asked = |id: &u64| nodes.is_empty() || nodes.contains(id);
        let endpoints = self.nodes.iter().filter(|node| asked(&node.id));
        let endpoints = endpoints
            .map(|node| node.addresses.admin.to_string())
            .collect();
        let credentials = Credentials {
            ca: self.ca.clone(),
            cert: self.admin_cert.clone(),
            key: self.admin_key.clone(),
        };
        Admin::new(endpoints, &credentials)
    }

    /// What a node says of itself and of the cluster, if it answers now.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub async fn status_of(&self, node: u64) -> Result<AdminStatus, Error> {
        self.operator(&[node])?
            .with_deadline(ASK_WAIT)
            .status()
            .await
    }
}

/// Makes one cluster of these running nodes, as far as that was not done before, and waits until
/// every group has all its replicas and a leader.
///
/// # Errors
///
/// When a node refuses or the groups do not come up.
pub async fn form(
    plan: &Plan,
    nodes: &[u64],
    replicas: u32,
    partitions: u32,
    default_domain: &str,
) -> anyhow::Result<AdminStatus> {
    let first = *nodes.first().context("a cluster has nodes")?;
    let operator = plan.operator(&[first])?;
    if operator.status().await?.cluster.is_empty() {
        let wanted = AdminInitRequest {
            replicas,
            partitions,
            default_domain: default_domain.to_owned(),
        };
        operator
            .init_cluster(wanted)
            .await
            .context("cluster init")?;
    }
    // After a restart the directory may be without a leader for a moment: membership is read once
    // the first node knows of itself.
    let known = |status: &AdminStatus| status.nodes.iter().any(|node| node.node == first);
    let status = wait(plan, &[first], known).await?;
    let members: BTreeSet<u64> = status
        .nodes
        .iter()
        .filter(|node| node.state == "active")
        .map(|node| node.node)
        .collect();
    let missing = |node: &&PlannedNode| nodes.contains(&node.id) && !members.contains(&node.id);
    for node in plan.nodes.iter().filter(missing) {
        let peer = node.addresses.peer.to_string();
        operator
            .add_node(node.id, peer)
            .await
            .with_context(|| format!("node add {}", node.id))?;
    }
    let complete = |status: &AdminStatus| {
        status.groups.len() > partitions as usize
            && status.groups.iter().all(|group| {
                let voters = group
                    .replicas
                    .iter()
                    .filter(|replica| replica.voter)
                    .count();
                group.leader != 0 && voters >= replicas as usize
            })
    };
    wait(plan, nodes, complete).await
}

/// Waits until each of these nodes sees the cluster as it should be.
async fn wait(
    plan: &Plan,
    nodes: &[u64],
    enough: impl Fn(&AdminStatus) -> bool,
) -> anyhow::Result<AdminStatus> {
    let deadline = Instant::now() + READY_WAIT;
    let mut seen = None;
    for node in nodes {
        loop {
            let status = plan.status_of(*node).await;
            let why = match status {
                Ok(status) if enough(&status) => {
                    seen = Some(status);
                    break;
                }
                Ok(status) => missing(&status),
                Err(error) => error.to_string(),
            };
            if Instant::now() >= deadline {
                bail!("the cluster does not come up: node {node}: {why}");
            }
            sleep(LOOK_EVERY).await;
        }
    }
    seen.context("no node was asked")
}

fn missing(status: &AdminStatus) -> String {
    let leaderless = status
        .groups
        .iter()
        .filter(|group| group.leader == 0)
        .count();
    let voters = status.groups.iter().map(|group| {
        group
            .replicas
            .iter()
            .filter(|replica| replica.voter)
            .count()
    });
    format!(
        "{} nodes, {} groups, {leaderless} of them without a leader, one with {} voters",
        status.nodes.len(),
        status.groups.len(),
        voters.min().unwrap_or(0)
    )
}

/// Who leads what, as this node knows.
pub(super) fn leaders(status: &AdminStatus) -> Leaders {
    let led = status.groups.iter().filter(|group| group.leader != 0);
    led.map(|group| (group.group, group.leader)).collect()
}

/// Makes those accounts that are not there, and waits until all can be used; without a password
/// nobody can log in. `progress` is told how
/// many of how many are done.
///
/// # Errors
///
/// When an account is refused, or cannot be made after many attempts.
pub async fn make_accounts(
    plan: &Plan,
    names: Vec<String>,
    domain: &str,
    password: Option<&str>,
    mut progress: impl FnMut(usize, usize),
) -> anyhow::Result<()> {
    let wanted: BTreeSet<String> = names
        .iter()
        .map(|name| format!("{name}@{domain}"))
        .collect();
    let there = plan.operator(&[])?.accounts().await?;
    let there: BTreeSet<String> = there.into_iter().map(|account| account.name).collect();
    let missing: Vec<String> = names
        .into_iter()
        .filter(|name| !there.contains(&format!("{name}@{domain}")))
        .collect();
    let all = missing.len();
    let operators: Vec<Admin> = plan
        .nodes
        .iter()
        .map(|node| plan.operator(&[node.id]))
        .collect::<Result<_, _>>()?;
    let making = missing.into_iter().enumerate().map(|(number, name)| {
        let operators = &operators;
        async move {
            make_account(operators, number, &name, password)
                .await
                .with_context(|| format!("account create {name}"))
        }
    });
    let at_once = match password {
        Some(_) => ACCOUNTS_AT_ONCE,
        None => SILENT_ACCOUNTS_AT_ONCE,
    };
    let mut making = stream::iter(making).buffer_unordered(at_once);
    let mut done = 0;
    while let Some(made) = making.next().await {
        made?;
        done += 1;
        progress(done, all);
    }
    wait_for_accounts(plan, &wanted).await
}

/// An account that was given up on may have been made all the same, and not be usable yet.
async fn wait_for_accounts(plan: &Plan, wanted: &BTreeSet<String>) -> anyhow::Result<()> {
    let deadline = Instant::now() + READY_WAIT;
    loop {
        let accounts = plan.operator(&[])?.accounts().await?;
        let active = accounts
            .into_iter()
            .filter(|account| account.state == "active");
        let active: BTreeSet<String> = active.map(|account| account.name).collect();
        let Some(late) = wanted.difference(&active).next() else {
            return Ok(());
        };
        ensure!(
            Instant::now() < deadline,
            "account {late} does not become active"
        );
        sleep(LOOK_EVERY).await;
    }
}

/// Asks one node after the other: deriving the verifiers is what costs, so all nodes share it.
async fn make_account(
    operators: &[Admin],
    number: usize,
    name: &str,
    password: Option<&str>,
) -> anyhow::Result<()> {
    let mut tries = 0;
    loop {
        let operator = &operators[(number + tries as usize) % operators.len()];
        match operator
            .create_account(name.to_owned(), password.map(str::to_owned), 0)
            .await
        {
            Ok(_)
            | Err(Error::Refused {
                code: Code::AlreadyExists,
                ..
            }) => return Ok(()),
            Err(Error::Refused { code, message })
                if !matches!(code, Code::Unavailable | Code::DeadlineExceeded) =>
            {
                bail!("{message}")
            }
            Err(error) if tries >= ACCOUNT_TRIES => return Err(error.into()),
            Err(_) => tries += 1,
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Writes `demo.json`: where everything is, for programs. `pids` are those of the nodes of the
/// plan, in order.
///
/// # Errors
///
/// When it cannot be written.
pub fn describe(plan: &Plan, pids: &[u32]) -> anyhow::Result<()> {
    let nodes = plan.nodes.iter().zip(pids).map(|(node, pid)| DemoNode {
        id: node.id,
        pid: *pid,
        imap: node.addresses.imap.to_string(),
        imaps: node.addresses.imaps.to_string(),
        lmtp: node.addresses.lmtp.to_string(),
        admin: node.addresses.admin.to_string(),
        data_dir: node.data_dir.clone(),
    });
    let demo = Demo {
        nodes: nodes.collect(),
        ca: plan.ca.clone(),
        admin_cert: plan.admin_cert.clone(),
        admin_key: plan.admin_key.clone(),
    };
    let path = plan.dir.join("demo.json");
    let text = serde_json::to_string_pretty(&demo)? + "\n";
    replace(&path, &text).with_context(|| path.display().to_string())
}

fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let beside = path.with_extension("json.new");
    fs::write(&beside, text)?;
    fs::rename(beside, path)
}

#[cfg(test)]
mod tests {
    use super::super::plan::Options;
    use super::super::ports::Ports;
    use super::*;

    #[test]
    fn programs_find_the_cluster() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            ports: Ports::Any,
            ..Options::default()
        };
        let plan = Plan::create(dir.path(), 3, &options).unwrap();
        describe(&plan, &[11, 12, 13]).unwrap();
        describe(&plan, &[11, 12, 14]).unwrap();
        let demo = Demo::load(&plan.dir).unwrap();
        assert_eq!(demo.nodes[2].pid, 14);
        assert_eq!(demo.nodes[0].lmtp, plan.nodes[0].addresses.lmtp.to_string());
        assert_eq!(demo.admin_key, plan.admin_key);
        Admin::of_demo(&plan.dir).unwrap();
    }
}
