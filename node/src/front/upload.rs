//! Messages that a session appends, from their first byte to the command that names them.

use crate::service::body::{Arrived, Incoming, Leaving};

/// A message on its way in; what was uploaded of it is freed if it is dropped before it is
/// appended.
pub(super) struct Upload(pub(super) Option<Incoming>);

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(incoming) = self.0.take() {
            tokio::spawn(incoming.abandon());
        }
    }
}

/// A message that is whole; what was uploaded of it is freed if it is dropped before it was
/// appended.
pub(super) struct Whole(pub(super) Option<Sent>);

/// How far a message is that was put.
pub(super) enum Sent {
    /// It goes ahead of its command.
    Leaving(Leaving),
    /// It is where it should be.
    Arrived(Arrived),
}

impl Whole {
    pub(super) fn arrived(&self) -> Option<&Arrived> {
        match &self.0 {
            Some(Sent::Arrived(arrived)) => Some(arrived),
            Some(Sent::Leaving(_)) | None => None,
        }
    }

    /// The messages of the account refer to it.
    pub(super) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        match self.0.take() {
            Some(Sent::Leaving(leaving)) => drop(tokio::spawn(leaving.abandon())),
            Some(Sent::Arrived(arrived)) => drop(tokio::spawn(arrived.abandon())),
            None => {}
        }
    }
}
