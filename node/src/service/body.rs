//! Bodies on their way in.
//!
//! A body of up to [`CHUNK_BYTES`] rides in the entry that delivers it. A larger one goes into the
//! log in chunks while it is still arriving, once for each partition with a recipient; this node
//! never holds more of it than the chunk that is being filled, and while that becomes durable it
//! reads nothing from the client.
//!
//! What a connection holds beyond [`HELD_FREE_BYTES`] comes from the node's share for uploads. When
//! that is used up, a body goes ahead in smaller chunks, for which no room is needed: so clients
//! that send slowly and hold on to theirs cannot keep out the others. Only a body of which many
//! small chunks went ahead has to wait.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::future::{join_all, try_join_all};
use mailbox::{
    AccountId, BodySource, Command, Hash16, NewBody, Outcome, UploadId, limits::CHUNKS_MAX,
};

use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use super::Service;
use super::call::Failure;
use super::lane::Lane;
use super::limits::{CHUNK_BYTES, FREE_WAIT, HELD_FREE_BYTES};
use crate::budget::{Permit, Share};
use crate::replica::GroupId;

/// A body that is arriving.
pub struct Incoming {
    service: Service,
    hasher: blake3::Hasher,
    length: u64,
    pieces: Vec<Bytes>,
    held: usize,
    /// Bytes that may be held now.
    room: usize,
    /// For those beyond [`HELD_FREE_BYTES`].
    permits: Vec<Permit>,
    targets: Vec<Target>,
    wait: std::time::Duration,
}

/// A partition that the body goes to.
struct Target {
    group: GroupId,
    account: AccountId,
    upload: Option<Upload>,
}

struct Upload {
    id: UploadId,
    lane: Lane,
    chunks: u32,
}

/// A body that has arrived.
pub struct Arrived {
    /// Its hash.
    pub hash: Hash16,
    /// Its length in bytes.
    pub length: u64,
    /// The bytes, if they shall ride in the entry.
    pub inline: Bytes,
    service: Service,
    uploads: Vec<(GroupId, Upload)>,
    _permits: Vec<Permit>,
}

impl Arrived {
    /// How a command for `group` names the body, and the bytes that ride with it.
    #[must_use]
    pub fn for_group(&self, group: GroupId) -> (NewBody, Bytes) {
        let upload = self.uploads.iter().find(|(target, _)| *target == group);
        let (source, bytes) = match upload {
            Some((_, upload)) => (BodySource::Upload(upload.id), Bytes::new()),
            None => (BodySource::Inline, self.inline.clone()),
        };
        (
            NewBody {
                hash: self.hash,
                length: self.length,
                source,
            },
            bytes,
        )
    }

    /// No message will refer to it: frees what was uploaded. Should this fail, log time does it.
    pub async fn abandon(self) {
        free(&self.service, self.uploads).await;
    }

    /// The same for some of the groups that it was uploaded to.
    pub async fn abandon_in(self, groups: &BTreeSet<GroupId>) {
        let uploads = self.uploads.into_iter();
        let unused = uploads.filter(|(group, _)| groups.contains(group));
        free(&self.service, unused).await;
    }
}

/// A body of which the end is on its way into the log.
pub struct Leaving(JoinHandle<Result<Arrived, Failure>>);

impl Leaving {
    /// Waits until it has arrived. After that it is over.
    ///
    /// # Errors
    ///
    /// As [`Incoming::put`].
    pub async fn arrived(&mut self) -> Result<Arrived, Failure> {
        (&mut self.0).await.unwrap_or(Err(Failure::Unknown))
    }

    /// No message will refer to it: frees it once it has arrived.
    pub async fn abandon(mut self) {
        if let Ok(arrived) = self.arrived().await {
            arrived.abandon().await;
        }
    }
}

/// Frees uploads. One that a message refers to by now stays.
async fn free(service: &Service, uploads: impl IntoIterator<Item = (GroupId, Upload)>) {
    let freed = uploads.into_iter().map(|(group, upload)| async move {
        let Upload { id, mut lane, .. } = upload;
        let command = Command::DropUpload { upload: id };
        let dropped = service
            .propose(group, &mut lane, command, Bytes::new(), FREE_WAIT)
            .await;
        if let Err(failure) = dropped {
            tracing::info!(%failure, "an abandoned upload stays until it expires");
        }
    });
    join_all(freed).await;
}

impl Incoming {
    /// A body for partitions, each with the account that its chunks count against.
    #[must_use]
    pub fn new(
        service: &Service,
        targets: impl IntoIterator<Item = (GroupId, AccountId)>,
        wait: std::time::Duration,
    ) -> Self {
        let targets = targets
            .into_iter()
            .map(|(group, account)| Target {
                group,
                account,
                upload: None,
            })
            .collect();
        Self {
            service: service.clone(),
            hasher: blake3::Hasher::new(),
            length: 0,
            pieces: Vec::new(),
            held: 0,
            room: HELD_FREE_BYTES,
            permits: Vec::new(),
            targets,
            wait,
        }
    }

    /// Takes the next bytes. Waits while a chunk becomes durable: that is the back pressure.
    ///
    /// # Errors
    ///
    /// When a chunk is refused or its outcome stays unknown, or there is no room in memory for too
    /// long; the body is lost then.
    pub async fn put(&mut self, mut bytes: Bytes) -> Result<(), Failure> {
        self.hasher.update(&bytes);
        self.length += bytes.len() as u64;
        while !bytes.is_empty() {
            self.make_room(self.held + bytes.len()).await?;
            let fits = bytes.len().min(self.room - self.held);
            let rest = bytes.split_off(fits);
            self.hold(bytes);
            bytes = rest;
            if !bytes.is_empty() {
                self.send_chunk().await?;
            }
        }
        Ok(())
    }

    /// Sees to it that so many bytes may be held, up to a chunk, if that is possible or needed.
    async fn make_room(&mut self, wanted: usize) -> Result<(), Failure> {
        if wanted.min(CHUNK_BYTES) <= self.room {
            return Ok(());
        }
        let wanted = wanted.min(CHUNK_BYTES).next_power_of_two();
        if let Some(permit) = self.uploads().try_take((wanted - self.room) as u64) {
            self.permits.push(permit);
            self.room = wanted;
            return Ok(());
        }
        let mut sent = self.targets.iter().filter_map(|to| to.upload.as_ref());
        if !sent.any(|upload| upload.chunks >= CHUNKS_MAX / 2) {
            return Ok(());
        }
        // Who waits holds nothing, so that no two wait for each other.
        if self.held > 0 {
            self.send_chunk().await?;
        }
        self.permits.clear();
        self.room = HELD_FREE_BYTES;
        let uploads = self.uploads();
        let taking = uploads.take((CHUNK_BYTES - HELD_FREE_BYTES) as u64);
        let taken = tokio::time::timeout(self.wait, taking).await;
        let permit = taken.map_err(|_| Failure::Busy("no room in memory".into()))?;
        self.permits.push(permit);
        self.room = CHUNK_BYTES;
        Ok(())
    }

    fn uploads(&self) -> Arc<Share> {
        Arc::clone(self.service.uploads())
    }

    fn hold(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.held += bytes.len();
            self.pieces.push(bytes);
        }
    }

    /// What is held, as one run of bytes that keeps no larger buffer in memory.
    fn take(&mut self) -> Bytes {
        let held = std::mem::take(&mut self.held);
        let mut joined = BytesMut::with_capacity(held);
        for piece in self.pieces.drain(..) {
            joined.extend_from_slice(&piece);
        }
        joined.freeze()
    }

    async fn send_chunk(&mut self) -> Result<(), Failure> {
        let bytes = self.take();
        let (service, wait) = (&self.service, self.wait);
        try_join_all(self.targets.iter_mut().map(|target| {
            let bytes = bytes.clone();
            async move {
                let upload = target.upload.get_or_insert_with(|| Upload {
                    id: UploadId(rand::random()),
                    lane: service.lanes().open(),
                    chunks: 0,
                });
                let command = Command::Chunk {
                    upload: upload.id,
                    account: target.account,
                    number: upload.chunks,
                    length: bytes.len() as u32,
                };
                upload.chunks += 1;
                let lane = &mut upload.lane;
                match service
                    .propose(target.group, lane, command, bytes, wait)
                    .await?
                {
                    Outcome::Done(_) => Ok(()),
                    Outcome::Rejected(why) => Err(Failure::Rejected(why)),
                    Outcome::Forgotten => Err(Failure::Unknown),
                    Outcome::Moved => Err(Failure::Moved),
                }
            }
        }))
        .await?;
        Ok(())
    }

    /// The whole body has arrived. If it stands `apart` it does not ride in the entry of its
    /// command: another one may. If it fails, what went ahead is freed.
    ///
    /// # Errors
    ///
    /// As [`Incoming::put`].
    pub async fn finish(mut self, apart: bool) -> Result<Arrived, Failure> {
        let uploading = self.targets.iter().any(|target| target.upload.is_some());
        if (uploading || apart)
            && self.held > 0
            && let Err(failure) = self.send_chunk().await
        {
            // Whoever waits is told at once.
            tokio::spawn(self.abandon());
            return Err(failure);
        }
        let inline = self.take();
        let mut hash = [0; 16];
        hash.copy_from_slice(&self.hasher.finalize().as_bytes()[..16]);
        let uploads = self
            .targets
            .into_iter()
            .filter_map(|target| Some((target.group, target.upload?)))
            .collect();
        // Of what went ahead nothing is held any more.
        let permits = if inline.is_empty() {
            Vec::new()
        } else {
            self.permits
        };
        Ok(Arrived {
            hash: Hash16(hash),
            length: self.length,
            inline,
            service: self.service,
            uploads,
            _permits: permits,
        })
    }

    /// As [`Incoming::finish`] for a body that stands apart, but while it becomes durable something
    /// else may be done; `place` is given back then.
    #[must_use]
    pub fn leave(self, place: Option<OwnedSemaphorePermit>) -> Leaving {
        Leaving(tokio::spawn(async move {
            let _place = place;
            self.finish(true).await
        }))
    }

    /// The rest will not come: frees what was uploaded. Should this fail, log time does it.
    pub async fn abandon(self) {
        let uploads = self.targets.into_iter();
        let uploads = uploads.filter_map(|target| Some((target.group, target.upload?)));
        free(&self.service, uploads).await;
    }
}
