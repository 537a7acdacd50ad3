//! The server's side of SASL: PLAIN (RFC 4616) and SCRAM-SHA-256 (RFC 5802, RFC 7677).
//!
//! ```text
//!   C: n,,n=alice,r=<client nonce>                        ClientFirst::parse
//!   S: r=<client nonce><server nonce>,s=<salt>,i=4096     Scram::new, Scram::challenge
//!   C: c=biws,r=<both nonces>,p=<proof>                   Scram::verify
//!   S: v=<server signature>
//! ```
//!
//! A user who does not exist gets a salt that is made from the name and a secret, and fails with
//! the proof, as late and as slowly as a wrong password.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;

use crate::backend::ScramVerifier;
use crate::limits;

/// What a client says in PLAIN.
#[derive(PartialEq, Eq)]
pub(crate) struct Plain<'a> {
    pub(crate) user: &'a str,
    pub(crate) password: &'a str,
}

impl<'a> Plain<'a> {
    /// Reads `authzid NUL authcid NUL password`. Acting as somebody else is not offered.
    pub(crate) fn parse(message: &'a [u8]) -> Option<Plain<'a>> {
        let mut fields = std::str::from_utf8(message).ok()?.split('\0');
        let (act_as, user, password) = (fields.next()?, fields.next()?, fields.next()?);
        let is_whole = fields.next().is_none() && !user.is_empty() && !password.is_empty();
        let is_self = act_as.is_empty() || act_as == user;
        (is_whole && is_self).then_some(Plain { user, password })
    }
}

/// The first message of a client in SCRAM.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ClientFirst {
    /// Who logs in, its escapes decoded.
    pub(crate) user: String,
    /// The GS2 header: `n,,` and the like.
    header: String,
    /// All after it.
    bare: String,
    nonce: String,
}

impl ClientFirst {
    /// `None` for what is not in the grammar, asks for channel binding, or acts as somebody else.
    pub(crate) fn parse(message: &[u8]) -> Option<ClientFirst> {
        let text = std::str::from_utf8(message).ok()?;
        let (binding, rest) = text.split_once(',')?;
        let (act_as, bare) = rest.split_once(',')?;
        if !matches!(binding, "n" | "y") {
            return None;
        }
        let mut attributes = bare.split(',');
        let user = name(attributes.next()?.strip_prefix("n=")?)?;
        let nonce = attributes.next()?.strip_prefix("r=")?;
        let is_nonce = !nonce.is_empty() && nonce.bytes().all(|byte| byte.is_ascii_graphic());
        let is_self = match act_as.strip_prefix("a=") {
            Some(act_as) => name(act_as)? == user,
            None => act_as.is_empty(),
        };
        if !is_nonce || !is_self || user.is_empty() {
            return None;
        }
        let header = text.get(..text.len() - bare.len())?.to_owned();
        Some(ClientFirst {
            user,
            header,
            bare: bare.to_owned(),
            nonce: nonce.to_owned(),
        })
    }
}

/// A `saslname`: `=2C` is a comma, `=3D` an equals sign, nothing else is escaped.
fn name(text: &str) -> Option<String> {
    let mut parts = text.split('=');
    let mut name = parts.next()?.to_owned();
    for part in parts {
        let (escaped, plain) = part.split_at_checked(2)?;
        name.push(match escaped {
            "2C" => ',',
            "3D" => '=',
            _ => return None,
        });
        name.push_str(plain);
    }
    Some(name)
}

/// A SCRAM exchange that waits for the client's proof.
pub(crate) struct Scram {
    first: ClientFirst,
    verifier: ScramVerifier,
    /// Whether the verifier is that of a user: without one no proof is right.
    is_known: bool,
    nonce: String,
    challenge: String,
}

impl Scram {
    /// Goes on with a verifier, or without one for a user who has none.
    pub(crate) fn new(
        first: ClientFirst,
        verifier: Option<ScramVerifier>,
        nonce: [u8; 24],
        secret: &[u8; 32],
    ) -> Scram {
        let is_known = verifier.is_some();
        let verifier = verifier.unwrap_or_else(|| unknown(&first.user, secret));
        let nonce = format!("{}{}", first.nonce, BASE64.encode(nonce));
        let salt = BASE64.encode(&verifier.salt);
        let challenge = format!("r={nonce},s={salt},i={}", verifier.iterations);
        Scram {
            first,
            verifier,
            is_known,
            nonce,
            challenge,
        }
    }

    /// What the server sends first.
    pub(crate) fn challenge(&self) -> &[u8] {
        self.challenge.as_bytes()
    }

    /// Checks the client's proof; what the server sends last, `None` if the proof is wrong.
    pub(crate) fn verify(&self, message: &[u8]) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(message).ok()?;
        let (unproved, proof) = text.rsplit_once(",p=")?;
        let mut attributes = unproved.split(',');
        let binding = attributes.next()?.strip_prefix("c=")?;
        let nonce = attributes.next()?.strip_prefix("r=")?;
        if BASE64.decode(binding).ok()? != self.first.header.as_bytes() || nonce != self.nonce {
            return None;
        }
        let proof: [u8; 32] = BASE64.decode(proof).ok()?.try_into().ok()?;
        let signed = format!("{},{},{unproved}", self.first.bare, self.challenge);
        let signature = hmac(&self.verifier.stored_key, &[signed.as_bytes()]);
        let key: [u8; 32] = std::array::from_fn(|at| proof[at] ^ signature[at]);
        let is_right: bool = Sha256::digest(key).ct_eq(&self.verifier.stored_key).into();
        let server = hmac(&self.verifier.server_key, &[signed.as_bytes()]);
        (is_right && self.is_known).then(|| format!("v={}", BASE64.encode(server)).into_bytes())
    }

    /// Who has logged in, once the proof was right.
    pub(crate) fn user(&self) -> &str {
        &self.first.user
    }
}

/// The verifier of a user who has none: always the same for a name.
fn unknown(user: &str, secret: &[u8; 32]) -> ScramVerifier {
    let derive = |purpose: &str| hmac(secret, &[purpose.as_bytes(), b"\0", user.as_bytes()]);
    let salt = bytes::Bytes::copy_from_slice(derive("salt").split_at(16).0);
    ScramVerifier {
        salt,
        iterations: limits::SCRAM_ITERATIONS,
        stored_key: derive("stored key"),
        server_key: derive("server key"),
    }
}

fn hmac(key: &[u8], message: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in message {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Decodes a response as it comes in IMAP; an empty one is `=` or nothing.
pub(crate) fn decode(base64: &[u8]) -> Option<Vec<u8>> {
    if base64 == b"=" {
        Some(Vec::new())
    } else {
        BASE64.decode(base64).ok()
    }
}

/// Encodes a challenge.
pub(crate) fn encode(challenge: &[u8]) -> String {
    BASE64.encode(challenge)
}

#[cfg(test)]
mod tests {
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
        let mut scram = Scram::new(first, Some(verifier), [0; 24], &[0; 32]);
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
            "p=tls-unique,,n=a,r=x",
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
            Scram::new(first, None, [1; 24], &[2; 32]).challenge
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
}
