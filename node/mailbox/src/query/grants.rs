//! Rights on mailboxes (RFC 4314).

use proto::v1::MailGrantRow;
use rows::{Fault, Rows};

use super::{Grant, QueryError, account_row, folder_row};
use crate::keys::{self, AccountKey, Key};
use crate::stored::decode;
use crate::types::{AccountId, MailboxId, Rights};

/// All grants of a mailbox, in the order of users; `anyone` comes first.
pub(super) fn all(
    rows: &impl Rows,
    account: AccountId,
    mailbox: MailboxId,
) -> Result<Vec<Grant>, QueryError> {
    account_row(rows, account)?;
    folder_row(rows, account, mailbox)?.ok_or(QueryError::NoMailbox)?;
    let (from, to) = keys::grants(account, mailbox);
    let mut grants = Vec::new();
    for row in rows.scan(&from, &to)? {
        let (key, value) = row?;
        let Key::Of(_, AccountKey::Grant(_, user)) = Key::decode(&key)? else {
            return Err(Fault::row(&key, "not a grant").into());
        };
        let row: MailGrantRow = decode(&key, value)?;
        grants.push(Grant {
            user,
            given: rights_of(&key, row.given)?,
            denied: rights_of(&key, row.denied)?,
            name: row.name,
        });
    }
    Ok(grants)
}

/// The rights in a row.
pub(crate) fn rights_of(key: &[u8], bits: u32) -> Result<Rights, Fault> {
    let rights = u16::try_from(bits).ok().and_then(Rights::from_bits);
    rights.ok_or_else(|| Fault::row(key, "not rights of this version"))
}

/// What a user may do with a mailbox (RFC 4314 section 2): what is given to him or to anyone,
/// without what is denied him or anyone. The owner may do everything.
#[must_use]
pub fn effective(grants: &[Grant], owner: AccountId, user: AccountId) -> Rights {
    if user == owner {
        return Rights::ALL;
    }
    let about = |grant: &&Grant| grant.user == user || grant.user == AccountId(0);
    let (mut given, mut denied) = (Rights::NONE, Rights::NONE);
    for grant in grants.iter().filter(about) {
        given = given.with(grant.given);
        denied = denied.with(grant.denied);
    }
    given.without(denied)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(user: u64, given: &str, denied: &str) -> Grant {
        let rights = |letters| Rights::parse(letters).expect("letters");
        Grant {
            user: AccountId(user),
            name: String::new(),
            given: rights(given),
            denied: rights(denied),
        }
    }

    #[test]
    fn given_and_denied_rights_of_a_user_and_of_anyone() {
        let grants = [grant(0, "lr", "p"), grant(2, "wi", "r"), grant(3, "pa", "")];
        let of = |user| effective(&grants, AccountId(1), AccountId(user)).to_string();
        assert_eq!(of(1), "lrswipkxteacd");
        assert_eq!(of(2), "lwi");
        assert_eq!(of(3), "lra");
        assert_eq!(of(4), "lr");
        assert_eq!(effective(&[], AccountId(1), AccountId(2)), Rights::NONE);
    }
}
