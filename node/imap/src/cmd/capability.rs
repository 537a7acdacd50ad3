//! CAPABILITY, ID, ENABLE and NAMESPACE.

use bytes::Bytes;

use crate::backend::{Backend, ChannelBinding, Transport};
use crate::config::Config;
use crate::guest::OTHERS;
use crate::limits;
use crate::state::{Done, Result, Session};

/// What works whether or not somebody has logged in. None is listed before it works in full.
const ALWAYS: &[&str] = &[
    "IMAP4rev1",
    "IMAP4rev2",
    "LITERAL+",
    "SASL-IR",
    "ID",
    "ENABLE",
];

/// What works after login.
const LOGGED_IN: &[&str] = &[
    "IDLE",
    "NAMESPACE",
    "UNSELECT",
    "CHILDREN",
    "UIDPLUS",
    "MOVE",
    "SPECIAL-USE",
    "CREATE-SPECIAL-USE",
    "LIST-EXTENDED",
    "LIST-STATUS",
    "LIST-MYRIGHTS",
    "ACL",
    "RIGHTS=texk",
    "STATUS=SIZE",
    "CONDSTORE",
    "ESEARCH",
    "SEARCHRES",
    "WITHIN",
    "I18NLEVEL=1",
    "SORT",
    "SORT=DISPLAY",
    "ESORT",
    "THREAD=ORDEREDSUBJECT",
    "THREAD=REFERENCES",
    "THREAD=REFS",
    "PARTIAL",
    "CONTEXT=SEARCH",
    "MULTISEARCH",
    "SEARCH=FUZZY",
    "QRESYNC",
    "OBJECTID",
    "SAVEDATE",
    "UIDONLY",
    "UIDBATCHES",
    "UNAUTHENTICATE",
    "INPROGRESS",
    "QUOTA",
    "QUOTA=RES-STORAGE",
    "QUOTA=RES-MESSAGE",
    "QUOTA=RES-MAILBOX",
    "METADATA",
    "LIST-METADATA",
    "PREVIEW",
    "BINARY",
    "MULTIAPPEND",
    "CATENATE",
    "URL-PARTIAL",
    "REPLACE",
    "NOTIFY",
    "UTF8=ACCEPT",
];

/// How somebody may log in wherever a password may travel.
const PASSWORDS: &[&str] = &["AUTH=PLAIN", "AUTH=LOGIN", "AUTH=SCRAM-SHA-256"];

/// Whose capabilities they are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum User {
    /// Nobody has logged in.
    Nobody,
    /// Somebody has.
    Anybody,
    /// One who sets quotas.
    Administrator,
}

impl User {
    /// Who has logged in.
    pub(crate) fn of<B: Backend>(mail: &B) -> User {
        if mail.is_administrator() {
            User::Administrator
        } else {
            User::Anybody
        }
    }
}

/// The capabilities of this connection now. LITERAL- (RFC 7888 section 5) is not among them: a
/// server must not offer it beside LITERAL+, which allows all that it allows.
pub(crate) fn names<T: Transport>(transport: &T, config: &Config, user: User) -> Vec<String> {
    let is_logged_in = user != User::Nobody;
    let is_private = transport.is_tls() || transport.plain_login_allowed();
    let state: &[&str] = match (is_logged_in, is_private) {
        (true, _) => LOGGED_IN,
        (false, true) => PASSWORDS,
        (false, false) => &["LOGINDISABLED"],
    };
    let may_start_tls = !is_logged_in && !transport.is_tls() && transport.can_start_tls();
    let start_tls = may_start_tls.then_some("STARTTLS");
    let may_log_in = !is_logged_in && is_private;
    let plus = (may_log_in && binds_channel(transport)).then_some("AUTH=SCRAM-SHA-256-PLUS");
    let external = may_log_in && transport.certified_user().is_some();
    let tokens = may_log_in && config.tokens.is_some();
    let compress = is_logged_in && !transport.is_compressed();
    // One value for all mailboxes (RFC 7889 section 3.1).
    let append_limit = is_logged_in.then(|| format!("APPENDLIMIT={}", config.append_limit));
    ALWAYS
        .iter()
        .copied()
        .chain(start_tls)
        .chain(state.iter().copied())
        .chain(plus)
        .chain(external.then_some("AUTH=EXTERNAL"))
        .chain(tokens.then_some("AUTH=OAUTHBEARER"))
        .chain(tokens.then_some("AUTH=XOAUTH2"))
        .chain((user == User::Administrator).then_some("QUOTASET"))
        .chain(compress.then_some("COMPRESS=DEFLATE"))
        .map(str::to_owned)
        .chain(is_logged_in.then(|| message_limit(config)))
        .chain(append_limit)
        .collect()
}

/// How many messages one command may touch, or save if that is all that is limited (RFC 9738
/// section 3).
fn message_limit(config: &Config) -> String {
    let most = limits::SAVED_MESSAGES_MAX;
    match config.message_limit {
        Some(limit) => format!("MESSAGELIMIT={}", limit.clamp(1, most)),
        None => format!("SAVELIMIT={most}"),
    }
}

/// Whether SCRAM-SHA-256-PLUS is offered: a client that could bind the channel then does.
pub(crate) fn binds_channel<T: Transport>(transport: &T) -> bool {
    [
        ChannelBinding::TlsExporter,
        ChannelBinding::TlsServerEndPoint,
    ]
    .into_iter()
    .any(|kind| transport.channel_binding(kind).is_some())
}

impl<T: Transport, B: Backend> Session<'_, T, B> {
    pub(crate) fn capability(&mut self) -> Result<Done> {
        let names = names(self.conn.transport, self.conn.config, User::of(&self.home));
        self.conn.out.capability(names.iter().map(String::as_str));
        Ok(Done::text("CAPABILITY completed"))
    }

    pub(crate) fn id(&mut self, id: Option<&[(Bytes, Option<Bytes>)]>) -> Result<Done> {
        if let Some(id) = id {
            self.conn.transport.identified(id);
        }
        let config = self.conn.config;
        let version = config
            .server_version
            .as_deref()
            .map(|version| ("version", version));
        let name = ("name", config.server_name.as_str());
        let fields: Vec<_> = std::iter::once(name).chain(version).collect();
        self.conn.out.id(&fields);
        Ok(Done::text("ID completed"))
    }

    /// What is not known or cannot be enabled is passed over (RFC 5161 section 3.1).
    pub(crate) fn enable(&mut self, capabilities: &[String]) -> Result<Done> {
        let asks = |name: &str| capabilities.iter().any(|capability| capability == name);
        let condstore = asks("CONDSTORE") && !self.condstore;
        let qresync = asks("QRESYNC") && !self.qresync;
        let uid_only = asks("UIDONLY") && !self.uid_only;
        let utf8 = asks("UTF8=ACCEPT") && !self.utf8_accept;
        let rev2 = asks("IMAP4REV2") && !self.rev2;
        let new = [
            (condstore, "CONDSTORE"),
            (qresync, "QRESYNC"),
            (uid_only, "UIDONLY"),
            (utf8, "UTF8=ACCEPT"),
            (rev2, "IMAP4rev2"),
        ];
        let new = new.into_iter().filter(|(is_new, _)| *is_new);
        self.conn.out.enabled(new.map(|(_, name)| name));
        self.qresync |= qresync;
        if uid_only {
            self.uid_only = true;
            if let Some(selected) = &mut self.selected {
                selected.updates.name_by_uid();
            }
        }
        // QRESYNC switches CONDSTORE on as well (RFC 7162 section 3.2.3).
        if condstore || qresync {
            self.enable_condstore();
        }
        if utf8 {
            // Names of mailboxes go both ways in UTF-8 from now on (RFC 6855 section 3).
            self.utf8_accept = true;
            self.conn.out.set_utf8(true);
        }
        if rev2 {
            self.enable_rev2();
        }
        Ok(Done::text("ENABLE completed"))
    }

    pub(crate) fn namespace(&mut self) -> Result<Done> {
        self.conn.out.namespace(&[""], &[OTHERS], &[]);
        Ok(Done::text("NAMESPACE completed"))
    }
}
