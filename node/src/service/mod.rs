//! What every node can do for every user, whichever node leads.
//!
//! ```text
//!   front (sessions)      steward (operations that span groups)
//!        |                     |
//!     account  delivery     directory commands        one connection's view of the store
//!        |                                            (deleted: what an account can get back)
//!        |        |            |
//!        +-- propose, query ---+                       stamped with a lane: runs once
//!                 |
//!               route          who leads? here: local -- there: remote ~~~> serve (other node)
//!                 |
//!               raft
//! ```
//!
//! Three verbs: *propose* changes something exactly once, *query* reads linearizably (what follows
//! from an answer or a hint may be read near by, see [`Account::read_near`]), *watch* hints that it
//! is worth reading. They are the same for a leader on this node and for one on another
//! ([`call`]). While a group has no leader they wait, and repeat what may be repeated: reads by
//! nature, commands because their lane makes a second time harmless (M4).
//!
//! While a majority of a partition's disks are nearly full, what adds mail is refused ([`Failure`]
//! `NoSpace`), by the leader and already where it comes in; and a node that should not lead hands
//! over ([`health`]). What failed logins cost is counted by all nodes together ([`penalty`]).
//!
//! What it does not do: it speaks no protocol of the doors, and it decides nothing that the
//! machines decide.

pub mod account;
pub mod body;
pub mod call;
pub mod clock;
pub mod deleted;
pub mod delivery;
pub mod health;
pub mod lane;
pub mod limits;
pub mod listen;
pub mod local;
pub mod login;
pub mod penalty;
pub mod reading;
pub mod remote;
pub mod rosters;
pub mod route;
pub mod serve;
pub mod steward;
pub mod watch;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use directory::{NodeId, View};
use mailbox::{Command, Confirmed, Envelope, Millis, Outcome, Query, Rejection, Stamp};
use parking_lot::{Mutex, RwLock};

use crate::budget::Share;
use crate::raft::Health;
use crate::raft::convert::fits_entry;
use crate::replica::GroupId;
pub use account::Account;
pub use call::{Answer, Call, Failure};
pub use clock::Clock;
pub use delivery::Delivery;
pub use lane::{Lane, Lanes};
pub use local::{Local, now_ms};
pub use penalty::Penalties;
pub use remote::Remote;
pub use rosters::Rosters;
pub use route::Router;
pub use serve::StoreServer;
pub use watch::Hub;

/// The group of the directory.
pub const DIRECTORY: GroupId = GroupId(0);

/// The directory as this node's replica has applied it.
pub type SharedView = Arc<RwLock<View>>;

/// What every node can do for every user. Clones share it.
#[derive(Clone)]
pub struct Service {
    shared: Arc<Shared>,
}

struct Shared {
    node: u64,
    router: Router,
    view: SharedView,
    lanes: Lanes,
    hub: Hub,
    /// What bodies that arrive may take in memory.
    uploads: Arc<Share>,
    confirmed: Mutex<HashMap<GroupId, Vec<Confirmed>>>,
    passwords: tokio::sync::Semaphore,
    penalties: Penalties,
}

impl Service {
    /// Puts it together for the node `node` at its `boot`-th start.
    #[must_use]
    pub fn new(
        node: u64,
        boot: u64,
        local: Arc<Local>,
        remote: Remote,
        view: SharedView,
        hub: Hub,
        uploads: Arc<Share>,
    ) -> Self {
        let shared = Shared {
            node,
            lanes: Lanes::new(node, boot, Arc::clone(local.clock())),
            router: Router::new(node, local, remote),
            view,
            hub,
            uploads,
            confirmed: Mutex::default(),
            passwords: tokio::sync::Semaphore::new(limits::PASSWORD_CHECKS_MAX),
            penalties: Penalties::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// This node's id.
    #[must_use]
    pub fn node(&self) -> u64 {
        self.shared.node
    }

    /// The directory as this node knows it.
    #[must_use]
    pub fn view(&self) -> &SharedView {
        &self.shared.view
    }

    /// Lanes of this node.
    #[must_use]
    pub fn lanes(&self) -> &Lanes {
        &self.shared.lanes
    }

    /// The time that commands carry.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        self.router().local().clock()
    }

    /// Finds leaders.
    #[must_use]
    pub fn router(&self) -> &Router {
        &self.shared.router
    }

    /// What failed logins cost.
    #[must_use]
    pub fn penalties(&self) -> &Penalties {
        &self.shared.penalties
    }

    /// Hints of changes.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.shared.hub
    }

    /// What bodies that arrive may take in memory.
    fn uploads(&self) -> &Arc<Share> {
        &self.shared.uploads
    }

    /// Whether a partition takes mail, as far as this node knows: to refuse it before it is sent.
    /// The partition's leader looks again.
    #[must_use]
    pub fn takes_mail(&self, group: GroupId) -> bool {
        self.router().local().takes_mail(group)
    }

    /// How this node and the others are.
    #[must_use]
    pub fn health(&self) -> &Health {
        self.router().local().groups().health()
    }

    fn confirmed(&self) -> &Mutex<HashMap<GroupId, Vec<Confirmed>>> {
        &self.shared.confirmed
    }

    /// Asks the leader of `group`, waiting for one up to `wait`.
    ///
    /// # Errors
    ///
    /// See [`Router::ask`].
    pub async fn ask(&self, group: GroupId, call: Call, wait: Duration) -> Result<Answer, Failure> {
        let holders = self.holders(group);
        self.shared.router.ask(group, &holders, call, wait).await
    }

    /// Asks any replica of `group` for what is the same on all of them.
    ///
    /// # Errors
    ///
    /// See [`Router::ask_any`].
    pub async fn ask_any(
        &self,
        group: GroupId,
        call: Call,
        wait: Duration,
    ) -> Result<Answer, Failure> {
        let holders = self.holders(group);
        let router = &self.shared.router;
        router.ask_any(group, &holders, call, wait).await
    }

    /// The nodes on which the directory placed replicas of `group`.
    fn holders(&self, group: GroupId) -> Vec<u64> {
        let view = self.shared.view.read();
        let group = view.group(directory::GroupId(group.0));
        group.map_or_else(Vec::new, |group| {
            let nodes = group.replicas.iter().map(|replica| replica.node.0);
            nodes.collect()
        })
    }

    /// Changes something in a partition, exactly once.
    ///
    /// # Errors
    ///
    /// [`Failure::Unknown`] when it may or may not have been done.
    pub async fn propose(
        &self,
        group: GroupId,
        lane: &mut Lane,
        command: Command,
        body: Bytes,
        wait: Duration,
    ) -> Result<Outcome, Failure> {
        let stamp = self.lanes().stamp(lane, group);
        // A tick is not remembered, so what followed it on its lane would be forgotten.
        let is_remembered = command != Command::Tick;
        let outcome = self
            .propose_stamped(group, stamp, command, body, wait)
            .await?;
        let is_lost = match outcome {
            Outcome::Done(_) | Outcome::Moved => false,
            Outcome::Rejected(why) => why == Rejection::SequenceUsed,
            Outcome::Forgotten => true,
        };
        if is_remembered && !is_lost {
            lane.settled();
        }
        Ok(outcome)
    }

    /// The same with a stamp that was taken before.
    ///
    /// # Errors
    ///
    /// As [`Service::propose`].
    pub async fn propose_stamped(
        &self,
        group: GroupId,
        stamp: Stamp,
        command: Command,
        body: Bytes,
        wait: Duration,
    ) -> Result<Outcome, Failure> {
        // The leader's clock goes beside the command, as it enters the log.
        let envelope = Envelope {
            stamp,
            time: Millis(0),
            command,
        };
        let command = mailbox::codec::encode_envelope(&envelope);
        // Here already: no frame between two nodes takes whatever a client sends.
        if !fits_entry(command.len(), body.len()) {
            return Err(Failure::TooLarge);
        }
        let call = Call::Propose {
            command,
            body,
            adds: envelope.command.adds(),
        };
        match self.ask(group, call, wait).await? {
            Answer::Outcome(bytes) => {
                let outcome = mailbox::codec::decode_outcome(&bytes)
                    .map_err(|error| Failure::Broken(error.to_string()))?;
                if outcome == Outcome::Forgotten {
                    self.lanes().forget(group);
                }
                Ok(outcome)
            }
            _ => Err(Failure::Invalid("unexpected answer".into())),
        }
    }

    /// Reads from a partition, linearizably.
    ///
    /// # Errors
    ///
    /// See [`Failure`].
    pub async fn query(
        &self,
        group: GroupId,
        query: Query,
        wait: Duration,
    ) -> Result<mailbox::Answer, Failure> {
        match self.ask(group, Call::Query(query), wait).await? {
            Answer::Result(answer) => Ok(*answer),
            _ => Err(Failure::Invalid("unexpected answer".into())),
        }
    }

    /// Changes the directory. Every command carries an id of its own, so it may be repeated.
    ///
    /// # Errors
    ///
    /// As [`Service::propose`].
    pub async fn direct(
        &self,
        command: directory::Command,
        wait: Duration,
    ) -> Result<directory::Outcome, Failure> {
        let envelope = directory::Envelope {
            request: directory::RequestId(rand::random()),
            time: directory::Millis(0),
            command,
        };
        let command = directory::codec::encode_envelope(&envelope);
        let call = Call::Propose {
            command,
            body: Bytes::new(),
            adds: false,
        };
        match self.ask(DIRECTORY, call, wait).await? {
            Answer::Outcome(bytes) => directory::codec::decode_outcome(&bytes)
                .map_err(|error| Failure::Broken(error.to_string())),
            _ => Err(Failure::Invalid("unexpected answer".into())),
        }
    }

    /// Returns once this node's view of the directory holds everything that was acknowledged before
    /// the call.
    ///
    /// # Errors
    ///
    /// When the directory has no leader or this node does not keep up.
    pub async fn refresh(&self, wait: Duration) -> Result<(), Failure> {
        let Answer::Index(index) = self.ask(DIRECTORY, Call::Barrier, wait).await? else {
            return Err(Failure::Invalid("unexpected answer".into()));
        };
        self.shared
            .router
            .local()
            .answer(DIRECTORY, Call::Applied(index))
            .await?;
        Ok(())
    }

    /// Returns once every node that can be reached has applied what the directory holds now.
    pub async fn spread(&self, wait: Duration) {
        let Ok(Answer::Index(index)) = self.ask(DIRECTORY, Call::Barrier, wait).await else {
            return;
        };
        let there = |node: &&directory::Node| node.state != directory::NodeState::Removed;
        let nodes: Vec<NodeId> = {
            let view = self.view().read();
            view.nodes().filter(there).map(|node| node.id).collect()
        };
        let others = nodes.into_iter().filter(|node| node.0 != self.node());
        let remote = self.router().remote();
        futures_util::future::join_all(others.map(|node| {
            tokio::time::timeout(wait, remote.ask(node.0, DIRECTORY, Call::Applied(index)))
        }))
        .await;
    }
}
