//! INPROGRESS (RFC 9585): a client hears that a command which takes long is still worked on, so
//! that it neither gives up nor takes the connection for dead.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::Poll;
use std::time::Duration;

use futures_util::future::poll_fn;
use mailbox::Millis;

use crate::backend::{Backend, Transport};
use crate::connection::Connection;
use crate::grammar::{Command, CommandBody, Tag};
use crate::limits::PROGRESS_SECONDS;
use crate::respond::Code;
use crate::state::{Result, Session};

/// What is told of the command that runs. By default nothing: of some commands the responses have
/// parts, between which nothing may be said.
#[derive(Default)]
pub(crate) struct Progress {
    tag: Option<Tag>,
    /// When something is to be told next.
    next: Millis,
}

/// How far something is that is waited for; by default it is not known.
#[derive(Default)]
pub(crate) struct Tally {
    done: AtomicU64,
    goal: AtomicU64,
}

impl Tally {
    /// So many messages are to be looked at.
    pub(crate) fn begin(&self, goal: u64) {
        self.done.store(0, Relaxed);
        self.goal.store(goal, Relaxed);
    }

    /// One more was.
    pub(crate) fn count(&self) {
        self.done.fetch_add(1, Relaxed);
    }

    fn progress(&self) -> Option<(u64, u64)> {
        let goal = self.goal.load(Relaxed);
        (goal > 0).then(|| (self.done.load(Relaxed).min(goal), goal))
    }
}

impl Progress {
    /// Of a command that begins now.
    pub(crate) fn of(command: &Command, now: Millis) -> Progress {
        let is_told = matches!(
            command.body,
            CommandBody::Search(_)
                | CommandBody::MultiSearch(_)
                | CommandBody::Sort(_)
                | CommandBody::Thread(_)
                | CommandBody::Store(_)
                | CommandBody::Copy(_)
                | CommandBody::Move(_)
                | CommandBody::Expunge
                | CommandBody::UidExpunge { .. }
        );
        Progress {
            tag: is_told.then(|| command.tag.clone()),
            next: Millis(now.0 + PROGRESS_SECONDS * 1000),
        }
    }

    /// Waits for something that counts how far it is, if it does (RFC 9585 section 3.1).
    pub(crate) async fn while_waiting<T: Transport, F: Future>(
        &self,
        conn: &mut Connection<'_, T>,
        tally: &Tally,
        future: F,
    ) -> Result<F::Output> {
        let Some(tag) = &self.tag else {
            return Ok(future.await);
        };
        let mut future = pin!(future);
        loop {
            let pause = conn.transport.sleep(Duration::from_secs(PROGRESS_SECONDS));
            let mut pause = pin!(pause);
            let done = poll_fn(|context| {
                if let Poll::Ready(output) = future.as_mut().poll(context) {
                    return Poll::Ready(Some(output));
                }
                pause.as_mut().poll(context).map(|()| None)
            });
            if let Some(output) = done.await {
                return Ok(output);
            }
            tell(conn, tag, tally.progress()).await?;
        }
    }
}

impl<T: Transport, B: Backend> Session<'_, T, B> {
    /// So many messages of so many were worked on; told if the last time is long ago.
    pub(crate) async fn report(&mut self, done: u64, goal: u64) -> Result<()> {
        let Some(tag) = &self.progress.tag else {
            return Ok(());
        };
        let now = self.conn.transport.now();
        if now < self.progress.next || goal == 0 {
            return Ok(());
        }
        self.progress.next = Millis(now.0 + PROGRESS_SECONDS * 1000);
        tell(&mut self.conn, tag, Some((done.min(goal), goal))).await
    }
}

async fn tell<T: Transport>(
    conn: &mut Connection<'_, T>,
    tag: &Tag,
    progress: Option<(u64, u64)>,
) -> Result<()> {
    let tag = tag.clone();
    let code = Code::InProgress { tag, progress };
    conn.out.untagged_ok(Some(&code), "Still at it");
    conn.flush().await
}
