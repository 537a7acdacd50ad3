//! All that a replica holds at a checkpoint, for a backup.
//!
//! An [`Export`] reads rows and bodies from the log while the replica goes on. Rows that are
//! written meanwhile are not in it, and until it is dropped no segment of the node is freed: what a
//! place of the checkpoint names stays there (R4).

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use rows::Fault;

use super::Replica;
use super::history::History;
use super::machine::LogId;
use super::places::{self, LOCAL_FROM};
use super::snapshot::Chunks;

/// A checkpoint that is being read out. Everything blocks on the disk.
pub struct Export {
    replica: Arc<Replica>,
    at: LogId,
    chunks: Chunks,
    history: Arc<History>,
}

impl Replica {
    /// Makes a checkpoint of what is applied now, and holds it for being read out.
    ///
    /// # Errors
    /// The [`Fault`] that stopped the replica; [`Fault::Store`] if nothing was applied yet.
    pub fn export(self: &Arc<Self>) -> Result<Export, Fault> {
        self.exporting.fetch_add(1, Relaxed);
        self.begin_export().inspect_err(|_| {
            self.exporting.fetch_sub(1, Relaxed);
        })
    }

    fn begin_export(self: &Arc<Self>) -> Result<Export, Fault> {
        let nothing = || Fault::Store("nothing was applied yet".to_owned());
        let snapshot = self.snapshot()?;
        let history = snapshot.chunks.history().cloned();
        Ok(Export {
            replica: Arc::clone(self),
            at: snapshot.last.ok_or_else(nothing)?,
            history: history.ok_or_else(nothing)?,
            chunks: snapshot.chunks,
        })
    }
}

impl Export {
    /// The last entry whose effects are in it.
    #[must_use]
    pub fn at(&self) -> LogId {
        self.at
    }

    /// The rows, as [`rows::snapshot`] packs them.
    pub fn chunks(&self) -> impl Iterator<Item = Result<Bytes, Fault>> {
        self.chunks.iter()
    }

    /// The bodies to which rows refer, in the order of their entries, each checked.
    ///
    /// # Errors
    /// [`Fault::Store`], here or from the iterator: a row or a body cannot be read or is damaged.
    pub fn bodies(
        &self,
    ) -> Result<impl Iterator<Item = Result<(LogId, Bytes), Fault>> + use<'_>, Fault> {
        let rows = self.history.merged(&self.replica.log)?;
        let local = rows.skip_while(|row| matches!(row, Ok((key, _)) if key < LOCAL_FROM));
        Ok(local.map(|row| {
            let (key, value) = row?;
            let (id, kept) = (places::id_of(&key)?, places::parse(&key, &value)?);
            let payload = self
                .replica
                .log
                .read(kept.logged.place, Some(kept.logged.checksum))
                .map_err(|error| {
                    // It is mended, and the next backup can read it.
                    self.replica.wound(id);
                    Fault::Store(format!("the body of entry {id}: {error}"))
                })?;
            let skip = (kept.logged.skip as usize).min(payload.len());
            Ok((id, payload.slice(skip..)))
        }))
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        self.replica.exporting.fetch_sub(1, Relaxed);
    }
}
