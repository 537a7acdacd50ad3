//! Comparing replicas.

use std::time::Duration;

use proto::v1;

use super::AdminServer;
use crate::front::limits::ADMIN_WAIT;
use crate::replica::GroupId;
use crate::service::{Answer, Call, Service};

/// How often the replicas of a group are asked for a digest at the same index.
const VERIFY_TRIES: u32 = 20;

/// Between two such tries.
const VERIFY_PAUSE: Duration = Duration::from_millis(200);

impl AdminServer {
    /// The digests of the replicas of these groups; of all groups if none is named.
    pub(super) async fn verify_groups(&self, wanted: &[u64]) -> Vec<v1::AdminVerified> {
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
        futures_util::future::join_all(checks).await
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

/// The digest of the replica of `group` on `node`, asked over the store service.
pub(super) async fn digest_of(service: &Service, node: u64, group: u64) -> v1::AdminDigestReply {
    let mut reply = v1::AdminDigestReply {
        node,
        ..v1::AdminDigestReply::default()
    };
    let call = Call::Digest;
    let asked = async {
        if node == service.node() {
            service.router().local().answer(GroupId(group), call).await
        } else {
            service
                .router()
                .remote()
                .ask(node, GroupId(group), call)
                .await
        }
    };
    match tokio::time::timeout(ADMIN_WAIT, asked).await {
        Ok(Ok(Answer::Digest {
            replica,
            index,
            digest,
        })) => {
            reply.replica = replica;
            reply.applied_index = index;
            reply.digest = digest.to_vec().into();
        }
        Ok(Ok(_)) => reply.error = "unexpected answer".into(),
        Ok(Err(failure)) => reply.error = failure.to_string(),
        Err(_) => reply.error = "no answer in time".into(),
    }
    reply
}
