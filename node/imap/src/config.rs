//! What an operator may choose about IMAP sessions.

use std::time::Duration;

/// Settings of all sessions of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Who greets and what ID tells: a name without spaces is best. Default `Rookery`.
    pub server_name: String,
    /// The version that ID tells after login; `None` tells none, the default.
    pub server_version: Option<String>,
    /// Bytes that one appended message may have. Default 50 MiB, at most 256 MiB.
    pub append_limit: u64,
    /// Messages that one command may touch (MESSAGELIMIT, RFC 9738), at most
    /// [`crate::limits::SAVED_MESSAGES_MAX`]; the RFC advises 1,000 at least, since clients that do
    /// not know it see no more of a mailbox. `None` for no limit, the default.
    pub message_limit: Option<u32>,
    /// A client that idles hears something so often, so that routers in between do not forget the
    /// connection. Default 2 minutes.
    pub idle_keepalive: Duration,
    /// Tokens of OAuth 2.0 (AUTH=OAUTHBEARER and AUTH=XOAUTH2); `None` takes none, the default.
    pub tokens: Option<TokenService>,
}

/// Where clients get tokens; told to one whose token was not taken (RFC 7628 section 3.2.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenService {
    /// The URL of the discovery document (RFC 8414), if there is one.
    pub discovery: Option<String>,
    /// Scopes that a token must have, separated by spaces; empty for any.
    pub scope: String,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            server_name: "Rookery".to_owned(),
            server_version: None,
            append_limit: 50 << 20,
            message_limit: None,
            idle_keepalive: Duration::from_secs(120),
            tokens: None,
        }
    }
}
