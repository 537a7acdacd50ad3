//! Bounds of this folder, each with its unit and its reason.

use std::time::Duration;

/// What a remembered item takes in memory beside its bytes and the names in its key: that key,
/// twice, and where it stands among the others.
pub const OVERHEAD_BYTES: usize = 256;

/// Items, beside the envelope, that are worked out of mail that arrives: what the programs of two
/// or three makers ask for.
pub const ITEMS_MAX: usize = 3;

/// Mailboxes that have changed and were not looked at yet, each some 50 bytes. Beyond it, what
/// arrives is worked out when it is asked for.
pub const PLACES_MAX: usize = 32_768;

/// Messages that are looked at together, between two looks whether to stop.
pub const PAGE_MESSAGES: u32 = 64;

/// How long arrivals gather before they are looked at: several to a mailbox cost one look, and a
/// client that was told of them has them soon.
pub const GATHER: Duration = Duration::from_millis(20);

/// How often it is looked whether to stop, where nothing arrives.
pub const REST: Duration = Duration::from_secs(60);

/// Messages of which sessions work out at the same time what their clients may ask for: it takes
/// processors from what is waited for, of which there may be two.
pub const SPARE_PLACES: usize = 2;

/// Between two such messages. With some 100 microseconds for each that is a tenth of a processor at
/// most; more mail than that is worked out when it is asked for.
pub const SPARE_INTERVAL: Duration = Duration::from_millis(1);
