//! COPY and MOVE between the mailboxes of two users, whose accounts may be in different partitions.
//!
//! ```text
//!   rows ─► each body, piece by piece ─► uploads there ─► ONE command that appends a batch
//!
//!   MOVE:   a command here that says what is about to be moved
//!           the rows again: what is still there, with its flags as of now
//!           the one that appends there
//!           one here that removes what has arrived, and says that it is over
//! ```
//!
//! Bodies may be long under way, and meanwhile others may expunge a message, move it elsewhere or
//! change its flags. From the first command on it is moved nowhere else, so what the rows say after
//! that command is what is moved.
//!
//! No message is held. COPY is all or nothing, so it is one batch. MOVE moves each message whole
//! (RFC 6851 section 3.3): it is in one of the two mailboxes at every moment, and in both only
//! until it is removed. Should this session not come to that, others do, who find what was begun.
//! What arrives has an origin, by which they, and a MOVE that is tried again after the connection
//! was lost, find what has come already.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::poll_fn;
use mailbox::{
    Command, EndedMove, Folder, Home, Import, MailboxId, Message, NewMessage, NewMove, Outcome,
    Reply, Rights, Uid, UidRanges, UidValidity,
};

use crate::backend::{Backend, BackendError, Transport};
use crate::cmd::copy::copy_uid;
use crate::cmd::messages::messages;
use crate::cmd::others::no_right;
use crate::cmd::progress::Tally;
use crate::cmd::store::chunks;
use crate::cmd::try_create;
use crate::grammar::Copy;
use crate::limits::{self, MOVE_SECONDS};
use crate::respond::Code;
use crate::source::Source;
use crate::state::{Done, Result, Session, Stop, reply};

/// Messages that one command appends.
const BATCH: u64 = mailbox::limits::APPEND_MESSAGES_MAX as u64;
// So the rows of a batch are one page, and as of one moment.
const _: () = assert!(mailbox::limits::APPEND_MESSAGES_MAX <= limits::PAGE_MESSAGES as usize);

/// The mailbox that messages come from.
struct Origin<B> {
    backend: B,
    home: Home,
}

/// Messages on their way.
struct Carried<B: Backend> {
    uids: UidRanges,
    messages: Vec<NewMessage>,
    arrived: Vec<B::Arrived>,
    /// Whether they are all that there are.
    is_whole: bool,
}

/// Messages that have been moved.
#[derive(Default)]
struct Moved {
    /// Which.
    uids: UidRanges,
    /// Of the mailbox that they are in now.
    uid_validity: UidValidity,
    /// Which they are there; none if that is not known of all.
    arrived: UidRanges,
}

impl<T: Transport, B: Backend> Session<'_, T, B> {
    /// COPY from the selected mailbox into one of another account, which the session has turned to.
    pub(super) async fn copy_across(
        &mut self,
        copy: &Copy,
        to: &Folder,
        uids: &UidRanges,
    ) -> Result<Done> {
        if uids.len() > BATCH {
            let text = "Not so many messages at once from one user to another";
            return Err(Stop::no(Code::Limit, text));
        }
        let from = self.source()?;
        let carried = self.carry(&from, uids).await?;
        if !carried.is_whole {
            let text = "Not so many bytes at once from one user to another";
            return Err(Stop::no(Code::Limit, text));
        }
        let mut code = None;
        if !carried.messages.is_empty() {
            let count = carried.uids.len();
            let command = self.append_copies(to, carried.messages);
            let outcome = self.backend.append(command, carried.arrived).await?;
            let Reply::Appended {
                uid_validity, uid, ..
            } = reply(outcome).map_err(try_create)?
            else {
                return Err(BackendError::Broken.into());
            };
            self.note_added(to.id, uid, u32::try_from(count).unwrap_or(u32::MAX));
            let last = u64::from(uid.0) + count - 1;
            let last = Uid(u32::try_from(last).unwrap_or(u32::MAX));
            code = copy_uid(uid_validity, &carried.uids, &UidRanges::range(uid, last));
        }
        let text = match copy.uid {
            true => "UID COPY completed",
            false => "COPY completed",
        };
        Ok(Done { code, text })
    }

    /// MOVE, batch by batch.
    pub(super) async fn move_across(
        &mut self,
        copy: &Copy,
        to: &Folder,
        uids: &UidRanges,
    ) -> Result<Done> {
        let from = self.source()?;
        self.permit_removal()?;
        let (mut done, goal) = (0, uids.len());
        for uids in chunks(uids, BATCH) {
            self.report(done, goal).await?;
            done += uids.len();
            let mut rest = uids;
            while !rest.is_empty() {
                let carried = self.carry(&from, &rest).await?;
                if carried.messages.is_empty() {
                    break;
                }
                rest = rest.subtract(&carried.uids);
                self.move_batch(&from, to, carried).await?;
            }
        }
        Ok(Done::text(match copy.uid {
            true => "UID MOVE completed",
            false => "MOVE completed",
        }))
    }

    async fn move_batch(
        &mut self,
        from: &Origin<B>,
        to: &Folder,
        carried: Carried<B>,
    ) -> Result<()> {
        let late = self.conn.transport.sleep(Duration::from_secs(MOVE_SECONDS));
        let moved = transfer(from, &self.backend, to.id, carried);
        let moved = in_time(late, moved).await??;
        self.note_all_added(to.id, &moved.arrived);
        self.note_gone(&moved.uids);
        // Before the EXPUNGEs, which are told with the changes.
        if let Some(code) = copy_uid(moved.uid_validity, &moved.uids, &moved.arrived) {
            self.conn.out.untagged_ok(Some(&code), "Moved");
        }
        Ok(())
    }

    /// The selected mailbox, whosever it is.
    fn source(&mut self) -> Result<Origin<B>> {
        let backend = self.opened.clone();
        let selected = self.selected()?;
        let home = Home {
            account: backend.account(),
            mailbox: selected.mailbox,
            uid_validity: selected.uid_validity,
        };
        Ok(Origin { backend, home })
    }

    /// Before anything is appended elsewhere: what it takes to remove it here (RFC 6851 section
    /// 3.3: the rights of COPY, of STORE of `\Deleted`, and of EXPUNGE).
    fn permit_removal(&mut self) -> Result<()> {
        let needed = Rights::DELETE_MESSAGES.with(Rights::EXPUNGE);
        match self.selected()?.guest {
            Some(has) if !has.has(needed) => Err(no_right()),
            _ => Ok(()),
        }
    }

    fn append_copies(&self, to: &Folder, mut messages: Vec<NewMessage>) -> Command {
        let (account, mailbox) = (self.backend.account(), to.id);
        match (messages.pop(), messages.is_empty()) {
            (Some(one), true) => Command::Append {
                account,
                mailbox,
                flags: one.flags,
                date: one.date,
                body: one.body,
            },
            (last, _) => Command::AppendMany {
                account,
                mailbox,
                messages: messages.into_iter().chain(last).collect(),
                replaced: None,
            },
        }
    }

    /// Brings bodies to the account that the session has turned to: those of all messages, or of
    /// those before they become too many bytes for one command. The last one rides with it.
    async fn carry(&mut self, from: &Origin<B>, uids: &UidRanges) -> Result<Carried<B>> {
        let mut carried = Carried {
            uids: UidRanges::new(),
            messages: Vec::new(),
            arrived: Vec::new(),
            is_whole: true,
        };
        let found = messages(&from.backend, from.home.mailbox, uids).await?;
        let (mut bytes, count) = (0, found.len());
        let mut taken = Vec::with_capacity(count);
        for (at, message) in found.into_iter().enumerate() {
            bytes += message.size();
            if bytes > limits::APPEND_BYTES_MAX && at > 0 {
                carried.is_whole = false;
                break;
            }
            let apart = at + 1 < count;
            let brought = bring(&from.backend, &self.backend, &message, apart);
            let waiting = &self.progress;
            let tally = Tally::default();
            let arrived = waiting.while_waiting(&mut self.conn, &tally, brought);
            carried.arrived.push(arrived.await??);
            carried.uids.insert(message.uid);
            taken.push(message);
        }
        for (message, arrived) in taken.into_iter().zip(&mut carried.arrived) {
            carried.messages.push(NewMessage {
                flags: message.flags,
                date: message.internal_date,
                body: self.backend.arrived_body(arrived).await?,
            });
        }
        Ok(carried)
    }
}

impl<B: Backend> Carried<B> {
    /// Those that are still there, as they are now. The others are given up.
    async fn left(self, from: &Origin<B>) -> Result<Carried<B>> {
        let now = messages(&from.backend, from.home.mailbox, &self.uids).await?;
        let mut now = now.into_iter().peekable();
        let mut left = Carried {
            uids: UidRanges::new(),
            messages: Vec::with_capacity(self.messages.len()),
            arrived: Vec::with_capacity(self.arrived.len()),
            is_whole: self.is_whole,
        };
        let carried = self.uids.iter().zip(self.messages).zip(self.arrived);
        for ((uid, message), arrived) in carried {
            if let Some(row) = now.next_if(|row| row.uid == uid) {
                left.uids.insert(uid);
                left.messages.push(NewMessage {
                    flags: row.flags,
                    ..message
                });
                left.arrived.push(arrived);
            }
        }
        Ok(left)
    }
}

/// Moves a batch that was carried, as far as it is still there. What it leaves undone others finish
/// later, so it says "no" only when that was heard where the messages come from. Says what came of
/// them.
async fn transfer<B: Backend>(
    from: &Origin<B>,
    to: &B,
    to_mailbox: MailboxId,
    carried: Carried<B>,
) -> Result<Moved> {
    let (id, home) = (to.new_move(), from.home);
    let begin = Command::BeginMove(NewMove {
        id,
        from: home,
        uids: carried.uids.clone(),
        to_account: to.account(),
        to_mailbox,
    });
    reply(from.backend.propose(begin).await?)?;
    let unknown = || Stop::from(BackendError::Unknown);
    let moved = match carried.left(from).await {
        Ok(carried) if carried.uids.is_empty() => Ok(Moved::default()),
        Ok(carried) => import(home, to, to_mailbox, carried)
            .await
            .ok_or_else(unknown)?,
        Err(stop) => Err(stop),
    };
    let end = Command::EndMove(EndedMove {
        id,
        account: home.account,
        mailbox: home.mailbox,
        uids: match &moved {
            Ok(moved) => moved.uids.clone(),
            Err(_) => UidRanges::new(),
        },
    });
    match from.backend.propose(end).await {
        Ok(Outcome::Done(_)) => moved,
        _ => Err(unknown()),
    }
}

/// Appends a batch; `None` if it is not known whether that was done.
async fn import<B: Backend>(
    home: Home,
    to: &B,
    to_mailbox: MailboxId,
    carried: Carried<B>,
) -> Option<Result<Moved>> {
    let uids = carried.uids;
    let import = Command::Import(Import {
        account: to.account(),
        mailbox: to_mailbox,
        messages: carried.messages,
        origins: uids.iter().map(|uid| home.origin(uid)).collect(),
    });
    let moved = match to.append(import, carried.arrived).await {
        Ok(Outcome::Done(Reply::Copied {
            uid_validity, to, ..
        })) => Ok(Moved {
            uids,
            uid_validity,
            arrived: to,
        }),
        Ok(Outcome::Done(_) | Outcome::Forgotten)
        | Err(BackendError::Unknown | BackendError::Broken) => return None,
        Ok(refused) => reply(refused).and(Err(BackendError::Broken.into())),
        Err(error) => Err(error.into()),
    };
    Some(moved.map_err(try_create))
}

/// What takes longer has an outcome that is not known.
async fn in_time<F: Future>(late: impl Future<Output = ()>, future: F) -> Result<F::Output> {
    let (mut future, mut late) = (pin!(future), pin!(late));
    let first = poll_fn(|context| {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(Some(output));
        }
        late.as_mut().poll(context).map(|()| None)
    });
    first.await.ok_or_else(|| BackendError::Unknown.into())
}

/// Passes a message from one account to another, prefix and body as one.
async fn bring<B: Backend>(
    from: &B,
    to: &B,
    message: &Message,
    apart: bool,
) -> std::result::Result<B::Arrived, BackendError> {
    let mut upload = to.upload()?;
    let mut source = Source::new(from, message, false);
    let (mut at, size) = (0, source.size());
    while at < size {
        let piece = source.piece(at..size).await?;
        at += piece.len() as u64;
        to.upload_put(&mut upload, piece).await?;
    }
    to.upload_end(upload, apart).await
}
