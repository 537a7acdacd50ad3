//! How long a partition takes no mail after its leader was killed.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::mta::Mta;
use super::{Door, Role, Scene, serial};
use crate::history::Place;
use crate::mail::message::message_of_size;
use crate::seed;

/// Bytes of a probe: a small mail.
const PROBE_BYTES: usize = 1000;

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failover {
    /// The partition.
    pub group: u64,
    /// From the kill to the next acknowledged write through a surviving node.
    pub took: Duration,
}

/// Clients that wait, connected to surviving nodes, one for each partition that the victim leads.
pub struct Probes {
    /// Groups, and an account in each.
    waiting: Vec<(u64, u32)>,
    survivors: Vec<Door>,
    scene: Arc<Scene>,
    strike: u64,
}

impl Probes {
    /// Prepares to measure these groups, without the node that is about to be killed. Groups
    /// without an account cannot be measured.
    #[must_use]
    pub fn prepare(scene: &Arc<Scene>, groups: &[u64], victim: u64, strike: u64) -> Self {
        let doors = scene.doors();
        let alive = doors.iter().filter(|door| door.node != victim);
        let account = |group: u64| (0..).zip(&scene.accounts).find(|(_, it)| it.group == group);
        let waiting = groups
            .iter()
            .filter_map(|group| Some((*group, account(*group)?.0)));
        Self {
            waiting: waiting.collect(),
            survivors: alive.copied().collect(),
            scene: Arc::clone(scene),
            strike,
        }
    }

    /// Sends now; measures from `killed`. A group whose probe never came through is not among the
    /// answers; that it was given up is in the history, and the judge holds it against the cluster.
    pub async fn measure(self, killed: Instant) -> Vec<Failover> {
        let mut probes = JoinSet::new();
        for (group, account) in self.waiting {
            let (scene, doors) = (Arc::clone(&self.scene), self.survivors.clone());
            let number = (self.strike << 16) | group;
            probes.spawn(async move {
                let mut rng = seed::generator(scene.seed, "probe", number);
                let mut mta = Mta::new(&scene, Role::Probe, group, doors);
                let serial = serial(Role::Probe, group, self.strike);
                let message = message_of_size(scene.seed, serial, PROBE_BYTES);
                let place = Place {
                    account,
                    mailbox: 0,
                };
                let through = mta.send(serial, &message, vec![place], &mut rng).await;
                let took = killed.elapsed();
                mta.hang_up().await;
                through.then_some(Failover { group, took })
            });
        }
        let mut measured: Vec<Failover> = probes.join_all().await.into_iter().flatten().collect();
        measured.sort_by_key(|failover| failover.group);
        measured
    }
}
