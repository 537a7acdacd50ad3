//! The mechanisms on known messages.

use super::*;

/// The example of RFC 7677 section 3.
#[test]
fn rfc_7677() {
    let first = ClientFirst::parse(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO").unwrap();
    assert_eq!(first.user, "user");
    let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    // SaltedPassword of "pencil", as the RFC's proof implies.
    let salted = pbkdf2(b"pencil", &salt, 4096);
    let client_key = hmac(&salted, &[b"Client Key"]);
    let verifier = ScramVerifier {
        salt: salt.into(),
        iterations: 4096,
        stored_key: Sha256::digest(client_key).into(),
        server_key: hmac(&salted, &[b"Server Key"]),
    };
    let mut scram = Scram::new(first, b"", Some(verifier), [0; 24], &[0; 32]);
    scram.nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".to_owned();
    scram.challenge = format!("r={},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", scram.nonce);
    let last = format!(
        "c=biws,r={},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        scram.nonce
    );
    let answer = scram.verify(last.as_bytes()).unwrap();
    assert_eq!(answer, b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    assert_eq!(scram.verify(last.replace("p=d", "p=e").as_bytes()), None);
}

fn pbkdf2(password: &[u8], salt: &[u8], rounds: u32) -> [u8; 32] {
    let mut round = hmac(password, &[salt, &1u32.to_be_bytes()]);
    let mut sum = round;
    for _ in 1..rounds {
        round = hmac(password, &[&round]);
        sum = std::array::from_fn(|at| sum[at] ^ round[at]);
    }
    sum
}

#[test]
fn first_messages() {
    let user = |text: &str| ClientFirst::parse(text.as_bytes()).map(|first| first.user);
    assert_eq!(user("y,,n=a=2Cb=3Dc,r=x").as_deref(), Some("a,b=c"));
    assert_eq!(user("n,a=bob,n=bob,r=x").as_deref(), Some("bob"));
    for bad in [
        "",
        "n",
        "n,",
        "n,,",
        "n,,n=a",
        "n,,n=,r=x",
        "n,,n=a,r=",
        "n,,n=a=2,r=x",
        "n,,r=x,n=a",
        "n,,n=a=2c,r=x",
        "p,,n=a,r=x",
        "n,a=bob,n=alice,r=x",
        "n,,m=1,n=a,r=x",
    ] {
        assert_eq!(user(bad), None, "{bad}");
    }
}

#[test]
fn unknown_users_look_alike() {
    let challenge = |user: &str| {
        let first = ClientFirst::parse(format!("n,,n={user},r=x").as_bytes()).unwrap();
        Scram::new(first, b"", None, [1; 24], &[2; 32]).challenge
    };
    assert_eq!(challenge("mallory"), challenge("mallory"));
    assert_ne!(challenge("mallory"), challenge("oscar"));
}

#[test]
fn plain() {
    let parse = |text: &'static str| Plain::parse(text.as_bytes());
    assert!(parse("\0alice\0secret").is_some_and(|plain| plain.password == "secret"));
    assert!(parse("alice\0alice\0secret").is_some());
    for bad in [
        "",
        "alice",
        "\0alice",
        "\0\0x",
        "\0alice\0",
        "bob\0alice\0x",
        "\0a\0b\0c",
    ] {
        assert!(parse(bad).is_none(), "{bad:?}");
    }
}

/// The same exchange with the channel bound (RFC 5802 section 6, RFC 9266).
#[test]
fn bound_channels() {
    let salted = [3; 32];
    let client_key = hmac(&salted, &[b"Client Key"]);
    let verifier = ScramVerifier {
        salt: vec![1; 16].into(),
        iterations: 4096,
        stored_key: Sha256::digest(client_key).into(),
        server_key: hmac(&salted, &[b"Server Key"]),
    };
    let header = "p=tls-exporter,,";
    let first = ClientFirst::parse(format!("{header}n=user,r=abc").as_bytes()).unwrap();
    assert_eq!(first.binding(), Binding::Bound("tls-exporter".to_owned()));
    let ours = [5; 32];
    let scram = Scram::new(first, &ours, Some(verifier), [0; 24], &[0; 32]);
    // What a client says that sees another channel, or none, or only says so.
    let said = |bound: &[u8]| {
        let unproved = format!("c={},r={}", BASE64.encode(bound), scram.nonce);
        let signed = format!("n=user,r=abc,{},{unproved}", scram.challenge);
        let signature = hmac(&Sha256::digest(client_key), &[signed.as_bytes()]);
        let proof: [u8; 32] = std::array::from_fn(|at| client_key[at] ^ signature[at]);
        format!("{unproved},p={}", BASE64.encode(proof)).into_bytes()
    };
    assert!(
        scram
            .verify(&said(&[header.as_bytes(), &ours].concat()))
            .is_some()
    );
    for bound in [
        [header.as_bytes(), &[6; 32]].concat(),
        header.as_bytes().to_vec(),
        [b"p=tls-unique,,", &ours[..]].concat(),
        b"n,,".to_vec(),
        b"".to_vec(),
    ] {
        assert_eq!(scram.verify(&said(&bound)), None, "{bound:?}");
    }
}

/// The examples of RFC 7628 section 4.1, and what is none.
#[test]
fn bearers() {
    let host = "host=server.example.com\x01port=143\x01";
    let message = format!("n,a=user@example.com,\x01{host}auth=Bearer vF9dft4qmT\x01\x01");
    let bearer = Bearer::parse(message.as_bytes()).unwrap();
    assert_eq!(bearer.user, Some("user@example.com"));
    assert_eq!(bearer.token, "vF9dft4qmT");
    let none = Bearer::parse(b"n,,\x01auth=\x01\x01").unwrap();
    assert_eq!((none.user, none.token), (None, ""));
    let bearer = Bearer::parse(b"n,,\x01auth=bearer  t.o.k=\x01\x01").unwrap();
    assert_eq!((bearer.user, bearer.token), (None, "t.o.k="));
    for bad in [
        "",
        "n,,",
        "n,,\x01\x01",
        "n,,\x01auth=\x01auth=\x01\x01",
        "n,,\x01auth=Bearer \x01\x01",
        "n,,\x01auth=Basic abc\x01\x01",
        "n,,\x01auth=Bearer a b\x01\x01",
        "n,,\x01auth=Bearer abc\x01",
        "n,,\x01auth=Bearer abc\x01auth=Bearer abc\x01\x01",
        "n,,\x01h0st=x\x01auth=Bearer abc\x01\x01",
        "n,,auth=Bearer abc\x01\x01",
        "n,user,\x01auth=Bearer abc\x01\x01",
        "n,a=,\x01auth=Bearer abc\x01\x01",
        "p=tls-exporter,,\x01auth=Bearer abc\x01\x01",
        "n,,\x01auth=Bearer abc\x01\x01\x01",
    ] {
        assert_eq!(Bearer::parse(bad.as_bytes()), None, "{bad:?}");
    }
    let message = b"user=someuser@example.com\x01auth=Bearer vF9dft4qmT\x01\x01";
    let bearer = Bearer::parse_xoauth2(message).unwrap();
    assert_eq!(bearer.user, Some("someuser@example.com"));
    assert_eq!(bearer.token, "vF9dft4qmT");
    for bad in [
        "user=\x01auth=Bearer abc\x01\x01",
        "user=a\x01host=b\x01auth=Bearer abc\x01\x01",
        "auth=Bearer abc\x01\x01",
    ] {
        assert_eq!(Bearer::parse_xoauth2(bad.as_bytes()), None, "{bad:?}");
    }
}

/// The example of RFC 7628 section 4.3, and what must be escaped.
#[test]
fn refusals() {
    let tokens = TokenService {
        discovery: Some("https://example.com/.well-known/openid-configuration".to_owned()),
        scope: "example_scope".to_owned(),
    };
    assert_eq!(
        refused_bearer(&tokens, "invalid_token"),
        "{\"status\":\"invalid_token\",\"scope\":\"example_scope\",\"openid-configuration\":\
         \"https://example.com/.well-known/openid-configuration\"}"
    );
    let tokens = TokenService {
        discovery: None,
        scope: "a\"\\\n".to_owned(),
    };
    assert_eq!(
        refused_xoauth2(&tokens, "invalid_token"),
        r#"{"status":"401","schemes":"bearer","scope":"a\"\\\u000a"}"#
    );
}
