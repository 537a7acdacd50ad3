//! What the fixtures of the present format are made from: one of everything.

use bytes::Bytes;
use mailbox::{
    AccountId, Annotate, BodySource, Command, Confirmed, Deliver, Delivered, EndedMove, Envelope,
    Flags, Hash16, Home, Import, Lane, MailboxId, Millis, ModSeq, MoveId, NewBody, NewFolder,
    NewGrant, NewMessage, NewMetadata, NewMove, Outcome, Recipient, Rejection, Replaced, Reply,
    Rights, SpecialUse, Stamp, StoreMode, SystemFlags, Uid, UidRanges, UidValidity, UploadId,
    limits,
};

use crate::machine::{ALICE, BOB, Machine, START, uploaded};

fn uids() -> UidRanges {
    [3, 4, 5, 9].into_iter().map(Uid).collect()
}

fn flags() -> Flags {
    let system = SystemFlags::SEEN.with(SystemFlags::FLAGGED);
    Flags::new(system, vec!["$Work".into(), "old".into()])
}

fn body(source: BodySource) -> NewBody {
    NewBody {
        hash: Hash16([0xab; 16]),
        length: 4_000,
        source,
    }
}

fn commands() -> Vec<Command> {
    let (account, mailbox) = (AccountId(7), MailboxId(2));
    let (upload, name) = (UploadId(0x0123_4567_89ab), "Lists/öffentlich".to_owned());
    let special_use = Some(SpecialUse::Archive);
    let folders = vec![NewFolder {
        name: "Archive".into(),
        special_use,
    }];
    let deliver = |folder: Option<&str>, source| {
        Command::Deliver(Deliver {
            sender: "sender@example.org".into(),
            recipients: vec![Recipient {
                account,
                address: "alice+Lists@example.com".into(),
                folder: folder.map(str::to_owned),
                prefix: Bytes::from_static(b"Delivered-To: alice\r\n"),
            }],
            body: body(source),
            received: Millis(1_700_000_000_001),
            suppress_duplicates: folder.is_some(),
            confirmed: vec![Confirmed {
                lane: 5,
                sequence: 6,
            }],
        })
    };
    let store = |mode, unchanged_since| Command::Store {
        account,
        mailbox,
        uids: uids(),
        mode,
        flags: flags(),
        unchanged_since,
    };
    let (from, to) = (mailbox, MailboxId(3));
    vec![
        Command::CreateAccount {
            account,
            folders,
            quota_bytes: Some(1 << 30),
        },
        Command::DeleteAccount { account },
        Command::CreateMailbox {
            account,
            name: name.clone(),
            special_use,
        },
        Command::DeleteMailbox {
            account,
            name: name.clone(),
        },
        Command::RenameMailbox {
            account,
            from: name.clone(),
            to: "b".into(),
        },
        Command::Subscribe {
            account,
            name: name.clone(),
            on: true,
        },
        deliver(Some("Lists"), BodySource::Inline),
        deliver(None, BodySource::Upload(upload)),
        Command::Chunk {
            upload,
            account,
            number: 1,
            length: 1 << 20,
        },
        Command::DropUpload { upload },
        Command::Append {
            account,
            mailbox,
            flags: flags(),
            date: Millis(1_600_000_000_000),
            body: body(BodySource::Inline),
        },
        store(StoreMode::Add, None),
        store(StoreMode::Remove, Some(ModSeq(9))),
        store(StoreMode::Replace, None),
        Command::Copy {
            account,
            from,
            to,
            uids: uids(),
        },
        Command::Move {
            account,
            from,
            to,
            uids: uids(),
        },
        Command::Expunge {
            account,
            mailbox,
            uids: None,
        },
        Command::Expunge {
            account,
            mailbox,
            uids: Some(uids()),
        },
        Command::SetRetention {
            account,
            retention: Some(Millis(limits::RETENTION_MS)),
        },
        Command::SetDefaultRetention {
            retention: Millis(limits::RETENTION_MS_MIN),
        },
        Command::Undelete {
            account,
            from,
            to,
            uids: uids(),
            since: Some(Millis(1_700_000_000_000)),
        },
        Command::RestoreMailbox {
            account,
            mailbox,
            name: Some(name),
        },
        Command::Purge {
            account,
            mailbox,
            from: Uid(3),
        },
        Command::Tick,
        Command::SetQuota {
            account,
            bytes: Some(1 << 30),
            messages: Some(1_000),
        },
        Command::SetMetadata {
            account,
            mailbox: Some(mailbox),
            user: AccountId(8),
            entries: annotations(),
            special_use: Some(special_use),
        },
        Command::SetMetadata {
            account,
            mailbox: None,
            user: account,
            entries: Vec::new(),
            special_use: Some(None),
        },
        grant(account, mailbox, AccountId(8), StoreMode::Add),
        grant(account, mailbox, AccountId(0), StoreMode::Replace),
        Command::AppendMany {
            account,
            mailbox,
            messages: vec![
                NewMessage {
                    flags: flags(),
                    date: Millis(1_600_000_000_000),
                    body: body(BodySource::Upload(upload)),
                },
                NewMessage {
                    flags: Flags::default(),
                    date: Millis(1_600_000_000_001),
                    body: body(BodySource::Inline),
                },
            ],
            replaced: None,
        },
        Command::AppendMany {
            account,
            mailbox,
            messages: vec![NewMessage {
                flags: flags(),
                date: Millis(1_600_000_000_000),
                body: body(BodySource::Inline),
            }],
            replaced: Some(Replaced {
                mailbox: to,
                uid: Uid(9),
            }),
        },
        Command::OnBehalf {
            actor: AccountId(8),
            command: Box::new(Command::Expunge {
                account,
                mailbox,
                uids: Some(uids()),
            }),
        },
        Command::Import(Import {
            account,
            mailbox,
            messages: vec![NewMessage {
                flags: flags(),
                date: Millis(1_600_000_000_000),
                body: body(BodySource::Upload(upload)),
            }],
            origins: vec![Hash16([0xcd; 16])],
        }),
        Command::Remove {
            account,
            mailbox,
            uids: uids(),
        },
        Command::BeginMove(NewMove {
            id: MoveId(0x0123_4567_89ab),
            from: Home {
                account,
                mailbox,
                uid_validity: UidValidity(1_700_000_000),
            },
            uids: uids(),
            to_account: AccountId(8),
            to_mailbox: to,
        }),
        Command::EndMove(EndedMove {
            id: MoveId(0x0123_4567_89ab),
            account,
            mailbox,
            uids: uids(),
        }),
        Command::Annotate(Annotate {
            account,
            mailbox,
            user: AccountId(8),
            entries: annotations(),
            special_use: Some(special_use),
        }),
    ]
}

fn grant(account: AccountId, mailbox: MailboxId, user: AccountId, mode: StoreMode) -> Command {
    let is_anyone = user == AccountId(0);
    let name = if is_anyone { "" } else { "bob@example.org" };
    Command::SetGrant {
        account,
        mailbox,
        grant: NewGrant {
            user,
            name: name.to_owned(),
            denies: is_anyone,
            mode,
            rights: Rights::READ.with(Rights::ADMINISTER),
        },
    }
}

fn annotations() -> Vec<NewMetadata> {
    let entry = |name: &str, value: Option<&'static [u8]>| NewMetadata {
        name: name.to_owned(),
        value: value.map(Bytes::from_static),
    };
    vec![
        entry("/private/comment", Some(b"mine\0")),
        entry("/shared/comment", Some(b"")),
        entry("/shared/vendor/v/color", None),
    ]
}

pub fn envelopes() -> Vec<Envelope> {
    let lane = Lane {
        node: 1,
        boot: 2,
        lane: 3,
    };
    let stamp = |sequence| Stamp {
        lane,
        sequence,
        issued: Millis(1_700_000_000_500),
    };
    let envelope = |(sequence, command)| Envelope {
        stamp: stamp(sequence),
        time: Millis(1_700_000_001_000),
        command,
    };
    (1..).zip(commands()).map(envelope).collect()
}

pub fn outcomes() -> Vec<Outcome> {
    let (uid_validity, modseq, mailbox) = (UidValidity(1_700_000_000), ModSeq(12), MailboxId(2));
    let (from, to) = (uids(), [11, 12, 13, 14].into_iter().map(Uid).collect());
    let stored = Delivered::Stored {
        mailbox,
        uid: Uid(7),
    };
    let delivered = vec![
        stored,
        Delivered::Duplicate,
        Delivered::NoAccount,
        Delivered::Moved,
        Delivered::OverQuota,
        Delivered::NoUpload,
        Delivered::MailboxFull,
    ];
    let replies = [
        Reply::Nothing,
        Reply::Created {
            mailbox,
            uid_validity,
        },
        Reply::Delivered(delivered),
        Reply::Appended {
            uid_validity,
            uid: Uid(7),
            modseq,
        },
        Reply::Stored {
            modseq,
            modified: uids(),
        },
        Reply::Copied {
            uid_validity,
            from: from.clone(),
            to: UidRanges::clone(&to),
        },
        Reply::Moved {
            uid_validity,
            from: from.clone(),
            to: to.clone(),
            modseq,
        },
        Reply::Expunged {
            uids: uids(),
            modseq,
        },
        Reply::Restored {
            uid_validity,
            from,
            to,
            modseq,
            messages: 4,
            next: Some(Uid(20)),
        },
        Reply::Purged {
            messages: 4,
            bytes: 4_000,
            next: Some(Uid(20)),
        },
    ];
    let rejections = [
        Rejection::NoAccount,
        Rejection::NoMailbox,
        Rejection::Exists,
        Rejection::NotPermitted,
        Rejection::NameInvalid,
        Rejection::OverQuota,
        Rejection::TooMany,
        Rejection::NoUpload,
        Rejection::UploadLimit,
        Rejection::KeywordLimit,
        Rejection::MailboxLimit,
        Rejection::MailboxFull,
        Rejection::SequenceUsed,
        Rejection::Invalid,
        Rejection::MetadataLimit,
        Rejection::GrantLimit,
        Rejection::NoMessage,
        Rejection::NoRight,
        Rejection::MoveLimit,
        Rejection::BeingMoved,
    ];
    replies
        .into_iter()
        .map(Outcome::Done)
        .chain(rejections.map(Outcome::Rejected))
        .chain([Outcome::Forgotten, Outcome::Moved])
        .collect()
}

/// A machine that has a row of every kind.
pub fn machine() -> Machine {
    const CAROL: AccountId = AccountId(3);
    let mut machine = Machine::with_account(ALICE);
    machine.create_account(BOB, &["Lists"], Some(1 << 30));
    machine.create_account(CAROL, &[], None);
    for content in 0..5 {
        machine.deliver(&[ALICE, BOB], content, 100 + content);
    }
    let upload = UploadId(77);
    machine.upload(upload, ALICE, &[1 << 20, 500]);
    machine.done(Command::Append {
        account: ALICE,
        mailbox: MailboxId::INBOX,
        flags: flags(),
        date: START,
        body: uploaded(upload, (1 << 20) + 500),
    });
    machine.upload(UploadId(78), BOB, &[300]);
    let inbox = MailboxId::INBOX;
    let act = |account, on: &[u32], mode, flags| Command::Store {
        account,
        mailbox: inbox,
        uids: on.iter().copied().map(Uid).collect(),
        mode,
        flags,
        unchanged_since: None,
    };
    let deleted = Flags::system(SystemFlags::DELETED);
    machine.done(act(ALICE, &[1, 4], StoreMode::Add, flags()));
    machine.done(act(ALICE, &[1, 2], StoreMode::Add, deleted.clone()));
    machine.done(act(BOB, &[1], StoreMode::Add, deleted));
    let expunge = |account| Command::Expunge {
        account,
        mailbox: inbox,
        uids: None,
    };
    machine.done(expunge(ALICE));
    machine.done(expunge(BOB));
    machine.done(Command::Move {
        account: BOB,
        from: inbox,
        to: MailboxId(2),
        uids: [3].into_iter().map(Uid).collect(),
    });
    machine.done(Command::Purge {
        account: BOB,
        mailbox: inbox,
        from: Uid(1),
    });
    machine.done(Command::Move {
        account: ALICE,
        from: inbox,
        to: inbox,
        uids: [3].into_iter().map(Uid).collect(),
    });
    machine.done(Command::DeleteMailbox {
        account: BOB,
        name: "Lists".into(),
    });
    machine.done(Command::Subscribe {
        account: BOB,
        name: "elsewhere".into(),
        on: true,
    });
    machine.done(Command::SetRetention {
        account: BOB,
        retention: Some(Millis(limits::RETENTION_MS_MIN)),
    });
    machine.done(Command::SetDefaultRetention {
        retention: Millis(2 * limits::RETENTION_MS_MIN),
    });
    machine.done(Command::DeleteAccount { account: CAROL });
    machine.check();
    machine
}

/// A machine that has rows of the kinds that came later.
pub fn later_machine() -> Machine {
    let mut machine = Machine::with_account(ALICE);
    machine.done(Command::SetQuota {
        account: ALICE,
        bytes: None,
        messages: Some(100),
    });
    machine.done(Command::SetMetadata {
        account: ALICE,
        mailbox: Some(MailboxId::INBOX),
        user: ALICE,
        entries: annotations(),
        special_use: None,
    });
    for user in [AccountId(0), BOB] {
        machine.done(grant(ALICE, MailboxId::INBOX, user, StoreMode::Add));
    }
    machine.check();
    machine
}

/// A machine that a message was moved to from another account.
pub fn moved_machine() -> Machine {
    let mut machine = Machine::with_account(ALICE);
    let import = Command::Import(Import {
        account: ALICE,
        mailbox: MailboxId::INBOX,
        messages: vec![NewMessage {
            flags: flags(),
            date: START,
            body: crate::machine::inline(1, 100),
        }],
        origins: vec![Hash16([0xcd; 16])],
    });
    machine.done_with(import, 100);
    machine.check();
    machine
}

/// A machine out of which a message is being moved to another account.
pub fn moving_machine() -> Machine {
    let mut machine = Machine::with_account(ALICE);
    machine.append(ALICE, MailboxId::INBOX, 100);
    let from = Home {
        account: ALICE,
        mailbox: MailboxId::INBOX,
        uid_validity: machine.open(ALICE, MailboxId::INBOX).folder.uid_validity,
    };
    machine.done(Command::BeginMove(NewMove {
        id: MoveId(77),
        from,
        uids: [1].into_iter().map(Uid).collect(),
        to_account: BOB,
        to_mailbox: MailboxId(2),
    }));
    machine.check();
    machine
}
