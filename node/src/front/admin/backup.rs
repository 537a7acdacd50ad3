//! Backups: a group is read out while it serves.
//!
//! What was acknowledged before the call is in it. The file is written by whoever asks; nothing is
//! kept here.

use std::sync::Arc;

use proto::v1;
use proto::v1::backup_frame::Frame;
use rows::Fault;
use rows::snapshot::{Reader, SnapshotError};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{AdminServer, status};
use crate::front::limits::ADMIN_WAIT;
use crate::replica::{Export, GroupId, Replica};
use crate::service::{Answer, Call, now_ms};

/// Frames between who reads them from the log and the socket.
const FRAMES_QUEUED: usize = 4;

pub(super) type Frames = ReceiverStream<Result<v1::BackupFrame, Status>>;

type Sender = mpsc::Sender<Result<v1::BackupFrame, Status>>;

impl AdminServer {
    /// The frames of a group.
    pub(super) async fn read_out(&self, group: u64) -> Result<Frames, Status> {
        let id = GroupId(group);
        let local = self.service().router().local_handle();
        let held = local.groups().get(id);
        let held =
            held.ok_or_else(|| Status::not_found("this node has no replica of the group"))?;
        let service = self.service();
        let asked = service.ask(id, Call::Barrier, ADMIN_WAIT).await;
        let Answer::Index(index) = asked.map_err(status)? else {
            return Err(Status::internal("unexpected answer"));
        };
        let applied = local.answer(id, Call::Applied(index)).await;
        applied.map_err(status)?;
        let cluster = {
            let view = service.view().read();
            view.cluster().map(|cluster| cluster.id.to_vec())
        };
        let replica = Arc::clone(held.rows());
        let (frames, outgoing) = mpsc::channel(FRAMES_QUEUED);
        tokio::task::spawn_blocking(move || {
            let cluster = cluster.unwrap_or_default();
            if let Err(fault) = read_out(&replica, cluster, &frames) {
                tracing::error!(group, %fault, "a backup cannot be read");
                drop(frames.blocking_send(Err(Status::data_loss(fault.to_string()))));
            }
        });
        Ok(ReceiverStream::new(outgoing))
    }
}

/// Sends it all, for as long as somebody listens.
fn read_out(replica: &Arc<Replica>, cluster: Vec<u8>, frames: &Sender) -> Result<(), Fault> {
    let export = replica.export()?;
    let send = |frame| {
        let frame = v1::BackupFrame { frame: Some(frame) };
        frames.blocking_send(Ok(frame)).is_ok()
    };
    let begin = v1::BackupBegin {
        cluster: cluster.into(),
        group: replica.group().0,
        term: export.at().term,
        index: export.at().index,
        time_ms: now_ms(),
    };
    if !send(Frame::Begin(begin)) {
        return Ok(());
    }
    match send_all(&export, send)? {
        Some(end) => drop(frames.blocking_send(Ok(v1::BackupFrame {
            frame: Some(Frame::End(end)),
        }))),
        None => tracing::info!(group = replica.group().0, "a backup was broken off"),
    }
    Ok(())
}

/// Rows and bodies; none if nobody listens any more.
fn send_all(export: &Export, send: impl Fn(Frame) -> bool) -> Result<Option<v1::BackupEnd>, Fault> {
    let mut end = v1::BackupEnd::default();
    let mut sent: Reader = rows::snapshot::read();
    for chunk in export.chunks() {
        let chunk = chunk?;
        let damaged = |error: SnapshotError| Fault::Store(error.to_string());
        end.rows += sent.push(&chunk).map_err(damaged)?.len() as u64;
        if !send(Frame::Chunk(chunk)) {
            return Ok(None);
        }
    }
    for body in export.bodies()? {
        let (id, body) = body?;
        end.bodies += 1;
        end.body_bytes += body.len() as u64;
        let body = v1::BackupBody {
            term: id.term,
            index: id.index,
            body,
        };
        if !send(Frame::Body(body)) {
            return Ok(None);
        }
    }
    Ok(Some(end))
}
