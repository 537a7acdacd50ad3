//! I1: whatever happens in a mailbox, what a client was told adds up to what is there.

use imap::grammar::SequenceSet;
use imap::view::View;
use mailbox::{Changes, Flags, Folder, ModSeq, Opened, Uid, UidRanges};
use proptest::prelude::*;

/// A mailbox that remembers every change.
struct Mailbox {
    uids: Vec<u32>,
    next: u32,
    modseq: u64,
    arrived: Vec<(u64, u32)>,
    expunged: Vec<(u64, u32)>,
    flagged: Vec<(u64, u32)>,
}

impl Mailbox {
    fn opened(&self) -> Opened {
        Opened {
            uids: self.uids.iter().copied().map(Uid).collect(),
            modseq: ModSeq(self.modseq),
            ..Opened::default()
        }
    }

    fn changes(&self, since: ModSeq) -> Changes {
        let after = |list: &[(u64, u32)]| -> Vec<u32> {
            list.iter()
                .filter(|(modseq, _)| *modseq > since.0)
                .map(|(_, uid)| *uid)
                .collect()
        };
        let arrived = after(&self.arrived);
        let is_new = |uid: &u32| arrived.contains(uid);
        let set = |uids: Vec<u32>| -> UidRanges { uids.into_iter().map(Uid).collect() };
        let flags = self.flagged.iter().filter(|(modseq, _)| *modseq > since.0);
        Changes {
            folder: Some(Folder {
                exists: true,
                ..Folder::default()
            }),
            vanished: set(after(&self.expunged)
                .into_iter()
                .filter(|uid| !is_new(uid))
                .collect()),
            arrived: set(arrived
                .iter()
                .copied()
                .filter(|uid| self.uids.contains(uid))
                .collect()),
            flags: flags
                .filter(|(_, uid)| self.uids.contains(uid))
                .map(|(modseq, uid)| (Uid(*uid), ModSeq(*modseq), Flags::default()))
                .collect(),
            modseq: ModSeq(self.modseq),
            floor: ModSeq(0),
            more: false,
        }
    }
}

/// What a client makes of the responses: it knows UIDs only from what it fetches.
#[derive(Default)]
struct Client {
    /// By sequence number; `None` as long as it has not fetched the UID.
    messages: Vec<Option<u32>>,
}

impl Client {
    fn exists(&mut self, count: u32) {
        assert!(
            count as usize >= self.messages.len(),
            "EXISTS never shrinks"
        );
        self.messages.resize(count as usize, None);
    }

    fn expunge(&mut self, sequence: u32) {
        self.messages.remove(sequence as usize - 1);
    }

    /// Fetches UIDs: each must be what the client knew, if it knew.
    fn fetch(&mut self, view: &View) {
        assert_eq!(view.messages() as usize, self.messages.len());
        for (at, known) in self.messages.iter_mut().enumerate() {
            let uid = view.uid(at as u32 + 1).unwrap();
            assert_eq!(view.sequence(uid), Some(at as u32 + 1));
            assert_eq!(*known.get_or_insert(uid.0), uid.0);
        }
        assert!(self.messages.is_sorted());
    }
}

#[derive(Clone, Debug)]
enum Step {
    Arrive(u8),
    Expunge(prop::sample::Index),
    Flag(prop::sample::Index),
    /// Read changes, and tell them without or with EXPUNGE.
    Refresh(bool),
    Fetch,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1u8..4).prop_map(Step::Arrive),
        any::<prop::sample::Index>().prop_map(Step::Expunge),
        any::<prop::sample::Index>().prop_map(Step::Flag),
        any::<bool>().prop_map(Step::Refresh),
        Just(Step::Fetch),
    ]
}

fn tell(view: &mut View, client: &mut Client, with_expunges: bool) {
    if with_expunges {
        view.expunge()
            .into_iter()
            .for_each(|sequence| client.expunge(sequence));
    }
    if let (Some(exists), _) = view.counts() {
        client.exists(exists);
    }
}

proptest! {
    #[test]
    fn numbers_always_fit(
        start in prop::collection::btree_set(1u32..40, 0..12),
        steps in prop::collection::vec(step(), 0..80),
    ) {
        let next = start.last().map_or(1, |last| last + 1);
        let uids: Vec<u32> = start.into_iter().collect();
        let mut mailbox = Mailbox {
            uids, next, modseq: 10, arrived: vec![], expunged: vec![], flagged: vec![],
        };
        let mut view = View::open(&mailbox.opened());
        let mut client = Client::default();
        client.exists(view.messages());
        for step in steps {
            mailbox.modseq += 1;
            match step {
                Step::Arrive(count) => {
                    for _ in 0..count {
                        mailbox.uids.push(mailbox.next);
                        mailbox.arrived.push((mailbox.modseq, mailbox.next));
                        mailbox.next += 1;
                    }
                }
                Step::Expunge(index) if !mailbox.uids.is_empty() => {
                    let at = index.index(mailbox.uids.len());
                    mailbox.expunged.push((mailbox.modseq, mailbox.uids.remove(at)));
                }
                Step::Flag(index) if !mailbox.uids.is_empty() => {
                    let uid = *index.get(&mailbox.uids);
                    mailbox.flagged.push((mailbox.modseq, uid));
                }
                Step::Expunge(_) | Step::Flag(_) => {}
                Step::Refresh(with_expunges) => {
                    let news = view.absorb(mailbox.changes(view.since()));
                    for (uid, ..) in &news.flags {
                        prop_assert!(view.sequence(*uid).is_some());
                    }
                    tell(&mut view, &mut client, with_expunges);
                }
                Step::Fetch => client.fetch(&view),
            }
        }
        view.absorb(mailbox.changes(view.since()));
        tell(&mut view, &mut client, true);
        client.fetch(&view);
        let known: Vec<u32> = client.messages.into_iter().flatten().collect();
        prop_assert_eq!(known, mailbox.uids);
    }

    #[test]
    fn sets_name_what_they_say(
        uids in prop::collection::btree_set(1u32..60, 1..30),
        ranges in prop::collection::vec((1u32..70, 1u32..70), 1..6),
        by_uid in any::<bool>(),
    ) {
        let uids: Vec<u32> = uids.into_iter().collect();
        let opened =
            Opened { uids: uids.iter().copied().map(Uid).collect(), ..Opened::default() };
        let view = View::open(&opened);
        let text: Vec<String> = ranges.iter().map(|(a, b)| format!("{a}:{b}")).collect();
        let set = SequenceSet::parse(text.join(",").as_bytes()).unwrap();
        let named = |id: u32| {
            ranges.iter().any(|(a, b)| (*a.min(b)..=*a.max(b)).contains(&id))
        };
        let wanted: Vec<u32> = uids
            .iter()
            .enumerate()
            .filter(|(at, uid)| named(if by_uid { **uid } else { *at as u32 + 1 }))
            .map(|(_, uid)| *uid)
            .collect();
        match view.resolve(&set, by_uid) {
            Ok(found) => {
                let found: Vec<u32> = found.iter().map(|uid| uid.0).collect();
                prop_assert_eq!(found, wanted);
            }
            Err(_) => prop_assert!(!by_uid && set.largest() as usize > uids.len()),
        }
    }
}

#[test]
fn own_changes_are_not_echoed() {
    let opened = Opened {
        uids: [Uid(3), Uid(5)].into_iter().collect(),
        ..Opened::default()
    };
    let mut view = View::open(&Opened {
        modseq: ModSeq(10),
        ..opened
    });
    view.told(ModSeq(12), [Uid(3)]);
    let folder = Some(Folder {
        exists: true,
        ..Folder::default()
    });
    let change = |uid: u32, modseq: u64| (Uid(uid), ModSeq(modseq), Flags::default());
    let flags = vec![change(3, 12), change(5, 11)];
    let news = view.absorb(Changes {
        folder,
        flags,
        modseq: ModSeq(12),
        ..Changes::default()
    });
    assert_eq!(news.flags, [change(5, 11)]);
}

/// Others changed a message while the client wanted to hear of no flags; that it changed the
/// message itself since does not mean that it knows them.
#[test]
fn what_was_hushed_is_told_in_the_end() {
    let mut view = View::open(&Opened {
        uids: [Uid(3)].into_iter().collect(),
        modseq: ModSeq(10),
        ..Opened::default()
    });
    let changes = |modseq: u64| Changes {
        folder: Some(Folder::default()),
        flags: vec![(Uid(3), ModSeq(modseq), Flags::default())],
        modseq: ModSeq(modseq),
        ..Changes::default()
    };
    view.hush_flags(true);
    assert!(view.absorb(changes(11)).flags.is_empty());
    view.told(ModSeq(12), [Uid(3)]);
    view.hush_flags(false);
    assert_eq!(view.since(), ModSeq(10));
    assert_eq!(view.absorb(changes(12)).flags, changes(12).flags);
}

/// What a view remembers of own changes is bounded; those that it has forgotten come as echoes.
#[test]
fn the_newest_own_changes_are_remembered() {
    let last = 20_000;
    let uids = UidRanges::range(Uid(1), Uid(last));
    let mut view = View::open(&Opened {
        uids: uids.clone(),
        ..Opened::default()
    });
    let modseq = |uid: Uid| ModSeq(uid.0.into());
    for uid in uids.iter() {
        view.told(modseq(uid), [uid]);
    }
    let flags = uids.iter().map(|uid| (uid, modseq(uid), Flags::default()));
    let news = view.absorb(Changes {
        folder: Some(Folder::default()),
        flags: flags.collect(),
        modseq: ModSeq(last.into()),
        ..Changes::default()
    });
    let echoes = news.flags.len();
    assert!((1..10_000).contains(&echoes), "{echoes} echoes");
    assert!(
        news.flags
            .iter()
            .map(|(uid, ..)| uid.0)
            .eq(1..=echoes as u32)
    );
}
