//! A large message through the kill of a leader: `rookery-chaos big-message`.
//!
//! It is far larger than an entry may be, so it travels in chunks. The leader of its partition is
//! killed when half of it has been sent: what was committed stays, what was not is sent again, and
//! the client notices a pause.

use std::sync::Arc;

use anyhow::{Context, ensure};
use tokio::time::{Instant, sleep};

use super::stage::{Setting, Stage, seconds};
use crate::cluster::PASSWORD;
use crate::history::{Answer, Flags, MAILBOXES, Op, Place, Receipt};
use crate::limits::{DELIVER_WAIT, LOOK_EVERY};
use crate::load::{Door, Role, serial};
use crate::mail::Trouble;
use crate::mail::imap::Imap;
use crate::mail::lmtp::Lmtp;
use crate::mail::message::{Content, Serial, message_of_size};
use crate::nemesis::Campaign;
use crate::report::{Demands, Ending};

/// What can be chosen.
#[derive(Clone, Debug)]
pub struct Options {
    /// What every scenario is told.
    pub setting: Setting,
    /// Bytes of the message.
    pub size: usize,
}

/// Bytes that are sent at once.
const PART_BYTES: usize = 256 << 10;

/// The account that gets the messages.
const PLACE: Place = Place {
    account: 0,
    mailbox: 0,
};

/// The client's name in the history.
const CLIENT: &str = "big";

/// Delivers and appends it, each through a kill, and judges.
///
/// # Errors
///
/// When the cluster does not heal, or a message never gets through.
pub async fn run(options: &Options) -> anyhow::Result<Ending> {
    let began = Instant::now();
    let big = Big {
        stage: Stage::set(&options.setting).await?,
        size: options.size,
        seed: options.setting.seed,
    };
    let mut campaign = Campaign::default();
    for appending in [false, true] {
        big.stage.cluster.settle().await?;
        let kills = big.send(appending).await?;
        campaign.kills += kills;
        let how = if appending { "appended" } else { "delivered" };
        println!(
            "{} bytes {how} after {}",
            options.size,
            seconds(began.elapsed())
        );
    }
    let demands = Demands {
        kills: 2,
        operations: 2,
        ..Demands::default()
    };
    big.stage.conclude(&demands, &campaign).await
}

struct Big {
    stage: Stage,
    size: usize,
    seed: u64,
}

impl Big {
    /// Sends one message until it is there, killing a leader during the first attempt. Answers the
    /// kills.
    async fn send(&self, appending: bool) -> anyhow::Result<u32> {
        let give_up = Instant::now() + DELIVER_WAIT;
        let mut number = 0;
        let mut kills = 0;
        loop {
            // An MTA repeats the same message; a mail client appends, for the server, a new one.
            number += u64::from(appending || number == 0);
            let serial = serial(Role::Large, u64::from(appending), number);
            let message = Arc::new(message_of_size(self.seed, serial, self.size));
            let (leader, door) = self.roles().await?;
            let victim = (kills == 0).then_some(leader);
            let sent = match appending {
                false => self.deliver(door, serial, &message, victim).await?,
                true => self.append(door, serial, &message, victim).await?,
            };
            if victim.is_some() {
                kills += 1;
                self.stage.cluster.start(leader).await?;
            }
            match sent {
                Ok(()) => return Ok(kills),
                Err(why) => println!("another attempt: {why}"),
            }
            ensure!(
                Instant::now() < give_up,
                "the large message does not get through"
            );
            sleep(LOOK_EVERY).await;
        }
    }

    /// The leader of the account's partition, and another node to talk to.
    async fn roles(&self) -> anyhow::Result<(u64, Door)> {
        let group = self.stage.scene.account(PLACE.account).group;
        let leaders = self.stage.cluster.leaders().await;
        let leader = leaders
            .get(&group)
            .context("the partition has no leader")?
            .node;
        let mut others = self
            .stage
            .scene
            .doors()
            .into_iter()
            .filter(|door| door.node != leader);
        Ok((leader, others.next().context("there are several nodes")?))
    }

    async fn kill(&self, victim: Option<u64>) -> anyhow::Result<()> {
        if let Some(victim) = victim {
            self.stage.cluster.kill(victim, Vec::new()).await?;
        }
        Ok(())
    }

    async fn deliver(
        &self,
        door: Door,
        serial: Serial,
        message: &[u8],
        victim: Option<u64>,
    ) -> anyhow::Result<Result<(), String>> {
        let mut lmtp = Lmtp::connect(door.lmtp).await?;
        let op = Op::Deliver {
            serial,
            content: Content::of(message),
            to: vec![PLACE],
        };
        let open = self.stage.scene.recorder.invoke(CLIENT, door.node, op);
        let to = [self.stage.scene.address(PLACE)];
        let mut transaction = match lmtp.begin("big@sender.example", &to).await {
            Ok(Ok(transaction)) => transaction,
            Ok(Err(receipts)) => {
                let why = format!("{receipts:?}");
                open.ok(Answer::Delivered(receipts));
                return Ok(Err(why));
            }
            Err(trouble) => {
                let why = trouble.to_string();
                drop(open.end(Err::<(), _>(trouble), |()| Answer::Expunged));
                return Ok(Err(why));
            }
        };
        let (first, second) = message.split_at(message.len() / 2);
        let sending = async {
            for part in first.chunks(PART_BYTES) {
                transaction.data(part).await?;
            }
            let killed = self.kill(victim).await;
            for part in second.chunks(PART_BYTES) {
                transaction.data(part).await?;
            }
            Ok((killed, transaction.finish().await?))
        };
        let sent: Result<_, Trouble> = sending.await;
        let sent = open.end(sent, |(_, receipts)| Answer::Delivered(receipts.clone()));
        match sent {
            Ok((killed, receipts)) => {
                let result = match &receipts[..] {
                    [Receipt::Stored] => Ok(()),
                    other => Err(format!("{other:?}")),
                };
                killed.map(|()| result)
            }
            Err(trouble) => Ok(Err(trouble.to_string())),
        }
    }

    async fn append(
        &self,
        door: Door,
        serial: Serial,
        message: &[u8],
        victim: Option<u64>,
    ) -> anyhow::Result<Result<(), String>> {
        let name = &self.stage.scene.account(PLACE.account).name;
        let mut imap = Imap::connect(door.imap, name, PASSWORD).await?;
        let (flags, content) = (Flags::SEEN, Content::of(message));
        let op = Op::Append {
            to: PLACE,
            serial,
            content,
            flags,
        };
        let open = self.stage.scene.recorder.invoke(CLIENT, door.node, op);
        let mailbox = MAILBOXES[usize::from(PLACE.mailbox)];
        if let Err(trouble) = imap.append_begin(mailbox, flags, message.len()).await {
            open.fail(trouble.to_string());
            return Ok(Err(trouble.to_string()));
        }
        let (first, second) = message.split_at(message.len() / 2);
        let sending = async {
            for part in first.chunks(PART_BYTES) {
                imap.append_part(part).await?;
            }
            let killed = self.kill(victim).await;
            for part in second.chunks(PART_BYTES) {
                imap.append_part(part).await?;
            }
            Ok((killed, imap.append_finish().await?))
        };
        let sent: Result<_, Trouble> = sending.await;
        let sent = open.end(sent, |(_, (validity, uid))| Answer::Appended {
            validity: *validity,
            uid: *uid,
        });
        match sent {
            Ok((killed, _)) => killed.map(Ok),
            Err(trouble) => Ok(Err(trouble.to_string())),
        }
    }
}
