//! What the log holds of a replica's rows: its base and the runs since, read as one.
//!
//! ```text
//!   base     a  b     d  e     g        all rows at C0
//!   run C1      b'       -e             after-images; - removes
//!   run C2         c        f
//!   merged   a  b' c  d     f  g        all rows at C2
//! ```

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use rows::{END, Fault, Row, Rows, Scan};
use seglog::{Log, RecoveredReplica, RowsAt};

use super::index::Change;
use super::machine::LogId;
use super::run::{RecordAt, Run, RunReader};

/// The base and the runs since.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// All rows at its log id; `None` before the first merge.
    pub base: Option<Run>,
    /// What changed since, oldest first.
    pub runs: Vec<Run>,
}

impl History {
    /// What an open of the log found.
    #[must_use]
    pub fn of(recovered: &RecoveredReplica) -> Self {
        Self {
            base: runs(&recovered.base).pop(),
            runs: runs(&recovered.rows),
        }
    }

    /// The last checkpoint.
    #[must_use]
    pub fn newest(&self) -> Option<&Run> {
        self.runs.last().or(self.base.as_ref())
    }

    /// The runs above a checkpoint, if it is one that is known.
    #[must_use]
    pub fn above(&self, applied: LogId) -> Option<&[Run]> {
        if self.base.as_ref().is_some_and(|base| base.at == applied) {
            return Some(&self.runs);
        }
        let at = self.runs.iter().position(|run| run.at == applied)?;
        Some(&self.runs[at + 1..])
    }

    /// Bytes of the base.
    #[must_use]
    pub fn base_bytes(&self) -> u64 {
        self.base.as_ref().map_or(0, Run::bytes)
    }

    /// Bytes of the runs since.
    #[must_use]
    pub fn runs_bytes(&self) -> u64 {
        self.runs.iter().map(Run::bytes).sum()
    }

    /// Takes a new base in: older runs are in it.
    pub fn rebase(&mut self, base: Run) {
        self.runs.retain(|run| run.at.index > base.at.index);
        self.base = Some(base);
    }

    /// All rows in key order, local ones too.
    ///
    /// # Errors
    /// [`Fault::Store`], here or from the iterator, if the log cannot be read or is damaged.
    pub fn merged(&self, log: &Log) -> Result<Merged, Fault> {
        let runs = self.base.iter().chain(&self.runs);
        Merged::new(runs.map(|run| run.changes(log)).collect::<Result<_, _>>()?)
    }
}

/// Cuts records into runs.
fn runs(records: &[RowsAt]) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut open = Vec::new();
    for record in records {
        open.push(RecordAt {
            place: record.place,
            checksum: record.checksum,
        });
        if record.last {
            let at = LogId {
                term: record.term,
                index: record.index,
            };
            runs.push(Run {
                at,
                records: std::mem::take(&mut open),
            });
        }
    }
    runs
}

/// Runs merged: of equal keys the newest wins, and what it removes is left out.
pub struct Merged {
    /// Oldest first.
    sources: Vec<RunReader>,
    /// The next row of each source that has one, the lowest key first, then the newest source.
    heads: BinaryHeap<(Reverse<Bytes>, usize, Option<Bytes>)>,
}

impl Merged {
    fn new(sources: Vec<RunReader>) -> Result<Self, Fault> {
        let mut merged = Self {
            heads: BinaryHeap::with_capacity(sources.len()),
            sources,
        };
        for source in 0..merged.sources.len() {
            merged.refill(source)?;
        }
        Ok(merged)
    }

    fn refill(&mut self, source: usize) -> Result<(), Fault> {
        if let Some((key, value)) = self.sources[source].next().transpose()? {
            self.heads.push((Reverse(key), source, value));
        }
        Ok(())
    }

    fn read(&mut self) -> Result<Option<Row>, Fault> {
        while let Some((Reverse(key), source, value)) = self.heads.pop() {
            self.refill(source)?;
            while self.heads.peek().is_some_and(|(next, _, _)| next.0 == key) {
                let (_, older, _) = self.heads.pop().expect("it was seen just now");
                self.refill(older)?;
            }
            if let Some(value) = value {
                return Ok(Some((key, value)));
            }
        }
        Ok(None)
    }
}

impl Iterator for Merged {
    type Item = Result<Row, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.read();
        if row.is_err() {
            self.heads.clear();
        }
        row.transpose()
    }
}

/// Rows as changes, for an index that is filled.
pub(crate) fn puts(
    rows: impl Iterator<Item = Result<Row, Fault>>,
) -> impl Iterator<Item = Result<Change, Fault>> {
    rows.map(|row| row.map(|(key, value)| (key, Some(value))))
}

/// The rows of a history as they are at its newest checkpoint, whatever happens to the replica.
///
/// Made for being read from low keys to high ones, each walk going on where the one before it was
/// left, as a snapshot does; any other walk begins again at the first row.
pub struct Sequence {
    log: Log,
    history: Arc<History>,
    /// Where the last walk was left.
    left: RefCell<Option<Reader>>,
}

impl Sequence {
    /// Reads a history from the log.
    #[must_use]
    pub fn new(log: Log, history: Arc<History>) -> Self {
        Self {
            log,
            history,
            left: RefCell::new(None),
        }
    }
}

impl Rows for Sequence {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        let row = self.scan(key, END)?.next().transpose()?;
        Ok(row
            .filter(|(found, _)| found == key)
            .map(|(_, value)| value))
    }

    fn scan(&self, from: &[u8], to: &[u8]) -> Result<Scan<'_>, Fault> {
        let left = self
            .left
            .borrow_mut()
            .take()
            .and_then(|reader| reader.back_to(from));
        let reader = match left {
            Some(reader) => reader,
            None => Reader::new(self.history.merged(&self.log)?),
        };
        let (from, to) = (Bytes::copy_from_slice(from), Bytes::copy_from_slice(to));
        Ok(Box::new(Walk {
            of: self,
            reader: Some(reader),
            from,
            to,
        }))
    }

    fn last(&self, from: &[u8], to: &[u8]) -> Result<Option<Row>, Fault> {
        let mut last = None;
        for row in self.scan(from, to)? {
            last = Some(row?);
        }
        Ok(last)
    }
}

/// Merged rows, of which the last few can be read again: a walk that ends because a chunk is full
/// has read one row too many.
struct Reader {
    rows: Merged,
    passed: VecDeque<Row>,
    /// How many of `passed` come again.
    again: usize,
}

impl Reader {
    fn new(rows: Merged) -> Self {
        Self {
            rows,
            passed: VecDeque::with_capacity(3),
            again: 0,
        }
    }

    /// Goes back to a row that was read just now.
    fn back_to(mut self, key: &[u8]) -> Option<Self> {
        let at = self.passed.iter().position(|(passed, _)| passed == key)?;
        self.again = self.passed.len() - at;
        Some(self)
    }

    fn read(&mut self) -> Option<Result<Row, Fault>> {
        if self.again > 0 {
            let row = self.passed[self.passed.len() - self.again].clone();
            self.again -= 1;
            return Some(Ok(row));
        }
        let row = self.rows.next()?;
        if let Ok(row) = &row {
            self.passed.push_back(row.clone());
            if self.passed.len() > 2 {
                self.passed.pop_front();
            }
        }
        Some(row)
    }
}

struct Walk<'a> {
    of: &'a Sequence,
    reader: Option<Reader>,
    from: Bytes,
    to: Bytes,
}

impl Iterator for Walk<'_> {
    type Item = Result<Row, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        let reader = self.reader.as_mut()?;
        loop {
            match reader.read()? {
                Ok((key, _)) if key < self.from => {}
                Ok((key, _)) if key >= self.to => return None,
                row => return Some(row),
            }
        }
    }
}

impl Drop for Walk<'_> {
    fn drop(&mut self) {
        *self.of.left.borrow_mut() = self.reader.take();
    }
}
