//! A client that looks at mailboxes and changes nothing.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use rand::seq::IndexedRandom;
use tokio::time::sleep;

use super::worker::{listing, reading};
use super::{Scene, Stop};
use crate::history::{Answer, MAILBOXES, Op, Place};
use crate::mail::Trouble;
use crate::mail::imap::Imap;
use crate::seed;

/// The longest that it idles, milliseconds.
const IDLE_MS_MAX: u64 = 500;

/// Reads until it is told to stop.
pub async fn run(scene: Arc<Scene>, number: u64, stop: Stop) {
    let mut rng = seed::generator(scene.seed, "reader", number);
    let name = format!("reader{number}");
    while !stop.is_set() {
        let account = rng.random_range(0..scene.accounts.len());
        let account = u32::try_from(account).unwrap_or(0);
        let door = scene.any_node(&mut rng);
        let looks = rng.random_range(4..20);
        let Ok(mut imap) = scene.log_in(&name, door, account).await else {
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let mut reader = Reader {
            scene: &scene,
            name: &name,
            account,
            node: door.node,
        };
        let mut alive = true;
        for _ in 0..looks {
            if stop.is_set() || !alive {
                break;
            }
            alive = reader.look(&mut imap, &mut rng).await;
            sleep(Duration::from_millis(rng.random_range(0..80))).await;
        }
        if alive {
            imap.logout().await;
        }
    }
}

struct Reader<'a> {
    scene: &'a Scene,
    name: &'a str,
    account: u32,
    node: u64,
}

impl Reader<'_> {
    /// Lists a mailbox, sometimes waits for news, and reads a message of it. Answers whether the
    /// connection can be used further.
    async fn look(&mut self, imap: &mut Imap, rng: &mut impl Rng) -> bool {
        let mailbox = rng.random_range(0..MAILBOXES.len());
        let place = Place {
            account: self.account,
            mailbox: u8::try_from(mailbox).unwrap_or(0),
        };
        let op = Op::List { place, last: false };
        let listed = match self.read(op, listing(imap, mailbox, false)).await {
            Ok(Answer::Listed { messages, .. }) => messages,
            Ok(_) => return true,
            Err(trouble) => return trouble.alive(),
        };
        match rng.random_range(0..4) {
            0 => {
                let wait = Duration::from_millis(rng.random_range(1..IDLE_MS_MAX));
                let Err(trouble) = imap.idle(wait).await else {
                    return true;
                };
                let recorder = &self.scene.recorder;
                recorder.trouble(self.name, self.node, &trouble);
                trouble.alive()
            }
            1 => {
                let Some(message) = listed.choose(rng) else {
                    return true;
                };
                let op = Op::Read {
                    place,
                    uid: message.uid,
                };
                let read = self.read(op, reading(imap, mailbox, message.uid)).await;
                read.map_or_else(|trouble| trouble.alive(), |_| true)
            }
            _ => true,
        }
    }

    async fn read(
        &self,
        op: Op,
        asked: impl Future<Output = Result<Answer, Trouble>>,
    ) -> Result<Answer, Trouble> {
        let open = self.scene.recorder.invoke(self.name, self.node, op);
        open.end(asked.await, Answer::clone)
    }
}
