//! Reads of a segment that is freed meanwhile.

use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use seglog::disk::{Disk, DiskFile, DiskLock};
use seglog::sim::SimDisk;
use seglog::{Cleaned, Cleaner, Error};

use crate::cleaning::{Refs, clean, roll};
use crate::rig::{ONE, Rig, body, entry, options};

type Hook = Box<dyn FnOnce() + Send>;

/// A disk that does something else in the middle of a read.
#[derive(Clone)]
struct Hooked {
    disk: SimDisk,
    hook: Arc<Mutex<Option<Hook>>>,
}

struct HookedFile(Arc<dyn DiskFile>, Hooked);

impl Disk for Hooked {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.create(name)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(HookedFile(self.disk.open(name)?, self.clone())))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.disk.sync_dir()
    }

    fn lock(&self) -> io::Result<Box<dyn DiskLock>> {
        self.disk.lock()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.disk.free_bytes()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.disk.path(name)
    }
}

impl DiskFile for HookedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let hook = self.1.hook.lock().unwrap().take();
        if let Some(hook) = hook {
            hook();
        }
        self.0.read_at(buffer, offset)
    }

    fn write_vectored_at(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        self.0.write_vectored_at(slices, offset)
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        self.0.reserve(bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
}

/// A read goes on undisturbed while its segment is freed and the log rolls over what is recycled.
#[test]
fn a_reader_keeps_its_file() {
    for scrubbing in [false, true] {
        let hooked = Hooked {
            disk: SimDisk::new(),
            hook: Arc::default(),
        };
        let (log, writer, recovered) = seglog::open(Arc::new(hooked.clone()), options()).unwrap();
        let mut rig = Rig {
            disk: hooked.disk.clone(),
            log,
            writer,
            recovered,
        };
        let written = rig.write((1..=5).map(|at| entry(ONE, 1, at, 700)).collect());
        roll(&mut rig, 3);
        let log = rig.log.clone();
        let recycled = Arc::new(Mutex::new(Vec::new()));
        let told = recycled.clone();
        let hook = move || {
            let mut cleaner = Cleaner::new(rig.log.clone());
            *told.lock().unwrap() = clean(&mut rig, &mut cleaner, &Refs::default());
            roll(&mut rig, 4);
            // The writer lives on.
            std::mem::forget(rig);
        };
        *hooked.hook.lock().unwrap() = Some(Box::new(hook));
        if scrubbing {
            assert_eq!(log.scrub(1).unwrap(), []);
        } else {
            let read = log.read(written[0].place, Some(written[0].checksum));
            assert_eq!(read.unwrap(), body(1, 1, 700));
        }
        let recycled = recycled.lock().unwrap();
        let of = |number, recycled| Cleaned::Freed {
            segment: number,
            recycled,
        };
        assert!(recycled.contains(&of(1, false)), "{recycled:?}");
        assert!(recycled.contains(&of(2, true)), "{recycled:?}");
        let again = log.read(written[0].place, None);
        assert!(matches!(again, Err(Error::Freed { segment: 1 })));
    }
}
