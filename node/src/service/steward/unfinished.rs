//! Moves of mail into other accounts that nobody has ended: their session was lost.
//!
//! ```text
//!   began some minutes ago ──► which have arrived there?
//!        all                     they go here
//!        some are missing        they are brought, appended together, and all go here
//!        refused for good        it is given up: what is missing stays here
//!        anything else           tried again later
//! ```
//!
//! What is expunged while it is brought is not appended, and what is has its flags as of then.
//! What has arrived is not brought again, whether or not it is still there: so a message is in the
//! end in one mailbox, or where its new owner has put it. All steps may be done twice, also by two
//! nodes at the same time.

use std::collections::BTreeMap;

use mailbox::{
    Answer, Command, EndedMove, Import, Message, Millis, MoveId, NewMessage, NewMove, OpenMove,
    Outcome, Query, Rejection, Uid, UidRanges, limits::APPEND_MESSAGES_MAX,
};
use tokio::time::Instant;

use super::STEP_WAIT;
use crate::raft::Group;
use crate::replica::GroupId;
use crate::service::body::{Arrived, Incoming, Leaving};
use crate::service::limits::{
    FINISH_AGAIN, FINISH_PAUSE, MOVE_AGE, UNFINISHED_FAILED_MAX, UNFINISHED_PAGE,
};
use crate::service::{Account, DIRECTORY, Failure, Service};

/// Runs for as long as the node does.
pub(super) async fn run(service: Service) {
    let mut finisher = Finisher::new(service);
    loop {
        tokio::time::sleep(FINISH_PAUSE).await;
        let age = u64::try_from(MOVE_AGE.as_millis()).unwrap_or(u64::MAX);
        let now = finisher.service.clock().now_ms();
        finisher.turn(Millis(now.saturating_sub(age))).await;
    }
}

/// Ends what others have begun, out of accounts of the partitions that this node leads.
pub struct Finisher {
    service: Service,
    /// Moves that could not be ended, and when they are tried again.
    later: BTreeMap<MoveId, Instant>,
}

impl Finisher {
    /// One that knows of nothing.
    #[must_use]
    pub fn new(service: Service) -> Self {
        Self {
            service,
            later: BTreeMap::new(),
        }
    }

    /// Ends all moves that began at `until` or earlier, as far as that is possible now.
    pub async fn turn(&mut self, until: Millis) {
        let now = Instant::now();
        self.later.retain(|_, again| *again > now);
        let groups = self.service.router().local().groups().all();
        let led = |group: &&std::sync::Arc<Group>| group.id() != DIRECTORY && group.is_leader();
        for group in groups.iter().filter(led) {
            if let Err(failure) = self.out_of(group, until).await {
                tracing::info!(group = group.id().0, %failure, "moves are finished later");
            }
        }
    }

    /// Those out of the accounts of one partition.
    async fn out_of(&mut self, group: &Group, until: Millis) -> Result<(), Failure> {
        let mut last = None;
        while !unfinished(group, last.as_ref(), until)?.is_empty() {
            // Who has just come to lead may not have heard that one was given up.
            group.read_index().await?;
            for open in unfinished(group, last.as_ref(), until)? {
                self.finish(group.id(), &open).await;
                last = Some(open);
            }
        }
        Ok(())
    }

    async fn finish(&mut self, group: GroupId, open: &OpenMove) {
        let id = open.new.id;
        if self.later.contains_key(&id) || self.later.len() >= UNFINISHED_FAILED_MAX {
            return;
        }
        let account = open.new.from.account;
        let source = Account::open(&self.service, account, group, STEP_WAIT);
        match finish(&self.service, &source, open).await {
            Ok(messages) => tracing::info!(%id, %account, messages, "finished a move"),
            Err(failure) => {
                tracing::info!(%id, %account, %failure, "a move is finished later");
                self.later.insert(id, Instant::now() + FINISH_AGAIN);
            }
        }
    }
}

fn unfinished(
    group: &Group,
    after: Option<&OpenMove>,
    until: Millis,
) -> Result<Vec<OpenMove>, Failure> {
    let found = group
        .rows()
        .read(|rows| mailbox::unfinished(rows, after, until, UNFINISHED_PAGE));
    found.map_err(|fault| Failure::Broken(fault.to_string()))
}

/// Ends a move; says how many messages have gone.
async fn finish(service: &Service, source: &Account, open: &OpenMove) -> Result<u64, Failure> {
    let new = &open.new;
    let messages = messages(source, new).await?;
    let target = match messages.is_empty() {
        true => None,
        false => target(service, source, new).await?,
    };
    let Some(target) = target else {
        return end(source, new, UidRanges::new()).await;
    };
    let query = Query::Arrived {
        account: new.to_account,
        mailbox: new.to_mailbox,
        origins: messages
            .iter()
            .map(|one| new.from.origin(one.uid))
            .collect(),
    };
    let arrived = match target.read(query).await {
        Ok(Answer::Arrived(arrived)) => arrived,
        Ok(_) => return Err(Failure::Invalid("unexpected answer".into())),
        Err(Failure::NoAccount) => return end(source, new, UidRanges::new()).await,
        Err(failure) => return Err(failure),
    };
    let mut gone = UidRanges::new();
    let mut missing = Vec::new();
    for (message, has_arrived) in messages.into_iter().zip(arrived) {
        match has_arrived {
            true => gone.insert(message.uid),
            false => missing.push(message),
        }
    }
    if !missing.is_empty() {
        gone = gone.union(&import(source, &target, open, &missing).await?);
    }
    end(source, new, gone).await
}

/// The account that messages go to, if it is there.
async fn target(
    service: &Service,
    source: &Account,
    new: &NewMove,
) -> Result<Option<Account>, Failure> {
    if let Some(target) = source.other(new.to_account) {
        return Ok(Some(target));
    }
    // This node may not have heard of it yet.
    service.refresh(STEP_WAIT).await?;
    Ok(source.other(new.to_account))
}

/// What of it is still to be moved.
async fn messages(source: &Account, new: &NewMove) -> Result<Vec<Message>, Failure> {
    let mut found = Vec::new();
    let mut left = new.uids.clone();
    while !left.is_empty() {
        let query = Query::Messages {
            account: new.from.account,
            mailbox: new.from.mailbox,
            uids: left.clone(),
            changed_since: None,
            limit: APPEND_MESSAGES_MAX as u32,
            include_expunged: false,
        };
        let page = match source.read(query).await {
            Ok(Answer::Messages(page)) => page,
            Ok(_) => return Err(Failure::Invalid("unexpected answer".into())),
            Err(Failure::NoMailbox | Failure::NoAccount) => return Ok(Vec::new()),
            Err(failure) => return Err(failure),
        };
        found.extend(page.messages);
        left = match page.next {
            Some(next) => UidRanges::range(next, Uid::MAX).intersect(&left),
            None => UidRanges::new(),
        };
    }
    Ok(found)
}

/// Appends messages to the mailbox that they go to, those that are still there once their bodies
/// have come. Says which: none if that is refused for good.
async fn import(
    source: &Account,
    target: &Account,
    open: &OpenMove,
    messages: &[Message],
) -> Result<UidRanges, Failure> {
    let mut leaving = Vec::with_capacity(messages.len());
    let mut sent = send(source, target, messages, &mut leaving).await;
    let mut arrived = Vec::with_capacity(messages.len());
    for mut body in leaving {
        match body.arrived().await {
            Ok(body) => arrived.push(body),
            Err(failure) => sent = sent.and(Err(failure)),
        }
    }
    // Meanwhile others may have expunged some or changed their flags. Since the move has begun they
    // may not move them elsewhere.
    let now = match sent {
        Ok(()) => self::messages(source, &open.new).await,
        Err(failure) => Err(failure),
    };
    let outcome = match now {
        Ok(now) => {
            let brought = messages.iter().map(|one| one.uid).zip(arrived);
            append(target, open, now, brought).await
        }
        Err(failure) => {
            abandon(arrived).await;
            Err(failure)
        }
    };
    match outcome {
        Ok(None) => Ok(UidRanges::new()),
        Ok(Some((uids, Outcome::Done(_)))) => Ok(uids),
        Ok(Some((_, Outcome::Rejected(why)))) | Err(Failure::Rejected(why)) if is_final(why) => {
            tracing::info!(id = %open.new.id, %why, "a move is given up");
            Ok(UidRanges::new())
        }
        Ok(Some((_, Outcome::Rejected(why)))) => Err(Failure::Rejected(why)),
        Ok(Some((_, Outcome::Forgotten))) => Err(Failure::Unknown),
        Ok(Some((_, Outcome::Moved))) => Err(Failure::Moved),
        Err(failure) => Err(failure),
    }
}

/// Appends what was brought and is among the messages that are there `now`, and says which that is
/// and what came of it; `None` if nothing is.
async fn append(
    target: &Account,
    open: &OpenMove,
    now: Vec<Message>,
    brought: impl Iterator<Item = (Uid, Arrived)>,
) -> Result<Option<(UidRanges, Outcome)>, Failure> {
    let mut now: BTreeMap<Uid, Message> = now.into_iter().map(|one| (one.uid, one)).collect();
    let mut left = Vec::new();
    for (uid, body) in brought {
        match now.remove(&uid) {
            Some(message) => left.push((message, body)),
            None => body.abandon().await,
        }
    }
    if left.is_empty() {
        return Ok(None);
    }
    let uids = left.iter().map(|(message, _)| message.uid).collect();
    let command = command(target, open, &left);
    let bodies = left.iter().map(|(_, body)| body);
    let outcome = target.propose_arrived(command, bodies).await;
    if !matches!(outcome, Ok(Outcome::Done(_))) {
        abandon(left.into_iter().map(|(_, body)| body)).await;
    }
    outcome.map(|outcome| Some((uids, outcome)))
}

/// Whether it will not be taken later either, as far as anybody can tell.
fn is_final(why: Rejection) -> bool {
    let passes = [
        Rejection::NoUpload,
        Rejection::UploadLimit,
        Rejection::SequenceUsed,
    ];
    !passes.contains(&why)
}

async fn abandon(bodies: impl IntoIterator<Item = Arrived>) {
    for body in bodies {
        body.abandon().await;
    }
}

/// As whoever has begun the move would do it.
fn command(target: &Account, open: &OpenMove, messages: &[(Message, Arrived)]) -> Command {
    let OpenMove { new, actor, .. } = open;
    let message = |(message, body): &(Message, Arrived)| NewMessage {
        flags: message.flags.clone(),
        date: message.internal_date,
        body: target.arrived_body(body),
    };
    let command = Command::Import(Import {
        account: new.to_account,
        mailbox: new.to_mailbox,
        messages: messages.iter().map(message).collect(),
        origins: messages
            .iter()
            .map(|(one, _)| new.from.origin(one.uid))
            .collect(),
    });
    match *actor == new.to_account {
        true => command,
        false => Command::OnBehalf {
            actor: *actor,
            command: Box::new(command),
        },
    }
}

/// Sends all bodies ahead of the command.
async fn send(
    source: &Account,
    target: &Account,
    messages: &[Message],
    leaving: &mut Vec<Leaving>,
) -> Result<(), Failure> {
    for message in messages {
        let mut body = target.upload()?;
        if let Err(failure) = pass(source, message, &mut body).await {
            body.abandon().await;
            return Err(failure);
        }
        leaving.push(target.send_ahead(body).await);
    }
    Ok(())
}

/// Prefix and body as one.
async fn pass(source: &Account, message: &Message, to: &mut Incoming) -> Result<(), Failure> {
    to.put(message.prefix.clone()).await?;
    let (mut at, length) = (0, message.body.length);
    while at < length {
        let bytes = source.body(&message.body, at..length).await?;
        if bytes.is_empty() {
            return Err(Failure::Broken("a body ends too early".into()));
        }
        at += bytes.len() as u64;
        to.put(bytes).await?;
    }
    Ok(())
}

/// It has ended, and these messages have gone; says how many.
async fn end(source: &Account, new: &NewMove, uids: UidRanges) -> Result<u64, Failure> {
    let gone = uids.len();
    let end = Command::EndMove(EndedMove {
        id: new.id,
        account: new.from.account,
        mailbox: new.from.mailbox,
        uids,
    });
    match source.propose(end).await? {
        Outcome::Done(_) | Outcome::Rejected(Rejection::NoAccount) => Ok(gone),
        outcome => Err(Failure::Invalid(format!("{outcome:?}"))),
    }
}
