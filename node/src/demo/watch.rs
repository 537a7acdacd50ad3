//! What a person is told while the demo runs: who was lost, who leads now, and after how long.
//!
//! Pure: times and observations go in, lines come out. One line tells of all that happened
//! together: when a node dies, its partitions get new leaders within a moment of each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

/// Who leads what, by number of the group (0 is the directory), as far as anyone knows.
pub type Leaders = BTreeMap<u64, u64>;

/// What was told so far.
#[derive(Debug, Default)]
pub struct Watch {
    leaders: Leaders,
    lost: Vec<Lost>,
    gone: BTreeSet<u64>,
}

/// A node that died and whose groups have no leader yet.
#[derive(Debug)]
struct Lost {
    node: u64,
    at: Duration,
    waiting: BTreeSet<u64>,
    /// By the new leader.
    taken: BTreeMap<u64, Vec<u64>>,
    complained: bool,
}

/// After this long without a leader a person is told that there is none.
const COMPLAIN_AFTER: Duration = Duration::from_secs(3);

impl Watch {
    /// Begins with these leaders, without telling of them.
    #[must_use]
    pub fn new(leaders: Leaders) -> Self {
        Self {
            leaders,
            ..Self::default()
        }
    }

    /// Whether something is under way, so that one should look often.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.lost.is_empty()
    }

    /// A node died.
    pub fn lost(&mut self, node: u64, now: Duration) -> Option<String> {
        self.gone.insert(node);
        let led = self.leaders.iter().filter(|(_, leader)| **leader == node);
        let waiting: BTreeSet<u64> = led.map(|(group, _)| *group).collect();
        if waiting.is_empty() {
            return Some(format!("node {node} lost; it led nothing"));
        }
        let taken = BTreeMap::new();
        self.lost.push(Lost {
            node,
            at: now,
            waiting,
            taken,
            complained: false,
        });
        None
    }

    /// A node serves again.
    pub fn back(&mut self, node: u64) {
        self.gone.remove(&node);
    }

    /// The leaders now, as the nodes that live say.
    pub fn observe(&mut self, seen: &Leaders, now: Duration) -> Vec<String> {
        let mut moved: BTreeMap<(u64, u64), Vec<u64>> = BTreeMap::new();
        for (group, leader) in seen {
            let before = self.leaders.get(group).copied();
            let is_new = !self.gone.contains(leader);
            let waits = self
                .lost
                .iter_mut()
                .find(|lost| lost.waiting.contains(group));
            match waits {
                Some(lost) if is_new => {
                    lost.waiting.remove(group);
                    lost.taken.entry(*leader).or_default().push(*group);
                }
                Some(_) => continue,
                None => match before {
                    Some(before) if before != *leader && is_new => {
                        moved.entry((before, *leader)).or_default().push(*group);
                    }
                    _ => {}
                },
            }
            if is_new {
                self.leaders.insert(*group, *leader);
            }
        }
        let mut lines: Vec<String> = moved
            .iter()
            .map(|((from, to), groups)| {
                format!("{} moved from node {from} to node {to}", name(groups))
            })
            .collect();
        lines.extend(self.lost.iter_mut().filter_map(|lost| lost.tell(now)));
        self.lost.retain(|lost| !lost.waiting.is_empty());
        lines
    }
}

impl Lost {
    fn tell(&mut self, now: Duration) -> Option<String> {
        let after = now.saturating_sub(self.at);
        let node = self.node;
        if self.waiting.is_empty() {
            let mut line = format!("node {node} lost; ");
            for (at, (leader, groups)) in self.taken.iter().enumerate() {
                let (lead, what) = if at == 0 {
                    ("", " now led")
                } else {
                    (", ", "")
                };
                let _ = write!(line, "{lead}{}{what} by node {leader}", name(groups));
            }
            let _ = write!(line, " after {:.1} s", after.as_secs_f64());
            return Some(line);
        }
        if after < COMPLAIN_AFTER || self.complained {
            return None;
        }
        self.complained = true;
        let waiting: Vec<u64> = self.waiting.iter().copied().collect();
        Some(format!(
            "node {node} lost; no leader yet for {} after {:.1} s: a majority of nodes is needed",
            name(&waiting),
            after.as_secs_f64()
        ))
    }
}

/// Groups as people call them.
fn name(groups: &[u64]) -> String {
    let partitions: Vec<String> = groups
        .iter()
        .filter(|group| **group != 0)
        .map(u64::to_string)
        .collect();
    let directory = groups.contains(&0).then_some("the directory");
    let partitions = match partitions.len() {
        0 => None,
        1 => Some(format!("partition {}", partitions[0])),
        _ => Some(format!("partitions {}", partitions.join(" "))),
    };
    let both = [directory.map(str::to_owned), partitions];
    both.into_iter().flatten().collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn leaders(nodes: &[u64]) -> Leaders {
        (0..).zip(nodes.iter().copied()).collect()
    }

    #[test]
    fn a_lost_node_is_told_of_once_when_all_its_groups_are_led_again() {
        let mut watch = Watch::new(leaders(&[1, 1, 2, 1]));
        assert_eq!(watch.lost(1, ms(1000)), None);
        assert!(watch.is_busy());
        // The others still believe in it.
        assert!(watch.observe(&leaders(&[1, 1, 2, 1]), ms(1100)).is_empty());
        assert!(watch.observe(&leaders(&[2, 1, 2, 2]), ms(1300)).is_empty());
        assert_eq!(
            watch.observe(&leaders(&[2, 3, 2, 2]), ms(1600)),
            [
                "node 1 lost; the directory and partition 3 now led by node 2, \
              partition 1 by node 3 after 0.6 s"
            ]
        );
        assert!(!watch.is_busy());
        watch.back(1);
        assert_eq!(
            watch.observe(&leaders(&[2, 1, 2, 1]), ms(9000)),
            [
                "partition 3 moved from node 2 to node 1",
                "partition 1 moved from node 3 to node 1"
            ]
        );
    }

    #[test]
    fn nobody_waits_in_silence() {
        let mut watch = Watch::new(leaders(&[1, 2]));
        assert_eq!(watch.lost(3, ms(0)).unwrap(), "node 3 lost; it led nothing");
        assert_eq!(watch.lost(2, ms(0)), None);
        assert!(watch.observe(&leaders(&[1]), ms(500)).is_empty());
        let lines = watch.observe(&leaders(&[1, 2]), ms(4000));
        assert!(
            lines[0].starts_with("node 2 lost; no leader yet for partition 1"),
            "{lines:?}"
        );
        assert!(watch.observe(&leaders(&[1, 2]), ms(5000)).is_empty());
        let lines = watch.observe(&leaders(&[1, 1]), ms(6000));
        assert_eq!(
            lines,
            ["node 2 lost; partition 1 now led by node 1 after 6.0 s"]
        );
    }
}
