//! Random histories, and what a log must hold after them: a model without a disk.

use std::collections::BTreeMap;

use bytes::Bytes;
use seglog::{Error, Kind, Log, Record, Recovered, ReplicaId, RowsAt, Sync};

/// One append, or the work between appends. The numbers are read modulo what is possible.
#[derive(Clone, Debug)]
pub struct Act {
    pub kind: u8,
    pub replica: u8,
    pub size: u16,
    pub choice: u8,
}

/// What a history does to the log.
pub enum Deed {
    Append(Vec<Record>, Sync),
    Step,
    Prepare,
}

/// What is known of a replica, comparable.
#[derive(Clone, Default, Debug, Eq, PartialEq)]
pub struct View {
    pub vote: Option<Bytes>,
    pub commit: Option<(u64, u64, Bytes)>,
    pub purged: Option<(u64, u64)>,
    pub entries: Vec<(u64, u64, Bytes)>,
    pub rows: Vec<(u64, bool, Bytes)>,
    pub base: Vec<(u64, bool, Bytes)>,
    pub ended: bool,
}

#[derive(Clone, Default, Debug)]
struct Replica {
    view: View,
    /// Complete runs of rows.
    runs: Vec<Vec<(u64, bool, Bytes)>>,
    open_rows: Option<Vec<(u64, bool, Bytes)>>,
    open_base: Option<Vec<(u64, bool, Bytes)>>,
}

/// The log as a list of records that were applied one after the other.
#[derive(Clone, Default, Debug)]
pub struct Model {
    replicas: BTreeMap<ReplicaId, Replica>,
    stamp: u64,
}

impl Model {
    /// Makes a deed of an act, fitting to what the model holds.
    pub fn deed(&mut self, act: &Act) -> Deed {
        self.stamp += 1;
        let id = ReplicaId(u64::from(act.replica % 3));
        let replica = self.replicas.get(&id).cloned().unwrap_or_default();
        let payload = |size: u64| self.payload(size);
        let size = u64::from(act.size);
        let view = &replica.view;
        let purged = view.purged.map_or(0, |(_, index)| index);
        let last = view
            .entries
            .last()
            .map_or(purged, |entry| entry.1)
            .max(purged);
        let choice = u64::from(act.choice);
        let entries =
            |count| (1..=count).map(|n| Record::entry(id, self.stamp, last + n, payload(size + n)));
        let mark = || payload(size % 40).concat().into();
        let from = purged + 1 + choice % (last - purged).max(1);
        // What is applied never goes back.
        let of = |list: Option<&Vec<(u64, bool, Bytes)>>| list.map_or(0, |run| run[0].0);
        let newest_base = view.base.first().map_or(0, |part| part.0);
        let applied = newest_base.max(of(replica.runs.last())).max(last);
        let run = of(replica.open_rows.as_ref()).max(applied);
        let next_base = newest_base.max(run.saturating_sub(choice % 3));
        let base = replica.open_base.as_ref().map_or(next_base, |run| run[0].0);
        // Now and then one is given up, and begun again at the same log id.
        let goes_on = |open: &Option<Vec<Part>>, at| {
            act.choice % 7 != 6 && open.as_ref().is_some_and(|run| run[0].0 == at)
        };
        let first_rows = !goes_on(&replica.open_rows, run);
        let first_base = !goes_on(&replica.open_base, base);
        let records = match act.kind % 16 {
            0..=3 => entries(1 + choice % 4).collect(),
            4 => vec![Record::vote(id, mark())],
            5 => vec![Record::commit(id, 1, choice, mark())],
            6 => vec![Record::truncate(id, from)],
            7 => vec![
                Record::truncate(id, from),
                Record::entry(id, self.stamp, from, payload(size)),
            ],
            8 => vec![Record::purge(
                id,
                self.stamp,
                purged + choice % (last - purged + 1),
            )],
            9 | 10 => (0..=choice % 3)
                .map(|n| {
                    Record::rows(
                        id,
                        (1, run),
                        (first_rows && n == 0, act.kind < 128 && n == choice % 3),
                        payload(size),
                    )
                })
                .collect(),
            11 => {
                let ends = (first_base, act.kind < 128);
                vec![Record::base(id, (1, base), ends, payload(size))]
            }
            12 if act.kind > 220 => vec![Record::end(id)],
            12 if act.kind > 100 => {
                vec![Record::body(id, (self.stamp, choice), payload(size))]
            }
            12 => vec![Record {
                kind: Kind::Pad,
                ..Record::vote(id, mark())
            }],
            13 => return Deed::Prepare,
            _ => return Deed::Step,
        };
        let sync = if act.choice % 5 < 2 {
            Sync::Lazy
        } else {
            Sync::Required
        };
        Deed::Append(records, sync)
    }

    /// Bytes that occur only once in a history, in two parts.
    fn payload(&self, size: u64) -> Vec<Bytes> {
        let text = format!("{}/{size} ", self.stamp);
        let bytes: Bytes = text.bytes().cycle().take(8 + size as usize % 600).collect();
        let middle = bytes.len() / 2;
        vec![bytes.slice(..middle), bytes.slice(middle..)]
    }

    pub fn apply(&mut self, record: &Record) {
        if record.kind == Kind::Pad {
            return;
        }
        let replica = self.replicas.entry(record.replica).or_default();
        if replica.view.ended {
            return;
        }
        let payload: Bytes = record.payload.concat().into();
        let Record {
            term,
            index,
            first,
            last,
            ..
        } = *record;
        let view = &mut replica.view;
        match record.kind {
            Kind::Entry => {
                view.entries.retain(|entry| entry.1 < index);
                view.entries.push((term, index, payload));
            }
            Kind::Vote => view.vote = Some(payload),
            Kind::Commit => view.commit = Some((term, index, payload)),
            Kind::Truncate => view.entries.retain(|entry| entry.1 < index),
            Kind::Purge => {
                view.purged = Some((term, index));
                view.entries.retain(|entry| entry.1 > index);
            }
            Kind::Rows => {
                if let Some(run) = grow(&mut replica.open_rows, first, (index, last, payload)) {
                    replica.runs.push(run);
                }
            }
            Kind::Base => {
                if let Some(run) = grow(&mut replica.open_base, first, (index, last, payload)) {
                    view.base = run;
                    replica.runs.retain(|rows| rows[0].0 > index);
                }
            }
            Kind::ReplicaEnd => {
                *replica = Replica::default();
                replica.view.ended = true;
            }
            Kind::Body => {}
            Kind::Moved | Kind::Pad | Kind::Freed => unreachable!(),
        }
        replica.view.rows = replica.runs.concat();
    }

    /// A base of every replica that lives.
    pub fn checkpoint(&mut self) -> Vec<Record> {
        let living = self.replicas.iter().filter(|(_, known)| !known.view.ended);
        let living: Vec<u64> = living.map(|(id, _)| id.0).collect();
        let bases = living.into_iter().map(|id| {
            let act = Act {
                kind: 11,
                replica: id as u8,
                size: 0,
                choice: 0,
            };
            match self.deed(&act) {
                Deed::Append(records, _) => records,
                Deed::Step | Deed::Prepare => Vec::new(),
            }
        });
        bases.flatten().collect()
    }

    /// Payloads do not repeat in a later life.
    pub fn stamp_after(&mut self, other: &Self) {
        self.stamp = other.stamp;
    }

    pub fn entries(&self, id: ReplicaId) -> &[(u64, u64, Bytes)] {
        let replica = self.replicas.get(&id);
        replica.map_or(&[], |replica| &replica.view.entries)
    }

    /// Whether this is the payload of a record that is listed, or of a run that is open.
    pub fn lists(&self, payload: &Bytes) -> bool {
        self.replicas.values().any(|replica| {
            let view = &replica.view;
            let open = [&replica.open_rows, &replica.open_base];
            let open = open.into_iter().flatten().flatten();
            let mut parts = view.rows.iter().chain(&view.base).chain(open);
            let mut entries = view.entries.iter();
            entries.any(|entry| entry.2 == *payload) || parts.any(|part| part.2 == *payload)
        })
    }

    /// The log was opened again: runs that were open never happened.
    pub fn reopen(&mut self) {
        for replica in self.replicas.values_mut() {
            (replica.open_rows, replica.open_base) = (None, None);
        }
    }

    pub fn views(&self) -> BTreeMap<ReplicaId, View> {
        self.replicas
            .iter()
            .map(|(id, replica)| (*id, replica.view.clone()))
            .collect()
    }
}

type Part = (u64, bool, Bytes);

fn grow(open: &mut Option<Vec<Part>>, first: bool, part: Part) -> Option<Vec<Part>> {
    if first {
        *open = None;
    }
    let last = part.1;
    let run = open.get_or_insert_default();
    assert!(run.iter().all(|before| before.0 == part.0));
    run.push(part);
    if last { open.take() } else { None }
}

/// What a log holds, every payload read and checked.
pub fn views(log: &Log, recovered: &Recovered) -> Result<BTreeMap<ReplicaId, View>, Error> {
    let rows = |list: &[RowsAt]| -> Result<Vec<_>, Error> {
        list.iter()
            .map(|at| Ok((at.index, at.last, log.read(at.place, Some(at.checksum))?)))
            .collect()
    };
    let mut views = BTreeMap::new();
    for (id, replica) in &recovered.replicas {
        let entries = replica.entries.iter();
        let entries = entries
            .map(|at| Ok((at.term, at.index, log.read(at.place, Some(at.checksum))?)))
            .collect::<Result<Vec<_>, Error>>()?;
        views.insert(
            *id,
            View {
                vote: replica.vote.clone(),
                commit: replica.commit.clone(),
                purged: replica.purged,
                entries,
                rows: rows(&replica.rows)?,
                base: rows(&replica.base)?,
                ended: replica.ended,
            },
        );
    }
    Ok(views)
}
