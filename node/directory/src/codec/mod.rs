//! Between the types and the bytes of `directory.proto`.
//!
//! The bytes of a value are one and only: decoding fails for any others that mean the same, and for
//! those with fields that this version does not know. An older machine thus stops at a command that
//! it would half understand, and replicas cannot differ in bytes where they agree in meaning.
//!
//! Decoding checks shapes (lengths, known kinds); whether a command can be carried out is for
//! `apply` to say.

mod command;
mod row;

use bytes::Bytes;
use prost::Message;

pub(crate) use row::Answered;

use crate::command::{Envelope, Outcome};
use crate::types::Topology;
use rows::Fault;

/// What was wrong with some bytes.
#[derive(Debug)]
pub(crate) struct Malformed(pub(crate) String);

impl From<&str> for Malformed {
    fn from(why: &str) -> Self {
        Self(why.to_owned())
    }
}

/// A type and the message that carries it.
pub(crate) trait Wire: Sized {
    type Message: Message + Default;

    fn to_message(&self) -> Self::Message;
    fn from_message(message: Self::Message) -> Result<Self, Malformed>;
}

pub(crate) fn encode<T: Wire>(value: &T) -> Bytes {
    value.to_message().encode_to_vec().into()
}

pub(crate) fn decode<T: Wire>(bytes: &Bytes) -> Result<T, Malformed> {
    let message =
        T::Message::decode(bytes.clone()).map_err(|error| Malformed(error.to_string()))?;
    let value = T::from_message(message)?;
    if encode(&value) == *bytes {
        Ok(value)
    } else {
        Err("it does not encode back".into())
    }
}

/// Decodes the row at `key`.
pub(crate) fn row<T: Wire>(key: &[u8], value: &Bytes) -> Result<T, Fault> {
    decode(value).map_err(|Malformed(why)| Fault::row(key, why))
}

/// The bytes of a log entry.
#[must_use]
pub fn encode_envelope(envelope: &Envelope) -> Bytes {
    encode(envelope)
}

/// Reads a log entry.
///
/// # Errors
/// [`Fault::Command`] if this version does not know it to the last bit.
pub fn decode_envelope(bytes: &Bytes) -> Result<Envelope, Fault> {
    decode(bytes).map_err(|Malformed(why)| Fault::Command(why))
}

/// The bytes of an answer, as it is kept and as it is sent to the node that asked.
#[must_use]
pub fn encode_outcome(outcome: &Outcome) -> Bytes {
    encode(outcome)
}

/// Reads an answer.
///
/// # Errors
/// [`Fault::Command`] if this version does not know it.
pub fn decode_outcome(bytes: &Bytes) -> Result<Outcome, Fault> {
    decode(bytes).map_err(|Malformed(why)| Fault::Command(why))
}

/// The bytes of a map of the cluster.
#[must_use]
pub fn encode_topology(topology: &Topology) -> Bytes {
    encode(topology)
}

/// Reads a map of the cluster.
///
/// # Errors
/// [`Fault::Command`] if this version does not know it.
pub fn decode_topology(bytes: &Bytes) -> Result<Topology, Fault> {
    decode(bytes).map_err(|Malformed(why)| Fault::Command(why))
}

/// An array of the length that is due.
fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Malformed> {
    bytes
        .try_into()
        .map_err(|_| Malformed(format!("{} bytes in place of {N}", bytes.len())))
}

fn due<T>(field: Option<T>) -> Result<T, Malformed> {
    field.ok_or_else(|| "a field is missing".into())
}

/// Conversions between an enum of ours and one of the formats, variants of equal names.
macro_rules! same_variants {
    ($ours:ty, $theirs:ty: $($variant:ident)+) => {
        impl From<$ours> for $theirs {
            fn from(value: $ours) -> Self {
                match value {
                    $(<$ours>::$variant => Self::$variant,)+
                }
            }
        }

        impl crate::codec::Kind for $ours {
            fn from_number(number: i32) -> Result<Self, crate::codec::Malformed> {
                match <$theirs>::try_from(number) {
                    $(Ok(<$theirs>::$variant) => Ok(Self::$variant),)+
                    Ok(<$theirs>::Unspecified) | Err(_) => Err("an unknown kind".into()),
                }
            }
        }
    };
}
use same_variants;

/// An enum that travels as a number.
trait Kind: Sized {
    fn from_number(number: i32) -> Result<Self, Malformed>;
}
