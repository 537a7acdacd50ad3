//! Lookups that the scripts do not show.

use directory::verifier::{Params, Salts};
use directory::{
    Command, GroupId, Init, NodeId, OperationId, Outcome, Rejection, ReplicaId, Verifiers, codec,
    judge,
};

use crate::cluster::{Cluster, init, verifiers};

fn cluster_with_alice(password: &str) -> Cluster {
    let mut cluster = Cluster::default();
    let salts = Salts {
        scram: [1; 16],
        argon2id: [2; 16],
    };
    let params = Params {
        scram_iterations: Some(4096),
        argon2id: None,
    };
    let verifiers = Verifiers::derive(password, &salts, &params).unwrap();
    cluster.ask(init(1, 1, 2));
    cluster.ask(Command::PlacePartitions);
    let name = "alice".to_owned();
    cluster.ask(Command::CreateAccount {
        name,
        verifiers,
        quota_bytes: None,
    });
    cluster
}

#[test]
fn login_follows_the_state() {
    let mut cluster = cluster_with_alice("secret");
    assert_eq!(
        cluster.view.login("alice").account,
        None,
        "its partition does not know it yet"
    );
    cluster.ask(Command::FinishOperation {
        operation: OperationId(1),
    });
    let login = cluster.view.login("ALICE");
    assert_eq!(login.account, cluster.view.account("alice@example.org"));
    assert!(login.account.is_some() && login.verifiers.check("secret"));
    cluster.ask(Command::LockAccount {
        name: "alice".to_owned(),
        locked: true,
    });
    assert_eq!(cluster.view.login("alice").account, None);
    assert!(cluster.view.account("alice").unwrap().state.takes_mail());
}

#[test]
fn login_of_nobody_looks_like_login() {
    let cluster = cluster_with_alice("secret");
    let (alice, nobody) = (cluster.view.login("alice"), cluster.view.login("nobody"));
    let iterations = |verifiers: &Verifiers| verifiers.scram.as_ref().unwrap().iterations;
    assert_eq!(iterations(&alice.verifiers), iterations(&nobody.verifiers));
    assert_eq!(
        nobody,
        cluster.view.login("NOBODY@example.org"),
        "the same salt each time"
    );
    assert!(nobody.account.is_none() && !nobody.verifiers.check("secret"));
    assert!(cluster.view.login("no name").account.is_none());
}

#[test]
fn a_name_has_one_spelling() {
    let cluster = cluster_with_alice("secret");
    for name in ["alice", "ALICE", "Alice@Example.ORG"] {
        assert_eq!(cluster.view.canonical(name), "alice@example.org");
    }
    for name in ["no name", "", "@example.org", "a@b@"] {
        assert_eq!(cluster.view.canonical(name), name);
    }
}

#[test]
fn accounts_are_listed_in_pages() {
    let mut cluster = cluster_with_alice("secret");
    for name in ["dave", "bob@other.example", "carol"] {
        let (name, verifiers) = (name.to_owned(), verifiers("x"));
        cluster.ask(Command::CreateAccount {
            name,
            verifiers,
            quota_bytes: None,
        });
    }
    let page = |after: &str| -> Vec<_> {
        cluster
            .view
            .accounts_after(after)
            .take(2)
            .map(|it| it.name.to_string())
            .collect()
    };
    assert_eq!(page(""), ["alice@example.org", "bob@other.example"]);
    assert_eq!(
        page("bob@other.example"),
        ["carol@example.org", "dave@example.org"]
    );
    assert_eq!(page("carol@example.org"), ["dave@example.org"]);
    assert_eq!(
        page("bb@other.example"),
        ["bob@other.example", "carol@example.org"]
    );
    assert_eq!(cluster.view.account_count(), 4);
}

#[test]
fn a_replica_leads_to_its_node() {
    let cluster = cluster_with_alice("secret");
    let (group, replica) = cluster.view.replica(ReplicaId(2)).unwrap();
    assert_eq!((group, replica.node), (GroupId(1), NodeId(1)));
    assert_eq!(cluster.view.replica(ReplicaId(4)), None);
    assert_eq!(cluster.view.replicas_on(NodeId(1)).count(), 3);
    assert_eq!(cluster.view.replicas_on(NodeId(2)).count(), 0);
}

#[test]
fn the_topology_travels() {
    let cluster = cluster_with_alice("secret");
    let topology = cluster.view.topology().unwrap();
    assert_eq!((topology.nodes.len(), topology.groups.len()), (1, 3));
    let bytes = codec::encode_topology(&topology);
    assert_eq!(codec::decode_topology(&bytes).unwrap(), topology);
}

/// Whoever is about to make a cluster hears what the directory would say.
#[test]
fn init_is_judged_before_there_is_a_directory() {
    let Command::Init(possible) = init(1, 3, 16) else {
        panic!("it makes a cluster")
    };
    assert_eq!(judge(&possible), Ok(Outcome::Placed(ReplicaId::FIRST)));
    let refused = Init {
        default_domain: "not a domain".to_owned(),
        ..possible
    };
    let why = Outcome::Rejected(Rejection::ShapeInvalid);
    assert_eq!(judge(&refused), Ok(why));
}
