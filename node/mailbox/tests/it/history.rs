//! Random histories: the machine against the model, against itself over other rows, and against
//! clients that only ever hear of changes.

use std::collections::{BTreeMap, BTreeSet};

use mailbox::{
    AccountId, Command, EntryAt, Envelope, Flags, MailboxId, Message, ModSeq, Outcome, Rejection,
    Reply, Roster, Stamp, StoreMode, SystemFlags, Uid, UidRanges, UidValidity, apply, limits,
};
use proptest::prelude::*;
use rows::Staged;

use crate::layers::Layers;
use crate::machine::{ALICE, BOB, Machine, delivery, digest, inline, recipient};
use crate::model::{Account, words};
use crate::steps::{NAMES, Step, step};

const QUOTA: u64 = 4_000;

/// What a client has been told of a mailbox.
#[derive(Debug, Default)]
pub struct View {
    modseq: ModSeq,
    mails: BTreeMap<Uid, BTreeSet<String>>,
}

pub struct History {
    pub machine: Machine,
    pub models: BTreeMap<AccountId, Account>,
    other: Layers,
    pub pending: Vec<(EntryAt, Envelope, Outcome)>,
    last: Option<(Stamp, Command, u64, Outcome)>,
    pub views: BTreeMap<MailboxId, View>,
    /// What whoever opens mailboxes for many keeps of them.
    rosters: BTreeMap<MailboxId, Roster>,
    /// M2: of each mailbox, its UIDVALIDITY and UIDNEXT.
    pub lives: BTreeMap<MailboxId, (UidValidity, Uid)>,
    modseq: ModSeq,
}

impl History {
    fn new() -> History {
        let mut history = History {
            machine: Machine::new(),
            models: BTreeMap::new(),
            other: Layers::default(),
            pending: Vec::new(),
            last: None,
            views: BTreeMap::new(),
            rosters: BTreeMap::new(),
            lives: BTreeMap::new(),
            modseq: ModSeq(0),
        };
        for account in [ALICE, BOB] {
            let quota_bytes = Some(QUOTA);
            let folders = Vec::new();
            history.propose(
                Command::CreateAccount {
                    account,
                    folders,
                    quota_bytes,
                },
                0,
            );
            history.models.insert(account, Account::new(QUOTA));
        }
        history
    }

    pub fn propose(&mut self, command: Command, length: u64) -> Outcome {
        let stamp = self.machine.stamp();
        let outcome = self.apply(stamp, command.clone(), length);
        self.last = Some((stamp, command, length, outcome.clone()));
        outcome
    }

    fn apply(&mut self, stamp: Stamp, command: Command, length: u64) -> Outcome {
        let (outcome, events) = self.machine.run_as(stamp, command.clone(), length);
        for event in events.iter().filter(|event| event.account == ALICE) {
            assert!(event.modseq <= self.now(), "M3: a hint runs ahead");
        }
        let at = EntryAt {
            index: self.machine.index,
            term: 1,
            body_length: length,
        };
        let envelope = Envelope {
            stamp,
            time: self.machine.now,
            command,
        };
        self.pending.push((at, envelope, outcome.clone()));
        outcome
    }

    pub fn alice(&mut self) -> &mut Account {
        self.models.get_mut(&ALICE).expect("made first")
    }

    fn now(&self) -> ModSeq {
        self.machine.open(ALICE, MailboxId::INBOX).modseq
    }

    /// The mailbox of a name, or one that is not there.
    pub fn id(&self, name: usize) -> MailboxId {
        let folders = self.machine.folders(ALICE);
        let folder = folders
            .iter()
            .find(|folder| folder.name == NAMES[name] && folder.exists);
        folder.map_or(MailboxId(u64::MAX), |folder| folder.id)
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Deliver {
                both,
                content,
                size,
            } => self.deliver(both, content, size),
            Step::Append { name, flags, size } => self.append(name, flags, size),
            Step::Store {
                name,
                uids,
                mode,
                flags,
            } => self.store(name, &uids, mode, flags, None),
            Step::StoreUnchanged { name, uids, flags } => {
                let since = self.views.get(&self.id(name)).map(|view| view.modseq);
                self.store(name, &uids, StoreMode::Add, flags, since);
            }
            Step::Copy {
                from,
                to,
                uids,
                and_expunge,
            } => self.copy(from, to, &uids, and_expunge),
            Step::Expunge { name, uids } => self.expunge(name, uids),
            Step::Again => {
                if let Some((stamp, command, length, outcome)) = self.last.clone() {
                    let again = self.apply(stamp, command, length);
                    // After a long time only that much is promised: it is not run again.
                    assert!(again == outcome || again == Outcome::Forgotten);
                }
            }
            Step::Sync(name) => self.sync(name),
            Step::Advance(ms) => {
                self.machine.advance(ms);
                if ms >= limits::CONFIRMED_DUPLICATE_LIFE_MS {
                    self.settle();
                }
            }
            Step::Tick => {
                self.apply(Stamp::default(), Command::Tick, 0);
                let due = mailbox::next_due(&self.machine.rows).expect("rows");
                if due.is_none_or(|due| due > self.machine.now) {
                    self.settle();
                }
            }
            Step::Flush { freeze } => self.flush(freeze),
            Step::Undelete { .. }
            | Step::Restore { .. }
            | Step::Purge(_)
            | Step::PurgeDeleted(_)
            | Step::Retention { .. } => self.deleted_step(step),
            _ => self.names_step(step),
        }
        self.compare();
    }

    fn names_step(&mut self, step: Step) {
        let account = ALICE;
        match step {
            Step::Create(name) => {
                let name = NAMES[name];
                let special_use = None;
                let command = Command::CreateMailbox {
                    account,
                    name: name.into(),
                    special_use,
                };
                let outcome = self.propose(command, 0);
                self.agree(&outcome, |model| model.create(name));
            }
            Step::Delete(name) => {
                let name = NAMES[name];
                let command = Command::DeleteMailbox {
                    account,
                    name: name.into(),
                };
                let outcome = self.propose(command, 0);
                let now = self.machine.now.0;
                self.agree(&outcome, |model| model.delete(name, now));
            }
            Step::Rename(from, to) => {
                let (from, to) = (NAMES[from], NAMES[to]);
                let command = Command::RenameMailbox {
                    account,
                    from: from.into(),
                    to: to.into(),
                };
                let outcome = self.propose(command, 0);
                self.agree(&outcome, |model| model.rename(from, to));
            }
            Step::Subscribe(name, on) => {
                let command = Command::Subscribe {
                    account,
                    name: NAMES[name].into(),
                    on,
                };
                assert_eq!(self.propose(command, 0), Outcome::Done(Reply::Nothing));
                self.alice().subscribe(NAMES[name], on);
            }
            other => unreachable!("{other:?} is done elsewhere"),
        }
    }

    fn append(&mut self, name: usize, flags: Flags, size: u64) {
        let command = Command::Append {
            account: ALICE,
            mailbox: self.id(name),
            flags: flags.clone(),
            date: self.machine.now,
            body: inline(size, size),
        };
        let outcome = self.propose(command, size);
        let uid = self.agree(&outcome, |model| model.append(NAMES[name], &flags, size));
        if let Outcome::Done(Reply::Appended { uid: answered, .. }) = outcome {
            assert_eq!(uid, Some(answered.0));
        }
    }

    fn expunge(&mut self, name: usize, uids: Option<BTreeSet<u32>>) {
        let (mailbox, wanted) = (self.id(name), uids.as_ref().map(ranges));
        let command = Command::Expunge {
            account: ALICE,
            mailbox,
            uids: wanted,
        };
        let outcome = self.propose(command, 0);
        let now = self.machine.now.0;
        let gone = self.agree(&outcome, |model| {
            let mailbox = model.mailbox(NAMES[name]).ok_or(Rejection::NoMailbox)?;
            Ok(mailbox.expunge(uids.as_ref(), now))
        });
        if let Outcome::Done(Reply::Expunged { uids, .. }) = outcome {
            assert_eq!(uids, ranges(&gone.expect("agreed")));
        }
    }

    /// The model decides the same.
    pub fn agree<T>(
        &mut self,
        outcome: &Outcome,
        model: impl FnOnce(&mut Account) -> Result<T, Rejection>,
    ) -> Option<T> {
        match (outcome, model(self.alice())) {
            (Outcome::Done(_), Ok(result)) => Some(result),
            (Outcome::Rejected(rejection), Err(expected)) => {
                assert_eq!(*rejection, expected);
                None
            }
            (outcome, Ok(_)) => panic!("{outcome:?}, but it can be done"),
            (outcome, Err(expected)) => panic!("{outcome:?}, but {expected}"),
        }
    }

    fn deliver(&mut self, both: bool, content: u64, size: u64) {
        let to: &[AccountId] = if both { &[ALICE, BOB] } else { &[ALICE] };
        // A body is known by its content.
        let content = self.machine.now.0 / limits::DUPLICATE_LIFE_MS * 1_000 + content;
        let outcome = self.propose(delivery(to, content, size, self.machine.now), size);
        let mut expected = Vec::new();
        for account in to {
            let recipient = recipient(*account);
            let size = size + recipient.prefix.len() as u64;
            let model = self.models.get_mut(account).expect("made first");
            expected.push(model.deliver(&recipient.address, content, size));
        }
        assert_eq!(outcome, Outcome::Done(Reply::Delivered(expected)));
    }

    fn store(
        &mut self,
        name: usize,
        uids: &BTreeSet<u32>,
        mode: StoreMode,
        flags: Flags,
        unchanged_since: Option<ModSeq>,
    ) {
        let mailbox = self.id(name);
        let modseqs: BTreeMap<u32, ModSeq> = match mailbox {
            MailboxId(u64::MAX) => BTreeMap::new(),
            _ => {
                let messages = self.machine.messages(ALICE, mailbox, false);
                messages
                    .iter()
                    .map(|message| (message.uid.0, message.modseq))
                    .collect()
            }
        };
        let changed_later = |uid: &&u32| {
            let modseq = modseqs.get(uid).copied().unwrap_or_default();
            unchanged_since.is_some_and(|since| modseq > since)
        };
        let later: BTreeSet<u32> = uids.iter().filter(changed_later).copied().collect();
        let before = self.now();
        let command = Command::Store {
            account: ALICE,
            mailbox,
            uids: ranges(uids),
            mode,
            flags: flags.clone(),
            unchanged_since,
        };
        let outcome = self.propose(command, 0);
        let changed = self.agree(&outcome, |model| {
            let mailbox = model.mailbox(NAMES[name]).ok_or(Rejection::NoMailbox)?;
            Ok(mailbox.store(&(uids - &later), mode, &flags))
        });
        if let Outcome::Done(Reply::Stored { modseq, modified }) = outcome {
            assert_eq!(modified, ranges(&later));
            let changed = changed.expect("agreed");
            assert_eq!(
                modseq > before,
                !changed.is_empty(),
                "M3: only a change gets a MODSEQ"
            );
            for message in self.machine.messages(ALICE, mailbox, false) {
                if changed.contains(&message.uid.0) {
                    assert_eq!(message.modseq, modseq, "M3");
                } else {
                    assert_eq!(Some(&message.modseq), modseqs.get(&message.uid.0), "M3");
                }
            }
        }
    }

    fn copy(&mut self, from: usize, to: usize, uids: &BTreeSet<u32>, and_expunge: bool) {
        let (account, from_id, to_id) = (ALICE, self.id(from), self.id(to));
        let uids_wanted = ranges(uids);
        let command = if and_expunge {
            Command::Move {
                account,
                from: from_id,
                to: to_id,
                uids: uids_wanted,
            }
        } else {
            Command::Copy {
                account,
                from: from_id,
                to: to_id,
                uids: uids_wanted,
            }
        };
        let outcome = self.propose(command, 0);
        let copied = self.agree(&outcome, |model| {
            model.copy(NAMES[from], NAMES[to], uids, and_expunge)
        });
        if let Outcome::Done(Reply::Copied { from, to, .. } | Reply::Moved { from, to, .. }) =
            outcome
        {
            let (old, new) = copied.expect("agreed");
            assert_eq!(from, old.into_iter().map(Uid).collect());
            assert_eq!(to, new.into_iter().map(Uid).collect());
        }
    }

    /// A client hears of what changed, and then knows what there is.
    fn sync(&mut self, name: usize) {
        let mailbox = self.id(name);
        if mailbox == MailboxId(u64::MAX) {
            return;
        }
        let opened = self.machine.open(ALICE, mailbox);
        let roster = self.rosters.entry(mailbox);
        let roster = roster.or_insert_with(|| Roster::new(ALICE, mailbox));
        assert_eq!(
            self.machine.caught_up(roster),
            opened,
            "a roster that was kept"
        );
        let messages = self.machine.messages(ALICE, mailbox, false).into_iter();
        let is_marked = |one: &Message| one.flags.system.has(SystemFlags::DELETED);
        let marked = messages.filter(is_marked).map(|one| one.uid).collect();
        assert_eq!(roster.marked(&self.machine.rows), Ok(Some(marked)));
        let view = self.views.entry(mailbox).or_default();
        if view.modseq < opened.folder.vanished_floor {
            // It was away for too long and asks which of its messages are left.
            view.mails.retain(|uid, _| opened.uids.contains(*uid));
        }
        loop {
            let changes = self.machine.changes(ALICE, mailbox, view.modseq);
            assert_eq!(changes.folder.as_ref(), Some(&opened.folder));
            for uid in changes.vanished.iter() {
                assert!(uid < opened.folder.uid_next);
                view.mails.remove(&uid);
            }
            for uid in changes.arrived.iter() {
                assert!(
                    view.mails.insert(uid, BTreeSet::new()).is_none(),
                    "{uid} arrived twice"
                );
            }
            for (uid, modseq, flags) in changes.flags {
                assert!(modseq > view.modseq, "what is told is news");
                let known = view
                    .mails
                    .get_mut(&uid)
                    .expect("only what arrived can change");
                *known = words(&flags);
            }
            assert!(changes.modseq >= view.modseq);
            view.modseq = changes.modseq;
            if !changes.more {
                break;
            }
        }
        assert_eq!(view.modseq, opened.modseq);
        let messages = self.machine.messages(ALICE, mailbox, false);
        let there = messages
            .iter()
            .map(|message| (message.uid, words(&message.flags)))
            .collect();
        assert_eq!(view.mails, there, "a client was told wrongly");
    }

    /// The other rows get the same entries, several at once, and come to the same state.
    fn flush(&mut self, freeze: bool) {
        let mut staged = Staged::new(&self.other);
        for (at, envelope, expected) in self.pending.drain(..) {
            let applied = apply(&mut staged, at, &envelope).expect("no fault");
            assert_eq!(applied.outcome, expected, "M1");
        }
        let writes = staged.into_writes().expect("no fault");
        self.other.put(writes);
        if freeze {
            self.other.freeze();
        }
        assert_eq!(digest(&self.other), digest(&self.machine.rows), "M1");
    }

    /// The machine has what the model has.
    fn compare(&mut self) {
        self.machine.check();
        self.compare_deleted();
        let folders = self.machine.folders(ALICE);
        let now = self.now();
        assert!(now >= self.modseq, "M3");
        self.modseq = now;
        let model = self.models.get_mut(&ALICE).expect("made first");
        let names: Vec<&String> = model.names.keys().collect();
        assert_eq!(
            folders
                .iter()
                .map(|folder| &folder.name)
                .collect::<Vec<_>>(),
            names
        );
        let mut validities = BTreeSet::new();
        for folder in folders {
            let name = &model.names[&folder.name];
            assert_eq!(
                (folder.subscribed, folder.exists),
                (name.subscribed, name.mailbox.is_some())
            );
            let Some(mailbox) = model.mailbox(&folder.name) else {
                continue;
            };
            assert_eq!(folder.uid_next.0, mailbox.uid_next);
            let messages = self.machine.messages(ALICE, folder.id, false);
            let told: Vec<_> = messages
                .iter()
                .map(|message| (message.uid.0, words(&message.flags), message.size()))
                .collect();
            let kept: Vec<_> = mailbox
                .mails
                .iter()
                .map(|mail| (mail.uid, mail.flags.clone(), mail.size))
                .collect();
            assert_eq!(told, kept, "{}", folder.name);
            let uids: UidRanges = mailbox.mails.iter().map(|mail| Uid(mail.uid)).collect();
            assert_eq!(self.machine.open(ALICE, folder.id).uids, uids);
            assert!(
                validities.insert(folder.uid_validity),
                "M2: two of one UIDVALIDITY"
            );
            let life = self
                .lives
                .entry(folder.id)
                .or_insert((folder.uid_validity, Uid(1)));
            assert_eq!(life.0, folder.uid_validity, "M2");
            assert!(life.1 <= folder.uid_next, "M2");
            life.1 = folder.uid_next;
        }
    }
}

impl Machine {
    /// Lets expire what is due, and keeps the ticks for others.
    pub fn settle_with(&mut self, log: &mut Vec<(EntryAt, Envelope, Outcome)>) {
        while mailbox::next_due(&self.rows)
            .expect("rows")
            .is_some_and(|due| due <= self.now)
        {
            let (outcome, _) = self.run_as(Stamp::default(), Command::Tick, 0);
            let at = EntryAt {
                index: self.index,
                term: 1,
                body_length: 0,
            };
            let (stamp, time, command) = (Stamp::default(), self.now, Command::Tick);
            log.push((
                at,
                Envelope {
                    stamp,
                    time,
                    command,
                },
                outcome,
            ));
        }
    }
}

pub fn ranges(uids: &BTreeSet<u32>) -> UidRanges {
    uids.iter().map(|uid| Uid(*uid)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 2_000, ..Default::default() })]

    #[test]
    fn histories(steps in proptest::collection::vec(step(), 1..90)) {
        let mut history = History::new();
        for step in steps {
            history.step(step);
        }
        for name in 0..NAMES.len() {
            history.sync(name);
        }
        history.flush(true);
    }
}
