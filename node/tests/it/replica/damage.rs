//! I16: whatever happens to the index directory, the replica comes back from its log with the same
//! rows, and nothing wrong is served in between.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use node::replica::LogId;
use node::replica::index::{Change, Indexes, MemoryIndexes, SledIndexes};
use rows::{DIGEST_KEY, END, Fault};
use seglog::sim::SimDisk;

use super::crash::command;
use super::rig::{Model, REPLICA, Rig, tight};

fn sled(data: &Path) -> Arc<SledIndexes> {
    Arc::new(SledIndexes::open(data, 1 << 20).unwrap())
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if fs::metadata(&path).unwrap().len() > 0 {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A node that was killed: its log, and images of its index as it was at some moments.
struct Killed {
    disk: SimDisk,
    images: tempfile::TempDir,
    count: usize,
    model: Model,
}

fn killed() -> Killed {
    let (data, images) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut rig = Rig::with(sled(data.path()), tight());
    let mut count = 0;
    for round in 0..200_usize {
        let key = (round * 61 % 200) as u8;
        let changes = [(key, Some(300)), (key / 2, None), (key ^ 1, Some(20))];
        rig.apply(&command(&changes, round), b"a body");
        if round % 7 == 0 {
            rig.checkpoint();
        }
        if round % 50 == 49 {
            copy(data.path(), &images.path().join(count.to_string()));
            count += 1;
        }
    }
    rig.write();
    rig.check();
    let model = rig.model.clone();
    let disk = rig.end();
    Killed {
        disk,
        images,
        count,
        model,
    }
}

impl Killed {
    /// Opens a copy of an image after something was done to it.
    fn with(&self, image: usize, harm: impl FnOnce(&Path)) {
        let data = tempfile::tempdir().unwrap();
        copy(&self.images.path().join(image.to_string()), data.path());
        harm(&data.path().join("index"));
        self.opens(data.path());
        // An error from sled, found late, puts all aside at the next open.
        self.opens(data.path());
        assert!(
            sled(data.path()).put_aside().is_none(),
            "what it was mended to stands"
        );
        self.opens(data.path());
    }

    fn opens(&self, data: &Path) {
        let rig = Rig::open(self.disk.clone(), sled(data), tight(), 9).unwrap();
        rig.check_against(&self.model);
        rig.check_bodies();
    }
}

#[test]
fn old_images_are_brought_up() {
    let node = killed();
    for image in 0..node.count {
        node.with(image, |_| ());
    }
}

#[test]
fn deleted() {
    let node = killed();
    node.with(node.count - 1, |index| fs::remove_dir_all(index).unwrap());
    node.with(node.count - 1, |index| {
        files(index)
            .iter()
            .for_each(|file| fs::remove_file(file).unwrap());
    });
    // A file in its place.
    node.with(node.count - 1, |index| {
        fs::remove_dir_all(index).unwrap();
        fs::write(index, b"what").unwrap();
    });
}

#[test]
fn cut_short() {
    let node = killed();
    for part in 0..12_u64 {
        node.with(node.count - 1, |index| {
            for path in files(index) {
                let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
                let length = file.metadata().unwrap().len();
                file.set_len(length * part / 12).unwrap();
            }
        });
    }
}

#[test]
fn bits_flipped() {
    let node = killed();
    let mut random = 42_u64;
    let mut next = |bound: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (random >> 33) % bound
    };
    for _ in 0..40 {
        node.with(node.count - 1, |index| {
            let files = files(index);
            let path = &files[next(files.len() as u64) as usize];
            let mut bytes = fs::read(path).unwrap();
            let at = next(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << next(8);
            fs::write(path, bytes).unwrap();
        });
    }
}

/// Rows that sled believes and the log does not: any single one is found.
#[test]
fn strange_rows_are_not_believed() {
    let change = |key: &[u8], value: Option<&'static [u8]>| -> Change {
        (Bytes::copy_from_slice(key), value.map(Bytes::from_static))
    };
    let harms: Vec<Change> = vec![
        change(b"k000", Some(b"another value")),
        change(b"k001", None),
        change(b"never", Some(b"put")),
        change(DIGEST_KEY, Some(b"0123456789abcdef")),
        change(DIGEST_KEY, None),
        change(&[0xff, b'p', 1], Some(b"a place")),
    ];
    for harm in harms {
        let indexes = Arc::new(MemoryIndexes::new());
        let mut rig = Rig::with(indexes.clone(), tight());
        for round in 0..4 {
            rig.apply(&command(&[(round, Some(10))], 0), b"body");
            rig.checkpoint();
        }
        let index = indexes.of(REPLICA).unwrap().remove(0);
        index
            .put_sorted(&mut std::iter::once(Ok::<_, Fault>(harm.clone())))
            .unwrap();
        let rig = rig.reopen();
        rig.check();
        rig.check_bodies();
        let rebuilt = indexes.of(REPLICA).unwrap();
        assert_eq!(rebuilt.len(), 1);
        assert_ne!(rebuilt[0].name(), index.name(), "{harm:?}");
        assert_eq!(rebuilt[0].get(b"never").unwrap(), None);
    }
}

/// An index that claims a checkpoint that the log does not have is as good as none.
#[test]
fn strange_checkpoints_are_not_believed() {
    let indexes = Arc::new(MemoryIndexes::new());
    let mut rig = Rig::with(indexes.clone(), tight());
    rig.apply("put a 1", b"");
    rig.checkpoint();
    let index = indexes.of(REPLICA).unwrap().remove(0);
    index.set_applied(LogId { term: 1, index: 9 }).unwrap();
    let rig = rig.reopen();
    rig.check();
    assert_ne!(indexes.of(REPLICA).unwrap()[0].name(), index.name());
}

/// A place that was lost is missed as well, though no machine would see it.
#[test]
fn lost_places_are_found() {
    let indexes = Arc::new(MemoryIndexes::new());
    let mut rig = Rig::with(indexes.clone(), tight());
    let id = rig.apply("put a 1", b"the body");
    rig.checkpoint();
    let index = indexes.of(REPLICA).unwrap().remove(0);
    let places: Vec<_> = index
        .scan(END, &[0xff, 0xff])
        .unwrap()
        .map(|row| row.unwrap().0)
        .collect();
    assert_eq!(places.len(), 1);
    index
        .put_sorted(&mut std::iter::once(Ok((places[0].clone(), None))))
        .unwrap();
    let rig = rig.reopen();
    rig.raft.purge(id.index);
    assert_eq!(rig.replica.entry_body(id).unwrap(), "the body");
}

/// Whatever goes wrong while the node runs leaves a note, and the next open begins anew.
#[test]
fn doubt_is_remembered() {
    let data = tempfile::tempdir().unwrap();
    let mut rig = Rig::with(sled(data.path()), tight());
    rig.apply("put a 1", b"");
    rig.checkpoint();
    let disk = rig.end();
    assert!(!data.path().join("index.doubt").exists());
    fs::write(data.path().join("index.doubt"), "a page was bad").unwrap();
    let indexes = sled(data.path());
    assert!(indexes.put_aside().unwrap().contains("a page was bad"));
    assert!(data.path().join("index.aside").exists());
    assert!(!data.path().join("index.doubt").exists());
    let rig = Rig::open(disk, indexes, tight(), 2).unwrap();
    rig.check();
}

/// Damage in the log itself is not mended here: the replica does not open.
#[test]
fn a_damaged_log_is_not_hidden() {
    let mut rig = Rig::new();
    rig.apply("put a 1", b"");
    rig.checkpoint();
    rig.apply("put b 1", b"");
    rig.checkpoint();
    rig.apply("put c 1", b"");
    rig.write();
    let opened = |rig: Rig, flip: Option<usize>| {
        let disk = rig.end();
        let name = format!("{:016x}.seg", 1);
        let (log, _writer, found) =
            seglog::open(Arc::new(disk.clone()), super::rig::options()).unwrap();
        let found = &found.replicas[&REPLICA];
        let place = found.rows[flip.unwrap_or(0)].place;
        if flip.is_some() {
            assert!(disk.flip(&name, u64::from(place.offset) + 14, 1));
        }
        let opening = node::replica::Opening::new(
            super::rig::GROUP,
            REPLICA,
            log,
            Arc::new(MemoryIndexes::new()),
            Arc::new(super::rig::KeyValue),
        );
        node::replica::open(&opening, Some(found)).map(|replica| replica.digest())
    };
    assert!(matches!(opened(rig, Some(0)), Err(Fault::Store(_))));
}
