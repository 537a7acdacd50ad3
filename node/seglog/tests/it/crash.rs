//! Random histories with a crash at every operation of the disk, compared with a model.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use proptest::prelude::*;
use seglog::disk::Disk;
use seglog::sim::{SimDisk, Unsynced};
use seglog::{
    Cleaned, Cleaner, Kind, Poisoned, Position, Record, ReplicaId, Step, Sync, What, Written,
};

use crate::history::{Act, Deed, Model, View, views};
use crate::keeper::{Id, Keeper, bodies};
use crate::rig::{Rig, options, segment_name};

/// Lives of one log: what it must hold, and what it may hold.
struct Story {
    disk: SimDisk,
    model: Model,
    /// Appended since the model was true, in order.
    appended: Vec<Record>,
    /// How many of them were acknowledged as durable.
    durable: usize,
    /// Some acts refer to bodies or clean.
    cleaning: bool,
    /// All entries and bodies that were ever appended.
    truth: BTreeMap<Id, Bytes>,
    /// The operation of the disk before the first segment was cleaned.
    cleaned_at: Option<u64>,
    freed: u64,
}

impl Story {
    fn new(cleaning: bool) -> Self {
        let (disk, model) = (SimDisk::new(), Model::default());
        Self {
            disk,
            model,
            appended: Vec::new(),
            durable: 0,
            cleaning,
            truth: BTreeMap::new(),
            cleaned_at: None,
            freed: 0,
        }
    }

    /// Lives until the acts end or the disk fails.
    fn live(&mut self, acts: &[Act]) {
        let Ok(mut rig) = Rig::open(&self.disk, options()) else {
            return;
        };
        self.model.reopen();
        let keeper = Keeper::new(self.model.clone(), &rig.log, &rig.recovered);
        let keeper = Arc::new(keeper);
        let mut cleaner = Cleaner::new(rig.log.clone());
        let durable = Arc::new(Mutex::new(0));
        let newest = Arc::new(Mutex::new(Position(0)));
        for act in acts {
            if self.cleaning && act.size % 8 < 4 {
                if !self.keep(act, &keeper, &mut cleaner, &mut rig) {
                    break;
                }
                continue;
            }
            let (records, sync) = match keeper.deed(act, self.appended.len()) {
                Deed::Append(records, sync) => (records, sync),
                Deed::Step if rig.writer.step().is_err() => break,
                Deed::Prepare if rig.log.prepare().is_err() => break,
                Deed::Step | Deed::Prepare => continue,
            };
            self.append(records, sync, &keeper, &rig, &durable, &newest);
        }
        let _ = rig.writer.step();
        self.durable = *durable.lock().unwrap();
        self.model.stamp_after(&keeper.inner().model);
    }

    fn append(
        &mut self,
        records: Vec<Record>,
        sync: Sync,
        keeper: &Arc<Keeper>,
        rig: &Rig,
        durable: &Arc<Mutex<usize>>,
        newest: &Arc<Mutex<Position>>,
    ) {
        for record in &records {
            if matches!(record.kind, Kind::Entry | Kind::Body) {
                let id = (record.replica, record.index, record.term);
                self.truth.insert(id, record.payload.concat().into());
            }
        }
        self.appended.extend(records.iter().cloned());
        let (durable, newest, upto) = (durable.clone(), newest.clone(), self.appended.len());
        let (keeper, known) = (keeper.clone(), records.clone());
        let done = Box::new(move |result: Result<Vec<Written>, Poisoned>| {
            let Ok(written) = result else { return };
            for written in &written {
                let mut newest = newest.lock().unwrap();
                assert!(written.position > *newest);
                *newest = written.position;
            }
            keeper.written(&known, &written);
            if sync == Sync::Required {
                *durable.lock().unwrap() = upto;
                keeper.durable(upto);
            }
        });
        rig.log.append(records, sync, done).unwrap();
    }

    /// Refers to a body, or cleans a little; `false` once the disk fails.
    fn keep(&mut self, act: &Act, keeper: &Keeper, cleaner: &mut Cleaner, rig: &mut Rig) -> bool {
        if act.size % 8 < 2 {
            keeper.refer(act, act.size.is_multiple_of(8));
            return true;
        }
        for _ in 0..=act.choice % 8 {
            let before = self.disk.operations();
            // Now and then what is told is of no use.
            let live_bytes = match act.size % 64 {
                2 => BTreeMap::new(),
                _ => keeper.live_bytes(),
            };
            match cleaner.step(keeper, || live_bytes.clone(), u64::from(act.size) % 2000) {
                Ok(Cleaned::Idle) => break,
                Ok(Cleaned::Waiting) if rig.writer.step().is_err() => return false,
                Ok(Cleaned::Freed { .. }) => self.freed += 1,
                Ok(Cleaned::Kept { damage, .. }) => panic!("{damage:?}"),
                Ok(_) => {}
                Err(_) => return false,
            }
            self.cleaned_at.get_or_insert(before);
        }
        if act.choice.is_multiple_of(4) {
            keeper.check_bodies(&rig.log, &self.truth);
        }
        true
    }

    /// Cleans until nothing is left to do: the segments are as many as what lives needs.
    fn clean_up(&mut self) {
        let mut rig = Rig::open(&self.disk, options()).unwrap();
        self.model.reopen();
        let keeper = Keeper::new(self.model.clone(), &rig.log, &rig.recovered);
        let keeper = Arc::new(keeper);
        let mut cleaner = Cleaner::new(rig.log.clone());
        let ignored = (Arc::default(), Arc::new(Mutex::new(Position(0))));
        let idle = (0..5000).any(|_| {
            let cleaned = cleaner
                .step(&*keeper, || keeper.live_bytes(), 1500)
                .unwrap();
            if cleaned == Cleaned::Waiting && rig.writer.step().unwrap() == Step::Idle {
                let records = keeper.checkpoint(self.appended.len());
                self.append(
                    records,
                    Sync::Required,
                    &keeper,
                    &rig,
                    &ignored.0,
                    &ignored.1,
                );
            }
            if let Cleaned::Freed { .. } = cleaned {
                self.freed += 1;
            }
            cleaned == Cleaned::Idle
        });
        assert!(idle, "cleaning comes to rest");
        keeper.check_bodies(&rig.log, &self.truth);
        let live: u64 = keeper.live_bytes().values().sum();
        let segments = rig.log.segments().unwrap();
        assert!(
            segments.len() as u64 <= live / 1000 + 4,
            "{live} bytes live in {segments:?}"
        );
        rig.writer.step().unwrap();
        self.model.stamp_after(&keeper.inner().model);
        drop(rig);
        self.disk.restart();
        self.check(self.appended.len());
    }

    fn crash(&self, seed: u64) {
        let mut random = seed | 1;
        // Some crashes keep nearly all, some nearly nothing.
        let keep = [0, 1, 4, 7, 8][(seed % 5) as usize];
        self.disk.crash(|_: &Unsynced| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % 8 < keep
        });
    }

    /// What is there is what some prefix of the appended records makes, at least all that was
    /// durable (L1). Without a crash, all of them.
    fn check(&mut self, at_least: usize) {
        let found = self.learn(at_least);
        // Opening changed nothing, and what it found or mended is durable.
        self.disk.crash(|_| false);
        let rig = Rig::open(&self.disk, options()).unwrap();
        assert_eq!(views(&rig.log, &rig.recovered).unwrap(), found);
        assert_eq!(
            (rig.recovered.torn, &rig.recovered.damage[..]),
            (None, &[][..])
        );
    }

    /// Opens the log; the model is from then on what is there.
    fn learn(&mut self, at_least: usize) -> BTreeMap<ReplicaId, View> {
        let rig = Rig::open(&self.disk, options()).unwrap();
        assert_eq!(rig.recovered.damage, []);
        let found = views(&rig.log, &rig.recovered).unwrap();
        self.check_files(&rig);
        let mut model = self.model.clone();
        for (at, record) in self.appended.iter().enumerate() {
            if at >= at_least && model.views() == found {
                break;
            }
            model.apply(record);
        }
        assert_eq!(model.views(), found);
        model.stamp_after(&self.model);
        self.model = model;
        self.model.reopen();
        self.appended.clear();
        self.durable = 0;
        found
    }
}

// What an open owes to whom it gives the log.
impl Story {
    /// R4: the newest checkpoint names bodies that are there. Freed segments left no file.
    fn check_files(&self, rig: &Rig) {
        for (id, body) in bodies(&rig.log, &rig.recovered) {
            let read = rig.log.read(body.place, Some(body.checksum)).unwrap();
            assert_eq!(read, self.truth[&id], "{id:?}");
        }
        let names = self.disk.list().unwrap();
        let mut files: Vec<String> = names
            .into_iter()
            .filter(|name| name.ends_with(".seg"))
            .collect();
        files.sort();
        let segments = rig.log.segments().unwrap();
        let expected = segments.iter().map(|segment| segment_name(segment.number));
        assert_eq!(files, expected.collect::<Vec<_>>());
    }
}

fn acts(count: usize) -> impl Strategy<Value = Vec<Act>> {
    let act = (any::<u8>(), any::<u8>(), any::<u16>(), any::<u8>()).prop_map(
        |(kind, replica, size, choice)| Act {
            kind,
            replica,
            size,
            choice,
        },
    );
    prop::collection::vec(act, 1..count)
}

/// Few cases, unless `PROPTEST_CASES` asks for more.
fn config(cases: u32) -> ProptestConfig {
    let mut config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    config
}

proptest! {
    #![proptest_config(config(24))]

    /// L1, L2: power goes off at every operation of a life, and once more in the life after.
    #[test]
    fn any_crash(first in acts(40), second in acts(20), seed in any::<u64>()) {
        let mut whole = Story::new(false);
        whole.live(&first);
        let operations = whole.disk.operations();
        whole.check(whole.appended.len());
        for at in 1..=operations + 1 {
            let mut story = Story::new(false);
            story.disk.power_off_at(at);
            story.live(&first);
            story.crash(seed.rotate_left(at as u32));
            story.check(story.durable);

            let now = story.disk.operations();
            story.disk.power_off_at(now + 1 + (seed ^ at) % 12);
            story.live(&second);
            story.crash(seed.rotate_right(at as u32));
            story.check(story.durable);
        }
    }

    /// L1, L4: the process ends at every operation of a life, and no sync that was under way
    /// took. What the next life builds on what it finds survives a loss of power.
    #[test]
    fn any_restart(first in acts(40), second in acts(20), seed in any::<u64>()) {
        let mut whole = Story::new(false);
        whole.live(&first);
        for at in 1..=whole.disk.operations() + 1 {
            let mut story = Story::new(false);
            story.disk.power_off_at(at);
            story.live(&first);
            story.disk.restart();
            story.learn(story.durable);
            let now = story.disk.operations();
            story.disk.power_off_at(now + 1 + (seed ^ at) % 24);
            story.live(&second);
            story.crash(seed.rotate_left(at as u32));
            story.check(story.durable);
        }
    }

    /// The same history reads the same by indexes and by scanning, and again after rolling on.
    #[test]
    fn indexes_equal_scans(acts in acts(150)) {
        let mut story = Story::new(false);
        story.live(&acts);
        let rig = Rig::open(&story.disk, options()).unwrap();
        let (by_index, last) = (rig.recovered.clone(), rig.log.active_segment());
        drop(rig);
        for segment in 1..last {
            story.disk.flip(&segment_name(segment), 4080, 1);
        }
        for segment in 2..=last {
            story.disk.flip(&segment_name(segment), 66, 1);
        }
        let mut rig = Rig::open(&story.disk, options()).unwrap();
        for damage in std::mem::take(&mut rig.recovered.damage) {
            prop_assert!(matches!(damage.what, What::Block | What::Index));
        }
        prop_assert_eq!(&rig.recovered, &by_index);
    }

    /// A flipped bit never brings up what was not appended, and never goes unnoticed.
    #[test]
    fn any_flipped_bit(acts in acts(60), flips in prop::collection::vec(any::<u64>(), 1..4)) {
        let mut story = Story::new(false);
        story.live(&acts);
        story.appended.iter().for_each(|record| story.model.apply(record));
        let last = Rig::open(&story.disk, options()).unwrap().log.active_segment();
        let size = u64::from(options().segment_bytes);
        for flip in flips {
            let mask = 1 << ((flip >> 40) % 8);
            story.disk.flip(&segment_name(1 + (flip >> 20) % last), flip % size, mask);
        }
        let Ok(rig) = Rig::open(&story.disk, options()) else { return Ok(()) };
        let noticed = !rig.recovered.damage.is_empty() || rig.recovered.torn.is_some();
        match views(&rig.log, &rig.recovered) {
            Ok(found) if !noticed => prop_assert_eq!(found, story.model.views()),
            _ => {}
        }
        for replica in rig.recovered.replicas.values() {
            for at in &replica.entries {
                let Ok(payload) = rig.log.read(at.place, Some(at.checksum)) else { continue };
                let known = story.appended.iter().any(|record| {
                    (record.term, record.index) == (at.term, at.index)
                        && record.payload.concat() == payload
                });
                prop_assert!(known, "never appended: {at:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(config(4))]

    /// R4, L1: power goes off at every operation from the first one on that cleans, and once more
    /// in the life after. What is referred to is there, what was hidden stays hidden, nothing is
    /// called damaged or torn that is not, and in the end the log is as small as what lives.
    #[test]
    fn any_crash_while_cleaning(first in acts(120), second in acts(40), seed in any::<u64>()) {
        let mut whole = Story::new(true);
        whole.live(&first);
        whole.check(whole.appended.len());
        let Some(cleaned_at) = whole.cleaned_at else { return Ok(()) };
        let operations = whole.disk.operations();
        whole.clean_up();
        for at in cleaned_at + 1..=operations + 1 {
            let mut story = Story::new(true);
            story.disk.power_off_at(at);
            story.live(&first);
            story.crash(seed.rotate_left(at as u32));
            story.check(story.durable);

            let now = story.disk.operations();
            story.disk.power_off_at(now + 1 + (seed ^ at) % 24);
            story.live(&second);
            story.crash(seed.rotate_right(at as u32));
            story.check(story.durable);
            if at % 8 == 0 {
                story.clean_up();
            }
        }
    }

    /// The same for a process that ends while its machine lives on.
    #[test]
    fn any_restart_while_cleaning(first in acts(120), second in acts(40), seed in any::<u64>()) {
        let mut whole = Story::new(true);
        whole.live(&first);
        let Some(cleaned_at) = whole.cleaned_at else { return Ok(()) };
        for at in cleaned_at + 1..=whole.disk.operations() + 1 {
            let mut story = Story::new(true);
            story.disk.power_off_at(at);
            story.live(&first);
            story.disk.restart();
            story.learn(story.durable);
            let now = story.disk.operations();
            story.disk.power_off_at(now + 1 + (seed ^ at) % 24);
            story.live(&second);
            story.crash(seed.rotate_left(at as u32));
            story.check(story.durable);
        }
    }

    /// Lives on a bounded disk: many histories one after the other, each cleaned.
    #[test]
    fn many_lives(lives in prop::collection::vec(acts(60), 1..8), seed in any::<u64>()) {
        let mut story = Story::new(true);
        for (at, acts) in lives.iter().enumerate() {
            story.live(acts);
            story.crash(seed.rotate_left(at as u32));
            story.check(story.durable);
            story.clean_up();
        }
    }
}
