//! What the system tells of a process.

use anyhow::Context;

/// Begins to watch the peak of a process's memory anew; answers what it has now, bytes.
///
/// # Errors
///
/// When the system has no `/proc`, or the process is gone.
pub fn reset_peak(pid: u32) -> anyhow::Result<u64> {
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").context("the peak of a process")?;
    status(pid, "VmRSS:")
}

/// The most memory that a process has had, bytes.
///
/// # Errors
///
/// As [`reset_peak`].
pub fn peak(pid: u32) -> anyhow::Result<u64> {
    status(pid, "VmHWM:")
}

/// Bytes that a process has given to the disk.
///
/// # Errors
///
/// As [`reset_peak`].
pub fn written(pid: u32) -> anyhow::Result<u64> {
    field(
        &std::fs::read_to_string(format!("/proc/{pid}/io"))?,
        "write_bytes:",
    )
}

fn status(pid: u32, name: &str) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    Ok(field(&text, name)? << 10)
}

fn field(text: &str, name: &str) -> anyhow::Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.with_context(|| format!("no {name}"))?.parse()?)
}
