//! One LMTP transaction: a body and its recipients, delivered in one entry per partition.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use mailbox::limits::RECIPIENTS_MAX;
use mailbox::{AccountId, Command, Confirmed, Deliver, Delivered, Millis, Outcome, Reply};

use super::Service;
use super::body::{Arrived, Incoming};
use super::call::Failure;
use super::lane::Lane;
use super::limits::CONFIRMED_MAX;
use super::local::now_ms;
use crate::replica::GroupId;

/// A recipient that RCPT TO accepted.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// The account.
    pub account: AccountId,
    /// Its partition.
    pub group: GroupId,
    /// The address as given.
    pub address: String,
    /// The mailbox that the address names.
    pub folder: Option<String>,
    /// The trace headers before the body.
    pub prefix: Bytes,
}

/// What became of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Result {
    /// The machine decided.
    Decided(Delivered),
    /// Nothing was stored, or nobody knows: the client shall try again.
    Unknown(Failure),
}

impl Result {
    /// That of one of the recipients of a part.
    fn of(outcome: &std::result::Result<Vec<Delivered>, Failure>, at: usize) -> Self {
        match outcome {
            Ok(delivered) => delivered
                .get(at)
                .map_or(Self::Unknown(Failure::Unknown), |one| Self::Decided(*one)),
            Err(failure) => Self::Unknown(failure.clone()),
        }
    }
}

/// A transaction that is under way.
pub struct Delivery {
    service: Service,
    sender: String,
    recipients: Vec<Recipient>,
    incoming: Incoming,
    wait: Duration,
}

/// A delivery that a partition has done and the client was told of, unless the reply was lost.
pub type Told = Vec<(GroupId, Confirmed)>;

impl Delivery {
    /// Begins a transaction from `sender` (empty for the null sender) to `recipients`.
    #[must_use]
    pub fn begin(
        service: &Service,
        sender: String,
        recipients: Vec<Recipient>,
        wait: Duration,
    ) -> Self {
        let mut targets = BTreeMap::new();
        for recipient in &recipients {
            targets.entry(recipient.group).or_insert(recipient.account);
        }
        let incoming = Incoming::new(service, targets, wait);
        Self {
            service: service.clone(),
            sender,
            recipients,
            incoming,
            wait,
        }
    }

    /// How many recipients it has.
    #[must_use]
    pub fn recipients(&self) -> usize {
        self.recipients.len()
    }

    /// Takes the next bytes of the message.
    ///
    /// # Errors
    ///
    /// When they cannot be stored; the transaction has failed then.
    pub async fn put(&mut self, bytes: Bytes) -> std::result::Result<(), Failure> {
        self.incoming.put(bytes).await
    }

    /// The rest will not come.
    pub async fn abandon(self) {
        self.incoming.abandon().await;
    }

    /// The message is whole: delivers it, and says what became of each recipient, in order.
    pub async fn finish(self, lane: &mut Lane, suppress_duplicates: bool) -> (Vec<Result>, Told) {
        let Self {
            service,
            sender,
            recipients,
            incoming,
            wait,
        } = self;
        let count = recipients.len();
        let arrived = match incoming.finish(false).await {
            Ok(arrived) => arrived,
            Err(failure) => return (vec![Result::Unknown(failure); count], Told::new()),
        };
        let received = Millis(now_ms());
        let mut by_group: BTreeMap<GroupId, Vec<usize>> = BTreeMap::new();
        for (place, recipient) in recipients.iter().enumerate() {
            by_group.entry(recipient.group).or_default().push(place);
        }
        let mut results = vec![Result::Unknown(Failure::Unknown); count];
        let mut told = Told::new();
        let mut unused: BTreeSet<GroupId> = by_group.keys().copied().collect();
        // A lane has one command in flight in each partition: parts of one partition go in turn.
        while !by_group.is_empty() {
            let mut round = Vec::new();
            by_group.retain(|group, places| {
                let rest = places.split_off(places.len().min(RECIPIENTS_MAX));
                round.push((*group, std::mem::replace(places, rest)));
                !places.is_empty()
            });
            let parts: Vec<_> = round
                .into_iter()
                .map(|(group, places)| {
                    let stamp = service.lanes().stamp(lane, group);
                    let deliver = Deliver {
                        sender: sender.clone(),
                        recipients: places
                            .iter()
                            .map(|place| recipients[*place].to_command())
                            .collect(),
                        body: arrived.for_group(group).0,
                        received,
                        suppress_duplicates,
                        confirmed: service.take_confirmed(group),
                    };
                    (group, places, stamp, deliver)
                })
                .collect();
            let done = join_all(parts.into_iter().map(|(group, places, stamp, deliver)| {
                let part = deliver_part(&service, &arrived, group, stamp, deliver, wait);
                async move { (group, places, stamp, part.await) }
            }))
            .await;
            for (group, places, stamp, outcome) in done {
                if !stores_nothing(&outcome) {
                    unused.remove(&group);
                }
                if let Ok(delivered) = &outcome
                    && delivered.len() == places.len()
                {
                    let (lane, sequence) = (stamp.lane.lane, stamp.sequence);
                    told.push((group, Confirmed { lane, sequence }));
                }
                for (at, place) in places.into_iter().enumerate() {
                    results[place] = Result::of(&outcome, at);
                }
            }
        }
        if !results.iter().any(|one| matches!(one, Result::Unknown(_))) {
            lane.settled();
        }
        arrived.abandon_in(&unused).await;
        (results, told)
    }
}

/// Whether no message refers to the body, as far as this part of a delivery goes. Of a part that
/// may still be done the body stays; one that was given up stores nothing any more without it, and
/// nobody was told otherwise.
fn stores_nothing(outcome: &std::result::Result<Vec<Delivered>, Failure>) -> bool {
    match outcome {
        Ok(delivered) => {
            let stored = |one: &Delivered| matches!(one, Delivered::Stored { .. });
            !delivered.iter().any(stored)
        }
        Err(failure) => !matches!(failure, Failure::Unknown),
    }
}

impl Recipient {
    fn to_command(&self) -> mailbox::Recipient {
        mailbox::Recipient {
            account: self.account,
            address: self.address.clone(),
            folder: self.folder.clone(),
            prefix: self.prefix.clone(),
        }
    }
}

async fn deliver_part(
    service: &Service,
    arrived: &Arrived,
    group: GroupId,
    stamp: mailbox::Stamp,
    deliver: Deliver,
    wait: Duration,
) -> std::result::Result<Vec<Delivered>, Failure> {
    let bytes = arrived.for_group(group).1;
    let command = Command::Deliver(deliver);
    match service
        .propose_stamped(group, stamp, command, bytes, wait)
        .await?
    {
        Outcome::Done(Reply::Delivered(delivered)) => Ok(delivered),
        Outcome::Rejected(why) => Err(Failure::Invalid(why.to_string())),
        Outcome::Moved => Err(Failure::Moved),
        Outcome::Done(_) | Outcome::Forgotten => Err(Failure::Unknown),
    }
}

impl Service {
    /// The client has shown that it saw the replies: its deliveries need not be remembered for
    /// days. Told to each partition with the next delivery there.
    pub fn confirm(&self, told: Told) {
        let mut confirmed = self.confirmed().lock();
        for (group, delivery) in told {
            let waiting = confirmed.entry(group).or_default();
            if waiting.len() < CONFIRMED_MAX {
                waiting.push(delivery);
            }
        }
    }

    fn take_confirmed(&self, group: GroupId) -> Vec<Confirmed> {
        let mut confirmed = self.confirmed().lock();
        let Some(waiting) = confirmed.get_mut(&group) else {
            return Vec::new();
        };
        let rest = waiting.len().saturating_sub(mailbox::limits::CONFIRMED_MAX);
        waiting.split_off(rest)
    }
}
