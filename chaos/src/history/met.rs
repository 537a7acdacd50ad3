//! What clients meet with beside their operations.

use serde::{Deserialize, Serialize};

use super::Place;
use crate::mail::Trouble;
use crate::mail::message::Serial;

/// What a client met with that is no answer to one of its operations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Met {
    /// It gave up delivering a message, after many attempts.
    GaveUp {
        /// Which message.
        serial: Serial,
        /// To those who do not have it.
        left: Vec<Place>,
        /// What it was told in the last attempt.
        last: String,
    },
    /// When nothing was broken any more, something was not done in time.
    NotServed(String),
    /// A login, or a command that is not written down, was refused.
    Refused(String),
    /// What the server said then was no answer, or it said nothing for very long.
    BadAnswer(String),
}

impl Met {
    /// What there is to tell of trouble outside of the operations that are written down. That a
    /// connection breaks is nothing.
    #[must_use]
    pub fn of(trouble: &Trouble) -> Option<Self> {
        match trouble {
            Trouble::NotDone(why, alive) => alive.is_yes().then(|| Self::Refused(why.clone())),
            Trouble::Unknown(_) => None,
            Trouble::Broken(why) => Some(Self::BadAnswer(why.clone())),
        }
    }
}
