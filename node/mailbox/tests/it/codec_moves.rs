//! What concerns moves into other accounts, for `codec`.

use mailbox::{Command, EndedMove, Hash16, Home, MoveId, NewMove, Query, UidValidity};
use proptest::prelude::*;

use crate::codec::{account, mailbox, uids};

pub fn command() -> impl Strategy<Value = Command> {
    let id = || any::<u128>().prop_map(MoveId);
    let begin = (
        id(),
        account(),
        mailbox(),
        any::<u32>(),
        uids(),
        account(),
        mailbox(),
    );
    let begin = begin.prop_map(
        |(id, account, mailbox, validity, uids, to_account, to_mailbox)| {
            let uid_validity = UidValidity(validity);
            Command::BeginMove(NewMove {
                id,
                from: Home {
                    account,
                    mailbox,
                    uid_validity,
                },
                uids,
                to_account,
                to_mailbox,
            })
        },
    );
    let end = (id(), account(), mailbox(), uids()).prop_map(|(id, account, mailbox, uids)| {
        Command::EndMove(EndedMove {
            id,
            account,
            mailbox,
            uids,
        })
    });
    prop_oneof![begin, end]
}

pub fn query() -> impl Strategy<Value = Query> {
    let origins = any::<Vec<[u8; 16]>>();
    let arrived =
        (account(), mailbox(), origins).prop_map(|(account, mailbox, origins)| Query::Arrived {
            account,
            mailbox,
            origins: origins.into_iter().map(Hash16).collect(),
        });
    let marked = (account(), mailbox());
    let marked = marked.prop_map(|(account, mailbox)| Query::Marked { account, mailbox });
    prop_oneof![arrived, marked]
}
