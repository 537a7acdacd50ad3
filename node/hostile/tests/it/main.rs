//! Every input that is kept, through the target that it is kept for.

use std::fs;
use std::path::Path;

use hostile::TARGETS;

/// Inputs that a target has at least, so that a corpus is not lost unseen.
const INPUTS_MIN: usize = 10;

/// Bytes of one input: what a long one shows is tested where it is made.
const INPUT_BYTES_MAX: u64 = 4096;

/// The kept inputs of a target.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut inputs = Vec::new();
    for entry in fs::read_dir(&folder).expect("a target has a corpus") {
        let path = entry.expect("an entry can be read").path();
        let name = path.display().to_string();
        let bytes = fs::read(&path).expect("an input can be read");
        assert!(bytes.len() as u64 <= INPUT_BYTES_MAX, "{name} is long");
        inputs.push((name, bytes));
    }
    inputs.sort();
    assert!(inputs.len() >= INPUTS_MIN, "{target}: {}", inputs.len());
    inputs
}

fn replay(target: &str) {
    let (_, check) = TARGETS
        .iter()
        .find(|(name, _)| *name == target)
        .expect("a target of this name");
    check(b"");
    for (name, bytes) in corpus(target) {
        // Told if it fails.
        println!("{name}");
        check(&bytes);
    }
}

#[test]
fn grammar() {
    replay("grammar");
}

#[test]
fn mime() {
    replay("mime");
}

#[test]
fn headers() {
    replay("headers");
}

#[test]
fn lmtp() {
    replay("lmtp");
}

#[test]
fn long() {
    replay("long");
}

/// A corpus of one target is none of another's, and every target has a test here.
#[test]
fn every_target_is_replayed() {
    let names: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["grammar", "mime", "headers", "lmtp", "long"]);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    assert_eq!(
        fs::read_dir(folder).expect("there are corpora").count(),
        names.len()
    );
}
