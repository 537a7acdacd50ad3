//! What a user may do in the account of another (RFC 4314 section 4), right by right.

use mailbox::codec::{decode_command, decode_query, encode_command, encode_query};
use mailbox::{
    AccountId, Answer, Command, Flags, Hash16, Import, MailboxId, NewGrant, NewMessage,
    NewMetadata, Outcome, Query, QueryError, Rejection, Reply, Rights, StoreMode, SystemFlags, Uid,
    UidRanges, UidValidity,
};

use crate::behalf_cases::{Case, annotate, cases, owners};
use crate::machine::{ALICE, BOB, Machine, START, inline};

/// Alice's mailboxes: `a`, which bob has rights on, `a/b` below it, and `to`.
pub const A: MailboxId = MailboxId(2);
pub const A_VALIDITY: UidValidity = UidValidity(1_700_000_001);
pub const BELOW: MailboxId = MailboxId(3);
pub const TO: MailboxId = MailboxId(4);

fn rights(letters: &str) -> Rights {
    Rights::parse(letters).expect("letters")
}

fn give(machine: &mut Machine, user: AccountId, mailbox: MailboxId, denies: bool, rights: Rights) {
    let name = if user == AccountId(0) { "" } else { "bob" };
    machine.done(Command::SetGrant {
        account: ALICE,
        mailbox,
        grant: NewGrant {
            user,
            name: name.to_owned(),
            denies,
            mode: StoreMode::Replace,
            rights,
        },
    });
}

pub fn uid(uid: u32) -> UidRanges {
    [Uid(uid)].into_iter().collect()
}

pub fn message(flags: Flags) -> NewMessage {
    NewMessage {
        flags,
        date: START,
        body: inline(1, 100),
    }
}

/// A machine in which alice has three messages in `a`, one of them `\Deleted`, and one in `to`.
fn machine() -> Machine {
    let mut machine = Machine::new();
    machine.create_account(ALICE, &["a", "a/b", "to"], None);
    for (mailbox, flags) in [
        (A, SystemFlags::NONE),
        (A, SystemFlags::DELETED.with(SystemFlags::SEEN)),
        (A, SystemFlags::FLAGGED),
        (TO, SystemFlags::NONE),
    ] {
        let NewMessage { flags, date, body } = message(Flags::system(flags));
        let append = Command::Append {
            account: ALICE,
            mailbox,
            flags,
            date,
            body,
        };
        machine.done_with(append, 100);
    }
    machine
}

fn on_behalf(command: Command) -> Command {
    Command::OnBehalf {
        actor: BOB,
        command: Box::new(command),
    }
}

fn ask(machine: &Machine, query: Query) -> Result<Answer, QueryError> {
    machine.try_ask(&Query::OnBehalf {
        actor: BOB,
        query: Box::new(query),
    })
}

/// Each command is done with just the rights that it needs, and refused if one of them is missing
/// though all others are there: without a hint of the mailbox if it may not be looked up.
#[test]
fn every_command_needs_its_rights_and_no_others() {
    for case in cases() {
        let mut machine = machine();
        for (mailbox, letters) in &case.needs {
            give(&mut machine, BOB, *mailbox, false, rights(letters));
        }
        let command = on_behalf(case.command.clone());
        let outcome = machine.run_with(command.clone(), case.riding);
        assert!(
            matches!(outcome, Outcome::Done(_)),
            "{outcome:?} to {command:?}"
        );
        machine.check();
        for (at, letters) in &case.needs {
            for letter in letters.chars() {
                refused_without(&case, *at, rights(&letter.to_string()));
            }
        }
    }
}

fn refused_without(case: &Case, at: MailboxId, missing: Rights) {
    // Of several that would do, none.
    let missing = match &case.command {
        Command::SetMetadata { .. } | Command::Annotate(_) if missing == Rights::POST => {
            rights("rswip")
        }
        _ => missing,
    };
    for (looks_up, wanted) in [(true, Rejection::NoRight), (false, Rejection::NoMailbox)] {
        let mut machine = machine();
        for (mailbox, _) in &case.needs {
            give(&mut machine, BOB, *mailbox, false, Rights::ALL);
        }
        let mut left = Rights::ALL.without(missing);
        if !looks_up {
            left = left.without(rights("lr"));
        }
        give(&mut machine, BOB, at, false, left);
        let command = on_behalf(case.command.clone());
        let Outcome::Rejected(rejection) = machine.run_with(command.clone(), case.riding) else {
            panic!("{command:?} without {missing}");
        };
        assert_eq!(
            rejection, wanted,
            "{command:?} without {missing}, of {left}"
        );
        machine.check();
    }
}

/// What is not a matter of mailboxes is the owner's alone, whatever rights there are.
#[test]
fn the_rest_is_the_owners() {
    let account = ALICE;
    let mut machine = machine();
    for mailbox in [MailboxId::INBOX, A, BELOW, TO] {
        give(&mut machine, BOB, mailbox, false, Rights::ALL);
    }
    for command in owners() {
        assert_eq!(machine.rejected(on_behalf(command)), Rejection::NoRight);
    }
    let top = Command::CreateMailbox {
        account,
        name: "top".into(),
        special_use: None,
    };
    assert_eq!(machine.rejected(on_behalf(top)), Rejection::NoMailbox);
    let annotates_for_alice = annotate(Some(A), ALICE, None);
    assert_eq!(
        machine.rejected(on_behalf(annotates_for_alice)),
        Rejection::Invalid
    );
    for query in [
        Query::Usage { account },
        Query::Metadata {
            account,
            mailbox: None,
            user: ALICE,
        },
        Query::DeletedFolders {
            account,
            from: MailboxId(0),
        },
        Query::Digest,
    ] {
        assert_eq!(ask(&machine, query), Err(QueryError::NoRight));
    }
}

/// Flags that may not be set are left alone by STORE, and lost by COPY, MOVE and APPEND; STORE
/// fails only if none of them may be set (RFC 4314 section 4).
#[test]
fn flags_that_may_not_be_set() {
    let everything = SystemFlags::SEEN
        .with(SystemFlags::DELETED)
        .with(SystemFlags::FLAGGED);
    let flags = Flags::new(everything, ["word".into()]);
    let kept = |letters: &str| match letters {
        "s" => Flags::system(SystemFlags::SEEN),
        "t" => Flags::system(SystemFlags::DELETED),
        _ => Flags::new(SystemFlags::FLAGGED, ["word".into()]),
    };
    for letters in ["s", "t", "w"] {
        let mut machine = machine();
        give(&mut machine, BOB, A, false, rights("lrte"));
        give(
            &mut machine,
            BOB,
            TO,
            false,
            rights("lri").with(rights(letters)),
        );
        let store = |mailbox, uids, mode, flags| Command::Store {
            account: ALICE,
            mailbox,
            uids,
            mode,
            flags,
            unchanged_since: None,
        };
        machine.done(store(A, uid(1), StoreMode::Replace, flags.clone()));
        machine.done(on_behalf(Command::Copy {
            account: ALICE,
            from: A,
            to: TO,
            uids: uid(1),
        }));
        machine.done(on_behalf(Command::Move {
            account: ALICE,
            from: A,
            to: TO,
            uids: uid(1),
        }));
        machine.done_with(
            on_behalf(Command::Append {
                account: ALICE,
                mailbox: TO,
                flags: flags.clone(),
                date: START,
                body: inline(2, 100),
            }),
            100,
        );
        machine.done(on_behalf(store(TO, uid(1), StoreMode::Add, flags.clone())));
        for at in [1, 2, 3, 4] {
            assert_eq!(
                flags_of(&machine, TO, at),
                kept(letters),
                "{at} with {letters}"
            );
        }
        // Others stay as they are when all are replaced.
        machine.done(store(TO, uid(1), StoreMode::Replace, flags.clone()));
        let replace = store(TO, uid(1), StoreMode::Replace, Flags::default());
        machine.done(on_behalf(replace));
        let left = flags_of(&machine, TO, 1);
        assert_eq!(left.system, everything.without(kept(letters).system));
        assert_eq!(left.keywords().is_empty(), letters == "w");
        // None of them at all.
        give(&mut machine, BOB, TO, false, rights("lri"));
        for mode in [StoreMode::Add, StoreMode::Remove, StoreMode::Replace] {
            let command = on_behalf(store(TO, uid(1), mode, flags.clone()));
            assert_eq!(machine.rejected(command), Rejection::NoRight);
        }
    }
}

fn flags_of(machine: &Machine, mailbox: MailboxId, at: u32) -> Flags {
    let query = Query::Messages {
        account: ALICE,
        mailbox,
        uids: uid(at),
        changed_since: None,
        limit: 1,
        include_expunged: false,
    };
    match machine.ask(&query) {
        Answer::Messages(page) => page.messages[0].flags.clone(),
        other => panic!("{other:?}"),
    }
}

/// What a mailbox is asked about needs `r`, `a`, or `l` and one more; and says what may be done.
#[test]
fn every_query_needs_its_rights() {
    let account = ALICE;
    let mailbox = A;
    let cases = [
        (Query::Open { account, mailbox }, "r"),
        (
            Query::Changes {
                account,
                mailbox,
                since: mailbox::ModSeq(0),
            },
            "r",
        ),
        (
            Query::Remembered {
                account,
                mailbox,
                since: mailbox::ModSeq(0),
            },
            "r",
        ),
        (
            Query::Messages {
                account,
                mailbox,
                uids: uid(1),
                changed_since: None,
                limit: 1,
                include_expunged: false,
            },
            "r",
        ),
        (Query::Reclaimable { account, mailbox }, "r"),
        (Query::Marked { account, mailbox }, "re"),
        (Query::Quota { account }, "r"),
        (Query::Grants { account, mailbox }, "a"),
        (
            Query::Metadata {
                account,
                mailbox: Some(mailbox),
                user: BOB,
            },
            "ls",
        ),
    ];
    for (query, letters) in cases {
        let mut machine = machine();
        give(&mut machine, BOB, A, false, rights(letters));
        let answer = ask(&machine, query.clone());
        assert!(answer.is_ok(), "{answer:?} to {query:?}");
        let (missing, all) = match letters {
            "ls" => (rights("rswip"), Rights::ALL),
            letters => (rights(letters), Rights::ALL),
        };
        give(&mut machine, BOB, A, false, all.without(missing));
        assert_eq!(
            ask(&machine, query.clone()),
            Err(QueryError::NoRight),
            "{query:?}"
        );
        give(
            &mut machine,
            BOB,
            A,
            false,
            all.without(missing).without(rights("lr")),
        );
        if !matches!(query, Query::Quota { .. }) {
            assert_eq!(
                ask(&machine, query.clone()),
                Err(QueryError::NoMailbox),
                "{query:?}"
            );
        }
    }
    let mut machine = machine();
    give(&mut machine, BOB, A, false, rights("lrs"));
    let Ok(Answer::Opened(opened)) = ask(&machine, Query::Open { account, mailbox }) else {
        panic!("it is opened");
    };
    assert_eq!(opened.folder.guest, Some(rights("lrs")));
}

/// Of all annotations there are those of mailboxes where he may see them.
#[test]
fn annotations_of_all_mailboxes() {
    let everything = Query::Metadata {
        account: ALICE,
        mailbox: None,
        user: BOB,
    };
    for (letters, count) in [("", 0), ("l", 0), ("s", 0), ("ls", 1), ("lr", 1), ("lt", 0)] {
        let mut machine = machine();
        for mailbox in [None, Some(A), Some(TO)] {
            let entry = NewMetadata {
                name: "/shared/comment".into(),
                value: Some("x".into()),
            };
            machine.done(Command::SetMetadata {
                account: ALICE,
                mailbox,
                user: ALICE,
                entries: vec![entry],
                special_use: None,
            });
        }
        give(&mut machine, BOB, A, false, rights(letters));
        let Ok(Answer::Metadata(found)) = ask(&machine, everything.clone()) else {
            panic!("annotations");
        };
        assert_eq!(found.len(), count, "{letters}");
        assert!(found.iter().all(|one| one.mailbox == A), "{letters}");
        machine.done(Command::DeleteMailbox {
            account: ALICE,
            name: "a".into(),
        });
        let found = ask(&machine, everything.clone());
        assert_eq!(found, Ok(Answer::Metadata(Vec::new())), "{letters}");
    }
}

/// `l` shows a mailbox among all; any right but `s`, `w`, `t`, `e` and `p` lets it be named.
#[test]
fn who_sees_a_mailbox() {
    for (right, letter) in Rights::LETTERS {
        let mut machine = machine();
        give(&mut machine, BOB, A, false, right);
        let Ok(Answer::Folders(all)) = ask(&machine, Query::Folders { account: ALICE }) else {
            panic!("all mailboxes");
        };
        assert_eq!(all.len(), usize::from(right == Rights::LOOKUP), "{letter}");
        let name = "a".to_owned();
        let folder = Query::Folder {
            account: ALICE,
            name,
        };
        let Ok(Answer::Folder(one)) = ask(&machine, folder) else {
            panic!("one mailbox");
        };
        let is_known = "lrikxa".contains(letter);
        assert_eq!(
            one.and_then(|one| one.guest),
            is_known.then_some(right),
            "{letter}"
        );
    }
}

/// Rights of anyone count for everybody, and those that are denied do not, whoever gave them.
#[test]
fn rights_of_anyone_and_denied_ones() {
    let mut machine = machine();
    let open = || Query::Open {
        account: ALICE,
        mailbox: A,
    };
    give(&mut machine, AccountId(0), A, false, rights("lr"));
    assert!(ask(&machine, open()).is_ok());
    give(&mut machine, BOB, A, true, rights("r"));
    assert_eq!(ask(&machine, open()), Err(QueryError::NoRight));
    give(&mut machine, BOB, A, true, Rights::NONE);
    assert!(ask(&machine, open()).is_ok());
    give(&mut machine, AccountId(0), A, true, rights("r"));
    give(&mut machine, BOB, A, false, rights("r"));
    assert_eq!(ask(&machine, open()), Err(QueryError::NoRight));
}

/// An account that is gone looks like a mailbox that is not there.
#[test]
fn accounts_that_are_gone() {
    let mut machine = machine();
    give(&mut machine, BOB, A, false, Rights::ALL);
    machine.done(Command::DeleteAccount { account: ALICE });
    let expunge = |account| {
        on_behalf(Command::Expunge {
            account,
            mailbox: A,
            uids: None,
        })
    };
    for account in [ALICE, AccountId(99)] {
        assert_eq!(machine.rejected(expunge(account)), Rejection::NoMailbox);
        let open = Query::Open {
            account,
            mailbox: A,
        };
        assert_eq!(ask(&machine, open), Err(QueryError::NoMailbox));
        assert_eq!(
            ask(&machine, Query::Folders { account }),
            Err(QueryError::NoMailbox)
        );
    }
}

/// A MOVE from another account that is tried again adds nothing, unless what had come is gone.
#[test]
fn what_is_moved_here_comes_once() {
    let mut machine = machine();
    let import = |origins: &[u8]| {
        let origins: Vec<Hash16> = origins.iter().map(|byte| Hash16([*byte; 16])).collect();
        Command::Import(Import {
            account: ALICE,
            mailbox: TO,
            messages: origins
                .iter()
                .map(|_| message(Flags::default()))
                .take(1)
                .collect(),
            origins,
        })
    };
    let to = |reply| match reply {
        Reply::Copied { to, .. } => to,
        other => panic!("{other:?}"),
    };
    assert_eq!(to(machine.done_with(import(&[1]), 100)), uid(2));
    assert_eq!(to(machine.done_with(import(&[1]), 100)), UidRanges::new());
    assert_eq!(to(machine.done_with(import(&[2]), 100)), uid(3));
    assert_eq!(machine.open(ALICE, TO).uids.len(), 3);
    // It was deleted there, and is moved there again.
    machine.done(Command::Remove {
        account: ALICE,
        mailbox: TO,
        uids: uid(2),
    });
    assert_eq!(to(machine.done_with(import(&[1]), 100)), uid(4));
    machine.check();
    // Long after.
    machine.advance(mailbox::limits::DUPLICATE_LIFE_MS);
    assert_eq!(to(machine.done_with(import(&[1]), 100)), uid(5));
    machine.settle();
    machine.check();
    assert_eq!(machine.rejected(import(&[])), Rejection::Invalid);
}

/// Whoever acts on behalf of another does not so on behalf of a third.
#[test]
fn on_the_wire() {
    let commands = cases().into_iter().map(|case| case.command).chain(owners());
    for command in commands {
        let whole = on_behalf(command);
        let bytes = encode_command(&whole);
        assert_eq!(decode_command(&bytes).as_ref(), Ok(&whole));
        assert!(decode_command(&encode_command(&on_behalf(whole))).is_err());
    }
    let asked = |query| Query::OnBehalf {
        actor: BOB,
        query: Box::new(query),
    };
    let nested = asked(asked(Query::Digest));
    assert!(decode_query(&encode_query(&nested)).is_err());
}
