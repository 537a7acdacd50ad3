//! What failed logins cost: first time, then being refused.
//!
//! ```text
//!   tries of one user from one address, failed or under way    0  1   2  3  4 ..   20 ..
//!   the answer to a wrong password comes after                 1.5 1.5 3  6  12 s   refused
//! ```
//!
//! Counted are a user with an address, and an address alone, with ten times the patience: behind
//! one address may be many people. A user alone is not counted, or anybody could lock out anybody.
//!
//! - **A try under way counts like a failed one**, until it is known how it went: tries at once are
//!   no cheaper than tries in a row. Only who has not failed yet may have more of them at once than
//!   could fail: a client opens its connections all together.
//! - **It counts as failed once this node does not know the password**, before anybody else is
//!   asked whether it is new: guesses are no cheaper while nobody can be asked, nor for who does
//!   not wait for the answer.
//! - **It wears off**: of what failed, one is forgiven in each minute, and the pair's
//!   count is gone with a login that succeeds. The address's count is not: whoever has one account
//!   may not use it to guess those of others.
//! - **What is kept is bounded.** Of IPv6 addresses the network of 64 bits counts. When the table
//!   is full, who has failed least is forgotten.
//!
//! - **All nodes count together**: each tells the others once a second what came of logins there
//!   ([`super::health`]), so whoever goes to another node, because his own died or to have more
//!   tries, takes his count along. Within that second nodes count apart.
//!
//! That a partition's leader dies changes nothing: logins are decided by the node that the client
//! is connected to, whoever leads.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use proto::v1;

use super::limits::{LOGIN_PENALTY, LOGIN_PENALTY_MAX, LOGINS_TOLD_MAX, PENALTIES_MAX};

/// Tries of a user from one address that are looked at; beyond it nothing is checked.
const PAIR_TRIES_MAX: u32 = 20;

/// Likewise while none of them has failed, as far as is known.
const PAIR_AT_ONCE_MAX: u32 = 64;

/// Likewise, of one address.
const ADDRESS_TRIES_MAX: u32 = 10 * PAIR_TRIES_MAX;

/// In this time one failed try of a pair, or ten of an address, are forgiven.
const FORGIVEN_EVERY: Duration = Duration::from_secs(60);

/// The failed logins that a node remembers. Clones share them.
#[derive(Clone, Default)]
pub struct Penalties(Arc<Shared>);

#[derive(Default)]
struct Shared {
    counts: Mutex<HashMap<Key, Count>>,
    /// What the other nodes are to be told.
    news: Mutex<Vec<v1::PeerLogin>>,
}

/// Who is counted: an address, and somebody there or anybody.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    address: IpAddr,
    /// The hash of the name, lower case: a name may be long, and it may be a password by mistake.
    user: Option<[u8; 16]>,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    under_way: u32,
    failed: u32,
    /// When `failed` was last made less.
    since: Instant,
}

/// A login that is under way.
pub struct Attempt {
    penalties: Penalties,
    keys: [Key; 2],
    /// How long the answer is to wait if it fails.
    delay: Duration,
    /// It is not under way any more, but has failed, unless it turns out otherwise.
    has_failed: bool,
}

impl Penalties {
    /// A user tries to log in; none if this is one try too many. The name is to be the same
    /// however it was written.
    #[must_use]
    pub fn begin(&self, user: &str, address: IpAddr, now: Instant) -> Option<Attempt> {
        let address = network(address);
        let name = blake3::hash(user.to_ascii_lowercase().as_bytes());
        let mut hash = [0; 16];
        hash.copy_from_slice(&name.as_bytes()[..16]);
        let keys = [Some(hash), None].map(|user| Key { address, user });
        let mut counts = self.0.counts.lock();
        let mut is_refused = false;
        let before = keys.each_ref().map(|key| match counts.get_mut(key) {
            Some(count) => {
                count.forgive(key, now);
                let tries = count.under_way.saturating_add(count.failed);
                is_refused |= tries >= key.tries_max(count.failed);
                tries
            }
            None => 0,
        });
        if is_refused {
            return None;
        }
        for key in &keys {
            count(&mut counts, key, now).under_way += 1;
        }
        drop(counts);
        let penalties = self.clone();
        Some(Attempt {
            penalties,
            keys,
            delay: delay(before[0].max(before[1] / 10)),
            has_failed: false,
        })
    }

    /// What came of logins on another node.
    pub fn hear(&self, logins: &[v1::PeerLogin], now: Instant) {
        let mut counts = self.0.counts.lock();
        for login in logins.iter().take(LOGINS_TOLD_MAX) {
            let Some(keys) = keys_of(login) else { continue };
            if login.succeeded {
                clear(&mut counts, &keys);
            } else {
                add_failed(&mut counts, &keys, now);
            }
        }
    }

    /// What came of logins here since the last call, for the other nodes.
    #[must_use]
    pub fn take_news(&self) -> Vec<v1::PeerLogin> {
        std::mem::take(&mut self.0.news.lock())
    }

    fn tell(&self, keys: &[Key; 2], succeeded: bool) {
        let [Key { address, user }, _] = keys;
        let mut news = self.0.news.lock();
        if news.len() < LOGINS_TOLD_MAX {
            news.push(v1::PeerLogin {
                address: match address {
                    IpAddr::V4(address) => address.octets().to_vec().into(),
                    IpAddr::V6(address) => address.octets().to_vec().into(),
                },
                user: user.unwrap_or_default().to_vec().into(),
                succeeded,
            });
        }
    }
}

/// Who is counted for a login on another node.
fn keys_of(login: &v1::PeerLogin) -> Option<[Key; 2]> {
    let address = match login.address.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(&login.address[..]).ok()?),
        _ => IpAddr::from(<[u8; 16]>::try_from(&login.address[..]).ok()?),
    };
    let user = <[u8; 16]>::try_from(&login.user[..]).ok()?;
    Some([Some(user), None].map(|user| Key { address, user }))
}

/// The count of somebody, for whom room is made.
fn count<'c>(counts: &'c mut HashMap<Key, Count>, key: &Key, now: Instant) -> &'c mut Count {
    make_room(counts, key, now);
    counts.entry(key.clone()).or_insert(Count {
        under_way: 0,
        failed: 0,
        since: now,
    })
}

/// One login more has failed.
fn add_failed(counts: &mut HashMap<Key, Count>, keys: &[Key], now: Instant) {
    for key in keys {
        let count = count(counts, key, now);
        // What wore off before it happened does not wear off from it.
        count.forgive(key, now);
        if count.failed == 0 {
            count.since = now;
        }
        count.failed = count.failed.saturating_add(1);
    }
}

/// A user has logged in from an address; whether some of his tries had failed.
fn clear(counts: &mut HashMap<Key, Count>, keys: &[Key; 2]) -> bool {
    let count = counts.get_mut(&keys[0]);
    count.is_some_and(|count| std::mem::take(&mut count.failed) > 0)
}

impl Attempt {
    /// It counts as failed from now on, unless it succeeds after all.
    pub fn fails(&mut self, now: Instant) {
        if std::mem::replace(&mut self.has_failed, true) {
            return;
        }
        let mut counts = self.penalties.0.counts.lock();
        add_failed(&mut counts, &self.keys, now);
        for key in &self.keys {
            if let Some(count) = counts.get_mut(key) {
                count.under_way = count.under_way.saturating_sub(1);
            }
        }
    }

    /// It failed; the answer is to wait so long.
    #[must_use]
    pub fn failed(mut self, now: Instant) -> Duration {
        self.fails(now);
        self.delay
    }

    /// Somebody has logged in.
    pub fn succeeded(mut self) {
        let had_failed = {
            let mut counts = self.penalties.0.counts.lock();
            if std::mem::take(&mut self.has_failed) {
                for key in &self.keys {
                    if let Some(count) = counts.get_mut(key) {
                        count.failed = count.failed.saturating_sub(1);
                        count.under_way += 1;
                    }
                }
            }
            clear(&mut counts, &self.keys)
        };
        if had_failed {
            self.penalties.tell(&self.keys, true);
        }
    }
}

/// A try that is given up before it has failed is neither failed nor good.
impl Drop for Attempt {
    fn drop(&mut self) {
        if self.has_failed {
            self.penalties.tell(&self.keys, false);
            return;
        }
        let mut counts = self.penalties.0.counts.lock();
        for key in &self.keys {
            let Some(count) = counts.get_mut(key) else {
                continue;
            };
            count.under_way = count.under_way.saturating_sub(1);
            if count.under_way == 0 && count.failed == 0 {
                counts.remove(key);
            }
        }
    }
}

impl Key {
    fn tries_max(&self, failed: u32) -> u32 {
        match self.user {
            Some(_) if failed == 0 => PAIR_AT_ONCE_MAX,
            Some(_) => PAIR_TRIES_MAX,
            None => ADDRESS_TRIES_MAX,
        }
    }

    /// How many failed tries are forgiven at a time.
    fn forgiven(&self) -> u32 {
        match self.user {
            Some(_) => 1,
            None => ADDRESS_TRIES_MAX / PAIR_TRIES_MAX,
        }
    }
}

impl Count {
    fn forgive(&mut self, key: &Key, now: Instant) {
        let passed = now.saturating_duration_since(self.since);
        let periods = passed.as_secs() / FORGIVEN_EVERY.as_secs();
        let periods = u32::try_from(periods).unwrap_or(u32::MAX);
        self.since += FORGIVEN_EVERY * periods;
        let forgiven = periods.saturating_mul(key.forgiven());
        self.failed = self.failed.saturating_sub(forgiven);
    }
}

/// What one customer of a network can choose from counts as one address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let bits = address.to_bits() >> 64 << 64;
            Ipv6Addr::from_bits(bits).into()
        }
        address => address,
    }
}

/// Twice as long each time after the second.
fn delay(tries: u32) -> Duration {
    let doubled = LOGIN_PENALTY * (1 << tries.saturating_sub(1).min(8));
    doubled.min(LOGIN_PENALTY_MAX)
}

/// In a full table what has worn off goes, or else a quarter of those who failed least. Who is
/// under way stays: there are no more of them than connections.
fn make_room(counts: &mut HashMap<Key, Count>, key: &Key, now: Instant) {
    if counts.len() < PENALTIES_MAX || counts.contains_key(key) {
        return;
    }
    counts.retain(|key, count| {
        count.forgive(key, now);
        count.failed > 0 || count.under_way > 0
    });
    if counts.len() < PENALTIES_MAX / 4 * 3 {
        return;
    }
    let mut failed: Vec<u32> = counts.values().map(|count| count.failed).collect();
    let quarter = failed.len() / 4;
    let (_, &mut least, _) = failed.select_nth_unstable(quarter);
    let mut left = quarter;
    counts.retain(|_, count| {
        let goes = count.under_way == 0 && count.failed <= least && left > 0;
        left -= usize::from(goes);
        !goes
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "192.0.2.7";

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn fail(penalties: &Penalties, user: &str, from: &str, now: Instant) -> Option<u64> {
        let attempt = penalties.begin(user, ip(from), now)?;
        Some(attempt.failed(now).as_millis() as u64)
    }

    #[test]
    fn delays_grow_and_then_it_is_refused() {
        let (penalties, now) = (Penalties::default(), Instant::now());
        let delays: Vec<_> = (0..22)
            .map(|_| fail(&penalties, "alice", HERE, now))
            .collect();
        let expected = [1500, 1500, 3000, 6000, 12_000, 15_000].map(Some);
        assert_eq!(delays[..6], expected);
        assert_eq!(delays[19], Some(15_000));
        assert_eq!(delays[20..], [None, None]);
        assert_eq!(fail(&penalties, "ALICE", HERE, now), None);
        // Others are not concerned: elsewhere, or another user here.
        assert_eq!(fail(&penalties, "alice", "192.0.2.8", now), Some(1500));
        assert!(fail(&penalties, "bob", HERE, now).is_some());
    }

    #[test]
    fn what_others_hear_is_not_forgiven_for_what_was_before() {
        let (here, there) = (Penalties::default(), Penalties::default());
        let start = Instant::now();
        let mut now = start;
        assert!(fail(&here, "alice", HERE, now).is_some());
        there.hear(&here.take_news(), now);
        now += FORGIVEN_EVERY * 20;
        while fail(&here, "alice", HERE, now).is_some() {}
        there.hear(&here.take_news(), now);
        assert_eq!(fail(&there, "alice", HERE, now), None);
    }

    #[test]
    fn tries_at_once_count_like_tries_in_a_row() {
        let (penalties, now) = (Penalties::default(), Instant::now());
        let begin = || penalties.begin("alice", ip(HERE), now);
        let under_way: Vec<_> = std::iter::from_fn(begin).collect();
        assert_eq!(under_way.len(), PAIR_AT_ONCE_MAX as usize);
        assert_eq!(under_way[4].delay, Duration::from_secs(12));
        // Given up, they cost nothing.
        drop(under_way);
        assert!(penalties.0.counts.lock().is_empty());
        // Once one has failed, those under way and those that failed are as many as may fail.
        assert_eq!(fail(&penalties, "alice", HERE, now), Some(1500));
        let under_way: Vec<_> = std::iter::from_fn(begin).collect();
        assert_eq!(under_way.len(), PAIR_TRIES_MAX as usize - 1);
        // At most as many are looked at as may be under way, and then none for a long time.
        for attempt in under_way {
            let _delay = attempt.failed(now);
        }
        assert!(begin().is_none());
    }

    #[test]
    fn what_fails_counts_before_it_is_answered() {
        let (penalties, now) = (Penalties::default(), Instant::now());
        let begin = || penalties.begin("alice", ip(HERE), now);
        let mut unanswered = Vec::new();
        while let Some(mut attempt) = begin() {
            attempt.fails(now);
            attempt.fails(now);
            unanswered.push(attempt);
        }
        assert_eq!(unanswered.len(), PAIR_TRIES_MAX as usize);
        // One of the passwords was new, and nobody was told that it was wrong.
        unanswered.pop().unwrap().succeeded();
        assert!(!penalties.take_news().iter().any(|news| !news.succeeded));
        assert_eq!(fail(&penalties, "alice", HERE, now), Some(1500));
        // Given up, the others have failed all the same; the pair is forgiven, the address not.
        let others = unanswered.len();
        drop(unanswered);
        let news = penalties.take_news();
        assert_eq!(
            news.iter().filter(|news| !news.succeeded).count(),
            others + 1
        );
        let counts = penalties.0.counts.lock();
        let mut failed: Vec<_> = counts
            .values()
            .map(|it| (it.failed, it.under_way))
            .collect();
        failed.sort_unstable();
        assert_eq!(failed, [(1, 0), (others as u32 + 1, 0)]);
    }

    #[test]
    fn a_good_try_leaves_nothing() {
        let (penalties, now) = (Penalties::default(), Instant::now());
        let mut attempt = penalties.begin("alice", ip(HERE), now).unwrap();
        attempt.fails(now);
        attempt.succeeded();
        assert!(penalties.0.counts.lock().is_empty());
        assert_eq!(penalties.take_news().len(), 0);
    }

    #[test]
    fn an_address_is_refused_whoever_it_tries() {
        let (penalties, now) = (Penalties::default(), Instant::now());
        let tried = (0..1000).take_while(|number| {
            let user = format!("user{number}");
            fail(&penalties, &user, HERE, now).is_some()
        });
        assert_eq!(tried.count(), ADDRESS_TRIES_MAX as usize);
        // Of IPv6 it is the network.
        for number in 0..ADDRESS_TRIES_MAX {
            let from = format!("2001:db8::{number:x}");
            assert!(fail(&penalties, &format!("user{number}"), &from, now).is_some());
        }
        assert_eq!(fail(&penalties, "alice", "2001:db8::ffff", now), None);
        assert!(fail(&penalties, "alice", "2001:db8:0:1::1", now).is_some());
        assert!(fail(&penalties, "alice", "::ffff:192.0.2.7", now).is_none());
    }

    #[test]
    fn it_wears_off_and_a_login_clears_the_pair() {
        let (penalties, now) = (Penalties::default(), Instant::now());
        while fail(&penalties, "alice", HERE, now).is_some() {}
        let later = now + FORGIVEN_EVERY;
        assert!(fail(&penalties, "alice", HERE, later).is_some());
        assert!(fail(&penalties, "alice", HERE, later).is_none());
        let later = later + FORGIVEN_EVERY;
        penalties
            .begin("alice", ip(HERE), later)
            .unwrap()
            .succeeded();
        assert_eq!(fail(&penalties, "alice", HERE, later), Some(1500));
        // What the address has failed is still known.
        let address = Key {
            address: ip(HERE),
            user: None,
        };
        assert!(penalties.0.counts.lock()[&address].failed > 0);
        assert_eq!(
            fail(&penalties, "alice", HERE, later + 100 * FORGIVEN_EVERY),
            Some(1500)
        );
    }

    #[test]
    fn nodes_count_together() {
        let (here, there, now) = (Penalties::default(), Penalties::default(), Instant::now());
        let spread = || there.hear(&here.take_news(), now);
        for from in [HERE, "2001:db8::7"] {
            while fail(&here, "Alice", from, now).is_some() {}
            assert_eq!(fail(&there, "alice", "192.0.2.8", now), Some(1500));
            spread();
            assert_eq!(fail(&there, "alice", from, now), None);
        }
        assert!(fail(&there, "bob", HERE, now).is_some());
        assert_eq!(fail(&here, "carol", HERE, now).map(|_| ()), Some(()));
        here.begin("carol", ip(HERE), now).unwrap().succeeded();
        spread();
        let key = |user: &str| {
            let [pair, _] = there.begin(user, ip(HERE), now).unwrap().keys.clone();
            pair
        };
        let carol = key("carol");
        assert!(!there.0.counts.lock().contains_key(&carol));
        // What no node says is passed over, and there is no end of it here either.
        let odd = v1::PeerLogin {
            address: vec![1; 5].into(),
            user: vec![2; 16].into(),
            succeeded: false,
        };
        there.hear(&[odd], now);
        for number in 0..2 * LOGINS_TOLD_MAX {
            let from = Ipv6Addr::from_bits((number as u128) << 64).to_string();
            let _delay = fail(&here, "alice", &from, now);
        }
        assert_eq!(here.take_news().len(), LOGINS_TOLD_MAX);
    }

    #[test]
    fn the_table_is_bounded_and_keeps_the_worst() {
        let (penalties, now) = (Penalties::default(), Instant::now());
        while fail(&penalties, "alice", HERE, now).is_some() {}
        let pending = penalties.begin("bob", ip("192.0.2.9"), now).unwrap();
        for number in 0..PENALTIES_MAX as u32 {
            let from = Ipv6Addr::from_bits(u128::from(number) << 64).to_string();
            assert!(fail(&penalties, "alice", &from, now).is_some());
            assert!(penalties.0.counts.lock().len() <= PENALTIES_MAX + 1);
        }
        assert_eq!(fail(&penalties, "alice", HERE, now), None);
        assert_eq!(pending.failed(now), LOGIN_PENALTY);
        assert_eq!(fail(&penalties, "bob", "192.0.2.9", now), Some(1500));
    }
}
