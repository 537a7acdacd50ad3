//! Those who have not logged in, and those who never will.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use super::super::cluster::{
    Cluster, PASSWORD, STRICT_WAITING_MAX, STRICT_WAITING_OF_ADDRESS_MAX, cluster, cluster_alone,
};
use super::super::wire::{Wire, tls_client};
use super::times;

/// Bytes that a node has for each connection before login.
const WAITING_MAX: u64 = 16 << 10;

const MIB: u64 = 1 << 20;

/// A client of a node's IMAP from another address, greeted.
fn from(cluster: &Cluster, address: &str, node: u64) -> Wire {
    let mut wire = Wire::connect_from(address, &cluster.node(node).imap);
    let greeting = wire.line().unwrap();
    assert!(greeting.starts_with("* OK "), "{greeting}");
    wire
}

/// A client of a node's IMAP, over TLS.
fn encrypted(cluster: &Cluster, node: u64) -> Wire {
    let mut wire = cluster.imap(node);
    assert_eq!(wire.ask("t", "t STARTTLS\r\n"), ["t OK Begin TLS now"]);
    wire.start_tls(&tls_client(&cluster.demo.ca, None)).unwrap()
}

#[test]
fn many_literals() {
    let (cluster, _use) = cluster_alone();
    let literal = format!(" TEXT {{1024+}}\r\n{}", "x".repeat(1024));
    let command = format!("a SEARCH{}\r\n", literal.repeat(10_000));
    cluster.within(4 * MIB, "10,000 literals in one command", || {
        let mut wire = cluster.in_inbox(1, "user1");
        wire.send(command.as_bytes());
        let said = wire.rest();
        assert_eq!(said[0], "a BAD [TOOBIG] a literal is too big");
        assert!(said[1].starts_with("* BYE ") && said.len() == 2, "{said:?}");
        cluster.serves_imap(1, "10,000 literals");
    });
    const OPEN: usize = 30;
    let size = imap::limits::Limits::AUTHENTICATED.literal_bytes_max;
    let mut open: Vec<Wire> = (0..OPEN).map(|_| cluster.in_inbox(1, "user1")).collect();
    cluster.within(OPEN as u64 * MIB, "literals that are not finished", || {
        for wire in &mut open {
            wire.send(format!("a SEARCH TEXT {{{size}+}}\r\n").as_bytes());
            wire.send(&vec![b'x'; size - 1]);
        }
        cluster.serves(1, "literals that are not finished");
    });
    for wire in &mut open {
        let said = wire.ask("a", "x\r\n");
        assert!(said.last().unwrap().starts_with("a OK "), "{said:?}");
    }
}

/// One client's nonsense is nobody else's.
#[test]
fn bad_base64_beside_logins() {
    let (cluster, _use) = cluster();
    std::thread::scope(|scope| {
        let logins: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..3 {
                        let login = format!("l LOGIN alice {PASSWORD}\r\n");
                        let said = cluster.imap(1).ask("l", login);
                        assert!(said.last().unwrap().starts_with("l OK "), "{said:?}");
                    }
                })
            })
            .collect();
        for response in [
            "!!!!",
            "AGEAYg",
            "AGEAYg==x",
            "\u{e4}",
            "=AAA",
            "A===",
            "AGE AYg=",
        ] {
            let send = format!("a AUTHENTICATE PLAIN\r\n{response}\r\n");
            let said = cluster.imap(1).ask("a", send);
            assert_eq!(said, ["+ ", "a BAD The response is not base64"]);
        }
        for login in logins {
            login.join().unwrap();
        }
    });
    cluster.serves_imap(1, "bad base64");
}

/// The second time it costs nothing more.
#[test]
fn exchanges_that_are_given_up() {
    let (cluster, _use) = cluster_alone();
    let config = tls_client(&cluster.demo.ca, None);
    let imaps = &cluster.node(1).imaps;
    for growth in [16 * MIB, 4 * MIB] {
        cluster.within(growth, "exchanges of SASL that are given up", || {
            for _ in 0..times(100) {
                let mut wire = cluster.imap(1);
                for mechanism in ["PLAIN", "SCRAM-SHA-256", "PLAIN"] {
                    wire.send(format!("a AUTHENTICATE {mechanism}\r\n*\r\n").as_bytes());
                }
                let said = wire.rest();
                let cancelled = said
                    .iter()
                    .filter(|line| line.starts_with("a BAD "))
                    .count();
                assert!(cancelled == 3, "{said:?}");
                assert!(said.last().unwrap().starts_with("* BYE "), "{said:?}");
            }
        });
        cluster.within(growth, "handshakes for names that nobody has", || {
            for number in 0..times(100) {
                let name = format!("{number}.{}.example", "x".repeat(1 + number % 60));
                handshake(imaps, &config, &name);
            }
        });
    }
    cluster.serves_imap(1, "exchanges that are given up");
}

/// Asks for a name; whichever it is, the certificate is the node's, so the client refuses it.
fn handshake(address: &str, config: &Arc<rustls::ClientConfig>, name: &str) {
    let mut stream = TcpStream::connect(address).unwrap();
    let name = rustls_pki_types::ServerName::try_from(name.to_owned()).unwrap();
    let mut tls = rustls::ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut shaken = Ok(());
    while shaken.is_ok() && tls.is_handshaking() {
        shaken = tls.complete_io(&mut stream).map(drop);
    }
    let refused = shaken.expect_err("the name is another").to_string();
    assert!(refused.contains("not valid for name"), "{refused}");
}

/// They cost little, also when each holds as much as it may.
#[test]
fn silent_connections() {
    const OF_ADDRESS: usize = 40;
    let (cluster, _use) = cluster_alone();
    let count = times(320);
    let most = imap::limits::Limits::NOT_AUTHENTICATED.literal_bytes_max;
    let mut open = Vec::new();
    cluster.within(count as u64 * WAITING_MAX, "silent connections", || {
        for number in 0..count {
            let address = format!("127.0.1.{}", 1 + number / OF_ADDRESS);
            open.push(from(cluster, &address, 1));
        }
        cluster.serves_imap(1, "silent connections");
        for wire in &mut open {
            wire.send(format!("a LOGIN {{{most}+}}\r\n").as_bytes());
            wire.send(&vec![b'x'; most - 1]);
        }
        cluster.serves_imap(1, "half a command from each");
    });
    for wire in &mut open {
        let said = wire.ask("b", "x\r\nb NOOP\r\n");
        assert!(said[0].starts_with("a BAD "), "no password: {said:?}");
        assert_eq!(said[1..], ["b OK NOOP completed"]);
    }
}

/// Node 2 lets few wait. Whoever comes last is heard.
#[test]
fn the_oldest_goes() {
    let (cluster, _use) = cluster_alone();
    let is_closed = |wire: &mut Wire| wire.rest().is_empty();
    let is_open = |wire: &mut Wire| wire.ask("n", "n NOOP\r\n") == ["n OK NOOP completed"];
    let mut open = Vec::new();
    for _ in 0..STRICT_WAITING_OF_ADDRESS_MAX + 5 {
        open.push(from(cluster, "127.0.2.1", 2));
    }
    let (gone, left) = open.split_at_mut(5);
    assert!(gone.iter_mut().all(is_closed), "the oldest of an address");
    assert!(left.iter_mut().all(is_open));
    encrypted(cluster, 2);
    assert!(left.iter_mut().all(is_open), "of another address");

    let mut many = Vec::new();
    for number in 0..STRICT_WAITING_MAX {
        let address = format!("127.0.3.{}", 1 + number / 10);
        many.push(from(cluster, &address, 2));
    }
    assert!(left.iter_mut().all(is_closed), "the oldest of all");
    let mut wire = encrypted(cluster, 2);
    let said = wire.ask("l", format!("l LOGIN alice {PASSWORD}\r\n"));
    assert!(said.last().unwrap().starts_with("l OK "), "{said:?}");
    assert!(is_closed(&mut many[0]) && is_open(many.last_mut().unwrap()));
    // Who has logged in is not one of them.
    for number in 0..STRICT_WAITING_MAX {
        let address = format!("127.0.4.{}", 1 + number / 10);
        many.push(from(cluster, &address, 2));
    }
    assert!(is_open(&mut wire));
}

/// A byte now and then, and never a login: node 2 waits for as long as it says.
#[test]
fn a_client_that_drips() {
    let (cluster, _use) = cluster();
    let mut wire = TcpStream::connect(&cluster.node(2).imap).unwrap();
    wire.set_read_timeout(Some(Duration::from_secs(100)))
        .unwrap();
    let mut dripping = wire.try_clone().unwrap();
    let drips = std::thread::spawn(move || {
        let mut drips = 0;
        while dripping.write_all(b"a").is_ok() {
            drips += 1;
            std::thread::sleep(Duration::from_millis(200));
        }
        drips
    });
    let mut said = Vec::new();
    if let Err(error) = wire.read_to_end(&mut said) {
        assert_eq!(
            error.kind(),
            ErrorKind::ConnectionReset,
            "it was not closed"
        );
    }
    drop(wire);
    assert!(drips.join().unwrap() > 10, "it was closed too early");
    assert!(said.starts_with(b"* OK "));
    cluster.serves_imap(1, "a client that drips");
}
