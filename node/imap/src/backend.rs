//! What a session needs from the world: a connection, a way to log in, and an account's mail.
//!
//! ```text
//!   Transport   one client's connection, its clock and its timers
//!   Auth        who may log in; gives the account
//!   Backend     one account: queries, commands, hints of changes
//!   Content     its part for the bytes of messages alone
//! ```
//!
//! All are implemented by whoever owns sockets and the cluster, and by tests. Futures are
//! `Send`, so that a session can be spawned; none of them is polled after it was dropped, and a
//! session drops the futures of [`Transport::read`], [`Transport::read_command`] and
//! [`Backend::changed`] before they are ready.

use std::future::Future;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mailbox::{
    AccountId, Answer, Body, Command, Hash16, MailboxId, Millis, ModSeq, MoveId, NewBody, Outcome,
    Query, Rejection, Uid, UidRanges,
};

use crate::grammar::FetchItem;
use crate::guest::Guest;
use crate::mime::NeedleGrams;

/// One client's connection.
pub trait Transport: Send {
    /// A timer, see [`Transport::sleep`].
    type Sleep: Future<Output = ()> + Send;

    /// The next bytes, some [`crate::limits::READ_BYTES`] at most; `None` at the end of the stream.
    ///
    /// The implementer owes that a future which is dropped before it is ready has lost no byte, and
    /// an error of kind `TimedOut` after too long a silence: a minute before
    /// [`Transport::logged_in`], 30 minutes after it (RFC 3501 section 5.4).
    fn read(&mut self) -> impl Future<Output = io::Result<Option<Bytes>>> + Send;

    /// The same while no command is under way. The implementer owes also an error of kind
    /// `ConnectionAborted` as soon as the server is about to stop.
    fn read_command(&mut self) -> impl Future<Output = io::Result<Option<Bytes>>> + Send;

    /// Whether the server is about to stop: then no command is begun any more.
    fn is_closing(&self) -> bool;

    /// Sends bytes in order. It waits while the client does not read, but not for ever.
    fn write(&mut self, bytes: Bytes) -> impl Future<Output = io::Result<()>> + Send;

    /// Sends what `write` has kept back.
    fn flush(&mut self) -> impl Future<Output = io::Result<()>> + Send;

    /// Does the server's side of a TLS handshake. Bytes that were received before it are never
    /// returned by `read` after it.
    fn start_tls(&mut self) -> impl Future<Output = io::Result<()>> + Send;

    /// Whether the connection is encrypted.
    fn is_tls(&self) -> bool;

    /// Whether `start_tls` can be called.
    fn can_start_tls(&self) -> bool;

    /// Compresses with DEFLATE from the next byte on, both ways (RFC 4978).
    fn start_compression(&mut self);

    /// Whether `start_compression` was called.
    fn is_compressed(&self) -> bool;

    /// What identifies the TLS channel, if it is encrypted and can be told so.
    fn channel_binding(&self, kind: ChannelBinding) -> Option<Bytes>;

    /// Whom the certificate names that the client has shown, if it has shown one that is to be
    /// believed.
    fn certified_user(&self) -> Option<String>;

    /// Whether somebody may log in although the connection is not encrypted.
    fn plain_login_allowed(&self) -> bool;

    /// Tells that the client is somebody now: longer silences are allowed.
    fn logged_in(&mut self);

    /// Tells that the client is nobody again, as before [`Transport::logged_in`].
    fn logged_out(&mut self);

    /// Tells what the client says of itself (RFC 2971): field names and values, any bytes. It is
    /// for logs and figures and nothing else (section 1).
    fn identified(&mut self, id: &[(Bytes, Option<Bytes>)]);

    /// Unix time.
    fn now(&self) -> Millis;

    /// A timer that is ready after this time.
    fn sleep(&self, time: Duration) -> Self::Sleep;
}

/// What identifies a TLS channel to both of its ends, so that nobody can stand between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelBinding {
    /// `tls-exporter` (RFC 9266): a secret of this very connection.
    TlsExporter,
    /// `tls-server-end-point` (RFC 5929 section 4): the hash of the server's certificate.
    TlsServerEndPoint,
}

/// Who may log in.
pub trait Auth: Send + Sync {
    /// What a login gives.
    type Account: Backend;

    /// Checks a user's password. Takes equally long whether or not there is such a user.
    fn login(
        &self,
        user: &str,
        password: &str,
    ) -> impl Future<Output = Result<Self::Account, LoginError>> + Send;

    /// What is kept of a user's password for SCRAM-SHA-256; `None` if there is no such user or
    /// nothing is kept. The session then goes on with a verifier that no password fits, made from
    /// the name as it is written: where a user has several spellings, one that is the same for all
    /// of them is to be given here.
    fn scram_verifier(
        &self,
        user: &str,
    ) -> impl Future<Output = Result<Option<ScramVerifier>, LoginError>> + Send;

    /// The account of whoever a token of OAuth 2.0 was issued for (RFC 6750). If `user` is given
    /// it must be the same one.
    fn bearer(
        &self,
        user: Option<&str>,
        token: &str,
    ) -> impl Future<Output = Result<Self::Account, TokenError>> + Send;

    /// The account of a user who has proved by SCRAM that he knows the password.
    fn account(&self, user: &str)
    -> impl Future<Output = Result<Self::Account, LoginError>> + Send;

    /// The account of a user who has proved who he is by a certificate. That says nothing about
    /// logins of others on the same connection.
    fn certified(
        &self,
        user: &str,
    ) -> impl Future<Output = Result<Self::Account, LoginError>> + Send;

    /// Tells of a SCRAM proof that was wrong, so that it can be counted like a wrong password.
    fn scram_failed(&self, user: &str) -> impl Future<Output = ()> + Send;

    /// Tells that no proof comes in the exchange that began with [`Auth::scram_verifier`].
    fn scram_given_up(&self);

    /// Random bytes, new with each call.
    fn nonce(&self) -> [u8; 24];

    /// A secret that is the same on all nodes and stays so. The salts of users who do not exist are
    /// made from it, so that they look like anybody's.
    fn salt_secret(&self) -> [u8; 32];
}

/// What a server keeps for SCRAM-SHA-256 (RFC 5802 section 3).
#[derive(Clone, PartialEq, Eq)]
pub struct ScramVerifier {
    /// The salt.
    pub salt: Bytes,
    /// Rounds of PBKDF2.
    pub iterations: u32,
    /// `StoredKey`
    pub stored_key: [u8; 32],
    /// `ServerKey`
    pub server_key: [u8; 32],
}

impl std::fmt::Debug for ScramVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ScramVerifier({} iterations)", self.iterations)
    }
}

/// Why nobody was logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// User or password are wrong, and it is not said which.
    #[error("authentication failed")]
    Denied,
    /// The password is right, and an administrator has locked the account.
    #[error("account is locked")]
    Locked,
    /// Too many connections of this user or address.
    #[error("too many connections")]
    TooMany,
    /// Too many logins of this user or address have failed: nothing was checked.
    #[error("too many failed logins")]
    Penalty,
    /// It cannot be told now.
    #[error("not available now")]
    Unavailable,
}

/// Why a token was not taken (RFC 6750 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is malformed, not signed by whom we trust, not for us, expired, or of nobody here.
    #[error("invalid_token")]
    Invalid,
    /// It does not allow to read mail.
    #[error("insufficient_scope")]
    Scope,
    /// It is another user's.
    #[error("the token is another user's")]
    OtherUser,
    /// It was not looked at.
    #[error(transparent)]
    Login(#[from] LoginError),
}

/// The bytes of messages, and what was worked out of them.
pub trait Content: Sync {
    /// Bytes of a body, at most [`crate::limits::PIECE_BYTES`] are asked for at once. The answer
    /// has exactly as many as were asked for.
    fn body(
        &self,
        body: &Body,
        range: Range<u64>,
    ) -> impl Future<Output = Result<Bytes, BackendError>> + Send;

    /// What an item of FETCH is of a body, if that is remembered.
    fn derived(&self, key: &DerivedKey) -> Option<Bytes>;

    /// Remembers it, for as long as there is room. [`DerivedKey::names_bytes`] are to be counted.
    fn keep_derived(&self, key: DerivedKey, value: Bytes);
}

/// The mail of one account, one's own or another's as far as its owner lets the user. Clones are
/// the same mail. All calls of a session come one after the other, except that
/// [`Backend::changed`] is dropped when something else happens first.
pub trait Backend: Content + Clone + Send + Sync {
    /// A message that is on its way in.
    type Upload: Send;

    /// A message that is whole and not appended yet.
    type Arrived: Send + Sync;

    /// Whose mail it is.
    fn account(&self) -> AccountId;

    /// The name of its user, as others write it.
    fn user(&self) -> impl Future<Output = Result<String, BackendError>> + Send;

    /// The account of a user, and his name as others write it; `None` if there is no such user.
    fn find_user(
        &self,
        name: &str,
    ) -> impl Future<Output = Result<Option<(AccountId, String)>, BackendError>> + Send;

    /// The mail of the user who is called exactly so, as it is to whoever uses this; `None` if
    /// there is no such user. What is asked of it and done there goes through [`Backend::guest`].
    fn of(&self, user: &str) -> impl Future<Output = Result<Option<Self>, BackendError>> + Send;

    /// The mail of all others who may have given the user rights, or anyone.
    fn sharing(&self) -> impl Future<Output = Result<Vec<Self>, BackendError>> + Send;

    /// Who they are, and their names as others write them.
    fn sharing_users(
        &self,
    ) -> impl Future<Output = Result<Vec<(AccountId, String)>, BackendError>> + Send;

    /// Lets the account be among the [`Backend::sharing`] of a user, or of anyone (0). To be called
    /// before he is given rights.
    fn share_with(&self, user: AccountId) -> impl Future<Output = Result<(), BackendError>> + Send;

    /// Who the user is in the account of another; `None` in his own.
    fn guest(&self) -> Option<&Guest>;

    /// Reads, seeing all that was answered to anybody before.
    fn read(&self, query: Query) -> impl Future<Output = Result<Answer, BackendError>> + Send;

    /// Reads from where it costs least, if all changes of the account up to `at_least` are seen
    /// there; otherwise as [`Backend::read`]. What others were answered since may be missing.
    fn read_near(
        &self,
        query: Query,
        at_least: ModSeq,
    ) -> impl Future<Output = Result<Answer, BackendError>> + Send;

    /// An id for a move that no other one has.
    fn new_move(&self) -> MoveId;

    /// Changes something, at most once; exactly once if it answers.
    fn propose(
        &self,
        command: Command,
    ) -> impl Future<Output = Result<Outcome, BackendError>> + Send;

    /// Tells which bodies will be asked for next, in that order, and of each how many bytes from
    /// its beginning, so that they can be read together. Answers for how many of them that was
    /// done, at least one; the rest is to be told again later. Nothing depends on it.
    fn read_ahead(&self, wanted: &[(Body, u64)]) -> impl Future<Output = usize> + Send;

    /// Whether the user may set quotas, his own and those of others (RFC 9208 section 4.1.3).
    fn is_administrator(&self) -> bool;

    /// All mail of a user, as to himself, if there is such a user: for an administrator.
    fn administered(
        &self,
        user: &str,
    ) -> impl Future<Output = Result<Option<Self>, BackendError>> + Send;

    /// Waits until there is room for work that nobody waits for, of about a message; the room is
    /// held until what is returned is dropped. By default there always is.
    fn spare(&self) -> impl Future<Output = Box<dyn Send + Sync>> + Send {
        let room: Box<dyn Send + Sync> = Box::new(());
        std::future::ready(room)
    }

    /// For each of some texts, messages of a mailbox of which it is certain that they lack it, so
    /// that they need not be read: some of them or none. By default there is no index.
    fn lacking(
        &self,
        mailbox: MailboxId,
        texts: Vec<NeedleGrams>,
    ) -> impl Future<Output = Vec<UidRanges>> + Send {
        let _ = (mailbox, texts);
        std::future::ready(Vec::new())
    }

    /// Begins a message for APPEND; an error refuses it before it is sent. Dropping it gives the
    /// message up.
    fn upload(&self) -> Result<Self::Upload, BackendError>;

    /// The next bytes of the message.
    fn upload_put(
        &self,
        upload: &mut Self::Upload,
        bytes: Bytes,
    ) -> impl Future<Output = Result<(), BackendError>> + Send;

    /// All bytes of the message were put. `apart` says that they must go ahead of the command,
    /// because others may ride with it; they may still be on their way when this returns. Dropping
    /// it gives the message up.
    fn upload_end(
        &self,
        upload: Self::Upload,
        apart: bool,
    ) -> impl Future<Output = Result<Self::Arrived, BackendError>> + Send;

    /// Waits for what goes ahead of the command, and says how that names the message.
    fn arrived_body(
        &self,
        arrived: &mut Self::Arrived,
    ) -> impl Future<Output = Result<NewBody, BackendError>> + Send;

    /// Like [`Backend::propose`], with the messages that the command names; all but one at most
    /// went ahead.
    fn append(
        &self,
        command: Command,
        arrived: Vec<Self::Arrived>,
    ) -> impl Future<Output = Result<Outcome, BackendError>> + Send;

    /// From which UID on messages are recent for a session that asks now. From then on, those below
    /// `claim_below` are recent for nobody else; [`Uid`] 0 claims nothing.
    fn recent_from(
        &self,
        mailbox: MailboxId,
        claim_below: Uid,
    ) -> impl Future<Output = Result<Uid, BackendError>> + Send;

    /// Becomes ready when something in the account may have changed since it was ready last, now
    /// and then also without a reason. Dropping it before forgets nothing.
    fn changed(&self) -> impl Future<Output = ()> + Send;
}

/// An item of FETCH, of messages with a certain body.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DerivedKey {
    /// The hash of the body.
    pub hash: Hash16,
    /// Its length in bytes.
    pub length: u64,
    /// The item. Its value does not depend on what stands before the body.
    pub item: Arc<FetchItem>,
}

impl DerivedKey {
    /// About what the names of header fields take that the item holds, in bytes: whoever remembers
    /// it has to count them.
    pub fn names_bytes(&self) -> usize {
        /// What holds a name, and the allocation of its bytes.
        const EACH: usize = size_of::<Bytes>() + 32;
        let names = self.item.field_names().iter();
        names.map(|name| EACH + name.len()).sum()
    }
}

/// Why the backend did not do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// Nothing was done; it may work later.
    #[error("not available now")]
    Unavailable,
    /// It may or may not have been done: whoever says NO now would claim that it was not.
    #[error("the outcome is not known")]
    Unknown,
    /// The mailbox is gone.
    #[error("no such mailbox")]
    NoMailbox,
    /// The user has not been given the right; nothing was done.
    #[error("no right")]
    NoRight,
    /// The account is gone.
    #[error("no such account")]
    Gone,
    /// The disks are nearly full: nothing is added, and nothing was done.
    #[error("the disks are nearly full")]
    NoSpace,
    /// The command is larger than the store takes; nothing was done.
    #[error("too much at once")]
    TooLarge,
    /// It was refused, and nothing was done.
    #[error("{0}")]
    Rejected(#[from] Rejection),
    /// What is stored cannot be read, or the backend has a bug.
    #[error("the mail store is broken")]
    Broken,
}
