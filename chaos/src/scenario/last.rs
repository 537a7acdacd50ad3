//! Whether every partition takes mail and changes through every node, once all is whole again.
//!
//! Under load one partition that takes nothing any more is not missed among many: clients go on
//! with the others. So each gets, through each node, a delivery, an APPEND and a STORE, and has
//! [`SERVE_WAIT`] for it.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use anyhow::Context;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::history::{Answer, Flags, MAILBOXES, Met, Mode, Op, Place};
use crate::limits::{LOOK_EVERY, SERVE_WAIT};
use crate::load::mta::Mta;
use crate::load::{Door, Role, Scene, serial};
use crate::mail::Trouble;
use crate::mail::imap::Imap;
use crate::mail::message::{Content, message_of_size};
use crate::seed;

/// Bytes of each message.
const MESSAGE_BYTES: usize = 2000;

/// Partitions that are written to at the same time.
const AT_ONCE: usize = 4;

/// One door to one partition.
struct Last {
    scene: Arc<Scene>,
    door: Door,
    group: u64,
    account: u32,
}

/// Writes to every partition that has an account, through every node. What is not done in time is
/// in the history then, for the judge.
///
/// # Errors
///
/// When one of the clients panics.
pub(super) async fn write(scene: &Arc<Scene>) -> anyhow::Result<()> {
    let mut accounts = BTreeMap::new();
    for (number, account) in (0..).zip(&scene.accounts) {
        accounts.entry(account.group).or_insert(number);
    }
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut writing = JoinSet::new();
    // An account has one client at a time that changes it.
    for (group, account) in accounts {
        let (scene, room) = (Arc::clone(scene), Arc::clone(&room));
        writing.spawn(async move {
            let _permit = room.acquire().await;
            for door in scene.doors() {
                let scene = Arc::clone(&scene);
                let last = Last {
                    scene,
                    door,
                    group,
                    account,
                };
                last.write().await;
            }
        });
    }
    while let Some(written) = writing.join_next().await {
        written.context("writing to every partition")?;
    }
    Ok(())
}

impl Last {
    async fn write(&self) {
        let place = Place {
            account: self.account,
            mailbox: 0,
        };
        self.in_time("a delivery", self.deliver(place)).await;
        self.in_time("an APPEND and a STORE", self.change(place))
            .await;
    }

    fn name(&self) -> String {
        format!("last{}", self.group)
    }

    /// The number of this client.
    fn number(&self) -> u64 {
        (self.group << 8) | self.door.node
    }

    async fn in_time(&self, what: &str, asked: impl Future<Output = ()>) {
        if timeout(SERVE_WAIT, asked).await.is_err() {
            let group = self.group;
            let met = Met::NotServed(format!("group {group}: {what} within {SERVE_WAIT:?}"));
            let recorder = &self.scene.recorder;
            recorder.met(&self.name(), self.door.node, met);
        }
    }

    async fn deliver(&self, place: Place) {
        let serial = serial(Role::Last, self.number(), 0);
        let message = message_of_size(self.scene.seed, serial, MESSAGE_BYTES);
        let mut rng = seed::generator(self.scene.seed, "last", self.number());
        let mut mta = Mta::new(&self.scene, Role::Last, self.number(), vec![self.door]);
        // What it gives up it tells by itself.
        mta.send(serial, &message, vec![place], &mut rng).await;
        mta.hang_up().await;
    }

    /// Appends and flags, in sessions anew until both are done.
    async fn change(&self, place: Place) {
        for attempt in 1.. {
            match self.try_change(place, attempt).await {
                Ok(()) => return,
                Err(_) => sleep(LOOK_EVERY).await,
            }
        }
    }

    async fn try_change(&self, place: Place, attempt: u64) -> Result<(), Trouble> {
        let name = self.name();
        let mut imap = self.scene.log_in(&name, self.door, self.account).await?;
        let serial = serial(Role::Last, self.number(), attempt);
        let message = message_of_size(self.scene.seed, serial, MESSAGE_BYTES);
        let content = Content::of(&message);
        let flags = Flags::FLAGGED;
        let op = Op::Append {
            to: place,
            serial,
            content,
            flags,
        };
        let open = self.scene.recorder.invoke(&name, self.door.node, op);
        let appended = imap.append(MAILBOXES[0], flags, &message).await;
        let appended = open.end(appended, |(validity, uid)| Answer::Appended {
            validity: *validity,
            uid: *uid,
        });
        let (_, uid) = appended?;
        self.store(&mut imap, place, uid).await?;
        imap.logout().await;
        Ok(())
    }

    async fn store(&self, imap: &mut Imap, place: Place, uid: u32) -> Result<(), Trouble> {
        let selected = imap.select(MAILBOXES[0]).await;
        if let Err(trouble) = &selected {
            let recorder = &self.scene.recorder;
            recorder.trouble(&self.name(), self.door.node, trouble);
        }
        selected?;
        let (mode, flags, uids) = (Mode::Add, Flags::SEEN, vec![uid]);
        let op = Op::Store {
            place,
            uids,
            mode,
            flags,
        };
        let name = self.name();
        let open = self.scene.recorder.invoke(&name, self.door.node, op);
        let stored = imap.store(&[uid], mode, flags).await;
        open.end(stored, |told| Answer::Stored(told.clone()))?;
        Ok(())
    }
}
