//! What a person reads at the end, and what a program makes of it.

use std::time::Duration;

use crate::nemesis::Campaign;
use crate::oracle::{Counts, Verdict};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Nothing was wrong.
    Clean,
    /// Something was.
    Dirty,
    /// Too little happened for it to mean anything.
    Void,
    /// What it needs is not there: nothing was tested.
    Skipped,
}

impl Ending {
    /// The exit code of the process.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Dirty => 1,
            Self::Void => 3,
            Self::Skipped => 4,
        }
    }
}

/// What a run had to do to mean anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demands {
    /// Single nodes to kill.
    pub kills: u32,
    /// Of them, nodes that lead the group that is to lose its leader.
    pub leaders: u32,
    /// Full-cluster kills.
    pub full: u32,
    /// Nodes to let sleep.
    pub pauses: u32,
    /// Operations that had to be acknowledged.
    pub operations: u64,
    /// Indexes were harmed, so that they may be made anew whenever nodes start.
    pub index_harmed: bool,
}

/// Of the planned operations, at least so many of a hundred.
const OPERATIONS_PERCENT_MIN: u64 = 95;

/// Of all operations, at least so many of a hundred must have been done: a cluster that answers
/// everything with NO is not under load.
const OK_PERCENT_MIN: u64 = 50;

/// From so many kills on, some operation must have been cut off.
const KILLS_FOR_UNKNOWN: u32 = 10;

/// Violations that are shown; all are counted.
const SHOWN_MAX: usize = 40;

/// Why a run means nothing; empty if it means something.
#[must_use]
pub fn shortfalls(demands: &Demands, campaign: &Campaign, counts: &Counts) -> Vec<String> {
    let mut short = Vec::new();
    let mut unless = |holds: bool, what: String| {
        if !holds {
            short.push(what);
        }
    };
    let (kills, full) = (campaign.kills, campaign.full);
    unless(
        kills >= demands.kills,
        format!("{kills} of {} kills", demands.kills),
    );
    unless(
        full >= demands.full,
        format!("{full} of {} full-cluster kills", demands.full),
    );
    unless(
        campaign.pauses >= demands.pauses,
        format!("{} of {} pauses", campaign.pauses, demands.pauses),
    );
    let leaders = campaign.leaders;
    unless(
        leaders >= demands.leaders,
        format!("{leaders} of {} kills of leaders met one", demands.leaders),
    );
    let enough = counts.ok * 100 >= demands.operations * OPERATIONS_PERCENT_MIN;
    unless(
        enough,
        format!("{} of {} operations", counts.ok, demands.operations),
    );
    let busy = counts.ok * 100 >= counts.operations * OK_PERCENT_MIN;
    unless(
        busy,
        format!(
            "only {} of {} operations were done",
            counts.ok, counts.operations
        ),
    );
    unless(
        counts.reads > 0 && counts.messages > 0,
        "nothing was read".to_owned(),
    );
    let cut_off = counts.unknown > 0 || kills < KILLS_FOR_UNKNOWN;
    unless(cut_off, format!("{kills} kills cut off no operation"));
    short.extend(campaign.short.iter().cloned());
    short
}

/// How a run ended of which nothing is there but its history: without lists of everything at the
/// end it means nothing. `readers` are the nodes through which they had to be read.
#[must_use]
pub fn judged_alone(readers: &[u64], verdict: &Verdict) -> Ending {
    match (
        verdict.is_clean(),
        readers.is_empty() || verdict.counts.reads == 0,
    ) {
        (false, _) => Ending::Dirty,
        (true, true) => Ending::Void,
        (true, false) => Ending::Clean,
    }
}

/// The value below which so many of a hundred lie, by nearest rank; none of nothing.
#[must_use]
pub fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

/// Everything about a run in a few lines, and how it ended.
#[must_use]
pub fn report(demands: &Demands, campaign: &Campaign, verdict: &Verdict) -> (String, Ending) {
    let mut text = String::new();
    let counts = &verdict.counts;
    let mut line = |what: String| {
        text.push_str(&what);
        text.push('\n');
    };
    line(format!(
        "operations   {}: {} ok, {} failed, {} unknown ({} of them through nodes that were not \
         touched meanwhile)",
        counts.operations, counts.ok, counts.failed, counts.unknown, counts.unknown_apart
    ));
    line(format!(
        "judged       {} messages, {} reads",
        counts.messages, counts.reads
    ));
    line(format!(
        "kills        {} of {} nodes, {} of {} of leaders that led, {} of {} of the whole cluster; \
         {} of {} pauses",
        campaign.kills,
        demands.kills,
        campaign.leaders,
        demands.leaders,
        campaign.full,
        demands.full,
        campaign.pauses,
        demands.pauses
    ));
    let mut times: Vec<Duration> = campaign.failovers.iter().map(|it| it.took).collect();
    times.sort_unstable();
    let ms =
        |time: Option<Duration>| time.map_or("-".into(), |it| format!("{} ms", it.as_millis()));
    line(format!(
        "failover     p50 {}, p99 {}, max {} of {} partitions that lost their leader",
        ms(percentile(&times, 50)),
        ms(percentile(&times, 99)),
        ms(times.last().copied()),
        times.len()
    ));
    for recovery in &campaign.recoveries {
        line(format!(
            "recovery     {} after the whole cluster",
            ms(Some(*recovery))
        ));
    }
    for violation in verdict.violations.iter().take(SHOWN_MAX) {
        line(format!("VIOLATION    {violation}"));
    }
    let hidden = verdict.violations.len().saturating_sub(SHOWN_MAX);
    if hidden > 0 {
        line(format!("and {hidden} more violations"));
    }
    let short = shortfalls(demands, campaign, counts);
    for what in &short {
        line(format!("VOID         {what}"));
    }
    let ending = match (verdict.is_clean(), short.is_empty()) {
        (false, _) => Ending::Dirty,
        (true, false) => Ending::Void,
        (true, true) => Ending::Clean,
    };
    let kinds: Vec<String> = verdict
        .by_kind()
        .iter()
        .map(|(kind, count)| format!("{count} {kind:?}"))
        .collect();
    line(match ending {
        Ending::Clean => "clean        0 lost, 0 doubled, 0 reused UIDs, equal digests".into(),
        Ending::Dirty => format!("dirty        {}", kinds.join(", ")),
        Ending::Void => "void         nothing was wrong, but too little happened".into(),
        Ending::Skipped => "skipped      nothing was tested".into(),
    });
    (text, ending)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::probe::Failover;
    use crate::oracle::{Kind, Violation};

    fn done() -> (Demands, Campaign, Verdict) {
        let demands = Demands {
            kills: 2,
            leaders: 1,
            full: 0,
            pauses: 0,
            operations: 100,
            index_harmed: false,
        };
        let took = |ms| Failover {
            group: 1,
            took: Duration::from_millis(ms),
        };
        let campaign = Campaign {
            kills: 2,
            leaders: 1,
            failovers: (1..=200).map(took).collect(),
            ..Campaign::default()
        };
        let counts = Counts {
            operations: 110,
            ok: 100,
            reads: 5,
            messages: 9,
            ..Counts::default()
        };
        (
            demands,
            campaign,
            Verdict {
                counts,
                violations: Vec::new(),
            },
        )
    }

    fn lost() -> Violation {
        Violation {
            kind: Kind::Lost,
            event: None,
            what: "message 5".to_owned(),
        }
    }

    #[test]
    fn a_clean_run_says_its_times() {
        let (demands, campaign, verdict) = done();
        let (text, ending) = report(&demands, &campaign, &verdict);
        assert_eq!(ending.code(), 0);
        assert!(
            text.contains("p50 100 ms, p99 198 ms, max 200 ms of 200"),
            "{text}"
        );
        assert_eq!(percentile(&[], 50), None);
    }

    #[test]
    fn a_history_that_was_not_read_means_nothing() {
        let (_, _, mut verdict) = done();
        assert_eq!(judged_alone(&[1, 2, 3], &verdict), Ending::Clean);
        assert_eq!(judged_alone(&[], &verdict), Ending::Void);
        verdict.counts.reads = 0;
        assert_eq!(judged_alone(&[1, 2, 3], &verdict), Ending::Void);
        assert_eq!(judged_alone(&[], &Verdict::default()), Ending::Void);
        verdict.violations = vec![lost()];
        assert_eq!(judged_alone(&[], &verdict), Ending::Dirty);
    }

    #[test]
    fn too_little_is_void_and_a_violation_is_dirty() {
        let (demands, mut campaign, mut verdict) = done();
        campaign.kills = 1;
        assert_eq!(report(&demands, &campaign, &verdict).1, Ending::Void);
        campaign.kills = 2;
        campaign.leaders = 0;
        assert_eq!(report(&demands, &campaign, &verdict).1, Ending::Void);
        campaign.leaders = 1;
        campaign.short = vec!["nothing was mended".to_owned()];
        let (text, ending) = report(&demands, &campaign, &verdict);
        assert_eq!(ending, Ending::Void);
        assert!(text.contains("VOID         nothing was mended"), "{text}");
        campaign.short.clear();
        verdict.counts.ok = 94;
        assert_eq!(report(&demands, &campaign, &verdict).1.code(), 3);
        verdict.violations = vec![lost()];
        let (text, ending) = report(&demands, &campaign, &verdict);
        assert_eq!(ending.code(), 1);
        assert!(text.contains("1 Lost"), "{text}");
    }
}
