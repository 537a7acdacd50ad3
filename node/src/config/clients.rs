//! What clients may show instead of a password or an address: tokens, and headers of a proxy.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Network;

/// Tokens of OAuth 2.0 that mail clients log in with (AUTH=OAUTHBEARER and AUTH=XOAUTH2): JSON web
/// tokens of one issuer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OAuth {
    /// The issuer's public keys, PEM, one a file: RSA (RS256), P-256 (ES256) or Ed25519 (EdDSA).
    /// Read again as often as certificates. Default none: no tokens are taken.
    pub keys: Vec<PathBuf>,
    /// What a token's `iss` must be. Must be set if there are keys.
    pub issuer: String,
    /// What must be among a token's `aud`. Must be set if there are keys: a token that was made for
    /// somebody else is not for us.
    pub audience: String,
    /// Which claim is the name of the account. Default `email`; that is not believed if the token
    /// says that it was not verified.
    pub user_claim: String,
    /// Scopes that a token must have, separated by spaces. Default none.
    pub scope: String,
    /// Where clients find the issuer, an https URL that they are told with a refusal (RFC 7628
    /// section 3.2.2). Default none.
    pub discovery: String,
}

impl Default for OAuth {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            issuer: String::new(),
            audience: String::new(),
            user_claim: "email".into(),
            scope: String::new(),
            discovery: String::new(),
        }
    }
}

/// Who may do more than others by IMAP.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Imap {
    /// Accounts whose users set the quotas of all (SETQUOTA, RFC 9208). Default none.
    pub quota_admins: Vec<String>,
}

/// Proxies before this node that tell from where their clients come.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Proxy {
    /// From where a header of the PROXY protocol, version 1 or 2, must begin each connection of
    /// IMAP and LMTP, in CIDR notation. Whoever is there can claim to be at any address. Default
    /// none.
    pub networks: Vec<Network>,
}

impl Proxy {
    /// Whether a connection from that address begins with a header.
    #[must_use]
    pub fn expects(&self, address: IpAddr) -> bool {
        self.networks
            .iter()
            .any(|network| network.contains(address))
    }
}
