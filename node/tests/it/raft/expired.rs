//! A checkpoint of which a body is dropped by all before it has come: a newer one takes its place,
//! and what came counts for that.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use node::budget::Share;
use node::link::Dial;
use node::raft::arrivals::Arrivals;
use node::raft::machine::Machine;
use node::raft::reading::Reading;
use node::raft::spread::Spread;
use node::raft::types::{Vote, raft_log_id};
use node::raft::{
    CallerNode, Fetcher, Gate, Groups, Health, LogStore, OnFatal, PeerServer, PeerService, Peers,
    Timing,
};
use node::replica::index::MemoryIndexes;
use node::replica::{Fetch, GroupId, LogId, Opening, Replica, Snapshot, open};
use openraft::errors::ReplicationClosed;
use openraft::network::{NetSnapshot, RPCOption, RaftNetworkFactory};
use openraft::storage::RaftStateMachine;
use parking_lot::Mutex;
use proto::v1;
use proto::v1::checkpoint_frame::Frame;
use proto::v1::peer_server::Peer;
use seglog::ReplicaId;
use seglog::sim::SimDisk;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};

use crate::replica::rig::{Forgetful, GROUP, REPLICA, Rig, WriterThread, options, tight};

/// The node of the leader, whose replica is [`REPLICA`], and that of the follower.
const LEADER: u64 = 1;
const FOLLOWER: ReplicaId = ReplicaId(REPLICA.0 + 1);

/// All nodes are reached at this address.
struct At(Arc<Mutex<String>>);

impl Dial for At {
    fn dial(&self, _: u64) -> Pin<Box<dyn Future<Output = anyhow::Result<Channel>> + Send + '_>> {
        let address = self.0.lock().clone();
        Box::pin(async move { Ok(Endpoint::from_shared(address)?.connect().await?) })
    }

    fn node_of(&self, replica: u64) -> Option<u64> {
        Some(replica)
    }

    fn others(&self, _: u64) -> Vec<u64> {
        vec![LEADER]
    }
}

fn peers(log: &seglog::Log, address: &Arc<Mutex<String>>) -> Peers {
    let frames = Share::new("frames", 16 << 20);
    Peers::new(
        Arc::new(At(Arc::clone(address))),
        log.clone(),
        frames,
        1 << 30,
    )
}

/// Serves a peer, and says where.
async fn serve(peer: impl Peer) -> Arc<Mutex<String>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let identify = |mut request: Request<()>| {
        request.extensions_mut().insert(CallerNode(LEADER));
        Ok(request)
    };
    let serving = Server::builder()
        .layer(tonic::service::InterceptorLayer::new(identify))
        .add_service(v1::peer_server::PeerServer::new(peer))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(serving);
    Arc::new(Mutex::new(address))
}

/// Gives what a replica has, and these checkpoints, one after the other; notes which bodies were
/// asked for.
struct Giver {
    replica: Arc<Replica>,
    checkpoints: Mutex<Vec<Snapshot>>,
    asked: Arc<Mutex<Vec<LogId>>>,
}

impl Giver {
    fn of(rig: &Rig, checkpoints: Vec<Snapshot>) -> (Self, Arc<Mutex<Vec<LogId>>>) {
        let asked = Arc::<Mutex<Vec<LogId>>>::default();
        let giver = Self {
            replica: Arc::clone(&rig.replica),
            checkpoints: Mutex::new(checkpoints),
            asked: Arc::clone(&asked),
        };
        (giver, asked)
    }
}

type Replies<T> = ReceiverStream<Result<T, Status>>;

fn stream<T>(replies: Vec<T>) -> Response<Replies<T>> {
    let (sending, receiving) = mpsc::channel(replies.len().max(1));
    for reply in replies {
        assert!(sending.try_send(Ok(reply)).is_ok());
    }
    Response::new(ReceiverStream::new(receiving))
}

fn unasked<T>() -> Result<T, Status> {
    Err(Status::unimplemented("nobody asks for it here"))
}

#[tonic::async_trait]
impl Peer for Giver {
    type AppendStream = Replies<v1::AppendReplyFrame>;
    type SnapshotStream = Replies<v1::SnapshotReply>;
    type EntriesStream = Replies<v1::EntriesFrame>;
    type CheckpointStream = Replies<v1::CheckpointFrame>;
    type BodiesStream = Replies<v1::BodiesFrame>;

    async fn bodies(
        &self,
        request: Request<v1::BodiesRequest>,
    ) -> Result<Response<Self::BodiesStream>, Status> {
        let ids = request.into_inner().ids;
        let body = |wire: v1::PeerLogId| {
            let id = LogId {
                term: wire.term,
                index: wire.index,
            };
            self.asked.lock().push(id);
            let body = self.replica.entry_body(id).ok()?;
            let id = Some(wire);
            Some(v1::PeerBody { id, body })
        };
        let bodies = ids.into_iter().filter_map(body).collect();
        Ok(stream(vec![v1::BodiesFrame { bodies }]))
    }

    async fn checkpoint(
        &self,
        _: Request<v1::CheckpointRequest>,
    ) -> Result<Response<Self::CheckpointStream>, Status> {
        let snapshot = self.checkpoints.lock().remove(0);
        let begin = v1::CheckpointBegin {
            last: snapshot.last.map(|at| v1::PeerLogId {
                term: at.term,
                index: at.index,
            }),
            ..v1::CheckpointBegin::default()
        };
        let chunks = snapshot.chunks.iter();
        let chunks = chunks.map(|chunk| Frame::Chunk(chunk.unwrap()));
        let frames = std::iter::once(Frame::Begin(begin)).chain(chunks);
        let frames = frames.map(|frame| v1::CheckpointFrame { frame: Some(frame) });
        Ok(stream(frames.collect()))
    }

    async fn append(
        &self,
        _: Request<Streaming<v1::AppendFrame>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        unasked()
    }

    async fn vote(
        &self,
        _: Request<v1::PeerVoteRequest>,
    ) -> Result<Response<v1::PeerVoteReply>, Status> {
        unasked()
    }

    async fn transfer_leader(
        &self,
        _: Request<v1::PeerTransferRequest>,
    ) -> Result<Response<v1::PeerTransferReply>, Status> {
        unasked()
    }

    async fn snapshot(
        &self,
        _: Request<Streaming<v1::SnapshotFrame>>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        unasked()
    }

    async fn condition(
        &self,
        _: Request<v1::PeerCondition>,
    ) -> Result<Response<v1::PeerCondition>, Status> {
        unasked()
    }

    async fn entries(
        &self,
        _: Request<v1::EntriesRequest>,
    ) -> Result<Response<Self::EntriesStream>, Status> {
        unasked()
    }

    async fn welcome(
        &self,
        _: Request<v1::WelcomeRequest>,
    ) -> Result<Response<v1::WelcomeReply>, Status> {
        unasked()
    }
}

/// Lets everybody in.
struct Open;

impl Gate for Open {
    fn speaks_for(&self, _: u64, _: GroupId, _: u64) -> bool {
        true
    }

    fn was_removed(&self, _: u64) -> bool {
        false
    }

    fn now_ms(&self) -> u64 {
        0
    }

    fn heard_logins(&self, _: &[v1::PeerLogin]) {}

    fn welcome(
        &self,
        _: v1::WelcomeRequest,
    ) -> Pin<Box<dyn Future<Output = Result<(), Status>> + Send + '_>> {
        Box::pin(async { unasked() })
    }
}

/// A leader with bodies to which rows refer, all of them purged from Raft's log.
fn leader(bodies: u64) -> (Rig, Vec<LogId>) {
    let machine = Arc::new(Forgetful);
    let indexes = Arc::new(MemoryIndexes::new());
    let mut rig = Rig::open_as(machine, SimDisk::new(), indexes, tight(), 1).unwrap();
    let ids = (1..=bodies).map(|index| {
        let body = format!("body {index}");
        rig.apply(
            &format!("put r{index} @1.{index}.{}", body.len()),
            body.as_bytes(),
        )
    });
    let ids = ids.collect();
    forget(&mut rig);
    (rig, ids)
}

/// A checkpoint is taken, and Raft purges what it holds.
fn forget(rig: &mut Rig) {
    rig.checkpoint();
    rig.raft.purge(rig.replica.checkpointed().unwrap().index);
}

/// A node on which the follower runs and knows nothing.
async fn follower(leader: &Arc<Mutex<String>>) -> (Groups, Arc<Replica>, WriterThread) {
    let disk = Arc::new(SimDisk::new());
    let (log, writer, recovered) = seglog::open(disk, options()).unwrap();
    let recent = Share::new("recent", 16 << 20);
    let store = LogStore::open(log.clone(), FOLLOWER, None, &recovered.damage, recent).unwrap();
    let indexes = Arc::new(MemoryIndexes::new());
    let opening = Opening::new(GROUP, FOLLOWER, log.clone(), indexes, Arc::new(Forgetful));
    let replica = open(&opening, None).unwrap();
    replica.attach(Arc::new(store.clone()));
    let timing = Timing {
        heartbeat_ms: 50,
        election_ms_min: 150,
        election_ms_max: 300,
    };
    let on_fatal: OnFatal = Arc::new(|why| panic!("{why}"));
    let health = Arc::new(Health::new(1, 1 << 20, 0));
    let groups = Groups::new(timing, peers(&log, leader), health, on_fatal).unwrap();
    let writing = WriterThread::start(writer);
    let started = groups.start(GROUP, FOLLOWER.0, Arc::clone(&replica), store);
    started.await;
    (groups, replica, writing)
}

/// A follower that cannot have a body of the checkpoint that is offered is offered a newer one, and
/// is brought to that.
#[tokio::test(flavor = "multi_thread")]
async fn a_newer_checkpoint_is_offered() {
    let (mut rig, ids) = leader(3);
    let (giver, asked) = Giver::of(&rig, Vec::new());
    let (groups, replica, writing) = follower(&serve(giver).await).await;
    let gate = Arc::new(Open);
    let service = PeerService::new(groups.clone(), gate);
    let address = serve(PeerServer(Arc::new(service))).await;
    let mut factory =
        peers(&rig.log, &address).factory(GROUP, REPLICA.0, Reading::default(), Spread::default());
    let none = openraft::impls::EmptyNode::default();
    let mut network = factory.new_client(FOLLOWER.0, &none).await;
    let mut machine = Machine::new(Arc::clone(&rig.replica));

    let first = machine.get_current_snapshot().await.unwrap().unwrap();
    let before = first.snapshot.last;
    rig.apply("del r2", b"");
    forget(&mut rig);
    assert!(rig.replica.entry_body(ids[1]).is_err(), "it is nowhere");
    let again = machine.get_current_snapshot().await.unwrap().unwrap();
    assert_eq!(again.snapshot.last, before, "it may go on where it was");
    assert_eq!(machine.offered(), before);
    drop(again);

    let mut send = async |snapshot| {
        let vote = Vote::new_committed(1, REPLICA.0);
        let never = std::future::pending::<ReplicationClosed>();
        let option = RPCOption::new(Duration::from_secs(120));
        network.full_snapshot(vote, snapshot, never, option).await
    };
    let why = send(first).await.unwrap_err().to_string();
    assert!(why.contains("no member has the body"), "{why}");
    let second = machine.get_current_snapshot().await.unwrap().unwrap();
    assert_eq!(second.snapshot.last, rig.replica.checkpointed());
    assert!(second.snapshot.last > before);
    send(second).await.unwrap();
    assert_eq!(replica.applied().last, rig.replica.applied().last);
    assert_eq!(replica.digest().1, rig.replica.digest().1);
    for id in [ids[0], ids[2]] {
        let body = replica.entry_body(id).unwrap();
        assert_eq!(body, rig.replica.entry_body(id).unwrap());
    }
    assert_eq!(
        *asked.lock(),
        ids,
        "what came for the first is not fetched again"
    );
    groups.stop(GROUP).await;
    drop(writing.stop());
}

/// R4: what one follower refuses does not take from another what it needs when it is done.
#[tokio::test(flavor = "multi_thread")]
async fn what_one_refuses_another_goes_on_with() {
    let (mut rig, _) = leader(2);
    let mut machine = Machine::new(Arc::clone(&rig.replica));
    let refusing = machine.get_current_snapshot().await.unwrap().unwrap();
    let other = machine.get_current_snapshot().await.unwrap().unwrap();
    let before = other.snapshot.last;
    rig.apply("del r2", b"");
    forget(&mut rig);
    refusing.snapshot.chunks.refuse();
    drop(refusing);
    let newer = machine.get_current_snapshot().await.unwrap().unwrap();
    assert!(newer.snapshot.last > before);
    assert_eq!(machine.offered(), before, "entries above it stay");
    drop(other);
    assert_eq!(machine.offered(), newer.snapshot.last);
    assert_eq!(
        raft_log_id(newer.snapshot.last.unwrap()),
        newer.meta.last_log_id.unwrap()
    );
}

/// The same where a replica that lost its rows is given them: the next try goes on with the bodies
/// that came.
#[tokio::test(flavor = "multi_thread")]
async fn healing_goes_on_with_what_came() {
    let (mut rig, ids) = leader(3);
    let first = rig.replica.last_checkpoint().unwrap();
    rig.apply("del r2", b"");
    forget(&mut rig);
    let second = rig.replica.last_checkpoint().unwrap();
    let (giver, asked) = Giver::of(&rig, vec![first, second]);
    let address = serve(giver).await;
    let healing = Rig::new();
    let health = Arc::new(Health::new(1, 1 << 20, 0));
    let arrivals = Arc::<Arrivals>::default();
    let peers = peers(&healing.log, &address);
    let fetcher = Fetcher::new(peers, health, arrivals, Handle::current());
    let Rig {
        replica, writer, ..
    } = healing;
    let writing = WriterThread::start(writer);
    let healed = Arc::clone(&replica);
    let fetch = move || {
        assert!(
            fetcher.checkpoint(&healed, 0).is_none(),
            "a body is nowhere"
        );
        let snapshot = fetcher.checkpoint(&healed, 0).unwrap();
        healed.install(snapshot).unwrap();
    };
    tokio::task::spawn_blocking(fetch).await.unwrap();
    assert_eq!(*asked.lock(), ids);
    assert_eq!(replica.digest().1, rig.replica.digest().1);
    assert_eq!(replica.entry_body(ids[0]).unwrap(), Bytes::from("body 1"));
    drop(writing.stop());
}
