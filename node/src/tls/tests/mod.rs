//! Handshakes on loopback sockets, with certificates made for each test.

mod channels;

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use futures_util::StreamExt;
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::identity::node_name;
use super::*;
use crate::pki::{Authority, Made, Making, node_params};

/// A folder with an authority.
struct Place {
    dir: tempfile::TempDir,
    authority: Authority,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (authority, _) = Authority::init(dir.path(), Making::default()).unwrap();
        Self { dir, authority }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn node(&self, id: u64) -> Made {
        let hosts = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        self.authority
            .node(
                id,
                &hosts,
                Making {
                    force: true,
                    ..Making::default()
                },
            )
            .unwrap()
    }

    fn files(&self, made: &Made) -> TlsFiles {
        TlsFiles {
            ca: self.path().join("ca.pem"),
            cert: made.certificate.clone(),
            key: made.key.clone(),
            ..TlsFiles::default()
        }
    }

    fn tls(&self, id: u64) -> Tls {
        Tls::load(&self.files(&self.node(id)), id).unwrap()
    }
}

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

/// Connects as `client` would and returns what the server makes of it, or `None` if it refuses.
async fn shake(server: Arc<ServerConfig>, client: Arc<ClientConfig>, name: &str) -> Option<Caller> {
    let (listener, address) = listener().await;
    let server = move || server.clone();
    let mut incoming = accept::incoming_tls(listener, server, Bounds::PEERS, |_| true);
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let stream = TcpStream::connect(&address).await.unwrap();
    let mut client = TlsConnector::from(client)
        .connect(name, stream)
        .await
        .ok()?;
    // With TLS 1.3 a client learns only by reading that its certificate was refused.
    let mut byte = [0];
    tokio::select! {
        taken = incoming.next() => Some(taken.unwrap().unwrap().caller().clone()),
        _ = client.read(&mut byte) => None,
    }
}

fn leaf(made: &Made) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(&made.certificate).unwrap()
}

/// What a client that brings this certificate and trusts this authority uses.
fn client(ca: &Path, made: Option<&Made>) -> Arc<ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(ca).unwrap())
        .unwrap();
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    Arc::new(match made {
        None => builder.with_no_client_auth(),
        Some(made) => {
            let key = rustls_pki_types::PrivateKeyDer::from_pem_file(&made.key).unwrap();
            builder
                .with_client_auth_cert(vec![leaf(made)], key)
                .unwrap()
        }
    })
}

#[tokio::test]
async fn nodes_know_each_other() {
    let place = Place::new();
    let (one, two) = (place.tls(1), place.tls(2));
    let caller = shake(one.peer_server(), two.peer_client(), &node_name(1))
        .await
        .unwrap();
    assert_eq!(caller.identity, Identity::Node(2));
    assert!(caller.address.ip().is_loopback());
}

#[tokio::test]
async fn another_node_than_expected_is_refused() {
    let place = Place::new();
    let (one, two) = (place.tls(1), place.tls(2));
    assert!(
        shake(one.peer_server(), two.peer_client(), &node_name(3))
            .await
            .is_none()
    );
}

#[tokio::test]
async fn another_authority_is_refused_by_both_sides() {
    let (ours, theirs) = (Place::new(), Place::new());
    let (one, two) = (ours.tls(1), theirs.tls(2));
    assert!(
        shake(one.peer_server(), two.peer_client(), &node_name(1))
            .await
            .is_none()
    );
    // Also if the stranger does not mind whom it meets.
    let stranger = client(&ours.path().join("ca.pem"), Some(&theirs.node(2)));
    assert!(
        shake(one.peer_server(), stranger, &node_name(1))
            .await
            .is_none()
    );
}

#[tokio::test]
async fn without_certificate_only_mail_is_served() {
    let place = Place::new();
    let tls = place.tls(1);
    let nobody = client(&place.path().join("ca.pem"), None);
    assert!(
        shake(tls.peer_server(), nobody.clone(), &node_name(1))
            .await
            .is_none()
    );
    assert!(
        shake(tls.admin_server(), nobody.clone(), &node_name(1))
            .await
            .is_none()
    );
    let caller = shake(tls.mail_server(), nobody.clone(), "localhost")
        .await
        .unwrap();
    assert_eq!(caller.identity, Identity::Other);
    let caller = shake(tls.lmtp_server(), nobody, "localhost").await.unwrap();
    assert_eq!(caller.identity, Identity::Other);
}

#[tokio::test]
async fn an_mta_and_an_operator_are_known_by_their_certificates() {
    let place = Place::new();
    let tls = place.tls(1);
    let ca = place.path().join("ca.pem");
    let mta = place
        .authority
        .lmtp_client("mx1", Making::default())
        .unwrap();
    let caller = shake(tls.lmtp_server(), client(&ca, Some(&mta)), "localhost")
        .await
        .unwrap();
    assert_eq!(caller.identity, Identity::LmtpClient("mx1".into()));
    let admin = place.authority.admin("ruth", Making::default()).unwrap();
    let name = identity::ANY_NODE;
    let caller = shake(tls.admin_server(), client(&ca, Some(&admin)), name)
        .await
        .unwrap();
    assert_eq!(caller.identity, Identity::Admin("ruth".into()));
}

#[tokio::test]
async fn an_operator_is_no_server() {
    let place = Place::new();
    let admin = place.authority.admin("ruth", Making::default()).unwrap();
    let error = Tls::load(&place.files(&admin), 1)
        .map(drop)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("is not the certificate of node 1"),
        "{error}"
    );
}

#[tokio::test]
async fn expired_certificates_are_refused() {
    let place = Place::new();
    let mut params = node_params(2, &[], 1).unwrap();
    params.not_after = (SystemTime::now() - Duration::from_secs(60)).into();
    let expired = place.authority.sign("expired", params, false).unwrap();
    let error = Tls::load(&place.files(&expired), 2)
        .map(drop)
        .unwrap_err()
        .to_string();
    assert!(error.contains("expired"), "{error}");
    // And by a node, if somebody uses one all the same.
    let late = client(&place.path().join("ca.pem"), Some(&expired));
    assert!(
        shake(place.tls(1).peer_server(), late, &node_name(1))
            .await
            .is_none()
    );
}

#[tokio::test]
async fn load_names_the_file_that_is_wrong() {
    let place = Place::new();
    let made = place.node(1);
    let good = place.files(&made);
    let error = |files: &TlsFiles, node| Tls::load(files, node).map(drop).unwrap_err().to_string();
    assert!(error(&good, 2).contains("is not the certificate of node 2"));

    let absent = TlsFiles {
        cert: "/nonexistent.pem".into(),
        ..good.clone()
    };
    assert!(error(&absent, 1).starts_with("cannot read /nonexistent.pem"));
    let swapped = TlsFiles {
        key: place.node(2).key,
        ..good.clone()
    };
    assert!(
        error(&swapped, 1).contains("node-2.key: does not fit"),
        "{}",
        error(&swapped, 1)
    );
    let keyless = TlsFiles {
        key: made.certificate.clone(),
        ..good.clone()
    };
    assert!(error(&keyless, 1).contains("holds no private key"));
    let empty = TlsFiles {
        ca: made.key.clone(),
        ..good.clone()
    };
    assert!(error(&empty, 1).contains("holds no certificate"));
    let other = Place::new();
    let foreign = TlsFiles {
        ca: other.path().join("ca.pem"),
        ..good
    };
    assert!(error(&foreign, 1).contains("is not signed by the cluster"));
}

#[tokio::test]
async fn certificates_are_replaced_under_use_and_bad_ones_refused() {
    let place = Place::new();
    let made = place.node(1);
    let tls = Tls::load(&place.files(&made), 1).unwrap();
    let two = place.tls(2);
    let (listener, address) = listener().await;
    let mut incoming = tls.incoming_peers(listener);
    let connect = async || {
        let stream = TcpStream::connect(&address).await.unwrap();
        let name = ServerName::try_from(node_name(1)).unwrap();
        let client = TlsConnector::from(two.peer_client()).connect(name, stream);
        let (client, server) = tokio::join!(client, incoming.next());
        (client.unwrap(), server.unwrap().unwrap())
    };
    let mut connect = connect;
    let shown = |client: &tokio_rustls::client::TlsStream<TcpStream>| {
        client.get_ref().1.peer_certificates().unwrap()[0].clone()
    };

    let (mut early, mut early_server) = connect().await;
    assert_eq!(shown(&early), leaf(&made));
    assert!(!tls.reload().unwrap(), "nothing has changed");

    let old = leaf(&made);
    place.node(1);
    assert!(tls.reload().unwrap());
    let (late, _late_server) = connect().await;
    assert_ne!(leaf(&made), old);
    assert_eq!(shown(&late), leaf(&made));

    fs::write(&made.certificate, "no certificate").unwrap();
    assert!(tls.reload().is_err());
    let (still, _still_server) = connect().await;
    assert_eq!(shown(&still), shown(&late));

    early.write_all(b"old connections stay").await.unwrap();
    early.flush().await.unwrap();
    let mut heard = [0; 20];
    early_server.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"old connections stay");
}

#[tokio::test]
async fn the_authority_is_replaced_with_overlap() {
    let (old, new) = (Place::new(), Place::new());
    let (one, two) = (old.node(1), old.node(2));
    let one_tls = Tls::load(&old.files(&one), 1).unwrap();
    let two_tls = Tls::load(&old.files(&two), 2).unwrap();
    let works = async || {
        shake(one_tls.peer_server(), two_tls.peer_client(), &node_name(1))
            .await
            .is_some()
            && shake(two_tls.peer_server(), one_tls.peer_client(), &node_name(2))
                .await
                .is_some()
    };
    assert!(works().await);

    // First both trust both, then each gets a new certificate, one after the other.
    let (old_ca, new_ca) = (old.path().join("ca.pem"), new.path().join("ca.pem"));
    let both = [fs::read(&old_ca).unwrap(), fs::read(&new_ca).unwrap()].concat();
    fs::write(&old_ca, both).unwrap();
    assert!(one_tls.reload().unwrap());
    assert!(works().await);
    assert!(two_tls.reload().unwrap());
    for (made, id, tls) in [(&one, 1, &one_tls), (&two, 2, &two_tls)] {
        let renewed = new.node(id);
        fs::copy(&renewed.certificate, &made.certificate).unwrap();
        assert!(tls.reload().is_err(), "half of a pair");
        assert!(works().await);
        fs::copy(&renewed.key, &made.key).unwrap();
        assert!(tls.reload().unwrap());
        assert!(works().await);
    }
    fs::copy(&new_ca, &old_ca).unwrap();
    assert!(one_tls.reload().unwrap() && two_tls.reload().unwrap());
    assert!(works().await);
}

#[tokio::test]
async fn a_mail_certificate_of_its_own() {
    let (place, public) = (Place::new(), Place::new());
    let mail = public.node(9);
    let files = TlsFiles {
        mail_cert: mail.certificate.clone(),
        mail_key: mail.key.clone(),
        ..place.files(&place.node(1))
    };
    let tls = Tls::load(&files, 1).unwrap();
    let reader = client(&public.path().join("ca.pem"), None);
    assert!(
        shake(tls.mail_server(), reader.clone(), "localhost")
            .await
            .is_some()
    );
    assert!(
        shake(tls.lmtp_server(), reader, "localhost")
            .await
            .is_some()
    );
    // It lets nobody in: that is the cluster's own authority's matter.
    let stranger = client(&place.path().join("ca.pem"), Some(&mail));
    assert!(
        shake(tls.peer_server(), stranger, &node_name(1))
            .await
            .is_none()
    );
}

#[tokio::test]
async fn mail_tls_refuses_other_protocols() {
    let place = Place::new();
    let mut web = (*client(&place.path().join("ca.pem"), None)).clone();
    web.alpn_protocols = vec![b"http/1.1".to_vec()];
    let tls = place.tls(1);
    assert!(
        shake(tls.mail_server(), Arc::new(web.clone()), "localhost")
            .await
            .is_none()
    );
    web.alpn_protocols = vec![b"imap".to_vec()];
    assert!(
        shake(tls.mail_server(), Arc::new(web), "localhost")
            .await
            .is_some()
    );
}

#[tokio::test]
async fn slow_handshakes_hold_up_nobody_and_are_bounded() {
    let place = Place::new();
    let (one, two) = (place.tls(1), place.tls(2));
    let (listener, address) = listener().await;
    let bounds = Bounds {
        pending_per_address_max: 3,
        ..Bounds::PEERS
    };
    let mut incoming = accept::incoming_tls(listener, move || one.peer_server(), bounds, |_| true);
    let mut silent = Vec::new();
    for _ in 0..2 {
        silent.push(TcpStream::connect(&address).await.unwrap());
    }
    let connect = async || {
        let stream = TcpStream::connect(&address).await.unwrap();
        let name = ServerName::try_from(node_name(1)).unwrap();
        TlsConnector::from(two.peer_client())
            .connect(name, stream)
            .await
    };
    let (client, server) = tokio::join!(connect(), incoming.next());
    assert!(client.is_ok() && server.unwrap().is_ok());

    silent.push(TcpStream::connect(&address).await.unwrap());
    assert!(
        connect().await.is_err(),
        "the fourth handshake with one address"
    );
    silent.pop();
    // Its place comes free when the server sees that it is gone.
    while connect().await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn open_connections_are_bounded() {
    let place = Place::new();
    let (one, two) = (place.tls(1), place.tls(2));
    let (listener, address) = listener().await;
    let bounds = Bounds {
        open_max: 1,
        ..Bounds::PEERS
    };
    let mut incoming = accept::incoming_tls(listener, move || one.peer_server(), bounds, |_| true);
    let connect = async || {
        let stream = TcpStream::connect(&address).await.unwrap();
        let name = ServerName::try_from(node_name(1)).unwrap();
        TlsConnector::from(two.peer_client())
            .connect(name, stream)
            .await
            .unwrap()
    };
    let (first_client, first) = tokio::join!(connect(), incoming.next());
    let mut second = Box::pin(connect());
    tokio::select! {
        biased;
        _ = &mut second => panic!("there is no place for it"),
        () = tokio::time::sleep(Duration::from_millis(50)) => {}
    }
    drop((first_client, first));
    let (_, taken) = tokio::join!(second, incoming.next());
    assert!(taken.unwrap().is_ok());
}

/// With the certificate of an MTA one holds no place where operators are served, nor with one of an
/// operator where nodes are.
#[tokio::test]
async fn only_who_is_served_takes_a_place() {
    const PLACES: usize = 2;
    let place = Place::new();
    let ca = place.path().join("ca.pem");
    let making = Making::default;
    let mta = place.authority.lmtp_client("mx1", making()).unwrap();
    let admin = place.authority.admin("ruth", making()).unwrap();
    let (one, two) = (place.tls(1), place.node(2));
    for (is_peer, others, served) in [(false, [&mta, &two], &admin), (true, [&mta, &admin], &two)] {
        let (listener, address) = listener().await;
        let mut incoming = if is_peer {
            one.incoming_peers(listener)
        } else {
            one.incoming_admins(listener, PLACES)
        };
        let connect = async |made: &Made| {
            let stream = TcpStream::connect(&address).await.unwrap();
            let name = ServerName::try_from(node_name(1)).unwrap();
            let connector = TlsConnector::from(client(&ca, Some(made)));
            connector.connect(name, stream).await.unwrap()
        };
        let mut sent_away = Vec::new();
        for _ in 0..PLACES {
            for other in others {
                let mut held = connect(other).await;
                let wait = Duration::from_secs(30);
                let ended = tokio::time::timeout(wait, held.read(&mut [0])).await;
                assert!(matches!(ended, Ok(Ok(0) | Err(_))), "{ended:?}");
                sent_away.push(held);
            }
        }
        let (_held, taken) = tokio::join!(connect(served), incoming.next());
        let taken = taken.unwrap().unwrap().caller().identity.clone();
        let expected = match is_peer {
            true => Identity::Node(2),
            false => Identity::Admin("ruth".into()),
        };
        assert_eq!(taken, expected);
    }
}

#[tokio::test]
async fn what_is_no_certificate_says_nothing() {
    let place = Place::new();
    assert_eq!(identity::identity(b""), Identity::Other);
    assert_eq!(
        identity::identity(&leaf(&place.node(5))[..40]),
        Identity::Other
    );
    for (number, names) in [
        ["node-1.rookery.internal", "admin.rookery.internal"],
        ["node-1.rookery.internal", "node-2.rookery.internal"],
        ["node-01.rookery.internal", "x.example"],
        ["node-0.rookery.internal", "x.example"],
        ["node-+1.rookery.internal", "x.example"],
        ["node-1.rookery.internal.example", "rookery-admin.internal"],
        ["boss.rookery.internal", "x.example"],
    ]
    .into_iter()
    .enumerate()
    {
        let mut params = node_params(1, &[], 1).unwrap();
        let wanted = rcgen::CertificateParams::new(names.map(str::to_owned).to_vec()).unwrap();
        params.subject_alt_names = wanted.subject_alt_names;
        let made = place
            .authority
            .sign(&format!("odd-{number}"), params, false)
            .unwrap();
        assert_eq!(
            identity::identity(&leaf(&made)),
            Identity::Other,
            "{names:?}"
        );
    }
}

#[tokio::test]
async fn starttls_over_any_stream() {
    let place = Place::new();
    let (near, far) = tokio::io::duplex(4096);
    let acceptor = TlsAcceptor::from(place.tls(1).mail_server());
    let connector = TlsConnector::from(client(&place.path().join("ca.pem"), None));
    let name = ServerName::try_from("localhost").unwrap();
    let (server, client) = tokio::join!(acceptor.accept(near), connector.connect(name, far));
    assert_eq!(caller_of(server.unwrap().get_ref().1), None);
    client.unwrap();
}
