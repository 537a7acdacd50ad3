//! The segments that there are, and the files of them that are open for reading.
//!
//! A file is given out while it is read, and a segment may be freed at that moment. Then its file
//! must not be written to again: [`Files::forget`] tells whether anybody has it. So a file is not
//! dropped from here while somebody reads it, there are never two open files of one segment, and
//! one that was opened too late is not given out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::disk::{Disk, DiskFile};
use crate::error::Error;
use crate::format::Name;
use crate::limits::OPEN_FILES_MAX;
use crate::ranges::Ranges;
use crate::record::Place;
use crate::shared::held;
use crate::source::{Extent, Source};

pub(crate) struct Files {
    disk: Arc<dyn Disk>,
    log_id: u64,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    /// The segments that were not freed, with the extents of sealed ones that were asked for.
    segments: BTreeMap<u64, Option<Extent>>,
    freed: Ranges,
    /// Open files; the one unused for longest goes first.
    open: BTreeMap<u64, Reader>,
    uses: u64,
}

struct Reader {
    file: Arc<dyn DiskFile>,
    size: u64,
    used: u64,
}

impl Files {
    pub fn new(disk: Arc<dyn Disk>, log_id: u64, segments: &[u64], freed: Ranges) -> Self {
        let there = segments.iter().filter(|segment| !freed.contains(**segment));
        let held = Mutex::new(Held {
            segments: there.map(|segment| (*segment, None)).collect(),
            freed,
            ..Held::default()
        });
        Self { disk, log_id, held }
    }

    /// Takes up a segment that was begun.
    pub fn begun(&self, segment: u64) {
        held(&self.held).segments.insert(segment, None);
    }

    /// Forgets a segment; whether its file may be written to, because nobody reads it.
    pub fn forget(&self, segment: u64) -> bool {
        let held = &mut *held(&self.held);
        held.freed.insert(segment);
        held.segments.remove(&segment);
        let open = held.open.remove(&segment);
        open.is_none_or(|reader| Arc::strong_count(&reader.file) == 1)
    }

    pub fn is_freed(&self, segment: u64) -> bool {
        held(&self.held).freed.contains(segment)
    }

    pub fn numbers(&self) -> Vec<u64> {
        held(&self.held).segments.keys().copied().collect()
    }

    pub fn count(&self) -> u64 {
        held(&self.held).segments.len() as u64
    }

    /// How much of a sealed segment is used. Read once.
    pub fn extent(&self, segment: u64) -> Result<Extent, Error> {
        if let Some(Some(extent)) = held(&self.held).segments.get(&segment) {
            return Ok(*extent);
        }
        let extent = self.source().extent(segment)?;
        if let Some(known) = held(&self.held).segments.get_mut(&segment) {
            *known = Some(extent);
        }
        Ok(extent)
    }

    pub fn source(&self) -> Source<'_> {
        Source {
            disk: self.disk.as_ref(),
            log_id: self.log_id,
        }
    }

    /// The file of a place and its size, `active` being the last segment. As long as the file is
    /// held it is not written to, except by the log itself while it is the active one.
    pub fn reader(&self, place: Place, active: u64) -> Result<(Arc<dyn DiskFile>, u64), Error> {
        let Place {
            segment,
            offset,
            length,
        } = place;
        if let Some(found) = held(&self.held).get(segment)? {
            return Ok(found);
        }
        if segment > active {
            return Err(Error::OutOfRange {
                segment,
                offset,
                length,
            });
        }
        let name = Name::Segment(segment).text();
        let opened = self.disk.open(&name);
        match opened.and_then(|file| Ok((file.len()?, file))) {
            Ok((size, file)) => held(&self.held).insert(segment, file, size),
            Err(_) if self.is_freed(segment) => Err(Error::Freed { segment }),
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => Err(Error::Damaged {
                segment,
                offset: 0,
                what: "the file is missing",
            }),
            Err(source) => Err(Error::io("open", self.disk.path(&name), source)),
        }
    }
}

type Found = (Arc<dyn DiskFile>, u64);

impl Held {
    fn get(&mut self, segment: u64) -> Result<Option<Found>, Error> {
        if self.freed.contains(segment) {
            return Err(Error::Freed { segment });
        }
        self.uses += 1;
        let uses = self.uses;
        Ok(self.open.get_mut(&segment).map(|reader| {
            reader.used = uses;
            (reader.file.clone(), reader.size)
        }))
    }

    /// Keeps a file that was opened, unless somebody else was faster.
    fn insert(&mut self, segment: u64, file: Arc<dyn DiskFile>, size: u64) -> Result<Found, Error> {
        if let Some(found) = self.get(segment)? {
            return Ok(found);
        }
        if self.open.len() >= OPEN_FILES_MAX {
            let readers = self.open.iter();
            let unused = readers.filter(|(_, reader)| Arc::strong_count(&reader.file) == 1);
            let oldest = unused.min_by_key(|(_, reader)| reader.used);
            if let Some(oldest) = oldest.map(|(segment, _)| *segment) {
                self.open.remove(&oldest);
            }
        }
        let reader = Reader {
            file: file.clone(),
            size,
            used: self.uses,
        };
        self.open.insert(segment, reader);
        Ok((file, size))
    }
}
