//! The server's side of SASL: PLAIN (RFC 4616), SCRAM-SHA-256 and -PLUS (RFC 5802, RFC 7677), and
//! tokens of OAuth 2.0 (RFC 7628).
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
use crate::config::TokenService;
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
    binding: Binding,
}

/// What a client says of binding the channel: the first field of the GS2 header (RFC 5801 section
/// 4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Binding {
    /// It cannot.
    None,
    /// It could and believes that the server cannot.
    NotOffered,
    /// It does, in the way that has this name.
    Bound(String),
}

impl Binding {
    fn parse(text: &str) -> Option<Binding> {
        Some(match text {
            "n" => Binding::None,
            "y" => Binding::NotOffered,
            _ => Binding::Bound(text.strip_prefix("p=")?.to_owned()),
        })
    }
}

impl ClientFirst {
    /// `None` for what is not in the grammar, or acts as somebody else.
    pub(crate) fn parse(message: &[u8]) -> Option<ClientFirst> {
        let text = std::str::from_utf8(message).ok()?;
        let (binding, rest) = text.split_once(',')?;
        let (act_as, bare) = rest.split_once(',')?;
        let binding = Binding::parse(binding)?;
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
            binding,
        })
    }

    /// Whether the client binds the channel, and how.
    pub(crate) fn binding(&self) -> Binding {
        self.binding.clone()
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
    /// The GS2 header, and what identifies the channel.
    bound: Vec<u8>,
    nonce: String,
    challenge: String,
}

impl Scram {
    /// Goes on with a verifier, or without one for a user who has none. `channel` is what
    /// identifies the channel if it is bound, and else empty.
    pub(crate) fn new(
        first: ClientFirst,
        channel: &[u8],
        verifier: Option<ScramVerifier>,
        nonce: [u8; 24],
        secret: &[u8; 32],
    ) -> Scram {
        let is_known = verifier.is_some();
        let verifier = verifier.unwrap_or_else(|| unknown(&first.user, secret));
        let nonce = format!("{}{}", first.nonce, BASE64.encode(nonce));
        let salt = BASE64.encode(&verifier.salt);
        let challenge = format!("r={nonce},s={salt},i={}", verifier.iterations);
        let bound = [first.header.as_bytes(), channel].concat();
        Scram {
            bound,
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
        if BASE64.decode(binding).ok()? != self.bound || nonce != self.nonce {
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

/// A token of OAuth 2.0 as it comes in OAUTHBEARER (RFC 7628) and XOAUTH2.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Bearer<'a> {
    /// Whom the client wants to be; who the token says if it does not say.
    pub(crate) user: Option<&'a str>,
    /// Empty if the client has none.
    pub(crate) token: &'a str,
}

impl<'a> Bearer<'a> {
    /// Reads `n,a=user,^Ahost=h^Aport=143^Aauth=Bearer token^A^A` (RFC 7628 section 3.1), `^A`
    /// being a byte of value 1. Host and port are what the client believes, and mean nothing.
    pub(crate) fn parse(message: &'a [u8]) -> Option<Bearer<'a>> {
        let text = std::str::from_utf8(message).ok()?;
        let (header, pairs) = text.split_once('\x01')?;
        let (binding, act_as) = header.strip_suffix(',')?.split_once(',')?;
        if !matches!(binding, "n" | "y") {
            return None;
        }
        // A name with escapes is the name of nobody.
        let user = match act_as {
            "" => None,
            _ => Some(act_as.strip_prefix("a=").filter(|user| !user.is_empty())?),
        };
        let token = bearer(pairs, |key| {
            !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphabetic())
        })?;
        Some(Bearer { user, token })
    }

    /// Reads `user=name^Aauth=Bearer token^A^A`, which came before there was a standard.
    pub(crate) fn parse_xoauth2(message: &'a [u8]) -> Option<Bearer<'a>> {
        let text = std::str::from_utf8(message).ok()?;
        let (user, pairs) = text.strip_prefix("user=")?.split_once('\x01')?;
        let token = bearer(pairs, |key| key == "auth")?;
        let user = Some(user).filter(|user| !user.is_empty())?;
        Some(Bearer {
            user: Some(user),
            token,
        })
    }
}

/// The token in `key=value^A .. ^A`; the scheme in any case (RFC 7235 section 2.1). An empty one is
/// how a client asks where a token is to be had (RFC 7628 section 4.3).
fn bearer(pairs: &str, is_key: impl Fn(&str) -> bool) -> Option<&str> {
    let pairs = pairs.strip_suffix("\x01\x01")?;
    let mut token = None;
    for pair in pairs.split('\x01') {
        let (key, value) = pair.split_once('=')?;
        if !is_key(key) {
            return None;
        }
        if !key.eq_ignore_ascii_case("auth") {
            continue;
        }
        if token.is_some() {
            return None;
        }
        token = Some(match value {
            "" => "",
            value => {
                let (scheme, value) = value.split_once(' ')?;
                let value = value.trim_start_matches(' ');
                let is_token = value.bytes().all(|byte| byte.is_ascii_graphic());
                if value.is_empty() || !is_token || !scheme.eq_ignore_ascii_case("Bearer") {
                    return None;
                }
                value
            }
        });
    }
    token
}

/// What a client hears of a token that was not taken (RFC 7628 section 3.2.2).
pub(crate) fn refused_bearer(tokens: &TokenService, status: &str) -> String {
    let mut json = format!("{{\"status\":{}", json_string(status));
    if !tokens.scope.is_empty() {
        json.push_str(&format!(",\"scope\":{}", json_string(&tokens.scope)));
    }
    if let Some(discovery) = &tokens.discovery {
        let url = json_string(discovery);
        json.push_str(&format!(",\"openid-configuration\":{url}"));
    }
    json + "}"
}

/// The same for XOAUTH2, whose clients look for the status of HTTP.
pub(crate) fn refused_xoauth2(tokens: &TokenService, status: &str) -> String {
    let status = match status {
        "invalid_request" => "400",
        "insufficient_scope" => "403",
        _ => "401",
    };
    let scope = json_string(&tokens.scope);
    format!("{{\"status\":\"{status}\",\"schemes\":\"bearer\",\"scope\":{scope}}}")
}

/// A string of JSON (RFC 8259 section 7).
fn json_string(text: &str) -> String {
    let mut json = String::from('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => json.extend(['\\', char]),
            char if char.is_control() => json.push_str(&format!("\\u{:04x}", char as u32)),
            char => json.push(char),
        }
    }
    json.push('"');
    json
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
mod tests;
