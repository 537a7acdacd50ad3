//! A session's state, and how a command ends.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use mailbox::{
    Answer, Command, MailboxId, Outcome, Query, Rejection, Reply, Rights, Uid, UidRanges,
    UidValidity,
};

use crate::backend::{Backend, BackendError, LoginError, Transport};
use crate::cmd::fetch::beforehand::Usual;
use crate::cmd::notify::{Arrivals, Watch};
use crate::cmd::progress::{Progress, Tally};
use crate::cmd::search::Updates;
use crate::connection::Connection;
use crate::grammar::ValidIn;
use crate::mime::Structure;
use crate::respond::Code;
use crate::view::View;

/// A session of a client that is logged in.
pub(crate) struct Session<'a, T, B> {
    pub(crate) conn: Connection<'a, T>,
    /// One's own mail.
    pub(crate) home: B,
    /// Whose mailbox is selected; one's own if none is.
    pub(crate) opened: B,
    /// Whose mail the command at hand is about (`cmd/others.rs`).
    pub(crate) backend: B,
    /// The mailbox that is selected, if one is.
    pub(crate) selected: Option<Selected>,
    /// Whether the client has shown that it knows mod-sequences (RFC 7162 section 3.1). Never
    /// switched off again.
    pub(crate) condstore: bool,
    /// Whether QRESYNC is enabled (RFC 7162 section 3.2.3); then `condstore` is as well.
    pub(crate) qresync: bool,
    /// Whether UIDONLY is enabled (RFC 9586): no sequence number is told or taken.
    pub(crate) uid_only: bool,
    /// Whether UTF8=ACCEPT is enabled (RFC 6855): messages may be in UTF-8, and names are.
    pub(crate) utf8_accept: bool,
    /// Whether IMAP4rev2 is enabled (RFC 9051).
    pub(crate) rev2: bool,
    /// What the client wants to hear of, once it has used NOTIFY (RFC 5465).
    pub(crate) notify: Option<Box<Watch<B>>>,
    /// What it asks for of messages.
    pub(crate) usual: Usual,
    /// Bad commands since the last good one.
    pub(crate) bad_in_a_row: u32,
    /// Structures of messages that were long to scan, the newest last.
    pub(crate) structures: Vec<KeptStructure>,
    /// What is told of a command that takes long.
    pub(crate) progress: Progress,
}

/// The mailbox that is selected. A rename does not end it, so its name is not kept.
pub(crate) struct Selected {
    pub(crate) mailbox: MailboxId,
    /// It has another one when it was deleted and restored meanwhile.
    pub(crate) uid_validity: UidValidity,
    /// Whether it was opened by EXAMINE, or may only be read.
    pub(crate) read_only: bool,
    /// Whether it was opened by EXAMINE.
    pub(crate) examined: bool,
    /// What the user may do in a mailbox of another.
    pub(crate) guest: Option<Rights>,
    pub(crate) view: View,
    /// Whether changes are to be read although no hint says so.
    pub(crate) is_stale: bool,
    /// Searches whose results the client wants to hear more of.
    pub(crate) updates: Box<Updates>,
    /// Messages that have arrived, as far as more than their number is to be told of them.
    pub(crate) arrivals: Box<Arrivals>,
    /// New messages that the client was told of and has not asked for.
    pub(crate) fresh: UidRanges,
    /// Keywords that the client was told of.
    pub(crate) keywords: Vec<String>,
}

/// A structure that is kept for the next command.
pub(crate) struct KeptStructure {
    pub(crate) uid: Uid,
    pub(crate) structure: Arc<Structure>,
}

/// What goes into the tagged OK of a command that was done.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<Code>,
    pub(crate) text: &'static str,
}

impl Done {
    pub(crate) fn text(text: &'static str) -> Done {
        Done { code: None, text }
    }
}

/// What a handler of a command returns.
pub(crate) type Result<T> = std::result::Result<T, Stop>;

/// Why a command was not done.
#[derive(Debug)]
pub(crate) enum Stop {
    /// A tagged NO.
    No(Option<Code>, Cow<'static, str>),
    /// A tagged BAD.
    Bad(&'static str),
    /// A tagged BAD with a response code.
    BadCode(Code, &'static str),
    /// The client is nobody again; it was told so.
    Unauthenticated,
    /// The connection is closed without a tagged response, perhaps after a BYE.
    Close(End, Option<(Option<Code>, &'static str)>),
}

/// How a session ended.
#[derive(Debug)]
pub enum End {
    /// The client said LOGOUT.
    LoggedOut,
    /// The client closed the connection.
    PeerClosed,
    /// The client was silent for too long.
    TimedOut,
    /// The server is about to stop.
    Closing,
    /// The client broke the protocol too often or too grossly.
    Refused,
    /// The mailbox or the account that it used is gone.
    Gone,
    /// The outcome of a command is not known, so that no answer to it would be true.
    OutcomeUnknown,
    /// The mail store failed in the middle of a response.
    Interrupted,
    /// The connection failed.
    Failed(io::Error),
}

impl Stop {
    pub(crate) fn no(code: Code, text: &'static str) -> Stop {
        Stop::No(Some(code), Cow::Borrowed(text))
    }

    /// Closes the connection of a client that does not keep to the protocol.
    pub(crate) fn bye(text: &'static str) -> Stop {
        Stop::Close(End::Refused, Some((None, text)))
    }

    /// A failure after a response was begun: what was sent cannot be taken back.
    pub(crate) fn in_response(self) -> Stop {
        match self {
            Stop::Close(..) | Stop::Unauthenticated => self,
            Stop::No(..) | Stop::Bad(_) | Stop::BadCode(..) => Stop::Close(End::Interrupted, None),
        }
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::Close(End::Failed(error), None)
    }
}

/// The one place that says what a client hears when the backend fails.
impl From<BackendError> for Stop {
    fn from(error: BackendError) -> Stop {
        match error {
            // RFC 5530 section 3: it passes, and is not the user's quota.
            BackendError::NoSpace => Stop::no(
                Code::Unavailable,
                "The server's disk is nearly full, nothing can be added now",
            ),
            BackendError::Unavailable => Stop::no(Code::Unavailable, "Not now, try again later"),
            // RFC 5530 section 3: a limit on one operation.
            BackendError::TooLarge => Stop::no(Code::Limit, "Too much at once"),
            BackendError::Unknown => Stop::Close(End::OutcomeUnknown, None),
            BackendError::NoMailbox => Rejection::NoMailbox.into(),
            BackendError::NoRight => Rejection::NoRight.into(),
            BackendError::Gone => Stop::Close(
                End::Gone,
                Some((None, "The account has been deleted or moved")),
            ),
            BackendError::Rejected(rejection) => rejection.into(),
            BackendError::Broken => Stop::no(Code::ServerBug, "Internal error, please report it"),
        }
    }
}

/// The one place that says what a client hears when the machine refuses.
impl From<Rejection> for Stop {
    fn from(rejection: Rejection) -> Stop {
        let (code, text) = match rejection {
            Rejection::NoAccount => return BackendError::Gone.into(),
            Rejection::NoMailbox => (Code::NonExistent, "There is no such mailbox"),
            Rejection::NoRight => (Code::NoPerm, "You have not been given the right"),
            Rejection::NoMessage => (Code::ExpungeIssued, "The message is gone"),
            Rejection::Exists => (Code::AlreadyExists, "There is such a mailbox already"),
            Rejection::NotPermitted => (Code::Cannot, "This mailbox cannot be changed so"),
            Rejection::NameInvalid => (Code::Cannot, "No mailbox can have this name"),
            Rejection::OverQuota => (Code::OverQuota, "Quota exceeded"),
            Rejection::TooMany => (Code::Limit, "Too many messages at once"),
            Rejection::NoUpload => (Code::Unavailable, "The upload was lost, try again"),
            Rejection::UploadLimit => (Code::Limit, "Too much is being uploaded"),
            Rejection::KeywordLimit => (Code::Limit, "Too many keywords, or one is too long"),
            Rejection::MailboxLimit => (Code::Limit, "Too many mailboxes"),
            Rejection::BeingMoved => (Code::InUse, "They are being moved to another user"),
            Rejection::MoveLimit => (Code::Limit, "Too many moves are not finished yet"),
            Rejection::GrantLimit => (Code::Limit, "Too many have rights on this mailbox"),
            Rejection::MetadataLimit => (Code::MetadataTooMany, "Too many or too long annotations"),
            Rejection::MailboxFull => (Code::Limit, "The mailbox cannot take more messages"),
            Rejection::SequenceUsed | Rejection::Invalid => {
                (Code::ServerBug, "Internal error, please report it")
            }
        };
        Stop::no(code, text)
    }
}

impl From<LoginError> for Stop {
    fn from(error: LoginError) -> Stop {
        match error {
            LoginError::Denied => Stop::no(Code::AuthenticationFailed, "Authentication failed"),
            LoginError::Locked => Stop::no(Code::ContactAdmin, "The account is locked"),
            LoginError::TooMany => Stop::no(Code::Limit, "Too many connections"),
            LoginError::Penalty => Stop::no(Code::Limit, "Too many failed logins, try again later"),
            LoginError::Unavailable => Stop::no(Code::Unavailable, "Not now, try again later"),
        }
    }
}

/// A name or an argument that cannot be.
impl From<crate::Error> for Stop {
    fn from(error: crate::Error) -> Stop {
        match error {
            crate::Error::Syntax(text) => Stop::Bad(text),
            crate::Error::TooBig(text) => Stop::no(Code::TooBig, text),
            crate::Error::Name(text) => Stop::no(Code::Cannot, text),
            crate::Error::Fatal(text) => Stop::bye(text),
        }
    }
}

impl<T: Transport, B: Backend> Session<'_, T, B> {
    /// Whether a command that is valid in these states is valid now; if not, why.
    pub(crate) fn allows(&self, valid_in: ValidIn) -> Result<()> {
        match valid_in {
            ValidIn::Any | ValidIn::Authenticated => Ok(()),
            ValidIn::NotAuthenticated => Err(Stop::Bad("You are logged in already")),
            ValidIn::Selected if self.selected.is_some() => Ok(()),
            ValidIn::Selected => Err(Stop::Bad("Select a mailbox first")),
        }
    }

    /// The mailbox that is selected.
    pub(crate) fn selected(&mut self) -> Result<&mut Selected> {
        self.selected
            .as_mut()
            .ok_or(Stop::Bad("Select a mailbox first"))
    }

    /// The mailbox that is selected, if it may be changed.
    pub(crate) fn writable(&mut self) -> Result<&mut Selected> {
        let selected = self.selected()?;
        if selected.read_only {
            return Err(Stop::no(
                Code::ReadOnly,
                "The mailbox was opened to be read only",
            ));
        }
        Ok(selected)
    }

    /// Asks the backend, and picks what is wanted out of its answer.
    pub(crate) async fn ask<A>(
        &mut self,
        query: Query,
        pick: impl FnOnce(Answer) -> Option<A>,
    ) -> Result<A> {
        let answer = self.backend.read(query).await?;
        pick(answer).ok_or_else(|| BackendError::Broken.into())
    }

    /// The same of the selected mailbox, as new as it must be.
    pub(crate) async fn ask_selected<A>(
        &mut self,
        reading: Reading,
        query: Query,
        pick: impl FnOnce(Answer) -> Option<A>,
    ) -> Result<A> {
        if reading == Reading::Latest {
            return self.ask(query, pick).await;
        }
        let seen = self.selected()?.view.seen();
        let answer = self.backend.read_near(query, seen).await?;
        pick(answer).ok_or_else(|| BackendError::Broken.into())
    }

    /// Has the backend do something, and returns its reply.
    pub(crate) async fn change(&mut self, command: Command) -> Result<Reply> {
        let adds = matches!(command, Command::Copy { .. } | Command::Move { .. });
        let own = (adds || self.notify.is_some()).then(|| command.clone());
        let proposed = self.backend.propose(command);
        let outcome = self
            .progress
            .while_waiting(&mut self.conn, &Tally::default(), proposed)
            .await?;
        let reply = reply(outcome?)?;
        if let Some(own) = own {
            self.watch_own(&own, &reply);
        }
        Ok(reply)
    }
}

/// How new what is read of the selected mailbox must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// All that was answered to anybody is seen.
    Latest,
    /// At least what this session has seen: for what follows from a read or a change that was
    /// answered, or from a hint.
    Near,
}

/// The reply of a command that was done.
pub(crate) fn reply(outcome: Outcome) -> Result<Reply> {
    match outcome {
        Outcome::Done(reply) => Ok(reply),
        Outcome::Rejected(rejection) => Err(rejection.into()),
        Outcome::Forgotten => Err(BackendError::Unknown.into()),
        Outcome::Moved => Err(BackendError::Unavailable.into()),
    }
}
