//! What a client was told of the mailbox that it has selected: the meaning of sequence numbers.
//!
//! ```text
//!   told      1     2     3     4        sequence numbers, always 1..n without gaps (I1)
//!   uids      3     4     7     9
//!   gone            4                    expunged, not yet told: it still counts
//!   recent                      9
//! ```
//!
//! The view holds sets of UIDs and one mod-sequence, no flags. What changed comes from the backend
//! ([`View::absorb`]); arrivals are added at once, expunged messages wait in `gone` until
//! [`View::expunge`] may tell them. So a FETCH can go on naming a message that is gone, and no
//! number ever moves without an EXPUNGE.
//!
//! The mod-sequence up to which changes are known comes from the answers to `Changes` alone, never
//! from an own command: others may have changed something in between. An own change would therefore
//! come back as an echo; [`View::told`] notes what the client knows already.

use mailbox::{Changes, Flags, ModSeq, Opened, Uid, UidRanges};

use crate::error::{Error, Result};
use crate::grammar::{IdRange, SequenceMatch, SequenceSet, sequence};
use crate::told::Told;

/// A client's picture of a mailbox.
#[derive(Clone, Debug)]
pub struct View {
    /// The messages that have sequence numbers, in their order.
    uids: UidRanges,
    /// The ranges of `uids` with what stands before each.
    runs: Vec<Run>,
    /// Those of `uids` that are expunged, which the client does not know.
    gone: UidRanges,
    /// Those of `uids` that are `\Recent` in this session.
    recent: UidRanges,
    /// The saved result, `$` (RFC 5182). Those that are expunged stand here and name nothing.
    saved: UidRanges,
    /// The highest UID that ever was in the view.
    top: Uid,
    /// Changes up to here are absorbed.
    since: ModSeq,
    /// HIGHESTMODSEQ as of then.
    highest: ModSeq,
    /// HIGHESTMODSEQ up to which the client was told everything: it stays behind while expunged
    /// messages are not told.
    settled: ModSeq,
    /// Up to where changes of flags were told, if the client wants to hear of them no more; then
    /// `settled` stays where it is.
    hushed: Option<ModSeq>,
    /// The highest mod-sequence of a message that the client was shown.
    shown: ModSeq,
    /// The highest mod-sequence of the account that an answer to this session was of.
    seen: ModSeq,
    /// What the client knows of changes after `since`.
    told: Told,
    /// The number of messages as the client counts them.
    exists_told: u32,
    /// The number of recent messages as told.
    recent_told: u32,
}

/// A range of UIDs whose sequence numbers follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    first: u32,
    last: u32,
    /// Messages before this run.
    before: u32,
}

impl View {
    /// The view of a mailbox that is being selected. The caller tells EXISTS and RECENT.
    pub fn open(opened: &Opened) -> View {
        let mut view = View {
            uids: opened.uids.clone(),
            runs: Vec::new(),
            gone: UidRanges::new(),
            recent: UidRanges::new(),
            saved: UidRanges::new(),
            top: opened.uids.last().unwrap_or_default(),
            since: opened.modseq,
            highest: opened.folder.highest_modseq,
            settled: opened.folder.highest_modseq,
            hushed: None,
            shown: ModSeq(0),
            seen: opened.modseq,
            told: Told::default(),
            exists_told: 0,
            recent_told: 0,
        };
        view.number();
        view.exists_told = view.messages();
        view
    }

    /// How many messages have a sequence number.
    pub fn messages(&self) -> u32 {
        self.runs.last().map_or(0, |run| run.before + run.len())
    }

    /// How many of them are recent.
    pub fn recent(&self) -> u32 {
        u32::try_from(self.recent.len()).unwrap_or(u32::MAX)
    }

    /// The recent messages.
    pub fn recent_uids(&self) -> &UidRanges {
        &self.recent
    }

    /// Whether a message is recent in this session.
    pub fn is_recent(&self, uid: Uid) -> bool {
        self.recent.contains(uid)
    }

    /// Whether the view shows a message, be it expunged or not.
    pub fn contains(&self, uid: Uid) -> bool {
        self.uids.contains(uid)
    }

    /// The messages that are expunged without the client's knowing.
    pub fn gone(&self) -> &UidRanges {
        &self.gone
    }

    /// All messages that have sequence numbers.
    pub fn uids(&self) -> &UidRanges {
        &self.uids
    }

    /// Up to where changes are known: what to ask `Changes` since.
    pub fn since(&self) -> ModSeq {
        self.since
    }

    /// The highest mod-sequence of the account that an answer to this session was of: what is read
    /// next must not be older.
    pub fn seen(&self) -> ModSeq {
        self.seen.max(self.since)
    }

    /// Notes that an answer was of the account at this mod-sequence.
    pub fn see(&mut self, modseq: ModSeq) {
        self.seen = self.seen.max(modseq);
    }

    /// HIGHESTMODSEQ as the client may remember it: all up to here was told, also what was
    /// expunged. A client that comes back with it misses nothing (RFC 7162 section 3.2).
    pub fn highest_modseq(&self) -> ModSeq {
        self.settled
    }

    /// Notes that the client was shown a message's mod-sequence.
    pub fn show(&mut self, modseq: ModSeq) {
        self.shown = self.shown.max(modseq);
    }

    /// Whether the client was shown a mod-sequence beyond the changes that are known here.
    pub fn is_ahead_of_changes(&self) -> bool {
        self.shown > self.since
    }

    /// Whether the client was shown a mod-sequence although not all up to it was told.
    pub fn is_unsettled(&self) -> bool {
        self.shown > self.settled
    }

    /// The highest UID up to which no message was expunged since the client was told of these
    /// sequence numbers, as far as they show it (RFC 7162 section 3.2.5.2): where a number still
    /// means its UID, as many messages are before it as then, and none can have arrived there.
    pub fn unchanged_up_to(&self, matches: &[SequenceMatch]) -> Uid {
        for known in matches.iter().rev() {
            let IdRange { first, last } = known.sequences;
            let offset = i64::from(known.uid) - i64::from(first);
            let end = self.runs.partition_point(|run| run.before < last);
            let runs = self.runs.iter().take(end).rev();
            for run in runs.take_while(|run| run.before + run.len() >= first) {
                if i64::from(run.first) - i64::from(run.before) - 1 == offset {
                    let sequence = last.min(run.before + run.len());
                    return Uid(known.uid + (sequence - first));
                }
            }
        }
        Uid(0)
    }

    /// The UID that UIDNEXT was at least when the view was last changed: above all in the view.
    pub fn next_uid(&self) -> Uid {
        Uid(self.top.0.saturating_add(1))
    }

    /// The sequence number of a message.
    pub fn sequence(&self, uid: Uid) -> Option<u32> {
        let at = self.runs.partition_point(|run| run.last < uid.0);
        let run = self.runs.get(at).filter(|run| run.first <= uid.0)?;
        Some(run.before + (uid.0 - run.first) + 1)
    }

    /// The message with a sequence number.
    pub fn uid(&self, sequence: u32) -> Option<Uid> {
        let at = self
            .runs
            .partition_point(|run| run.before + run.len() < sequence);
        let run = self.runs.get(at)?;
        let offset = sequence.checked_sub(run.before + 1)?;
        Some(Uid(run.first + offset))
    }

    /// Saves a result, so that `$` names it from now on (RFC 5182 section 2.1).
    pub fn save(&mut self, found: UidRanges) {
        self.saved = found;
    }

    /// The messages that a set names, by UID or by sequence number, or `$`, which in an empty state
    /// is a valid set of no messages.
    ///
    /// # Errors
    /// `Syntax` for a sequence number that no message has. A UID that no message has is passed over
    /// (RFC 3501 section 6.4.8).
    pub fn resolve(&self, set: &SequenceSet, by_uid: bool) -> Result<UidRanges> {
        if set.is_saved() {
            return Ok(self.saved.intersect(&self.uids));
        }
        if by_uid {
            let max = self.uids.last().unwrap_or_default();
            let named = set.normalise(max.0);
            let named = named
                .iter()
                .map(|range| (range.first, range.last))
                .collect();
            let named = UidRanges::from_sorted(named).ok_or(Error::Syntax("not a set of UIDs"))?;
            return Ok(named.intersect(&self.uids));
        }
        let messages = self.messages();
        if messages == 0 && set.has_star() {
            return Ok(UidRanges::new());
        }
        if set.largest() > messages {
            return Err(Error::Syntax(
                "there is no message with such a sequence number",
            ));
        }
        let mut uids = UidRanges::new();
        for range in set.normalise(messages) {
            self.insert_numbered(range, &mut uids);
        }
        Ok(uids)
    }

    /// The messages that a search names by sequence number, or `$`. A number that no message has is
    /// passed over: a client may search among more messages than there are (RFC 7377 section 2).
    pub fn among(&self, set: &SequenceSet) -> UidRanges {
        if set.is_saved() {
            return self.saved.intersect(&self.uids);
        }
        let mut uids = UidRanges::new();
        for range in set.normalise(self.messages()) {
            self.insert_numbered(range, &mut uids);
        }
        uids
    }

    /// Adds the UIDs of a range of sequence numbers, as far as it has messages.
    fn insert_numbered(&self, range: IdRange, uids: &mut UidRanges) {
        let start = self
            .runs
            .partition_point(|run| run.before + run.len() < range.first);
        for run in self.runs.iter().skip(start) {
            if run.before >= range.last {
                break;
            }
            let from = range.first.saturating_sub(run.before + 1);
            let to = (range.last - run.before - 1).min(run.len() - 1);
            uids.insert_range(Uid(run.first + from), Uid(run.first + to));
        }
    }

    /// The sequence numbers of messages, as ranges.
    pub fn sequences(&self, uids: &UidRanges) -> Vec<IdRange> {
        let mut numbers = Vec::new();
        for (first, last) in uids.intersect(&self.uids).ranges() {
            // A range of the intersection lies within one run.
            if let (Some(first), Some(last)) = (self.sequence(first), self.sequence(last)) {
                numbers.push(IdRange { first, last });
            }
        }
        sequence::merge(numbers)
    }

    /// Takes in what changed, and returns the flags of which the client must be told, with the
    /// messages that arrived.
    pub fn absorb(&mut self, changes: Changes) -> News {
        self.lose(&changes.vanished);
        let fresh = UidRanges::range(self.next_uid(), Uid::MAX).intersect(&changes.arrived);
        let known = |uid: &Uid| self.uids.contains(*uid) && !self.gone.contains(*uid);
        let flags = changes
            .flags
            .into_iter()
            .filter(|(uid, modseq, _)| known(uid) && !self.told.has(*uid, *modseq))
            .filter(|_| self.hushed.is_none())
            .collect();
        self.since = self.since.max(changes.modseq);
        if let Some(folder) = changes.folder {
            // More changes may follow that this page does not tell.
            self.highest = self.highest.max(folder.highest_modseq.min(self.since));
        }
        if self.gone.is_empty() {
            self.settle();
        }
        self.told.forget_up_to(self.since);
        self.add(&fresh);
        News {
            flags,
            arrived: fresh,
        }
    }

    /// Takes in the whole mailbox anew, after too long a time for `Changes`: what is expunged so
    /// long ago is remembered no more.
    pub fn resync(&mut self, uids: &UidRanges) {
        self.lose(&self.uids.subtract(uids));
    }

    /// Whether changes of flags are passed over from now on (RFC 5465). If they are no more, those
    /// that were come with the next changes; so do own ones, which may have been of messages whose
    /// flags the client does not know.
    pub fn hush_flags(&mut self, is_hushed: bool) {
        if is_hushed {
            self.hushed.get_or_insert(self.since);
        } else if let Some(told) = self.hushed.take() {
            self.since = told;
            self.highest = self.settled;
            self.told = Told::default();
        }
    }

    fn settle(&mut self) {
        if self.hushed.is_none() {
            self.settled = self.highest;
        }
    }

    /// Notes that messages are expunged.
    pub(crate) fn lose(&mut self, vanished: &UidRanges) {
        if !vanished.is_empty() {
            self.gone = self.gone.union(&vanished.intersect(&self.uids));
        }
    }

    fn add(&mut self, fresh: &UidRanges) {
        if let Some(last) = fresh.last() {
            self.top = last;
            self.uids = self.uids.union(fresh);
            self.number();
        }
    }

    /// Notes which messages are recent in this session: those of `among` from `from` on.
    pub fn mark_recent(&mut self, among: &UidRanges, from: Uid) {
        let recent = UidRanges::range(from, Uid::MAX)
            .intersect(among)
            .intersect(&self.uids);
        self.recent = self.recent.union(&recent);
    }

    /// No message is recent any more, and the client need not hear of it.
    pub fn forget_recent(&mut self) {
        self.recent = UidRanges::new();
        self.recent_told = 0;
    }

    /// Notes that the client knows these messages' flags as of this mod-sequence.
    pub fn told(&mut self, modseq: ModSeq, uids: impl IntoIterator<Item = Uid>) {
        if modseq > self.since {
            self.told.note(modseq, uids);
        }
    }

    /// Lets expunged messages go, and returns the numbers for EXPUNGE in the order in which they
    /// are to be sent: from the highest down, so that none moves another. To be called only where
    /// EXPUNGE may be sent (invariant I1).
    pub fn expunge(&mut self) -> Vec<u32> {
        let numbers = self.gone.iter().rev();
        let numbers = numbers.filter_map(|uid| self.sequence(uid)).collect();
        self.vanish();
        numbers
    }

    /// Like [`View::expunge`], and returns the UIDs for VANISHED.
    pub fn vanish(&mut self) -> UidRanges {
        let gone = std::mem::take(&mut self.gone);
        self.settle();
        if gone.is_empty() {
            return gone;
        }
        self.uids = self.uids.subtract(&gone);
        self.recent = self.recent.subtract(&gone);
        self.number();
        let expunged = u32::try_from(gone.len()).unwrap_or(u32::MAX);
        self.exists_told = self.exists_told.saturating_sub(expunged);
        gone
    }

    /// The numbers for EXISTS and RECENT, each if the client must be told.
    pub fn counts(&mut self) -> (Option<u32>, Option<u32>) {
        let (exists, recent) = (self.messages(), self.recent());
        let changed = (
            (exists != self.exists_told).then_some(exists),
            (recent != self.recent_told).then_some(recent),
        );
        (self.exists_told, self.recent_told) = (exists, recent);
        changed
    }

    /// Gives every message its number.
    fn number(&mut self) {
        let mut before = 0;
        self.runs.clear();
        self.runs.extend(self.uids.ranges().map(|(first, last)| {
            let run = Run {
                first: first.0,
                last: last.0,
                before,
            };
            before += run.len();
            run
        }));
    }
}

impl Run {
    fn len(self) -> u32 {
        self.last - self.first + 1
    }
}

/// What [`View::absorb`] found.
#[derive(Clone, Debug, Default)]
pub struct News {
    /// Messages that the client has, whose flags others changed.
    pub flags: Vec<(Uid, ModSeq, Flags)>,
    /// Messages that are new in the view.
    pub arrived: UidRanges,
}
