use std::time::Duration;

use client::{Admin, Error};
use tonic::Code;

use crate::cluster::{Place, Rote, nobody};

#[tokio::test]
async fn the_first_node_that_answers_is_asked() {
    let place = Place::new();
    let starting = place
        .node(Rote {
            unavailable: true,
            ..Rote::of(1)
        })
        .await;
    let running = place.node(Rote::of(2)).await;
    let endpoints = [nobody().await, starting, running].map(|address| address.to_string());
    let admin = Admin::new(endpoints.to_vec(), &place.credentials()).unwrap();
    assert_eq!(admin.status().await.unwrap().node, 2);
}

#[tokio::test]
async fn a_change_goes_to_a_node_that_answers_and_only_once() {
    let place = Place::new();
    let (starting, running) = (
        Rote {
            unavailable: true,
            ..Rote::of(1)
        },
        Rote::of(2),
    );
    let endpoints = vec![
        place.node(starting.clone()).await.to_string(),
        place.node(running.clone()).await.to_string(),
    ];
    let admin = Admin::new(endpoints, &place.credentials()).unwrap();
    admin.add_node(3, "10.77.0.3:7400".into()).await.unwrap();
    assert_eq!(starting.asked(), [""; 0]);
    assert_eq!(running.asked(), ["add 3 10.77.0.3:7400"]);
}

#[tokio::test]
async fn a_change_without_answer_is_unknown_and_not_repeated() {
    let place = Place::new();
    let (silent, other) = (
        Rote {
            silent: true,
            ..Rote::of(1)
        },
        Rote::of(2),
    );
    let endpoints = vec![
        place.node(silent.clone()).await.to_string(),
        place.node(other.clone()).await.to_string(),
    ];
    let admin = Admin::new(endpoints, &place.credentials())
        .unwrap()
        .with_deadline(Duration::from_secs(2));
    let error = admin.delete_account("alice".into()).await.unwrap_err();
    assert!(matches!(error, Error::Unknown { .. }), "{error}");
    assert_eq!((silent.asked().len(), other.asked().len()), (1, 0));
}

#[tokio::test]
async fn refusals_keep_their_kind() {
    let place = Place::new();
    let rote = Rote {
        accounts: vec!["alice".into()],
        ..Rote::of(1)
    };
    let endpoint = place.node(rote).await.to_string();
    let admin = Admin::new(vec![endpoint], &place.credentials()).unwrap();
    let error = admin
        .create_account("alice".into(), Some("secret".into()), 0)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Refused {
                code: Code::AlreadyExists,
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn all_pages_are_read() {
    let place = Place::new();
    let accounts: Vec<String> = ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec();
    let rote = Rote {
        accounts: accounts.clone(),
        ..Rote::of(1)
    };
    let endpoint = place.node(rote.clone()).await.to_string();
    let admin = Admin::new(vec![endpoint], &place.credentials()).unwrap();
    let found: Vec<String> = admin
        .accounts()
        .await
        .unwrap()
        .into_iter()
        .map(|account| account.name)
        .collect();
    assert_eq!(found, accounts);
    assert_eq!(
        rote.asked(),
        ["list after ", "list after b", "list after d"]
    );
}

#[tokio::test]
async fn strangers_are_refused_by_either_side() {
    let (ours, theirs) = (Place::new(), Place::new());
    let asked = async |endpoint: String, credentials: client::Credentials| {
        Admin::new(vec![endpoint], &credentials)
            .unwrap()
            .status()
            .await
    };
    let unreachable = |answer: Result<_, Error>, why: &str| match answer {
        Err(Error::Unreachable(words)) => {
            let words: Vec<String> = words;
            assert!(words[0].contains(why), "{words:?}");
        }
        other => panic!("{other:?}"),
    };
    // A node of another cluster.
    let node = theirs.node(Rote::of(1)).await.to_string();
    unreachable(
        asked(node, ours.credentials()).await,
        "invalid peer certificate",
    );
    // Another operator of ours, who pretends to be a node.
    let node = ours
        .node_named("admin.rookery.internal", Rote::of(1))
        .await
        .to_string();
    unreachable(asked(node, ours.credentials()).await, "not valid for name");
    // An operator of another cluster.
    let node = ours.node(Rote::of(1)).await.to_string();
    let mut credentials = theirs.credentials();
    credentials.ca = ours.path("ca.pem");
    unreachable(asked(node, credentials).await, "");
}

#[test]
fn bad_files_are_named() {
    let place = Place::new();
    let error = |credentials| {
        Admin::new(vec![], &credentials)
            .map(drop)
            .unwrap_err()
            .to_string()
    };
    let good = place.credentials();
    let mut bad = good.clone();
    bad.ca = place.path("absent.pem");
    assert!(error(bad).contains("absent.pem: No such file"));
    let mut bad = good.clone();
    bad.key = good.cert.clone();
    assert!(error(bad).contains("admin.pem: holds no private key"));
    let mut bad = good.clone();
    bad.cert = good.key.clone();
    assert!(error(bad).contains("admin.key: holds no certificate"));
    let error = Admin::of_demo(place.dir.path())
        .map(drop)
        .unwrap_err()
        .to_string();
    assert!(error.contains("demo.json"), "{error}");
}
