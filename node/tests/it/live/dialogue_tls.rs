//! What is said in plain text has no effect beyond STARTTLS; and what needs TLS.

use super::cluster::{Cluster, DOMAIN, PASSWORD, STRICT_MESSAGE_BYTES, cluster};
use super::wire::{Wire, tls_client};
use node::pki::{Authority, Making};

/// A client of IMAP on node 2, encrypted; capabilities are not told anew.
fn encrypted(cluster: &Cluster, node: u64) -> Wire {
    let mut wire = cluster.imap(node);
    let said = wire.ask("t", "t STARTTLS\r\n");
    assert_eq!(said, ["t OK Begin TLS now"]);
    wire.start_tls(&tls_client(&cluster.demo.ca, None)).unwrap()
}

/// RFC 3501 section 6.2.1. The command behind STARTTLS is neither executed nor answered.
#[test]
fn imap_starttls_injection() {
    let (cluster, _use) = cluster();
    let config = tls_client(&cluster.demo.ca, None);
    let login = format!("b LOGIN alice {PASSWORD}\r\n");
    // Whole, cut in a literal, and a line that would take in what comes later.
    for behind in [
        login.as_str(),
        "b LOGIN alice {4}\r\n",
        "b LOGIN alice ",
        "b NOOP\r\n",
    ] {
        let mut wire = cluster.imap(1);
        let said = wire.ask("a", format!("a STARTTLS\r\n{behind}"));
        assert_eq!(said, ["a OK Begin TLS now"], "{behind:?}");
        // The kernel may cut what was sent in two; the rest of it ends the handshake then.
        let Ok(mut wire) = wire.start_tls(&config) else {
            continue;
        };
        let said = wire.ask("d", "c SELECT INBOX\r\nd NOOP\r\n");
        assert_eq!(
            said,
            ["c BAD Log in first", "d OK NOOP completed"],
            "{behind:?}"
        );
    }
    // In a segment of its own it is no handshake.
    let mut wire = cluster.imap(1);
    wire.ask("a", "a STARTTLS\r\n");
    wire.send(login.as_bytes());
    wire.finish();
    let said = wire.rest();
    assert!(said.iter().all(|line| !line.starts_with("b ")), "{said:?}");
    cluster.serves(1, "STARTTLS injection");
}

/// RFC 3207 section 4.2, likewise.
#[test]
fn lmtp_starttls_injection() {
    let (cluster, _use) = cluster();
    let config = tls_client(&cluster.demo.ca, None);
    let mail = "MAIL FROM:<evil@x.example>\r\n";
    for behind in [mail, "LHLO evil\r\n", "MAIL FROM:<evil"] {
        let mut wire = cluster.lmtp(1);
        wire.send(format!("MAIL FROM:<>\r\nSTARTTLS\r\n{behind}").as_bytes());
        let said = wire.until("220 ");
        assert_eq!(
            said,
            ["250 2.1.0 sender ok", "220 2.0.0 start TLS now"],
            "{behind:?}"
        );
        let Ok(mut wire) = wire.start_tls(&config) else {
            continue;
        };
        // Neither the transaction nor LHLO is left.
        wire.send(b"RCPT TO:<bob@demo.example>\r\nMAIL FROM:<>\r\nSTARTTLS\r\nHELP\r\n");
        let said = wire.until("214 ");
        let codes: Vec<&str> = said.iter().map(|line| &line[..9]).collect();
        assert_eq!(
            codes,
            ["503 5.5.1", "503 5.5.1", "503 5.5.1", "214 2.0.0"],
            "{behind:?}: {said:?}"
        );
        wire.send(b"LHLO c.example\r\nMAIL FROM:<>\r\n");
        let said = wire.until("250 2.1.0");
        assert!(
            !said.iter().any(|line| line.contains("STARTTLS")),
            "{said:?}"
        );
    }
    let mut wire = cluster.lmtp(1);
    wire.send(b"STARTTLS\r\n");
    wire.until("220 ");
    wire.send(mail.as_bytes());
    wire.finish();
    let said = wire.rest();
    assert!(
        said.iter().all(|line| !line.starts_with("250 ")),
        "{said:?}"
    );
    cluster.serves(1, "STARTTLS injection");
}

/// Where passwords need TLS, nothing else is asked of them.
#[test]
fn passwords_need_tls() {
    let (cluster, _use) = cluster();
    let mut wire = Wire::connect(&cluster.node(2).imap);
    let greeting = wire.line().unwrap();
    assert!(
        greeting.contains("LOGINDISABLED") && greeting.contains("STARTTLS"),
        "{greeting}"
    );
    assert!(!greeting.contains("AUTH="), "{greeting}");
    let refused = "a NO [PRIVACYREQUIRED] Use TLS to log in";
    for login in [
        "a LOGIN alice opensesame\r\n",
        "a AUTHENTICATE PLAIN\r\n",
        "a AUTHENTICATE PLAIN AGFsaWNlAG9wZW5zZXNhbWU=\r\n",
        "a AUTHENTICATE SCRAM-SHA-256\r\n",
    ] {
        assert_eq!(wire.ask("a", login), [refused], "{login}");
    }
    assert!(!cluster.log(2).contains("opensesame"));

    let mut wire = encrypted(cluster, 2);
    let said = wire.ask("a", "a CAPABILITY\r\n");
    assert!(
        !said[0].contains("LOGINDISABLED") && !said[0].contains("STARTTLS"),
        "{said:?}"
    );
    let said = wire.ask(
        "a",
        format!("a STARTTLS\r\nb NOOP\r\na LOGIN alice {PASSWORD}\r\n"),
    );
    assert_eq!(said, ["a BAD TLS is on already"]);
    let said = wire.until("a ");
    assert!(
        said[0].starts_with("b OK ") && said[1].starts_with("a OK "),
        "{said:?}"
    );
    let said = wire.ask("s", "s SELECT INBOX\r\n");
    assert!(said.last().unwrap().starts_with("s OK "), "{said:?}");
}

/// What is too large for a node is refused, and its bytes are not taken for commands.
#[test]
fn messages_that_are_too_large() {
    let (cluster, _use) = cluster();
    let large = "a NOOP\r\n".repeat(STRICT_MESSAGE_BYTES / 8 + 1);
    let mut wire = encrypted(cluster, 2);
    wire.ask("l", format!("l LOGIN alice {PASSWORD}\r\n"));
    let append = format!("a APPEND INBOX {{{}+}}\r\n{large}\r\n", large.len());
    let said = wire.ask("b", format!("{append}b NOOP\r\n"));
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(
        said[0].starts_with("a NO [TOOBIG] ") && said[1].starts_with("b OK "),
        "{said:?}"
    );

    let authority = Authority::open(&cluster.folder().join("pki")).unwrap();
    let shown = authority.lmtp_client("live", Making::default()).unwrap();
    let head = format!("LHLO c.example\r\nMAIL FROM:<>\r\nRCPT TO:<user1@{DOMAIN}>\r\n");
    // Without a certificate nobody delivers to this node.
    let mut wire = cluster.lmtp(2);
    wire.send(head.as_bytes());
    let said = wire.until("550 ");
    assert!(
        said.last().unwrap().starts_with("550 5.7.1 <user1@"),
        "{said:?}"
    );
    wire.send(b"DATA\r\nSTARTTLS\r\n");
    let said = wire.until("220 ");
    assert!(
        said[0].starts_with("503 5.5.1 no valid recipients"),
        "{said:?}"
    );
    let config = tls_client(&cluster.demo.ca, Some(&shown));
    let mut wire = wire.start_tls(&config).unwrap();
    wire.send(format!("{head}DATA\r\n").as_bytes());
    wire.until("354 ");
    wire.send(large.as_bytes());
    wire.send(b".\r\n");
    let said = wire.line().unwrap();
    assert!(said.starts_with("552 5.3.4 <user1@"), "{said}");
    let size = format!("MAIL FROM:<> SIZE={}\r\nNOOP\r\n", large.len());
    wire.send(size.as_bytes());
    assert!(wire.line().unwrap().starts_with("552 5.3.4 "));
    assert!(wire.line().unwrap().starts_with("250 2.0.0 "));
    cluster.serves(1, "large messages");
    cluster.is_well("large messages");
}

/// Who shows a certificate of another authority is not spoken to.
#[test]
fn certificates_of_others_end_the_handshake() {
    let (cluster, _use) = cluster();
    let dir = tempfile::tempdir().unwrap();
    let (other, _) = Authority::init(dir.path(), Making::default()).unwrap();
    let shown = other.lmtp_client("live", Making::default()).unwrap();
    let mut wire = cluster.lmtp(2);
    wire.send(b"STARTTLS\r\n");
    wire.until("220 ");
    // With TLS 1.3 a client learns only by reading that its certificate was refused.
    if let Ok(mut wire) = wire.start_tls(&tls_client(&cluster.demo.ca, Some(&shown))) {
        let heard = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wire.send(b"LHLO x\r\n");
            wire.rest()
        }));
        assert!(heard.is_err() || heard.is_ok_and(|said| said.is_empty()));
    }
    // And a client does not speak to a server that another authority signed.
    let mut wire = cluster.imap(2);
    wire.ask("t", "t STARTTLS\r\n");
    assert!(
        wire.start_tls(&tls_client(&dir.path().join("ca.pem"), None))
            .is_err()
    );
    cluster.serves(1, "wrong certificates");
}
