//! What a user asks of the account of another (RFC 4314 section 4).

use rows::{Fault, Rows};

use super::{Annotation, Answer, Folder, Query, QueryError, folders, metadata};
use crate::access::{self, KNOWN_BY, Verdict};
use crate::keys::{self, AccountKey, Key};
use crate::types::{AccountId, MailboxId, Rights};

/// The answer, if he may hear it. That there is no such account is not told apart from there being
/// no such mailbox.
pub(super) fn answer(
    rows: &impl Rows,
    actor: AccountId,
    query: &Query,
) -> Result<Answer, QueryError> {
    let result = match query {
        Query::Folders { account } => visible(rows, *account, actor).map(Answer::Folders),
        Query::Folder { account, name } => known(rows, *account, name, actor).map(Answer::Folder),
        Query::Quota { account } if reads_any(rows, *account, actor)? => super::query(rows, query),
        Query::Metadata {
            account,
            mailbox: None,
            user,
        } if *user == actor => annotations(rows, *account, actor).map(Answer::Metadata),
        query => about_one(rows, actor, query),
    };
    result.map_err(|error| match error {
        QueryError::NoAccount => QueryError::NoMailbox,
        error => error,
    })
}

/// A question about one mailbox.
fn about_one(rows: &impl Rows, actor: AccountId, query: &Query) -> Result<Answer, QueryError> {
    let (account, need) = access::of_query(query).ok_or(QueryError::NoRight)?;
    match access::judge(rows, account, actor, &need)? {
        Verdict::Yes => {}
        Verdict::NoRight => return Err(QueryError::NoRight),
        Verdict::NoMailbox => return Err(QueryError::NoMailbox),
    }
    // Private annotations are those of whoever asks.
    if matches!(query, Query::Metadata { user, .. } if *user != actor) {
        return Err(QueryError::NoRight);
    }
    let mut answer = super::query(rows, query)?;
    let folder = match &mut answer {
        Answer::Opened(opened) => Some(&mut opened.folder),
        Answer::Changes(changes) => changes.folder.as_mut(),
        _ => None,
    };
    if let Some(folder) = folder {
        let rights = access::of_user(rows, account, folder.id, actor)?;
        as_guest(folder, rights);
    }
    Ok(answer)
}

/// All mailboxes that he may look up.
fn visible(
    rows: &impl Rows,
    account: AccountId,
    actor: AccountId,
) -> Result<Vec<Folder>, QueryError> {
    let mut found = Vec::new();
    for mut folder in folders::all(rows, account)? {
        if !folder.exists {
            continue;
        }
        let rights = access::of_user(rows, account, folder.id, actor)?;
        if rights.has(Rights::LOOKUP) {
            as_guest(&mut folder, rights);
            found.push(folder);
        }
    }
    Ok(found)
}

/// One mailbox, if he may know that it is there.
fn known(
    rows: &impl Rows,
    account: AccountId,
    name: &str,
    actor: AccountId,
) -> Result<Option<Folder>, QueryError> {
    let folder = folders::one(rows, account, name)?;
    let Some(mut folder) = folder.filter(|folder| folder.exists) else {
        return Ok(None);
    };
    let rights = access::of_user(rows, account, folder.id, actor)?;
    if !KNOWN_BY.iter().any(|right| rights.has(*right)) {
        return Ok(None);
    }
    as_guest(&mut folder, rights);
    Ok(Some(folder))
}

/// The annotations of all mailboxes of which he may see them (RFC 5464 section 3.3).
fn annotations(
    rows: &impl Rows,
    account: AccountId,
    actor: AccountId,
) -> Result<Vec<Annotation>, QueryError> {
    let mut found = Vec::new();
    let mut last = None;
    for one in metadata::all(rows, account, None, actor)? {
        let may = match last {
            Some((mailbox, may)) if mailbox == one.mailbox => may,
            _ => {
                let need = access::annotates(one.mailbox);
                let may = is_there(rows, account, one.mailbox)?
                    && access::judge(rows, account, actor, &need)? == Verdict::Yes;
                last = Some((one.mailbox, may));
                may
            }
        };
        if may {
            found.push(one);
        }
    }
    Ok(found)
}

/// What a mailbox is for, and whether it is subscribed to, are its owner's matters.
fn as_guest(folder: &mut Folder, rights: Rights) {
    folder.guest = Some(rights);
    folder.special_use = None;
    folder.subscribed = false;
}

/// Whether he may read a mailbox of the account (RFC 9208 section 3.2).
fn reads_any(rows: &impl Rows, account: AccountId, actor: AccountId) -> Result<bool, Fault> {
    if account == actor {
        return Ok(true);
    }
    let (from, to) = keys::all_grants(account);
    let mut last = None;
    for row in rows.scan(&from, &to)? {
        let (key, _) = row?;
        let Key::Of(_, AccountKey::Grant(mailbox, user)) = Key::decode(&key)? else {
            return Err(Fault::row(&key, "not a grant"));
        };
        let is_about_him = user == actor || user == AccountId(0);
        if !is_about_him || last.replace(mailbox) == Some(mailbox) {
            continue;
        }
        let rights = access::of_user(rows, account, mailbox, actor)?;
        if rights.has(Rights::READ) && is_there(rows, account, mailbox)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Those of a deleted mailbox stay until it cannot be restored any more.
fn is_there(rows: &impl Rows, account: AccountId, mailbox: MailboxId) -> Result<bool, Fault> {
    Ok(super::folder_row(rows, account, mailbox)?.is_some())
}
