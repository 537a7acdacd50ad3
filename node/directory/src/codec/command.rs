//! Commands and outcomes.

use proto::v1 as wire;
use wire::directory_command::Kind as Asked;
use wire::directory_outcome::Kind as Answered;

use super::{Kind as _, Malformed, Wire, array, due, same_variants};
use crate::command::{Command, Envelope, Init, NodeReport, Outcome, Rejection, RequestId};
use crate::share::Share;
use crate::types::{AccountId, GroupId, Millis, NodeId, OperationId, ReplicaId};
use crate::verifier::Verifiers;

same_variants! { Rejection, wire::DirectoryRejection:
    NoCluster ClusterExists ShapeInvalid NodeInvalid NoNode NodeRemoved NodeInUse AddressInvalid
    AddressTaken TooManyNodes TooFewNodes NoGroup NoReplica LastVoter TooManyReplicas NotPlaced
    NameInvalid NameTaken NoAccount AccountBusy TooManyAccounts VerifierInvalid PasswordInvalid
    SettingInvalid TooManySettings FeatureLevel NodeNotActive NodeLeaving ReplicaThere
    TooManyShares
}

impl Wire for Envelope {
    type Message = wire::DirectoryEnvelope;

    fn to_message(&self) -> Self::Message {
        wire::DirectoryEnvelope {
            request: self.request.0.to_be_bytes().to_vec().into(),
            time_ms: self.time.0,
            command: Some(wire::DirectoryCommand {
                kind: Some(asked(&self.command)),
            }),
        }
    }

    fn from_message(message: Self::Message) -> Result<Self, Malformed> {
        Ok(Self {
            request: RequestId(u128::from_be_bytes(array(&message.request)?)),
            time: Millis(message.time_ms),
            command: command(due(due(message.command)?.kind)?)?,
        })
    }
}

fn asked(command: &Command) -> Asked {
    match command {
        Command::Init(init) => Asked::Init(init.to_message()),
        Command::JoinNode(report) => Asked::JoinNode(join(report)),
        Command::UpdateNode(report) => Asked::UpdateNode(report.to_message()),
        Command::ActivateNode { node } => {
            Asked::ActivateNode(wire::DirectoryActivateNode { node: node.0 })
        }
        Command::RemoveNode { node } => {
            Asked::RemoveNode(wire::DirectoryRemoveNode { node: node.0 })
        }
        Command::PlaceReplica { group, node } => Asked::PlaceReplica(wire::DirectoryPlaceReplica {
            group: group.0,
            node: node.0,
        }),
        Command::MarkVoter { group, replica } => Asked::MarkVoter(wire::DirectoryMarkVoter {
            group: group.0,
            replica: replica.0,
        }),
        Command::MarkLearner { group, replica } => Asked::MarkLearner(wire::DirectoryMarkLearner {
            group: group.0,
            replica: replica.0,
        }),
        Command::RemoveReplica { group, replica } => {
            let (group, replica) = (group.0, replica.0);
            Asked::RemoveReplica(wire::DirectoryRemoveReplica { group, replica })
        }
        Command::PlacePartitions => Asked::PlacePartitions(wire::DirectoryPlacePartitions {}),
        Command::CreateAccount {
            name,
            verifiers,
            quota_bytes,
        } => {
            let (name, verifiers) = (name.clone(), Some(verifiers.to_message()));
            let quota_bytes = *quota_bytes;
            Asked::CreateAccount(wire::DirectoryCreateAccount {
                name,
                verifiers,
                quota_bytes,
            })
        }
        Command::SetPassword { name, verifiers } => {
            Asked::SetPassword(set_password(name, verifiers))
        }
        Command::LockAccount { name, locked } => Asked::LockAccount(wire::DirectoryLockAccount {
            name: name.clone(),
            locked: *locked,
        }),
        Command::DeleteAccount { name } => {
            Asked::DeleteAccount(wire::DirectoryDeleteAccount { name: name.clone() })
        }
        Command::FinishOperation { operation } => {
            Asked::FinishOperation(wire::DirectoryFinishOperation {
                operation: operation.0,
            })
        }
        Command::SetSetting { name, value } => Asked::SetSetting(set_setting(name, value)),
        Command::RaiseFeatureLevel { level } => {
            Asked::RaiseFeatureLevel(wire::DirectoryRaiseFeatureLevel { level: *level })
        }
        Command::ReplaceNode { old, new } => Asked::ReplaceNode(replace(*old, new)),
        Command::DrainNode { node, shrink } => Asked::DrainNode(wire::DirectoryDrainNode {
            node: node.0,
            shrink: *shrink,
        }),
        Command::MoveReplica { group, from, to } => {
            Asked::MoveReplica(wire::DirectoryMoveReplica {
                group: group.0,
                from: from.0,
                to: to.0,
            })
        }
        Command::RetireReplica { group, replica } => {
            let (group, replica) = (group.0, replica.0);
            Asked::RetireReplica(wire::DirectoryRetireReplica { group, replica })
        }
        Command::Share { user, account } => Asked::Share(
            Share {
                user: *user,
                account: *account,
            }
            .to_message(),
        ),
    }
}

fn join(report: &NodeReport) -> wire::DirectoryJoinNode {
    let wire::DirectoryUpdateNode {
        node,
        addresses,
        feature_level,
    } = report.to_message();
    wire::DirectoryJoinNode {
        node,
        addresses,
        feature_level,
    }
}

fn replace(old: NodeId, new: &NodeReport) -> wire::DirectoryReplaceNode {
    let wire::DirectoryUpdateNode {
        node,
        addresses,
        feature_level,
    } = new.to_message();
    wire::DirectoryReplaceNode {
        old: old.0,
        new: node,
        addresses,
        feature_level,
    }
}

fn set_password(name: &str, verifiers: &Verifiers) -> wire::DirectorySetPassword {
    let verifiers = Some(verifiers.to_message());
    wire::DirectorySetPassword {
        name: name.to_owned(),
        verifiers,
    }
}

fn set_setting(name: &str, value: &str) -> wire::DirectorySetSetting {
    wire::DirectorySetSetting {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

fn command(asked: Asked) -> Result<Command, Malformed> {
    Ok(match asked {
        Asked::Init(init) => Command::Init(Wire::from_message(init)?),
        Asked::JoinNode(join) => {
            let wire::DirectoryJoinNode {
                node,
                addresses,
                feature_level,
            } = join;
            let report = wire::DirectoryUpdateNode {
                node,
                addresses,
                feature_level,
            };
            Command::JoinNode(Wire::from_message(report)?)
        }
        Asked::UpdateNode(report) => Command::UpdateNode(Wire::from_message(report)?),
        Asked::ActivateNode(it) => Command::ActivateNode {
            node: NodeId(it.node),
        },
        Asked::RemoveNode(it) => Command::RemoveNode {
            node: NodeId(it.node),
        },
        Asked::PlaceReplica(it) => Command::PlaceReplica {
            group: GroupId(it.group),
            node: NodeId(it.node),
        },
        Asked::MarkVoter(it) => Command::MarkVoter {
            group: GroupId(it.group),
            replica: ReplicaId(it.replica),
        },
        Asked::MarkLearner(it) => Command::MarkLearner {
            group: GroupId(it.group),
            replica: ReplicaId(it.replica),
        },
        Asked::RetireReplica(it) => Command::RetireReplica {
            group: GroupId(it.group),
            replica: ReplicaId(it.replica),
        },
        Asked::RemoveReplica(it) => Command::RemoveReplica {
            group: GroupId(it.group),
            replica: ReplicaId(it.replica),
        },
        Asked::PlacePartitions(_) => Command::PlacePartitions,
        Asked::CreateAccount(it) => {
            let verifiers = Wire::from_message(due(it.verifiers)?)?;
            Command::CreateAccount {
                name: it.name,
                verifiers,
                quota_bytes: it.quota_bytes,
            }
        }
        Asked::SetPassword(it) => {
            let verifiers = Wire::from_message(due(it.verifiers)?)?;
            Command::SetPassword {
                name: it.name,
                verifiers,
            }
        }
        Asked::LockAccount(it) => Command::LockAccount {
            name: it.name,
            locked: it.locked,
        },
        Asked::DeleteAccount(it) => Command::DeleteAccount { name: it.name },
        Asked::FinishOperation(it) => Command::FinishOperation {
            operation: OperationId(it.operation),
        },
        Asked::SetSetting(it) => Command::SetSetting {
            name: it.name,
            value: it.value,
        },
        Asked::RaiseFeatureLevel(it) => Command::RaiseFeatureLevel { level: it.level },
        Asked::ReplaceNode(it) => {
            let report = wire::DirectoryUpdateNode {
                node: it.new,
                addresses: it.addresses,
                feature_level: it.feature_level,
            };
            Command::ReplaceNode {
                old: NodeId(it.old),
                new: Wire::from_message(report)?,
            }
        }
        Asked::DrainNode(it) => Command::DrainNode {
            node: NodeId(it.node),
            shrink: it.shrink,
        },
        Asked::Share(it) => {
            let Share { user, account } = Wire::from_message(it)?;
            Command::Share { user, account }
        }
        Asked::MoveReplica(it) => Command::MoveReplica {
            group: GroupId(it.group),
            from: NodeId(it.from),
            to: NodeId(it.to),
        },
    })
}

impl Wire for Init {
    type Message = wire::DirectoryInit;

    fn to_message(&self) -> Self::Message {
        wire::DirectoryInit {
            cluster: self.cluster.to_vec().into(),
            secret: self.secret.to_vec().into(),
            replicas: self.replicas,
            partitions: self.partitions,
            default_domain: self.default_domain.clone(),
            node: self.first.node.0,
            addresses: Some(self.first.addresses.to_message()),
            feature_level: self.first.feature_level,
        }
    }

    fn from_message(message: Self::Message) -> Result<Self, Malformed> {
        Ok(Self {
            cluster: array(&message.cluster)?,
            secret: array(&message.secret)?,
            replicas: message.replicas,
            partitions: message.partitions,
            default_domain: message.default_domain,
            first: NodeReport {
                node: NodeId(message.node),
                addresses: Wire::from_message(due(message.addresses)?)?,
                feature_level: message.feature_level,
            },
        })
    }
}

impl Wire for NodeReport {
    type Message = wire::DirectoryUpdateNode;

    fn to_message(&self) -> Self::Message {
        wire::DirectoryUpdateNode {
            node: self.node.0,
            addresses: Some(self.addresses.to_message()),
            feature_level: self.feature_level,
        }
    }

    fn from_message(message: Self::Message) -> Result<Self, Malformed> {
        Ok(Self {
            node: NodeId(message.node),
            addresses: Wire::from_message(due(message.addresses)?)?,
            feature_level: message.feature_level,
        })
    }
}

impl Wire for Outcome {
    type Message = wire::DirectoryOutcome;

    fn to_message(&self) -> Self::Message {
        let kind = match *self {
            Self::Done => Answered::Done(wire::DirectoryDone {}),
            Self::Placed(replica) => Answered::Placed(wire::DirectoryPlaced { replica: replica.0 }),
            Self::AccountMade {
                account,
                partition,
                operation,
            } => Answered::AccountMade(wire::DirectoryAccountMade {
                account: account.0,
                partition: partition.0,
                operation: operation.0,
            }),
            Self::OperationBegun(operation) => {
                Answered::OperationBegun(wire::DirectoryOperationBegun {
                    operation: operation.0,
                })
            }
            Self::Rejected(rejection) => {
                Answered::Rejected(wire::DirectoryRejection::from(rejection).into())
            }
        };
        wire::DirectoryOutcome { kind: Some(kind) }
    }

    fn from_message(message: Self::Message) -> Result<Self, Malformed> {
        Ok(match due(message.kind)? {
            Answered::Done(_) => Self::Done,
            Answered::Placed(placed) => Self::Placed(ReplicaId(placed.replica)),
            Answered::AccountMade(made) => Self::AccountMade {
                account: AccountId(made.account),
                partition: GroupId(made.partition),
                operation: OperationId(made.operation),
            },
            Answered::OperationBegun(begun) => Self::OperationBegun(OperationId(begun.operation)),
            Answered::Rejected(number) => Self::Rejected(Rejection::from_number(number)?),
        })
    }
}
