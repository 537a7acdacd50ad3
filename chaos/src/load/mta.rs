//! A client that delivers mail until every recipient has it.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use rand::seq::IndexedRandom;
use rand::seq::index::sample;
use tokio::time::{Instant, sleep};

use super::{Door, Role, Scene, Stop, serial};
use crate::history::{Answer, Met, Op, Place, Receipt};
use crate::limits::DELIVER_WAIT;
use crate::mail::Trouble;
use crate::mail::lmtp::Lmtp;
use crate::mail::message::{Content, Serial, message};
use crate::seed;

/// Delivers one message after the other.
pub async fn run(scene: Arc<Scene>, number: u64, stop: Stop) {
    let mut rng = seed::generator(scene.seed, "mta", number);
    let mut mta = Mta::new(&scene, Role::Mta, number, scene.nodes.clone());
    let mut sent = 0;
    while !stop.is_set() {
        sent += 1;
        let serial = serial(Role::Mta, number, sent);
        let to = recipients(&scene, &mut rng);
        let message = message(scene.seed, serial, scene.sizes);
        mta.send(serial, &message, to, &mut rng).await;
        if rng.random_range(0..16) == 0 {
            mta.hang_up().await;
        }
        sleep(Duration::from_millis(rng.random_range(0..40))).await;
    }
    mta.hang_up().await;
}

fn recipients(scene: &Scene, rng: &mut impl Rng) -> Vec<Place> {
    let many = match rng.random_range(0..20) {
        0 => 3,
        1..4 => 2,
        _ => 1,
    };
    let chosen = sample(rng, scene.accounts.len(), many.min(scene.accounts.len()));
    chosen
        .into_iter()
        .map(|account| Place {
            account: u32::try_from(account).unwrap_or(0),
            mailbox: u8::from(rng.random_range(0..8) == 0),
        })
        .collect()
}

/// An MTA with at most one connection.
pub(crate) struct Mta<'a> {
    scene: &'a Scene,
    name: String,
    sender: String,
    doors: Vec<Door>,
    connection: Option<(u64, Lmtp)>,
}

impl<'a> Mta<'a> {
    /// Delivers through these doors.
    pub(crate) fn new(scene: &'a Scene, role: Role, number: u64, doors: Vec<Door>) -> Self {
        let name = format!("{role:?}{number}").to_lowercase();
        let sender = format!("{name}@sender.example");
        Self {
            scene,
            name,
            sender,
            doors,
            connection: None,
        }
    }

    /// Connects to any of its doors, if that one answers.
    async fn connect(&mut self, rng: &mut impl Rng) {
        let open = self
            .doors
            .iter()
            .filter(|door| self.scene.is_open(door.node));
        let open: Vec<Door> = open.copied().collect();
        if let Some(door) = open.choose(rng) {
            self.connection = Lmtp::connect(door.lmtp)
                .await
                .ok()
                .map(|lmtp| (door.node, lmtp));
        }
    }

    pub(crate) async fn hang_up(&mut self) {
        if let Some((_, lmtp)) = self.connection.take() {
            lmtp.quit().await;
        }
    }

    /// Tries until every recipient has it or has refused it for good. The bytes and the envelope
    /// stay the same, but for recipients that have it already. Answers whether all have it; a
    /// message that it gives up goes into the history, since an MTA would send it back.
    pub(crate) async fn send(
        &mut self,
        serial: Serial,
        message: &[u8],
        to: Vec<Place>,
        rng: &mut impl Rng,
    ) -> bool {
        let content = Content::of(message);
        let mut left = to;
        let mut all = true;
        let mut last = "nobody takes a connection".to_owned();
        let give_up = Instant::now() + DELIVER_WAIT;
        while Instant::now() < give_up {
            if self.connection.is_none() {
                self.connect(rng).await;
            }
            if let Some((node, mut lmtp)) = self.connection.take() {
                let op = Op::Deliver {
                    serial,
                    content: content.clone(),
                    to: left.clone(),
                };
                let open = self.scene.recorder.invoke(&self.name, node, op);
                let addresses: Vec<String> = left
                    .iter()
                    .map(|place| self.scene.address(*place))
                    .collect();
                let delivered = lmtp.deliver(&self.sender, &addresses, message).await;
                let delivered = open.end(delivered, |receipts| Answer::Delivered(receipts.clone()));
                if delivered.as_ref().map_or_else(Trouble::alive, |_| true) {
                    self.connection = Some((node, lmtp));
                }
                match delivered {
                    Ok(receipts) => {
                        all &= !receipts.iter().any(Receipt::is_bounce);
                        last = format!("{receipts:?}");
                        let open_ends = left.iter().zip(&receipts);
                        let open_ends = open_ends.filter(|(_, receipt)| is_open(receipt));
                        left = open_ends.map(|(place, _)| *place).collect();
                    }
                    Err(trouble) => last = trouble.to_string(),
                }
            }
            if left.is_empty() {
                return all;
            }
            sleep(Duration::from_millis(rng.random_range(20..200))).await;
        }
        let met = Met::GaveUp { serial, left, last };
        self.scene.recorder.met(&self.name, 0, met);
        false
    }
}

/// Whether an MTA would try again.
fn is_open(receipt: &Receipt) -> bool {
    *receipt != Receipt::Stored && !receipt.is_bounce()
}
