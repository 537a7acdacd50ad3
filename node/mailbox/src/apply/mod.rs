//! Applying commands: the only code that changes rows.
//!
//! ```text
//!   apply -> lanes::admit      was it run before?
//!         -> a command's file  accounts folders rename deliver append flags copy expunge uploads
//!                              undelete restore retention quota metadata
//!                              grants import moves
//!         -> behalf            first, if it is done in the account of another: may he?
//!         -> lanes::record     what became of it
//! ```
//!
//! A command's function reads what it needs, refuses with [`Stop::Rejected`] wherever it finds that
//! it must, and writes. A refused command is rolled back, so that it changed nothing but its lane.
//! `state` holds what all of them share: accounts and mailboxes with their counters (invariants M2,
//! M3, M5), and the log of changes. `tick` lets time pass.

mod accounts;
mod append;
mod behalf;
mod copy;
mod deliver;
mod expunge;
mod flags;
mod folders;
mod grants;
mod import;
mod lanes;
mod metadata;
mod moves;
mod quota;
mod rename;
mod restore;
mod retention;
mod state;
mod sweep;
mod tick;
mod undelete;
mod uploads;

pub use tick::next_due;

use rows::{Fault, Rows, Staged};

use crate::access::FlagRights;
use crate::command::{Command, Envelope, Outcome, Rejection, Reply};
use crate::event::{BodyChange, Event, EventKind};
use crate::layer::Layer;
use crate::types::{AccountId, MailboxId, Millis, ModSeq, Stamp};

/// Where the entry that is applied stands, and how long the body is that rides in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryAt {
    /// Its index in the partition's log.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// Bytes of the body beside the command; 0 if there is none.
    pub body_length: u64,
}

/// What came of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// For whoever proposed it.
    pub outcome: Outcome,
    /// For those who watch.
    pub events: Vec<Event>,
    /// For whoever keeps the bytes of bodies; in no particular order, one body may stand here more
    /// than once.
    pub bodies: Vec<BodyChange>,
}

/// Applies a command: writes to `rows`, and says what came of it and what changed.
///
/// Entries come in the order of the log, each once. The same rows and the same command make the
/// same writes, outcome and events (invariant M1). After a [`Fault`] nothing was written.
pub fn apply<R: Rows>(
    rows: &mut Staged<'_, R>,
    at: EntryAt,
    envelope: &Envelope,
) -> Result<Applied, Fault> {
    let mut layer = Layer::new(&*rows)?;
    let (outcome, events) = apply_to(&mut layer, at, envelope)?;
    let (written, bodies) = layer.into_changes();
    for (key, value) in written {
        match value {
            Some(value) => rows.put(key, value),
            None => rows.remove(key),
        }
    }
    Ok(Applied {
        outcome,
        events,
        bodies,
    })
}

fn apply_to<R: Rows>(
    rows: &mut Layer<'_, R>,
    at: EntryAt,
    envelope: &Envelope,
) -> Result<(Outcome, Vec<Event>), Fault> {
    let meta = rows.meta_mut();
    if at.index <= meta.index {
        let last = meta.index;
        return Err(Fault::invariant(format!(
            "entry {} comes after {last} was applied",
            at.index
        )));
    }
    (meta.index, meta.term) = (at.index, at.term);
    meta.time_ms = meta.time_ms.max(envelope.time.0);
    let time = Millis(meta.time_ms);
    if envelope.command == Command::Tick {
        tick::run(rows, time)?;
        return Ok((Outcome::Done(Reply::Nothing), Vec::new()));
    }
    let stamp = envelope.stamp;
    let command = lanes::command_hash(&envelope.command);
    if let Some(outcome) = lanes::admit(rows, &stamp, command, time)? {
        return Ok((outcome, Vec::new()));
    }
    let mark = rows.mark();
    let mut entry = Entry {
        rows,
        at,
        time,
        stamp,
        events: Vec::new(),
        duplicates: Vec::new(),
        actor: None,
        flags: FlagRights::ALL,
    };
    let result = run(&mut entry, &envelope.command);
    let Entry {
        mut events,
        mut duplicates,
        ..
    } = entry;
    let refused = match result {
        Ok(reply) => Ok(Outcome::Done(reply)),
        Err(Stop::Rejected(rejection)) => Err(Outcome::Rejected(rejection)),
        Err(Stop::Moved) => Err(Outcome::Moved),
        Err(Stop::Fault(fault)) => return Err(fault),
    };
    let outcome = refused.unwrap_or_else(|outcome| {
        rows.roll_back(mark);
        events.clear();
        duplicates.clear();
        outcome
    });
    lanes::record(rows, &stamp, command, time, &outcome, duplicates)?;
    Ok((outcome, events))
}

fn run<R: Rows>(entry: &mut Entry<'_, '_, R>, command: &Command) -> Result<Reply, Stop> {
    match command {
        Command::CreateAccount {
            account,
            folders,
            quota_bytes,
        } => accounts::create(entry, *account, folders, *quota_bytes),
        Command::DeleteAccount { account } => accounts::delete(entry, *account),
        Command::CreateMailbox {
            account,
            name,
            special_use,
        } => folders::create(entry, *account, name, *special_use),
        Command::DeleteMailbox { account, name } => folders::delete(entry, *account, name),
        Command::RenameMailbox { account, from, to } => rename::run(entry, *account, from, to),
        Command::Subscribe { account, name, on } => folders::subscribe(entry, *account, name, *on),
        Command::Deliver(deliver) => deliver::run(entry, deliver),
        Command::Chunk {
            upload,
            account,
            number,
            length,
        } => uploads::chunk(entry, *upload, *account, *number, *length),
        Command::DropUpload { upload } => uploads::discard(entry, *upload),
        Command::Append {
            account,
            mailbox,
            flags,
            date,
            body,
        } => append::one(entry, *account, *mailbox, flags, *date, body),
        Command::AppendMany {
            account,
            mailbox,
            messages,
            replaced,
        } => append::many(entry, *account, *mailbox, messages, *replaced),
        Command::Store {
            account,
            mailbox,
            uids,
            mode,
            flags,
            unchanged_since,
        } => {
            let change = flags::Change {
                mode: *mode,
                flags,
                unchanged_since: *unchanged_since,
            };
            flags::store(entry, *account, *mailbox, uids, &change)
        }
        Command::Copy {
            account,
            from,
            to,
            uids,
        } => copy::copy(entry, *account, *from, *to, uids),
        Command::Move {
            account,
            from,
            to,
            uids,
        } => copy::transfer(entry, *account, *from, *to, uids),
        Command::Expunge {
            account,
            mailbox,
            uids,
        } => expunge::run(entry, *account, *mailbox, uids.as_ref()),
        Command::SetRetention { account, retention } => {
            retention::of_account(entry, *account, *retention)
        }
        Command::SetDefaultRetention { retention } => retention::by_default(entry, *retention),
        Command::Undelete {
            account,
            from,
            to,
            uids,
            since,
        } => undelete::messages(entry, *account, (*from, *to), uids, *since),
        Command::RestoreMailbox {
            account,
            mailbox,
            name,
        } => restore::run(entry, *account, *mailbox, name.as_deref()),
        Command::Purge {
            account,
            mailbox,
            from,
        } => undelete::purge(entry, *account, *mailbox, *from),
        Command::SetQuota { .. }
        | Command::SetMetadata { .. }
        | Command::Annotate(_)
        | Command::SetGrant { .. } => run_granted(entry, command),
        Command::OnBehalf { actor, command } => behalf::run(entry, *actor, command),
        Command::Import(import) => import::run(entry, import),
        Command::Remove {
            account,
            mailbox,
            uids,
        } => import::remove(entry, *account, *mailbox, uids),
        Command::BeginMove(new) => moves::begin(entry, new),
        Command::EndMove(ended) => moves::end(entry, ended),
        Command::Tick => Err(Fault::invariant("a tick is no command of a lane").into()),
    }
}

/// What concerns quota, annotations and rights.
fn run_granted<R: Rows>(entry: &mut Entry<'_, '_, R>, command: &Command) -> Result<Reply, Stop> {
    match command {
        Command::SetQuota {
            account,
            bytes,
            messages,
        } => quota::set(entry, *account, *bytes, *messages),
        Command::SetMetadata {
            account,
            mailbox,
            user,
            entries,
            special_use,
        } => metadata::set(entry, (*account, *mailbox), *user, entries, *special_use),
        Command::Annotate(annotate) => metadata::annotate(entry, annotate),
        Command::SetGrant {
            account,
            mailbox,
            grant,
        } => grants::set(entry, *account, *mailbox, grant),
        _ => Err(Fault::invariant("another command").into()),
    }
}

/// The entry that is being applied.
struct Entry<'s, 'r, R: Rows> {
    rows: &'s mut Layer<'r, R>,
    at: EntryAt,
    /// Log time.
    time: Millis,
    stamp: Stamp,
    events: Vec<Event>,
    /// Keys of duplicate rows that this delivery made or met, for its lane.
    duplicates: Vec<u8>,
    /// Who does it; `None` for the owner.
    actor: Option<AccountId>,
    /// Which flags it may change where it changes or adds messages.
    flags: FlagRights,
}

impl<R: Rows> Entry<'_, '_, R> {
    fn hint(&mut self, account: AccountId, mailbox: MailboxId, modseq: ModSeq, kind: EventKind) {
        self.events.push(Event {
            account,
            mailbox,
            modseq,
            kind,
        });
    }
}

/// Why a command was not done.
#[derive(Debug)]
enum Stop {
    Rejected(Rejection),
    Moved,
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Stop {
        Stop::Fault(fault)
    }
}

impl From<Rejection> for Stop {
    fn from(rejection: Rejection) -> Stop {
        Stop::Rejected(rejection)
    }
}
