//! What a node does for its users, without the doors: one node in this process.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use directory::verifier::{Params, Salts};
use futures_util::poll;
use mailbox::keys::Key;
use mailbox::{Command, Delivered, MailboxId, Query, limits::ROSTER_ROWS_MAX};
use node::budget::Share;
use node::raft::{CallerNode, Gate};
use node::replica::{GroupId, Hint};
use node::service::call::Call;
use node::service::delivery::{Delivery, Recipient, Result as Delivery1};
use node::service::{Account, Answer, Failure, Hub, Rosters, Service, StoreServer};
use prost::Message as _;
use proto::v1;
use rows::Rows as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Code, Status};

use super::moves::{Cluster, STEP_WAIT, bytes, done, messages};

/// More than rides in one entry.
const LARGE: usize = 2 << 20;

/// A recipient with an address of his own.
fn recipient(service: &Service, account: &Account, address: usize) -> Recipient {
    let view = service.view().read();
    let found = view.account_by_id(directory::AccountId(account.id().0));
    Recipient {
        account: account.id(),
        group: GroupId(found.unwrap().partition.0),
        address: format!("{address}@example.org"),
        folder: None,
        prefix: Bytes::new(),
    }
}

async fn deliver(service: &Service, to: Vec<Recipient>, body: &[u8]) -> Vec<Delivery1> {
    let sender = "sender@else.example".to_owned();
    let mut delivery = Delivery::begin(service, sender, to, STEP_WAIT);
    delivery.put(Bytes::copy_from_slice(body)).await.unwrap();
    let mut lane = service.lanes().open();
    delivery.finish(&mut lane, true).await.0
}

/// What is uploaded in a partition, and belongs to no message.
fn upload_bytes(service: &Service, group: GroupId) -> u64 {
    let group = service.router().local().groups().get(group).unwrap();
    let row = group.rows().read(|rows| rows.get(&Key::Meta.encode()));
    let row = v1::MailMetaRow::decode(row.unwrap().unwrap());
    row.unwrap().upload_bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_stored_leaves_no_chunks() {
    let cluster = Cluster::start().await;
    let service = &cluster.service;
    let alice = cluster.user("alice").await;
    let bob = cluster.user("bob").await;
    let quota = |bytes| Command::SetQuota {
        account: alice.id(),
        bytes,
        messages: None,
    };
    done(&alice, quota(Some(1))).await;
    let to_alice = |address| recipient(service, &alice, address);
    let to_bob = recipient(service, &bob, 1);
    assert_ne!(to_alice(1).group, to_bob.group);
    let large = b"0123456789abcdef".repeat(LARGE / 16);
    let uploaded = || [to_alice(1).group, to_bob.group].map(|group| upload_bytes(service, group));

    let results = deliver(service, vec![to_alice(1)], &large).await;
    assert_eq!(results, [Delivery1::Decided(Delivered::OverQuota)]);
    assert_eq!(uploaded(), [0, 0]);

    // In one partition it is stored, in the other one not.
    let both = vec![to_alice(1), to_bob.clone()];
    let results = deliver(service, both, &large).await;
    assert_eq!(results[0], Delivery1::Decided(Delivered::OverQuota));
    let stored =
        |result: &Delivery1| matches!(result, Delivery1::Decided(Delivered::Stored { .. }));
    assert!(stored(&results[1]), "{results:?}");
    assert_eq!(uploaded(), [0, 0]);
    assert!(bytes(&bob, &messages(&bob).await[0]).await == large);

    // Once more, as who does not hear the reply delivers it.
    let results = deliver(service, vec![to_bob.clone()], &large).await;
    assert_eq!(results, [Delivery1::Decided(Delivered::Duplicate)]);
    assert_eq!(uploaded(), [0, 0]);
    assert!(bytes(&bob, &messages(&bob).await[0]).await == large);

    // Of two recipients in one partition one has it already.
    done(&alice, quota(None)).await;
    deliver(service, vec![to_alice(1)], &large).await;
    let results = deliver(service, vec![to_alice(1), to_alice(2)], &large).await;
    assert_eq!(results[0], Delivery1::Decided(Delivered::Duplicate));
    assert!(stored(&results[1]), "{results:?}");
    assert_eq!(uploaded(), [0, 0]);
    for message in messages(&alice).await {
        assert!(bytes(&alice, &message).await == large);
    }
}

/// openraft would refuse every write from then on.
#[tokio::test(flavor = "multi_thread")]
async fn the_lead_is_not_given_to_who_cannot_take_it() {
    const LEARNER: u64 = 77;
    let cluster = Cluster::start().await;
    let service = &cluster.service;
    let alice = cluster.user("alice").await;
    let id = recipient(service, &alice, 1).group;
    let group = service.router().local().groups().get(id).unwrap();
    group.add_learner(LEARNER).await.unwrap();
    assert!(group.status().learners.contains(&LEARNER));
    for replica in [LEARNER, LEARNER + 1] {
        let asked = service.ask(id, Call::Transfer(replica), STEP_WAIT).await;
        assert!(matches!(asked, Err(Failure::Invalid(_))), "{asked:?}");
    }
    let quota = Command::SetQuota {
        account: alice.id(),
        bytes: Some(1),
        messages: None,
    };
    done(&alice, quota).await;
    let own = group.replica();
    let asked = service.ask(id, Call::Transfer(own), STEP_WAIT).await;
    assert!(matches!(asked, Ok(Answer::Index(leader)) if leader == own));
}

/// RFC 5802 section 5.1: a salt tells nobody whether there is such a user.
#[tokio::test(flavor = "multi_thread")]
async fn a_salt_is_the_same_for_all_spellings() {
    let cluster = Cluster::start().await;
    let service = &cluster.service;
    cluster.user("alice").await;
    let salts = Salts {
        scram: [1; 16],
        argon2id: [2; 16],
    };
    let params = Params {
        scram_iterations: None,
        ..Params::default()
    };
    let create = directory::Command::CreateAccount {
        name: "old".into(),
        verifiers: directory::Verifiers::derive("secret", &salts, &params).unwrap(),
        quota_bytes: None,
    };
    cluster.direct(create).await;
    assert_eq!(service.verifiers("old").0.scram, None);
    let scram = |name: &str| service.scram_verifier(name).unwrap();
    for name in ["alice", "old", "nobody"] {
        let upper = name.to_uppercase();
        for spelling in [upper.clone(), format!("{upper}@Example.org")] {
            assert_eq!(scram(name), scram(&spelling), "{spelling}");
        }
        assert_eq!(scram(name).iterations, scram("alice").iterations);
    }
    assert_ne!(scram("nobody").salt, scram("nobody2").salt);
    assert_eq!(service.canonical("Nobody"), "nobody@example.org");
}

/// Who gives up in the middle of the first look at a large mailbox has not waited in vain.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_look_goes_on_where_it_was() {
    let cluster = Cluster::start().await;
    let service = &cluster.service;
    let alice = cluster.user("alice").await;
    let many = 2 * ROSTER_ROWS_MAX + 1;
    let to = (0..many).map(|address| recipient(service, &alice, address));
    deliver(service, to.collect(), b"Subject: many\r\n\r\n").await;

    let group = recipient(service, &alice, 0).group;
    let group = service.router().local().groups().get(group).unwrap();
    let new = || Rosters::new(Share::new("test", 1 << 20));
    let steps = async |rosters: &Rosters, max: usize| {
        let opening = rosters.open(group.rows(), alice.id(), MailboxId::INBOX);
        let mut opening = pin!(opening);
        for step in 1..=max {
            if let std::task::Poll::Ready(opened) = poll!(opening.as_mut()) {
                assert_eq!(opened.unwrap().uids.len(), many as u64);
                return step;
            }
        }
        max
    };
    let all = steps(&new(), usize::MAX).await;
    assert!(all >= 3, "{all} steps");
    let rosters = new();
    assert_eq!(steps(&rosters, 2).await, 2);
    assert_eq!(steps(&rosters, usize::MAX).await, all - 2);
    // Now it is remembered whole.
    assert_eq!(steps(&rosters, usize::MAX).await, 1);

    let query = Query::Open {
        account: alice.id(),
        mailbox: MailboxId::INBOX,
    };
    let answer = service
        .router()
        .local()
        .answer(group.id(), Call::Query(query));
    let Answer::Result(answer) = answer.await.unwrap() else {
        panic!("no result");
    };
    let mailbox::Answer::Opened(opened) = *answer else {
        panic!("{answer:?}");
    };
    assert_eq!(opened.uids.len(), many as u64);
}

/// Lets in whom the directory has not removed.
#[derive(Default)]
struct Doorman {
    has_removed: AtomicBool,
}

impl Gate for Doorman {
    fn speaks_for(&self, _node: u64, _group: GroupId, _replica: u64) -> bool {
        false
    }

    fn was_removed(&self, node: u64) -> bool {
        assert_eq!(node, 4);
        self.has_removed.load(Ordering::Relaxed)
    }

    fn now_ms(&self) -> u64 {
        0
    }

    fn heard_logins(&self, _logins: &[v1::PeerLogin]) {}

    fn welcome(
        &self,
        _request: v1::WelcomeRequest,
    ) -> Pin<Box<dyn Future<Output = Result<(), Status>> + Send + '_>> {
        Box::pin(async { Err(Status::unimplemented("nobody joins here")) })
    }
}

type StoreClient = v1::store_client::StoreClient<tonic::transport::Channel>;

/// Serves node 4.
async fn serve(store: StoreServer) -> StoreClient {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let identify = |mut request: tonic::Request<()>| {
        request.extensions_mut().insert(CallerNode(4));
        Ok(request)
    };
    let serving = tonic::transport::Server::builder()
        .layer(tonic::service::InterceptorLayer::new(identify))
        .add_service(v1::store_server::StoreServer::new(store))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(serving);
    let endpoint = tonic::transport::Endpoint::from_shared(address).unwrap();
    StoreClient::new(endpoint.connect().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_streams_of_a_removed_node_end() {
    let cluster = Cluster::start().await;
    let (gate, hub) = (Arc::new(Doorman::default()), Hub::default());
    let local = cluster.service.router().local_handle();
    let store = StoreServer::new(local, hub.clone(), Arc::clone(&gate) as Arc<dyn Gate>);
    let mut client = serve(store).await;
    let (calls, outgoing) = mpsc::channel(2);
    let asked = client.call(ReceiverStream::new(outgoing)).await.unwrap();
    let mut answers = asked.into_inner();
    let asked = client.watch(v1::StoreWatchRequest {}).await.unwrap();
    let mut hints = asked.into_inner();
    let call = |id| v1::StoreCallFrame {
        calls: vec![Call::Digest.to_wire(id, 0)],
    };
    let hint = |account| Hint {
        account,
        mailbox: 1,
        modseq: 1,
        brings_mail: false,
    };
    calls.send(call(7)).await.unwrap();
    let answer = answers.message().await.unwrap().unwrap();
    assert_eq!(answer.answers[0].id, 7);
    hub.publish(&[hint(8)]);
    let heard = hints.message().await.unwrap().unwrap();
    assert_eq!(heard.hints[0].account, 8);

    gate.has_removed.store(true, Ordering::Relaxed);
    calls.send(call(9)).await.unwrap();
    let ended = answers.message().await.unwrap_err();
    assert_eq!(ended.code(), Code::PermissionDenied, "{ended}");
    hub.publish(&[hint(10)]);
    let ended = hints.message().await.unwrap_err();
    assert_eq!(ended.code(), Code::PermissionDenied, "{ended}");
    // Nor are there new ones.
    let refused = client.watch(v1::StoreWatchRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
}
