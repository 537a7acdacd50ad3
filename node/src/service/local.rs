//! Calls that this node answers, for groups whose replica it holds.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use imap::mime::NeedleGrams;
use mailbox::{AccountId, Body, MailboxId, ModSeq, Query, Uid, UidRanges};
use parking_lot::Mutex;
use proto::v1;

use super::SharedView;
use super::call::{Answer, Call, Failure};
use super::clock::Clock;
use super::limits::{APPLIED_WAIT, BALANCE_LAG_MAX, BODY_READ_MAX, RECENT_MAX};
use super::rosters::Rosters;
use crate::budget::Share;
use crate::raft::{Group, Groups};
use crate::replica::{BodyError, GroupId, Replica};
use crate::search::Search;

/// Answers calls from this node's replicas.
pub struct Local {
    groups: Groups,
    view: SharedView,
    recent: Mutex<HashMap<(AccountId, MailboxId), Uid>>,
    rosters: Rosters,
    search: Option<Arc<Search>>,
    clock: Arc<Clock>,
}

impl Local {
    /// Answers for `groups`, of which `view` says where they are. `rosters` is what remembered
    /// mailboxes may take, and `search` knows what messages lack.
    #[must_use]
    pub fn new(
        groups: Groups,
        view: SharedView,
        rosters: Arc<Share>,
        search: Option<Arc<Search>>,
    ) -> Self {
        Self {
            groups,
            view,
            recent: Mutex::default(),
            rosters: Rosters::new(rosters),
            search,
            clock: Arc::default(),
        }
    }

    /// For each text the messages of a mailbox that certainly lack it, as far as the index of this
    /// node knows.
    pub async fn lacking(
        &self,
        group: GroupId,
        place: (AccountId, MailboxId),
        texts: Vec<NeedleGrams>,
    ) -> Vec<UidRanges> {
        let Some(search) = self.search.clone() else {
            return Vec::new();
        };
        let asked = move || search.lacking(group, place, &texts);
        tokio::task::spawn_blocking(asked).await.unwrap_or_default()
    }

    /// The time of this node.
    #[must_use]
    pub fn clock(&self) -> &Arc<Clock> {
        &self.clock
    }

    /// The groups of this node.
    #[must_use]
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// Answers one call.
    ///
    /// # Errors
    ///
    /// See [`Failure`].
    pub async fn answer(&self, group: GroupId, call: Call) -> Result<Answer, Failure> {
        let group = self.groups.get(group).ok_or(Failure::NotLeader(None))?;
        match call {
            Call::Propose {
                command,
                body,
                adds,
            } => {
                if adds && group.is_leader() && !self.takes_mail(group.id()) {
                    return Err(Failure::NoSpace);
                }
                Ok(Answer::Outcome(
                    group.propose(self.clock.now_ms(), command, body).await?,
                ))
            }
            Call::Query(Query::Open { account, mailbox }) => {
                group.read_index().await?;
                let opened = self.rosters.open(group.rows(), account, mailbox).await?;
                Ok(Answer::Result(Box::new(mailbox::Answer::Opened(opened))))
            }
            Call::Query(Query::Marked { account, mailbox }) => {
                group.read_index().await?;
                let marked = self.rosters.marked(group.rows(), account, mailbox).await?;
                Ok(Answer::Result(Box::new(mailbox::Answer::Marked(marked))))
            }
            Call::Query(query) => {
                group.read_index().await?;
                read(&group, &query).map(|answer| Answer::Result(Box::new(answer)))
            }
            Call::Bodies(parts) => {
                let replica = Arc::clone(group.rows());
                tokio::task::spawn_blocking(move || read_parts(&replica, parts))
                    .await
                    .map_err(|error| Failure::Broken(error.to_string()))?
                    .map(Answer::Bodies)
            }
            Call::Recent {
                account,
                mailbox,
                claim_below,
            } => {
                if !group.is_leader() {
                    return Err(Failure::NotLeader(group.leader()));
                }
                Ok(Answer::RecentFrom(self.recent_from(
                    account,
                    mailbox,
                    claim_below,
                )))
            }
            Call::Barrier => {
                group.read_index().await?;
                Ok(Answer::Index(group.applied().map_or(0, |id| id.index)))
            }
            Call::Applied(index) => {
                if group.wait_applied(index, APPLIED_WAIT).await {
                    Ok(Answer::Index(index))
                } else {
                    Err(Failure::Busy("not applied yet".into()))
                }
            }
            Call::Transfer(replica) => {
                if !group.is_leader() {
                    return match group.leader() {
                        Some(leader) if leader == replica => Ok(Answer::Index(leader)),
                        leader => Err(Failure::NotLeader(leader)),
                    };
                }
                if replica != group.replica() {
                    self.may_take_over(&group, replica)?;
                    group.transfer(replica).await?;
                }
                Ok(Answer::Index(group.leader().unwrap_or(0)))
            }
            Call::Members if group.is_leader() => Ok(Answer::Members(self.members(&group))),
            Call::Members => Err(Failure::NotLeader(group.leader())),
            Call::Probe { after } => {
                let replica = Arc::clone(group.rows());
                let probed = tokio::task::spawn_blocking(move || replica.probe(&after))
                    .await
                    .map_err(|error| Failure::Broken(error.to_string()))?
                    .map_err(|fault| Failure::Broken(fault.to_string()))?;
                Ok(Answer::Probed {
                    replica: group.replica(),
                    probed,
                })
            }
            Call::Digest => {
                let (applied, digest) = group.rows().digest();
                let index = applied.map_or(0, |id| id.index);
                Ok(Answer::Digest {
                    replica: group.replica(),
                    index,
                    digest: digest.to_bytes(),
                })
            }
        }
    }

    /// What the replica on this node answers, without asking anybody, if there is one and it has
    /// applied all changes of the account up to `at_least`.
    #[must_use]
    pub fn read_near(
        &self,
        group: GroupId,
        account: AccountId,
        query: &Query,
        at_least: ModSeq,
    ) -> Option<mailbox::Answer> {
        let group = self.groups.get(group)?;
        // Who hinted may have been another node, which is ahead.
        if group.rows().is_arriving() {
            return None;
        }
        group.rows().read(|rows| {
            let seen = mailbox::modseq(rows, account).ok()?;
            let answer = || mailbox::query(rows, query).ok();
            (seen >= at_least).then(answer).flatten()
        })
    }

    /// How far the replicas of a group have come, of which this node leads it.
    fn members(&self, group: &Group) -> v1::StoreMembership {
        let status = group.status();
        let transfers = self.groups.peers().transfers();
        let member = |replica: &u64| {
            let mut sending = transfers.iter();
            let sent = sending.find(|sent| sent.group == group.id() && sent.replica == *replica);
            v1::StoreMember {
                replica: *replica,
                matched: if *replica == group.replica() {
                    Some(status.last_index)
                } else {
                    status.matched_of(*replica)
                },
                snapshot: sent.map(|sent| v1::StoreMemberSnapshot {
                    row_bytes: sent.row_bytes,
                    rows: sent.rows,
                    bodies: sent.bodies,
                    body_bytes: sent.body_bytes,
                    seconds: sent.since.as_secs(),
                }),
            }
        };
        v1::StoreMembership {
            last_index: status.last_index,
            members: status.voters.union(&status.learners).map(member).collect(),
        }
    }

    /// Whether a replica can take the lead of a group that this node leads. openraft asks whomever
    /// it is told, and refuses all writes from then on until somebody else leads.
    fn may_take_over(&self, group: &Group, replica: u64) -> Result<(), Failure> {
        let status = group.status();
        if !status.voters.contains(&replica) {
            return Err(Failure::Invalid("that replica has no vote".into()));
        }
        let node = {
            let view = self.view.read();
            let placed = view.replica(directory::ReplicaId(replica));
            placed.map(|(_, placed)| placed.node.0)
        };
        if node.is_none_or(|node| self.groups.health().of(node).is_none()) {
            return Err(Failure::Invalid("that node was not heard lately".into()));
        }
        let upto = status.matched_of(replica);
        if upto.is_none_or(|upto| upto + BALANCE_LAG_MAX < status.last_index) {
            return Err(Failure::Busy("that replica lags behind".into()));
        }
        Ok(())
    }

    /// Whether a majority of the voters of a group has room for mail, as far as is known here.
    #[must_use]
    pub fn takes_mail(&self, group: GroupId) -> bool {
        self.groups.health().take_mail(|| {
            let view = self.view.read();
            let placed = view.group(directory::GroupId(group.0));
            placed.map_or_else(Vec::new, |placed| {
                placed.voters().map(|replica| replica.node.0).collect()
            })
        })
    }

    /// Soft state of the leader: after a failover a message may be recent twice, never not at all
    /// (RFC 3501 section 2.3.2).
    fn recent_from(&self, account: AccountId, mailbox: MailboxId, claim_below: Uid) -> Uid {
        let mut recent = self.recent.lock();
        let from = recent.get(&(account, mailbox)).copied().unwrap_or(Uid(1));
        if claim_below > from {
            if recent.len() >= RECENT_MAX {
                recent.clear();
            }
            recent.insert((account, mailbox), claim_below);
        }
        from
    }
}

/// Reads parts of bodies until one is not to be had or it is enough for one answer; at least one.
fn read_parts(replica: &Replica, parts: Vec<(Body, Range<u64>)>) -> Result<Vec<Bytes>, Failure> {
    let (mut read, mut bytes) = (Vec::with_capacity(parts.len()), 0);
    for (body, range) in parts {
        match replica.body_range(&body, range) {
            Ok(part) => {
                bytes += part.len() as u64;
                read.push(part);
            }
            Err(error) if read.is_empty() => return Err(unreadable(error)),
            // Whoever asks for it again is told.
            Err(_) => break,
        }
        if bytes >= BODY_READ_MAX {
            break;
        }
    }
    Ok(read)
}

/// A body that another replica may have.
fn unreadable(error: BodyError) -> Failure {
    match error {
        BodyError::Missing(_) | BodyError::NoBody => Failure::NotFound,
        BodyError::Damaged(..) | BodyError::Fault(_) => Failure::Broken(error.to_string()),
    }
}

/// Reads from the replica on this node, without asking whether it leads.
fn read(group: &Group, query: &Query) -> Result<mailbox::Answer, Failure> {
    group
        .rows()
        .read(|rows| mailbox::query(rows, query))
        .map_err(Failure::from)
}

/// Milliseconds since 1970, by this node's clock.
#[must_use]
pub fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
