//! From an account to the leader of its partition, through elections.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::call::{Answer, Call, Failure};
use super::limits::{TRY_PAUSE, TRY_WAIT};
use super::local::Local;
use super::remote::Remote;
use crate::replica::GroupId;

/// Finds leaders, and asks them until they answer.
pub struct Router {
    node: u64,
    local: Arc<Local>,
    remote: Remote,
}

/// Whom to ask next.
enum Target {
    Here,
    Node(u64),
    /// Nobody is known to lead.
    Nobody,
}

impl Router {
    /// For the node `node`, whose own replicas answer as `local`.
    #[must_use]
    pub fn new(node: u64, local: Arc<Local>, remote: Remote) -> Self {
        Self {
            node,
            local,
            remote,
        }
    }

    /// The groups of this node.
    #[must_use]
    pub fn local(&self) -> &Local {
        &self.local
    }

    /// The same, to be shared.
    #[must_use]
    pub fn local_handle(&self) -> Arc<Local> {
        Arc::clone(&self.local)
    }

    /// The links to other nodes.
    #[must_use]
    pub fn remote(&self) -> &Remote {
        &self.remote
    }

    /// Asks the leader of `group`, wherever it is, and through elections for up to `wait`. Every
    /// call may be repeated: reads by nature, commands by their stamp.
    ///
    /// # Errors
    ///
    /// [`Failure::Busy`] when nothing was done in that time; [`Failure::Unknown`] when a command
    /// may have been; other failures at once.
    pub async fn ask(
        &self,
        group: GroupId,
        holders: &[u64],
        mut call: Call,
        wait: Duration,
    ) -> Result<Answer, Failure> {
        let deadline = Instant::now() + wait;
        let mut hint = None;
        let mut unknown = false;
        let mut tries = 0_usize;
        loop {
            let target = self.target(group, hint.take(), holders, tries);
            tries += 1;
            let attempt = self.attempt(target, group, call.clone());
            let limit = deadline.min(Instant::now() + TRY_WAIT);
            match tokio::time::timeout_at(limit, attempt).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(Failure::NotLeader(leader))) => {
                    hint = leader.and_then(|replica| self.remote.node_of(replica));
                }
                Ok(Err(Failure::Busy(_))) => {}
                Ok(Err(Failure::Unknown)) | Err(_) => {
                    if let Call::Propose { adds, .. } = &mut call {
                        unknown = true;
                        // It may be there already: then it needs no room, but an answer.
                        *adds = false;
                    }
                }
                Ok(Err(failure)) => return Err(failure),
            }
            if Instant::now() >= deadline {
                return Err(if unknown {
                    Failure::Unknown
                } else {
                    Failure::Busy("the partition has no leader".into())
                });
            }
            if hint.is_none() {
                tokio::time::sleep(TRY_PAUSE).await;
            }
        }
    }

    /// Asks for what is the same on all replicas of `group`: this node first, then the leader, then
    /// each of `holders`, until one has it, and again for up to `wait` while some do not answer.
    ///
    /// # Errors
    ///
    /// [`Failure::NotFound`] when all of them answered that they do not have it;
    /// [`Failure::Busy`] when nobody who has it answered in that time.
    pub async fn ask_any(
        &self,
        group: GroupId,
        holders: &[u64],
        call: Call,
        wait: Duration,
    ) -> Result<Answer, Failure> {
        let deadline = Instant::now() + wait;
        loop {
            let leader = match self.target(group, None, &[], 0) {
                Target::Node(node) => Some(node),
                Target::Here | Target::Nobody => None,
            };
            let mut order = vec![self.node];
            order.extend(leader);
            order.extend(holders.iter().filter(|node| **node != self.node));
            let mut silent = false;
            for (tried, node) in order.iter().enumerate() {
                if order[..tried].contains(node) {
                    continue;
                }
                let attempt = self.attempt(self.at(*node), group, call.clone());
                let limit = deadline.min(Instant::now() + TRY_WAIT);
                match tokio::time::timeout_at(limit, attempt).await {
                    Ok(Ok(answer)) => return Ok(answer),
                    Ok(Err(Failure::NotFound)) => {}
                    Ok(Err(_)) | Err(_) => silent |= *node != self.node,
                }
            }
            if !silent {
                return Err(Failure::NotFound);
            }
            if Instant::now() >= deadline {
                return Err(Failure::Busy("no replica that has it answers".into()));
            }
            tokio::time::sleep(TRY_PAUSE).await;
        }
    }

    async fn attempt(&self, target: Target, group: GroupId, call: Call) -> Result<Answer, Failure> {
        match target {
            Target::Here => self.local.answer(group, call).await,
            Target::Node(node) => self.remote.ask(node, group, call).await,
            Target::Nobody => Err(Failure::NotLeader(None)),
        }
    }

    fn target(&self, group: GroupId, hint: Option<u64>, holders: &[u64], tries: usize) -> Target {
        if let Some(node) = hint {
            return self.at(node);
        }
        if let Some(group) = self.local.groups().get(group) {
            if group.is_leader() {
                return Target::Here;
            }
            if let Some(node) = group
                .leader()
                .and_then(|leader| self.remote.node_of(leader))
            {
                return self.at(node);
            }
            return Target::Nobody;
        }
        // No replica here: those that hold one know who leads.
        match holders.len() {
            0 => Target::Nobody,
            count => self.at(holders[tries % count]),
        }
    }

    fn at(&self, node: u64) -> Target {
        if node == self.node {
            Target::Here
        } else {
            Target::Node(node)
        }
    }
}
