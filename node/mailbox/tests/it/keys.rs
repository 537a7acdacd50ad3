//! Keys: bytes and back, and the same order.

use mailbox::keys::{AccountKey, Due, Key};
use mailbox::{AccountId, Lane, MailboxId, Millis, ModSeq, MoveId, Uid, UploadId};
use proptest::prelude::*;

/// Small and large numbers, so that some are equal.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..3u64, any::<u64>()]
}

fn account_key() -> impl Strategy<Value = AccountKey> {
    let mailbox = || number().prop_map(MailboxId);
    prop_oneof![
        Just(AccountKey::State),
        "[ab/]{0,4}|\\PC{0,6}".prop_map(AccountKey::Name),
        mailbox().prop_map(AccountKey::Folder),
        (mailbox(), any::<u32>()).prop_map(|(id, number)| AccountKey::Keyword(id, number)),
        (mailbox(), number(), any::<u32>()).prop_map(|(id, modseq, part)| AccountKey::Change(
            id,
            ModSeq(modseq),
            part
        )),
        (mailbox(), any::<u32>()).prop_map(|(id, uid)| AccountKey::Message(id, Uid(uid))),
        "[ab/]{0,4}|\\PC{0,6}".prop_map(AccountKey::Vacant),
        (mailbox(), number()).prop_map(|(id, user)| AccountKey::Grant(id, AccountId(user))),
        any::<u128>().prop_map(|id| AccountKey::Move(MoveId(id))),
        (mailbox(), number(), "[ab/]{0,4}").prop_map(|(id, user, name)| AccountKey::Metadata(
            id,
            AccountId(user),
            name
        )),
    ]
}

fn due() -> impl Strategy<Value = Due> {
    prop_oneof![
        (number(), number())
            .prop_map(|(id, mailbox)| Due::Folder(AccountId(id), MailboxId(mailbox))),
        number().prop_map(|id| Due::Account(AccountId(id))),
        any::<u128>().prop_map(|id| Due::Upload(UploadId(id))),
        (number(), number())
            .prop_map(|(id, mailbox)| Due::Retention(AccountId(id), MailboxId(mailbox))),
        (number(), number())
            .prop_map(|(id, mailbox)| Due::Retentions(AccountId(id), MailboxId(mailbox))),
    ]
}

fn key() -> impl Strategy<Value = Key> {
    prop_oneof![
        Just(Key::Meta),
        (number(), number(), number()).prop_map(|(node, boot, lane)| Key::Lane(Lane {
            node,
            boot,
            lane
        })),
        any::<[u8; 16]>().prop_map(Key::Duplicate),
        any::<u128>().prop_map(|id| Key::Upload(UploadId(id))),
        (0..2u128, any::<u32>()).prop_map(|(id, number)| Key::Chunk(UploadId(id), number)),
        (number(), due()).prop_map(|(time, due)| Key::Due(Millis(time), due)),
        (number(), account_key()).prop_map(|(id, key)| Key::Of(AccountId(id), key)),
        (number(), number(), any::<u128>()).prop_map(|(time, id, moved)| Key::Move(
            Millis(time),
            AccountId(id),
            MoveId(moved)
        )),
    ]
}

proptest! {
    #[test]
    fn keys_survive_as_bytes(key in key()) {
        prop_assert_eq!(Key::decode(&key.encode()), Ok(key));
    }

    #[test]
    fn bytes_have_the_order_of_keys(a in key(), b in key()) {
        prop_assert_eq!(a.encode().cmp(&b.encode()), a.cmp(&b));
    }

    #[test]
    fn other_bytes_are_refused(bytes in proptest::collection::vec(0..9u8, 0..30)) {
        if let Ok(key) = Key::decode(&bytes) {
            prop_assert_eq!(key.encode(), bytes);
        }
    }
}
