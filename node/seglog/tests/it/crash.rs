//! Random histories with a crash at every operation of the disk, compared with a model.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use seglog::sim::{SimDisk, Unsynced};
use seglog::{Position, Record, ReplicaId, Sync, What};

use crate::history::{Act, Deed, Model, View, views};
use crate::rig::{Rig, options, segment_name};

/// Lives of one log: what it must hold, and what it may hold.
struct Story {
    disk: SimDisk,
    model: Model,
    /// Appended since the model was true, in order.
    appended: Vec<Record>,
    /// How many of them were acknowledged as durable.
    durable: usize,
}

impl Story {
    fn new() -> Self {
        let (disk, model) = (SimDisk::new(), Model::default());
        Self {
            disk,
            model,
            appended: Vec::new(),
            durable: 0,
        }
    }

    /// Lives until the acts end or the disk fails.
    fn live(&mut self, acts: &[Act]) {
        let Ok(mut rig) = Rig::open(&self.disk, options()) else {
            return;
        };
        self.model.reopen();
        let durable = Arc::new(Mutex::new(0));
        let newest = Arc::new(Mutex::new(Position(0)));
        let mut ahead = self.model.clone();
        for act in acts {
            let (records, sync) = match ahead.deed(act) {
                Deed::Append(records, sync) => (records, sync),
                Deed::Step if rig.writer.step().is_err() => break,
                Deed::Prepare if rig.log.prepare().is_err() => break,
                Deed::Step | Deed::Prepare => continue,
            };
            records.iter().for_each(|record| ahead.apply(record));
            self.appended.extend(records.iter().cloned());
            let (durable, newest, upto) = (durable.clone(), newest.clone(), self.appended.len());
            rig.log
                .append(
                    records,
                    sync,
                    Box::new(move |result| {
                        let Ok(written) = result else { return };
                        for written in written {
                            let mut newest = newest.lock().unwrap();
                            assert!(written.position > *newest);
                            *newest = written.position;
                        }
                        if sync == Sync::Required {
                            *durable.lock().unwrap() = upto;
                        }
                    }),
                )
                .unwrap();
        }
        let _ = rig.writer.step();
        self.durable = *durable.lock().unwrap();
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
        let mut model = self.model.clone();
        for (at, record) in self.appended.iter().enumerate() {
            if at >= at_least && model.views() == found {
                break;
            }
            model.apply(record);
        }
        assert_eq!(model.views(), found);
        self.model = model;
        self.model.reopen();
        self.appended.clear();
        self.durable = 0;
        found
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
fn config() -> ProptestConfig {
    let mut config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 24;
    }
    config
}

proptest! {
    #![proptest_config(config())]

    /// L1, L2: power goes off at every operation of a life, and once more in the life after.
    #[test]
    fn any_crash(first in acts(40), second in acts(20), seed in any::<u64>()) {
        let mut whole = Story::new();
        whole.live(&first);
        let operations = whole.disk.operations();
        whole.check(whole.appended.len());
        for at in 1..=operations + 1 {
            let mut story = Story::new();
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
        let mut whole = Story::new();
        whole.live(&first);
        for at in 1..=whole.disk.operations() + 1 {
            let mut story = Story::new();
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
        let mut story = Story::new();
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
        let mut story = Story::new();
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
