//! The machine: from a command to an outcome.
//!
//! ```text
//!   apply -- asked before? --> the first outcome
//!     |
//!     +-- nodes      init join update activate remove, settings, feature level
//!     +-- groups     place mark remove
//!     +-- placement  partitions spread replace drain move
//!     +-- accounts   create password lock delete finish
//!     +-- shares     who may have been given rights by whom
//!     |
//!     +-- remember the outcome, forget the oldest
//! ```
//!
//! A step looks at everything first and writes only when it can no longer be refused: a refused
//! command changes nothing but the memory of requests and the counters of time and requests.

mod accounts;
mod groups;
mod nodes;
mod recast;
mod shares;

pub use recast::{Recast, Recasted, recast};
mod placement;

use rows::{Fault, Memory, Rows, Staged};

use crate::codec::{self, Answered, Wire};
use crate::command::{Command, Envelope, Init, Outcome, Rejection, RequestId};
use crate::event::Event;
use crate::keys::{self, Table};
use crate::limits;
use crate::types::{
    Account, AccountId, Cluster, Counters, EntryAt, Group, GroupId, Millis, Node, NodeId,
    OperationId, ReplicaId,
};

/// Applies a command: writes to `rows`, and says what came of it and what changed.
///
/// A request that is repeated gets the outcome that it had, and changes nothing (M4).
///
/// # Errors
/// A [`Fault`] if rows cannot be read or contradict each other; then `rows` must be dropped, and
/// the group stops.
pub fn apply<R: Rows>(
    rows: &mut Staged<'_, R>,
    at: EntryAt,
    envelope: &Envelope,
) -> Result<(Outcome, Vec<Event>), Fault> {
    let mut machine = Machine::load(rows, at)?;
    if let Some(Answered(outcome)) = machine.read(&keys::request(envelope.request))? {
        return Ok((outcome, Vec::new()));
    }
    machine.counters.time = machine.counters.time.max(envelope.time);
    let outcome = match machine.run(&envelope.command) {
        Ok(outcome) => outcome,
        Err(Stop::Rejected(rejection)) => Outcome::Rejected(rejection),
        Err(Stop::Fault(fault)) => return Err(fault),
    };
    machine.remember(envelope.request, outcome)?;
    machine.write(keys::COUNTERS, &machine.counters.clone());
    Ok((outcome, machine.events))
}

/// What a directory in which there is nothing yet would answer to `init`: whoever is about to make
/// a cluster asks before.
///
/// # Errors
/// None that a caller can do anything about.
pub fn judge(init: &Init) -> Result<Outcome, Fault> {
    let envelope = Envelope {
        request: RequestId(0),
        time: Millis(0),
        command: Command::Init(init.clone()),
    };
    let (nothing, first) = (Memory::new(), EntryAt { index: 1, term: 1 });
    apply(&mut Staged::new(&nothing), first, &envelope).map(|(outcome, _)| outcome)
}

/// Why a command ends early.
enum Stop {
    Rejected(Rejection),
    Fault(Fault),
}

impl From<Rejection> for Stop {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// An entry being applied.
struct Machine<'a, 'b, R> {
    rows: &'a mut Staged<'b, R>,
    at: EntryAt,
    counters: Counters,
    events: Vec<Event>,
}

impl<'a, 'b, R: Rows> Machine<'a, 'b, R> {
    fn load(rows: &'a mut Staged<'b, R>, at: EntryAt) -> Result<Self, Fault> {
        let mut machine = Self {
            rows,
            at,
            counters: Counters::NEW,
            events: Vec::new(),
        };
        if let Some(counters) = machine.read(keys::COUNTERS)? {
            machine.counters = counters;
        }
        Ok(machine)
    }

    fn run(&mut self, command: &Command) -> Result<Outcome, Stop> {
        match command {
            Command::Init(init) => self.init(init),
            Command::JoinNode(report) => self.join_node(report),
            Command::UpdateNode(report) => self.update_node(report),
            Command::ActivateNode { node } => self.activate_node(*node),
            Command::RemoveNode { node } => self.remove_node(*node),
            Command::PlaceReplica { group, node } => self.place_replica(*group, *node),
            Command::MarkVoter { group, replica } => self.mark_voter(*group, *replica),
            Command::MarkLearner { group, replica } => self.mark_learner(*group, *replica),
            Command::RemoveReplica { group, replica } => self.remove_replica(*group, *replica),
            Command::PlacePartitions => self.place_partitions(),
            Command::CreateAccount {
                name,
                verifiers,
                quota_bytes,
            } => self.create_account(name, verifiers, *quota_bytes),
            Command::SetPassword { name, verifiers } => self.set_password(name, verifiers),
            Command::LockAccount { name, locked } => self.lock_account(name, *locked),
            Command::DeleteAccount { name } => self.delete_account(name),
            Command::FinishOperation { operation } => self.finish_operation(*operation),
            Command::SetSetting { name, value } => self.set_setting(name, value),
            Command::RaiseFeatureLevel { level } => self.raise_feature_level(*level),
            Command::ReplaceNode { old, new } => self.replace_node(*old, new),
            Command::DrainNode { node, shrink } => self.drain_node(*node, *shrink),
            Command::MoveReplica { group, from, to } => self.move_replica(*group, *from, *to),
            Command::RetireReplica { group, replica } => self.retire_replica(*group, *replica),
            Command::Share { user, account } => self.share(*user, *account),
        }
    }

    /// Keeps the outcome for repeats, and forgets the one that is too old.
    fn remember(&mut self, request: RequestId, outcome: Outcome) -> Result<(), Fault> {
        let sequence = self.counters.next_request;
        self.counters.next_request += 1;
        self.write(keys::request(request), &Answered(outcome));
        self.write(keys::request_order(sequence), &request);
        let Some(oldest) = sequence
            .checked_sub(limits::REQUESTS_KEPT)
            .filter(|id| *id > 0)
        else {
            return Ok(());
        };
        let key = keys::request_order(oldest);
        let request: RequestId = self
            .read(&key)?
            .ok_or_else(|| Fault::invariant(format!("no request has the place {oldest}")))?;
        self.rows.remove(key);
        self.rows.remove(keys::request(request));
        Ok(())
    }

    fn read<T: Wire>(&self, key: &[u8]) -> Result<Option<T>, Fault> {
        self.rows
            .get(key)?
            .map(|value| codec::row(key, &value))
            .transpose()
    }

    fn write<T: Wire>(&mut self, key: impl Into<bytes::Bytes>, row: &T) {
        self.rows.put(key, codec::encode(row));
    }

    /// All rows of a table that is small: nodes or groups.
    fn table<T: Wire>(&self, table: Table) -> Result<Vec<T>, Fault> {
        let (from, to) = table.range();
        self.rows
            .scan(&from, &to)?
            .map(|row| row.and_then(|(key, value)| codec::row(&key, &value)))
            .collect()
    }

    fn cluster(&self) -> Result<Cluster, Stop> {
        Ok(self.read(keys::CLUSTER)?.ok_or(Rejection::NoCluster)?)
    }

    /// A node that was not removed.
    fn node(&self, id: NodeId) -> Result<Node, Stop> {
        let node: Node = self.read(&keys::node(id))?.ok_or(Rejection::NoNode)?;
        if node.state == crate::types::NodeState::Removed {
            return Err(Rejection::NodeRemoved.into());
        }
        Ok(node)
    }

    fn group(&self, id: GroupId) -> Result<Group, Stop> {
        Ok(self.read(&keys::group(id))?.ok_or(Rejection::NoGroup)?)
    }

    fn put_cluster(&mut self, cluster: Cluster) {
        self.write(keys::CLUSTER, &cluster);
        self.events.push(Event::Cluster(cluster));
    }

    fn put_node(&mut self, node: Node) {
        self.write(keys::node(node.id), &node);
        self.events.push(Event::Node(node));
    }

    fn put_group(&mut self, group: Group) {
        self.write(keys::group(group.id), &group);
        self.events.push(Event::Group(group));
    }

    fn put_account(&mut self, account: Account) {
        self.write(keys::account(account.id), &account);
        self.events.push(Event::Account(account.into()));
    }

    const fn next_replica(&mut self) -> ReplicaId {
        let id = ReplicaId(self.counters.next_replica);
        self.counters.next_replica += 1;
        id
    }

    const fn next_account(&mut self) -> AccountId {
        let id = AccountId(self.counters.next_account);
        self.counters.next_account += 1;
        id
    }

    const fn next_operation(&mut self) -> OperationId {
        let id = OperationId(self.counters.next_operation);
        self.counters.next_operation += 1;
        id
    }

    const fn time(&self) -> Millis {
        self.counters.time
    }
}
