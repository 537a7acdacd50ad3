//! Ports on loopback, chosen once.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use serde::{Deserialize, Serialize};

/// Where one node listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// IMAP, where passwords may travel in the clear.
    pub imap: SocketAddr,
    /// IMAP over TLS.
    pub imaps: SocketAddr,
    /// LMTP.
    pub lmtp: SocketAddr,
    /// Operators.
    pub admin: SocketAddr,
    /// The other nodes.
    pub peer: SocketAddr,
    /// Metrics over HTTP.
    pub metrics: SocketAddr,
}

/// How ports are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ports {
    /// The same every time where they are free, so that they can be remembered: IMAP from 2143,
    /// LMTP from 2424, IMAPS from 2993.
    #[default]
    Usual,
    /// From this port on, ten per node.
    From(u16),
    /// Free ones, different for each process: for tests that run side by side.
    Any,
}

/// The first of each door's usual ports, in the order of [`Addresses`].
const USUAL: [u16; DOORS] = [2143, 2993, 2424, 2741, 2751, 2761];

/// Doors of a node.
const DOORS: usize = 6;

/// Free ports are looked for in this range: below it are services, above it the ports that the
/// kernel gives to outgoing connections, one of which could sit on a dead node's port.
const RANGE: std::ops::Range<u16> = 10_000..32_000;

impl Addresses {
    fn on_loopback(ports: [u16; DOORS]) -> Self {
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let [imap, imaps, lmtp, admin, peer, metrics] = ports.map(at);
        Self {
            imap,
            imaps,
            lmtp,
            admin,
            peer,
            metrics,
        }
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> [SocketAddr; DOORS] {
        [
            self.imap,
            self.imaps,
            self.lmtp,
            self.admin,
            self.peer,
            self.metrics,
        ]
    }

    /// One that is taken by somebody else.
    #[must_use]
    pub fn taken(&self) -> Option<SocketAddr> {
        self.all()
            .into_iter()
            .find(|address| TcpListener::bind(address).is_err())
    }
}

/// Chooses ports for so many nodes; none if there are not enough.
pub(super) fn choose(nodes: usize, ports: Ports) -> Option<Vec<Addresses>> {
    let spread = |pid: u32| u16::try_from(pid * 64 % 20_000).unwrap_or(0);
    let mut free = Free {
        next: RANGE.start,
        chosen: BTreeSet::new(),
    };
    if ports == Ports::Any {
        free.next += spread(std::process::id());
    }
    (0..nodes)
        .map(|node| {
            let offset = u16::try_from(node).ok()?;
            let mut chosen = [0; DOORS];
            for (door, port) in chosen.iter_mut().enumerate() {
                let wish = match ports {
                    Ports::Usual => Some(USUAL[door] + offset),
                    Ports::From(base) => {
                        let above = offset
                            .checked_mul(10)?
                            .checked_add(u16::try_from(door).ok()?)?;
                        *port = base.checked_add(above)?;
                        continue;
                    }
                    Ports::Any => None,
                };
                *port = free.take(wish)?;
            }
            Some(Addresses::on_loopback(chosen))
        })
        .collect()
}

/// Ports that nobody listens on.
struct Free {
    next: u16,
    chosen: BTreeSet<u16>,
}

impl Free {
    fn take(&mut self, wish: Option<u16>) -> Option<u16> {
        if let Some(port) = wish.filter(|port| self.is_free(*port)) {
            self.chosen.insert(port);
            return Some(port);
        }
        for _ in RANGE {
            let port = self.next;
            self.next = if port + 1 == RANGE.end {
                RANGE.start
            } else {
                port + 1
            };
            if self.is_free(port) {
                self.chosen.insert(port);
                return Some(port);
            }
        }
        None
    }

    fn is_free(&self, port: u16) -> bool {
        !self.chosen.contains(&port) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_twice() {
        for ports in [Ports::Usual, Ports::Any, Ports::From(4000)] {
            let chosen = choose(3, ports).unwrap();
            let all: BTreeSet<_> = chosen.iter().flat_map(Addresses::all).collect();
            assert_eq!(all.len(), 3 * DOORS, "{chosen:?}");
        }
    }

    #[test]
    fn a_base_decides_everything() {
        let chosen = choose(2, Ports::From(4000)).unwrap();
        assert_eq!((chosen[0].imap.port(), chosen[1].lmtp.port()), (4000, 4012));
        assert!(choose(3, Ports::From(65_530)).is_none());
    }

    #[test]
    fn a_port_in_use_is_not_chosen() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let mut free = Free {
            next: RANGE.start,
            chosen: BTreeSet::new(),
        };
        assert_ne!(free.take(Some(port)), Some(port));
    }
}
