//! The real disk.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use seglog::disk::{Directory, Disk};
use seglog::{Cleaner, Error, Log, Options, Recovered, Sync, Writer, Written};

use crate::cleaning::Refs;
use crate::rig::{ONE, body, entry};

fn open(path: &std::path::Path) -> Result<(Log, Writer, Recovered), Error> {
    let options = Options {
        segment_bytes: 64 << 10,
        record_bytes_max: 8 << 10,
        ..Options::new(7)
    };
    seglog::open(Arc::new(Directory::new(path).unwrap()), options)
}

/// Where spares are not ready in time, nobody waits for zeros.
#[test]
fn a_burst_fills_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (log, mut writer, _) = open(dir.path()).unwrap();
    let mut written = Vec::new();
    for at in 1..=100 {
        let slot = Arc::new(std::sync::Mutex::new(None));
        let filled = slot.clone();
        let done = Box::new(move |result| *filled.lock().unwrap() = Some(result));
        log.append(vec![entry(ONE, 1, at, 4000)], Sync::Required, done)
            .unwrap();
        writer.step().unwrap();
        written.extend(slot.lock().unwrap().take().unwrap().unwrap());
    }
    let stats = log.stats();
    assert_eq!((stats.filled_bytes, stats.spare_segments), (0, 0));
    assert!(stats.segments > 6);
    // A file of a segment's length is there, also before it is written to the end.
    let names = Directory::new(dir.path()).unwrap().list().unwrap();
    let segments = names.iter().filter(|name| name.ends_with(".seg"));
    for name in segments {
        assert_eq!(
            std::fs::metadata(dir.path().join(name)).unwrap().len(),
            64 << 10
        );
    }
    drop((log, writer));
    let (log, _, recovered) = open(dir.path()).unwrap();
    assert_eq!(recovered.replicas[&ONE].entries.len(), 100);
    for (at, written) in (1..).zip(&written) {
        assert_eq!(log.read(written.place, None).unwrap(), body(1, at, 4000));
    }
    // In time they are filled.
    while log.prepare().unwrap() {}
    assert_eq!(log.stats().filled_bytes, 64 << 10);
}

#[test]
fn round_trip_with_a_thread() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let (log, mut writer, _) = open(&path).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let thread = std::thread::spawn(move || {
        while !stopped.load(Relaxed) {
            let _ = writer.wait(Duration::from_millis(10));
            writer.step().unwrap();
            writer.prepare().unwrap();
        }
        writer
    });
    let (sent, received) = std::sync::mpsc::channel();
    for at in 1..=300 {
        let sent = sent.clone();
        let done = Box::new(move |result: Result<Vec<_>, _>| sent.send((at, result)).unwrap());
        log.append(vec![entry(ONE, 1, at, 700)], Sync::Required, done)
            .unwrap();
    }
    for (expected, (at, result)) in (1..=300).zip(received.iter()) {
        let written = result.unwrap()[0];
        assert_eq!(at, expected);
        assert_eq!(
            log.read(written.place, Some(written.checksum)).unwrap(),
            body(1, at, 700)
        );
    }
    stop.store(true, Relaxed);
    let writer = thread.join().unwrap();
    assert!(log.stats().segments > 2);
    drop((log, writer));
    let (log, _writer, recovered) = open(&path).unwrap();
    assert_eq!((recovered.torn, recovered.damage.len()), (None, 0));
    let entries = &recovered.replicas[&ONE].entries;
    assert_eq!(entries.len(), 300);
    for at in entries {
        assert_eq!(
            log.read(at.place, Some(at.checksum)).unwrap(),
            body(1, at.index, 700)
        );
    }
    assert_eq!(log.scrub(1).unwrap(), []);
}

/// Writer, cleaner and readers at once: every tenth entry lives, and reads well wherever it is.
#[test]
fn cleaning_while_others_read() {
    let dir = tempfile::tempdir().unwrap();
    let (log, mut writer, _) = open(dir.path()).unwrap();
    let live = Arc::new(Refs::default());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Relaxed) {
                let _ = writer.wait(Duration::from_millis(5));
                writer.step().unwrap();
            }
        });
        let cleaner = scope.spawn(|| {
            let mut cleaner = Cleaner::new(log.clone());
            let mut step = || cleaner.step(&*live, || live.live_bytes(), 20_000);
            while !stop.load(Relaxed) {
                step().unwrap();
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Relaxed) {
                    let places = live.places.lock().unwrap().clone();
                    for place in places {
                        match log.read(place, None) {
                            Ok(payload) => assert_eq!(payload.len(), 3000),
                            Err(Error::Freed { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            });
        }
        for at in 1..=600 {
            let (sent, received) = std::sync::mpsc::channel();
            let live = live.clone();
            let done = Box::new(move |result: Result<Vec<Written>, _>| {
                let written = result.unwrap();
                if at % 10 == 0 {
                    live.add(&written);
                }
                sent.send(()).unwrap();
            });
            log.append(vec![entry(ONE, 1, at, 3000)], Sync::Lazy, done)
                .unwrap();
            received.recv().unwrap();
            if cleaner.is_finished() {
                break;
            }
        }
        let cleaned = || {
            let stats = log.stats();
            stats.freed_bytes > 0 && stats.copied_bytes > 0
        };
        while !cleaner.is_finished() && !cleaned() {
            std::thread::yield_now();
        }
        stop.store(true, Relaxed);
    });
    drop((log, writer));
    let (log, _writer, recovered) = open(dir.path()).unwrap();
    assert_eq!((recovered.torn, recovered.damage.len()), (None, 0));
    let places = live.places.lock().unwrap();
    assert_eq!(places.len(), 60);
    assert!(places.iter().all(|place| log.read(*place, None).is_ok()));
}

#[test]
fn a_second_open_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).unwrap();
    assert!(matches!(open(dir.path()), Err(Error::Locked { .. })));
    let (log, writer, _) = first;
    drop(writer);
    assert!(matches!(open(dir.path()), Err(Error::Locked { .. })));
    drop(log);
    assert!(open(dir.path()).is_ok());
}

#[test]
fn files_as_the_disk_gives_them() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Directory::new(dir.path()).unwrap();
    let file = disk.create("a").unwrap();
    assert!(disk.create("a").is_err() && file.is_empty().unwrap());
    file.write_vectored_at(
        &[std::io::IoSlice::new(b"abc"), std::io::IoSlice::new(b"de")],
        2,
    )
    .unwrap();
    file.sync_data().unwrap();
    disk.rename("a", "b").unwrap();
    disk.sync_dir().unwrap();
    assert_eq!(disk.list().unwrap(), ["b"]);
    let mut buffer = [9; 8];
    assert_eq!(disk.open("b").unwrap().read_at(&mut buffer, 1).unwrap(), 6);
    assert_eq!(&buffer, b"\0abcde\x09\x09");
    disk.remove("b").unwrap();
    assert!(disk.open("b").is_err());
}

#[test]
fn directories_above_are_made() {
    let dir = tempfile::tempdir().unwrap();
    let above = dir.path().join("a/b");
    let path = above.join("log");
    Directory::new(&path).unwrap();
    // Again, and below a directory that only root may list.
    std::fs::set_permissions(&above, Permissions::from_mode(0o311)).unwrap();
    drop(open(&path).unwrap());
    std::fs::set_permissions(&above, Permissions::from_mode(0o755)).unwrap();
    assert!(Directory::new(dir.path().join("a/b/log/LOCK/c")).is_err());
}
