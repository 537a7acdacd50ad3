//! The one client that changes an account.
//!
//! It knows what it was told: UIDs from lists and from answers. What it does not know, it does not
//! touch. So each of its changes has a meaning that the judge can check, also when the answer is
//! lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use rand::seq::IteratorRandom;
use rand_chacha::ChaCha8Rng;
use tokio::time::sleep;

use super::{Role, Scene, Stop, serial};
use crate::history::{Answer, Flags, MAILBOXES, Mode, Op, Open, Place};
use crate::mail::Trouble;
use crate::mail::imap::Imap;
use crate::mail::message::{Content, Serial, message};
use crate::seed;

/// Beyond so many messages in a mailbox it rather expunges, so that lists stay short.
const MESSAGES_WANTED: usize = 120;

/// Works on an account until it is told to stop.
pub async fn run(scene: Arc<Scene>, account: u32, stop: Stop) {
    let mut worker = Worker {
        rng: seed::generator(scene.seed, "worker", u64::from(account)),
        name: format!("worker{account}"),
        known: Default::default(),
        session: None,
        appended: 0,
        account,
        scene: &scene,
    };
    while !stop.is_set() {
        worker.step().await;
        let pause = worker.rng.random_range(0..40);
        sleep(Duration::from_millis(pause)).await;
    }
    if let Some((_, imap)) = worker.session.take() {
        imap.logout().await;
    }
}

struct Worker<'a> {
    scene: &'a Scene,
    account: u32,
    name: String,
    rng: ChaCha8Rng,
    session: Option<(u64, Imap)>,
    /// Messages in each mailbox that were there when it last heard of them.
    known: [BTreeMap<u32, Serial>; MAILBOXES.len()],
    appended: u64,
}

impl Worker<'_> {
    fn place(&self, mailbox: usize) -> Place {
        Place {
            account: self.account,
            mailbox: u8::try_from(mailbox).unwrap_or(0),
        }
    }

    async fn step(&mut self) {
        if self.session.is_none() && !self.log_in().await {
            return;
        }
        let mailbox = self.rng.random_range(0..MAILBOXES.len());
        let dice = self.rng.random_range(0..100);
        if self.known[mailbox].len() > MESSAGES_WANTED && dice < 60 {
            self.expunge(mailbox, 20).await;
            return;
        }
        match dice {
            0..25 => self.append(mailbox).await,
            25..45 => self.list(mailbox).await,
            45..70 => self.store(mailbox).await,
            70..80 => self.copy(mailbox, false).await,
            80..88 => self.copy(mailbox, true).await,
            88..95 => self.expunge(mailbox, 5).await,
            _ => self.read(mailbox).await,
        }
        if self.rng.random_range(0..64) == 0
            && let Some((_, imap)) = self.session.take()
        {
            imap.logout().await;
        }
    }

    async fn log_in(&mut self) -> bool {
        let door = self.scene.any_node(&mut self.rng);
        match self.scene.log_in(&self.name, door, self.account).await {
            Ok(imap) => self.session = Some((door.node, imap)),
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
        self.session.is_some()
    }

    /// The session, with a mailbox selected in which all these UIDs are in view.
    async fn select(&mut self, mailbox: usize, uids: &[u32]) -> Option<(u64, Imap)> {
        let (node, mut imap) = self.session.take()?;
        let anew = self.rng.random_range(0..4) == 0;
        let in_view = imap.selected().is_some_and(|selected| {
            selected.name == MAILBOXES[mailbox] && uids.iter().all(|uid| *uid < selected.uid_next)
        });
        if (anew || !in_view)
            && let Err(trouble) = imap.select(MAILBOXES[mailbox]).await
        {
            self.scene.recorder.trouble(&self.name, node, &trouble);
            if trouble.alive() {
                self.session = Some((node, imap));
            }
            return None;
        }
        Some((node, imap))
    }

    /// Takes down how an operation ended, and keeps the session if it can be used.
    fn end<T>(
        &mut self,
        open: Open,
        (node, imap): (u64, Imap),
        result: Result<T, Trouble>,
        answer: impl FnOnce(&T) -> Answer,
    ) -> Result<T, Trouble> {
        let result = open.end(result, answer);
        if result.as_ref().map_or_else(Trouble::alive, |_| true) {
            self.session = Some((node, imap));
        }
        result
    }

    fn begin(&self, node: u64, op: Op) -> Open {
        self.scene.recorder.invoke(&self.name, node, op)
    }

    fn choose(&mut self, mailbox: usize, many: usize) -> Vec<u32> {
        let many = self.rng.random_range(1..=many);
        let mut uids: Vec<u32> = self.known[mailbox]
            .keys()
            .copied()
            .choose_multiple(&mut self.rng, many);
        uids.sort_unstable();
        uids
    }

    fn flags(&mut self) -> Flags {
        let drawn = self.rng.random_range(0..128);
        Flags(drawn & !Flags::DELETED.0)
    }

    async fn append(&mut self, mailbox: usize) {
        let Some((node, mut imap)) = self.session.take() else {
            return;
        };
        self.appended += 1;
        let serial = serial(Role::Worker, u64::from(self.account), self.appended);
        let message = message(self.scene.seed, serial, self.scene.sizes);
        let flags = self.flags();
        let to = self.place(mailbox);
        let content = Content::of(&message);
        let open = self.begin(
            node,
            Op::Append {
                to,
                serial,
                content,
                flags,
            },
        );
        let result = imap.append(MAILBOXES[mailbox], flags, &message).await;
        let result = self.end(open, (node, imap), result, |(validity, uid)| {
            Answer::Appended {
                validity: *validity,
                uid: *uid,
            }
        });
        if let Ok((_, uid)) = result {
            self.known[mailbox].insert(uid, serial);
        }
    }

    async fn list(&mut self, mailbox: usize) {
        let Some((node, mut imap)) = self.session.take() else {
            return;
        };
        let place = self.place(mailbox);
        let open = self.begin(node, Op::List { place, last: false });
        let result = listing(&mut imap, mailbox, false).await;
        let listed = self.end(open, (node, imap), result, Answer::clone);
        if let Ok(Answer::Listed { messages, .. }) = listed {
            let known = messages
                .iter()
                .filter_map(|message| Some((message.uid, message.serial?)));
            self.known[mailbox] = known.collect();
        }
    }

    async fn read(&mut self, mailbox: usize) {
        let Some(uid) = self.choose(mailbox, 1).first().copied() else {
            return;
        };
        let Some((node, mut imap)) = self.session.take() else {
            return;
        };
        let place = self.place(mailbox);
        let open = self.begin(node, Op::Read { place, uid });
        let result = reading(&mut imap, mailbox, uid).await;
        drop(self.end(open, (node, imap), result, Answer::clone));
    }

    async fn store(&mut self, mailbox: usize) {
        let uids = self.choose(mailbox, 4);
        let mode = match self.rng.random_range(0..3) {
            0 => Mode::Add,
            1 => Mode::Remove,
            _ => Mode::Replace,
        };
        let flags = self.flags();
        self.store_these(mailbox, &uids, mode, flags).await;
    }

    async fn store_these(
        &mut self,
        mailbox: usize,
        uids: &[u32],
        mode: Mode,
        flags: Flags,
    ) -> bool {
        if uids.is_empty() {
            return false;
        }
        let Some((node, mut imap)) = self.select(mailbox, uids).await else {
            return false;
        };
        let place = self.place(mailbox);
        let open = self.begin(
            node,
            Op::Store {
                place,
                uids: uids.to_vec(),
                mode,
                flags,
            },
        );
        let result = imap.store(uids, mode, flags).await;
        self.end(open, (node, imap), result, |told| {
            Answer::Stored(told.clone())
        })
        .is_ok()
    }

    async fn expunge(&mut self, mailbox: usize, many: usize) {
        let uids = self.choose(mailbox, many);
        if !self
            .store_these(mailbox, &uids, Mode::Add, Flags::DELETED)
            .await
        {
            return;
        }
        let Some((node, mut imap)) = self.select(mailbox, &uids).await else {
            return;
        };
        let place = self.place(mailbox);
        let open = self.begin(
            node,
            Op::Expunge {
                place,
                uids: uids.clone(),
            },
        );
        let result = imap.expunge(&uids).await;
        let result = self.end(open, (node, imap), result, |()| Answer::Expunged);
        if !matches!(result, Err(Trouble::NotDone(..))) {
            self.known[mailbox].retain(|uid, _| !uids.contains(uid));
        }
    }

    async fn copy(&mut self, mailbox: usize, moving: bool) {
        let uids = self.choose(mailbox, 4);
        let other = (mailbox + self.rng.random_range(1..MAILBOXES.len())) % MAILBOXES.len();
        if uids.is_empty() {
            return;
        }
        let Some((node, mut imap)) = self.select(mailbox, &uids).await else {
            return;
        };
        let (from, to) = (self.place(mailbox), self.place(other));
        let open = self.begin(
            node,
            Op::Copy {
                moving,
                from,
                to,
                uids: uids.clone(),
            },
        );
        let result = imap.copy(moving, &uids, MAILBOXES[other]).await;
        let result = self.end(open, (node, imap), result, |(validity, pairs)| {
            Answer::Copied {
                validity: *validity,
                pairs: pairs.clone(),
            }
        });
        let [from, to] = self
            .known
            .get_disjoint_mut([mailbox, other])
            .expect("they differ");
        if let Ok((_, pairs)) = &result {
            for (source, target) in pairs {
                if let Some(serial) = from.get(source) {
                    to.insert(*target, *serial);
                }
            }
        }
        if moving && !matches!(result, Err(Trouble::NotDone(..))) {
            from.retain(|uid, _| !uids.contains(uid));
        }
    }
}

/// Everything in a mailbox, selected anew.
pub(crate) async fn listing(
    imap: &mut Imap,
    mailbox: usize,
    whole: bool,
) -> Result<Answer, Trouble> {
    let selected = imap.select(MAILBOXES[mailbox]).await?;
    let messages = imap.list(whole).await?;
    let (validity, uid_next, modseq) = (selected.validity, selected.uid_next, selected.modseq);
    Ok(Answer::Listed {
        validity,
        uid_next,
        modseq,
        messages,
    })
}

/// One message of a mailbox, selected anew.
pub(crate) async fn reading(imap: &mut Imap, mailbox: usize, uid: u32) -> Result<Answer, Trouble> {
    let selected = imap.select(MAILBOXES[mailbox]).await?;
    let body = imap.read(uid).await?;
    Ok(Answer::Body {
        validity: selected.validity,
        body,
    })
}
