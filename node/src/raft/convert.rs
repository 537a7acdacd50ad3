//! Between openraft's types, the wire (`peer.proto`) and the log's payloads. No openraft type
//! reaches either.
//!
//! An entry's payload in the log: one byte for its kind, then for a command
//! `time (u64) | length of the command (u32) | command | body`, little endian, and for a
//! membership the encoded `PeerMembership`.

use std::collections::BTreeSet;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use openraft::EntryPayload;
use prost::Message;
use proto::v1;

use super::limits::{ENTRY_BYTES_MAX, UNPINNED_BYTES_MAX};
use super::types::{Body, Entry, Membership, Proposal, RaftLogId, Types, Vote, raft_log_id};
use crate::replica::{GroupId, LogId};

const BLANK: u8 = 0;
const COMMAND: u8 = 1;
const MEMBERSHIP: u8 = 2;

/// Bytes before the command in the payload of a command's entry.
const COMMAND_HEAD: usize = 1 + 8 + 4;

/// Bytes of a payload's beginning that [`skip_from_head`] needs.
pub const HEAD_BYTES: u32 = COMMAND_HEAD as u32;

/// Bytes that are not what they should be.
#[derive(Debug, thiserror::Error)]
#[error("not a valid {0}")]
pub struct Malformed(&'static str);

impl From<Malformed> for std::io::Error {
    fn from(error: Malformed) -> Self {
        Self::new(std::io::ErrorKind::InvalidData, error)
    }
}

/// The payload of `entry` as the log keeps it, in parts that are written one after the other; the
/// last part is the body and shared, not copied.
#[must_use]
pub fn entry_to_log(entry: &Entry) -> Vec<Bytes> {
    match &entry.payload {
        EntryPayload::Blank => vec![Bytes::from_static(&[BLANK])],
        EntryPayload::Membership(membership) => {
            let mut head = BytesMut::with_capacity(64);
            head.put_u8(MEMBERSHIP);
            head.extend_from_slice(&membership_to_wire(membership).encode_to_vec());
            vec![head.freeze()]
        }
        EntryPayload::Normal(proposal) => {
            let mut head = BytesMut::with_capacity(COMMAND_HEAD + proposal.command.len());
            head.put_u8(COMMAND);
            head.put_u64_le(proposal.time_ms);
            head.put_u32_le(proposal.command.len() as u32);
            head.extend_from_slice(&proposal.command);
            match &proposal.body {
                Body::Held(bytes) if !bytes.is_empty() => vec![head.freeze(), bytes.clone()],
                _ => vec![head.freeze()],
            }
        }
    }
}

/// How many bytes of a command entry's payload precede the body.
#[must_use]
pub fn body_skip(command_length: usize) -> u32 {
    (COMMAND_HEAD + command_length) as u32
}

/// Whether a command and its body, of so many bytes, are no more than an entry may be.
#[must_use]
pub fn fits_entry(command: usize, body: usize) -> bool {
    command.saturating_add(body) <= ENTRY_BYTES_MAX - COMMAND_HEAD
}

/// How many bytes precede the body, from the first [`HEAD_BYTES`] bytes of the payload; none when
/// it is no command.
#[must_use]
pub fn skip_from_head(mut head: &[u8]) -> Option<u32> {
    if head.len() < COMMAND_HEAD || head.get_u8() != COMMAND {
        return None;
    }
    head.advance(8);
    HEAD_BYTES.checked_add(head.get_u32_le())
}

/// The entry at `id` from its payload in the log.
///
/// # Errors
///
/// When the bytes are no entry.
pub fn entry_from_log(id: LogId, payload: &Bytes) -> Result<Entry, Malformed> {
    let mut rest = payload.clone();
    let bad = Malformed("entry");
    if rest.is_empty() {
        return Err(bad);
    }
    let payload = match rest.get_u8() {
        BLANK if rest.is_empty() => EntryPayload::Blank,
        MEMBERSHIP => {
            let wire = v1::PeerMembership::decode(rest).map_err(|_| Malformed("membership"))?;
            EntryPayload::Membership(membership_from_wire(&wire))
        }
        COMMAND if rest.len() >= COMMAND_HEAD - 1 => {
            let time_ms = rest.get_u64_le();
            let length = rest.get_u32_le() as usize;
            if rest.len() < length {
                return Err(bad);
            }
            let command = rest.split_to(length);
            EntryPayload::Normal(Proposal {
                time_ms,
                command,
                body: Body::Held(rest),
            })
        }
        _ => return Err(bad),
    };
    Ok(Entry {
        log_id: raft_log_id(id),
        payload,
    })
}

/// A membership on the wire and in the log.
#[must_use]
pub fn membership_to_wire(membership: &Membership) -> v1::PeerMembership {
    v1::PeerMembership {
        configs: membership
            .get_joint_config()
            .iter()
            .map(|voters| v1::PeerVoters {
                replicas: voters.iter().copied().collect(),
            })
            .collect(),
        learners: membership.learner_ids().collect(),
    }
}

/// The membership that `wire` says.
#[must_use]
pub fn membership_from_wire(wire: &v1::PeerMembership) -> Membership {
    let configs: Vec<BTreeSet<u64>> = wire
        .configs
        .iter()
        .map(|voters| voters.replicas.iter().copied().collect())
        .collect();
    let learners: BTreeSet<u64> = wire.learners.iter().copied().collect();
    Membership::new_with_defaults(configs, learners)
}

/// A vote on the wire and in the log.
#[must_use]
pub fn vote_to_wire(vote: &Vote) -> v1::PeerVote {
    v1::PeerVote {
        term: vote.leader_id.term,
        voted_for: vote.leader_id.voted_for,
        committed: vote.committed,
    }
}

/// The vote that `wire` says.
#[must_use]
pub fn vote_from_wire(wire: &v1::PeerVote) -> Vote {
    if wire.committed {
        Vote::new_committed(wire.term, wire.voted_for)
    } else {
        Vote::new(wire.term, wire.voted_for)
    }
}

/// A log id on the wire.
#[must_use]
pub fn id_to_wire(id: &RaftLogId) -> v1::PeerLogId {
    v1::PeerLogId {
        term: id.leader_id.term,
        index: id.index,
    }
}

/// The log id that `wire` says.
#[must_use]
pub fn id_from_wire(wire: &v1::PeerLogId) -> RaftLogId {
    raft_log_id(LogId {
        term: wire.term,
        index: wire.index,
    })
}

/// From which replica to which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Of which group.
    pub group: GroupId,
    /// The sender's replica.
    pub from: u64,
    /// The receiver's replica.
    pub to: u64,
}

impl Route {
    /// On the wire.
    #[must_use]
    pub fn to_wire(self) -> v1::PeerRoute {
        v1::PeerRoute {
            group: self.group.0,
            from_replica: self.from,
            to_replica: self.to,
        }
    }

    /// What `wire` says.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn from_wire(wire: Option<&v1::PeerRoute>) -> Result<Self, Malformed> {
        let wire = wire.ok_or(Malformed("route"))?;
        Ok(Self {
            group: GroupId(wire.group),
            from: wire.from_replica,
            to: wire.to_replica,
        })
    }
}

/// An append request on the wire; `spread` is the last index that every follower has. Bodies by
/// reference are read from `log`, so this may block on the disk.
///
/// # Errors
///
/// When a body cannot be read.
pub fn append_to_wire(
    id: u64,
    route: Route,
    spread: u64,
    request: &openraft::raft::AppendEntriesRequest<Types>,
    log: &seglog::Log,
) -> Result<v1::PeerAppendRequest, seglog::Error> {
    let entries = request
        .entries
        .iter()
        .map(|entry| entry_to_wire(entry, log))
        .collect::<Result<_, _>>()?;
    Ok(v1::PeerAppendRequest {
        id,
        route: Some(route.to_wire()),
        vote: Some(vote_to_wire(&request.vote)),
        prev: request.prev_log_id.as_ref().map(id_to_wire),
        committed: request.leader_commit.as_ref().map(id_to_wire),
        entries,
        spread,
    })
}

/// An entry on the wire. Blocks on the disk if its body is there.
///
/// # Errors
///
/// When the body cannot be read.
pub fn entry_to_wire(entry: &Entry, log: &seglog::Log) -> Result<v1::PeerEntry, seglog::Error> {
    use v1::peer_entry::Payload;
    let payload = match &entry.payload {
        EntryPayload::Blank => Payload::Blank(v1::PeerBlank {}),
        EntryPayload::Membership(membership) => Payload::Membership(membership_to_wire(membership)),
        EntryPayload::Normal(proposal) => Payload::Command(v1::PeerCommand {
            time_ms: proposal.time_ms,
            command: proposal.command.clone(),
            body: proposal.body.load(log)?,
        }),
    };
    Ok(v1::PeerEntry {
        id: Some(id_to_wire(&entry.log_id)),
        payload: Some(payload),
    })
}

/// The append request that `wire` says.
///
/// # Errors
///
/// When a field that must be there is missing, or the entries do not follow each other.
pub fn append_from_wire(
    wire: v1::PeerAppendRequest,
) -> Result<openraft::raft::AppendEntriesRequest<Types>, Malformed> {
    let vote = vote_from_wire(wire.vote.as_ref().ok_or(Malformed("append request"))?);
    let prev_log_id = wire.prev.as_ref().map(id_from_wire);
    let first = prev_log_id.as_ref().map_or(0, |id| id.index + 1);
    let mut entries = Vec::with_capacity(wire.entries.len());
    for (due, entry) in (first..).zip(wire.entries) {
        let entry = entry_from_wire(entry)?;
        if entry.log_id.index != due {
            return Err(Malformed("sequence of entries"));
        }
        entries.push(entry);
    }
    Ok(openraft::raft::AppendEntriesRequest {
        vote,
        prev_log_id,
        entries,
        leader_commit: wire.committed.as_ref().map(id_from_wire),
    })
}

/// A slice of a frame keeps the whole frame in memory: what is small against it is copied.
fn unpinned(bytes: Bytes) -> Bytes {
    match bytes.len() <= UNPINNED_BYTES_MAX {
        true => Bytes::copy_from_slice(&bytes),
        false => bytes,
    }
}

/// The entry that `wire` says.
///
/// # Errors
///
/// When a field that must be there is missing.
pub fn entry_from_wire(wire: v1::PeerEntry) -> Result<Entry, Malformed> {
    use v1::peer_entry::Payload;
    let id = wire.id.as_ref().ok_or(Malformed("entry"))?;
    let payload = match wire.payload.ok_or(Malformed("entry"))? {
        Payload::Blank(_) => EntryPayload::Blank,
        Payload::Membership(membership) => {
            EntryPayload::Membership(membership_from_wire(&membership))
        }
        Payload::Command(command) => EntryPayload::Normal(Proposal {
            time_ms: command.time_ms,
            command: unpinned(command.command),
            body: Body::Held(unpinned(command.body)),
        }),
    };
    Ok(Entry {
        log_id: id_from_wire(id),
        payload,
    })
}
