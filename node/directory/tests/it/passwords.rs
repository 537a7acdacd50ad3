//! Verifiers against the examples of their RFCs, and against each other.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use directory::verifier::{Argon2id, Argon2idParams, Params, Salts, Scram};
use directory::{Rejection, Verifiers};

const SALTS: Salts = Salts {
    scram: *b"salt for pbkdf2.",
    argon2id: *b"salt for argon2.",
};

const CHEAP: Params = Params {
    scram_iterations: Some(4096),
    argon2id: Some(Argon2idParams {
        memory_kib: 64,
        passes: 1,
        lanes: 1,
    }),
};

fn scram_alone(password: &str) -> Verifiers {
    let params = Params {
        scram_iterations: Some(4096),
        argon2id: None,
    };
    Verifiers::derive(password, &SALTS, &params).unwrap()
}

fn argon2id_alone(phc: &str) -> Verifiers {
    Verifiers {
        scram: None,
        argon2id: Some(phc.parse().unwrap()),
    }
}

#[test]
fn the_exchange_of_rfc_7677() {
    let salt: [u8; 16] = BASE64
        .decode("W22ZaJ0SNY7soEsUEjb6gQ==")
        .unwrap()
        .try_into()
        .unwrap();
    let salts = Salts {
        scram: salt,
        argon2id: [0; 16],
    };
    let scram: Scram = Verifiers::derive("pencil", &salts, &CHEAP)
        .unwrap()
        .scram
        .unwrap();
    let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    let message = format!(
        "n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r={nonce}"
    );
    let proof = BASE64
        .decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
        .unwrap();
    let mut proof: [u8; 32] = proof.try_into().unwrap();
    let signature = scram.check_proof(message.as_bytes(), &proof).unwrap();
    assert_eq!(
        BASE64.encode(signature),
        "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    );
    proof[0] ^= 1;
    assert_eq!(scram.check_proof(message.as_bytes(), &proof), None);
}

#[test]
fn the_hashes_of_the_reference_implementation() {
    for phc in [
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
    ] {
        assert!(argon2id_alone(phc).check("password"), "{phc}");
        assert!(!argon2id_alone(phc).check("Password"));
        assert_eq!(phc.parse::<Argon2id>().unwrap().to_string(), phc);
    }
}

#[test]
fn other_hashes_are_refused() {
    let hash = "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
    for (phc, why) in [
        (
            format!("$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ${hash}"),
            "another kind",
        ),
        (
            format!("$argon2id$v=16$m=256,t=2,p=1$c29tZXNhbHQ${hash}"),
            "an old version",
        ),
        (
            format!("$argon2id$v=19$m=4294967295,t=2,p=1$c29tZXNhbHQ${hash}"),
            "much memory",
        ),
        (
            format!("$argon2id$v=19$m=4,t=2,p=1$c29tZXNhbHQ${hash}"),
            "little memory",
        ),
        (
            format!("$argon2id$v=19$m=256,t=2,p=1$c29t${hash}"),
            "a short salt",
        ),
        (
            format!("$argon2id$v=19$m=256,t=2,p=1,x=1$c29tZXNhbHQ${hash}"),
            "more parameters",
        ),
        (
            format!("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ${hash}$"),
            "more parts",
        ),
        (
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65".to_owned(),
            "a short hash",
        ),
        (String::new(), "nothing"),
    ] {
        assert_eq!(
            phc.parse::<Argon2id>(),
            Err(Rejection::VerifierInvalid),
            "{why}"
        );
    }
}

#[test]
fn either_kind_knows_the_password() {
    let both = Verifiers::derive("correct horse", &SALTS, &CHEAP).unwrap();
    assert!(both.is_valid());
    let scram = Verifiers {
        argon2id: None,
        ..both.clone()
    };
    let argon2id = Verifiers {
        scram: None,
        ..both.clone()
    };
    for verifiers in [both, scram, argon2id] {
        assert!(verifiers.check("correct horse"));
        for wrong in [
            "",
            "correct hors",
            "correct horse ",
            "\u{0}",
            &"x".repeat(5000),
        ] {
            assert!(!verifiers.check(wrong), "{wrong:?}");
        }
    }
}

#[test]
fn passwords_are_prepared() {
    // RFC 4013 section 3: a soft hyphen goes, a feminine ordinal is an `a`.
    assert!(scram_alone("I\u{ad}X").check("IX"));
    assert!(scram_alone("\u{aa}").check("a"));
    assert!(scram_alone("Gru\u{308}n").check("Gr\u{fc}n"));
    let long = "x".repeat(1025);
    for wrong in ["", "\u{ad}", "\u{7}", "\u{627}1", &long] {
        let refused = Verifiers::derive(wrong, &SALTS, &CHEAP);
        assert_eq!(refused, Err(Rejection::PasswordInvalid), "{wrong:?}");
    }
}

#[test]
fn parameters_are_bounded() {
    let weak = Params {
        scram_iterations: Some(4095),
        ..CHEAP
    };
    let slow = Params {
        scram_iterations: Some(u32::MAX),
        ..CHEAP
    };
    let none = Params {
        scram_iterations: None,
        argon2id: None,
    };
    let large = Argon2idParams {
        memory_kib: u32::MAX,
        passes: 1,
        lanes: 1,
    };
    let large = Params {
        argon2id: Some(large),
        ..CHEAP
    };
    for params in [weak, slow, none, large] {
        let refused = Verifiers::derive("x", &SALTS, &params);
        assert_eq!(refused, Err(Rejection::VerifierInvalid), "{params:?}");
    }
}

#[test]
fn nobody_has_verifiers_that_nobody_matches() {
    let nobody = Verifiers::fake(&[7; 32], "nobody@example.org");
    assert!(nobody.is_valid());
    assert_eq!(nobody, Verifiers::fake(&[7; 32], "nobody@example.org"));
    assert_ne!(nobody, Verifiers::fake(&[7; 32], "noone@example.org"));
    assert_ne!(nobody, Verifiers::fake(&[8; 32], "nobody@example.org"));
    for wrong in ["", "nobody", "password"] {
        assert!(!nobody.check(wrong));
    }
}

#[test]
fn nothing_secret_is_shown() {
    let shown = format!("{:?}", Verifiers::derive("pencil", &SALTS, &CHEAP).unwrap());
    assert_eq!(
        shown,
        "Verifiers { scram: Some(Scram(4096 iterations)), \
         argon2id: Some(Argon2id(m=64,t=1,p=1)) }"
    );
}
