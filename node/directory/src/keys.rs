//! The keys of the rows: a letter, then an id in big endian or a name, so that a table is a range
//! and its order is that of its ids.

use bytes::{BufMut, Bytes, BytesMut};

use crate::command::RequestId;
use crate::name::Name;
use crate::types::{AccountId, GroupId, NodeId, OperationId};

/// The cluster's row.
pub(crate) const CLUSTER: &[u8] = b"c";
/// The counters' row.
pub(crate) const COUNTERS: &[u8] = b"k";

/// The first byte of a table's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    Nodes = b'n' as isize,
    Groups = b'g' as isize,
    Accounts = b'a' as isize,
    Names = b'm' as isize,
    Operations = b'o' as isize,
    Settings = b's' as isize,
    Requests = b'r' as isize,
    RequestOrder = b'q' as isize,
    Shares = b'h' as isize,
    SharedBy = b'i' as isize,
}

impl Table {
    /// Where the table begins and ends.
    pub(crate) const fn range(self) -> ([u8; 1], [u8; 1]) {
        ([self as u8], [self as u8 + 1])
    }
}

pub(crate) fn node(id: NodeId) -> Bytes {
    number(Table::Nodes, id.0)
}

pub(crate) fn group(id: GroupId) -> Bytes {
    number(Table::Groups, id.0)
}

pub(crate) fn account(id: AccountId) -> Bytes {
    number(Table::Accounts, id.0)
}

pub(crate) fn name(name: &Name) -> Bytes {
    text(Table::Names, name.as_str())
}

pub(crate) fn operation(id: OperationId) -> Bytes {
    number(Table::Operations, id.0)
}

pub(crate) fn setting(name: &str) -> Bytes {
    text(Table::Settings, name)
}

pub(crate) fn request(id: RequestId) -> Bytes {
    let mut key = BytesMut::with_capacity(17);
    key.put_u8(Table::Requests as u8);
    key.put_u128(id.0);
    key.freeze()
}

pub(crate) fn request_order(sequence: u64) -> Bytes {
    number(Table::RequestOrder, sequence)
}

/// What a user was given by an account.
pub(crate) fn share(user: AccountId, account: AccountId) -> Bytes {
    pair(Table::Shares, user, account)
}

/// The same, by the account.
pub(crate) fn shared_by(account: AccountId, user: AccountId) -> Bytes {
    pair(Table::SharedBy, account, user)
}

/// All rows of one of these two tables that begin with an account. Accounts are numbered from 1 by
/// adding 1, so the number after each exists.
pub(crate) fn pairs_of(table: Table, first: AccountId) -> (Bytes, Bytes) {
    (number(table, first.0), number(table, first.0 + 1))
}

fn pair(table: Table, first: AccountId, second: AccountId) -> Bytes {
    let mut key = BytesMut::with_capacity(17);
    key.put_u8(table as u8);
    key.put_u64(first.0);
    key.put_u64(second.0);
    key.freeze()
}

fn number(table: Table, id: u64) -> Bytes {
    let mut key = BytesMut::with_capacity(9);
    key.put_u8(table as u8);
    key.put_u64(id);
    key.freeze()
}

fn text(table: Table, name: &str) -> Bytes {
    let mut key = BytesMut::with_capacity(1 + name.len());
    key.put_u8(table as u8);
    key.put_slice(name.as_bytes());
    key.freeze()
}
