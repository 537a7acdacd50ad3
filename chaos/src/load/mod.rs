//! What clients do while the cluster is being broken.
//!
//! ```text
//!   mta      delivers to anyone, through any node, and tries again as an MTA does
//!   worker   the one client that changes its account: append, copy, move, flag, expunge
//!   reader   looks at anyone's mailboxes, through any node
//!   probe    after a kill: how long until a partition takes mail again
//! ```
//!
//! Each draws from its own generator, so that a seed gives each the same intentions, whatever the
//! others do. All go on for as long as they are not told to stop; then each ends what it is at, and
//! an MTA does not rest before its message is delivered or all its attempts are used up.

pub mod mta;
pub mod probe;
pub mod reader;
pub mod worker;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use rand::Rng;
use rand::seq::IndexedRandom;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::cluster::{Account, DOMAIN, PASSWORD};
use crate::history::{Place, Recorder};
use crate::limits::DRAIN_WAIT;
use crate::mail::Trouble;
use crate::mail::imap::Imap;
use crate::mail::message::{Serial, Sizes};

/// What all clients know.
pub struct Scene {
    /// The seed of the run.
    pub seed: u64,
    /// How large messages are.
    pub sizes: Sizes,
    /// Whose mail it is.
    pub accounts: Vec<Account>,
    /// All nodes, also those that are not in the cluster yet or any more.
    pub nodes: Vec<Door>,
    /// Nodes that clients do not go to.
    pub closed: Mutex<BTreeSet<u64>>,
    /// Where everything is taken down.
    pub recorder: Recorder,
}

/// How clients reach a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Door {
    /// The node.
    pub node: u64,
    /// Its IMAP listener.
    pub imap: SocketAddr,
    /// Its LMTP listener.
    pub lmtp: SocketAddr,
}

/// A kind of client; serial numbers of different kinds never meet.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Role {
    Mta = 1,
    Worker = 2,
    Probe = 3,
    Large = 4,
    Last = 5,
    Fill = 6,
}

/// The `number`th message of a client.
pub(crate) fn serial(role: Role, client: u64, number: u64) -> Serial {
    Serial(((role as u64) << 56) | (client << 32) | number)
}

impl Scene {
    pub(crate) fn any_node(&self, rng: &mut impl Rng) -> Door {
        *self.doors().choose(rng).expect("a cluster has nodes")
    }

    fn closed(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        let closed = self.closed.lock();
        closed.unwrap_or_else(PoisonError::into_inner)
    }

    /// Where clients go now.
    #[must_use]
    pub fn doors(&self) -> Vec<Door> {
        let closed = self.closed();
        let open = self
            .nodes
            .iter()
            .filter(|door| !closed.contains(&door.node));
        open.copied().collect()
    }

    /// Whether clients go to this node now.
    pub(crate) fn is_open(&self, node: u64) -> bool {
        !self.closed().contains(&node)
    }

    /// Clients go to this node from now on, or no more.
    pub fn set_open(&self, node: u64, open: bool) {
        let mut closed = self.closed();
        if open {
            closed.remove(&node);
        } else {
            closed.insert(node);
        }
    }

    pub(crate) fn account(&self, number: u32) -> &Account {
        &self.accounts[number as usize]
    }

    /// A new session of an account. The password is right: what else is said goes to the judge.
    ///
    /// # Errors
    ///
    /// When nobody answers as a server does, or the login is not taken.
    pub(crate) async fn log_in(
        &self,
        client: &str,
        door: Door,
        account: u32,
    ) -> Result<Imap, Trouble> {
        let name = &self.account(account).name;
        let session = Imap::connect(door.imap, name, PASSWORD).await;
        if let Err(trouble) = &session {
            self.recorder.trouble(client, door.node, trouble);
        }
        session
    }

    /// What stands in RCPT: a folder other than INBOX is named behind a plus sign.
    pub(crate) fn address(&self, place: Place) -> String {
        let name = &self.account(place.account).name;
        match place.mailbox {
            0 => format!("{name}@{DOMAIN}"),
            _ => format!("{name}+{}@{DOMAIN}", place.mailbox_name()),
        }
    }
}

/// Told to stop. Clones hear the same.
#[derive(Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Whether it is time.
    #[must_use]
    pub fn is_set(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}

/// How many clients of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowd {
    /// They deliver.
    pub mtas: u64,
    /// They change; each has an account of its own, the first ones.
    pub workers: u32,
    /// They read.
    pub readers: u64,
}

impl Crowd {
    /// About so many clients in all.
    #[must_use]
    pub fn of(clients: u32) -> Self {
        let part = clients / 3;
        Self {
            mtas: u64::from((clients - 2 * part).max(1)),
            workers: part.max(1),
            readers: u64::from(part.max(1)),
        }
    }
}

/// Clients at work.
pub struct Load {
    stop: watch::Sender<bool>,
    clients: JoinSet<()>,
}

impl Load {
    /// Lets them loose.
    #[must_use]
    pub fn start(scene: &Arc<Scene>, crowd: Crowd) -> Self {
        let (stop, heard) = watch::channel(false);
        let heard = Stop(heard);
        let mut clients = JoinSet::new();
        for number in 0..crowd.mtas {
            clients.spawn(mta::run(Arc::clone(scene), number, heard.clone()));
        }
        for account in 0..crowd.workers {
            clients.spawn(worker::run(Arc::clone(scene), account, heard.clone()));
        }
        for number in 0..crowd.readers {
            clients.spawn(reader::run(Arc::clone(scene), number, heard.clone()));
        }
        Self { stop, clients }
    }

    /// Tells them to stop and waits until they have.
    ///
    /// # Errors
    ///
    /// When one panicked or does not end.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.stop.send_replace(true);
        let drain = async {
            while let Some(ended) = self.clients.join_next().await {
                ended.context("a client")?;
            }
            Ok(())
        };
        timeout(DRAIN_WAIT, drain)
            .await
            .context("clients do not come to an end")?
    }
}
