//! Ranges, and what fields must be to each other.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;

use tracing_subscriber::EnvFilter;

use super::Config;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Longest domain name, bytes (RFC 1035 section 2.3.4).
const HOSTNAME_BYTES_MAX: usize = 253;

/// Collects problems instead of stopping at the first.
#[derive(Default)]
struct Problems(Vec<String>);

impl Problems {
    fn unless(&mut self, holds: bool, key: &str, what: impl Display) {
        if !holds {
            self.0.push(format!("{key}: {what}"));
        }
    }

    fn range<T: PartialOrd + Display>(&mut self, key: &str, value: T, range: RangeInclusive<T>) {
        let what = format!("{value} is not within {} to {}", range.start(), range.end());
        self.unless(range.contains(&value), key, what);
    }

    /// Messages that one IMAP command may touch: no fewer than RFC 9738 section 3 advises.
    fn touched(&mut self, messages: u32) {
        let most = imap::limits::SAVED_MESSAGES_MAX;
        self.unless(
            messages == 0 || (1_000..=most).contains(&messages),
            "limits.imap_messages_per_command_max",
            format!("must be 0, or 1000 to {most}"),
        );
    }
}

impl Config {
    /// Every problem, one line each, led by the key. Empty if there is none. Files are not looked
    /// at.
    #[must_use]
    pub fn validate(&self) -> Vec<String> {
        let mut problems = Problems::default();
        self.validate_node(&mut problems);
        self.validate_addresses(&mut problems);
        self.validate_tls(&mut problems);
        self.validate_oauth(&mut problems);
        self.validate_raft(&mut problems);
        self.validate_sizes(&mut problems);
        if let Err(error) = EnvFilter::try_new(&self.log.level) {
            problems.unless(false, "log.level", error);
        }
        problems.0
    }

    fn validate_node(&self, problems: &mut Problems) {
        let node = &self.node;
        problems.unless(node.id >= 1, "node.id", "must be set to a number from 1 on");
        let absolute = node.data_dir.is_absolute();
        problems.unless(absolute, "node.data_dir", "must be an absolute path");
        problems.unless(
            is_domain(&node.hostname),
            "node.hostname",
            "must be set to this host's domain name",
        );
    }

    fn validate_addresses(&self, problems: &mut Problems) {
        let (listen, told) = (&self.listen, &self.advertise);
        problems.unless(
            !told.peer.is_empty() || !listen.peer.ip().is_unspecified(),
            "advertise.peer",
            "must be set, since listen.peer is all addresses of this host",
        );
        let doors = [
            ("peer", Some(listen.peer), &told.peer),
            ("admin", Some(listen.admin), &told.admin),
            ("imap", listen.imap, &told.imap),
            ("imaps", listen.imaps, &told.imaps),
            ("lmtp", listen.lmtp, &told.lmtp),
        ];
        for (door, _, told) in doors {
            let key = format!("advertise.{door}");
            problems.unless(
                told.is_empty() || is_host_port(told),
                &key,
                "is not host:port",
            );
        }
        let metrics = ("metrics", listen.metrics);
        let bound: Vec<(&str, SocketAddr)> = doors
            .iter()
            .map(|(door, address, _)| (*door, *address))
            .chain([metrics])
            .filter_map(|(door, address)| Some((door, address?)))
            .collect();
        for (at, (door, address)) in bound.iter().enumerate() {
            let key = format!("listen.{door}");
            problems.unless(address.port() != 0, &key, "the port must not be 0");
            for (other, taken) in &bound[..at] {
                let what = format!("{address} is already taken by listen.{other}");
                problems.unless(!collide(*taken, *address), &key, what);
            }
        }
    }

    fn validate_tls(&self, problems: &mut Problems) {
        let tls = &self.tls;
        for (key, path) in [
            ("tls.ca", &tls.ca),
            ("tls.cert", &tls.cert),
            ("tls.key", &tls.key),
        ] {
            problems.unless(!path.as_os_str().is_empty(), key, "must be set");
        }
        problems.unless(
            tls.mail_cert.as_os_str().is_empty() == tls.mail_key.as_os_str().is_empty(),
            "tls.mail_cert",
            "must be set together with tls.mail_key",
        );
        problems.range("tls.reload_secs", tls.reload_secs, 1..=86_400);
    }

    fn validate_oauth(&self, problems: &mut Problems) {
        let oauth = &self.oauth;
        let is_off = oauth.keys.is_empty();
        for (key, value) in [
            ("oauth.issuer", &oauth.issuer),
            ("oauth.audience", &oauth.audience),
            ("oauth.user_claim", &oauth.user_claim),
        ] {
            let what = "must be set, since oauth.keys is";
            problems.unless(is_off || !value.is_empty(), key, what);
        }
        for path in &oauth.keys {
            let what = "there is an empty path";
            problems.unless(!path.as_os_str().is_empty(), "oauth.keys", what);
        }
        let discovery = &oauth.discovery;
        problems.unless(
            discovery.is_empty() || discovery.starts_with("https://"),
            "oauth.discovery",
            "must be empty or a URL with https",
        );
    }

    fn validate_raft(&self, problems: &mut Problems) {
        let raft = &self.raft;
        problems.range("raft.heartbeat_ms", raft.heartbeat_ms, 10..=10_000);
        problems.range("raft.election_ms_max", raft.election_ms_max, 20..=60_000);
        problems.unless(
            raft.election_ms_min >= raft.heartbeat_ms.saturating_mul(2),
            "raft.election_ms_min",
            "must be at least twice raft.heartbeat_ms",
        );
        let gap = raft.election_ms_min / 10;
        problems.unless(
            raft.election_ms_max > raft.election_ms_min.saturating_add(gap),
            "raft.election_ms_max",
            "must be more than a tenth above raft.election_ms_min",
        );
    }

    fn validate_sizes(&self, problems: &mut Problems) {
        let (storage, limits) = (&self.storage, &self.limits);
        let segment = u64::from(storage.segment_bytes);
        problems.range("storage.segment_bytes", segment, 16 * MIB..=GIB);
        let whole = segment.is_multiple_of(4096);
        problems.unless(whole, "storage.segment_bytes", "must be a multiple of 4096");
        let index = storage.index_cache_bytes;
        problems.range("storage.index_cache_bytes", index, MIB..=64 * GIB);
        let kept = storage.log_kept_bytes;
        problems.range("storage.log_kept_bytes", kept, 64 * KIB..=GIB);
        problems.range("storage.scrub_days", storage.scrub_days, 1..=365);
        let scrub = storage.scrub_bytes_per_second;
        problems.range("storage.scrub_bytes_per_second", scrub, 64 * KIB..=16 * GIB);
        problems.range(
            "storage.snapshot_bytes_per_second",
            storage.snapshot_bytes_per_second,
            MIB..=16 * GIB,
        );
        let memory = self.memory.budget_bytes;
        problems.range("memory.budget_bytes", memory, 64 * MIB..=64 * GIB);

        let reserve = storage.reserve_bytes;
        problems.range("storage.reserve_bytes", reserve, 2 * segment..=1024 * GIB);
        let (most, least) = (storage.log_bytes_max, reserve.saturating_add(4 * segment));
        problems.unless(
            most == 0 || most >= least,
            "storage.log_bytes_max",
            format!("must be 0, or at least {least}: 4 segments and storage.reserve_bytes"),
        );

        let message = limits.message_bytes_max;
        problems.range("limits.message_bytes_max", message, 64 * KIB..=256 * MIB);
        problems.touched(limits.imap_messages_per_command_max);
        for (key, value, max) in [
            (
                "limits.imap_connections_max",
                limits.imap_connections_max,
                1_000_000,
            ),
            (
                "limits.lmtp_connections_max",
                limits.lmtp_connections_max,
                100_000,
            ),
            (
                "limits.admin_connections_max",
                limits.admin_connections_max,
                10_000,
            ),
            (
                "limits.pre_auth_per_address_max",
                limits.pre_auth_per_address_max,
                100_000,
            ),
        ] {
            problems.range(key, value, 1..=max);
        }
        problems.range(
            "limits.pre_auth_secs_max",
            limits.pre_auth_secs_max,
            5..=3600,
        );
        problems.range(
            "limits.imap_leader_wait_secs",
            limits.imap_leader_wait_secs,
            1..=600,
        );
        problems.range(
            "limits.lmtp_leader_wait_secs",
            limits.lmtp_leader_wait_secs,
            1..=600,
        );
    }
}

/// Whether binding both fails: the same port on the same address, or on all addresses.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port()
        && (one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified())
}

/// Whether this is a domain name: labels of letters, digits and hyphens (RFC 1123 section 2.1).
fn is_domain(name: &str) -> bool {
    let label_is_good = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= HOSTNAME_BYTES_MAX && name.split('.').all(label_is_good)
}

/// Whether this is `name:port`, `1.2.3.4:port` or `[::1]:port`, of something that can be reached.
fn is_host_port(text: &str) -> bool {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return address.port() != 0 && !address.ip().is_unspecified();
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    is_domain(host) && port.parse::<u16>().is_ok_and(|port| port != 0)
}
