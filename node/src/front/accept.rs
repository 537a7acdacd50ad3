//! Listening, with bounds.

use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::limits::ACCEPT_PAUSE;

/// Tells connections that the node stops. Clones hear the same.
#[derive(Clone)]
pub struct Shutdown(watch::Receiver<bool>);

impl Shutdown {
    /// The one that tells, and the first that hears.
    #[must_use]
    pub fn channel() -> (watch::Sender<bool>, Self) {
        let (tell, hear) = watch::channel(false);
        (tell, Self(hear))
    }

    /// Whether the node stops.
    #[must_use]
    pub fn is_set(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns when the node stops.
    pub async fn wait(&mut self) {
        if self.0.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Counts the connections of a door. Clones count together.
#[derive(Clone)]
pub struct Door {
    name: &'static str,
    connections_max: usize,
    pre_auth_per_address_max: usize,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Default)]
struct Counts {
    connections: usize,
    pre_auth: HashMap<IpAddr, usize>,
}

/// A connection that was let in; counted until it is dropped.
pub struct Guest {
    door: Door,
    /// Where it comes from.
    pub peer: SocketAddr,
    pre_auth: bool,
}

impl Door {
    /// A door that lets in so many connections, and of one address so many that have not logged in.
    #[must_use]
    pub fn new(
        name: &'static str,
        connections_max: usize,
        pre_auth_per_address_max: usize,
    ) -> Self {
        Self {
            name,
            connections_max,
            pre_auth_per_address_max,
            counts: Arc::default(),
        }
    }

    fn admit(&self, peer: SocketAddr) -> Option<Guest> {
        let mut counts = self.counts.lock();
        let address = peer.ip().to_canonical();
        let waiting = counts.pre_auth.get(&address).copied().unwrap_or(0);
        if counts.connections >= self.connections_max || waiting >= self.pre_auth_per_address_max {
            return None;
        }
        counts.connections += 1;
        counts.pre_auth.insert(address, waiting + 1);
        metrics::gauge!("rookery_connections", "door" => self.name).set(counts.connections as f64);
        Some(Guest {
            door: self.clone(),
            peer,
            pre_auth: true,
        })
    }

    /// Accepts until the node stops; each connection runs in its own task.
    pub async fn accept<F>(
        self,
        listener: TcpListener,
        mut shutdown: Shutdown,
        serve: impl Fn(TcpStream, Guest) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = shutdown.wait() => return,
            };
            match accepted {
                Ok((socket, peer)) => match self.admit(peer) {
                    Some(guest) => {
                        drop(socket.set_nodelay(true));
                        tokio::spawn(serve(socket, guest));
                    }
                    None => {
                        metrics::counter!("rookery_connections_refused_total", "door" => self.name)
                            .increment(1);
                    }
                },
                Err(error) => {
                    tracing::warn!(door = self.name, %error, "cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Connections that are open now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.counts.lock().connections
    }
}

impl Guest {
    /// It has logged in: it counts for its address no longer.
    pub fn authenticated(&mut self) {
        if std::mem::take(&mut self.pre_auth) {
            self.forget_address();
        }
    }

    fn forget_address(&self) {
        let mut counts = self.door.counts.lock();
        let address = self.peer.ip().to_canonical();
        if let Some(count) = counts.pre_auth.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                counts.pre_auth.remove(&address);
            }
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if self.pre_auth {
            self.forget_address();
        }
        self.door.counts.lock().connections -= 1;
    }
}
