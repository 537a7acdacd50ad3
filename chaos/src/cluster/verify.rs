//! Whether all replicas hold the same rows, and all of their bodies.

use std::collections::BTreeSet;

use client::v1::{AdminVerified, AdminVerifyReply};
use tokio::time::{Instant, sleep};

use super::{Cluster, NODES};
use crate::limits::{LOOK_EVERY, SETTLE_WAIT};

/// Something that is not as it should be.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    /// It will not pass by itself: a replica that was not level when it was asked, or that could
    /// not be asked, is no verdict.
    certain: bool,
    what: String,
}

impl Cluster {
    /// Compares all replicas of all groups at one log index each; answers those that differ or
    /// could not be compared.
    ///
    /// # Errors
    ///
    /// When no node answers.
    pub async fn verify(&self) -> anyhow::Result<Vec<String>> {
        self.verify_until_certain(false).await
    }

    /// Has every replica read all of its bodies; answers those that are missing or bad, and the
    /// replicas that could not be asked.
    ///
    /// # Errors
    ///
    /// When no node answers.
    pub async fn verify_deep(&self) -> anyhow::Result<Vec<String>> {
        self.verify_until_certain(true).await
    }

    async fn verify_until_certain(&self, deep: bool) -> anyhow::Result<Vec<String>> {
        let deadline = Instant::now() + SETTLE_WAIT;
        loop {
            let members: Vec<u64> = self.serving().iter().copied().collect();
            let operator = self.plan.operator(&members)?;
            let found = match deep {
                false => differing(&operator.verify(&[]).await?, self.groups),
                true => bad_bodies(&operator.verify_deep(&[]).await?, self.groups),
            };
            if found.iter().all(|found| found.certain) || Instant::now() >= deadline {
                return Ok(found.into_iter().map(|found| found.what).collect());
            }
            sleep(LOOK_EVERY).await;
        }
    }
}

/// Groups, or replicas of a group, of which nothing is said although they must be there.
fn missing(reply: &AdminVerifyReply, groups: usize) -> Vec<Found> {
    let told: BTreeSet<u64> = reply.groups.iter().map(|group| group.group).collect();
    let few = (told.len() < groups).then(|| format!("only {} of {groups} groups", told.len()));
    let thin = reply.groups.iter().filter(|group| !is_whole(group));
    let thin = thin.map(|group| {
        let replicas = group.replicas.len();
        format!("group {}: only {replicas} replicas", group.group)
    });
    let missing = few.into_iter().chain(thin).map(|what| Found {
        certain: false,
        what,
    });
    missing.collect()
}

fn is_whole(group: &AdminVerified) -> bool {
    group.replicas.len() >= NODES as usize
}

/// Groups that are not there, or of which the replicas differ.
fn differing(reply: &AdminVerifyReply, groups: usize) -> Vec<Found> {
    let mut found = missing(reply, groups);
    for group in reply.groups.iter().filter(|group| is_whole(group)) {
        if group.equal {
            continue;
        }
        let replicas = group.replicas.iter().map(|replica| {
            let digest = replica.digest.iter();
            let digest: String = digest.map(|byte| format!("{byte:02x}")).collect();
            let (node, at) = (replica.node, replica.applied_index);
            format!("node {node} at {at}: {digest}{}", replica.error)
        });
        let replicas: Vec<String> = replicas.collect();
        let indexes = group.replicas.iter().map(|replica| replica.applied_index);
        let same_index = indexes.collect::<BTreeSet<u64>>().len() == 1;
        let failed = group.replicas.iter().any(|it| !it.error.is_empty());
        found.push(Found {
            certain: same_index && !failed,
            what: format!("group {}: {}", group.group, replicas.join(", ")),
        });
    }
    found
}

/// Bodies that are missing or not what their rows say, and replicas that did not look.
fn bad_bodies(reply: &AdminVerifyReply, groups: usize) -> Vec<Found> {
    let mut found = missing(reply, groups);
    let mut bodies = 0;
    for group in &reply.groups {
        for replica in &group.replicas {
            let whose = format!("group {}, node {}", group.group, replica.node);
            bodies += replica.bodies;
            found.extend(replica.bad.iter().map(|body| Found {
                certain: true,
                what: format!("{whose}, entry {}.{}: {}", body.term, body.index, body.why),
            }));
            if !replica.error.is_empty() {
                found.push(Found {
                    certain: false,
                    what: format!("{whose}: {}", replica.error),
                });
            }
        }
    }
    if bodies == 0 {
        found.push(Found {
            certain: true,
            what: "no replica has read a body".to_owned(),
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use client::v1::{AdminBadBody, AdminDigestReply};

    use super::*;

    /// Two groups of which all is well.
    fn well() -> AdminVerifyReply {
        let replica = |node| AdminDigestReply {
            node,
            applied_index: 9,
            bodies: 4,
            ..AdminDigestReply::default()
        };
        let group = |group| AdminVerified {
            group,
            replicas: (1..=3).map(replica).collect(),
            equal: true,
        };
        AdminVerifyReply {
            groups: (0..2).map(group).collect(),
        }
    }

    /// Whether each finding is certain, and a word of it.
    fn is_found(found: &[Found], expected: &[(bool, &str)]) {
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, (certain, word)) in found.iter().zip(expected) {
            assert_eq!(found.certain, *certain, "{found:?}");
            assert!(found.what.contains(word), "{found:?}");
        }
    }

    #[test]
    fn all_is_well() {
        is_found(&differing(&well(), 2), &[]);
        is_found(&bad_bodies(&well(), 2), &[]);
    }

    /// R4: a body that one replica lacks is found, though others could serve it.
    #[test]
    fn a_body_that_a_replica_lacks() {
        let mut reply = well();
        reply.groups[1].replicas[2].bad.push(AdminBadBody {
            term: 3,
            index: 7,
            why: "it is not there".to_owned(),
        });
        is_found(&differing(&reply, 2), &[]);
        let word = "group 1, node 3, entry 3.7: it is not there";
        is_found(&bad_bodies(&reply, 2), &[(true, word)]);
    }

    #[test]
    fn a_group_that_is_not_there() {
        let mut reply = well();
        reply.groups.pop();
        let expected = [(false, "only 1 of 2 groups")];
        is_found(&differing(&reply, 2), &expected);
        is_found(&bad_bodies(&reply, 2), &expected);
        // The same one twice does not make two.
        reply.groups.push(reply.groups[0].clone());
        is_found(&differing(&reply, 2), &expected);
        let mut reply = well();
        reply.groups[1].replicas.pop();
        is_found(&differing(&reply, 2), &[(false, "only 2 replicas")]);
        is_found(&bad_bodies(&reply, 2), &[(false, "only 2 replicas")]);
        let none = AdminVerifyReply::default();
        is_found(&differing(&none, 2), &[(false, "only 0 of 2")]);
    }

    #[test]
    fn replicas_that_differ_or_do_not_say() {
        let mut reply = well();
        reply.groups[0].equal = false;
        is_found(&differing(&reply, 2), &[(true, "group 0: node 1 at 9")]);
        reply.groups[0].replicas[1].applied_index = 8;
        is_found(&differing(&reply, 2), &[(false, "node 2 at 8")]);
        let mut reply = well();
        reply.groups[0].replicas[1].error = "no answer in time".to_owned();
        is_found(
            &bad_bodies(&reply, 2),
            &[(false, "group 0, node 2: no answer")],
        );
        let mut reply = well();
        for group in &mut reply.groups {
            group.replicas.iter_mut().for_each(|it| it.bodies = 0);
        }
        is_found(&bad_bodies(&reply, 2), &[(true, "no replica has read")]);
    }
}
