//! Values as bytes and back; bytes that no value encodes to.

use bytes::Bytes;
use mailbox::codec::{
    decode_command, decode_envelope, decode_outcome, decode_query, encode_command, encode_envelope,
    encode_outcome, encode_query,
};
use mailbox::{
    AccountId, Annotate, BodySource, Command, Confirmed, Deliver, Delivered, Envelope, Flags,
    Hash16, Lane, MailboxId, Millis, ModSeq, NewBody, NewFolder, NewGrant, NewMessage, NewMetadata,
    Outcome, Query, Recipient, Rejection, Replaced, Reply, Rights, SpecialUse, Stamp, StoreMode,
    SystemFlags, Uid, UidRanges, UidValidity, UploadId,
};
use proptest::prelude::*;

use crate::codec_moves;

pub fn account() -> impl Strategy<Value = AccountId> {
    any::<u64>().prop_map(AccountId)
}

pub fn mailbox() -> impl Strategy<Value = MailboxId> {
    any::<u64>().prop_map(MailboxId)
}

fn name() -> impl Strategy<Value = String> {
    "\\PC{0,8}"
}

fn special_use() -> impl Strategy<Value = Option<SpecialUse>> {
    proptest::option::of(proptest::sample::select(SpecialUse::ALL.to_vec()))
}

pub fn uids() -> impl Strategy<Value = UidRanges> {
    let low = (1..200u32, 0..20u32);
    let high = (u32::MAX - 50..=u32::MAX, 0..20u32);
    proptest::collection::vec(prop_oneof![low, high], 0..8).prop_map(|ranges| {
        let mut uids = UidRanges::new();
        for (first, more) in ranges {
            uids.insert_range(Uid(first), Uid(first.saturating_add(more)));
        }
        uids
    })
}

fn flags() -> impl Strategy<Value = Flags> {
    (0..32u8, proptest::collection::vec("[a-cA-C$]{1,3}", 0..5)).prop_map(|(bits, keywords)| {
        Flags::new(SystemFlags::from_bits(bits).expect("five bits"), keywords)
    })
}

fn body() -> impl Strategy<Value = NewBody> {
    let source = prop_oneof![
        Just(BodySource::Inline),
        any::<u128>().prop_map(|id| BodySource::Upload(UploadId(id)))
    ];
    (any::<[u8; 16]>(), any::<u64>(), source).prop_map(|(hash, length, source)| NewBody {
        hash: Hash16(hash),
        length,
        source,
    })
}

fn deliver() -> impl Strategy<Value = Deliver> {
    let recipient = (
        account(),
        name(),
        proptest::option::of(name()),
        any::<Vec<u8>>(),
    )
        .prop_map(|(account, address, folder, prefix)| Recipient {
            account,
            address,
            folder,
            prefix: prefix.into(),
        });
    let confirmed =
        (any::<u64>(), any::<u64>()).prop_map(|(lane, sequence)| Confirmed { lane, sequence });
    (
        name(),
        proptest::collection::vec(recipient, 0..4),
        body(),
        any::<u64>(),
        any::<bool>(),
        proptest::collection::vec(confirmed, 0..3),
    )
        .prop_map(
            |(sender, recipients, body, received, suppress_duplicates, confirmed)| Deliver {
                sender,
                recipients,
                body,
                received: Millis(received),
                suppress_duplicates,
                confirmed,
            },
        )
}

fn upload() -> impl Strategy<Value = UploadId> {
    any::<u128>().prop_map(UploadId)
}

/// Commands on accounts and names.
fn name_command() -> impl Strategy<Value = Command> {
    let folder =
        (name(), special_use()).prop_map(|(name, special_use)| NewFolder { name, special_use });
    let folders = proptest::collection::vec(folder, 0..3);
    let create = |(account, folders, quota_bytes)| Command::CreateAccount {
        account,
        folders,
        quota_bytes,
    };
    let create_mailbox = |(account, name, special_use)| Command::CreateMailbox {
        account,
        name,
        special_use,
    };
    prop_oneof![
        (account(), folders, any::<Option<u64>>()).prop_map(create),
        account().prop_map(|account| Command::DeleteAccount { account }),
        (account(), name(), special_use()).prop_map(create_mailbox),
        (account(), name()).prop_map(|(account, name)| Command::DeleteMailbox { account, name }),
        (account(), name(), name()).prop_map(|(account, from, to)| Command::RenameMailbox {
            account,
            from,
            to
        }),
        (account(), name(), any::<bool>()).prop_map(|(account, name, on)| Command::Subscribe {
            account,
            name,
            on
        }),
        Just(Command::Tick),
    ]
}

fn append_many() -> impl Strategy<Value = Command> {
    let message = (flags(), any::<u64>(), body()).prop_map(|(flags, date, body)| NewMessage {
        flags,
        date: Millis(date),
        body,
    });
    let replaced = (mailbox(), any::<u32>()).prop_map(|(mailbox, uid)| Replaced {
        mailbox,
        uid: Uid(uid),
    });
    let messages = proptest::collection::vec(message, 0..4);
    let replaced = proptest::option::of(replaced);
    (account(), mailbox(), messages, replaced).prop_map(|(account, mailbox, messages, replaced)| {
        Command::AppendMany {
            account,
            mailbox,
            messages,
            replaced,
        }
    })
}

/// Commands on messages and bodies.
fn message_command() -> impl Strategy<Value = Command> {
    let modes = vec![StoreMode::Add, StoreMode::Remove, StoreMode::Replace];
    let mode = proptest::sample::select(modes);
    let chunk = |(upload, account, number, length)| Command::Chunk {
        upload,
        account,
        number,
        length,
    };
    let append = |(account, mailbox, flags, date, body)| Command::Append {
        account,
        mailbox,
        flags,
        date: Millis(date),
        body,
    };
    let store = |(account, mailbox, uids, mode, flags, since): (_, _, _, _, _, Option<u64>)| {
        let unchanged_since = since.map(ModSeq);
        Command::Store {
            account,
            mailbox,
            uids,
            mode,
            flags,
            unchanged_since,
        }
    };
    prop_oneof![
        deliver().prop_map(Command::Deliver),
        (upload(), account(), any::<u32>(), any::<u32>()).prop_map(chunk),
        upload().prop_map(|upload| Command::DropUpload { upload }),
        (account(), mailbox(), flags(), any::<u64>(), body()).prop_map(append),
        append_many(),
        (
            account(),
            mailbox(),
            uids(),
            mode,
            flags(),
            any::<Option<u64>>()
        )
            .prop_map(store),
        (account(), mailbox(), mailbox(), uids()).prop_map(|(account, from, to, uids)| {
            Command::Copy {
                account,
                from,
                to,
                uids,
            }
        }),
        (account(), mailbox(), mailbox(), uids()).prop_map(|(account, from, to, uids)| {
            Command::Move {
                account,
                from,
                to,
                uids,
            }
        }),
        (account(), mailbox(), proptest::option::of(uids())).prop_map(
            |(account, mailbox, uids)| Command::Expunge {
                account,
                mailbox,
                uids
            }
        ),
    ]
}

fn deleted_command() -> impl Strategy<Value = Command> {
    let time = || any::<Option<u64>>().prop_map(|time| time.map(Millis));
    prop_oneof![
        (account(), time())
            .prop_map(|(account, retention)| Command::SetRetention { account, retention }),
        any::<u64>().prop_map(|retention| Command::SetDefaultRetention {
            retention: Millis(retention)
        }),
        (account(), mailbox(), mailbox(), uids(), time()).prop_map(
            |(account, from, to, uids, since)| Command::Undelete {
                account,
                from,
                to,
                uids,
                since,
            }
        ),
        (account(), mailbox(), proptest::option::of(name())).prop_map(
            |(account, mailbox, name)| Command::RestoreMailbox {
                account,
                mailbox,
                name,
            }
        ),
        (account(), mailbox(), any::<u32>()).prop_map(|(account, mailbox, from)| {
            Command::Purge {
                account,
                mailbox,
                from: Uid(from),
            }
        }),
    ]
}

fn granted_command() -> impl Strategy<Value = Command> {
    let value = proptest::option::of(any::<Vec<u8>>());
    let entry = (name(), value).prop_map(|(name, value)| NewMetadata {
        name,
        value: value.map(Bytes::from),
    });
    let mailbox = proptest::option::of((1..=u64::MAX).prop_map(MailboxId));
    prop_oneof![
        (account(), any::<[Option<u64>; 2]>()).prop_map(|(account, [bytes, messages])| {
            Command::SetQuota {
                account,
                bytes,
                messages,
            }
        }),
        (
            account(),
            mailbox,
            account(),
            proptest::collection::vec(entry, 0..3),
            proptest::option::of(special_use())
        )
            .prop_map(|(account, mailbox, user, entries, special_use)| {
                match mailbox {
                    Some(mailbox) if entries.len() == 1 => Command::Annotate(Annotate {
                        account,
                        mailbox,
                        user,
                        entries,
                        special_use,
                    }),
                    mailbox => Command::SetMetadata {
                        account,
                        mailbox,
                        user,
                        entries,
                        special_use,
                    },
                }
            }),
    ]
}

fn grant_command() -> impl Strategy<Value = Command> {
    let modes = vec![StoreMode::Add, StoreMode::Remove, StoreMode::Replace];
    let rights = (0..2048u16).prop_map(|bits| Rights::from_bits(bits).expect("eleven bits"));
    let grant = (
        account(),
        name(),
        any::<bool>(),
        proptest::sample::select(modes),
        rights,
    )
        .prop_map(|(user, name, denies, mode, rights)| NewGrant {
            user,
            name,
            denies,
            mode,
            rights,
        });
    (account(), mailbox(), grant).prop_map(|(account, mailbox, grant)| Command::SetGrant {
        account,
        mailbox,
        grant,
    })
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        codec_moves::command(),
        grant_command(),
        name_command(),
        message_command(),
        deleted_command(),
        granted_command()
    ]
}

fn envelope() -> impl Strategy<Value = Envelope> {
    (any::<[u64; 6]>(), command()).prop_map(
        |([node, boot, lane, sequence, issued, time], command)| Envelope {
            stamp: Stamp {
                lane: Lane { node, boot, lane },
                sequence,
                issued: Millis(issued),
            },
            time: Millis(time),
            command,
        },
    )
}

fn rejection() -> impl Strategy<Value = Rejection> {
    proptest::sample::select(vec![
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
        Rejection::MoveLimit,
        Rejection::BeingMoved,
        Rejection::NoRight,
    ])
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let validity = || any::<u32>().prop_map(UidValidity);
    let modseq = || any::<u64>().prop_map(ModSeq);
    let delivered = prop_oneof![
        (mailbox(), any::<u32>()).prop_map(|(mailbox, uid)| Delivered::Stored {
            mailbox,
            uid: Uid(uid)
        }),
        proptest::sample::select(vec![
            Delivered::Duplicate,
            Delivered::NoAccount,
            Delivered::Moved,
            Delivered::OverQuota,
            Delivered::NoUpload,
            Delivered::MailboxFull,
        ]),
    ];
    prop_oneof![
        Just(Outcome::Forgotten),
        Just(Outcome::Moved),
        rejection().prop_map(Outcome::Rejected),
        Just(Outcome::Done(Reply::Nothing)),
        (mailbox(), validity()).prop_map(|(mailbox, uid_validity)| {
            Outcome::Done(Reply::Created {
                mailbox,
                uid_validity,
            })
        }),
        proptest::collection::vec(delivered, 0..5)
            .prop_map(|results| Outcome::Done(Reply::Delivered(results))),
        (validity(), any::<u32>(), modseq()).prop_map(|(uid_validity, uid, modseq)| {
            Outcome::Done(Reply::Appended {
                uid_validity,
                uid: Uid(uid),
                modseq,
            })
        }),
        (modseq(), uids())
            .prop_map(|(modseq, modified)| { Outcome::Done(Reply::Stored { modseq, modified }) }),
        (validity(), uids(), uids()).prop_map(|(uid_validity, from, to)| {
            Outcome::Done(Reply::Copied {
                uid_validity,
                from,
                to,
            })
        }),
        (validity(), uids(), uids(), modseq()).prop_map(|(uid_validity, from, to, modseq)| {
            Outcome::Done(Reply::Moved {
                uid_validity,
                from,
                to,
                modseq,
            })
        }),
        (uids(), modseq())
            .prop_map(|(uids, modseq)| Outcome::Done(Reply::Expunged { uids, modseq })),
        (
            validity(),
            uids(),
            uids(),
            modseq(),
            any::<u32>(),
            any::<Option<u32>>()
        )
            .prop_map(
                |(uid_validity, from, to, modseq, messages, next)| Outcome::Done(Reply::Restored {
                    uid_validity,
                    from,
                    to,
                    modseq,
                    messages,
                    next: next.map(Uid),
                })
            ),
        any::<(u64, u64, Option<u32>)>().prop_map(|(messages, bytes, next)| {
            Outcome::Done(Reply::Purged {
                messages,
                bytes,
                next: next.map(Uid),
            })
        }),
    ]
}

fn query() -> impl Strategy<Value = Query> {
    prop_oneof![
        account().prop_map(|account| Query::Folders { account }),
        (account(), name()).prop_map(|(account, name)| Query::Folder { account, name }),
        (account(), mailbox()).prop_map(|(account, mailbox)| Query::Open { account, mailbox }),
        (account(), mailbox(), any::<u64>()).prop_map(|(account, mailbox, since)| {
            Query::Changes {
                account,
                mailbox,
                since: ModSeq(since),
            }
        }),
        (account(), mailbox()).prop_map(|(account, mailbox)| Query::Remembered {
            account,
            mailbox,
            since: ModSeq(account.0),
        }),
        (
            account(),
            mailbox(),
            uids(),
            any::<Option<u64>>(),
            any::<u32>(),
            any::<bool>()
        )
            .prop_map(|(account, mailbox, uids, since, limit, include_expunged)| {
                Query::Messages {
                    account,
                    mailbox,
                    uids,
                    changed_since: since.map(ModSeq),
                    limit,
                    include_expunged,
                }
            }),
        (any::<u128>(), any::<u64>()).prop_map(|(id, length)| Query::Locate {
            upload: UploadId(id),
            length,
        }),
        account().prop_map(|account| Query::Usage { account }),
        (account(), mailbox(), any::<u32>(), any::<u32>()).prop_map(
            |(account, mailbox, from, limit)| Query::Deleted {
                account,
                mailbox,
                from: Uid(from),
                limit,
            }
        ),
        (account(), mailbox()).prop_map(|(account, from)| Query::DeletedFolders { account, from }),
        account().prop_map(|account| Query::Quota { account }),
        (account(), mailbox()).prop_map(|(account, mailbox)| Query::Grants { account, mailbox }),
        (account(), mailbox())
            .prop_map(|(account, mailbox)| Query::Reclaimable { account, mailbox }),
        (account(), proptest::option::of(mailbox()), account()).prop_map(
            |(account, mailbox, user)| Query::Metadata {
                account,
                mailbox,
                user,
            }
        ),
        codec_moves::query(),
        Just(Query::Digest),
    ]
}

proptest! {
    #[test]
    fn envelopes_survive(envelope in envelope()) {
        prop_assert_eq!(decode_envelope(&encode_envelope(&envelope)), Ok(envelope));
    }

    #[test]
    fn commands_survive(command in command()) {
        prop_assert_eq!(decode_command(&encode_command(&command)), Ok(command));
    }

    #[test]
    fn outcomes_survive(outcome in outcome()) {
        prop_assert_eq!(decode_outcome(&encode_outcome(&outcome)), Ok(outcome));
    }

    #[test]
    fn queries_survive(query in query(), actor in account()) {
        let behalf = Query::OnBehalf { actor, query: Box::new(query.clone()) };
        prop_assert_eq!(decode_query(&encode_query(&behalf)), Ok(behalf));
        prop_assert_eq!(decode_query(&encode_query(&query)), Ok(query));
    }

    /// Bytes are a command in one form only.
    #[test]
    fn changed_bytes_are_refused_or_another_command(
        envelope in envelope(),
        at in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
        insert in any::<bool>(),
    ) {
        let mut bytes = encode_envelope(&envelope).to_vec();
        let at = at.index(bytes.len());
        if insert {
            bytes.insert(at, byte);
        } else {
            bytes[at] = byte;
        }
        let bytes = Bytes::from(bytes);
        if let Ok(other) = decode_envelope(&bytes) {
            prop_assert_eq!(encode_envelope(&other), bytes);
        }
    }

    #[test]
    fn changed_outcomes_are_refused_or_other_outcomes(
        outcome in outcome(),
        at in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = encode_outcome(&outcome).to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let bytes = Bytes::from(bytes);
        if let Ok(other) = decode_outcome(&bytes) {
            prop_assert_eq!(encode_outcome(&other), bytes);
        }
    }
}

#[test]
fn a_field_of_a_later_version_is_refused() {
    let command = Command::DeleteAccount {
        account: AccountId(3),
    };
    let mut bytes = encode_command(&command).to_vec();
    // Field 200, a number, of the command itself.
    bytes.extend([0xc0, 0x0c, 1]);
    assert!(decode_command(&Bytes::from(bytes)).is_err());
    assert!(decode_command(&Bytes::new()).is_err());
}
