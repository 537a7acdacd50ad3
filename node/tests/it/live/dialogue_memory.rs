//! No input makes a node large, and a client that does not read disturbs nobody.

use node::pki::{Authority, Making};

use super::cluster::{Cluster, DOMAIN, GROWTH_MAX, cluster_alone};
use super::wire::{Wire, tls_client};

const MIB: usize = 1 << 20;

/// What has no end, as far as a test can wait.
const ENDLESS_MIB: usize = 40;

/// Much less than [`ENDLESS_MIB`], bytes.
const LESS: u64 = 20 << 20;

#[test]
fn parentheses() {
    let (cluster, _use) = cluster_alone();
    let deep = "(".repeat(1_000_000);
    let closed = format!("{deep}{}", ")".repeat(1_000_000));
    for (before, after) in [("FETCH 1", ""), ("SEARCH", ""), ("STORE 1 FLAGS", "")] {
        for middle in [&deep, &closed] {
            let command = format!("a {before} {middle}{after}\r\n");
            let what = format!("a million parentheses: {before}");
            cluster.within(GROWTH_MAX, &what, || {
                let said = cluster.in_inbox(1, "user3").ask("a", &command);
                assert_eq!(said[0], "a BAD [TOOBIG] a line is too long");
                let said = cluster.imap(1).ask("a", &command);
                assert_eq!(said[0], "a BAD [TOOBIG] a line is too long");
            });
            cluster.serves(1, &what);
        }
    }
}

/// Sizes that are announced, and lines that never end.
#[test]
fn sizes_and_endless_lines() {
    let (cluster, _use) = cluster_alone();
    let noise = vec![b'x'; MIB];
    cluster.within(GROWTH_MAX, "announced sizes", || {
        let mut open = Vec::new();
        for size in ["100000", "70000000", "4294967295", "9999999999999"] {
            for _ in 0..20 {
                let mut wire = cluster.in_inbox(1, "user3");
                wire.send(format!("a SEARCH TEXT {{{size}}}\r\n").as_bytes());
                assert!(wire.line().is_some());
                open.push(wire);
            }
        }
        cluster.serves(1, "announced sizes");
    });
    cluster.within(GROWTH_MAX, "an endless line of IMAP", || {
        let mut wire = cluster.in_inbox(1, "user3");
        for _ in 0..ENDLESS_MIB {
            wire.send(&noise);
        }
        let said = wire.rest();
        assert!(said.last().unwrap().starts_with("* BYE "), "{said:?}");
        cluster.serves(1, "an endless line");
    });
    cluster.within(LESS, "an endless line of LMTP", || {
        let mut wire = cluster.lmtp(1);
        for _ in 0..ENDLESS_MIB {
            wire.send(&noise);
        }
        wire.send(b"\r\nQUIT\r\n");
        let said = wire.rest();
        assert_eq!(said[0], "500 5.5.2 line too long");
        cluster.serves(1, "an endless line");
    });
    // This node takes 1 MiB, from those who show a certificate.
    let authority = Authority::open(&cluster.folder().join("pki")).unwrap();
    let shown = authority.lmtp_client("large", Making::default()).unwrap();
    let config = tls_client(&cluster.demo.ca, Some(&shown));
    cluster.within(LESS, "a message far too large", || {
        let mut wire = cluster.lmtp(2);
        wire.send(b"STARTTLS\r\n");
        wire.until("220 ");
        let mut wire = wire.start_tls(&config).unwrap();
        let to = format!("LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<user3@{DOMAIN}>\r\nDATA\r\n");
        wire.send(to.as_bytes());
        wire.until("354 ");
        for _ in 0..ENDLESS_MIB {
            wire.send(&noise);
        }
        wire.send(b"\r\n.\r\nQUIT\r\n");
        let said = wire.rest();
        assert!(said[0].starts_with("552 5.3.4 <user3@"), "{said:?}");
    });
    cluster.serves(1, "a message far too large");
}

/// A client that asks and never reads.
fn deaf(cluster: &Cluster, command: &str) -> Wire {
    let mut wire = cluster.in_inbox(1, "user3");
    let line = format!("{command}\r\n");
    // The server stops reading once its answers are not taken: then all the better.
    let _took_all = wire.press(line.repeat(100_000).as_bytes());
    wire
}

#[test]
fn clients_that_never_read() {
    let (cluster, _use) = cluster_alone();
    let line = format!("{}\r\n", "y".repeat(998));
    let message = format!("Subject: large\r\n\r\n{}", line.repeat(8 * MIB / 1000));
    let said = cluster.deliver(1, &["user3"], message.as_bytes());
    assert!(said[0].starts_with("250 2.0.0 "), "{said:?}");
    let _open: Vec<Wire> = [
        "n NOOP",
        "n FETCH * BODY.PEEK[]",
        "n UID FETCH 1:* BODY[]",
        "n IDLE",
    ]
    .into_iter()
    .map(|command| {
        cluster.within(GROWTH_MAX, command, || {
            let wire = deaf(cluster, command);
            cluster.serves(1, command);
            wire
        })
    })
    .collect();
    // The mailbox that they look at goes on.
    cluster.within(GROWTH_MAX, "beside them", || {
        let said = cluster.deliver(3, &["user3"], b"Subject: beside\r\n\r\nx");
        assert!(said[0].starts_with("250 2.0.0 "), "{said:?}");
        let mut wire = cluster.in_inbox(1, "user3");
        let said = wire.ask(
            "a",
            "a FETCH * (RFC822.SIZE BODY.PEEK[HEADER.FIELDS (SUBJECT)])\r\n",
        );
        assert!(
            said.iter().any(|line| line == "Subject: beside"),
            "{said:?}"
        );
        let said = wire.ask("b", "b STORE * +FLAGS (\\Deleted)\r\nb EXPUNGE\r\n");
        assert!(said.last().unwrap().starts_with("b OK "), "{said:?}");
    });
    cluster.serves(1, "clients that never read");
}

/// A message of many lines, about so many MiB.
fn message(mib: usize) -> String {
    let line = format!("{}\r\n", "z".repeat(998));
    format!("Subject: large\r\n\r\n{}", line.repeat(mib * MIB / 1000))
}

/// A large message costs a node a few MiB, on its way in and out, whichever way; many at once no
/// more than that each.
#[test]
fn large_messages() {
    const ONE_MAX: u64 = 16 << 20;
    const MANY: usize = 20;
    const MANY_MAX: u64 = 160 << 20;
    let (cluster, _use) = cluster_alone();
    let deliver = |cluster: &Cluster, message: &str| {
        let said = cluster.deliver(1, &["user3"], message.as_bytes());
        assert!(said[0].starts_with("250 2.0.0 "), "{said:?}");
    };
    let append = |cluster: &Cluster, message: &str| {
        let mut wire = cluster.in_inbox(3, "user3");
        wire.send(format!("a APPEND INBOX {{{}}}\r\n", message.len()).as_bytes());
        wire.until("+ ");
        wire.send(message.as_bytes());
        let said = wire.ask("a", "\r\n");
        assert!(said.last().unwrap().starts_with("a OK "), "{said:?}");
    };
    let fetch = |cluster: &Cluster, item: &str| {
        let mut wire = cluster.in_inbox(1, "user3");
        let said = wire.ask("f", format!("f FETCH * {item}\r\n"));
        assert!(said.last().unwrap().starts_with("f OK "));
        said.iter().map(String::len).sum::<usize>()
    };
    // Buffers and threads that stay, and memory that is kept for the next.
    for _ in 0..2 {
        deliver(cluster, &message(8));
        append(cluster, &message(8));
        fetch(cluster, "BODY.PEEK[]");
    }
    let large = message(46);
    cluster.within(ONE_MAX, "a large delivery", || deliver(cluster, &large));
    cluster.within(ONE_MAX, "a large APPEND", || append(cluster, &large));
    cluster.within(ONE_MAX, "a large FETCH", || {
        assert!(fetch(cluster, "BODY.PEEK[]") > large.len() * 99 / 100);
        for from in (0..large.len()).step_by(large.len() / 50) {
            let window = format!("BODY.PEEK[]<{from}.65536>");
            assert!(fetch(cluster, &window) < 80_000, "only what was asked for");
        }
    });
    let large = message(8);
    cluster.within(MANY_MAX, "many at once", || {
        std::thread::scope(|scope| {
            for _ in 0..MANY {
                scope.spawn(|| deliver(cluster, &large));
            }
        });
    });
    let mut wire = cluster.in_inbox(1, "user3");
    let said = wire.ask(
        "b",
        "b STORE 1:* +FLAGS.SILENT (\\Deleted)\r\nb EXPUNGE\r\n",
    );
    assert!(said.last().unwrap().starts_with("b OK "), "{said:?}");
    cluster.serves(1, "large messages");
}
