//! Bounds of the directory, with their reasons.

/// Nodes ever known to a cluster, removed ones included: their rows stay, so that no id comes back.
pub const NODES_MAX: u32 = 1024;

/// Partitions of a cluster: a node is measured with up to this many groups.
pub const PARTITIONS_MAX: u32 = 256;

/// Replicas wanted for a partition; beyond it a write waits for more disks than it gains safety.
pub const REPLICAS_MAX: u32 = 7;

/// Voters of the directory itself; nodes beyond have learners.
pub const DIRECTORY_VOTERS_MAX: usize = 5;

/// Replicas of a partition at once: all wanted ones and as many again on their way elsewhere.
pub const PARTITION_REPLICAS_MAX: usize = 2 * REPLICAS_MAX as usize;

/// Accounts of a cluster. Each takes about a kilobyte of every node's memory.
pub const ACCOUNTS_MAX: u64 = 1_000_000;

/// Settings of a cluster.
pub const SETTINGS_MAX: u32 = 256;

/// Bytes of a setting's name.
pub const SETTING_NAME_BYTES_MAX: usize = 64;

/// Bytes of a setting's value.
pub const SETTING_VALUE_BYTES_MAX: usize = 1024;

/// Accounts that may have given a user, or anyone, rights: LIST asks all of them.
pub const SHARES_PER_USER_MAX: usize = 1000;

/// Users whom an account may have given rights: 16 bytes each in every node's memory.
pub const SHARES_PER_ACCOUNT_MAX: usize = 10_000;

/// Requests whose outcome is remembered: a repeat comes within seconds, and one that comes too late
/// finds a command that does no harm twice.
pub const REQUESTS_KEPT: u64 = 10_000;

/// Bytes of the part of an address before the `@` (RFC 5321 section 4.5.3.1.1).
pub const LOCAL_PART_BYTES_MAX: usize = 64;

/// Bytes of a domain (RFC 5321 section 4.5.3.1.2).
pub const DOMAIN_BYTES_MAX: usize = 255;

/// Bytes of a label of a domain (RFC 1035 section 2.3.4).
pub const LABEL_BYTES_MAX: usize = 63;

/// Bytes of a `host:port`: a domain, brackets or a colon, and five digits.
pub const ADDRESS_BYTES_MAX: usize = DOMAIN_BYTES_MAX + 8;

/// Bytes of a password: more is no safer, and every byte is normalised.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// Bytes of a salt at least (RFC 9106 section 3.1).
pub const SALT_BYTES_MIN: usize = 8;

/// Bytes of a salt at most; it travels in every SCRAM exchange.
pub const SALT_BYTES_MAX: usize = 64;

/// Iterations of PBKDF2 for SCRAM-SHA-256 at least (RFC 7677 section 4); also the default, because
/// the client pays for them as well, in a browser or a telephone.
pub const SCRAM_ITERATIONS_MIN: u32 = 4096;

/// Iterations of PBKDF2 at most: a check must stay below about half a second.
pub const SCRAM_ITERATIONS_MAX: u32 = 1_000_000;

/// Memory of an Argon2id check at most, in KiB: four run at once.
pub const ARGON2_MEMORY_KIB_MAX: u32 = 256 << 10;

/// Passes of Argon2id at most.
pub const ARGON2_PASSES_MAX: u32 = 16;

/// Lanes of Argon2id at most.
pub const ARGON2_LANES_MAX: u32 = 16;
