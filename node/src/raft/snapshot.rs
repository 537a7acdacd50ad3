//! Snapshots between nodes: a follower whose next entries are purged is brought to a checkpoint.
//!
//! ```text
//!   leader                                    follower
//!     begin (route, vote, C)       ---->        what it has of C already
//!                                  <----        resume at this chunk
//!     chunk, chunk, ..             ---->        rows, into an index beside its own
//!                                  <----        which bodies it lacks (Bodies), from any member
//!                                  <----        done: installed
//! ```
//!
//! Bodies that the follower holds are not sent again, so a node that was away fetches what it
//! missed. When the stream breaks, what came is kept for a while ([`super::arrivals`]), and the
//! next one goes on with it, if it is of the same checkpoint; of another one the bodies count that
//! have arrived. Both sides keep to a rate. A node whose log takes no entries takes no snapshot.
//!
//! A body to which only the rows of C refer may be dropped by all members before it is fetched.
//! Then the follower refuses to go on, and the leader offers its newest checkpoint instead of C:
//! the rows of that one do not refer to what no checkpoint keeps.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use proto::v1;
use proto::v1::snapshot_frame::Frame;
use proto::v1::snapshot_reply::Reply;
use rows::snapshot::Cursor;
use rows::{Digest, Fault};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::convert::{self, Route};
use super::group::Group;
use super::health::Health;
use super::limits::{BODIES_FRAME_BYTES, FETCH_DIAL_WAIT, SNAPSHOT_SILENCE_MAX};
use super::machine;
use super::peer::Peers;
use super::serve::{CallerNode, PeerService};
use super::transfers::OnItsWay;
use super::types::{Vote, log_id, raft_log_id};
use crate::replica::arrival::matches;
use crate::replica::{Arrival, Chunks, GroupId, LogId, Membership, Referred, Replica, Snapshot};

/// Frames between who makes them and the socket.
const FRAMES_QUEUED: usize = 4;

/// Brings a replica to a checkpoint; answers the vote that it knows then.
///
/// # Errors
///
/// Why it was not done; the next try goes on where this one ended.
pub(super) async fn send(
    peers: &Peers,
    node: u64,
    route: Route,
    vote: Vote,
    snapshot: Snapshot,
) -> anyhow::Result<Vote> {
    let begin = begin(route, &vote, &snapshot)?;
    let (frames, outgoing) = mpsc::channel(FRAMES_QUEUED);
    frames.send(frame(Frame::Begin(begin))).await?;
    let mut client = peers.bulk(node).await?;
    let mut replies = client
        .snapshot(ReceiverStream::new(outgoing))
        .await?
        .into_inner();
    let mut frames = Some(frames);
    let on_its_way = Arc::new(peers.snapshots().transfers.begin(route, node));
    loop {
        let reply = tokio::time::timeout(SNAPSHOT_SILENCE_MAX, replies.message()).await??;
        let reply = reply.and_then(|reply| reply.reply);
        match reply.ok_or_else(|| anyhow::anyhow!("the stream ended"))? {
            Reply::Resume(cursor) => {
                let chunks = snapshot.chunks.clone();
                if let Some(frames) = frames.take() {
                    let cursor = cursor_from_wire(&cursor)?;
                    let (peers, on_its_way) = (peers.clone(), Arc::clone(&on_its_way));
                    tokio::task::spawn_blocking(move || {
                        feed(&peers, &chunks, cursor, &frames, &on_its_way);
                    });
                }
            }
            Reply::Progress(progress) => on_its_way.note(|transfer| {
                transfer.rows = progress.rows;
                transfer.bodies = progress.bodies;
                transfer.body_bytes = progress.body_bytes;
            }),
            Reply::Done(vote) => return Ok(convert::vote_from_wire(&vote)),
            Reply::Refused(why) => {
                snapshot.chunks.refuse();
                anyhow::bail!(why)
            }
        }
    }
}

fn begin(route: Route, vote: &Vote, snapshot: &Snapshot) -> anyhow::Result<v1::SnapshotBegin> {
    let (membership, membership_id) = members_to_wire(snapshot.membership.as_ref())?;
    Ok(v1::SnapshotBegin {
        route: Some(route.to_wire()),
        vote: Some(convert::vote_to_wire(vote)),
        last: snapshot.last.map(to_wire),
        membership,
        membership_id,
    })
}

pub(super) fn to_wire(id: LogId) -> v1::PeerLogId {
    convert::id_to_wire(&raft_log_id(id))
}

pub(super) fn from_wire(id: &v1::PeerLogId) -> LogId {
    log_id(&convert::id_from_wire(id))
}

/// The members of a snapshot, and the entry that made them.
pub(super) fn members_to_wire(
    membership: Option<&Membership>,
) -> anyhow::Result<(Option<v1::PeerMembership>, Option<v1::PeerLogId>)> {
    let Some((id, members)) = membership else {
        return Ok((None, None));
    };
    let members = v1::PeerMembership::decode(members.clone())?;
    Ok((Some(members), id.map(to_wire)))
}

/// The same, read.
pub(super) fn members_from_wire(
    members: Option<v1::PeerMembership>,
    id: Option<&v1::PeerLogId>,
) -> Option<Membership> {
    members.map(|members| (id.map(from_wire), Bytes::from(members.encode_to_vec())))
}

fn frame(frame: Frame) -> v1::SnapshotFrame {
    v1::SnapshotFrame { frame: Some(frame) }
}

/// Sends the chunks from `cursor` on, as fast as they are taken and the rate allows. Blocks on the
/// disk.
fn feed(
    peers: &Peers,
    chunks: &Chunks,
    cursor: Cursor,
    frames: &mpsc::Sender<v1::SnapshotFrame>,
    on_its_way: &OnItsWay,
) {
    for chunk in chunks.iter_from(cursor) {
        match chunk {
            Ok(chunk) => {
                std::thread::sleep(peers.snapshots().sending.count(chunk.len()));
                metrics::counter!("rookery_snapshot_sent_bytes_total", "of" => "rows")
                    .increment(chunk.len() as u64);
                on_its_way.note(|transfer| transfer.row_bytes += chunk.len() as u64);
                if frames.blocking_send(frame(Frame::Chunk(chunk))).is_err() {
                    return;
                }
            }
            Err(fault) => {
                tracing::error!(%fault, "a snapshot cannot be read");
                return;
            }
        }
    }
}

fn cursor_to_wire(cursor: &Cursor) -> v1::SnapshotCursor {
    v1::SnapshotCursor {
        chunk: cursor.chunk,
        after: cursor.after.clone(),
        rows: cursor.rows,
        digest: Bytes::copy_from_slice(&cursor.digest.to_bytes()),
        kept: Bytes::copy_from_slice(&cursor.kept.to_bytes()),
    }
}

fn cursor_from_wire(wire: &v1::SnapshotCursor) -> anyhow::Result<Cursor> {
    let digest = |bytes: &Bytes| -> anyhow::Result<Digest> {
        Ok(Digest::from_bytes(bytes.as_ref().try_into()?))
    };
    Ok(Cursor {
        chunk: wire.chunk,
        after: wire.after.clone(),
        rows: wire.rows,
        digest: digest(&wire.digest)?,
        kept: digest(&wire.kept)?,
    })
}

type Replies = mpsc::Sender<Result<v1::SnapshotReply, Status>>;

async fn reply(replies: &Replies, reply: Reply) -> anyhow::Result<()> {
    let reply = v1::SnapshotReply { reply: Some(reply) };
    Ok(replies.send(Ok(reply)).await?)
}

/// Takes a snapshot in, and says how it went.
pub(super) async fn receive(
    service: Arc<PeerService>,
    caller: CallerNode,
    frames: Streaming<v1::SnapshotFrame>,
    replies: Replies,
) {
    let taken = take(&service, caller, frames, &replies).await;
    let last = match taken {
        Ok(vote) => Reply::Done(convert::vote_to_wire(&vote)),
        Err(error) => {
            tracing::info!(
                from = caller.0,
                error = format!("{error:#}"),
                "snapshot not taken"
            );
            Reply::Refused(format!("{error:#}"))
        }
    };
    drop(reply(&replies, last).await);
}

/// Whether a snapshot may be taken in, of which the rows will need so many bytes. What it takes of
/// the reserve would be lacking to win room, and while it comes nothing is freed.
pub(super) fn check_room(health: &Health, bytes: u64) -> anyhow::Result<()> {
    match health.takes_bytes(bytes) {
        true => Ok(()),
        false => Err(Fault::NoRoom.into()),
    }
}

async fn take(
    service: &PeerService,
    caller: CallerNode,
    mut frames: Streaming<v1::SnapshotFrame>,
    replies: &Replies,
) -> anyhow::Result<Vote> {
    let first = frames.message().await?.and_then(|frame| frame.frame);
    let Some(Frame::Begin(begin)) = first else {
        anyhow::bail!("a snapshot begins with what it is of");
    };
    let route = Route::from_wire(begin.route.as_ref())?;
    let group = service.group(caller, route).map_err(anyhow::Error::msg)?;
    let (vote, at, membership) = read_begin(begin)?;
    check_room(service.groups.health(), 0)?;
    let arrivals = service.groups.arrivals();
    let begun = || arrivals.go_on(group.rows(), at, membership);
    let mut arrival = tokio::task::block_in_place(begun)?;
    let brought = bring(service, caller, &group, &mut arrival, &mut frames, replies).await;
    if let Err(error) = brought {
        tokio::task::block_in_place(|| arrivals.broke_off(arrival, &error));
        return Err(error);
    }
    let snapshot = Snapshot {
        last: Some(at),
        membership: arrival.membership().cloned(),
        chunks: Chunks::from(arrival),
    };
    let full = machine::full_snapshot(snapshot)?;
    let installed = group.raft().install_full_snapshot(vote, full).await?;
    tracing::info!(group = route.group.0, %at, "snapshot installed");
    metrics::counter!("rookery_snapshots_installed_total").increment(1);
    Ok(installed.vote)
}

fn read_begin(begin: v1::SnapshotBegin) -> anyhow::Result<(Vote, LogId, Option<Membership>)> {
    let missing = || anyhow::anyhow!("a snapshot without vote or log id");
    let vote = convert::vote_from_wire(begin.vote.as_ref().ok_or_else(missing)?);
    let at = from_wire(begin.last.as_ref().ok_or_else(missing)?);
    let membership = members_from_wire(begin.membership, begin.membership_id.as_ref());
    Ok((vote, at, membership))
}

/// All rows, then all bodies that are not here.
async fn bring(
    service: &PeerService,
    caller: CallerNode,
    group: &Group,
    arrival: &mut Arrival,
    frames: &mut Streaming<v1::SnapshotFrame>,
    replies: &Replies,
) -> anyhow::Result<()> {
    let taking = &service.groups.peers().snapshots().taking;
    let health = service.groups.health();
    reply(replies, Reply::Resume(cursor_to_wire(arrival.cursor()))).await?;
    while !arrival.is_whole() {
        let next = tokio::time::timeout(SNAPSHOT_SILENCE_MAX, frames.message()).await??;
        let Some(Frame::Chunk(chunk)) = next.and_then(|frame| frame.frame) else {
            anyhow::bail!("the stream ended before the last chunk");
        };
        check_room(health, arrival.base_bytes())?;
        tokio::task::block_in_place(|| arrival.push(&chunk))?;
        metrics::counter!("rookery_snapshot_taken_bytes_total", "of" => "rows")
            .increment(chunk.len() as u64);
        tokio::time::sleep(taking.count(chunk.len())).await;
    }
    let mut progress = v1::SnapshotProgress {
        rows: arrival.cursor().rows,
        ..v1::SnapshotProgress::default()
    };
    arrival.rewind();
    let mut coming = ask(service, caller, group, arrival)?;
    while let Some(asked) = coming {
        let (bodies, missing) = asked.await?;
        // The next ones come while these are written.
        coming = ask(service, caller, group, arrival)?;
        let bytes = bodies.iter().map(|(_, body)| body.len()).sum::<usize>();
        progress.bodies += bodies.len() as u64;
        progress.body_bytes += bytes as u64;
        metrics::counter!("rookery_snapshot_taken_bytes_total", "of" => "bodies")
            .increment(bytes as u64);
        // What came is kept, also if more is wanted than anybody has now.
        check_room(health, arrival.base_bytes())?;
        tokio::task::block_in_place(|| arrival.put(bodies))?;
        reply(replies, Reply::Progress(progress)).await?;
        check_none_missing(&missing)?;
        tokio::time::sleep(taking.count(bytes)).await;
    }
    // An error inside openraft's install stops the group.
    check_room(health, arrival.base_bytes())
}

/// Bodies that came, and those that nobody has.
type Fetched = (Vec<(Referred, Bytes)>, Vec<Referred>);

/// Asks for the next bodies that are not here, if there are any.
fn ask(
    service: &PeerService,
    caller: CallerNode,
    group: &Group,
    arrival: &mut Arrival,
) -> anyhow::Result<Option<JoinHandle<Fetched>>> {
    let wanted = tokio::task::block_in_place(|| arrival.wanted())?;
    if wanted.is_empty() {
        return Ok(None);
    }
    let peers = service.groups.peers().clone();
    let mut nodes = vec![caller.0];
    let members = group.status().voters.into_iter();
    let others = members.filter(|replica| *replica != group.replica());
    nodes.extend(others.filter_map(|replica| peers.node_of(replica)));
    let group = group.id();
    let fetching = async move { fetch(&peers, &nodes, group, wanted).await };
    Ok(Some(tokio::spawn(fetching)))
}

/// Fails if there is a body that nobody has.
pub(super) fn check_none_missing(missing: &[Referred]) -> anyhow::Result<()> {
    match missing.first() {
        None => Ok(()),
        Some(first) => anyhow::bail!("no member has the body of entry {}", first.id),
    }
}

/// Bodies from whoever has them, in the order of these nodes; and those that nobody has.
pub(super) async fn fetch(
    peers: &Peers,
    nodes: &[u64],
    group: GroupId,
    wanted: Vec<Referred>,
) -> Fetched {
    let mut missing = wanted;
    let mut found = Vec::with_capacity(missing.len());
    for (tried, node) in nodes.iter().enumerate() {
        if missing.is_empty() {
            break;
        }
        if nodes[..tried].contains(node) {
            continue;
        }
        let ids = missing.iter().map(|referred| referred.id);
        let request = v1::BodiesRequest {
            group: group.0,
            ids: ids
                .map(|id| convert::id_to_wire(&raft_log_id(id)))
                .collect(),
        };
        if let Err(error) = fetch_from(peers, *node, request, &mut missing, &mut found).await {
            tracing::info!(node, error = format!("{error:#}"), "bodies not fetched");
        }
    }
    (found, missing)
}

async fn fetch_from(
    peers: &Peers,
    node: u64,
    request: v1::BodiesRequest,
    missing: &mut Vec<Referred>,
    found: &mut Vec<(Referred, Bytes)>,
) -> anyhow::Result<()> {
    let client = tokio::time::timeout(FETCH_DIAL_WAIT, peers.bulk(node)).await?;
    let mut frames = client?.bodies(request).await?.into_inner();
    while let Some(frame) = tokio::time::timeout(SNAPSHOT_SILENCE_MAX, frames.message()).await?? {
        for body in frame.bodies {
            let id = body.id.as_ref().map(convert::id_from_wire);
            let id = id.map(|id| log_id(&id));
            let at = missing.iter().position(|referred| Some(referred.id) == id);
            if let Some(at) = at
                && matches(&missing[at], &body.body)
            {
                found.push((missing.remove(at), body.body));
            }
        }
    }
    Ok(())
}

/// Sends the bodies that this replica has. Blocks on the disk.
pub(super) fn send_bodies(
    peers: &Peers,
    replica: &Replica,
    ids: &[v1::PeerLogId],
    frames: &mpsc::Sender<Result<v1::BodiesFrame, Status>>,
) {
    let send = |frame: &mut v1::BodiesFrame, bytes: usize| {
        std::thread::sleep(peers.snapshots().sending.count(bytes));
        metrics::counter!("rookery_snapshot_sent_bytes_total", "of" => "bodies")
            .increment(bytes as u64);
        frames.blocking_send(Ok(std::mem::take(frame))).is_ok()
    };
    let mut frame = v1::BodiesFrame::default();
    let mut bytes = 0;
    for wire in ids {
        let id = log_id(&convert::id_from_wire(wire));
        match replica.entry_body(id) {
            Ok(body) => {
                bytes += body.len();
                frame.bodies.push(v1::PeerBody {
                    id: Some(*wire),
                    body,
                });
            }
            Err(error) => tracing::info!(%error, "a body that another replica asks for"),
        }
        if bytes >= BODIES_FRAME_BYTES && !send(&mut frame, std::mem::take(&mut bytes)) {
            return;
        }
    }
    if !frame.bodies.is_empty() {
        send(&mut frame, bytes);
    }
}
