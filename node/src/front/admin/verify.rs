//! Comparing replicas.

use std::time::Duration;

use bytes::Bytes;
use proto::v1;
use tonic::Status;

use super::AdminServer;
use crate::front::limits::ADMIN_WAIT;
use crate::replica::GroupId;
use crate::service::{Answer, Call, Service};

/// How often the replicas of a group are asked for a digest at the same index.
const VERIFY_TRIES: u32 = 20;

/// Between two such tries.
const VERIFY_PAUSE: Duration = Duration::from_millis(200);

/// How long a replica may take to read some of its bodies.
const PROBE_WAIT: Duration = Duration::from_secs(60);

/// Bad bodies of a replica that are told one by one.
const BAD_BODIES_TOLD: usize = 100;

impl AdminServer {
    /// The digests of the replicas of these groups; of all groups if none is named. If it is to go
    /// deep, every replica reads its bodies too.
    pub(super) async fn verify_groups(
        &self,
        wanted: &[u64],
        deep: bool,
    ) -> Result<Vec<v1::AdminVerified>, Status> {
        self.are_known(wanted)?;
        let groups: Vec<(u64, Vec<u64>)> = {
            let view = self.service().view().read();
            view.groups()
                .filter(|group| wanted.is_empty() || wanted.contains(&group.id.0))
                .map(|group| {
                    (
                        group.id.0,
                        group
                            .replicas
                            .iter()
                            .map(|replica| replica.node.0)
                            .collect(),
                    )
                })
                .collect()
        };
        let checks = groups
            .into_iter()
            .map(|(group, nodes)| self.verify_group(group, nodes));
        let mut verified = futures_util::future::join_all(checks).await;
        if deep {
            // One group after the other: all nodes read at once, and serve beside it.
            for group in &mut verified {
                let id = group.group;
                let probes = group.replicas.iter_mut();
                let probes = probes.map(|reply| probe(self.service(), id, reply));
                futures_util::future::join_all(probes).await;
            }
        }
        Ok(verified)
    }

    /// Whether there are all these groups, and any.
    fn are_known(&self, wanted: &[u64]) -> Result<(), Status> {
        let view = self.service().view().read();
        let there = |id: u64| view.group(directory::GroupId(id)).is_some();
        if let Some(unknown) = wanted.iter().find(|id| !there(**id)) {
            return Err(Status::not_found(format!("there is no group {unknown}")));
        }
        match view.groups().next() {
            Some(_) => Ok(()),
            None => Err(Status::failed_precondition("there is no group yet")),
        }
    }

    /// The digest of every replica of a group at one index, where that can be had: replicas go on
    /// applying, so they are asked until all say the same index, a few times.
    async fn verify_group(&self, group: u64, nodes: Vec<u64>) -> v1::AdminVerified {
        let mut verified = v1::AdminVerified {
            group,
            replicas: Vec::new(),
            equal: false,
        };
        for attempt in 0..VERIFY_TRIES {
            if attempt > 0 {
                tokio::time::sleep(VERIFY_PAUSE).await;
            }
            let ask = nodes
                .iter()
                .map(|node| digest_of(self.service(), *node, group));
            verified.replicas = futures_util::future::join_all(ask).await;
            let first = verified.replicas.first();
            let same_index = verified.replicas.iter().all(|replica| {
                replica.error.is_empty()
                    && first.is_some_and(|first| first.applied_index == replica.applied_index)
            });
            if same_index {
                verified.equal = verified
                    .replicas
                    .iter()
                    .all(|replica| first.is_some_and(|first| first.digest == replica.digest));
                break;
            }
        }
        verified
    }
}

/// Reads all bodies of a replica, and tells which are bad.
async fn probe(service: &Service, group: u64, reply: &mut v1::AdminDigestReply) {
    let mut after = Bytes::new();
    loop {
        let call = Call::Probe {
            after: after.clone(),
        };
        let probed = match ask(service, reply.node, group, call, PROBE_WAIT).await {
            Ok(Answer::Probed { probed, .. }) => probed,
            Ok(_) => return reply.error = "unexpected answer".into(),
            Err(why) => return reply.error = why,
        };
        reply.bodies += probed.bodies;
        reply.body_bytes += probed.bytes;
        let room = BAD_BODIES_TOLD.saturating_sub(reply.bad.len());
        let bad = probed.bad.into_iter().take(room);
        reply.bad.extend(bad.map(|(id, why)| v1::AdminBadBody {
            term: id.term,
            index: id.index,
            why,
        }));
        match probed.next {
            Some(next) => after = next,
            None => return,
        }
    }
}

/// Asks the replica of a group on a node.
async fn ask(
    service: &Service,
    node: u64,
    group: u64,
    call: Call,
    wait: Duration,
) -> Result<Answer, String> {
    let router = service.router();
    let asked = async {
        if node == service.node() {
            router.local().answer(GroupId(group), call).await
        } else {
            router.remote().ask(node, GroupId(group), call).await
        }
    };
    match tokio::time::timeout(wait, asked).await {
        Ok(answer) => answer.map_err(|failure| failure.to_string()),
        Err(_) => Err("no answer in time".into()),
    }
}

/// The digest of the replica of `group` on `node`, asked over the store service.
pub(super) async fn digest_of(service: &Service, node: u64, group: u64) -> v1::AdminDigestReply {
    let mut reply = v1::AdminDigestReply {
        node,
        ..v1::AdminDigestReply::default()
    };
    match ask(service, node, group, Call::Digest, ADMIN_WAIT).await {
        Ok(Answer::Digest {
            replica,
            index,
            digest,
        }) => {
            reply.replica = replica;
            reply.applied_index = index;
            reply.digest = digest.to_vec().into();
        }
        Ok(_) => reply.error = "unexpected answer".into(),
        Err(why) => reply.error = why,
    }
    reply
}
