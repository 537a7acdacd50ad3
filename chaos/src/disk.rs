//! A small disk of its own for a node: an ext4 file system in a file, mounted where its data go.
//!
//! It can be filled and given back by a file that takes the space (*ballast*), and its power can be
//! cut: after that nothing more becomes durable, and what was not is gone when it is mounted again.
//! All of it needs root and tools of the system; [`missing`] says what is not there.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

/// The file that takes space.
const BALLAST: &str = "ballast";

/// A file that is written right before the power is cut, and not synced.
const UNSYNCED: &str = "unsynced";

/// What is written there.
const UNSYNCED_BYTES: [u8; 4096] = [b'u'; 4096];

/// `EXT4_IOC_SHUTDOWN` with the flag not to flush the journal: `_IOR('X', 125, u32)` and 2.
const SHUTDOWN: &str = "import fcntl, os, struct, sys; \
     fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))";

/// Why no disks can be made here; none if they can.
#[must_use]
pub fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("root is needed to mount disks".into());
    }
    let tools = ["mkfs.ext4", "mount", "umount"];
    let missing: Vec<&str> = tools.into_iter().filter(|tool| !is_there(tool)).collect();
    if !missing.is_empty() {
        return Some(format!("there is no {}", missing.join(", ")));
    }
    let dir = std::env::temp_dir().join(format!("rookery-disk-{}", std::process::id()));
    let tried = Disk::create(&dir.join("image"), SMALLEST, &dir.join("mounted"));
    let why = tried.err().map(|error| format!("{error:#}"));
    drop(std::fs::remove_dir_all(&dir));
    why
}

/// Why power cannot be cut here; none if it can.
#[must_use]
pub fn missing_for_power() -> Option<String> {
    missing().or_else(|| {
        let there = is_there("xfs_io") || is_there("python3");
        (!there).then(|| "there is neither xfs_io nor python3 to cut the power with".into())
    })
}

/// The smallest disk that is worth making, bytes.
const SMALLEST: u64 = 16 << 20;

fn is_there(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(tool).is_file())
}

/// Runs a tool; what it complains about is the error.
fn run(tool: &str, args: &[&std::ffi::OsStr]) -> anyhow::Result<()> {
    let output = Command::new(tool)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {tool}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{tool} {args:?}: {}", said.trim());
    Ok(())
}

/// A disk that is mounted. Dropped, it is unmounted, whoever still has files open there.
#[derive(Debug)]
pub struct Disk {
    image: PathBuf,
    at: PathBuf,
}

impl Disk {
    /// Makes a disk of so many bytes in the file `image` and mounts it at the folder `at`, for this
    /// user alone.
    ///
    /// # Errors
    ///
    /// With what a tool says.
    pub fn create(image: &Path, bytes: u64, at: &Path) -> anyhow::Result<Self> {
        for dir in [image.parent(), Some(at)].into_iter().flatten() {
            std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        }
        let file = File::create(image).with_context(|| image.display().to_string())?;
        file.set_len(bytes)?;
        let quiet = ["-q", "-F", "-m", "0"].map(std::ffi::OsStr::new);
        let mut args = quiet.to_vec();
        args.push(image.as_os_str());
        run("mkfs.ext4", &args)?;
        let disk = Self {
            image: image.to_owned(),
            at: at.to_owned(),
        };
        disk.mount()?;
        let own = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(at, own)?;
        std::fs::remove_dir(at.join("lost+found"))?;
        Ok(disk)
    }

    fn mount(&self) -> anyhow::Result<()> {
        let (image, at) = (self.image.as_os_str(), self.at.as_os_str());
        run("mount", &["-o".as_ref(), "loop".as_ref(), image, at])
    }

    /// Bytes that files may still take there.
    ///
    /// # Errors
    ///
    /// When the kernel does not tell.
    pub fn free_bytes(&self) -> anyhow::Result<u64> {
        let disk = rustix::fs::statvfs(&self.at)?;
        Ok(disk.f_bavail * disk.f_frsize)
    }

    /// Takes all space but so many bytes, or gives some back.
    ///
    /// # Errors
    ///
    /// When there is not even so much.
    pub fn leave(&self, bytes: u64) -> anyhow::Result<()> {
        self.unload()?;
        let free = self.free_bytes()?;
        ensure!(free > bytes, "{free} bytes are left of {bytes} to leave");
        let ballast = File::create(self.at.join(BALLAST))?;
        let all = rustix::fs::FallocateFlags::empty();
        rustix::fs::fallocate(&ballast, all, 0, free - bytes)?;
        Ok(())
    }

    /// Gives back the space that was taken.
    ///
    /// # Errors
    ///
    /// When the file cannot be removed.
    pub fn unload(&self) -> anyhow::Result<()> {
        match std::fs::remove_file(self.at.join(BALLAST)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// From now on nothing more becomes durable, as if the power was gone.
    ///
    /// # Errors
    ///
    /// When no tool does it.
    pub fn cut_power(&self) -> anyhow::Result<()> {
        let at = self.at.as_os_str();
        if is_there("xfs_io") {
            return run(
                "xfs_io",
                &["-x".as_ref(), "-c".as_ref(), "shutdown".as_ref(), at],
            );
        }
        run("python3", &["-c".as_ref(), SHUTDOWN.as_ref(), at])
    }

    /// Writes a file and does not sync it.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write_unsynced(&self) -> anyhow::Result<()> {
        let path = self.at.join(UNSYNCED);
        std::fs::write(&path, UNSYNCED_BYTES).with_context(|| path.display().to_string())
    }

    /// Whether that file has its bytes: after the power was cut and is back it must not have them.
    /// The file is removed.
    ///
    /// # Errors
    ///
    /// When it cannot be read or removed.
    pub fn kept_unsynced(&self) -> anyhow::Result<bool> {
        let path = self.at.join(UNSYNCED);
        match std::fs::read(&path) {
            Ok(bytes) => {
                std::fs::remove_file(&path)?;
                Ok(bytes == UNSYNCED_BYTES)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Mounts the disk again after its power was cut and everybody who used it is gone.
    ///
    /// # Errors
    ///
    /// When somebody still uses it, or it cannot be read.
    pub fn restore_power(&self) -> anyhow::Result<()> {
        run("umount", &[self.at.as_os_str()])?;
        self.mount()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let at = self.at.as_os_str();
        if run("umount", &[at]).is_err() {
            // A process that was just killed may still be on its way out.
            if let Err(error) = run("umount", &["-l".as_ref(), at]) {
                eprintln!("rookery-chaos: {error:#}");
            }
        }
    }
}

/// A node's disk, by the node.
///
/// # Errors
///
/// When it has none of its own.
pub fn of(disks: &std::collections::BTreeMap<u64, Disk>, node: u64) -> anyhow::Result<&Disk> {
    match disks.get(&node) {
        Some(disk) => Ok(disk),
        None => bail!("node {node} has no disk of its own"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// Where disks can be made: what was synced is there after the power was cut, the rest is not.
    #[test]
    fn power_that_is_cut() {
        if missing_for_power().is_some() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let (image, at) = (dir.path().join("image"), dir.path().join("mounted"));
        let disk = Disk::create(&image, SMALLEST, &at).unwrap();
        let mut synced = File::create(at.join("synced")).unwrap();
        synced.write_all(b"synced").unwrap();
        synced.sync_all().unwrap();
        drop(synced);
        disk.write_unsynced().unwrap();
        assert!(disk.kept_unsynced().unwrap());
        assert!(!disk.kept_unsynced().unwrap());
        disk.write_unsynced().unwrap();
        disk.cut_power().unwrap();
        assert!(disk.write_unsynced().is_err());
        disk.restore_power().unwrap();
        assert!(!disk.kept_unsynced().unwrap());
        assert_eq!(std::fs::read(at.join("synced")).unwrap(), b"synced");
        // As if the power had not been cut.
        disk.write_unsynced().unwrap();
        File::open(at.join(UNSYNCED)).unwrap().sync_all().unwrap();
        disk.cut_power().unwrap();
        disk.restore_power().unwrap();
        assert!(disk.kept_unsynced().unwrap());
    }
}
