//! Tokens of OAuth 2.0: JSON web tokens (RFC 7519) of an issuer whose keys are in files here.
//!
//! What is checked, in this order: that one of the keys has signed it, with the one algorithm that
//! is meant for that kind of key, whatever the token says of itself (RFC 8725 section 3.1); that it
//! is of our issuer and for us; that it is valid now; that it has the scopes; and whose it is.
//!
//! Nobody is asked: a token that was taken back is valid here until it expires.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use imap::backend::TokenError;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::limits::{TOKEN_CLOCK_SECS, TOKEN_KEY_BYTES};
use crate::config::OAuth;

/// Why a key cannot be used. Each names the file.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It holds something else.
    #[error("{}: {why}", path.display())]
    Unfit {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: &'static str,
    },
}

/// Decides about tokens. Clones share the keys.
#[derive(Clone)]
pub struct Tokens {
    config: OAuth,
    keys: Arc<ArcSwap<Vec<Key>>>,
}

struct Key {
    algorithm: Algorithm,
    key: DecodingKey,
}

/// What a token claims (RFC 7519 section 4.1).
#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    /// Seconds, which may have fractions.
    exp: f64,
    nbf: Option<f64>,
    /// RFC 8693 section 4.2.
    #[serde(default)]
    scope: String,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Tokens {
    /// Reads the keys; none if no tokens are taken.
    ///
    /// # Errors
    ///
    /// When a file is absent or is no public key.
    pub fn load(config: &OAuth) -> Result<Option<Self>, KeyError> {
        if config.keys.is_empty() {
            return Ok(None);
        }
        let keys = read_keys(&config.keys)?;
        Ok(Some(Self {
            config: config.clone(),
            keys: Arc::new(ArcSwap::from_pointee(keys)),
        }))
    }

    /// Reads the keys again every so often; never returns. Bad ones are refused, and the old ones
    /// stay.
    pub async fn watch(self, every: Duration) {
        let mut refused = String::new();
        loop {
            tokio::time::sleep(every).await;
            let paths = self.config.keys.clone();
            let read = tokio::task::spawn_blocking(move || read_keys(&paths)).await;
            match read {
                Ok(Ok(keys)) => {
                    self.keys.store(Arc::new(keys));
                    refused.clear();
                }
                Ok(Err(error)) if error.to_string() != refused => {
                    tracing::error!(%error, "keys of tokens refused; the old ones stay in use");
                    refused = error.to_string();
                }
                _ => {}
            }
        }
    }

    /// Whose a token is: the name of an account, perhaps of none that exists.
    ///
    /// # Errors
    ///
    /// When it is not to be believed, or does not allow to read mail.
    pub fn check(&self, token: &str, unix_seconds: u64) -> Result<String, TokenError> {
        let claims = self.signed(token).ok_or(TokenError::Invalid)?;
        let is_for_us = match &claims.aud {
            Audience::One(one) => *one == self.config.audience,
            Audience::Several(several) => several.contains(&self.config.audience),
        };
        let (now, clock) = (unix_seconds as f64, TOKEN_CLOCK_SECS as f64);
        let is_valid =
            now < claims.exp + clock && claims.nbf.is_none_or(|begin| begin <= now + clock);
        if claims.iss != self.config.issuer || !is_for_us || !is_valid {
            return Err(TokenError::Invalid);
        }
        let mut wanted = self.config.scope.split_ascii_whitespace();
        if !wanted.all(|scope| claims.scope.split(' ').any(|has| has == scope)) {
            return Err(TokenError::Scope);
        }
        let others = &claims.others;
        // An address that nobody has shown to be his is no name (OpenID Connect section 5.1).
        let is_unproved = others.get("email_verified").is_some_and(|shown| {
            !matches!(shown, Value::Bool(true)) && shown.as_str() != Some("true")
        });
        if self.config.user_claim == "email" && is_unproved {
            return Err(TokenError::Invalid);
        }
        let user = others.get(&self.config.user_claim).and_then(Value::as_str);
        user.filter(|user| !user.is_empty())
            .map(str::to_owned)
            .ok_or(TokenError::Invalid)
    }

    /// What a token claims that one of the keys has signed.
    fn signed(&self, token: &str) -> Option<Claims> {
        let keys = self.keys.load();
        keys.iter().find_map(|key| {
            let mut validation = Validation::new(key.algorithm);
            // The claims are looked at here, with the clock that the caller gives.
            validation.required_spec_claims.clear();
            validation.validate_exp = false;
            validation.validate_aud = false;
            let decoded = jsonwebtoken::decode::<Claims>(token, &key.key, &validation);
            decoded.ok().map(|decoded| decoded.claims)
        })
    }
}

fn read_keys(paths: &[PathBuf]) -> Result<Vec<Key>, KeyError> {
    paths.iter().map(|path| read_key(path)).collect()
}

/// One public key, PEM: its kind decides about the algorithm.
fn read_key(path: &Path) -> Result<Key, KeyError> {
    let read = || {
        if std::fs::metadata(path)?.len() > TOKEN_KEY_BYTES {
            return Err(std::io::Error::other("larger than any key"));
        }
        std::fs::read(path)
    };
    let pem = read().map_err(|source| KeyError::Read {
        path: path.to_owned(),
        source,
    })?;
    let unfit = |why| KeyError::Unfit {
        path: path.to_owned(),
        why,
    };
    if pem.windows(11).any(|window| window == b"PRIVATE KEY") {
        return Err(unfit("is a private key, which only the issuer may have"));
    }
    let kinds = [
        (Algorithm::RS256, DecodingKey::from_rsa_pem(&pem)),
        (Algorithm::ES256, DecodingKey::from_ec_pem(&pem)),
        (Algorithm::EdDSA, DecodingKey::from_ed_pem(&pem)),
    ];
    kinds
        .into_iter()
        .find_map(|(algorithm, key)| {
            let key = key.ok()?;
            Some(Key { algorithm, key })
        })
        .ok_or_else(|| unfit("is no public key of RSA, P-256 or Ed25519 as PEM"))
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, Header, encode};
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256};
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    /// An issuer with a key of each kind, and us who know them.
    struct Issuer {
        tokens: Tokens,
        keys: [(Algorithm, EncodingKey); 3],
        _dir: tempfile::TempDir,
    }

    fn issuer(change: impl FnOnce(&mut OAuth)) -> Issuer {
        let dir = tempfile::tempdir().unwrap();
        let mut paths = Vec::new();
        let kinds = [
            (Algorithm::RS256, &PKCS_RSA_SHA256),
            (Algorithm::ES256, &PKCS_ECDSA_P256_SHA256),
            (Algorithm::EdDSA, &PKCS_ED25519),
        ];
        let keys = kinds.map(|(algorithm, kind)| {
            let pair = KeyPair::generate_for(kind).unwrap();
            let path = dir.path().join(format!("{algorithm:?}.pem"));
            std::fs::write(&path, pair.public_key_pem()).unwrap();
            paths.push(path);
            let pem = pair.serialize_pem();
            let key = match algorithm {
                Algorithm::RS256 => EncodingKey::from_rsa_pem(pem.as_bytes()),
                Algorithm::ES256 => EncodingKey::from_ec_pem(pem.as_bytes()),
                _ => EncodingKey::from_ed_pem(pem.as_bytes()),
            };
            (algorithm, key.unwrap())
        });
        let mut config = OAuth {
            keys: paths,
            issuer: "https://id.example.org".to_owned(),
            audience: "mail".to_owned(),
            ..OAuth::default()
        };
        change(&mut config);
        let tokens = Tokens::load(&config).unwrap().unwrap();
        Issuer {
            tokens,
            keys,
            _dir: dir,
        }
    }

    impl Issuer {
        /// What comes of a good token that was changed in some claims; null takes one away.
        fn check(&self, changed: Value) -> Result<String, TokenError> {
            let token = signed(&self.keys[1], &claims(changed));
            self.tokens.check(&token, NOW)
        }
    }

    fn claims(changed: Value) -> Value {
        let mut claims = json!({
            "iss": "https://id.example.org",
            "aud": "mail",
            "exp": NOW + 600,
            "email": "alice@example.org",
            "sub": "4711",
        });
        for (name, value) in changed.as_object().unwrap() {
            match value {
                Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
                value => claims[name] = value.clone(),
            }
        }
        claims
    }

    fn signed((algorithm, key): &(Algorithm, EncodingKey), claims: &Value) -> String {
        encode(&Header::new(*algorithm), claims, key).unwrap()
    }

    fn alice() -> Result<String, TokenError> {
        Ok("alice@example.org".to_owned())
    }

    #[test]
    fn tokens_of_every_algorithm() {
        let issuer = issuer(|_| {});
        for key in &issuer.keys {
            let token = signed(key, &claims(json!({})));
            assert_eq!(issuer.tokens.check(&token, NOW), alice(), "{:?}", key.0);
            // A bit of the signature, and one of what is signed.
            let end = token.len() - 10;
            for at in [end, token.find('.').unwrap() + 5] {
                let mut bytes = token.clone().into_bytes();
                bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
                let forged = String::from_utf8(bytes).unwrap();
                assert_eq!(issuer.tokens.check(&forged, NOW), Err(TokenError::Invalid));
            }
        }
    }

    #[test]
    fn claims_that_are_wrong() {
        let issuer = issuer(|_| {});
        for good in [
            json!({"aud": ["other", "mail"]}),
            json!({"exp": NOW - TOKEN_CLOCK_SECS + 1}),
            json!({"exp": (NOW + 1) as f64 + 0.5}),
            json!({"nbf": NOW + TOKEN_CLOCK_SECS}),
            json!({"email_verified": true}),
        ] {
            assert_eq!(issuer.check(good.clone()), alice(), "{good}");
        }
        for bad in [
            json!({"iss": "https://id.example.net"}),
            json!({"iss": null}),
            json!({"aud": "mai"}),
            json!({"aud": ["other"]}),
            json!({"aud": null}),
            json!({"exp": NOW - TOKEN_CLOCK_SECS}),
            json!({"exp": null}),
            json!({"exp": "never"}),
            json!({"nbf": NOW + TOKEN_CLOCK_SECS + 1}),
            json!({"email": null}),
            json!({"email": ""}),
            json!({"email": 7}),
            json!({"email_verified": false}),
            json!({"email_verified": "no"}),
        ] {
            assert_eq!(issuer.check(bad.clone()), Err(TokenError::Invalid), "{bad}");
        }
    }

    #[test]
    fn scopes_and_names() {
        let issuer = issuer(|config| {
            config.scope = "mail profile".to_owned();
            config.user_claim = "sub".to_owned();
        });
        let all = json!({"scope": "profile x mail", "email_verified": false});
        assert_eq!(issuer.check(all), Ok("4711".to_owned()));
        for few in [
            json!({}),
            json!({"scope": "mail"}),
            json!({"scope": "mails profile"}),
        ] {
            assert_eq!(issuer.check(few), Err(TokenError::Scope));
        }
    }

    /// RFC 8725 sections 2.1 and 3.1: the algorithm is ours to choose.
    #[test]
    fn algorithms_are_not_the_tokens_choice() {
        let issuer = issuer(|_| {});
        let public = std::fs::read(&issuer.tokens.config.keys[0]).unwrap();
        let secret = EncodingKey::from_secret(&public).unwrap();
        let by_hmac = (Algorithm::HS256, secret);
        let by_rs512 = (Algorithm::RS512, issuer.keys[0].1.clone());
        for key in [by_hmac, by_rs512] {
            let token = signed(&key, &claims(json!({})));
            assert_eq!(issuer.tokens.check(&token, NOW), Err(TokenError::Invalid));
        }
        let good = signed(&issuer.keys[1], &claims(json!({})));
        let (_, rest) = good.split_once('.').unwrap();
        let payload = rest.split_once('.').unwrap().0;
        // {"alg":"none","typ":"JWT"}
        let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
        for bad in [
            format!("{none}.{payload}."),
            format!("{none}.{rest}"),
            payload.to_owned(),
            "..".to_owned(),
            String::new(),
            "x".repeat(8000),
        ] {
            assert_eq!(
                issuer.tokens.check(&bad, NOW),
                Err(TokenError::Invalid),
                "{bad}"
            );
        }
    }

    #[test]
    fn keys_that_are_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        let load = || {
            let config = OAuth {
                keys: vec![path.clone()],
                ..OAuth::default()
            };
            Tokens::load(&config).map(|_| ()).unwrap_err().to_string()
        };
        assert!(load().contains("cannot read"));
        let pair = KeyPair::generate().unwrap();
        std::fs::write(&path, pair.serialize_pem()).unwrap();
        assert!(load().contains("private key"));
        std::fs::write(&path, "-----BEGIN PUBLIC KEY-----\nAAAA\n").unwrap();
        assert!(load().contains("no public key"));
        assert!(Tokens::load(&OAuth::default()).unwrap().is_none());
    }
}
