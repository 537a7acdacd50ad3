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
