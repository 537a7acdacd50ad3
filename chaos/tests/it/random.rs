//! Histories at random: the judge accuses nobody who is innocent, and misses no loss.

use chaos::history::{Flags, Mode, Op, Place};
use chaos::mail::message::Serial;
use chaos::oracle::{Kind, judge};
use proptest::prelude::*;

use crate::story::{APPENDED, INBOX, NODES, Story, WORK, content};

/// What a client of a good store may do.
#[derive(Clone, Debug)]
enum Act {
    Deliver {
        answered: bool,
        done: bool,
    },
    Append {
        answered: bool,
        done: bool,
    },
    Copy {
        moving: bool,
        pick: usize,
        answered: bool,
        done: bool,
    },
    Store {
        pick: usize,
        flags: u8,
        mode: u8,
        answered: bool,
        done: bool,
    },
    Expunge {
        pick: usize,
        answered: bool,
        done: bool,
    },
    List,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        any::<(bool, bool)>().prop_map(|(answered, done)| Act::Deliver { answered, done }),
        any::<(bool, bool)>().prop_map(|(answered, done)| Act::Append { answered, done }),
        any::<(bool, usize, bool, bool)>().prop_map(|(moving, pick, answered, done)| {
            Act::Copy {
                moving,
                pick,
                answered,
                done,
            }
        }),
        any::<(usize, u8, u8, bool, bool)>().prop_map(|(pick, flags, mode, answered, done)| {
            Act::Store {
                pick,
                flags: flags & 63,
                mode,
                answered,
                done,
            }
        }),
        any::<(usize, bool, bool)>().prop_map(|(pick, answered, done)| Act::Expunge {
            pick,
            answered,
            done
        }),
        Just(Act::List),
    ];
    prop::collection::vec(act, 0..40)
}

impl Story {
    /// A good store does it: what is answered is done, the rest is done or not.
    fn act(&mut self, number: u64, act: &Act) {
        let place = if number.is_multiple_of(2) {
            INBOX
        } else {
            WORK
        };
        let other = if place == INBOX { WORK } else { INBOX };
        let pick = |story: &Self, pick: usize| -> Option<u32> {
            let uids: Vec<u32> = story.mailboxes.get(&place)?.keys().copied().collect();
            (!uids.is_empty()).then(|| uids[pick % uids.len()])
        };
        match *act {
            Act::Deliver { answered: true, .. } => drop(self.deliver(number)),
            Act::Deliver { done, .. } => {
                let id = self.begin_delivery(number);
                if done {
                    self.put(INBOX, Serial(number), Flags::default());
                }
                self.unknown(id);
            }
            Act::Append { answered: true, .. } => drop(self.append(place, number, Flags::SEEN)),
            Act::Append { done, .. } => {
                let serial = Serial(APPENDED + number);
                let (content, flags) = (content(serial), Flags::SEEN);
                let id = self.begin(Op::Append {
                    to: place,
                    serial,
                    content,
                    flags,
                });
                if done {
                    self.put(place, serial, flags);
                }
                self.unknown(id);
            }
            Act::Copy {
                moving,
                pick: at,
                answered,
                done,
            } => {
                self.list(place);
                let Some(uid) = pick(self, at) else { return };
                if answered {
                    self.copy(moving, place, other, uid);
                    return;
                }
                let op = Op::Copy {
                    moving,
                    from: place,
                    to: other,
                    uids: vec![uid],
                };
                let id = self.begin(op);
                if done {
                    let (serial, flags) = self.mailboxes[&place][&uid];
                    self.put(other, serial, flags);
                    if moving {
                        self.take(place, uid);
                    }
                }
                self.unknown(id);
            }
            Act::Store {
                pick: at,
                flags,
                mode,
                answered,
                done,
            } => {
                self.list(place);
                let Some(uid) = pick(self, at) else { return };
                let mode = [Mode::Add, Mode::Remove, Mode::Replace][usize::from(mode % 3)];
                if answered {
                    self.store(place, uid, mode, Flags(flags));
                    return;
                }
                let (uids, flags) = (vec![uid], Flags(flags));
                let id = self.begin(Op::Store {
                    place,
                    uids,
                    mode,
                    flags,
                });
                if done {
                    self.change(place, uid, mode, flags);
                }
                self.unknown(id);
            }
            Act::Expunge {
                pick: at,
                answered,
                done,
            } => {
                self.list(place);
                let Some(uid) = pick(self, at) else { return };
                if answered {
                    self.expunge(place, uid);
                    return;
                }
                self.store(place, uid, Mode::Add, Flags::DELETED);
                let id = self.begin(Op::Expunge {
                    place,
                    uids: vec![uid],
                });
                if done {
                    self.take(place, uid);
                }
                self.unknown(id);
            }
            Act::List => self.list(place),
        }
    }
}

proptest! {
    /// The judge accuses nobody who is innocent, whatever remains unknown.
    #[test]
    fn good_stores_are_never_accused(acts in acts()) {
        let mut story = Story::default();
        for (number, act) in (1..).zip(&acts) {
            story.act(number, act);
        }
        story.end_with(|_, _, _| {});
        let verdict = judge(&story.history, &NODES);
        prop_assert!(verdict.is_clean(), "{:#?}", verdict.violations);
    }

    /// A message that was acknowledged and is silently gone is always missed.
    #[test]
    fn a_loss_is_always_found(acts in acts(), pick in any::<usize>()) {
        let mut story = Story::default();
        story.deliver(0);
        for (number, act) in (1..).zip(&acts) {
            story.act(number, act);
        }
        story.list(INBOX);
        story.list(WORK);
        let all: Vec<(Place, u32)> = story
            .mailboxes
            .iter()
            .flat_map(|(place, uids)| uids.keys().map(|uid| (*place, *uid)))
            .collect();
        prop_assume!(!all.is_empty());
        let (place, uid) = all[pick % all.len()];
        let unsure = story.history.entries().iter().any(|entry| match entry.op {
            Op::Copy { moving: true, from, uids, .. } => {
                entry.over().is_none() && *from == place && uids.contains(&uid)
            }
            Op::Expunge { place: at, uids } => {
                entry.over().is_none() && *at == place && uids.contains(&uid)
            }
            _ => false,
        });
        prop_assume!(!unsure);
        story.take(place, uid);
        story.end_with(|_, _, _| {});
        prop_assert!(judge(&story.history, &NODES).by_kind().contains_key(&Kind::Lost));
    }
}
