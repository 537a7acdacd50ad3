//! Listening, with bounds.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::limits::{ACCEPT_PAUSE, PROXY_HEADER};
use super::proxy;
use super::waiting::{Bounds, Patience, Place, Waiting};
use crate::config::Proxy;

/// How far a node is in coming to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It serves.
    Open,
    /// Nobody is let in any more; those who are in are served.
    Closed,
    /// Connections end, each at the end of its command or message.
    Ending,
    /// Time is up: what is not at its end by now is cut off.
    Over,
}

/// Tells connections that the node stops. Clones hear the same.
#[derive(Clone)]
pub struct Shutdown(watch::Receiver<Phase>);

impl Shutdown {
    /// The one that tells, and the first that hears.
    #[must_use]
    pub fn channel() -> (watch::Sender<Phase>, Self) {
        let (tell, hear) = watch::channel(Phase::Open);
        (tell, Self(hear))
    }

    /// Whether connections are to end.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        *self.0.borrow() >= Phase::Ending
    }

    /// Returns when the node is so far.
    pub async fn reached(&mut self, phase: Phase) {
        if self.0.wait_for(|now| *now >= phase).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Counts the connections of a door. Clones count together.
#[derive(Clone)]
pub struct Door {
    name: &'static str,
    connections_max: usize,
    /// From where clients come through a proxy.
    proxy: Proxy,
    connections: Arc<Mutex<usize>>,
    waiting: Waiting,
}

/// A connection that was let in; counted until it is dropped.
pub struct Guest {
    door: Door,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// Among those who have not logged in.
    place: Option<Place>,
}

impl Door {
    /// A door that lets in so many connections, and of those who have not logged in so many.
    #[must_use]
    pub fn new(name: &'static str, connections_max: usize, bounds: Bounds) -> Self {
        Self {
            name,
            connections_max,
            proxy: Proxy::default(),
            connections: Arc::default(),
            waiting: Waiting::new(bounds),
        }
    }

    /// The same one behind proxies.
    #[must_use]
    pub fn behind(self, proxy: Proxy) -> Self {
        Self { proxy, ..self }
    }

    /// A proxy is let in without being counted for its address: many clients come from there.
    fn admit(&self, peer: SocketAddr) -> Option<(Guest, Option<Patience>)> {
        let mut connections = self.connections.lock();
        if *connections >= self.connections_max {
            return None;
        }
        let (place, patience) = match self.proxy.expects(peer.ip()) {
            true => (None, None),
            false => {
                let (place, patience) = self.waiting.enter(peer.ip())?;
                (Some(place), Some(patience))
            }
        };
        *connections += 1;
        metrics::gauge!("rookery_connections", "door" => self.name).set(*connections as f64);
        let guest = Guest {
            door: self.clone(),
            peer,
            place,
        };
        Some((guest, patience))
    }

    fn refused(&self) {
        metrics::counter!("rookery_connections_refused_total", "door" => self.name).increment(1);
    }

    /// Accepts until the node stops, and then refuses; each connection runs in its own task.
    pub async fn accept<F>(
        self,
        listener: TcpListener,
        mut shutdown: Shutdown,
        serve: impl Fn(TcpStream, Guest) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let serve = Arc::new(serve);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = shutdown.reached(Phase::Closed) => return,
            };
            match accepted {
                Ok((socket, peer)) => match self.admit(peer) {
                    Some((guest, None)) => {
                        drop(socket.set_nodelay(true));
                        let serve = Arc::clone(&serve);
                        tokio::spawn(async move {
                            let mut socket = socket;
                            if let Some((guest, patience)) = guest.come_forward(&mut socket).await {
                                patience.bound(Box::pin(serve(socket, guest))).await;
                            }
                        });
                    }
                    Some((guest, Some(patience))) => {
                        drop(socket.set_nodelay(true));
                        tokio::spawn(patience.bound(Box::pin(serve(socket, guest))));
                    }
                    None => self.refused(),
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
        *self.connections.lock()
    }
}

impl Guest {
    /// Reads the proxy's header, and counts for the address that it tells from then on; none if
    /// there is no correct header, or there are too many from that address.
    async fn come_forward(mut self, socket: &mut TcpStream) -> Option<(Self, Patience)> {
        let header = tokio::time::timeout(PROXY_HEADER, proxy::read(socket)).await;
        match header {
            Ok(Ok(source)) => self.peer = source.unwrap_or(self.peer),
            failed => {
                let why = failed.map_or("too late".to_owned(), |failed| {
                    failed
                        .err()
                        .map_or_else(String::new, |error| error.to_string())
                });
                tracing::debug!(proxy = %self.peer, door = self.door.name, why, "no PROXY header");
                self.door.refused();
                return None;
            }
        }
        let Some((place, patience)) = self.door.waiting.enter(self.peer.ip()) else {
            self.door.refused();
            return None;
        };
        self.place = Some(place);
        Some((self, patience))
    }

    /// It is nobody again, and counts for its address, also if there are too many.
    pub fn unauthenticated(&mut self) {
        if self.place.is_none() {
            self.place = Some(self.door.waiting.enter_again(self.peer.ip()));
        }
    }

    /// It has logged in: it counts for its address no longer.
    pub fn authenticated(&mut self) {
        self.place = None;
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        *self.door.connections.lock() -= 1;
    }
}
