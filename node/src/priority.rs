//! Threads that have time.
//!
//! What is worked out beforehand, and the index of SEARCH, shall take nothing from what somebody
//! waits for: their threads have the lowest priority that there is. Where that is refused they do
//! the same work, and the node is slower than it need be, so it is said aloud.

/// The lowest.
const NICENESS: i32 = 19;

/// This thread, and those that it starts, give way to all others. `who` says in the log what it is.
pub fn give_way(who: &str) {
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::warn!(who, %error, "a thread keeps the usual priority, and slows others down");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What systemd lets the node call.
    const UNIT: &str = include_str!("../deploy/rookeryd.service");

    #[test]
    fn of_this_thread_alone() {
        let of_this = || rustix::process::getpriority_process(None).unwrap();
        let before = of_this();
        let other = std::thread::spawn(move || {
            give_way("a test");
            of_this()
        });
        assert_eq!(other.join().unwrap(), NICENESS);
        assert_eq!(of_this(), before);
    }

    /// systemd.exec(5), SystemCallFilter: what was taken away is given back by a later line. `nice`
    /// is `setpriority`, and the other two are what [`crate::privileges`] calls.
    #[test]
    fn the_unit_allows_what_is_called_at_the_start() {
        let mut allowed = Vec::new();
        for filter in UNIT
            .lines()
            .filter_map(|line| line.strip_prefix("SystemCallFilter="))
        {
            match filter.strip_prefix('~') {
                // Sets have what we ask for in them: @resources setpriority, for one.
                Some(_) => allowed.clear(),
                None => allowed.extend(filter.split_whitespace()),
            }
        }
        for call in ["setpriority", "capset", "prlimit64"] {
            assert!(allowed.contains(&call), "{call}: {allowed:?}");
        }
    }
}
