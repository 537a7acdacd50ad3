//! Which server is put to the test.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

/// The server's name as a program.
const PROGRAM: &str = "rookeryd";

/// In a server that was built for development or with the feature `faults`: names the file that
/// says by how many milliseconds each sync of the log is delayed.
pub const SYNC_DELAY: &str = "ROOKERY_FAULT_SYNC_DELAY_FILE";

/// In such a server: names the file that says which operations on the log's files fail.
pub const REFUSAL: &str = "ROOKERY_FAULT_ERROR_FILE";

/// The program at `given`, or the one that was built together with this one.
///
/// # Errors
///
/// When there is none.
pub fn find(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(given) = given {
        ensure!(given.is_file(), "{} is no program", given.display());
        return Ok(given.canonicalize()?);
    }
    let own = std::env::current_exe().context("where this program is")?;
    let beside = own.with_file_name(PROGRAM);
    if beside.is_file() {
        return Ok(beside);
    }
    bail!(
        "there is no {}: build it, or say --rookeryd PATH",
        beside.display()
    );
}

/// The server as it stands, for development, and for a test: `cargo test --workspace` has built it,
/// otherwise it is built now.
///
/// # Errors
///
/// When cargo is not there or the build fails.
pub fn build() -> anyhow::Result<PathBuf> {
    if let Some(built) = built_with_this() {
        return Ok(built);
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let output = Command::new(cargo)
        .args(["build", "--package", "node", "--bin", PROGRAM])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    ensure!(output.status.success(), "the server cannot be built");
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .rev()
        .find_map(executable)
        .context("cargo names no program")
}

/// The server in the folder of this build, unless one of its sources is younger. Built alone it
/// would be built anew, since its libraries have other features then.
fn built_with_this() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    let program = own.parent()?.with_file_name(PROGRAM);
    let is_fresh = is_fresh(&program, &program.with_extension("d"));
    is_fresh.ok()?.then_some(program)
}

/// Whether a program is younger than what cargo says that it was made of, in a file of the form
/// that make reads.
fn is_fresh(program: &Path, sources: &Path) -> std::io::Result<bool> {
    let built = std::fs::metadata(program)?.modified()?;
    let sources = std::fs::read_to_string(sources)?;
    let Some((_, sources)) = sources.split_once(": ") else {
        return Ok(false);
    };
    let lock = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock");
    for source in sources.split_whitespace().chain([lock]) {
        // A name with a space is none that is there.
        if std::fs::metadata(source)?.modified()? > built {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The server's path in one line of cargo's messages.
fn executable(line: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    let path = PathBuf::from(message.get("executable")?.as_str()?);
    (path.file_name()? == PROGRAM).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_as_fresh_as_its_sources() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name);
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(60);
        let touch = |name: &str, at| {
            let file = std::fs::File::create(file(name)).unwrap();
            file.set_modified(at).unwrap();
        };
        touch("a.rs", std::time::SystemTime::UNIX_EPOCH);
        touch("b.rs", std::time::SystemTime::UNIX_EPOCH);
        touch("program", later);
        let [program, a, b] = ["program", "a.rs", "b.rs"].map(file);
        let line = format!("{}: {} {}\n", program.display(), a.display(), b.display());
        std::fs::write(file("program.d"), line).unwrap();
        let is_fresh = || is_fresh(&program, &file("program.d"));
        assert!(is_fresh().unwrap());
        touch("b.rs", later + std::time::Duration::from_secs(1));
        assert!(!is_fresh().unwrap());
        std::fs::remove_file(&b).unwrap();
        assert!(is_fresh().is_err());
    }

    #[test]
    fn the_program_is_found_in_the_messages_of_cargo() {
        let line = r#"{"reason":"compiler-artifact","executable":"/t/debug/rookeryd"}"#;
        assert_eq!(executable(line), Some(PathBuf::from("/t/debug/rookeryd")));
        assert_eq!(
            executable(r#"{"reason":"build-finished","success":true}"#),
            None
        );
        assert_eq!(executable(r#"{"executable":null}"#), None);
    }
}
