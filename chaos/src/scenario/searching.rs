//! How long SEARCH takes in a large mailbox: for a text that nobody has, for one that one in a
//! hundred has, and for one that is too short for the index, so that every message is read.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::ensure;
use rand::Rng;
use rand::seq::IndexedRandom;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::figures::{deliver, mib};
use super::stage::Stage;
use crate::cluster::PASSWORD;
use crate::history::MAILBOXES;
use crate::mail::imap::Imap;
use crate::mail::lmtp::Lmtp;
use crate::seed;

/// Messages in the mailbox.
const MESSAGES: u32 = 10_000;

/// Bytes of text in each.
const TEXT_BYTES: usize = 4_000;

/// Words that mail is written with, so that two messages have much in common.
const WORDS: usize = 5_000;

/// Connections that deliver.
const CONNECTIONS: u32 = 16;

/// One in so many messages has [`RARE`].
const RARE_EVERY: u32 = 100;

/// Words that [`word`] does not make.
const RARE: &str = "zwetschgenknoedel";
const ABSENT: &str = "quarkstrudel";
const SHORT: &str = "~|";

/// So that it ends.
const INDEX_WAIT: Duration = Duration::from_secs(1800);

/// How often each search is done; the median counts.
const RUNS: usize = 5;

/// Delivers, searches on the node that leads, waits until all is indexed, searches again, prints.
pub(super) async fn measure(stage: &Stage) -> anyhow::Result<()> {
    let bytes = fill(stage).await?;
    let account = &stage.scene.accounts[0];
    let door = stage.leaders_door(account).await?;
    let mut imap = Imap::connect(door.imap, &account.name, PASSWORD).await?;
    imap.select(MAILBOXES[0]).await?;
    let rare = u64::from(MESSAGES / RARE_EVERY);
    // From now on the mailbox is indexed.
    time(&mut imap, &format!("BODY {ABSENT}"), 0, 1).await?;
    let searched = Instant::now();
    wait_for_index(stage, door.node).await?;
    let indexed = searched.elapsed();
    let absent = time(&mut imap, &format!("BODY {ABSENT}"), 0, RUNS).await?;
    let one_in_hundred = time(&mut imap, &format!("BODY {RARE}"), rare, RUNS).await?;
    let read = time(&mut imap, &format!("BODY \"{SHORT}\""), 0, RUNS).await?;
    imap.logout().await;
    let factor = |time: Duration| read.as_secs_f64() / time.as_secs_f64();
    println!(
        "search       BODY over {MESSAGES} messages of {} bytes: {absent:.2?} for what none has, \
         {one_in_hundred:.2?} for what 1 % have, {read:.2?} by reading: {:.0} and {:.0} times as \
         long; the index has {} MiB on node {}, {indexed:.1?} after the first search",
        bytes / u64::from(MESSAGES),
        factor(absent),
        factor(one_in_hundred),
        mib(metric(stage, door.node, "rookery_search_bytes").await?),
        door.node,
    );
    Ok(())
}

/// The median time of so many searches, each of which must find as much as is expected.
async fn time(imap: &mut Imap, key: &str, expected: u64, runs: usize) -> anyhow::Result<Duration> {
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        let began = Instant::now();
        let found = imap.count(key).await;
        times.push(began.elapsed());
        let found = found.map_err(|trouble| anyhow::anyhow!("{trouble}"))?;
        ensure!(found == expected, "{key}: {found} instead of {expected}");
    }
    times.sort_unstable();
    Ok(times[runs / 2])
}

/// Fills the first mailbox; answers the bytes of all messages.
async fn fill(stage: &Stage) -> anyhow::Result<u64> {
    let doors = stage.scene.doors();
    let mut sending = JoinSet::new();
    for connection in 0..CONNECTIONS {
        let scene = std::sync::Arc::clone(&stage.scene);
        let door = doors[connection as usize % doors.len()];
        sending.spawn(async move {
            let mut rng = seed::generator(scene.seed, "searching: words", 0);
            let words: Vec<String> = (0..WORDS).map(|_| word(&mut rng)).collect();
            let mut lmtp = Lmtp::connect(door.lmtp).await?;
            let mut bytes = 0;
            for number in (connection..MESSAGES).step_by(CONNECTIONS as usize) {
                let mut rng = seed::generator(scene.seed, "searching", u64::from(number));
                let message = message(number, &words, &mut rng);
                bytes += message.len() as u64;
                deliver(&mut lmtp, &scene, 0, message.as_bytes()).await?;
            }
            lmtp.quit().await;
            anyhow::Ok(bytes)
        });
    }
    let mut bytes = 0;
    while let Some(sent) = sending.join_next().await {
        bytes += sent??;
    }
    Ok(bytes)
}

fn message(number: u32, words: &[String], rng: &mut impl Rng) -> String {
    let mut text = format!(
        "From: Somebody <somebody@example.net>\r\nSubject: message {number}\r\n\
         Message-ID: <{number}@searching.example.net>\r\n\r\n"
    );
    if number.is_multiple_of(RARE_EVERY) {
        let _ = write!(text, "{RARE} ");
    }
    let mut line = 0;
    while text.len() < TEXT_BYTES {
        let word = words.choose(rng).map_or("", String::as_str);
        line += word.len() + 1;
        text.push_str(word);
        text.push_str(if line > 70 { "\r\n" } else { " " });
        line = if line > 70 { 0 } else { line };
    }
    text.push_str("\r\n");
    text
}

/// A word of syllables.
fn word(rng: &mut impl Rng) -> String {
    const FIRST: [&str; 12] = ["b", "d", "f", "g", "h", "l", "m", "n", "p", "r", "s", "t"];
    const THEN: [&str; 8] = ["a", "e", "i", "o", "u", "an", "er", "ing"];
    let syllables = rng.random_range(1..4);
    let syllable = |_| {
        let first = FIRST.choose(rng).unwrap_or(&"");
        [*first, THEN.choose(rng).unwrap_or(&"")].concat()
    };
    (0..syllables).map(syllable).collect()
}

/// Waits until a node has all messages in its index.
async fn wait_for_index(stage: &Stage, node: u64) -> anyhow::Result<()> {
    let deadline = Instant::now() + INDEX_WAIT;
    while metric(stage, node, "rookery_search_messages").await? < u64::from(MESSAGES) {
        ensure!(Instant::now() < deadline, "node {node} does not index");
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// What a node says of itself; 0 if it does not.
async fn metric(stage: &Stage, node: u64, name: &str) -> anyhow::Result<u64> {
    let metrics = stage.cluster.metrics(node).await?;
    let line = metrics
        .lines()
        .find(|line| line.starts_with(&format!("{name} ")));
    let value = line.and_then(|line| line.rsplit(' ').next());
    Ok(value.map_or(Ok(0.0), str::parse::<f64>)? as u64)
}
