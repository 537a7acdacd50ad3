//! What the log of this node needs of its disk.

use std::sync::Arc;

use proto::v1;
use tonic::Status;

use super::AdminServer;
use crate::replica::SegmentUse;

impl AdminServer {
    /// How much of each segment is needed.
    pub(super) async fn log_usage(&self) -> Result<v1::AdminStorage, Status> {
        let cleaning = Arc::clone(self.node.cleaning());
        let internal = |error: &dyn std::error::Error| Status::internal(error.to_string());
        let storage = tokio::task::spawn_blocking(move || cleaning.storage())
            .await
            .map_err(|error| internal(&error))?
            .map_err(|error| internal(&error))?;
        let segment = |used: &SegmentUse| v1::AdminSegment {
            number: used.segment.number,
            file_bytes: used.segment.file_bytes,
            bytes: used.segment.bytes,
            live_bytes: used.live_bytes,
            sealed: used.segment.sealed,
        };
        let (health, own) = (self.service().health(), self.service().health().own());
        Ok(v1::AdminStorage {
            room_bytes: own.room_bytes,
            reserve_bytes: health.reserve_bytes(),
            takes_mail: own.takes_mail,
            node: self.service().node(),
            segments: storage.segments.iter().map(segment).collect(),
            spare_segments: storage.log.spare_segments,
            written_bytes: storage.log.bytes,
            copied_bytes: storage.log.copied_bytes,
            freed_bytes: storage.log.freed_bytes,
            filled_bytes: storage.log.filled_bytes,
            scrubbed: Some(self.scrubbed()),
        })
    }

    fn scrubbed(&self) -> v1::AdminScrubbed {
        let scrubbed = self.node.scrubbing().scrubbed();
        v1::AdminScrubbed {
            finished_secs: scrubbed.finished_secs,
            passes: scrubbed.passes,
            segments: scrubbed.segments,
            bytes: scrubbed.bytes,
            damaged: scrubbed.damaged,
            mended: scrubbed.mended,
            open: scrubbed.left,
        }
    }
}
