//! Who may have been given rights on whose mailboxes.

use rows::{Fault, Rows};

use super::{Machine, Stop};
use crate::codec;
use crate::command::{Outcome, Rejection};
use crate::event::Event;
use crate::keys::{self, Table};
use crate::limits;
use crate::share::Share;
use crate::types::{Account, AccountId};

impl<R: Rows> Machine<'_, '_, R> {
    /// Again, it changes nothing.
    pub(super) fn share(&mut self, user: AccountId, account: AccountId) -> Result<Outcome, Stop> {
        let share = Share { user, account };
        if self.read::<Share>(&keys::share(user, account))?.is_some() {
            return Ok(Outcome::Done);
        }
        let is_there = |id: AccountId| -> Result<bool, Fault> {
            Ok(self.read::<Account>(&keys::account(id))?.is_some())
        };
        let has_user = user == AccountId(0) || is_there(user)?;
        if !has_user || !is_there(account)? || user == account {
            return Err(Rejection::NoAccount.into());
        }
        let with = self.ends(Table::Shares, user, limits::SHARES_PER_USER_MAX)?;
        let by = self.ends(Table::SharedBy, account, limits::SHARES_PER_ACCOUNT_MAX)?;
        if with.len() == limits::SHARES_PER_USER_MAX || by.len() == limits::SHARES_PER_ACCOUNT_MAX {
            return Err(Rejection::TooManyShares.into());
        }
        self.write(keys::share(user, account), &share);
        self.write(keys::shared_by(account, user), &share);
        self.events.push(Event::Shared { user, account });
        Ok(Outcome::Done)
    }

    /// An account is gone, and with it what it gave and what it was given.
    pub(super) fn forget_shares(&mut self, gone: AccountId) -> Result<(), Fault> {
        for table in [Table::Shares, Table::SharedBy] {
            for Share { user, account } in self.ends(table, gone, usize::MAX)? {
                self.rows.remove(keys::share(user, account));
                self.rows.remove(keys::shared_by(account, user));
            }
        }
        Ok(())
    }

    /// Those that begin with an account, at most `limit`.
    fn ends(&self, table: Table, first: AccountId, limit: usize) -> Result<Vec<Share>, Fault> {
        let (from, to) = keys::pairs_of(table, first);
        let rows = self.rows.scan(&from, &to)?.take(limit);
        rows.map(|row| row.and_then(|(key, value)| codec::row(&key, &value)))
            .collect()
    }
}
