//! What happens in random histories.

use std::collections::BTreeSet;

use mailbox::{Flags, StoreMode, SystemFlags, limits};
use proptest::prelude::*;

/// Names of mailboxes, few, so that they meet.
pub const NAMES: [&str; 7] = ["INBOX", "a", "a/b", "a/b/c", "b", "b/x", "INBOX/k"];

#[derive(Clone, Debug)]
pub enum Step {
    Create(usize),
    Delete(usize),
    Rename(usize, usize),
    Subscribe(usize, bool),
    Deliver {
        both: bool,
        content: u64,
        size: u64,
    },
    Append {
        name: usize,
        flags: Flags,
        size: u64,
    },
    Store {
        name: usize,
        uids: BTreeSet<u32>,
        mode: StoreMode,
        flags: Flags,
    },
    /// STORE with the MODSEQ that the client of the mailbox knows.
    StoreUnchanged {
        name: usize,
        uids: BTreeSet<u32>,
        flags: Flags,
    },
    Copy {
        from: usize,
        to: usize,
        uids: BTreeSet<u32>,
        and_expunge: bool,
    },
    Expunge {
        name: usize,
        uids: Option<BTreeSet<u32>>,
    },
    /// Some of what was expunged comes back.
    Undelete {
        from: usize,
        to: usize,
        uids: BTreeSet<u32>,
        /// What was expunged before that many milliseconds ago stays away.
        ago: u64,
    },
    /// One of the deleted mailboxes comes back, as it was or under a name.
    Restore {
        which: usize,
        name: Option<usize>,
    },
    Purge(usize),
    PurgeDeleted(usize),
    /// In days; `None` for what all have, or of all.
    Retention {
        own: bool,
        days: Option<u64>,
    },
    /// The last command comes again.
    Again,
    /// The client of a mailbox hears what changed.
    Sync(usize),
    Advance(u64),
    Tick,
    /// The other rows get what was applied since the last time.
    Flush {
        freeze: bool,
    },
}

pub fn step() -> impl Strategy<Value = Step> {
    let name = || 0..NAMES.len();
    let uids = || proptest::collection::btree_set(1..12u32, 0..6);
    let mode =
        proptest::sample::select(vec![StoreMode::Add, StoreMode::Remove, StoreMode::Replace]);
    prop_oneof![
        2 => name().prop_map(Step::Create),
        1 => name().prop_map(Step::Delete),
        2 => (name(), name()).prop_map(|(from, to)| Step::Rename(from, to)),
        1 => (name(), any::<bool>()).prop_map(|(name, on)| Step::Subscribe(name, on)),
        6 => (any::<bool>(), 0..40u64, 1..300u64)
            .prop_map(|(both, content, size)| Step::Deliver { both, content, size }),
        3 => (name(), flags(), 1..300u64)
            .prop_map(|(name, flags, size)| Step::Append { name, flags, size }),
        6 => (name(), uids(), mode, flags())
            .prop_map(|(name, uids, mode, flags)| Step::Store { name, uids, mode, flags }),
        2 => (name(), uids(), flags())
            .prop_map(|(name, uids, flags)| Step::StoreUnchanged { name, uids, flags }),
        4 => (name(), name(), uids(), any::<bool>())
            .prop_map(|(from, to, uids, and_expunge)| Step::Copy { from, to, uids, and_expunge }),
        3 => (name(), proptest::option::of(uids()))
            .prop_map(|(name, uids)| Step::Expunge { name, uids }),
        4 => (name(), name(), uids(), prop_oneof![Just(u64::MAX), Just(1_000)])
            .prop_map(|(from, to, uids, ago)| Step::Undelete { from, to, uids, ago }),
        2 => (0..4usize, proptest::option::of(name()))
            .prop_map(|(which, name)| Step::Restore { which, name }),
        1 => name().prop_map(Step::Purge),
        1 => (0..4usize).prop_map(Step::PurgeDeleted),
        1 => (any::<bool>(), proptest::option::of(prop_oneof![Just(2u64), Just(7), Just(20)]))
            .prop_map(|(own, days)| Step::Retention { own, days }),
        2 => Just(Step::Again),
        5 => name().prop_map(Step::Sync),
        1 => prop_oneof![
            Just(1_000),
            Just(3_600_000),
            Just(3 * 86_400_000),
            Just(limits::RETENTION_MS)
        ]
            .prop_map(Step::Advance),
        1 => Just(Step::Tick),
        2 => any::<bool>().prop_map(|freeze| Step::Flush { freeze }),
    ]
}

fn flags() -> impl Strategy<Value = Flags> {
    let keywords = proptest::collection::vec("[jJ]unk|[wW]ork|\\$x", 0..3);
    (0..32u8, keywords).prop_map(|(bits, keywords)| {
        // Half of them with \Deleted would leave little.
        let bits = if bits & 3 == 0 { bits } else { bits & !4 };
        Flags::new(SystemFlags::from_bits(bits).expect("five bits"), keywords)
    })
}
