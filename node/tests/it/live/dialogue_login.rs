//! How clients become somebody, and what a connection is above and below that: channel bindings,
//! certificates, tokens, compression, a proxy.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use node::config::Config;
use node::pki::Made;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use sha2::{Digest, Sha256};

use super::cluster::{Cluster, DOMAIN, PASSWORD, cluster};
use super::wire::{Wire, tls_client};

/// From where the proxy of node 3 connects.
const PROXY: &str = "127.0.0.9";

/// Makes node 3 take certificates and tokens, and has a proxy before it.
pub fn prepare(dir: &Path, config: &mut Config) {
    let ca_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let ca = params.self_signed(&ca_key).unwrap();
    let issuer = Issuer::new(params, ca_key);
    fs::write(dir.join("clients.pem"), ca.pem()).unwrap();
    for (user, emails) in [
        ("alice", vec![format!("alice@{DOMAIN}")]),
        ("nobody", vec![format!("nobody@{DOMAIN}")]),
        (
            "both",
            vec![format!("alice@{DOMAIN}"), format!("bob@{DOMAIN}")],
        ),
    ] {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        for email in emails {
            let email = SanType::Rfc822Name(email.try_into().unwrap());
            params.subject_alt_names.push(email);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let made = shown(dir, user);
        fs::write(made.certificate, certificate.pem()).unwrap();
        fs::write(made.key, key.serialize_pem()).unwrap();
    }
    config.tls.mail_client_ca = dir.join("clients.pem");

    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    fs::write(dir.join("issuer.pem"), key.public_key_pem()).unwrap();
    fs::write(dir.join("issuer.key"), key.serialize_pem()).unwrap();
    config.oauth.keys = vec![dir.join("issuer.pem")];
    config.oauth.issuer = "https://id.example".to_owned();
    config.oauth.audience = "rookery".to_owned();

    config.proxy.networks = vec![PROXY.parse().unwrap()];
}

/// The certificate of a client.
pub fn shown(dir: &Path, user: &str) -> Made {
    let file = |end: &str| dir.join(format!("client-{user}.{end}"));
    Made {
        certificate: file("pem"),
        key: file("key"),
    }
}

pub fn folder(cluster: &Cluster) -> PathBuf {
    cluster.folder().parent().unwrap().to_owned()
}

/// Encrypted, perhaps with a certificate.
pub fn encrypted(cluster: &Cluster, mut wire: Wire, made: Option<&Made>) -> Wire {
    assert_eq!(wire.ask("t", "t STARTTLS\r\n"), ["t OK Begin TLS now"]);
    wire.start_tls(&tls_client(&cluster.demo.ca, made)).unwrap()
}

fn last(said: &[String]) -> &str {
    said.last().unwrap()
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let inner = Sha256::digest([&block.map(|byte| byte ^ 0x36)[..], message].concat());
    Sha256::digest([&block.map(|byte| byte ^ 0x5c)[..], &inner].concat()).into()
}

/// An exchange of SCRAM as a client has it (RFC 5802 section 3); the tagged answer.
fn scram(wire: &mut Wire, mechanism: &str, header: &str, channel: &[u8]) -> String {
    let bare = "n=alice,r=abc";
    let first = BASE64.encode(format!("{header}{bare}"));
    wire.send(format!("a AUTHENTICATE {mechanism} {first}\r\n").as_bytes());
    let challenge = wire.line().unwrap();
    let Some(challenge) = challenge.strip_prefix("+ ") else {
        return challenge;
    };
    let challenge = String::from_utf8(BASE64.decode(challenge).unwrap()).unwrap();
    let fields: Vec<&str> = challenge.split(',').map(|field| &field[2..]).collect();
    let (nonce, salt) = (fields[0], BASE64.decode(fields[1]).unwrap());
    let rounds: u32 = fields[2].parse().unwrap();
    let mut round = hmac(PASSWORD.as_bytes(), &[&salt[..], &[0, 0, 0, 1]].concat());
    let mut salted = round;
    for _ in 1..rounds {
        round = hmac(PASSWORD.as_bytes(), &round);
        salted = std::array::from_fn(|at| salted[at] ^ round[at]);
    }
    let bound = BASE64.encode([header.as_bytes(), channel].concat());
    let unproved = format!("c={bound},r={nonce}");
    let signed = format!("{bare},{challenge},{unproved}");
    let key = hmac(&salted, b"Client Key");
    let signature = hmac(&Sha256::digest(key), signed.as_bytes());
    let proof: [u8; 32] = std::array::from_fn(|at| key[at] ^ signature[at]);
    let last = BASE64.encode(format!("{unproved},p={}", BASE64.encode(proof)));
    wire.send(format!("{last}\r\n").as_bytes());
    let said = wire.line().unwrap();
    if !said.starts_with("+ ") {
        return said;
    }
    wire.ask("a", "\r\n").pop().unwrap()
}

/// RFC 5802 section 6, RFC 9266.
#[test]
fn channels_are_bound() {
    let (cluster, _use) = cluster();
    let encrypted = || encrypted(cluster, cluster.imap(1), None);
    let list = encrypted().ask("c", "c CAPABILITY\r\n");
    assert!(list[0].contains(" AUTH=SCRAM-SHA-256-PLUS"), "{list:?}");
    let plus = "SCRAM-SHA-256-PLUS";
    let mut wire = encrypted();
    let exporter = wire.exporter();
    let said = scram(&mut wire, plus, "p=tls-exporter,,", &exporter);
    assert!(said.starts_with("a OK "), "{said}");
    // The node's certificate is signed by ECDSA with SHA-256.
    let mut wire = encrypted();
    let end_point = Sha256::digest(wire.certificate());
    let said = scram(&mut wire, plus, "p=tls-server-end-point,,", &end_point);
    assert!(said.starts_with("a OK "), "{said}");
    // The secret of another connection.
    let said = scram(&mut encrypted(), plus, "p=tls-exporter,,", &exporter);
    assert!(said.starts_with("a NO [AUTHENTICATIONFAILED]"), "{said}");
    // The list was changed on its way.
    let said = scram(&mut encrypted(), "SCRAM-SHA-256", "y,,", b"");
    assert!(said.starts_with("a NO [AUTHENTICATIONFAILED]"), "{said}");
    let said = scram(&mut encrypted(), "SCRAM-SHA-256", "n,,", b"");
    assert!(said.starts_with("a OK "), "{said}");
}

#[test]
fn certificates_of_clients() {
    let (cluster, _use) = cluster();
    let dir = folder(cluster);
    let encrypted = |user: &str| encrypted(cluster, cluster.imap(3), Some(&shown(&dir, user)));
    let mut wire = encrypted("alice");
    let list = wire.ask("c", "c CAPABILITY\r\n");
    assert!(list[0].contains(" AUTH=EXTERNAL"), "{list:?}");
    let said = wire.ask("a", "a AUTHENTICATE EXTERNAL =\r\n");
    assert!(last(&said).starts_with("a OK "), "{said:?}");
    let other = BASE64.encode(format!("bob@{DOMAIN}"));
    for (user, response, answer) in [
        ("alice", other.as_str(), "a NO [AUTHORIZATIONFAILED]"),
        ("nobody", "=", "a NO [AUTHENTICATIONFAILED]"),
        ("both", "=", "a NO This mechanism"),
    ] {
        let line = format!("a AUTHENTICATE EXTERNAL {response}\r\n");
        let said = encrypted(user).ask("a", line);
        assert!(last(&said).starts_with(answer), "{user}: {said:?}");
    }
    // Without one it is as ever, and one of another authority is refused in the handshake.
    let mut wire = self::encrypted(cluster, cluster.imap(3), None);
    let said = wire.ask("a", "a AUTHENTICATE EXTERNAL =\r\n");
    assert!(last(&said).starts_with("a NO This mechanism"), "{said:?}");
    let said = wire.ask("b", format!("b LOGIN alice {PASSWORD}\r\n"));
    assert!(last(&said).starts_with("b OK "), "{said:?}");
    let theirs = tempfile::tempdir().unwrap();
    prepare(theirs.path(), &mut Config::default());
    let config = tls_client(&cluster.demo.ca, Some(&shown(theirs.path(), "alice")));
    let mut wire = cluster.imap(3);
    wire.ask("t", "t STARTTLS\r\n");
    // In TLS 1.3 the client hears of it only afterwards.
    if let Ok(mut wire) = wire.start_tls(&config) {
        wire.send(b"a AUTHENTICATE EXTERNAL =\r\n");
        let said = wire.rest();
        assert!(
            said.iter().all(|line| !line.starts_with("a OK")),
            "{said:?}"
        );
    }
    cluster.serves(3, "certificates of clients");
}

#[test]
fn tokens() {
    let (cluster, _use) = cluster();
    let pem = fs::read(folder(cluster).join("issuer.key")).unwrap();
    let key = EncodingKey::from_ed_pem(&pem).unwrap();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let token = |user: &str, expires: u64| {
        let claims = serde_json::json!({
            "iss": "https://id.example",
            "aud": ["rookery"],
            "exp": expires,
            "email": format!("{user}@{DOMAIN}"),
        });
        encode(&Header::new(Algorithm::EdDSA), &claims, &key).unwrap()
    };
    let bearer = |user: &str, token: &str| {
        let user = format!("n,a={user}@{DOMAIN},\x01host=localhost\x01port=143\x01");
        let message = BASE64.encode(format!("{user}auth=Bearer {token}\x01\x01"));
        format!("a AUTHENTICATE OAUTHBEARER {message}\r\n")
    };
    let mut wire = cluster.imap(3);
    let said = wire.ask("a", bearer("alice", &token("bob", now + 60)));
    assert!(
        last(&said).starts_with("a NO [AUTHORIZATIONFAILED]"),
        "{said:?}"
    );
    for (user, expires) in [("alice", now - 3600), ("nobody", now + 60)] {
        wire.send(bearer(user, &token(user, expires)).as_bytes());
        let said = wire.line().unwrap();
        let json = BASE64.decode(said.strip_prefix("+ ").unwrap()).unwrap();
        assert_eq!(json, br#"{"status":"invalid_token"}"#, "{user}");
        let said = wire.ask("a", "AQ==\r\n");
        assert!(
            last(&said).starts_with("a NO [AUTHENTICATIONFAILED]"),
            "{said:?}"
        );
    }
    let said = wire.ask("a", bearer("alice", &token("alice", now + 60)));
    assert!(last(&said).starts_with("a OK "), "{said:?}");
    let said = cluster
        .imap(1)
        .ask("a", bearer("alice", &token("alice", now + 60)));
    assert!(last(&said).starts_with("a NO This mechanism"), "{said:?}");
}

/// RFC 4978, with TLS and without; large things both ways, and a silence in which the compressor
/// goes.
#[test]
fn compression() {
    let (cluster, _use) = cluster();
    let message = format!(
        "Subject: large\r\n\r\n{}",
        "0123456789 abc\r\n".repeat(20_000)
    );
    for is_tls in [false, true] {
        let mut wire = cluster.imap(1);
        if is_tls {
            wire = encrypted(cluster, wire, None);
        }
        let said = wire.ask("l", format!("l LOGIN user2 {PASSWORD}\r\n"));
        assert!(last(&said).contains(" COMPRESS=DEFLATE"), "{said:?}");
        assert_eq!(
            wire.ask("c", "c COMPRESS DEFLATE\r\n"),
            ["c OK DEFLATE active"]
        );
        wire.deflate();
        let said = wire.ask("d", "d COMPRESS DEFLATE\r\n");
        assert!(said[0].starts_with("d BAD [COMPRESSIONACTIVE]"), "{said:?}");
        let append = format!("e APPEND INBOX {{{}+}}\r\n{message}\r\n", message.len());
        let said = wire.ask("e", append);
        assert!(last(&said).starts_with("e OK [APPENDUID"), "{said:?}");
        let said = wire.ask("f", "f SELECT INBOX\r\n");
        assert!(last(&said).starts_with("f OK "), "{said:?}");
        std::thread::sleep(std::time::Duration::from_secs(6));
        let said = wire.ask("g", "g FETCH * BODY.PEEK[TEXT]\r\n");
        assert_eq!(said.len(), 20_000 + 3, "{:?}", &said[..3]);
        assert!(said[1..20_000].iter().all(|line| line == "0123456789 abc"));
        let said = wire.ask("h", "h UNAUTHENTICATE\r\n");
        assert!(last(&said).starts_with("h OK "), "{said:?}");
        let said = wire.ask("i", "i STARTTLS\r\n");
        assert!(last(&said).starts_with("i BAD "), "{said:?}");
        let said = wire.ask("j", format!("j LOGIN bob {PASSWORD}\r\nj LOGOUT\r\n"));
        assert!(last(&said).starts_with("j OK "), "{said:?}");
    }
    // What is not deflated ends the connection.
    let mut wire = cluster.imap(1);
    wire.ask("l", format!("l LOGIN user2 {PASSWORD}\r\n"));
    wire.ask("c", "c COMPRESS DEFLATE\r\n");
    wire.send(b"a NOOP\r\nb NOOP\r\n");
    wire.rest();
    cluster.serves(1, "compression");
}

/// The address that a proxy tells counts; without a header nobody is let in from there.
#[test]
fn proxies() {
    let (cluster, _use) = cluster();
    let connect = |address: &str, header: &[u8]| {
        let mut wire = Wire::connect_from(PROXY, address);
        wire.send(header);
        wire
    };
    let node = cluster.node(3);
    let here = b"PROXY TCP4 127.0.0.1 127.0.0.1 1 143\r\n";
    let mut wire = connect(&node.imap, here);
    let greeting = wire.line().unwrap();
    assert!(greeting.contains(" AUTH=PLAIN"), "{greeting}");
    // From afar passwords need TLS, and deliveries a certificate.
    let afar = b"PROXY TCP4 192.0.2.7 127.0.0.1 1 143\r\n";
    let greeting = connect(&node.imap, afar).line().unwrap();
    assert!(greeting.contains(" LOGINDISABLED"), "{greeting}");
    let mut wire = connect(
        &node.lmtp,
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\x7f\0\0\x01\0\x01\0\x18",
    );
    wire.send(format!("LHLO c.example\r\nMAIL FROM:<>\r\nRCPT TO:<bob@{DOMAIN}>\r\n").as_bytes());
    let said = wire.until("550 ");
    assert!(last(&said).contains("may not deliver"), "{said:?}");
    // A health check speaks for itself.
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    assert!(
        connect(&node.lmtp, local)
            .line()
            .unwrap()
            .starts_with("220 ")
    );
    for bad in [
        &b"a1 LOGIN alice secret\r\n"[..],
        b"PROXY TCP4 nowhere 127.0.0.1 1 143\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
    ] {
        let said = connect(&node.imap, bad).rest();
        assert_eq!(said, [""; 0], "{bad:?}");
    }
    // From elsewhere a header is no command.
    let mut wire = cluster.imap(3);
    wire.send(afar);
    let said = wire.line().unwrap();
    assert!(
        said.starts_with("PROXY BAD ") || said.starts_with("* BAD "),
        "{said}"
    );
    cluster.serves(3, "proxies");
}

/// What failed on one node counts on all.
#[test]
fn guesses_go_on_at_no_other_node() {
    const FROM: &str = "127.0.0.17";
    /// More than are let fail.
    const TRIES: usize = 24;
    /// More than it takes until the others are told.
    const TOLD: usize = 8;
    let (cluster, _running) = cluster();
    let guest = |node| {
        let mut wire = Wire::connect_from(FROM, &cluster.node(node).imap);
        assert!(wire.line().unwrap().starts_with("* OK "));
        wire
    };
    let refused = "a NO [LIMIT] Too many failed logins, try again later";
    let mut guests: Vec<Wire> = (0..TRIES).map(|_| guest(1)).collect();
    for wire in &mut guests {
        wire.send(b"a LOGIN bob guess\r\n");
    }
    for wire in &mut guests {
        assert!(last(&wire.until("a ")).starts_with("a NO "));
    }
    assert_eq!(last(&guest(1).ask("a", "a LOGIN bob guess\r\n")), refused);
    let there = |login: &str| last(&encrypted(cluster, guest(2), None).ask("a", login)).to_owned();
    let is_refused = |_| there("a LOGIN bob guess\r\n") == refused;
    assert!((0..TOLD).any(is_refused), "node 2 has heard nothing");
    let right = format!("a LOGIN bob {PASSWORD}\r\n");
    assert_eq!(there(&right), refused);
    // He himself is elsewhere.
    assert!(last(&cluster.imap(1).ask("a", &right)).starts_with("a OK"));
}
