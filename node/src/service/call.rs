//! What one node asks the leader of a group, and the answers; the same for a leader on this node
//! and, as `store.proto` says it, for one on another.

use std::ops::Range;

use bytes::Bytes;
use mailbox::{AccountId, Body, MailboxId, Query, QueryError, Uid, codec};
use proto::v1;

use crate::raft::GroupError;
use crate::replica::{LogId, Probed};

/// Something asked of a group.
#[derive(Clone, Debug)]
pub enum Call {
    /// Replicate a command with the body that it brings, and apply it.
    Propose {
        /// Encoded; its stamp makes a repetition safe.
        command: Bytes,
        /// The bytes that ride in the entry.
        body: Bytes,
        /// It adds mail: refused while the disks of the partition are nearly full.
        adds: bool,
    },
    /// Read, linearizably.
    Query(Query),
    /// Parts of bodies, from any replica.
    Bodies(Vec<(Body, Range<u64>)>),
    /// Messages from which UID on are recent.
    Recent {
        /// Whose.
        account: AccountId,
        /// Which.
        mailbox: MailboxId,
        /// Messages below this UID are no longer recent for others; 0 leaves them.
        claim_below: Uid,
    },
    /// Up to which index everything acknowledged before this call is applied.
    Barrier,
    /// Wait until the replica on that very node has applied an index.
    Applied(u64),
    /// Hand the lead to a replica that votes, was heard lately and has kept up.
    Transfer(u64),
    /// The digest of the replica on that very node.
    Digest,
    /// How far each replica has come, as the leader knows it.
    Members,
    /// The replica on that very node reads some of the bodies to which its rows refer.
    Probe {
        /// The key from which on; empty for the first.
        after: Bytes,
    },
}

/// The answer to a [`Call`].
#[derive(Clone, Debug)]
pub enum Answer {
    /// To [`Call::Propose`]: the encoded outcome.
    Outcome(Bytes),
    /// To [`Call::Query`].
    Result(Box<mailbox::Answer>),
    /// To [`Call::Bodies`]: the first so many of the parts, at least one.
    Bodies(Vec<Bytes>),
    /// To [`Call::Recent`].
    RecentFrom(Uid),
    /// To [`Call::Barrier`] and [`Call::Applied`] an index; to [`Call::Transfer`] the replica that
    /// leads.
    Index(u64),
    /// To [`Call::Digest`].
    Digest {
        /// The replica that was asked.
        replica: u64,
        /// The last entry that its rows come from.
        index: u64,
        /// The digest of all rows.
        digest: [u8; 16],
    },
    /// To [`Call::Members`].
    Members(v1::StoreMembership),
    /// To [`Call::Probe`].
    Probed {
        /// The replica that was asked.
        replica: u64,
        /// What it read.
        probed: Probed,
    },
}

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The node asked does not lead the group; nothing was done. The replica that leads, if known.
    #[error("not the leader")]
    NotLeader(Option<u64>),
    /// Nothing was done; it may work in a moment.
    #[error("not now: {0}")]
    Busy(String),
    /// The command may or may not take effect.
    #[error("the outcome is not known")]
    Unknown,
    /// What was asked for is not there.
    #[error("not found")]
    NotFound,
    /// The replica is damaged or out of service.
    #[error("replica out of service: {0}")]
    Broken(String),
    /// The machine refused it, and nothing was done.
    #[error("refused: {0}")]
    Rejected(mailbox::Rejection),
    /// The call makes no sense.
    #[error("invalid call: {0}")]
    Invalid(String),
    /// There is no such account.
    #[error("no such account")]
    NoAccount,
    /// There is no such mailbox.
    #[error("no such mailbox")]
    NoMailbox,
    /// The user has not been given the right.
    #[error("no right to see this")]
    NoRight,
    /// The account belongs to another partition now.
    #[error("the account was moved")]
    Moved,
    /// The disks of the partition are nearly full: nothing is added, and nothing was done.
    #[error("the disks are nearly full")]
    NoSpace,
    /// The command is larger than an entry of the log may be; nothing was done.
    #[error("too much at once")]
    TooLarge,
}

impl From<GroupError> for Failure {
    fn from(error: GroupError) -> Self {
        match error {
            GroupError::NotLeader(leader) => Self::NotLeader(leader),
            GroupError::Busy => Self::Busy("no lease".into()),
            GroupError::TooLarge => Self::TooLarge,
            GroupError::Unknown => Self::Unknown,
            GroupError::Stopped(_) => Self::NotLeader(None),
        }
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::NoAccount => Self::NoAccount,
            QueryError::NoMailbox => Self::NoMailbox,
            QueryError::NoRight => Self::NoRight,
            QueryError::Moved => Self::Moved,
            QueryError::Fault(fault) => Self::Broken(fault.to_string()),
        }
    }
}

impl Call {
    /// On the wire.
    #[must_use]
    pub fn to_wire(&self, id: u64, group: u64) -> v1::StoreCall {
        use v1::store_call::Call as Wire;
        let call = match self {
            Self::Propose {
                command,
                body,
                adds,
            } => Wire::Propose(v1::StorePropose {
                command: command.clone(),
                body: body.clone(),
                adds: *adds,
            }),
            Self::Query(query) => Wire::Query(codec::encode_query(query)),
            Self::Bodies(parts) => {
                let part = |(body, range): &(Body, Range<u64>)| v1::StoreBodyPart {
                    body: Some(codec::body_out(body)),
                    from: range.start,
                    to: range.end,
                };
                let parts = parts.iter().map(part).collect();
                Wire::Bodies(v1::StoreBodies { parts })
            }
            Self::Recent {
                account,
                mailbox,
                claim_below,
            } => Wire::Recent(v1::StoreRecent {
                account: account.0,
                mailbox: mailbox.0,
                claim_below: claim_below.0,
            }),
            Self::Barrier => Wire::Barrier(v1::StoreBarrier {}),
            Self::Applied(index) => Wire::Applied(*index),
            Self::Transfer(replica) => Wire::Transfer(*replica),
            Self::Digest => Wire::Digest(v1::StoreDigest {}),
            Self::Members => Wire::Members(v1::StoreMembers {}),
            Self::Probe { after } => Wire::Probe(v1::StoreProbe {
                after: after.clone(),
            }),
        };
        v1::StoreCall {
            id,
            group,
            call: Some(call),
        }
    }

    /// What `wire` says.
    ///
    /// # Errors
    ///
    /// [`Failure::Invalid`] when it is not understood.
    pub fn from_wire(wire: v1::store_call::Call) -> Result<Self, Failure> {
        use v1::store_call::Call as Wire;
        Ok(match wire {
            Wire::Propose(propose) => Self::Propose {
                command: propose.command,
                body: propose.body,
                adds: propose.adds,
            },
            Wire::Query(bytes) => Self::Query(
                codec::decode_query(&bytes).map_err(|error| Failure::Invalid(error.to_string()))?,
            ),
            Wire::Bodies(wanted) => {
                let part = |part: v1::StoreBodyPart| {
                    let body = codec::body_in(&part.body.unwrap_or_default());
                    let body = body.map_err(|fault| Failure::Invalid(fault.to_string()))?;
                    Ok((body, part.from..part.to))
                };
                let parts = wanted.parts.into_iter().map(part);
                Self::Bodies(parts.collect::<Result<_, Failure>>()?)
            }
            Wire::Recent(recent) => Self::Recent {
                account: AccountId(recent.account),
                mailbox: MailboxId(recent.mailbox),
                claim_below: Uid(recent.claim_below),
            },
            Wire::Barrier(_) => Self::Barrier,
            Wire::Applied(index) => Self::Applied(index),
            Wire::Transfer(replica) => Self::Transfer(replica),
            Wire::Digest(_) => Self::Digest,
            Wire::Members(_) => Self::Members,
            Wire::Probe(probe) => Self::Probe { after: probe.after },
        })
    }

    /// Bytes that it carries, for packing frames.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Propose { command, body, .. } => command.len() + body.len(),
            Self::Bodies(parts) => 64 * parts.len(),
            _ => 64,
        }
    }
}

/// An answer, or none, on the wire.
#[must_use]
pub fn answer_to_wire(id: u64, answer: Result<Answer, Failure>) -> v1::StoreAnswer {
    use v1::store_answer::Answer as Wire;
    let answer = match answer {
        Ok(Answer::Outcome(bytes)) => Wire::Outcome(bytes),
        Ok(Answer::Result(result)) => match codec::encode_answer(&Ok(*result)) {
            Ok(bytes) => Wire::Result(bytes),
            Err(fault) => Wire::Failure(failure_to_wire(Failure::Broken(fault.to_string()))),
        },
        Ok(Answer::Bodies(parts)) => Wire::Bodies(v1::StoreBodiesRead { parts }),
        Ok(Answer::RecentFrom(uid)) => Wire::RecentFrom(uid.0),
        Ok(Answer::Index(index)) => Wire::Index(index),
        Ok(Answer::Digest {
            replica,
            index,
            digest,
        }) => Wire::Digest(v1::StoreDigested {
            replica,
            index,
            digest: Bytes::copy_from_slice(&digest),
        }),
        Ok(Answer::Members(members)) => Wire::Members(members),
        Ok(Answer::Probed { replica, probed }) => Wire::Probe(probed_to_wire(replica, probed)),
        Err(failure) => Wire::Failure(failure_to_wire(failure)),
    };
    v1::StoreAnswer {
        id,
        answer: Some(answer),
    }
}

/// What `wire` says.
///
/// # Errors
///
/// The failure that it reports, or that it is not understood.
pub fn answer_from_wire(wire: v1::StoreAnswer) -> Result<Answer, Failure> {
    use v1::store_answer::Answer as Wire;
    Ok(match wire.answer {
        Some(Wire::Outcome(bytes)) => Answer::Outcome(bytes),
        Some(Wire::Result(bytes)) => Answer::Result(Box::new(codec::decode_answer(&bytes)?)),
        Some(Wire::Bodies(read)) => Answer::Bodies(read.parts),
        Some(Wire::RecentFrom(uid)) => Answer::RecentFrom(Uid(uid)),
        Some(Wire::Index(index)) => Answer::Index(index),
        Some(Wire::Digest(wire)) => Answer::Digest {
            replica: wire.replica,
            index: wire.index,
            digest: wire
                .digest
                .as_ref()
                .try_into()
                .map_err(|_| invalid_digest())?,
        },
        Some(Wire::Members(members)) => Answer::Members(members),
        Some(Wire::Probe(wire)) => Answer::Probed {
            replica: wire.replica,
            probed: probed_from_wire(wire),
        },
        Some(Wire::Failure(failure)) => return Err(failure_from_wire(failure)),
        None => return Err(Failure::Invalid("empty answer".into())),
    })
}

fn probed_to_wire(replica: u64, probed: Probed) -> v1::StoreProbed {
    let bad = probed.bad.into_iter().map(|(id, why)| v1::StoreBadBody {
        index: id.index,
        term: id.term,
        why,
    });
    v1::StoreProbed {
        replica,
        next: probed.next.unwrap_or_default(),
        bodies: probed.bodies,
        bytes: probed.bytes,
        bad: bad.collect(),
    }
}

fn probed_from_wire(wire: v1::StoreProbed) -> Probed {
    let bad = wire.bad.into_iter().map(|bad| {
        let (term, index) = (bad.term, bad.index);
        (LogId { term, index }, bad.why)
    });
    Probed {
        next: Some(wire.next).filter(|next| !next.is_empty()),
        bodies: wire.bodies,
        bytes: wire.bytes,
        bad: bad.collect(),
    }
}

fn invalid_digest() -> Failure {
    Failure::Invalid("a digest has 16 bytes".into())
}

fn failure_to_wire(failure: Failure) -> v1::StoreFailure {
    use v1::store_failure::Kind;
    let reason = match &failure {
        Failure::Busy(reason) | Failure::Broken(reason) | Failure::Invalid(reason) => {
            reason.clone()
        }
        Failure::Rejected(why) => why.to_string(),
        _ => String::new(),
    };
    let leader = match &failure {
        Failure::NotLeader(leader) => leader.unwrap_or(0),
        _ => 0,
    };
    let kind = match failure {
        Failure::NotLeader(_) => Kind::NotLeader,
        Failure::Busy(_) => Kind::Busy,
        Failure::Unknown => Kind::Unknown,
        Failure::NotFound => Kind::NotFound,
        Failure::Broken(_) => Kind::Broken,
        // Outcomes travel as such: this one is said to the session that proposed.
        Failure::Rejected(_) | Failure::Invalid(_) => Kind::Invalid,
        Failure::NoAccount => Kind::NoAccount,
        Failure::NoMailbox => Kind::NoMailbox,
        Failure::NoRight => Kind::NoRight,
        Failure::Moved => Kind::Moved,
        Failure::NoSpace => Kind::NoSpace,
        Failure::TooLarge => Kind::TooLarge,
    };
    v1::StoreFailure {
        kind: kind.into(),
        leader,
        reason,
    }
}

fn failure_from_wire(wire: v1::StoreFailure) -> Failure {
    use v1::store_failure::Kind;
    match wire.kind() {
        Kind::NotLeader => Failure::NotLeader(Some(wire.leader).filter(|leader| *leader != 0)),
        Kind::Busy => Failure::Busy(wire.reason),
        Kind::NotFound => Failure::NotFound,
        Kind::Broken => Failure::Broken(wire.reason),
        Kind::Invalid => Failure::Invalid(wire.reason),
        Kind::NoAccount => Failure::NoAccount,
        Kind::NoMailbox => Failure::NoMailbox,
        Kind::NoRight => Failure::NoRight,
        Kind::Moved => Failure::Moved,
        Kind::NoSpace => Failure::NoSpace,
        Kind::TooLarge => Failure::TooLarge,
        // A node that knows more kinds than this one: nothing is certain.
        Kind::Unspecified | Kind::Unknown => Failure::Unknown,
    }
}
