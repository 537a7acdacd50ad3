//! STORE and UID STORE (RFC 3501 section 6.4.6, RFC 7162 section 3.1.3).

use mailbox::{Command, ModSeq, Reply, Uid, UidRanges};

use crate::backend::{Backend, BackendError, Transport};
use crate::flags;
use crate::grammar::{IdRange, Store, StoreMode};
use crate::limits;
use crate::respond::Code;
use crate::state::{Done, Result, Session};

/// Messages in parts that one command may touch.
pub(crate) fn batches(uids: &UidRanges) -> impl Iterator<Item = UidRanges> + Send {
    chunks(uids, mailbox::limits::MESSAGES_PER_COMMAND_MAX as u64)
}

/// Messages in parts of at most `size`, in order.
pub(crate) fn chunks(uids: &UidRanges, size: u64) -> impl Iterator<Item = UidRanges> + Send {
    let mut rest: Vec<(u32, u32)> = uids
        .ranges()
        .map(|(first, last)| (first.0, last.0))
        .rev()
        .collect();
    std::iter::from_fn(move || {
        let mut chunk = UidRanges::new();
        let mut room = size;
        while room > 0 {
            let Some((first, last)) = rest.pop() else {
                break;
            };
            let count = u64::from(last - first) + 1;
            if count > room {
                // Less than the range holds, so it fits a UID.
                let middle = first + u32::try_from(room).unwrap_or(u32::MAX) - 1;
                rest.push((middle + 1, last));
                chunk.insert_range(Uid(first), Uid(middle));
                break;
            }
            chunk.insert_range(Uid(first), Uid(last));
            room -= count;
        }
        (!chunk.is_empty()).then_some(chunk)
    })
}

impl<T: Transport, B: Backend> Session<'_, T, B> {
    pub(crate) async fn store(&mut self, store: &Store) -> Result<Done> {
        if store.unchanged_since.is_some() {
            self.enable_condstore();
        }
        let selected = self.writable()?;
        let uids = selected.view.resolve(&store.set, store.uid)?;
        let (uids, limit) = self.limited(uids);
        let mut modified = UidRanges::new();
        let mut is_gone = false;
        let mut known = Vec::new();
        let (mut done, goal) = (0, uids.len());
        for uids in batches(&uids) {
            self.report(done, goal).await?;
            done += uids.len();
            let failed = if store.silent {
                self.store_silently(store, &uids, &mut known).await?
            } else {
                self.store_batch(store, &uids, store.unchanged_since.map(ModSeq))
                    .await?
                    .1
            };
            modified = modified.union(&failed);
            if !store.silent || self.condstore {
                let stored = uids.subtract(&failed);
                is_gone |= self.tell_stored(store, &stored, limit.is_some()).await?;
            }
        }
        // Not before: a client that hears NO does not know what was stored.
        for (modseq, uids) in known {
            self.selected()?.view.told(modseq, uids.iter());
        }
        let code = if modified.is_empty() {
            is_gone.then_some(Code::ExpungeIssued)
        } else {
            Some(Code::Modified(self.named(&modified, store.uid)?))
        };
        let text = if store.uid {
            "UID STORE completed"
        } else {
            "STORE completed"
        };
        Ok(self.partly(Done { code, text }, limit))
    }

    /// Stores without an echo, and returns what failed UNCHANGEDSINCE.
    ///
    /// Messages that did not change since the client was told of all changes are stored first: of
    /// those it will know the flags once the whole command is done, so they are added to `known`.
    /// The others are stored as well, but are told with the changes, since others changed them
    /// meanwhile.
    async fn store_silently(
        &mut self,
        store: &Store,
        uids: &UidRanges,
        known: &mut Vec<(ModSeq, UidRanges)>,
    ) -> Result<UidRanges> {
        let asked = store.unchanged_since.map(ModSeq);
        if self.is_guest() {
            // Flags that he may not set are left out (RFC 4314 section 4), so he is told.
            return Ok(self.store_batch(store, uids, asked).await?.1);
        }
        let since = self.selected()?.view.since();
        let first = asked.map_or(since, |asked| asked.min(since));
        let (modseq, failed) = self.store_batch(store, uids, Some(first)).await?;
        known.push((modseq, uids.subtract(&failed)));
        if failed.is_empty() || asked.is_some_and(|asked| asked <= since) {
            return Ok(failed);
        }
        Ok(self.store_batch(store, &failed, asked).await?.1)
    }

    /// The mod-sequence of the change, and what was not changed.
    async fn store_batch(
        &mut self,
        store: &Store,
        uids: &UidRanges,
        unchanged_since: Option<ModSeq>,
    ) -> Result<(ModSeq, UidRanges)> {
        let command = Command::Store {
            account: self.backend.account(),
            mailbox: self.selected()?.mailbox,
            uids: uids.clone(),
            mode: match store.mode {
                StoreMode::Replace => mailbox::StoreMode::Replace,
                StoreMode::Add => mailbox::StoreMode::Add,
                StoreMode::Remove => mailbox::StoreMode::Remove,
            },
            flags: flags::parsed(&store.flags),
            unchanged_since,
        };
        match self.change(command).await? {
            Reply::Stored { modseq, modified } => {
                self.selected()?.view.see(modseq);
                Ok((modseq, modified))
            }
            _ => Err(BackendError::Broken.into()),
        }
    }

    /// Tells the flags that messages have now; those of a silent STORE are not told, only the
    /// mod-sequences, which a client that knows them must learn (RFC 7162 section 3.1.3). Whether
    /// some of the messages are gone. `down` if from the highest UID down.
    async fn tell_stored(&mut self, store: &Store, stored: &UidRanges, down: bool) -> Result<bool> {
        let mut told = 0;
        let mut pages: Vec<_> = chunks(stored, u64::from(limits::PAGE_MESSAGES)).collect();
        if down {
            pages.reverse();
        }
        for mut uids in pages {
            let mut page = Vec::new();
            while !uids.is_empty() {
                page.extend(self.rows(&mut uids, None).await?);
            }
            if down {
                page.reverse();
            }
            for message in page {
                told += 1;
                self.tell_one(store, message.uid, message.modseq, &message.flags)?;
                self.conn.relieve().await?;
            }
        }
        Ok(told < stored.len())
    }

    fn tell_one(
        &mut self,
        store: &Store,
        uid: Uid,
        modseq: ModSeq,
        flags: &mailbox::Flags,
    ) -> Result<()> {
        if !store.silent {
            self.tell_flags(uid, modseq, flags, store.uid || self.condstore);
            self.selected()?.view.told(modseq, [uid]);
            return Ok(());
        }
        let Some(line) = self.line(uid) else {
            return Ok(());
        };
        self.selected()?.view.show(modseq);
        let out = &mut self.conn.out;
        line.begin(out);
        line.uid(out);
        out.fetch_modseq(modseq.0);
        out.fetch_end();
        Ok(())
    }

    /// Messages as the client named them.
    pub(crate) fn named(&mut self, uids: &UidRanges, by_uid: bool) -> Result<Vec<IdRange>> {
        if !by_uid {
            return Ok(self.selected()?.view.sequences(uids));
        }
        Ok(ranges(uids))
    }
}

/// UIDs as responses write them.
pub(crate) fn ranges(uids: &UidRanges) -> Vec<IdRange> {
    uids.ranges()
        .map(|(first, last)| IdRange {
            first: first.0,
            last: last.0,
        })
        .collect()
}
