//! Mail at an even pace, far below what the cluster can take, to see how long each delivery waits
//! while something else goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::figures::deliver;
use crate::load::Scene;
use crate::mail::lmtp::Lmtp;
use crate::mail::message::{Serial, message_of_size};

/// Connections that deliver.
const CONNECTIONS: u64 = 4;

/// Between two deliveries of a connection.
const EVERY: Duration = Duration::from_millis(20);

/// Bytes of a message.
const BYTES: usize = 4096;

/// Deliveries that go on until they are stopped.
pub struct Pace {
    stop: Arc<AtomicBool>,
    senders: JoinSet<anyhow::Result<Vec<Duration>>>,
}

impl Pace {
    /// Begins to deliver through all nodes that are there, with serials from `first` on.
    pub fn begin(scene: &Arc<Scene>, first: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut senders = JoinSet::new();
        for connection in 0..CONNECTIONS {
            let (scene, stop) = (Arc::clone(scene), Arc::clone(&stop));
            senders.spawn(async move { send(&scene, &stop, first, connection).await });
        }
        Self { stop, senders }
    }

    /// Ends the deliveries; answers how long the slowest in a hundred took.
    ///
    /// # Errors
    ///
    /// When one was refused, or there was none.
    pub async fn end(mut self) -> anyhow::Result<Duration> {
        self.stop.store(true, Relaxed);
        let mut took = Vec::new();
        while let Some(sent) = self.senders.join_next().await {
            took.extend(sent??);
        }
        took.sort_unstable();
        let at = took.len() * 99 / 100;
        took.get(at).copied().context("nothing was delivered")
    }
}

async fn send(
    scene: &Scene,
    stop: &AtomicBool,
    first: u64,
    connection: u64,
) -> anyhow::Result<Vec<Duration>> {
    let doors = scene.doors();
    let door = doors[usize::try_from(connection)? % doors.len()];
    let mut lmtp = Lmtp::connect(door.lmtp).await?;
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut took = Vec::new();
    let accounts = u64::try_from(scene.accounts.len())?;
    while !stop.load(Relaxed) {
        ticks.tick().await;
        let serial = first + took.len() as u64 * CONNECTIONS + connection;
        let message = message_of_size(scene.seed, Serial(serial), BYTES);
        let began = Instant::now();
        deliver(
            &mut lmtp,
            scene,
            u32::try_from(serial % accounts)?,
            &message,
        )
        .await?;
        took.push(began.elapsed());
    }
    lmtp.quit().await;
    Ok(took)
}
