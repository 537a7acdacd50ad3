//! Moves between two accounts, with sessions that are lost at any point: a message is always in one
//! of the two mailboxes, and in the end in exactly one.

use std::collections::{BTreeMap, BTreeSet};

use mailbox::{
    AccountId, Answer, Command, EndedMove, Home, Import, MailboxId, Message, Millis, MoveId,
    NewMessage, NewMove, Outcome, Query, Rejection, Reply, Uid, UidRanges, UploadId, unfinished,
};
use proptest::prelude::*;

use crate::machine::{ALICE, BOB, Machine, uploaded};

const INBOX: MailboxId = MailboxId::INBOX;

/// Messages that an account may have: some moves are refused.
const QUOTA: u64 = 6;

#[derive(Clone, Debug)]
enum Step {
    Append(bool),
    /// A session begins to move some messages, from alice or from bob.
    Begin(bool, BTreeSet<u32>),
    /// A session does its next step.
    Go(prop::sample::Index),
    /// A session is lost.
    Lose(prop::sample::Index),
    /// Somebody deletes a message.
    Delete(bool, u32),
    /// What lost sessions have left is finished; perhaps by somebody who is lost before the end.
    Finish {
        is_lost: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let uids = prop::collection::btree_set(1..10u32, 1..4);
    prop_oneof![
        2 => any::<bool>().prop_map(Step::Append),
        3 => (any::<bool>(), uids).prop_map(|(from, uids)| Step::Begin(from, uids)),
        6 => any::<prop::sample::Index>().prop_map(Step::Go),
        1 => any::<prop::sample::Index>().prop_map(Step::Lose),
        1 => (any::<bool>(), 1..10u32).prop_map(|(from, uid)| Step::Delete(from, uid)),
        1 => any::<bool>().prop_map(|is_lost| Step::Finish { is_lost }),
    ]
}

/// A session in the middle of a move.
struct Session {
    new: NewMove,
    messages: Vec<Message>,
    /// What is to go, once it is known.
    gone: Option<UidRanges>,
}

struct Moves {
    machine: Machine,
    sessions: Vec<Session>,
    /// How many ids were given.
    ids: u128,
    /// Messages are told apart by their length.
    lengths: u64,
    deleted: BTreeSet<u64>,
}

fn account(is_alice: bool) -> AccountId {
    if is_alice { ALICE } else { BOB }
}

fn other(account: AccountId) -> AccountId {
    self::account(account == BOB)
}

impl Moves {
    fn new() -> Moves {
        let mut machine = Machine::new();
        for account in [ALICE, BOB] {
            machine.create_account(account, &[], None);
            machine.done(Command::SetQuota {
                account,
                bytes: None,
                messages: Some(QUOTA),
            });
        }
        Moves {
            machine,
            sessions: Vec::new(),
            ids: 0,
            lengths: 0,
            deleted: BTreeSet::new(),
        }
    }

    fn id(&mut self) -> u128 {
        self.ids += 1;
        self.ids
    }

    fn messages(&self, account: AccountId, uids: &UidRanges) -> Vec<Message> {
        let mut messages = self.machine.messages(account, INBOX, false);
        messages.retain(|message| uids.contains(message.uid));
        messages
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Append(is_alice) => {
                if self.messages(account(is_alice), &UidRanges::all()).len() < QUOTA as usize {
                    self.lengths += 1;
                    let length = self.lengths;
                    self.machine.append(account(is_alice), INBOX, length);
                }
            }
            Step::Begin(is_alice, uids) => self.begin(account(is_alice), &uids),
            Step::Go(at) if !self.sessions.is_empty() => {
                let at = at.index(self.sessions.len());
                let session = self.sessions.swap_remove(at);
                self.go(session);
            }
            Step::Lose(at) if !self.sessions.is_empty() => {
                let at = at.index(self.sessions.len());
                self.sessions.swap_remove(at);
            }
            Step::Go(_) | Step::Lose(_) => {}
            Step::Delete(is_alice, uid) => {
                let (account, uids) = (account(is_alice), UidRanges::range(Uid(uid), Uid(uid)));
                let gone = self.messages(account, &uids);
                self.deleted.extend(gone.iter().map(|one| one.body.length));
                self.machine.done(Command::Remove {
                    account,
                    mailbox: INBOX,
                    uids,
                });
            }
            Step::Finish { is_lost } => self.finish(is_lost),
        }
    }

    fn begin(&mut self, account: AccountId, uids: &BTreeSet<u32>) {
        let mut uids: UidRanges = uids.iter().copied().map(Uid).collect();
        for open in self.unfinished() {
            // Who moves what is being moved gets it again; there is a script for that.
            if open.from.account == account {
                uids = uids.subtract(&open.uids);
            }
        }
        let messages = self.messages(account, &uids);
        if messages.is_empty() {
            return;
        }
        let new = NewMove {
            id: MoveId(self.id()),
            from: Home {
                account,
                mailbox: INBOX,
                uid_validity: self.machine.open(account, INBOX).folder.uid_validity,
            },
            uids: messages.iter().map(|message| message.uid).collect(),
            to_account: other(account),
            to_mailbox: INBOX,
        };
        self.machine.done(Command::BeginMove(new.clone()));
        self.sessions.push(Session {
            new,
            messages,
            gone: None,
        });
    }

    fn go(&mut self, mut session: Session) {
        match session.gone {
            Some(gone) => self.end(&session.new, gone),
            None => {
                let is_there = self.import(&session.new, &session.messages);
                let uids = session.new.uids.clone();
                session.gone = Some(if is_there { uids } else { UidRanges::new() });
                self.sessions.push(session);
            }
        }
    }

    /// Whether it was not refused.
    fn import(&mut self, new: &NewMove, messages: &[Message]) -> bool {
        let mut uploads = Vec::new();
        for message in messages {
            let upload = UploadId(self.id());
            let length = message.body.length as u32;
            self.machine.upload(upload, new.to_account, &[length]);
            uploads.push(upload);
        }
        let new_message = |(message, upload): (&Message, &UploadId)| NewMessage {
            flags: message.flags.clone(),
            date: message.internal_date,
            body: uploaded(*upload, message.body.length),
        };
        let outcome = self.machine.run(Command::Import(Import {
            account: new.to_account,
            mailbox: new.to_mailbox,
            messages: messages.iter().zip(&uploads).map(new_message).collect(),
            origins: messages
                .iter()
                .map(|one| new.from.origin(one.uid))
                .collect(),
        }));
        for upload in uploads {
            // Refused if a message refers to it.
            self.machine.run(Command::DropUpload { upload });
        }
        match outcome {
            Outcome::Done(_) => true,
            Outcome::Rejected(Rejection::OverQuota) => false,
            other => panic!("{other:?}"),
        }
    }

    fn end(&mut self, new: &NewMove, uids: UidRanges) {
        self.machine.done(Command::EndMove(EndedMove {
            id: new.id,
            account: new.from.account,
            mailbox: new.from.mailbox,
            uids,
        }));
    }

    fn unfinished(&self) -> Vec<NewMove> {
        let found = unfinished(&self.machine.rows, None, Millis(u64::MAX), 100);
        found
            .expect("rows")
            .into_iter()
            .map(|open| open.new)
            .collect()
    }

    /// Finishes what sessions have left that are lost.
    fn finish(&mut self, is_lost: bool) {
        for new in self.unfinished() {
            if self.sessions.iter().any(|session| session.new.id == new.id) {
                continue;
            }
            let messages = self.messages(new.from.account, &new.uids);
            let origins = messages.iter().map(|one| new.from.origin(one.uid));
            let Answer::Arrived(arrived) = self.machine.ask(&Query::Arrived {
                account: new.to_account,
                mailbox: new.to_mailbox,
                origins: origins.collect(),
            }) else {
                panic!("another answer");
            };
            let all = messages.into_iter().zip(arrived);
            let (there, missing): (Vec<_>, Vec<_>) = all.partition(|(_, arrived)| *arrived);
            let missing: Vec<Message> = missing.into_iter().map(|(one, _)| one).collect();
            let mut gone: UidRanges = there.iter().map(|(one, _)| one.uid).collect();
            if !missing.is_empty() && self.import(&new, &missing) {
                gone = gone.union(&missing.iter().map(|one| one.uid).collect());
            }
            if !is_lost {
                self.end(&new, gone);
            }
        }
    }

    /// In how many mailboxes each message is.
    fn places(&self) -> BTreeMap<u64, usize> {
        let mut places: BTreeMap<u64, usize> =
            (1..=self.lengths).map(|length| (length, 0)).collect();
        for account in [ALICE, BOB] {
            for message in self.messages(account, &UidRanges::all()) {
                *places.entry(message.body.length).or_default() += 1;
            }
        }
        places
    }

    fn check(&self) {
        self.machine.check();
        for (length, places) in self.places() {
            let is_lost = places == 0 && !self.deleted.contains(&length);
            assert!(!is_lost, "message {length} is nowhere");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn a_message_is_in_the_end_in_one_mailbox(
        steps in prop::collection::vec(step(), 1..60)
    ) {
        let mut moves = Moves::new();
        for step in steps {
            moves.step(step);
            moves.check();
        }
        moves.sessions.clear();
        moves.finish(true);
        moves.check();
        moves.finish(false);
        moves.check();
        prop_assert_eq!(moves.unfinished(), Vec::new());
        for (length, places) in moves.places() {
            prop_assert!(places <= 1, "message {} is in {} mailboxes", length, places);
        }
    }
}

/// A mailbox that is deleted meanwhile takes with it what is in it; the move ends all the same.
#[test]
fn a_mailbox_that_is_deleted_meanwhile() {
    let mut machine = Machine::new();
    machine.create_account(ALICE, &["box"], None);
    machine.create_account(BOB, &[], None);
    let mailbox = machine.folder(ALICE, "box");
    machine.append(ALICE, mailbox.id, 10);
    let new = NewMove {
        id: MoveId(1),
        from: Home {
            account: ALICE,
            mailbox: mailbox.id,
            uid_validity: mailbox.uid_validity,
        },
        uids: UidRanges::range(Uid(1), Uid(1)),
        to_account: BOB,
        to_mailbox: INBOX,
    };
    machine.done(Command::BeginMove(new.clone()));
    machine.done(Command::DeleteMailbox {
        account: ALICE,
        name: "box".into(),
    });
    assert_eq!(
        machine.rejected(Command::BeginMove(NewMove {
            id: MoveId(2),
            ..new.clone()
        })),
        Rejection::NoMailbox
    );
    let end = Command::EndMove(EndedMove {
        id: new.id,
        account: ALICE,
        mailbox: mailbox.id,
        uids: new.uids,
    });
    let Reply::Expunged { uids, .. } = machine.done(end) else {
        panic!("another reply");
    };
    assert!(uids.is_empty());
    machine.check();
    let left = unfinished(&machine.rows, None, machine.now, 9);
    assert_eq!(left, Ok(Vec::new()));
}

/// There is room for so many, and again once one has ended.
#[test]
fn moves_that_do_not_end_are_bounded() {
    let mut machine = Machine::with_account(ALICE);
    machine.append(ALICE, INBOX, 10);
    let uid_validity = machine.open(ALICE, INBOX).folder.uid_validity;
    let begin = |id: usize| {
        Command::BeginMove(NewMove {
            id: MoveId(id as u128),
            from: Home {
                account: ALICE,
                mailbox: INBOX,
                uid_validity,
            },
            uids: UidRanges::range(Uid(1), Uid(1)),
            to_account: BOB,
            to_mailbox: INBOX,
        })
    };
    let most = mailbox::limits::MOVES_PER_ACCOUNT_MAX;
    for id in 0..most {
        machine.done(begin(id));
    }
    machine.check();
    assert_eq!(machine.rejected(begin(most)), Rejection::MoveLimit);
    machine.done(Command::EndMove(EndedMove {
        id: MoveId(0),
        account: ALICE,
        mailbox: INBOX,
        uids: UidRanges::new(),
    }));
    machine.done(begin(most));
    machine.check();
}
