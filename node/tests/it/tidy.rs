//! Rules about the text of this repository that no compiler checks.
//!
//! - Imports inside `node/src` point one way: `front -> service -> raft -> replica`.
//! - The crates inside `node/` are pure: no thread, no socket, no clock.
//! - openraft, sled and tantivy each live in one folder.
//! - Files, lines and essays are of a size that people read.
//! - The repository stands alone: it names no place outside itself.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What each module of `node/src` may import of the others. Those that are not listed stand above
/// all of these.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("link", &[]),
    ("budget", &[]),
    ("cache", &["budget"]),
    ("priority", &[]),
    ("replica", &["budget", "cache"]),
    ("raft", &["replica", "link", "budget"]),
    ("search", &["replica", "priority"]),
    ("derived", &["replica", "budget", "cache", "priority"]),
    (
        "service",
        &["raft", "search", "replica", "link", "budget", "cache"],
    ),
    // The doors are opened by `node`; the one of operators also works on the node itself.
    (
        "front",
        &[
            "service", "derived", "raft", "replica", "config", "identity", "tls", "node", "budget",
            "cache",
        ],
    ),
];

/// Crates that decide and compute, and leave it to others to run them.
const PURE: &[&str] = &["seglog", "rows", "mailbox", "directory", "imap", "lmtp"];

/// What a pure crate does not say.
const IMPURE: &[&str] = &[
    "std::thread",
    "thread_local",
    "TcpListener",
    "TcpStream",
    "UdpSocket",
    "UnixStream",
    "SystemTime",
    "Instant",
    "tokio",
];

const FILE_LINES_MAX: usize = 600;
const LINE_COLUMNS_MAX: usize = 100;
const ESSAY_LINES_MIN: usize = 5;

/// A text file of the repository.
struct Source {
    /// From the root of the repository.
    path: String,
    text: String,
}

impl Source {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    fn is_generated(&self) -> bool {
        self.path.contains("/src/gen/")
    }

    /// Part of a crate, rather than of its tests.
    fn is_product(&self) -> bool {
        let tests = self.path.contains("/tests/") || self.path.ends_with("/tests.rs");
        self.is_rust() && self.path.contains("/src/") && !self.is_generated() && !tests
    }

    /// The lines without comments, numbered from 1.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate();
        lines.map(|(number, line)| {
            let line = if line.trim_start().starts_with("//") {
                ""
            } else {
                line
            };
            (number + 1, line.split(" // ").next().unwrap_or_default())
        })
    }
}

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    root.canonicalize().expect("the repository is there")
}

/// All text files that somebody wrote, in order.
fn sources() -> Vec<Source> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder can be read") {
            let entry = entry.expect("an entry can be read");
            let name = entry.file_name().into_string().expect("names are UTF-8");
            let kind = entry.file_type().expect("the kind of an entry is known");
            if kind.is_dir() {
                let left_out = ["target", ".git", "rookery-demo"].contains(&name.as_str());
                if !left_out {
                    folders.push(entry.path());
                }
            } else if kind.is_file()
                && name != "Cargo.lock"
                && let Ok(text) = fs::read_to_string(entry.path())
            {
                let path = entry.path();
                let path = path.strip_prefix(&root).expect("it lies in the repository");
                found.push(Source {
                    path: path.display().to_string(),
                    text,
                });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 100, "the repository was not found");
    found
}

fn rust() -> impl Iterator<Item = Source> {
    sources()
        .into_iter()
        .filter(|source| source.is_rust() && !source.is_generated())
}

#[track_caller]
fn none(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

/// The names that follow `crate::` in a line; `{` if it is a list.
fn imported(line: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for (at, found) in line.match_indices("crate::") {
        if line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &line[at + found.len()..];
        let end = rest
            .find(|c: char| !(c.is_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        names.push(if end == 0 { "{" } else { &rest[..end] });
    }
    names
}

/// The module of `node/src` that a file belongs to.
fn module(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("node/src/")?;
    Some(
        rest.split_once('/')
            .map_or_else(|| rest.trim_end_matches(".rs"), |(folder, _)| folder),
    )
}

#[test]
fn imports_point_one_way() {
    let mut broken = Vec::new();
    let mut seen = BTreeSet::new();
    for source in rust() {
        let Some(own) = module(&source.path) else {
            continue;
        };
        let Some((own, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == own) else {
            continue;
        };
        seen.insert(*own);
        for (number, line) in source.code() {
            for name in imported(line) {
                if name != *own && !allowed.contains(&name) {
                    broken.push(format!("{}:{number}: {own} imports {name}", source.path));
                }
            }
        }
    }
    assert_eq!(
        seen.len(),
        MAY_IMPORT.len(),
        "a module of the table is gone"
    );
    none(
        "imports in node/src point down, one module in a line",
        &broken,
    );
}

#[test]
fn imports_are_understood() {
    assert_eq!(imported("use crate::raft::{Group, Groups};"), ["raft"]);
    assert_eq!(imported("use crate::{raft, service};"), ["{"]);
    assert_eq!(
        imported("fn a(b: crate::link::Lost) -> crate::raft::Group"),
        ["link", "raft"]
    );
    assert_eq!(imported("pub(crate) use other_crate::link;"), [""; 0]);
    assert_eq!(module("node/src/raft/group.rs"), Some("raft"));
    assert_eq!(module("node/src/link.rs"), Some("link"));
    assert_eq!(module("node/imap/src/lib.rs"), None);
}

#[test]
fn pure_crates_do_nothing_by_themselves() {
    let mut broken = Vec::new();
    for source in rust().filter(Source::is_product) {
        let pure = PURE
            .iter()
            .any(|name| source.path.starts_with(&format!("node/{name}/src/")));
        for (number, line) in source.code().filter(|_| pure) {
            for word in IMPURE.iter().filter(|word| has_word(line, word)) {
                broken.push(format!("{}:{number}: {word}", source.path));
            }
        }
    }
    none(
        "a pure crate has no thread, no socket and no clock",
        &broken,
    );
}

#[test]
fn large_dependencies_stay_in_their_room() {
    let rooms = [
        ("openraft", "node/src/raft/"),
        ("sled", "node/src/replica/index/"),
        ("tantivy", "node/src/search/"),
    ];
    let mut broken = Vec::new();
    for source in rust().filter(Source::is_product) {
        for (number, line) in source.code() {
            for (name, room) in rooms {
                if has_word(line, &format!("{name}::")) && !source.path.starts_with(room) {
                    broken.push(format!("{}:{number}: {name}", source.path));
                }
            }
        }
    }
    none("openraft and sled are used in one folder each", &broken);
}

/// Whether `word` stands in `line` and is not the end of a longer one.
fn has_word(line: &str, word: &str) -> bool {
    let part_of_more = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let open_end = word.ends_with(|c| !part_of_more(c));
        !line[..at].ends_with(part_of_more)
            && (open_end || !line[at + word.len()..].starts_with(part_of_more))
    })
}

#[test]
fn files_and_lines_are_short() {
    let mut broken = Vec::new();
    for source in rust() {
        let lines = source.text.lines().count();
        if source.is_product() && lines > FILE_LINES_MAX {
            broken.push(format!("{}: {lines} lines", source.path));
        }
        for (number, line) in source.text.lines().enumerate() {
            let columns = line.chars().count();
            if columns > LINE_COLUMNS_MAX {
                broken.push(format!("{}:{}: {columns} columns", source.path, number + 1));
            }
        }
    }
    none("a file has at most 600 lines, a line 100 columns", &broken);
}

#[test]
fn nothing_is_left_to_be_done() {
    let forbidden = ["todo!", "unimplemented!", "dbg!"];
    let mut broken = Vec::new();
    for source in rust().filter(Source::is_product) {
        for (number, line) in source.code() {
            for word in forbidden.iter().filter(|word| has_word(line, word)) {
                broken.push(format!("{}:{number}: {word}", source.path));
            }
        }
    }
    none("a stub or a debugging aid was left", &broken);
}

#[test]
fn every_crate_and_folder_begins_with_an_essay() {
    let mut broken = Vec::new();
    for source in rust().filter(Source::is_product) {
        let essay = source
            .text
            .lines()
            .take_while(|line| line.starts_with("//!"))
            .count();
        let named = source.path.ends_with("/lib.rs") || source.path.ends_with("/mod.rs");
        if named && essay < ESSAY_LINES_MIN {
            broken.push(format!("{}: {essay} lines", source.path));
        }
    }
    none(
        "lib.rs and mod.rs open with what the folder is for",
        &broken,
    );
}

#[test]
fn the_repository_stands_alone() {
    // Put together here, so that this file does not break its own rule.
    let outside = [
        concat!("/wo", "rk/"),
        concat!("sha", "red/"),
        concat!("/ro", "ot/"),
    ];
    let mut broken = Vec::new();
    for source in sources() {
        for (number, line) in source.text.lines().enumerate() {
            for place in outside.iter().filter(|place| names_place(line, place)) {
                broken.push(format!("{}:{}: {place}", source.path, number + 1));
            }
        }
    }
    none("a place outside of the repository is named", &broken);
}

/// Whether a path in `line` begins with `place`, or goes to it from a folder above.
fn names_place(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line[..at].trim_end_matches("../");
        !before.ends_with(|c: char| c.is_alphanumeric() || "_-/.".contains(c))
    })
}
