//! What hostile clients send before and after login, and SCRAM as a client does it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use imap::backend::ScramVerifier;
use sha2::{Digest, Sha256};

use super::backend::PASSWORD;
use super::scripts::Dialogue;
use super::transport::{Client, END_POINT, EXPORTER};

const SALT: &[u8] = b"0123456789abcdef";

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().into()
}

fn salted(password: &[u8]) -> [u8; 32] {
    let mut round = hmac(password, &[SALT, &1u32.to_be_bytes()].concat());
    let mut sum = round;
    for _ in 1..64 {
        round = hmac(password, &round);
        sum = std::array::from_fn(|at| sum[at] ^ round[at]);
    }
    sum
}

/// What is kept of everybody's password.
pub fn verifier() -> ScramVerifier {
    let salted = salted(PASSWORD.as_bytes());
    ScramVerifier {
        salt: SALT.into(),
        iterations: 64,
        stored_key: Sha256::digest(hmac(&salted, b"Client Key")).into(),
        server_key: hmac(&salted, b"Server Key"),
    }
}

/// A whole SCRAM exchange; what the server says last.
fn scram(user: &str, password: &str) -> String {
    let mut dialogue = Dialogue::new();
    dialogue.connect("c", Client::plain());
    dialogue.client("c").take();
    scram_in(&mut dialogue, user, password, ("SCRAM-SHA-256", "n,,", b""))
}

/// The same on a connection, with a mechanism, a GS2 header and what identifies the channel.
fn scram_in(
    dialogue: &mut Dialogue,
    user: &str,
    password: &str,
    (mechanism, header, channel): (&str, &str, &[u8]),
) -> String {
    let bare = format!("n={user},r=abc");
    let first = BASE64.encode(format!("{header}{bare}"));
    let line = format!("a AUTHENTICATE {mechanism} {first}\r\n");
    let challenge = dialogue.say("c", line.as_bytes());
    let challenge = String::from_utf8(challenge).unwrap();
    if !challenge.starts_with("+ ") {
        return challenge;
    }
    let challenge = BASE64
        .decode(challenge.trim().strip_prefix("+ ").unwrap())
        .unwrap();
    let challenge = String::from_utf8(challenge).unwrap();
    let nonce = challenge.split(',').next().unwrap();
    let bound = BASE64.encode([header.as_bytes(), channel].concat());
    let unproved = format!("c={bound},{nonce}");
    let signed = format!("{bare},{challenge},{unproved}");
    let salted = salted(password.as_bytes());
    let key = hmac(&salted, b"Client Key");
    let signature = hmac(&Sha256::digest(key), signed.as_bytes());
    let proof: [u8; 32] = std::array::from_fn(|at| key[at] ^ signature[at]);
    let last = BASE64.encode(format!("{unproved},p={}", BASE64.encode(proof)));
    let said = dialogue.say("c", format!("{last}\r\n").as_bytes());
    let said = String::from_utf8(said).unwrap();
    let Some(server) = said.trim().strip_prefix("+ ") else {
        return said;
    };
    let signature = BASE64.encode(hmac(&hmac(&salted, b"Server Key"), signed.as_bytes()));
    assert_eq!(
        BASE64.decode(server).unwrap(),
        format!("v={signature}").as_bytes()
    );
    let said = dialogue.say("c", b"\r\n");
    String::from_utf8(said).unwrap()
}

#[test]
fn scram_logs_in() {
    assert!(scram("alice", PASSWORD).starts_with("a OK [CAPABILITY"));
    assert!(scram("alice", "wrong").starts_with("a NO [AUTHENTICATIONFAILED]"));
    assert!(scram("nobody", PASSWORD).starts_with("a NO [AUTHENTICATIONFAILED]"));
}

/// RFC 5802 section 6, RFC 9266: who stands between client and server is found out, also one who
/// has only taken the mechanism out of the list.
#[test]
fn scram_binds_the_channel() {
    const PLUS: &str = "SCRAM-SHA-256-PLUS";
    let encrypted = || {
        let mut dialogue = Dialogue::new();
        let client = Client::plain();
        client.bind_channel();
        dialogue.connect("c", client);
        let said = dialogue.say("c", b"t STARTTLS\r\n");
        assert!(said.ends_with(b"(TLS handshake)\r\n"));
        dialogue
    };
    let said = |way| scram_in(&mut encrypted(), "alice", PASSWORD, way);
    let list = String::from_utf8(encrypted().say("c", b"a CAPABILITY\r\n")).unwrap();
    assert!(list.contains(" AUTH=SCRAM-SHA-256 ") && list.contains(" AUTH=SCRAM-SHA-256-PLUS"));
    for way in [
        (PLUS, "p=tls-exporter,,", EXPORTER),
        (PLUS, "p=tls-server-end-point,,", END_POINT),
        ("SCRAM-SHA-256", "n,,", b""),
    ] {
        assert!(said(way).starts_with("a OK [CAPABILITY"), "{way:?}");
    }
    for way in [
        (PLUS, "p=tls-exporter,,", END_POINT),
        (PLUS, "p=tls-exporter,,", b""),
        (PLUS, "p=tls-unique,,", EXPORTER),
        (PLUS, "n,,", b""),
        (PLUS, "y,,", b""),
        ("SCRAM-SHA-256", "y,,", b""),
        ("SCRAM-SHA-256", "p=tls-exporter,,", EXPORTER),
    ] {
        assert!(
            said(way).starts_with("a NO [AUTHENTICATIONFAILED]"),
            "{way:?}"
        );
    }
    // Where it is not offered `y` is the truth.
    let mut dialogue = Dialogue::new();
    dialogue.connect("c", Client::plain());
    dialogue.client("c").take();
    let way = ("SCRAM-SHA-256", "y,,", &b""[..]);
    assert!(scram_in(&mut dialogue, "alice", PASSWORD, way).starts_with("a OK [CAPABILITY"));
    let mut dialogue = Dialogue::new();
    dialogue.connect("c", Client::plain());
    dialogue.client("c").take();
    let way = (PLUS, "p=tls-exporter,,", EXPORTER);
    assert!(scram_in(&mut dialogue, "alice", PASSWORD, way).starts_with("a NO This mechanism"));
}

/// Sizes that are announced are never allocated, and no `+` is sent.
#[test]
fn announced_sizes_before_login() {
    for size in [
        "4294967296",
        "99999999999999999999",
        "2147483647+",
        "9223372036854775807+",
    ] {
        let mut dialogue = Dialogue::new();
        dialogue.connect("c", Client::plain());
        dialogue.client("c").take();
        let said = dialogue.say("c", format!("a LOGIN {{{size}}}\r\n").as_bytes());
        let said = String::from_utf8(said).unwrap();
        assert!(said.starts_with("a BAD [TOOBIG]"), "{size}: {said}");
        assert!(!said.contains('+'), "{said}");
        assert_eq!(dialogue.ended("c").is_some(), size.ends_with('+'), "{size}");
    }
}

/// Nesting, before and after login.
#[test]
fn nesting() {
    let deep = format!(
        "a SEARCH {}ALL{}\r\n",
        "(".repeat(30_000),
        ")".repeat(30_000)
    );
    let nots = format!("a SEARCH {}ALL\r\n", "NOT ".repeat(15_000));
    for line in [&deep, &nots] {
        let mut dialogue = Dialogue::new();
        dialogue.log_in("c", "alice");
        dialogue.say("c", b"s SELECT INBOX\r\n");
        let said = String::from_utf8(dialogue.say("c", line.as_bytes())).unwrap();
        assert!(said.starts_with("a BAD"), "{said}");
        assert_eq!(dialogue.ended("c"), None);
    }
    let mut dialogue = Dialogue::new();
    dialogue.connect("c", Client::plain());
    let client = dialogue.client("c");
    for _ in 0..100 {
        client.send("(".repeat(10_000));
    }
    client.send("\r\n");
    dialogue.run();
    assert!(dialogue.ended("c").is_some());
}

/// Three bad commands before login, fifty after it.
#[test]
fn bad_commands_are_limited() {
    let mut dialogue = Dialogue::new();
    dialogue.connect("c", Client::plain());
    dialogue.client("c").take();
    let said = dialogue.say("c", b"a FOO\r\nb SELECT INBOX\r\nc BAR\r\nd NOOP\r\n");
    let said = String::from_utf8(said).unwrap();
    assert!(
        said.contains("c BAD") && said.contains("* BYE") && !said.contains("d OK"),
        "{said}"
    );

    let mut dialogue = Dialogue::new();
    dialogue.log_in("c", "alice");
    for _ in 0..3 {
        dialogue.say("c", "x FOO\r\n".repeat(49).as_bytes());
        dialogue.say("c", b"a NOOP\r\n");
        assert_eq!(dialogue.ended("c"), None);
    }
    dialogue.say("c", "x FOO\r\n".repeat(50).as_bytes());
    assert_eq!(dialogue.ended("c").as_deref(), Some("Refused"));
}

/// Failed logins end a connection, and leave nothing behind.
#[test]
fn failed_logins_are_limited() {
    let mut dialogue = Dialogue::new();
    dialogue.connect("c", Client::plain());
    let said = dialogue.say("c", "a LOGIN alice wrong\r\n".repeat(12).as_bytes());
    let said = String::from_utf8(said).unwrap();
    assert_eq!(
        said.matches("a NO [AUTHENTICATIONFAILED]").count(),
        10,
        "{said}"
    );
    assert!(said.contains("* BYE"), "{said}");
}

/// Numbers at the edges of their types.
#[test]
fn numbers_at_the_edge() {
    let mut dialogue = Dialogue::new();
    dialogue
        .partition
        .deliver("alice", None, b"a: b\r\n\r\nc\r\n");
    dialogue.log_in("c", "alice");
    dialogue.say("c", b"s SELECT INBOX\r\n");
    let answers = [
        ("FETCH 1 FLAGS (CHANGEDSINCE 0)", "OK"),
        ("FETCH 1 FLAGS (CHANGEDSINCE 9223372036854775807)", "OK"),
        ("FETCH 1 FLAGS (CHANGEDSINCE 9223372036854775808)", "BAD"),
        ("FETCH 1 FLAGS (CHANGEDSINCE 18446744073709551616)", "BAD"),
        ("FETCH 1 FLAGS (CHANGEDSINCE -1)", "BAD"),
        ("SEARCH MODSEQ 0", "OK"),
        ("SEARCH MODSEQ 9223372036854775807", "OK"),
        ("SEARCH MODSEQ 9223372036854775808", "BAD"),
        (
            "STORE 1 (UNCHANGEDSINCE 0) +FLAGS (\\Seen)",
            "OK [MODIFIED 1]",
        ),
        (
            "STORE 1 (UNCHANGEDSINCE 9223372036854775807) +FLAGS (\\Seen)",
            "OK",
        ),
        (
            "STORE 1 (UNCHANGEDSINCE 18446744073709551615) +FLAGS (\\Seen)",
            "BAD",
        ),
        ("UID FETCH 0 FLAGS", "BAD"),
        ("UID FETCH 4294967295 FLAGS", "OK"),
        ("UID FETCH 4294967296 FLAGS", "BAD"),
        ("UID FETCH 4294967295:1 FLAGS", "OK"),
        ("FETCH 4294967295:1 FLAGS", "BAD"),
        (
            "FETCH 1 BODY.PEEK[]<9223372036854775807.9223372036854775807>",
            "OK",
        ),
        ("FETCH 1 BODY.PEEK[]<0.0>", "BAD"),
        ("SEARCH LARGER 9223372036854775807", "OK"),
        ("UID EXPUNGE 1:*", "OK"),
    ];
    for (line, answer) in answers {
        let said = dialogue.say("c", format!("t {line}\r\n").as_bytes());
        let said = String::from_utf8(said).unwrap();
        let tagged = said
            .lines()
            .find(|line| line.starts_with("t "))
            .expect(line);
        assert!(tagged.starts_with(&format!("t {answer}")), "{line}: {said}");
    }
    let stars = vec!["1:*"; 15_000].join(",");
    let said = dialogue.say("c", format!("t FETCH {stars} UID\r\n").as_bytes());
    let said = String::from_utf8(said).unwrap();
    assert_eq!(
        said.matches(" FETCH (").count(),
        1,
        "a message is told once: {said}"
    );
}
