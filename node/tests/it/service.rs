//! What a node does for its users, without the doors: one node in this process.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use bytes::Bytes;
use directory::verifier::{Params, Salts};
use mailbox::keys::Key;
use mailbox::{Command, Delivered};
use node::replica::GroupId;
use node::service::delivery::{Delivery, Recipient, Result as Delivery1};
use node::service::{Account, Service};
use prost::Message as _;
use proto::v1;
use rows::Rows as _;

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
