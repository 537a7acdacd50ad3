//! The cluster, its nodes and its settings.

use rows::Rows;

use super::{Machine, Stop};
use crate::command::{Init, NodeReport, Outcome, Rejection};
use crate::event::Event;
use crate::keys::{self, Table};
use crate::limits;
use crate::name::is_domain;
use crate::types::{
    Addresses, Cluster, Group, GroupId, Node, NodeId, NodeState, Replica, ReplicaId, Role, Setting,
};

impl<R: Rows> Machine<'_, '_, R> {
    pub(super) fn init(&mut self, init: &Init) -> Result<Outcome, Stop> {
        if self.read::<Cluster>(keys::CLUSTER)?.is_some() {
            return Err(Rejection::ClusterExists.into());
        }
        let domain = &init.default_domain;
        let possible = (1..=limits::REPLICAS_MAX).contains(&init.replicas)
            && (1..=limits::PARTITIONS_MAX).contains(&init.partitions)
            && (domain.is_empty() || is_domain(domain));
        if !possible {
            return Err(Rejection::ShapeInvalid.into());
        }
        self.check_report(&init.first)?;
        self.put_cluster(Cluster {
            id: init.cluster,
            secret: init.secret,
            replicas: init.replicas,
            partitions: init.partitions,
            default_domain: domain.to_ascii_lowercase(),
            feature_level: init.first.feature_level,
        });
        self.put_new_node(&init.first, NodeState::Active);
        let first = self.next_replica();
        assert_eq!(
            first,
            ReplicaId::FIRST,
            "no replica is placed before there is a cluster"
        );
        self.put_group(Group {
            id: GroupId::DIRECTORY,
            replicas: vec![Replica {
                id: first,
                node: init.first.node,
                role: Role::Voter,
                leaving: false,
            }],
            first,
            accounts: 0,
            changed: self.at.index,
            placed: self.at.index,
        });
        Ok(Outcome::Placed(first))
    }

    pub(super) fn join_node(&mut self, report: &NodeReport) -> Result<Outcome, Stop> {
        self.cluster()?;
        if self.read::<Node>(&keys::node(report.node))?.is_some() {
            return self.update_node(report);
        }
        if self.counters.nodes >= limits::NODES_MAX {
            return Err(Rejection::TooManyNodes.into());
        }
        self.check_report(report)?;
        self.check_level(report)?;
        self.put_new_node(report, NodeState::Joining);
        Ok(Outcome::Done)
    }

    pub(super) fn update_node(&mut self, report: &NodeReport) -> Result<Outcome, Stop> {
        self.cluster()?;
        let node = self.node(report.node)?;
        self.check_report(report)?;
        self.check_level(report)?;
        let NodeReport {
            addresses,
            feature_level,
            ..
        } = report.clone();
        let reported = Node {
            addresses,
            feature_level,
            ..node.clone()
        };
        if reported != node {
            self.put_node(reported);
        }
        Ok(Outcome::Done)
    }

    pub(super) fn activate_node(&mut self, id: NodeId) -> Result<Outcome, Stop> {
        let node = self.node(id)?;
        if node.state == NodeState::Joining {
            self.put_node(Node {
                state: NodeState::Active,
                ..node
            });
            self.settle_in(id)?;
        }
        Ok(Outcome::Done)
    }

    pub(super) fn remove_node(&mut self, id: NodeId) -> Result<Outcome, Stop> {
        let node: Node = self.read(&keys::node(id))?.ok_or(Rejection::NoNode)?;
        let holds = |group: &Group| {
            group.replica_on(id).is_some_and(|replica| {
                group.id != GroupId::DIRECTORY || replica.role == Role::Voter
            })
        };
        if self.table::<Group>(Table::Groups)?.iter().any(holds) {
            return Err(Rejection::NodeInUse.into());
        }
        if node.state != NodeState::Removed {
            self.redirect(id, None)?;
            // Its addresses are free for a successor.
            let addresses = Addresses::default();
            self.put_node(Node {
                state: NodeState::Removed,
                addresses,
                successor: None,
                ..node
            });
        }
        Ok(Outcome::Done)
    }

    pub(super) fn set_setting(&mut self, name: &str, value: &str) -> Result<Outcome, Stop> {
        self.cluster()?;
        let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let possible = (1..=limits::SETTING_NAME_BYTES_MAX).contains(&name.len())
            && name
                .bytes()
                .all(|byte| letter(byte) || b"._-".contains(&byte))
            && value.len() <= limits::SETTING_VALUE_BYTES_MAX;
        if !possible {
            return Err(Rejection::SettingInvalid.into());
        }
        let key = keys::setting(name);
        let old = self.read::<Setting>(&key)?.map(|setting| setting.value);
        let new = Some(value.to_owned()).filter(|value| !value.is_empty());
        if old == new {
            return Ok(Outcome::Done);
        }
        match &new {
            Some(value) => {
                if old.is_none() {
                    if self.counters.settings >= limits::SETTINGS_MAX {
                        return Err(Rejection::TooManySettings.into());
                    }
                    self.counters.settings += 1;
                }
                self.write(
                    key,
                    &Setting {
                        name: name.to_owned(),
                        value: value.clone(),
                    },
                );
            }
            None => {
                self.counters.settings -= 1;
                self.rows.remove(key);
            }
        }
        self.events.push(Event::Setting(name.to_owned(), new));
        Ok(Outcome::Done)
    }

    pub(super) fn raise_feature_level(&mut self, level: u32) -> Result<Outcome, Stop> {
        let cluster = self.cluster()?;
        let nodes: Vec<Node> = self.table(Table::Nodes)?;
        let known = |node: &Node| node.state == NodeState::Removed || node.feature_level >= level;
        if level < cluster.feature_level || !nodes.iter().all(known) {
            return Err(Rejection::FeatureLevel.into());
        }
        if level > cluster.feature_level {
            self.put_cluster(Cluster {
                feature_level: level,
                ..cluster
            });
        }
        Ok(Outcome::Done)
    }

    pub(super) fn put_new_node(&mut self, report: &NodeReport, state: NodeState) {
        let NodeReport {
            node,
            addresses,
            feature_level,
        } = report.clone();
        self.counters.nodes += 1;
        self.put_node(Node {
            id: node,
            addresses,
            state,
            feature_level,
            successor: None,
        });
    }

    /// Whether a node may be called so and reached there.
    pub(super) fn check_report(&self, report: &NodeReport) -> Result<(), Stop> {
        if report.node == NodeId(0) {
            return Err(Rejection::NodeInvalid.into());
        }
        if !report.addresses.is_valid() {
            return Err(Rejection::AddressInvalid.into());
        }
        let peer = &report.addresses.peer;
        let taken = |node: &Node| node.id != report.node && node.addresses.peer == *peer;
        if self.table::<Node>(Table::Nodes)?.iter().any(taken) {
            return Err(Rejection::AddressTaken.into());
        }
        Ok(())
    }

    /// Whether the node's binary understands what the others say.
    pub(super) fn check_level(&self, report: &NodeReport) -> Result<(), Stop> {
        if report.feature_level < self.cluster()?.feature_level {
            return Err(Rejection::FeatureLevel.into());
        }
        Ok(())
    }
}
