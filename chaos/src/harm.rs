//! Harm done to files: bits that flip, bytes that are gone.
//!
//! Of the segment that is being written only the first half is touched: damage that is confined to
//! the last batch looks like a torn tail, which is the limit of what a log can tell, and stands in
//! the manual. A header that is lost there may have been a vote, so the replicas of the node are
//! retired, and others take their places. Sealed segments, spares and the index may be hurt
//! anywhere.

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use rand::Rng;

/// What kind of file is harmed.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A sealed segment, anywhere that it holds something.
    Sealed,
    /// The last bytes of a sealed segment, where its index is.
    SealedEnd,
    /// The block with which a segment begins, of the one that is being written too.
    Block,
    /// What was written long ago of the segment that is being written.
    Active,
    /// A spare segment.
    Spare,
    /// The index.
    Index,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Sealed,
        Self::SealedEnd,
        Self::Block,
        Self::Active,
        Self::Spare,
        Self::Index,
    ];

    /// Whether it is said of this kind of file that it was harmed.
    #[must_use]
    pub fn is_of(self, what: &str) -> bool {
        what.split_once(' ')
            .is_some_and(|(kind, _)| kind == format!("{self:?}"))
    }
}

/// Bytes of a segment's end in which its index lies.
const END_BYTES: u64 = 4096;

/// Bytes of a segment's beginning that are its block for sure.
const BLOCK_BYTES: u64 = 48;

/// What must be written of the active segment before it is harmed, bytes: behind the harm there
/// must be more than a batch.
pub const ACTIVE_BYTES_MIN: u64 = 4 << 20;

/// Bytes that are overwritten in the active segment: no record is so long, so a header goes.
const ACTIVE_CUT_BYTES: u64 = (1 << 20) + (128 << 10);

/// Most bytes that are overwritten at a place.
const CUT_BYTES_MAX: u64 = 512;

/// What is harmed.
#[derive(Clone, Debug)]
pub struct Disk {
    /// The data directory of a node.
    pub data: PathBuf,
    /// The number of the segment that was being written not long ago, and how many bytes it had.
    pub active: (u64, u64),
}

/// Harms one place; says what was done, or nothing if there is no such file.
///
/// # Errors
///
/// When files cannot be read or written.
pub fn harm(disk: &Disk, kind: Kind, rng: &mut impl Rng) -> anyhow::Result<Option<String>> {
    let Disk { data, active } = disk;
    let log = data.join("log");
    let segments = files(&log, "seg")?;
    let sealed = segments.split_last().map_or(&[][..], |(_, sealed)| sealed);
    let mut candidates = match kind {
        Kind::Sealed | Kind::SealedEnd => sealed.to_vec(),
        Kind::Block => segments.clone(),
        Kind::Active => {
            let name = format!("{:016x}.seg", active.0);
            let last = segments.last().filter(|last| last.ends_with(&name));
            last.cloned().into_iter().collect()
        }
        Kind::Spare => files(&log, "spare")?,
        Kind::Index => files(&data.join("index"), "")?,
    };
    // Nothing can be taken from an empty file.
    candidates.retain(|path| fs::metadata(path).is_ok_and(|file| file.len() > 0));
    if candidates.is_empty() {
        return Ok(None);
    }
    let path = &candidates[rng.random_range(0..candidates.len())];
    let length = fs::metadata(path)?.len();
    let range = match kind {
        Kind::SealedEnd => length.saturating_sub(END_BYTES)..length,
        Kind::Block => 0..BLOCK_BYTES.min(length),
        Kind::Active if active.1 < ACTIVE_BYTES_MIN => return Ok(None),
        Kind::Active => BLOCK_BYTES..active.1 / 2,
        Kind::Sealed | Kind::Spare | Kind::Index => 0..length,
    };
    let at = rng.random_range(range);
    let done = match rng.random_range(0..4) {
        // A file that ends too soon; a segment that is being written must not be told from here.
        0 if matches!(kind, Kind::SealedEnd | Kind::Index) => {
            let file = fs::OpenOptions::new().write(true).open(path)?;
            file.set_len(at)?;
            format!("cut at {at} of {length}")
        }
        0..3 if kind == Kind::Active => {
            let bytes = ACTIVE_CUT_BYTES;
            overwrite(path, at, &vec![0; usize::try_from(bytes)?])?;
            format!("{bytes} zeros at {at}")
        }
        1 if kind != Kind::Block => {
            let bytes = rng.random_range(1..=CUT_BYTES_MAX).min(length - at);
            overwrite(path, at, &vec![0; usize::try_from(bytes)?])?;
            format!("{bytes} zeros at {at}")
        }
        _ => {
            let mut byte = [0];
            let mut file = fs::File::open(path)?;
            file.seek(SeekFrom::Start(at))?;
            file.read_exact(&mut byte)?;
            byte[0] ^= 1 << rng.random_range(0..8);
            overwrite(path, at, &byte)?;
            format!("a bit at {at}")
        }
    };
    Ok(Some(format!("{kind:?} {}: {done}", path.display())))
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) -> anyhow::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).open(path)?;
    file.seek(SeekFrom::Start(at))?;
    file.write_all(bytes)?;
    Ok(())
}

/// The files of a folder, and those in its folders, of which the name ends so; in order.
fn files(folder: &Path, extension: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    if !folder.exists() {
        return Ok(found);
    }
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path, extension)?);
        } else if extension.is_empty() || path.to_string_lossy().contains(extension) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Harms so many places, of all kinds in turn; says what was done.
///
/// # Errors
///
/// When files cannot be read or written, or there are none to harm.
pub fn harm_many(
    disk: &Disk,
    kinds: &[Kind],
    places: u32,
    rng: &mut impl Rng,
) -> anyhow::Result<Vec<String>> {
    let mut done = Vec::new();
    let mut tries = 0;
    while done.len() < places as usize {
        let kind = kinds[tries % kinds.len()];
        done.extend(harm(disk, kind, rng)?);
        tries += 1;
        ensure!(tries < 100 * places as usize, "there is nothing to harm");
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn what_was_harmed_is_told_by_its_kind() {
        let data = tempfile::tempdir().unwrap();
        let log = data.path().join("log");
        fs::create_dir(&log).unwrap();
        for number in 0..2 {
            let segment = log.join(format!("{number:016x}.seg"));
            fs::write(segment, vec![7; 10_000]).unwrap();
        }
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
        let mut disk = Disk {
            data: data.path().to_owned(),
            active: (1, ACTIVE_BYTES_MIN - 1),
        };
        // Neither a spare segment nor an index, and too little written.
        let done = harm_many(&disk, &Kind::ALL, 9, &mut rng).unwrap();
        let harmed = |kind: &Kind| done.iter().any(|what| kind.is_of(what));
        let harmed: Vec<Kind> = Kind::ALL.into_iter().filter(harmed).collect();
        assert_eq!(harmed, [Kind::Sealed, Kind::SealedEnd, Kind::Block]);
        disk.active.1 = ACTIVE_BYTES_MIN;
        fs::create_dir(data.path().join("index")).unwrap();
        fs::write(data.path().join("index").join("db"), [7; 100]).unwrap();
        for number in 0..50 {
            fs::write(data.path().join("index").join(number.to_string()), []).unwrap();
        }
        for kind in [Kind::Active, Kind::Index] {
            let what = harm(&disk, kind, &mut rng).unwrap().unwrap();
            let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(|it| it.is_of(&what)).collect();
            assert_eq!(kinds, [kind]);
        }
    }
}
