//! A real cluster, real kills.

use std::sync::Mutex;

use chaos::load::Crowd;
use chaos::mail::message::Sizes;
use chaos::process;
use chaos::report::Ending;
use chaos::scenario::stage::{Logs, Rounds, Setting};
use chaos::scenario::{away, big, commands, flips, fsync_error, mbsync, replace, run};

/// One cluster at a time: they share the machine's cores and disk with all other tests.
static ONE: Mutex<()> = Mutex::new(());

/// Runs a scenario with the server as it stands now.
pub async fn setting(dir: &tempfile::TempDir, seed: u64) -> Setting {
    let rookeryd = tokio::task::spawn_blocking(process::build);
    let rookeryd = rookeryd.await.unwrap().unwrap();
    Setting {
        seed,
        dir: dir.path().to_owned(),
        rookeryd,
        partitions: 4,
        accounts: 4,
        sizes: Sizes::default(),
        spares: 0,
        logs: Logs::Small,
    }
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let _one = ONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// M2, M4, R1, R4: mail goes in and out while nodes are killed with -9, and nothing is lost,
/// doubled or changed.
#[test]
fn two_kills_under_load() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let options = run::Options {
            setting: setting(&dir, 7).await,
            kills: 2,
            pauses: 1,
            crowd: Crowd::of(6),
        };
        let ending = run::run(&options).await;
        clean_or_kept(ending, dir);
    });
}

/// A message of several chunks gets through the kill of its partition's leader, by LMTP and by
/// APPEND.
#[test]
fn a_large_message_through_a_kill() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let options = big::Options {
            setting: setting(&dir, 7).await,
            size: 5 << 20,
        };
        let ending = big::run(&options).await;
        clean_or_kept(ending, dir);
    });
}

/// M4, I1: commands that are under way when the leader dies, of each kind a few.
#[test]
fn commands_through_kills() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let only = [
            "APPEND", "IDLE", "COMPRESS", "FETCH", "STORE", "MOVE", "STARTTLS",
        ];
        let options = commands::Options {
            setting: setting(&dir, 7).await,
            only: only.map(str::to_owned).to_vec(),
        };
        let ending = commands::run(&options).await;
        clean_or_kept(ending, dir);
    });
}

/// M2, M4: both sides of mbsync are equal in the end. Skipped where it is not installed.
#[test]
fn mbsync_through_kills() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let options = mbsync::Options {
            setting: setting(&dir, 7).await,
            kills: 2,
        };
        let ending = mbsync::run(&options).await;
        if !matches!(ending, Ok(Ending::Skipped)) {
            clean_or_kept(ending, dir);
        }
    });
}

/// A node that missed what the others have purged is brought to checkpoints, bodies and all.
#[test]
fn a_node_that_was_away() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let options = away::Options {
            setting: setting(&dir, 7).await,
            rounds: 1,
            operations: 400,
            crowd: Crowd::of(6),
        };
        let ending = away::run(&options).await;
        clean_or_kept(ending, dir);
    });
}

/// R1, R4, R5: a node loses its disk and another one takes its place; one more comes, and one goes.
#[test]
fn a_node_is_replaced() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let options = replace::Options {
            setting: setting(&dir, 7).await,
            rounds: 1,
            operations: 100,
            crowd: Crowd::of(6),
        };
        let ending = replace::run(&options).await;
        clean_or_kept(ending, dir);
    });
}

/// L2, R1: bits flip and bytes go on one node, among them what nobody can tell any more; all of it
/// is found and mended, or its replicas are replaced.
#[test]
fn bits_flip() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        // This seed takes bytes from the segment that is being written, so that replicas go too.
        let options = flips::Options {
            setting: Setting {
                sizes: flips::SIZES,
                ..setting(&dir, 8).await
            },
            places: 8,
            places_per_round: 8,
            operations: 200,
            crowd: Crowd::of(6),
        };
        let ending = flips::run(&options).await;
        clean_or_kept(ending, dir);
    });
}

/// L4: nodes whose disks refuse to sync or to write end with one clear line, and come back.
#[test]
fn disks_that_refuse() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let options = Rounds {
            setting: setting(&dir, 7).await,
            rounds: 3,
            crowd: Crowd::of(6),
        };
        let ending = fsync_error::run(&options).await;
        clean_or_kept(ending, dir);
    });
}

/// Leaves the folder of a run that did not end well.
fn clean_or_kept(ending: anyhow::Result<Ending>, dir: tempfile::TempDir) {
    if !matches!(ending, Ok(Ending::Clean)) {
        panic!("{ending:?}; the history is in {}", dir.keep().display());
    }
}
