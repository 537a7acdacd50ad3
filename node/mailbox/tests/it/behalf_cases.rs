//! Commands in the account of another, with the rights that they need.

use mailbox::{
    AccountId, Annotate, Command, EndedMove, Flags, Hash16, Home, Import, MailboxId, MoveId,
    NewGrant, NewMessage, NewMetadata, NewMove, Replaced, Rights, SpecialUse, StoreMode,
    SystemFlags, Uid,
};

use crate::behalf::{A, A_VALIDITY, BELOW, TO, message, uid};
use crate::machine::{ALICE, BOB};

const ACCOUNT: AccountId = ALICE;

/// A command with the rights that it needs on mailboxes, and the bytes that ride with it.
pub struct Case {
    pub command: Command,
    pub needs: Vec<(MailboxId, &'static str)>,
    pub riding: u64,
}

fn case(command: Command, needs: &[(MailboxId, &'static str)]) -> Case {
    Case {
        command,
        needs: needs.to_vec(),
        riding: 0,
    }
}

fn riding(command: Command, needs: &[(MailboxId, &'static str)]) -> Case {
    Case {
        riding: 100,
        ..case(command, needs)
    }
}

/// One of each, and of some several.
pub fn cases() -> Vec<Case> {
    let all = [on_mailboxes(), adding(), storing(), taking()];
    all.into_iter().flatten().collect()
}

fn create(name: &str, special_use: Option<SpecialUse>) -> Command {
    Command::CreateMailbox {
        account: ACCOUNT,
        name: name.to_owned(),
        special_use,
    }
}

fn rename(from: &str, to: &str) -> Command {
    Command::RenameMailbox {
        account: ACCOUNT,
        from: from.to_owned(),
        to: to.to_owned(),
    }
}

pub fn annotate(
    mailbox: Option<MailboxId>,
    user: AccountId,
    special_use: Option<Option<SpecialUse>>,
) -> Command {
    let annotation = NewMetadata {
        name: "/private/comment".into(),
        value: Some("x".into()),
    };
    Command::SetMetadata {
        account: ACCOUNT,
        mailbox,
        user,
        entries: vec![annotation],
        special_use,
    }
}

/// The same of one mailbox, whose mod-sequence rises.
pub fn annotate_one(user: AccountId, special_use: Option<Option<SpecialUse>>) -> Command {
    match annotate(Some(A), user, special_use) {
        Command::SetMetadata { entries, .. } => Command::Annotate(Annotate {
            account: ACCOUNT,
            mailbox: A,
            user,
            entries,
            special_use,
        }),
        other => other,
    }
}

fn on_mailboxes() -> Vec<Case> {
    let grant = NewGrant {
        user: BOB,
        name: "bob".into(),
        denies: false,
        mode: StoreMode::Add,
        rights: Rights::ALL,
    };
    let delete = Command::DeleteMailbox {
        account: ACCOUNT,
        name: "a".into(),
    };
    let give = Command::SetGrant {
        account: ACCOUNT,
        mailbox: A,
        grant,
    };
    vec![
        case(create("a/new/er", None), &[(A, "k")]),
        case(delete, &[(A, "x")]),
        case(rename("a", "to/a"), &[(A, "x"), (BELOW, "x"), (TO, "k")]),
        case(annotate(Some(A), BOB, None), &[(A, "lp")]),
        case(annotate_one(BOB, None), &[(A, "lp")]),
        case(give, &[(A, "a")]),
    ]
}

fn adding() -> Vec<Case> {
    let NewMessage { flags, date, body } = message(Flags::default());
    let append = Command::Append {
        account: ACCOUNT,
        mailbox: A,
        flags,
        date,
        body,
    };
    let many = |replaced| Command::AppendMany {
        account: ACCOUNT,
        mailbox: TO,
        messages: vec![message(Flags::default())],
        replaced,
    };
    let replaced = Replaced {
        mailbox: A,
        uid: Uid(1),
    };
    let import = Import {
        account: ACCOUNT,
        mailbox: A,
        messages: vec![message(Flags::default())],
        origins: vec![Hash16([1; 16])],
    };
    vec![
        riding(append, &[(A, "i")]),
        riding(many(None), &[(TO, "i")]),
        riding(many(Some(replaced)), &[(TO, "i"), (A, "rte")]),
        riding(Command::Import(import), &[(A, "i")]),
    ]
}

fn storing() -> Vec<Case> {
    let store = |flags| Command::Store {
        account: ACCOUNT,
        mailbox: A,
        uids: uid(1),
        mode: StoreMode::Add,
        flags,
        unchanged_since: None,
    };
    let system = |flag| store(Flags::system(flag));
    let word = Flags::new(SystemFlags::NONE, ["word".into()]);
    vec![
        case(system(SystemFlags::SEEN), &[(A, "rs")]),
        case(system(SystemFlags::DELETED), &[(A, "rt")]),
        case(system(SystemFlags::ANSWERED), &[(A, "rw")]),
        case(store(word), &[(A, "rw")]),
    ]
}

fn taking() -> Vec<Case> {
    let (account, uids) = (ACCOUNT, uid(1));
    let (from, to) = (A, TO);
    let copy = Command::Copy {
        account,
        from,
        to,
        uids: uids.clone(),
    };
    let r#move = Command::Move {
        account,
        from,
        to,
        uids: uids.clone(),
    };
    let expunge = Command::Expunge {
        account,
        mailbox: A,
        uids: None,
    };
    let begin = Command::BeginMove(NewMove {
        id: MoveId(1),
        from: Home {
            account,
            mailbox: A,
            uid_validity: A_VALIDITY,
        },
        uids: uids.clone(),
        to_account: BOB,
        to_mailbox: MailboxId::INBOX,
    });
    let end = Command::EndMove(EndedMove {
        id: MoveId(1),
        account,
        mailbox: A,
        uids: uids.clone(),
    });
    let remove = Command::Remove {
        account,
        mailbox: A,
        uids,
    };
    vec![
        case(copy, &[(A, "r"), (TO, "i")]),
        case(r#move, &[(A, "rte"), (TO, "i")]),
        case(expunge, &[(A, "re")]),
        case(remove, &[(A, "rte")]),
        case(begin, &[(A, "rte")]),
        case(end, &[(A, "rte")]),
    ]
}

/// What only the owner does.
pub fn owners() -> Vec<Command> {
    let account = ACCOUNT;
    vec![
        Command::DeleteAccount { account },
        Command::Subscribe {
            account,
            name: "a".into(),
            on: true,
        },
        Command::Purge {
            account,
            mailbox: A,
            from: Uid(1),
        },
        Command::Undelete {
            account,
            from: A,
            to: A,
            uids: uid(1),
            since: None,
        },
        Command::RestoreMailbox {
            account,
            mailbox: A,
            name: None,
        },
        Command::SetQuota {
            account,
            bytes: None,
            messages: None,
        },
        Command::SetRetention {
            account,
            retention: None,
        },
        rename("inbox", "a/inbox"),
        create("a/sent", Some(SpecialUse::Sent)),
        annotate(None, BOB, None),
        annotate(Some(A), BOB, Some(None)),
    ]
}
