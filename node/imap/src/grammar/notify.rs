//! NOTIFY (RFC 5465 section 8).

use bytes::Bytes;

use super::esearch::mailboxes;
use super::fetch::{self, FetchItem};
use super::lexer::Cursor;
use crate::error::{Error, Result};
use crate::limits;

/// A NOTIFY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notify {
    /// `NONE`: nothing is to be told.
    None,
    /// `SET`
    Set(NotifySet),
}

/// The arguments of NOTIFY SET.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotifySet {
    /// Whether the state of the mailboxes is to be told at once.
    pub status: bool,
    /// What is to be told of which mailboxes; at most [`limits::NOTIFY_GROUPS_MAX`], never none.
    pub groups: Vec<EventGroup>,
}

/// What is to be told of some mailboxes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventGroup {
    /// Of which mailboxes.
    pub mailboxes: NotifyMailboxes,
    /// What is to be told.
    pub events: Events,
}

/// The mailboxes that are watched (RFC 5465 section 6). Names are as sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotifyMailboxes {
    /// The selected mailbox, at once.
    Selected,
    /// The selected mailbox; EXPUNGE only while a command allows it.
    SelectedDelayed,
    /// Where mail is delivered.
    Inboxes,
    /// The user's own.
    Personal,
    /// Those that are subscribed.
    Subscribed,
    /// These and all below them.
    Subtree(Vec<Bytes>),
    /// These.
    Mailboxes(Vec<Bytes>),
}

impl NotifyMailboxes {
    fn is_of_selected(&self) -> bool {
        matches!(
            self,
            NotifyMailboxes::Selected | NotifyMailboxes::SelectedDelayed
        )
    }
}

/// What is to be told (RFC 5465 section 5); all false for `NONE`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// `MessageNew`, and `MessageExpunge` with it.
    pub messages: bool,
    /// What is to be told of a new message; only of the selected mailbox.
    pub fetch: Vec<FetchItem>,
    /// `FlagChange`; only with `messages`.
    pub flags: bool,
    /// `MailboxName`
    pub names: bool,
    /// `SubscriptionChange`
    pub subscriptions: bool,
    /// `MailboxMetadataChange`
    pub metadata: bool,
    /// `ServerMetadataChange`
    pub server_metadata: bool,
    /// An event that we do not know: to be answered NO with BADEVENT.
    pub unknown: bool,
}

/// The names of all events that are known, for BADEVENT.
pub const EVENTS: &[&str] = &[
    "MessageNew",
    "MessageExpunge",
    "FlagChange",
    "MailboxName",
    "SubscriptionChange",
    "MailboxMetadataChange",
    "ServerMetadataChange",
];

/// The arguments of NOTIFY, from the space after its name on.
pub(super) fn notify(cursor: &mut Cursor) -> Result<Notify> {
    cursor.space()?;
    match cursor.word().as_str() {
        "NONE" => {
            cursor.end()?;
            Ok(Notify::None)
        }
        "SET" => set(cursor).map(Notify::Set),
        _ => Err(Error::Syntax("SET or NONE expected")),
    }
}

fn set(cursor: &mut Cursor) -> Result<NotifySet> {
    let mut ahead = cursor.clone();
    ahead.space()?;
    let status = ahead.eat_word("STATUS");
    if status {
        *cursor = ahead;
    }
    let (mut groups, mut names, mut is_selected) = (Vec::new(), 0, false);
    while cursor.has_argument() {
        cursor.space()?;
        if groups.len() == limits::NOTIFY_GROUPS_MAX {
            return Err(Error::TooBig("too many groups in one NOTIFY"));
        }
        let group = group(cursor, &mut names)?;
        if group.mailboxes.is_of_selected() && std::mem::replace(&mut is_selected, true) {
            return Err(Error::Syntax("the selected mailbox is named twice"));
        }
        groups.push(group);
    }
    if groups.is_empty() {
        return Err(Error::Syntax("a group of events expected"));
    }
    cursor.end()?;
    Ok(NotifySet { status, groups })
}

fn group(cursor: &mut Cursor, names: &mut usize) -> Result<EventGroup> {
    cursor.expect(b'(', "an opening parenthesis expected")?;
    let mailboxes = match cursor.word().as_str() {
        "SELECTED" => NotifyMailboxes::Selected,
        "SELECTED-DELAYED" => NotifyMailboxes::SelectedDelayed,
        "INBOXES" => NotifyMailboxes::Inboxes,
        "PERSONAL" => NotifyMailboxes::Personal,
        "SUBSCRIBED" => NotifyMailboxes::Subscribed,
        "SUBTREE" => NotifyMailboxes::Subtree(mailboxes(cursor, names)?),
        "MAILBOXES" => NotifyMailboxes::Mailboxes(mailboxes(cursor, names)?),
        _ => return Err(Error::Syntax("unknown specification of mailboxes")),
    };
    cursor.space()?;
    let events = events(cursor, mailboxes.is_of_selected())?;
    cursor.expect(b')', "a closing parenthesis expected")?;
    Ok(EventGroup { mailboxes, events })
}

fn events(cursor: &mut Cursor, is_of_selected: bool) -> Result<Events> {
    let mut events = Events::default();
    if cursor.eat_word("NONE") {
        return Ok(events);
    }
    let (mut new, mut expunge, mut annotations) = (false, false, false);
    cursor.list(limits::NOTIFY_EVENTS_MAX, |cursor| {
        let name = cursor.atom("an event expected")?;
        match name.to_ascii_uppercase().as_slice() {
            b"MESSAGENEW" => {
                new = true;
                if cursor.peek() == Some(b' ') && cursor.peek_second() == Some(b'(') {
                    cursor.space()?;
                    events.fetch = fetch::items(cursor)?;
                }
            }
            b"MESSAGEEXPUNGE" => expunge = true,
            b"FLAGCHANGE" => events.flags = true,
            b"ANNOTATIONCHANGE" => annotations = true,
            b"MAILBOXNAME" => events.names = true,
            b"SUBSCRIPTIONCHANGE" => events.subscriptions = true,
            b"MAILBOXMETADATACHANGE" => events.metadata = true,
            b"SERVERMETADATACHANGE" => events.server_metadata = true,
            _ => events.unknown = true,
        }
        Ok(())
    })?;
    // RFC 5465 section 5.
    if new != expunge {
        return Err(Error::Syntax("MessageNew and MessageExpunge go together"));
    }
    if (events.flags || annotations) && !new {
        return Err(Error::Syntax(
            "FlagChange and AnnotationChange need MessageNew and MessageExpunge",
        ));
    }
    // RFC 5465 section 6.1.
    let is_of_mailboxes =
        events.names || events.subscriptions || events.metadata || events.server_metadata;
    if is_of_selected && is_of_mailboxes {
        return Err(Error::Syntax(
            "of the selected mailbox only events of messages can be asked for",
        ));
    }
    if !is_of_selected && !events.fetch.is_empty() {
        return Err(Error::Syntax(
            "only of the selected mailbox messages can be fetched",
        ));
    }
    events.messages = new;
    events.unknown |= annotations;
    Ok(events)
}
