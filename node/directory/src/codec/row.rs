//! Rows and what they are made of.

use bytes::Bytes;
use proto::v1 as wire;

use super::{Kind as _, Malformed, Wire, array, due, same_variants};
use crate::command::{Outcome, RequestId};
use crate::name::Name;
use crate::operation::{OperationKind, OperationRow};
use crate::types::{
    Account, AccountId, AccountState, Addresses, Cluster, Counters, Group, GroupId, Millis, Node,
    NodeId, NodeState, OperationId, Replica, ReplicaId, Role, Setting, Topology,
};
use crate::verifier::{Argon2id, Argon2idParams, Scram, Verifiers};

same_variants! { NodeState, wire::DirectoryNodeState: Joining Active Removed Leaving }
same_variants! { Role, wire::DirectoryRole: Voter Learner }
same_variants! { AccountState, wire::DirectoryAccountState: Creating Active Locked Deleting }
same_variants! { OperationKind, wire::DirectoryOperationKind: CreateAccount DeleteAccount }

impl Wire for Cluster {
    type Message = wire::DirectoryCluster;

    fn to_message(&self) -> Self::Message {
        wire::DirectoryCluster {
            cluster: self.id.to_vec().into(),
            secret: self.secret.to_vec().into(),
            replicas: self.replicas,
            partitions: self.partitions,
            default_domain: self.default_domain.clone(),
            feature_level: self.feature_level,
        }
    }

    fn from_message(message: Self::Message) -> Result<Self, Malformed> {
        Ok(Self {
            id: array(&message.cluster)?,
            secret: array(&message.secret)?,
            replicas: message.replicas,
            partitions: message.partitions,
            default_domain: message.default_domain,
            feature_level: message.feature_level,
        })
    }
}

impl Wire for Counters {
    type Message = wire::DirectoryCounters;

    fn to_message(&self) -> Self::Message {
        wire::DirectoryCounters {
            next_account: self.next_account,
            next_replica: self.next_replica,
            next_operation: self.next_operation,
            next_request: self.next_request,
            time_ms: self.time.0,
            accounts: self.accounts,
            nodes: self.nodes,
            settings: self.settings,
        }
    }

    fn from_message(message: Self::Message) -> Result<Self, Malformed> {
        Ok(Self {
            next_account: message.next_account,
            next_replica: message.next_replica,
            next_operation: message.next_operation,
            next_request: message.next_request,
            time: Millis(message.time_ms),
            accounts: message.accounts,
            nodes: message.nodes,
            settings: message.settings,
        })
    }
}

impl Wire for Addresses {
    type Message = wire::DirectoryAddresses;

    fn to_message(&self) -> Self::Message {
        wire::DirectoryAddresses {
            peer: self.peer.clone(),
            imap: self.imap.clone(),
            imaps: self.imaps.clone(),
            lmtp: self.lmtp.clone(),
            admin: self.admin.clone(),
        }
    }

    fn from_message(message: Self::Message) -> Result<Self, Malformed> {
        let wire::DirectoryAddresses {
            peer,
            imap,
            imaps,
            lmtp,
            admin,
        } = message;
        Ok(Self {
            peer,
            imap,
            imaps,
            lmtp,
            admin,
        })
    }
}

impl Wire for Node {
    type Message = wire::DirectoryNode;

    fn to_message(&self) -> Self::Message {
        wire::DirectoryNode {
            node: self.id.0,
            addresses: Some(self.addresses.to_message()),
            state: wire::DirectoryNodeState::from(self.state).into(),
            feature_level: self.feature_level,
            successor: self.successor.map_or(0, |node| node.0),
        }
    }

    fn from_message(message: Self::Message) -> Result<Self, Malformed> {
        Ok(Self {
            id: NodeId(message.node),
            addresses: Wire::from_message(due(message.addresses)?)?,
            state: NodeState::from_number(message.state)?,
            feature_level: message.feature_level,
            successor: Some(message.successor).filter(|id| *id != 0).map(NodeId),
        })
    }
}

impl Wire for Replica {
    type Message = wire::DirectoryReplica;

    fn to_message(&self) -> Self::Message {
        wire::DirectoryReplica {
            replica: self.id.0,
            node: self.node.0,
            role: wire::DirectoryRole::from(self.role).into(),
            leaving: self.leaving,
        }
    }

    fn from_message(message: Self::Message) -> Result<Self, Malformed> {
        let role = Role::from_number(message.role)?;
        Ok(Self {
            id: ReplicaId(message.replica),
            node: NodeId(message.node),
            role,
            leaving: message.leaving,
        })
    }
}

impl Wire for Group {
    type Message = wire::DirectoryGroup;

    fn to_message(&self) -> Self::Message {
        wire::DirectoryGroup {
            group: self.id.0,
            replicas: self.replicas.iter().map(Wire::to_message).collect(),
            first: self.first.0,
            accounts: self.accounts,
            changed: self.changed,
            placed: self.placed,
        }
    }

    fn from_message(message: Self::Message) -> Result<Self, Malformed> {
        let replicas = message.replicas.into_iter().map(Replica::from_message);
        Ok(Self {
            id: GroupId(message.group),
            replicas: replicas.collect::<Result<_, _>>()?,
            first: ReplicaId(message.first),
            accounts: message.accounts,
            changed: message.changed,
            placed: message.placed,
        })
    }
}

impl Wire for Account {
    type Message = wire::DirectoryAccount;

    fn to_message(&self) -> Self::Message {
        wire::DirectoryAccount {
            account: self.id.0,
            name: self.name.as_str().to_owned(),
            state: wire::DirectoryAccountState::from(self.state).into(),
            partition: self.partition.0,
            verifiers: Some(self.verifiers.to_message()),
            quota_bytes: self.quota_bytes,
            created_ms: self.created.0,
            operation: self.operation.map_or(0, |operation| operation.0),
        }
    }

    fn from_message(message: Self::Message) -> Result<Self, Malformed> {
        Ok(Self {
            id: AccountId(message.account),
            name: Name::parse(&message.name, "").ok_or("not a name")?,
            state: AccountState::from_number(message.state)?,
            partition: GroupId(message.partition),
            verifiers: Wire::from_message(due(message.verifiers)?)?,
            quota_bytes: message.quota_bytes,
            created: Millis(message.created_ms),
            operation: Some(message.operation)
                .filter(|id| *id != 0)
                .map(OperationId),
        })
    }
}

impl Wire for Verifiers {
    type Message = wire::DirectoryVerifiers;

    fn to_message(&self) -> Self::Message {
        let scram = self.scram.as_ref().map(|scram| wire::DirectoryScram {
            salt: scram.salt.clone(),
            iterations: scram.iterations,
            stored_key: scram.stored_key.to_vec().into(),
            server_key: scram.server_key.to_vec().into(),
        });
        let argon2id = self
            .argon2id
            .as_ref()
            .map(|argon2id| wire::DirectoryArgon2id {
                memory_kib: argon2id.params.memory_kib,
                passes: argon2id.params.passes,
                lanes: argon2id.params.lanes,
                salt: argon2id.salt.clone(),
                hash: argon2id.hash.to_vec().into(),
            });
        wire::DirectoryVerifiers { scram, argon2id }
    }

    fn from_message(message: Self::Message) -> Result<Self, Malformed> {
        let scram = message.scram.map(|scram| {
            Ok::<_, Malformed>(Scram {
                // A copy, so that no account keeps a whole log buffer in memory.
                salt: Bytes::copy_from_slice(&scram.salt),
                iterations: scram.iterations,
                stored_key: array(&scram.stored_key)?,
                server_key: array(&scram.server_key)?,
            })
        });
        let argon2id = message.argon2id.map(|argon2id| {
            let wire::DirectoryArgon2id {
                memory_kib,
                passes,
                lanes,
                salt,
                hash,
            } = argon2id;
            let params = Argon2idParams {
                memory_kib,
                passes,
                lanes,
            };
            let salt = Bytes::copy_from_slice(&salt);
            Ok::<_, Malformed>(Argon2id {
                params,
                salt,
                hash: array(&hash)?,
            })
        });
        Ok(Self {
            scram: scram.transpose()?,
            argon2id: argon2id.transpose()?,
        })
    }
}

/// The row that leads from a name to its account.
impl Wire for AccountId {
    type Message = wire::DirectoryName;

    fn to_message(&self) -> Self::Message {
        wire::DirectoryName { account: self.0 }
    }

    fn from_message(message: Self::Message) -> Result<Self, Malformed> {
        Ok(Self(message.account))
    }
}

impl Wire for OperationRow {
    type Message = wire::DirectoryOperation;

    fn to_message(&self) -> Self::Message {
        wire::DirectoryOperation {
            operation: self.id.0,
            kind: wire::DirectoryOperationKind::from(self.kind).into(),
            account: self.account.0,
        }
    }

    fn from_message(message: Self::Message) -> Result<Self, Malformed> {
        Ok(Self {
            id: OperationId(message.operation),
            kind: OperationKind::from_number(message.kind)?,
            account: AccountId(message.account),
        })
    }
}

impl Wire for Setting {
    type Message = wire::DirectorySetting;

    fn to_message(&self) -> Self::Message {
        wire::DirectorySetting {
            name: self.name.clone(),
            value: self.value.clone(),
        }
    }

    fn from_message(message: Self::Message) -> Result<Self, Malformed> {
        Ok(Self {
            name: message.name,
            value: message.value,
        })
    }
}

/// The row that says which request is forgotten in its turn.
impl Wire for RequestId {
    type Message = wire::DirectoryRequestOrder;

    fn to_message(&self) -> Self::Message {
        wire::DirectoryRequestOrder {
            request: self.0.to_be_bytes().to_vec().into(),
        }
    }

    fn from_message(message: Self::Message) -> Result<Self, Malformed> {
        Ok(Self(u128::from_be_bytes(array(&message.request)?)))
    }
}

/// The row of a request that was answered.
pub(crate) struct Answered(pub(crate) Outcome);

impl Wire for Answered {
    type Message = wire::DirectoryRequest;

    fn to_message(&self) -> Self::Message {
        wire::DirectoryRequest {
            outcome: Some(self.0.to_message()),
        }
    }

    fn from_message(message: Self::Message) -> Result<Self, Malformed> {
        Ok(Self(Outcome::from_message(due(message.outcome)?)?))
    }
}

impl Wire for Topology {
    type Message = wire::DirectoryTopology;

    fn to_message(&self) -> Self::Message {
        wire::DirectoryTopology {
            cluster: self.cluster.to_vec().into(),
            replicas: self.replicas,
            partitions: self.partitions,
            default_domain: self.default_domain.clone(),
            feature_level: self.feature_level,
            nodes: self.nodes.iter().map(Wire::to_message).collect(),
            groups: self.groups.iter().map(Wire::to_message).collect(),
        }
    }

    fn from_message(message: Self::Message) -> Result<Self, Malformed> {
        let nodes = message.nodes.into_iter().map(Node::from_message);
        let groups = message.groups.into_iter().map(Group::from_message);
        Ok(Self {
            cluster: array(&message.cluster)?,
            replicas: message.replicas,
            partitions: message.partitions,
            default_domain: message.default_domain,
            feature_level: message.feature_level,
            nodes: nodes.collect::<Result<_, _>>()?,
            groups: groups.collect::<Result<_, _>>()?,
        })
    }
}
