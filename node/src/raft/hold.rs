//! The word that more is committed, and when it is not worth a request of its own.
//!
//! Whenever more of a group is committed, openraft has a request for each follower that says so and
//! carries nothing else. Where entries come one after the other the next one says it too, and
//! follows at once: so the word waits for it, and is not sent at all. Nobody misses its answer,
//! since each answer is one to all that went before. Only followers wait for the word; who proposed
//! was answered.

use std::future;

use openraft::raft::AppendEntriesRequest;
use tokio::time::Instant;

use super::limits::COMMIT_HOLD;
use super::types::Types;

/// What is held of one group on its way to one follower.
#[derive(Default)]
pub(super) struct Hold {
    held: Option<(Instant, AppendEntriesRequest<Types>)>,
    /// When entries came last.
    entries: Option<Instant>,
    /// Whether they came soon after those before.
    busy: bool,
}

impl Hold {
    /// What openraft has next: answers what is to be sent now. What was held need not be any more.
    pub fn pass(
        &mut self,
        request: AppendEntriesRequest<Types>,
        now: Instant,
    ) -> Option<AppendEntriesRequest<Types>> {
        let held = self.held.take();
        if !request.entries.is_empty() {
            let last = self.entries.replace(now);
            self.busy = last.is_some_and(|last| now.duration_since(last) < COMMIT_HOLD);
        } else if self.busy {
            let until = held.map_or(now + COMMIT_HOLD, |(until, _)| until);
            self.held = Some((until, request));
            return None;
        }
        Some(request)
    }

    /// What is held, to be sent now.
    pub fn take(&mut self) -> Option<AppendEntriesRequest<Types>> {
        self.busy = false;
        self.held.take().map(|(_, request)| request)
    }

    /// Returns what no entries came for in time.
    pub async fn overdue(&mut self) -> AppendEntriesRequest<Types> {
        let Some((until, _)) = &self.held else {
            return future::pending().await;
        };
        tokio::time::sleep_until(*until).await;
        match self.take() {
            Some(request) => request,
            None => future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use openraft::EntryPayload;

    use super::super::types::{Entry, Vote, raft_log_id};
    use super::*;
    use crate::replica::LogId;

    /// The first entries up to one, or the word that so many are committed.
    fn request(entry: Option<u64>, committed: u64) -> AppendEntriesRequest<Types> {
        let id = |index| raft_log_id(LogId { term: 1, index });
        AppendEntriesRequest {
            vote: Vote::new(1, 1),
            prev_log_id: None,
            entries: Vec::from_iter(entry.map(|index| Entry {
                log_id: id(index),
                payload: EntryPayload::Blank,
            })),
            leader_commit: Some(id(committed)),
        }
    }

    fn committed(request: Option<AppendEntriesRequest<Types>>) -> Option<u64> {
        Some(request?.leader_commit?.index)
    }

    #[test]
    fn the_word_goes_with_the_next_entries() {
        let mut hold = Hold::default();
        let mut now = Instant::now();
        let soon = COMMIT_HOLD / 2;
        assert_eq!(committed(hold.pass(request(Some(1), 0), now)), Some(0));
        assert_eq!(
            committed(hold.pass(request(None, 1), now)),
            Some(1),
            "nothing follows"
        );
        now += soon;
        assert_eq!(committed(hold.pass(request(Some(2), 1), now)), Some(1));
        assert_eq!(committed(hold.pass(request(None, 2), now)), None);
        now += soon;
        assert_eq!(committed(hold.pass(request(Some(3), 2), now)), Some(2));
        assert_eq!(committed(hold.take()), None, "the entries have said it");
    }

    #[tokio::test]
    async fn it_goes_alone_when_none_come() {
        let mut hold = Hold::default();
        let began = Instant::now();
        for index in 1..=2 {
            assert!(hold.pass(request(Some(index), 0), began).is_some());
        }
        assert_eq!(committed(hold.pass(request(None, 1), began)), None);
        let later = began + Duration::from_millis(1);
        assert_eq!(committed(hold.pass(request(None, 2), later)), None);
        assert_eq!(
            committed(Some(hold.overdue().await)),
            Some(2),
            "the last word"
        );
        assert!(began.elapsed() >= COMMIT_HOLD);
        assert_eq!(
            committed(hold.pass(request(None, 3), Instant::now())),
            Some(3)
        );
        tokio::select! {
            _ = hold.overdue() => panic!("nothing is held"),
            () = tokio::time::sleep(COMMIT_HOLD * 2) => {}
        }
    }
}
