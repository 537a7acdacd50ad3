//! Every command of IMAP while the leader dies: `rookery-chaos commands`.
//!
//! ```text
//!   cases    what is sent for each command of the table
//!   script   the bytes, and where they are cut
//!   state    what is in an account, and what may differ between two
//!   play     one session that has a command under way
//! ```
//!
//! For each case there is a twin: an account on which the same is done undisturbed. Then the case
//! is played on further accounts, through a node that leads nothing, and the node that leads
//! everything is killed with -9: when half of the command was sent or of its answer read; when the
//! leader has taken it and cannot answer; or at some moment after it was sent. Of many cases at the
//! same time, so that each kill is worth its restart. What must come of it:
//!
//! - the session says what the twin's said, in this command and in those that follow;
//! - or, if it changes something, its connection ends without a tagged response (never with a NO or
//!   BAD that the twin did not hear), and it was done as on the twin or not at all;
//! - a new session through the third node finds what the twin holds: nothing more, nothing less,
//!   the same UIDs; and what the old session was told of its mailbox is what is there.

pub mod cases;
pub mod play;
pub mod script;
pub mod state;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use rand::Rng;
use rand::seq::SliceRandom;
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use self::cases::{CASES, Case};
use self::play::{Heard, Moment, Seat, Stage as Step, Strike};
use self::state::{State, furnish};
use super::stage::{Setting, Stage, seconds};
use crate::cluster::{Account, Cluster};
use crate::limits::{LOOK_EVERY, SETTLE_WAIT};
use crate::load::Door;
use crate::report::Ending;
use crate::seed;

/// What can be chosen.
#[derive(Clone, Debug)]
pub struct Options {
    /// What every scenario is told.
    pub setting: Setting,
    /// Only cases of these commands; all if none is named.
    pub only: Vec<String>,
}

/// Sessions that one kill meets.
const PER_KILL: usize = 12;

/// Accounts that are made ready at the same time.
const AT_ONCE: usize = 6;

/// How long a stopped leader is left with what was sent to it.
const STOPPED: Duration = Duration::from_millis(250);

/// The latest moment for a kill after a command, and for a command after the first one.
const SOON_MS_MAX: u64 = 6;

/// How long clients may take to make themselves ready: some append large messages first, which on a
/// busy machine takes its time.
const READY_WAIT: Duration = Duration::from_secs(600);

/// Of a hundred commands that are cut in the middle, or sent to a stopped leader, at least so many
/// must have no answer when it dies; a few need no leader.
const UNDER_WAY_PERCENT_MIN: u64 = 50;

/// The same of those that were sent some milliseconds before.
const UNDER_WAY_SOON_PERCENT_MIN: u64 = 10;

/// Of so many commands one may end its connection without an answer, since the dead leader took its
/// outcome with it; a session on another node outlives that leader. Measured were none of 231.
const UNKNOWN_ONE_IN: u64 = 10;

const MOMENTS: [Moment; 3] = [Moment::Middle, Moment::Stopped, Moment::Soon];

/// A case, what it comes to undisturbed, and what was found wrong with it.
struct Twin {
    case: Case,
    before: State,
    heard: Heard,
    state: State,
}

/// What came of one session.
struct Played {
    unknown: bool,
    wrong: Vec<String>,
}

/// Plays all cases at all moments.
///
/// # Errors
///
/// When the cluster does not come up, does not heal, or a twin cannot be played.
pub async fn run(options: &Options) -> anyhow::Result<Ending> {
    let began = Instant::now();
    let stage = Stage::set(&options.setting).await?;
    let named = |case: &&Case| {
        let names = &options.only;
        names.is_empty()
            || names
                .iter()
                .any(|name| name.eq_ignore_ascii_case(case.command))
    };
    let cases: Vec<Case> = CASES.iter().filter(named).copied().collect();
    ensure!(!cases.is_empty(), "there is no such command");
    let accounts = (cases.len() * (1 + MOMENTS.len())) as u64;
    // Mailboxes that are shared are shared with somebody whom nobody plays: who may see those of
    // others, which change meanwhile, sees something else each time.
    let played = (0..accounts).map(|number| format!("c{number}"));
    let names = played.chain(["spectator".to_owned()]).collect();
    let accounts = stage.cluster.make_accounts(names).await?;
    let mut play = Play {
        doors: stage.scene.doors(),
        cluster: Arc::clone(&stage.cluster),
        accounts: accounts.into_iter(),
        seed: options.setting.seed,
        tally: Tally::default(),
    };
    let twins = play.twins(&cases).await?;
    println!(
        "{} cases played undisturbed after {}",
        twins.len(),
        seconds(began.elapsed())
    );
    for moment in MOMENTS {
        let mut twins: Vec<&Arc<Twin>> = twins.iter().collect();
        let mut rng = seed::generator(options.setting.seed, "cases", moment as u64);
        twins.shuffle(&mut rng);
        for some in twins.chunks(PER_KILL) {
            play.round(moment, some).await?;
        }
        println!(
            "{moment:?}: {} kills after {}",
            play.tally.kills,
            seconds(began.elapsed())
        );
    }
    play.conclude(&stage).await
}

#[derive(Default)]
struct Tally {
    kills: u64,
    counts: BTreeMap<Moment, Count>,
    unknown: u64,
    wrong: Vec<String>,
}

/// Of the commands that were played at one moment, how many had no answer when the leader died.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    played: u64,
    under_way: u64,
}

impl Count {
    /// Whether the moment was met often enough to mean anything.
    fn is_enough(self, moment: Moment) -> bool {
        let percent_min = match moment {
            Moment::Middle | Moment::Stopped => UNDER_WAY_PERCENT_MIN,
            Moment::Soon => UNDER_WAY_SOON_PERCENT_MIN,
        };
        self.played > 0 && self.under_way * 100 >= self.played * percent_min
    }
}

struct Play {
    cluster: Arc<Cluster>,
    doors: Vec<Door>,
    accounts: std::vec::IntoIter<Account>,
    seed: u64,
    tally: Tally,
}

impl Play {
    fn account(&mut self) -> anyhow::Result<String> {
        let account = self
            .accounts
            .next()
            .context("an account for each session")?;
        Ok(account.name)
    }

    /// Plays every case undisturbed.
    async fn twins(&mut self, cases: &[Case]) -> anyhow::Result<Vec<Arc<Twin>>> {
        let room = Arc::new(Semaphore::new(AT_ONCE));
        let mut playing = JoinSet::new();
        for (number, case) in cases.iter().copied().enumerate() {
            let user = self.account()?;
            let (room, cluster) = (Arc::clone(&room), Arc::clone(&self.cluster));
            let [door, other] = [0, 1].map(|at| self.doors[(number + at) % self.doors.len()]);
            playing.spawn(async move {
                let _permit = room.acquire().await;
                let played = twin(case, &user, [door, other], &cluster).await;
                let twin = played.with_context(|| format!("undisturbed: {}", case.text))?;
                anyhow::Ok((number, Arc::new(twin)))
            });
        }
        let mut twins = BTreeMap::new();
        while let Some(played) = playing.join_next().await {
            let (number, twin) = played??;
            twins.insert(number, twin);
        }
        Ok(twins.into_values().collect())
    }

    /// Kills the leader once, while some cases are under way.
    async fn round(&mut self, moment: Moment, twins: &[&Arc<Twin>]) -> anyhow::Result<()> {
        let mut rng = seed::generator(self.seed, "kill", self.tally.kills);
        self.tally.kills += 1;
        let victim = self.doors[rng.random_range(0..self.doors.len())].node;
        let mut others: Vec<Door> = self.doors.clone();
        others.retain(|door| door.node != victim);
        others.shuffle(&mut rng);
        let ([door, other], users) = (
            [others[0], others[1]],
            self.furnished(twins.len(), &others).await?,
        );
        lead_all(&self.cluster, victim).await?;

        let (ready, mut preparing) = mpsc::channel(1);
        let (step, steps) = watch::channel(Step::Preparing);
        let mut playing = JoinSet::new();
        for (twin, (user, validity)) in twins.iter().copied().zip(users) {
            let strike = Strike {
                moment,
                ready: Some(ready.clone()),
                stage: steps.clone(),
                delay: match moment {
                    Moment::Soon => Duration::from_millis(rng.random_range(0..=SOON_MS_MAX)),
                    Moment::Middle | Moment::Stopped => Duration::ZERO,
                },
            };
            let (twin, cluster) = (Arc::clone(twin), Arc::clone(&self.cluster));
            let mut killed = steps.clone();
            playing.spawn(async move {
                let seat = Seat {
                    door,
                    other,
                    user: &user,
                    validity,
                    authority: cluster.authority(),
                };
                let heard = seat.play(&twin.case, strike).await;
                let at = heard.as_ref().ok().map(|heard| heard.at);
                let wait = killed.wait_for(|now| *now == Step::Struck).await;
                wait.context("nobody was killed")?;
                let found = State::read(other, &user).await;
                let found = found.with_context(|| format!("reading after {}", twin.case.text))?;
                anyhow::Ok((twin.judge(heard, &found, validity), at, twin))
            });
        }
        drop(ready);
        let is_ready = timeout(READY_WAIT, preparing.recv()).await;
        is_ready.context("clients do not get ready")?;
        let killed = self
            .strike(moment, victim, &step, rng.random_range(0..=SOON_MS_MAX))
            .await?;
        while let Some(played) = playing.join_next().await {
            let (played, at, twin) = played??;
            let answered_before = at.is_some_and(|at| at <= killed);
            self.tally
                .count(moment, &twin.case, played, answered_before);
        }
        self.cluster.start(victim).await?;
        self.cluster.answers(victim).await?;
        self.cluster.settle().await?;
        Ok(())
    }

    /// So many accounts that are ready to be played on, with UIDVALIDITY of INBOX.
    async fn furnished(
        &mut self,
        count: usize,
        doors: &[Door],
    ) -> anyhow::Result<Vec<(String, u32)>> {
        let room = Arc::new(Semaphore::new(AT_ONCE));
        let mut filling = JoinSet::new();
        for number in 0..count {
            let (user, room) = (self.account()?, Arc::clone(&room));
            let door = doors[number % doors.len()];
            filling.spawn(async move {
                let _permit = room.acquire().await;
                let validity = furnish(door, &user).await?;
                anyhow::Ok((user, validity))
            });
        }
        let mut users = Vec::new();
        while let Some(filled) = filling.join_next().await {
            users.push(filled??);
        }
        Ok(users)
    }

    /// Kills the node; answers when.
    async fn strike(
        &self,
        moment: Moment,
        victim: u64,
        step: &watch::Sender<Step>,
        soon_ms: u64,
    ) -> anyhow::Result<Instant> {
        if moment == Moment::Stopped {
            let pid = i32::try_from(self.cluster.pid(victim).await?)?;
            kill_process(Pid::from_raw(pid).context("a process")?, Signal::STOP)?;
        }
        step.send_replace(Step::Sending);
        match moment {
            Moment::Middle => {}
            Moment::Stopped => sleep(STOPPED).await,
            Moment::Soon => sleep(Duration::from_millis(soon_ms)).await,
        }
        let killed = self.cluster.kill(victim, Vec::new()).await?;
        step.send_replace(Step::Struck);
        Ok(killed)
    }

    /// Compares the replicas, stops the cluster, and says how it went.
    async fn conclude(mut self, stage: &Stage) -> anyhow::Result<Ending> {
        let mut found = stage.served().await?;
        found.extend(stage.compare().await?);
        let found = found.iter().map(ToString::to_string);
        self.tally.wrong.extend(found);
        let stubborn = stage.cluster.stop().await?;
        ensure!(
            stubborn.is_empty(),
            "nodes {stubborn:?} did not stop when asked to"
        );
        let Tally {
            kills,
            counts,
            unknown,
            wrong,
        } = &self.tally;
        for what in wrong {
            println!("WRONG        {what}");
        }
        let mut enough = true;
        println!("commands     through {kills} kills");
        for (moment, count) in counts {
            let Count { played, under_way } = count;
            println!(
                "{:<12} {under_way} of {played} had no answer when the leader died",
                format!("{moment:?}")
            );
            if !count.is_enough(*moment) {
                enough = false;
                println!("VOID         too few of them");
            }
        }
        println!("unknown      {unknown} connections ended without an answer");
        let played: u64 = counts.values().map(|count| count.played).sum();
        let too_many = unknown * UNKNOWN_ONE_IN > played.max(UNKNOWN_ONE_IN);
        if too_many {
            println!("WRONG        these are too many of {played}");
        }
        Ok(match (wrong.is_empty() && !too_many, enough) {
            (false, _) => Ending::Dirty,
            (true, false) => Ending::Void,
            (true, true) => Ending::Clean,
        })
    }
}

impl Tally {
    fn count(&mut self, moment: Moment, case: &Case, played: Played, answered_before: bool) {
        let count = self.counts.entry(moment).or_default();
        count.played += 1;
        count.under_way += u64::from(!answered_before);
        self.unknown += u64::from(played.unknown);
        let wrong = played.wrong.into_iter();
        let named = wrong.map(|what| format!("{moment:?}, {}: {what}", case.text));
        for what in named {
            println!("WRONG        {what}");
            self.wrong.push(what);
        }
    }
}

async fn twin(
    case: Case,
    user: &str,
    [door, other]: [Door; 2],
    cluster: &Cluster,
) -> anyhow::Result<Twin> {
    let validity = furnish(door, user).await?;
    let seat = Seat {
        door,
        other,
        user,
        validity,
        authority: cluster.authority(),
    };
    let wire = seat.prepare(&case).await?;
    let before = State::read(other, user).await?;
    let heard = seat.play_on(&case, wire, None).await?;
    let last = heard.said.last().context("an answer")?;
    let answer = format!("t {}", case.answer);
    ensure!(last.starts_with(&answer), "it is answered {last}");
    let state = State::read(other, user).await?;
    if case.stays_selected() {
        ensure!(
            heard.view == state.inbox,
            "its view differs: {:?}",
            heard.view
        );
    }
    Ok(Twin {
        case,
        before,
        heard,
        state,
    })
}

impl Twin {
    /// What is wrong with what a session heard, and with what was found afterwards.
    fn judge(&self, heard: anyhow::Result<Heard>, found: &State, validity: u32) -> Played {
        let mut wrong = Vec::new();
        let mut differ = |what: &str, one: &[String], other: &[String]| {
            if let Some(how) = difference(one, other) {
                wrong.push(format!("{what}: {how}"));
            }
        };
        let unknown = heard.as_ref().is_ok_and(|heard| heard.cut_off);
        match &heard {
            Ok(heard) if heard.cut_off => {
                let is_as_before = found.said == self.before.said;
                if !is_as_before {
                    differ("cut off, and then", &found.said, &self.state.said);
                }
            }
            Ok(heard) => {
                differ("it was told", &heard.said, &self.heard.said);
                differ("told afterwards", &heard.after, &self.heard.after);
                differ("a new session finds", &found.said, &self.state.said);
                if self.case.stays_selected() {
                    differ("its view and the mailbox", &heard.view, &found.inbox);
                }
            }
            Err(error) => wrong.push(format!("{error:#}")),
        }
        if unknown && !self.case.changes {
            wrong.push("cut off, though it changes nothing".to_owned());
        }
        if found.validity.get("INBOX") != Some(&validity) {
            wrong.push(format!("UIDVALIDITY was {validity}: {:?}", found.validity));
        }
        Played { unknown, wrong }
    }
}

/// The first difference between two transcripts; none if they are equal.
fn difference(found: &[String], expected: &[String]) -> Option<String> {
    let longest = found.len().max(expected.len());
    let at = (0..longest).find(|at| found.get(*at) != expected.get(*at))?;
    let line = |of: &[String]| of.get(at).cloned().unwrap_or_else(|| "nothing".to_owned());
    Some(format!("{:?}, not {:?}", line(found), line(expected)))
}

/// Hands the lead of every group to one node.
async fn lead_all(cluster: &Cluster, node: u64) -> anyhow::Result<()> {
    let deadline = Instant::now() + SETTLE_WAIT;
    loop {
        let leaders = cluster.leaders().await;
        let elsewhere = leaders.iter().filter(|(_, leader)| leader.node != node);
        let elsewhere: Vec<u64> = elsewhere.map(|(group, _)| *group).collect();
        if elsewhere.is_empty() && !leaders.is_empty() {
            return Ok(());
        }
        for group in elsewhere {
            // It may refuse while that replica is behind.
            drop(cluster.transfer(group, node).await);
        }
        ensure!(
            Instant::now() < deadline,
            "node {node} does not get to lead"
        );
        sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_that_was_hardly_met_means_nothing() {
        let count = |under_way| Count {
            played: 100,
            under_way,
        };
        for moment in MOMENTS {
            assert!(count(50).is_enough(moment));
            assert!(!count(9).is_enough(moment));
            assert!(!Count::default().is_enough(moment));
        }
        assert!(count(10).is_enough(Moment::Soon));
        assert!(!count(49).is_enough(Moment::Stopped));
    }
}
