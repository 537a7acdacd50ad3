//! Accounts, and the operations that bring them and take them away.

use rows::{Fault, Rows};

use super::{Machine, Stop};
use crate::command::{Outcome, Rejection};
use crate::event::Event;
use crate::keys::{self, Table};
use crate::limits;
use crate::name::Name;
use crate::operation::{OperationKind, OperationRow};
use crate::types::{Account, AccountId, AccountState, Group, GroupId, OperationId};
use crate::verifier::Verifiers;

impl<R: Rows> Machine<'_, '_, R> {
    pub(super) fn create_account(
        &mut self,
        name: &str,
        verifiers: &Verifiers,
        quota_bytes: Option<u64>,
    ) -> Result<Outcome, Stop> {
        let cluster = self.cluster()?;
        let name = Name::parse(name, &cluster.default_domain).ok_or(Rejection::NameInvalid)?;
        if !verifiers.is_valid() {
            return Err(Rejection::VerifierInvalid.into());
        }
        if self.read::<AccountId>(&keys::name(&name))?.is_some() {
            return Err(Rejection::NameTaken.into());
        }
        if self.counters.accounts >= limits::ACCOUNTS_MAX {
            return Err(Rejection::TooManyAccounts.into());
        }
        let mut group = self.emptiest_partition()?;
        let (id, partition) = (self.next_account(), group.id);
        let operation = self.begin(OperationKind::CreateAccount, id);
        group.accounts += 1;
        self.put_group(group);
        self.counters.accounts += 1;
        self.write(keys::name(&name), &id);
        self.put_account(Account {
            id,
            name,
            state: AccountState::Creating,
            partition,
            verifiers: verifiers.clone(),
            quota_bytes,
            created: self.time(),
            operation: Some(operation),
        });
        Ok(Outcome::AccountMade {
            account: id,
            partition,
            operation,
        })
    }

    pub(super) fn set_password(
        &mut self,
        name: &str,
        verifiers: &Verifiers,
    ) -> Result<Outcome, Stop> {
        let account = self.named(name)?;
        if !verifiers.is_valid() {
            return Err(Rejection::VerifierInvalid.into());
        }
        if account.state == AccountState::Deleting {
            return Err(Rejection::AccountBusy.into());
        }
        if account.verifiers != *verifiers {
            self.put_account(Account {
                verifiers: verifiers.clone(),
                ..account
            });
        }
        Ok(Outcome::Done)
    }

    pub(super) fn lock_account(&mut self, name: &str, locked: bool) -> Result<Outcome, Stop> {
        let account = self.named(name)?;
        let state = match account.state {
            AccountState::Active | AccountState::Locked if locked => AccountState::Locked,
            AccountState::Active | AccountState::Locked => AccountState::Active,
            AccountState::Creating | AccountState::Deleting => {
                return Err(Rejection::AccountBusy.into());
            }
        };
        if account.state != state {
            self.put_account(Account { state, ..account });
        }
        Ok(Outcome::Done)
    }

    pub(super) fn delete_account(&mut self, name: &str) -> Result<Outcome, Stop> {
        let account = self.named(name)?;
        if let (AccountState::Deleting, Some(operation)) = (account.state, account.operation) {
            return Ok(Outcome::OperationBegun(operation));
        }
        // One that is still being made has an operation; the new one takes its place.
        if let Some(operation) = account.operation {
            self.rows.remove(keys::operation(operation));
        }
        let operation = self.begin(OperationKind::DeleteAccount, account.id);
        let (state, operation_now) = (AccountState::Deleting, Some(operation));
        self.put_account(Account {
            state,
            operation: operation_now,
            ..account
        });
        Ok(Outcome::OperationBegun(operation))
    }

    pub(super) fn finish_operation(&mut self, id: OperationId) -> Result<Outcome, Stop> {
        let Some(row) = self.read::<OperationRow>(&keys::operation(id))? else {
            return Ok(Outcome::Done);
        };
        let account = self.account(row.account)?;
        self.rows.remove(keys::operation(id));
        match row.kind {
            OperationKind::CreateAccount => {
                let state = AccountState::Active;
                self.put_account(Account {
                    state,
                    operation: None,
                    ..account
                });
            }
            OperationKind::DeleteAccount => self.forget(&account)?,
        }
        Ok(Outcome::Done)
    }

    /// Takes the account's rows away; its name is free, its id is not.
    fn forget(&mut self, account: &Account) -> Result<(), Stop> {
        let mut group = self.group(account.partition)?;
        let short = || Fault::invariant(format!("group {} has no accounts", account.partition));
        group.accounts = group.accounts.checked_sub(1).ok_or_else(short)?;
        self.counters.accounts = self.counters.accounts.checked_sub(1).ok_or_else(short)?;
        self.put_group(group);
        self.rows.remove(keys::name(&account.name));
        self.rows.remove(keys::account(account.id));
        self.forget_shares(account.id)?;
        self.events.push(Event::AccountGone(account.id));
        Ok(())
    }

    pub(super) fn begin(&mut self, kind: OperationKind, account: AccountId) -> OperationId {
        let id = self.next_operation();
        self.write(keys::operation(id), &OperationRow { id, kind, account });
        self.events.push(Event::Operation(id));
        id
    }

    /// The partition with the fewest accounts; of several, the one with the least id.
    fn emptiest_partition(&self) -> Result<Group, Stop> {
        let groups: Vec<Group> = self.table(Table::Groups)?;
        let partitions = groups
            .into_iter()
            .filter(|group| group.id != GroupId::DIRECTORY);
        Ok(partitions
            .min_by_key(|group| group.accounts)
            .ok_or(Rejection::NotPlaced)?)
    }

    fn named(&self, name: &str) -> Result<Account, Stop> {
        let cluster = self.cluster()?;
        let name = Name::parse(name, &cluster.default_domain).ok_or(Rejection::NameInvalid)?;
        let id = self.read(&keys::name(&name))?.ok_or(Rejection::NoAccount)?;
        Ok(self.account(id)?)
    }

    /// The account that another row refers to.
    fn account(&self, id: AccountId) -> Result<Account, Fault> {
        self.read(&keys::account(id))?
            .ok_or_else(|| Fault::invariant(format!("no account has the id {id}")))
    }
}
