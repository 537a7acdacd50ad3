//! Which server is put to the test.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

/// The server's name as a program.
const PROGRAM: &str = "rookeryd";

/// In a server that was built with the cargo feature `faults`: names the file that says by how many
/// milliseconds each sync of the log is delayed.
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

/// Builds the server as it stands, for development, and answers where it is.
///
/// # Errors
///
/// When cargo is not there or the build fails.
pub fn build(features: &[&str]) -> anyhow::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.args(["build", "--package", "node", "--bin", PROGRAM]);
    command.args(["--message-format", "json-render-diagnostics"]);
    if !features.is_empty() {
        command.args(["--features", &features.join(",")]);
    }
    let output = command
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
