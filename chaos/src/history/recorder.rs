//! Writing a history while it happens.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::Context;
use parking_lot::Mutex;

use super::{Answer, Event, Fault, History, Met, Op, What};
use crate::mail::Trouble;

/// Takes down what happens, in memory and in a file. Clones write the same history.
#[derive(Clone)]
pub struct Recorder(Arc<Shared>);

struct Shared {
    began: Instant,
    ids: AtomicU64,
    acknowledged: AtomicU64,
    written: Mutex<Written>,
}

struct Written {
    history: History,
    file: Option<BufWriter<File>>,
}

/// An operation that has begun and must be ended.
#[must_use = "an operation ends with ok, fail or unknown"]
pub struct Open {
    recorder: Recorder,
    id: u64,
}

impl Recorder {
    /// Writes into a new file too.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::create(path).with_context(|| path.display().to_string())?;
        Ok(Self::new(Some(BufWriter::new(file))))
    }

    /// Writes in memory alone.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::new(None)
    }

    fn new(file: Option<BufWriter<File>>) -> Self {
        let written = Written {
            history: History::default(),
            file,
        };
        Self(Arc::new(Shared {
            began: Instant::now(),
            ids: AtomicU64::new(1),
            acknowledged: AtomicU64::new(0),
            written: Mutex::new(written),
        }))
    }

    fn note(&self, id: u64, what: What) {
        let mut written = self.0.written.lock();
        // The time is taken under the lock, so that times rise from line to line.
        let at_us = u64::try_from(self.0.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let event = Event { at_us, id, what };
        if let Some(file) = &mut written.file {
            let line = serde_json::to_writer(&mut *file, &event).map_err(std::io::Error::from);
            if let Err(error) = line.and_then(|()| file.write_all(b"\n")) {
                eprintln!("the history can no longer be written to its file: {error}");
                written.file = None;
            }
        }
        written.history.events.push(event);
    }

    /// An operation begins: call it before the first byte is sent.
    pub fn invoke(&self, client: &str, node: u64, op: Op) -> Open {
        let id = self.0.ids.fetch_add(1, Ordering::Relaxed);
        self.note(
            id,
            What::Invoke {
                client: client.to_owned(),
                node,
                op,
            },
        );
        Open {
            recorder: self.clone(),
            id,
        }
    }

    /// Something was done to the cluster.
    pub fn fault(&self, fault: Fault) {
        self.note(0, What::Fault(fault));
    }

    /// Everything is read through each of these nodes in the end.
    pub fn readers(&self, nodes: Vec<u64>) {
        self.note(0, What::Readers(nodes));
    }

    /// A client met with something outside of its operations.
    pub fn met(&self, client: &str, node: u64, met: Met) {
        let client = client.to_owned();
        self.note(0, What::Met { client, node, met });
    }

    /// A client has trouble outside of its operations, with what is written down for the judge.
    pub fn trouble(&self, client: &str, node: u64, trouble: &Trouble) {
        if let Some(met) = Met::of(trouble) {
            self.met(client, node, met);
        }
    }

    /// How many operations were done so far.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.0.acknowledged.load(Ordering::Relaxed)
    }

    /// What was written so far; the file is brought up to date.
    #[must_use]
    pub fn history(&self) -> History {
        let mut written = self.0.written.lock();
        if let Some(file) = &mut written.file {
            drop(file.flush());
        }
        written.history.clone()
    }
}

impl Open {
    /// It ended like this; what it was answered is told by `answer`.
    ///
    /// # Errors
    ///
    /// The trouble that there was.
    pub fn end<T>(
        self,
        result: Result<T, Trouble>,
        answer: impl FnOnce(&T) -> Answer,
    ) -> Result<T, Trouble> {
        match &result {
            Ok(value) => self.ok(answer(value)),
            Err(Trouble::NotDone(why, _)) => self.fail(why.as_str()),
            Err(Trouble::Unknown(why)) => self.unknown(why.as_str()),
            Err(Trouble::Broken(why)) => self.broken(why.as_str()),
        }
        result
    }

    /// It was done.
    pub fn ok(self, answer: Answer) {
        self.recorder.note(self.id, What::Ok(answer));
        self.recorder.0.acknowledged.fetch_add(1, Ordering::Relaxed);
    }

    /// It was not done, and never will be.
    pub fn fail(self, why: impl Into<String>) {
        self.recorder.note(self.id, What::Fail(why.into()));
    }

    /// It may have been done.
    pub fn unknown(self, why: impl Into<String>) {
        self.recorder.note(self.id, What::Unknown(why.into()));
    }

    /// The same, and the server said what no server may say, or nothing for very long.
    pub fn broken(self, why: impl Into<String>) {
        self.recorder.note(self.id, What::Broken(why.into()));
    }
}
