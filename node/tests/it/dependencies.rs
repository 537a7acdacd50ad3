//! Rules about what the crates are built from.
//!
//! - A pure crate does not reach the runtime, Raft, the index or the network, not even through
//!   others.
//! - What is replicated or stored by an alpha or a dormant crate is pinned to one version.
//! - Licences are those that `deny.toml` allows, and each exception there has a reason.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

const PURE: &[&str] = &["seglog", "rows", "mailbox", "directory", "imap", "lmtp"];

const IMPURE: &[&str] = &[
    "tokio", "openraft", "sled", "tonic", "hyper", "rustls", "mio", "rand",
];

fn root() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Packages and their licences, as `cargo tree` lists them for this machine's platform.
fn tree(arguments: &[&str]) -> BTreeMap<String, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(root())
        .args([
            "tree",
            "--offline",
            "--prefix",
            "none",
            "--format",
            "{p}|{l}|",
        ])
        .args(arguments)
        .output()
        .expect("cargo runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo tree {arguments:?}: {said}");
    let text = String::from_utf8(output.stdout).expect("cargo writes UTF-8");
    let packages = text.lines().filter_map(|line| {
        let (package, rest) = line.split_once('|')?;
        let mut words = package.split(' ');
        let name = [words.next()?, words.next()?].join(" ");
        Some((name, rest.split('|').next()?.to_owned()))
    });
    packages.collect()
}

fn toml_of(file: &str) -> toml::Table {
    let text = std::fs::read_to_string(root().join(file)).expect("it can be read");
    text.parse().expect("it is TOML")
}

#[test]
fn pure_crates_reach_no_runtime() {
    for name in PURE {
        let packages = tree(&["-p", name, "-e", "normal,build"]);
        assert!(
            packages
                .keys()
                .any(|package| package.starts_with(&format!("{name} ")))
        );
        for package in packages.keys() {
            let reached = package.split(' ').next().unwrap_or_default();
            assert!(!IMPURE.contains(&reached), "{name} reaches {package}");
        }
    }
}

#[test]
fn alphas_are_pinned() {
    let workspace = toml_of("Cargo.toml");
    let mut pinned = 0;
    for (name, value) in workspace["workspace"]["dependencies"]
        .as_table()
        .expect("a table")
    {
        if name.starts_with("openraft") || name == "sled" {
            let version = value
                .get("version")
                .unwrap_or(value)
                .as_str()
                .expect("a version");
            assert!(version.starts_with('='), "{name} {version} is not pinned");
            pinned += 1;
        }
    }
    assert!(pinned >= 3, "openraft, its runtime and sled");
}

#[test]
fn licences_are_allowed() {
    let deny = toml_of("deny.toml");
    let allowed = deny["licenses"]["allow"].as_array().expect("a list");
    let allowed: Vec<&str> = allowed.iter().filter_map(toml::Value::as_str).collect();
    assert!(
        allowed.iter().all(|licence| !licence.contains("GPL")),
        "no copyleft"
    );
    let packages = tree(&["--workspace", "-e", "normal,build,dev"]);
    assert!(
        packages.len() > 100,
        "{} packages are too few to be all",
        packages.len()
    );
    let refused: Vec<_> = packages
        .iter()
        .filter(|(_, licence)| !Expression::new(licence).met(&allowed))
        .map(|(package, licence)| format!("{package}: {licence:?}"))
        .collect();
    assert!(
        refused.is_empty(),
        "licences that deny.toml does not allow: {refused:#?}"
    );
}

#[test]
fn exceptions_have_reasons() {
    let deny = toml_of("deny.toml");
    for section in [&deny["advisories"]["ignore"], &deny["bans"]["deny"]] {
        for exception in section.as_array().expect("a list") {
            let reason = exception.get("reason").and_then(toml::Value::as_str);
            assert!(
                reason.is_some_and(|reason| reason.len() > 10),
                "{exception} has no reason"
            );
        }
    }
}

/// A licence expression: names with `AND`, `OR`, `WITH` and brackets; some write `/` for `OR`.
struct Expression(Vec<String>);

impl Expression {
    fn new(text: &str) -> Self {
        let spaced = text
            .replace('/', " OR ")
            .replace('(', " ( ")
            .replace(')', " ) ");
        let mut words: Vec<String> = spaced.split_whitespace().rev().map(str::to_owned).collect();
        words.insert(0, "end".to_owned());
        Self(words)
    }

    fn met(mut self, allowed: &[&str]) -> bool {
        let met = self.any(allowed);
        met && self.0 == ["end"]
    }

    fn next_is(&mut self, word: &str) -> bool {
        self.0.pop_if(|next| next == word).is_some()
    }

    fn any(&mut self, allowed: &[&str]) -> bool {
        let mut met = self.all(allowed);
        while self.next_is("OR") {
            met |= self.all(allowed);
        }
        met
    }

    fn all(&mut self, allowed: &[&str]) -> bool {
        let mut met = self.one(allowed);
        while self.next_is("AND") {
            met &= self.one(allowed);
        }
        met
    }

    fn one(&mut self, allowed: &[&str]) -> bool {
        if self.next_is("(") {
            let met = self.any(allowed);
            return self.next_is(")") && met;
        }
        let Some(mut licence) = self.0.pop_if(|word| word != "end") else {
            return false;
        };
        if self.next_is("WITH") {
            let exception = self.0.pop_if(|word| word != "end").unwrap_or_default();
            licence = format!("{licence} WITH {exception}");
        }
        allowed.contains(&licence.as_str())
    }
}

#[test]
fn licence_expressions_are_understood() {
    let met = |text| Expression::new(text).met(&["MIT", "ISC", "Unicode-3.0"]);
    assert!(met("MIT"));
    assert!(met("Apache-2.0 OR MIT"));
    assert!(met("Apache-2.0/MIT"));
    assert!(met("(MIT OR Apache-2.0) AND Unicode-3.0"));
    assert!(met("ISC AND (Apache-2.0 OR ISC)"));
    assert!(!met(""));
    assert!(!met("GPL-3.0-only"));
    assert!(!met("MIT AND GPL-3.0-only"));
    assert!(!met("MIT WITH something"));
    assert!(!met("(MIT"));
    assert!(!met("MIT MIT"));
}
