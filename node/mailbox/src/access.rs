//! Which rights a user needs in the account of another (RFC 4314 section 4).
//!
//! ```text
//!   a command or query ─► needs(): places and rights ─► has he all of them there?
//!                                                        no, and he may look it up: NoRight
//!                                                        no: there is no such mailbox
//! ```
//!
//! What is not in the two tables here is nobody's but the owner's. A mailbox that is named by its
//! id is one that he has found before, so that reading it is enough to hear that he has no right;
//! one that is named by its name is not there for whoever may not look it up (section 6).

use proto::v1::{MailGrantRow, MailNameRow};
use rows::{Fault, Rows};

use crate::command::{Annotate, Command, EndedMove, Home, Import, NewMove, Replaced};
use crate::keys::{self, AccountKey, Key};
use crate::query::{self, Query, rights_of};
use crate::stored::{decode, read};
use crate::types::{AccountId, Flags, MailboxId, Rights, SystemFlags, names};

/// Rights by which a mailbox is known to be there at all, so that MYRIGHTS tells them.
pub(crate) const KNOWN_BY: [Rights; 6] = [
    Rights::LOOKUP,
    Rights::READ,
    Rights::INSERT,
    Rights::CREATE,
    Rights::DELETE_MAILBOX,
    Rights::ADMINISTER,
];

/// Which flags may be changed: `s` is `\Seen`, `t` is `\Deleted`, `w` are all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlagRights {
    pub system: SystemFlags,
    pub keywords: bool,
}

impl FlagRights {
    pub const ALL: FlagRights = FlagRights {
        system: SystemFlags::ALL,
        keywords: true,
    };

    fn with(rights: Rights) -> FlagRights {
        let special = SystemFlags::SEEN.with(SystemFlags::DELETED);
        let each = [
            (Rights::SEEN, SystemFlags::SEEN),
            (Rights::DELETE_MESSAGES, SystemFlags::DELETED),
            (Rights::WRITE, SystemFlags::ALL.without(special)),
        ];
        let given = each.into_iter().filter(|(right, _)| rights.has(*right));
        FlagRights {
            system: given.fold(SystemFlags::NONE, |all, (_, flags)| all.with(flags)),
            keywords: rights.has(Rights::WRITE),
        }
    }

    /// Those of some flags that may be changed; `None` if none of them may, or none at all.
    pub fn of(self, flags: &Flags) -> Option<Flags> {
        if self == FlagRights::ALL {
            return Some(flags.clone());
        }
        let keywords: &[String] = match self.keywords {
            true => flags.keywords(),
            false => &[],
        };
        let allowed = Flags::new(flags.system.only(self.system), keywords.iter().cloned());
        let may_any = !self.system.is_empty() || self.keywords;
        (!allowed.is_empty() || flags.is_empty() && may_any).then_some(allowed)
    }
}

/// Where rights are needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place<'a> {
    Mailbox(MailboxId),
    Named(&'a str),
    /// The nearest mailbox that exists above a name.
    Above(&'a str),
    /// A mailbox and all below it.
    Tree(&'a str),
}

/// What is needed at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Need<'a> {
    pub place: Place<'a>,
    pub all: Rights,
    /// One of these as well, if there are any.
    pub one_of: &'static [Rights],
}

fn need(place: Place<'_>, all: Rights) -> Need<'_> {
    Need {
        place,
        all,
        one_of: &[],
    }
}

/// What a user needs to do something in the account of another.
pub(crate) struct Needs<'a> {
    /// In which account.
    pub account: AccountId,
    pub needs: Vec<Need<'a>>,
    /// The mailbox whose flags it sets.
    pub flags_of: Option<MailboxId>,
}

const MOVES: Rights = Rights::READ
    .with(Rights::DELETE_MESSAGES)
    .with(Rights::EXPUNGE);

/// What a command needs; `None` if it is the owner's alone.
pub(crate) fn of_command(command: &Command) -> Option<Needs<'_>> {
    on_names(command)
        .or_else(|| adds(command))
        .or_else(|| on_messages(command))
}

fn at(mailbox: MailboxId, rights: Rights) -> Need<'static> {
    need(Place::Mailbox(mailbox), rights)
}

/// What concerns mailboxes as a whole.
fn on_names(command: &Command) -> Option<Needs<'_>> {
    let (account, needs) = match command {
        Command::CreateMailbox {
            account,
            name,
            special_use: None,
        } => (account, vec![need(Place::Above(name), Rights::CREATE)]),
        Command::DeleteMailbox { account, name } => {
            let named = need(Place::Named(name), Rights::DELETE_MAILBOX);
            (account, vec![named])
        }
        // The messages of INBOX are its owner's to move away all at once.
        Command::RenameMailbox { from, .. } if names::canonical(from) == names::INBOX => {
            return None;
        }
        Command::RenameMailbox { account, from, to } => {
            let tree = need(Place::Tree(from), Rights::DELETE_MAILBOX);
            (account, vec![tree, need(Place::Above(to), Rights::CREATE)])
        }
        Command::SetMetadata {
            account,
            mailbox: Some(mailbox),
            special_use: None,
            ..
        }
        | Command::Annotate(Annotate {
            account,
            mailbox,
            special_use: None,
            ..
        }) => (account, vec![annotates(*mailbox)]),
        Command::SetGrant {
            account, mailbox, ..
        } => (account, vec![at(*mailbox, Rights::ADMINISTER)]),
        _ => return None,
    };
    Some(Needs {
        account: *account,
        needs,
        flags_of: None,
    })
}

/// What adds messages, with flags.
fn adds(command: &Command) -> Option<Needs<'_>> {
    let (account, mailbox, other) = match command {
        Command::Append {
            account, mailbox, ..
        }
        | Command::Import(Import {
            account, mailbox, ..
        }) => (account, mailbox, None),
        Command::AppendMany {
            account,
            mailbox,
            replaced,
            ..
        } => {
            let replaced = replaced.map(|Replaced { mailbox, .. }| at(mailbox, MOVES));
            (account, mailbox, replaced)
        }
        Command::Copy {
            account, from, to, ..
        } => (account, to, Some(at(*from, Rights::READ))),
        Command::Move {
            account, from, to, ..
        } => (account, to, Some(at(*from, MOVES))),
        _ => return None,
    };
    let target = at(*mailbox, Rights::INSERT);
    Some(Needs {
        account: *account,
        needs: other.into_iter().chain([target]).collect(),
        flags_of: Some(*mailbox),
    })
}

/// What changes messages that are there.
fn on_messages(command: &Command) -> Option<Needs<'_>> {
    let (account, mailbox, rights, flags_of) = match command {
        // Which flags is seen later: one that may be changed is enough.
        Command::Store {
            account, mailbox, ..
        } => (account, mailbox, Rights::READ, Some(*mailbox)),
        Command::Expunge {
            account, mailbox, ..
        } => (account, mailbox, EXPUNGES, None),
        Command::Remove {
            account, mailbox, ..
        }
        | Command::BeginMove(NewMove {
            from: Home {
                account, mailbox, ..
            },
            ..
        })
        | Command::EndMove(EndedMove {
            account, mailbox, ..
        }) => (account, mailbox, MOVES, None),
        _ => return None,
    };
    Some(Needs {
        account: *account,
        needs: vec![at(*mailbox, rights)],
        flags_of,
    })
}

const EXPUNGES: Rights = Rights::READ.with(Rights::EXPUNGE);

pub(crate) fn annotates(mailbox: MailboxId) -> Need<'static> {
    Need {
        place: Place::Mailbox(mailbox),
        all: Rights::LOOKUP,
        one_of: &Rights::ANNOTATE,
    }
}

/// The mailbox that a query reads, and what it needs; `None` if it is the owner's alone, or tells
/// of several mailboxes.
pub(crate) fn of_query(query: &Query) -> Option<(AccountId, Need<'static>)> {
    let of =
        |account: &AccountId, mailbox: &MailboxId, rights| Some((*account, at(*mailbox, rights)));
    match query {
        Query::Open { account, mailbox }
        | Query::Changes {
            account, mailbox, ..
        }
        | Query::Remembered {
            account, mailbox, ..
        }
        | Query::Messages {
            account, mailbox, ..
        }
        | Query::Reclaimable { account, mailbox } => of(account, mailbox, Rights::READ),
        Query::Metadata {
            account,
            mailbox: Some(mailbox),
            ..
        } => Some((*account, annotates(*mailbox))),
        // As the command that expunges them.
        Query::Marked { account, mailbox } => of(account, mailbox, EXPUNGES),
        Query::Grants { account, mailbox } => of(account, mailbox, Rights::ADMINISTER),
        _ => None,
    }
}

/// Whether a user has what he needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Yes,
    NoRight,
    NoMailbox,
}

/// Judges one need.
pub(crate) fn judge(
    rows: &impl Rows,
    account: AccountId,
    actor: AccountId,
    need: &Need<'_>,
) -> Result<Verdict, Fault> {
    let (mailboxes, by_id) = match need.place {
        Place::Mailbox(id) => (vec![id], true),
        Place::Named(name) => (named(rows, account, name)?, false),
        Place::Above(name) => (above(rows, account, name)?, false),
        Place::Tree(name) => (tree(rows, account, name)?, false),
    };
    if mailboxes.is_empty() {
        return Ok(match actor == account {
            // What is not there is told by whoever does it.
            true => Verdict::Yes,
            false => Verdict::NoMailbox,
        });
    }
    for mailbox in mailboxes {
        let has = of_user(rows, account, mailbox, actor)?;
        let one_of = need.one_of;
        if has.has(need.all) && (one_of.is_empty() || one_of.iter().any(|one| has.has(*one))) {
            continue;
        }
        let knows = has.has(Rights::LOOKUP) || by_id && has.has(Rights::READ);
        return Ok(if knows {
            Verdict::NoRight
        } else {
            Verdict::NoMailbox
        });
    }
    Ok(Verdict::Yes)
}

/// The rights that decide which flags somebody may set in a mailbox.
pub(crate) fn flags_of(
    rows: &impl Rows,
    account: AccountId,
    mailbox: MailboxId,
    actor: AccountId,
) -> Result<FlagRights, Fault> {
    of_user(rows, account, mailbox, actor).map(FlagRights::with)
}

/// The rights of a user on a mailbox: two rows decide.
pub(crate) fn of_user(
    rows: &impl Rows,
    account: AccountId,
    mailbox: MailboxId,
    user: AccountId,
) -> Result<Rights, Fault> {
    let mut grants = Vec::with_capacity(2);
    for user in [AccountId(0), user] {
        let key = Key::Of(account, AccountKey::Grant(mailbox, user)).encode();
        if let Some(row) = read::<MailGrantRow>(rows, &key)? {
            grants.push(query::Grant {
                user,
                name: String::new(),
                given: rights_of(&key, row.given)?,
                denied: rights_of(&key, row.denied)?,
            });
        }
    }
    Ok(query::effective(&grants, account, user))
}

fn named(rows: &impl Rows, account: AccountId, name: &str) -> Result<Vec<MailboxId>, Fault> {
    let name = names::canonical(name);
    let row: Option<MailNameRow> = read(rows, &keys::name_key(account, &name))?;
    let mailbox = row.map_or(0, |row| row.mailbox);
    Ok((mailbox != 0)
        .then_some(MailboxId(mailbox))
        .into_iter()
        .collect())
}

fn above(rows: &impl Rows, account: AccountId, name: &str) -> Result<Vec<MailboxId>, Fault> {
    let name = names::canonical(name);
    let superiors: Vec<&str> = names::superiors(&name).collect();
    for superior in superiors.into_iter().rev() {
        let found = named(rows, account, superior)?;
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Ok(Vec::new())
}

fn tree(rows: &impl Rows, account: AccountId, name: &str) -> Result<Vec<MailboxId>, Fault> {
    let name = names::canonical(name);
    let mut found = named(rows, account, &name)?;
    let (from, to) = keys::names_below(account, &name);
    for row in rows.scan(&from, &to)? {
        let (key, value) = row?;
        let row: MailNameRow = decode(&key, value)?;
        if row.mailbox != 0 {
            found.push(MailboxId(row.mailbox));
        }
    }
    Ok(found)
}
