//! `node` and `replica`, and waiting for what they began: bars on a terminal, lines elsewhere.
//!
//! Both go to standard error, so that what a program reads stays as it is.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use proto::v1::{AdminMoves, AdminReplicaMove};

use super::Failure;
use super::args::{Node, Replica};
use super::report::{Report, bytes_text};
use crate::Admin;
use crate::limits::{FOLLOW_PAUSE, FOLLOW_SILENCE_MAX};
use crate::members::Goal;

/// Does what a command on nodes says.
pub(super) async fn node(
    admin: &Admin,
    command: &Node,
    timeout: Option<Duration>,
) -> Result<Report, Failure> {
    match command {
        Node::Add { node, peer, wait } => {
            admin.add_node(*node, peer.clone()).await?;
            if *wait {
                follow(admin, &[Goal::NodeSettled(*node)], timeout).await?;
                return Ok(Report::done(format!(
                    "node {node} has joined and holds its share"
                )));
            }
            Ok(Report::done(format!("node {node} has joined")))
        }
        Node::Replace {
            old,
            new,
            peer,
            wait,
        } => {
            let peer = peer.clone().unwrap_or_default();
            admin.replace_node(*old, *new, peer).await?;
            if *wait {
                let goals = [Goal::NodeSettled(*new), Goal::NodeGone(*old)];
                follow(admin, &goals, timeout).await?;
                return Ok(Report::done(format!(
                    "node {new} has taken the place of node {old}"
                )));
            }
            Ok(Report::done(format!(
                "node {new} takes the place of node {old}"
            )))
        }
        Node::Remove { node, shrink, wait } => {
            admin.remove_node(*node, *shrink).await?;
            if *wait {
                follow(admin, &[Goal::NodeGone(*node)], timeout).await?;
                return Ok(Report::done(format!("node {node} is removed")));
            }
            Ok(Report::done(format!("node {node} is leaving")))
        }
        Node::Moves => Ok(Report::Moves(admin.moves().await?)),
    }
}

/// Does what a command on replicas says.
pub(super) async fn replica(
    admin: &Admin,
    command: &Replica,
    timeout: Option<Duration>,
) -> Result<Report, Failure> {
    let Replica::Move {
        group,
        from,
        to,
        wait,
    } = command;
    admin.move_replica(*group, *from, *to).await?;
    if *wait {
        follow(admin, &[Goal::GroupSettled(*group)], timeout).await?;
        return Ok(Report::done(format!(
            "group {group} has moved to node {to}"
        )));
    }
    Ok(Report::done(format!(
        "group {group} is moving to node {to}"
    )))
}

/// Waits until all goals are reached. A cluster that does not answer for a moment is waited for.
async fn follow(admin: &Admin, goals: &[Goal], limit: Option<Duration>) -> Result<(), Failure> {
    let following = async {
        let mut view = Progress::default();
        let mut heard = std::time::Instant::now();
        loop {
            match admin.moves().await {
                Ok(moves) => {
                    heard = std::time::Instant::now();
                    view.show(goals, &moves);
                    if goals.iter().all(|goal| goal.is_reached(&moves)) {
                        return Ok(());
                    }
                }
                Err(error) if heard.elapsed() > FOLLOW_SILENCE_MAX => return Err(error),
                Err(error) if error.may_pass() => {}
                Err(error) => return Err(error),
            }
            tokio::time::sleep(FOLLOW_PAUSE).await;
        }
    };
    match limit {
        None => Ok(following.await?),
        Some(limit) => match tokio::time::timeout(limit, following).await {
            Ok(ended) => Ok(ended?),
            Err(_) => Err(Failure::failed("it is under way, and goes on by itself")),
        },
    }
}

/// What is shown of replicas on their way: of each that comes a bar or, without a terminal, a line
/// when it changes what it does.
struct Progress {
    bars: MultiProgress,
    shown: BTreeMap<u64, (ProgressBar, &'static str, u64)>,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            bars: MultiProgress::new(),
            shown: BTreeMap::new(),
        }
    }
}

impl Progress {
    fn show(&mut self, goals: &[Goal], moves: &AdminMoves) {
        let coming: BTreeMap<u64, &AdminReplicaMove> = goals
            .iter()
            .flat_map(|goal| goal.missing(moves))
            .filter(|replica| !replica.leaving)
            .map(|replica| (replica.replica, replica))
            .collect();
        for replica in coming.values() {
            self.update(replica);
        }
        let hidden = self.bars.is_hidden();
        self.shown.retain(|replica, (bar, _, group)| {
            let comes = coming.contains_key(replica);
            if !comes {
                bar.finish_with_message("votes");
                if hidden {
                    eprintln!("group {group}: replica {replica} votes");
                }
            }
            comes
        });
    }

    fn update(&mut self, replica: &AdminReplicaMove) {
        let (group, node) = (replica.group, replica.node);
        let doing = doing(replica);
        let hidden = self.bars.is_hidden();
        let bars = &self.bars;
        let (bar, before, _) = self.shown.entry(replica.replica).or_insert_with(|| {
            let bar = bars.add(ProgressBar::new(0));
            bar.set_style(style());
            bar.set_prefix(format!("group {group} on node {node}"));
            (bar, "", group)
        });
        let at = replica.matched.unwrap_or(0);
        bar.set_length(replica.last_index.max(1));
        bar.set_position(at.min(replica.last_index));
        let detail = match &replica.snapshot {
            Some(snapshot) => format!(
                "{doing}: {} rows, {} bodies, {}",
                snapshot.rows,
                snapshot.bodies,
                bytes_text(snapshot.body_bytes)
            ),
            None => format!("{doing}: {at} of {} entries", replica.last_index),
        };
        if hidden && *before != doing {
            eprintln!(
                "group {group}: replica {} on node {node}: {detail}",
                replica.replica
            );
        }
        *before = doing;
        bar.set_message(detail);
    }
}

/// What a replica on its way is doing, in a word or two.
pub(super) fn doing(replica: &AdminReplicaMove) -> &'static str {
    match (
        replica.leaving,
        replica.voter,
        &replica.snapshot,
        replica.matched,
    ) {
        (true, ..) => "leaves",
        (false, true, ..) => "votes",
        (false, false, Some(_), _) => "takes a checkpoint",
        (false, false, None, Some(_)) => "catches up",
        (false, false, None, None) => "waits",
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{prefix:22} [{bar:30}] {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}
