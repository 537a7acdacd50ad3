//! What the operator decides for one listener.

use crate::{Error, limits};

/// The settings of a session. Made by [`Config::new`], then changed field by field; sessions of
/// one listener share it.
#[derive(Clone, Debug)]
pub struct Config {
    hostname: String,
    /// The largest message, in bytes, announced as SIZE. Default 50 MiB.
    pub size_bytes_max: u64,
    /// Whether STARTTLS is offered. Default no.
    pub starttls: bool,
    /// Whether the connection is encrypted from its first byte. Default no.
    pub tls: bool,
    /// Accepted recipients of one transaction. Default 1,000.
    pub recipients_max: usize,
    /// Protocol errors after which the connection is closed. Default 20.
    pub errors_max: u32,
    /// What a full mailbox is answered with. Default [`OverQuota::Retry`].
    pub over_quota: OverQuota,
    /// Whether QUIT is taken as a sign that the client has the replies ([`Event::Seen`]).
    /// Default no: Postfix sends QUIT right behind the final dot, before it has any reply.
    /// Say yes only if the loop pushes what waits in the socket before it answers with
    /// [`delivered`], so that such a QUIT is known for what it is.
    ///
    /// [`Event::Seen`]: crate::Event::Seen
    /// [`delivered`]: crate::Session::delivered
    pub seen_by_quit: bool,
}

/// What the sender of mail to a full mailbox is told.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OverQuota {
    /// 452 4.2.2: the MTA keeps the mail and tries again, for days.
    #[default]
    Retry,
    /// 552 5.2.2: the sender gets a bounce at once.
    Bounce,
}

impl Config {
    /// The defaults, with the name by which the server presents itself.
    ///
    /// # Errors
    /// [`Error::Hostname`] if the name could not stand in a reply or a header.
    pub fn new(hostname: &str) -> Result<Self, Error> {
        let fits = (1..=limits::DOMAIN_BYTES_MAX).contains(&hostname.len());
        if !fits || !hostname.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::Hostname);
        }
        Ok(Self {
            hostname: hostname.to_owned(),
            size_bytes_max: limits::MESSAGE_BYTES_DEFAULT,
            starttls: false,
            tls: false,
            recipients_max: limits::RECIPIENTS_DEFAULT,
            errors_max: limits::ERRORS_DEFAULT,
            over_quota: OverQuota::default(),
            seen_by_quit: false,
        })
    }

    /// The name in the greeting, the LHLO reply and the Received header.
    #[must_use]
    pub fn hostname(&self) -> &str {
        &self.hostname
    }
}
