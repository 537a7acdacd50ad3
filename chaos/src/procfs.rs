//! What the system tells of a process, and of a disk.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;

/// Begins to watch the peak of a process's memory anew; answers what it has now, bytes.
///
/// # Errors
///
/// When the system has no `/proc`, or the process is gone.
pub fn reset_peak(pid: u32) -> anyhow::Result<u64> {
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").context("the peak of a process")?;
    resident(pid)
}

/// The most memory that a process has had, bytes.
///
/// # Errors
///
/// As [`reset_peak`].
pub fn peak(pid: u32) -> anyhow::Result<u64> {
    status(pid, "VmHWM:")
}

/// The memory that a process has, bytes.
///
/// # Errors
///
/// As [`reset_peak`].
pub fn resident(pid: u32) -> anyhow::Result<u64> {
    status(pid, "VmRSS:")
}

/// The time that a process has had of the processors.
///
/// # Errors
///
/// As [`reset_peak`].
pub fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("a process's time")?;
    // Behind the name, which may hold anything (proc_pid_stat(5)): utime and stime are fields 14
    // and 15.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let mut ticks = 0;
    for field in fields.split_whitespace().skip(11).take(2) {
        ticks += field.parse::<u64>()?;
    }
    Ok(Duration::from_millis(
        ticks * 1000 / rustix::param::clock_ticks_per_second(),
    ))
}

/// How many files, sockets and the like a process has open.
///
/// # Errors
///
/// As [`reset_peak`].
pub fn open_files(pid: u32) -> anyhow::Result<usize> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd"));
    Ok(entries.context("the files of a process")?.count())
}

/// Bytes that the disk which holds a folder has written since the system started, for whomever.
/// What `/proc` says of a process counts all of a large page for every byte written to it.
///
/// # Errors
///
/// When the system tells nothing of that disk.
pub fn disk_written(folder: &Path) -> anyhow::Result<u64> {
    // Sectors of 512 bytes, the seventh number (Documentation/block/stat.rst).
    const WRITTEN: usize = 6;
    let device = std::fs::metadata(folder)?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let stat = std::fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat"))?;
    let sectors = stat.split_whitespace().nth(WRITTEN);
    Ok(sectors.context("no sectors")?.parse::<u64>()? * 512)
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
