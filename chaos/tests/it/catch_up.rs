//! A node that was away fetches what it missed, and little else.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use chaos::limits::PURGE_WAIT;
use chaos::mail::lmtp::Lmtp;
use chaos::mail::message::{Serial, Sizes, message_of_size};
use chaos::process;
use chaos::scenario::stage::{Logs, Setting, Stage};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::smoke::block_on;

/// Bytes of each message that the node misses.
const MESSAGE_BYTES: usize = 16 << 10;

/// How long an idle group may keep entries that nobody lacks: a few looks, on a busy machine.
const IDLE_WAIT: Duration = Duration::from_secs(60);

/// How many it has, and how many it misses.
const HAS: u64 = 100;
const MISSES: u64 = 300;

/// Node 3 takes rows and bodies of a checkpoint, and the entries above it: together at most 1.1
/// times the bytes of the mail that it missed, though that is not all that there is.
#[test]
fn little_more_than_it_missed() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let rookeryd = tokio::task::spawn_blocking(process::build)
            .await
            .unwrap()
            .unwrap();
        let setting = Setting {
            seed: 7,
            dir: dir.path().to_owned(),
            rookeryd,
            partitions: 2,
            accounts: 2,
            spares: 0,
            logs: Logs::Small,
            sizes: Sizes::default(),
        };
        let stage = Stage::set(&setting).await.unwrap();
        deliver(&stage, 0..HAS).await;
        stage.cluster.settle().await.unwrap();
        stage.cluster.kill(3, Vec::new()).await.unwrap();
        deliver(&stage, HAS..HAS + MISSES).await;
        // Then the others have purged what they need not keep for it.
        tokio::time::sleep(PURGE_WAIT).await;
        stage.cluster.start(3).await.unwrap();
        stage.cluster.answers(3).await.unwrap();
        // Level in the sense of `settle` it was before it went down: what it missed is little.
        assert_eq!(stage.cluster.verify().await.unwrap(), Vec::<String>::new());

        let node = &stage.cluster.nodes()[2];
        let metrics = scrape(node.addresses.metrics).await;
        let taken = |name: &str| sum(&metrics, name);
        let snapshot = taken("rookery_snapshot_taken_bytes_total");
        let entries = taken("rookery_replication_taken_bytes_total");
        let missed = (MISSES * MESSAGE_BYTES as u64) as f64;
        println!("missed {missed}, took {snapshot} of snapshots and {entries} of entries");
        assert!(
            snapshot > missed / 2.0,
            "it was served from logs: {metrics}"
        );
        let ratio = (snapshot + entries) / missed;
        assert!((0.9..=1.1).contains(&ratio), "{ratio} times what it missed");
        // Nobody lacks anything any more: idle groups keep nothing, whether they lead or follow.
        for node in stage.cluster.nodes() {
            let deadline = Instant::now() + IDLE_WAIT;
            loop {
                let metrics = scrape(node.addresses.metrics).await;
                if metrics.contains("\nrookery_log_kept_entries 0\n") {
                    break;
                }
                let late = Instant::now() > deadline;
                assert!(!late, "node {} keeps entries: {metrics}", node.id);
                tokio::time::sleep(PURGE_WAIT / 12).await;
            }
        }
        stage.cluster.stop().await.unwrap();
    });
}

/// Delivers messages in turn to all accounts, through node 1.
async fn deliver(stage: &Stage, serials: std::ops::Range<u64>) {
    let mut lmtp = Lmtp::connect(stage.scene.nodes[0].lmtp).await.unwrap();
    let accounts = &stage.scene.accounts;
    for serial in serials {
        let account = &accounts[serial as usize % accounts.len()];
        let to = [format!("{}@{}", account.name, chaos::cluster::DOMAIN)];
        let message = message_of_size(7, Serial(serial), MESSAGE_BYTES);
        let receipts = lmtp.deliver("chaos@example.net", &to, &message).await;
        let receipts = receipts.unwrap();
        let stored = matches!(receipts[..], [chaos::history::Receipt::Stored]);
        assert!(stored, "{receipts:?}");
    }
    lmtp.quit().await;
}

async fn scrape(metrics: SocketAddr) -> String {
    let mut stream = TcpStream::connect(metrics).await.unwrap();
    let request = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

/// The values of a metric, whatever their labels.
fn sum(metrics: &str, name: &str) -> f64 {
    let lines = metrics.lines().filter(|line| line.starts_with(name));
    lines
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}
