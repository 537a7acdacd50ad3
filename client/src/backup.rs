//! Backups: a folder with a file for each group, written while the cluster serves.
//!
//! ```text
//!   DIR/group-1.backup ..   partitions, each as it was at its own moment
//!   DIR/group-0.backup      the directory, read last: no account in it is younger than its mail
//!   DIR/backup.json         what there is; written when all of it is durable
//! ```
//!
//! A file is written beside its name and renamed when it is whole. `rookeryd restore` makes a node
//! of the folder.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use proto::backup;
use proto::v1::backup_frame::Frame;
use proto::v1::{AdminBackupRequest, BackupBegin, BackupEnd};
use tonic::{Code, Request, Status};

use crate::admin::{Admin, Client, refused, words};
use crate::limits::{BACKUP_SILENCE, READ_WAIT};
use crate::{Error, hex, v1};

/// A group that was saved.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Saved {
    /// The group; 0 is the directory.
    pub group: u64,
    /// Its file, in the folder.
    pub file: String,
    /// The log id of its rows.
    pub term: u64,
    /// Likewise.
    pub index: u64,
    /// How many rows it has.
    pub rows: u64,
    /// How many bodies.
    pub bodies: u64,
    /// Their bytes.
    pub body_bytes: u64,
    /// When it was begun, milliseconds since 1970.
    pub time_ms: u64,
    /// The cluster, hexadecimal.
    pub cluster: String,
}

impl Admin {
    /// Saves all groups of the cluster into a folder, which is made and must be empty. Groups that
    /// no endpoint has a replica of are an error. `told` hears of each that is done.
    ///
    /// # Errors
    ///
    /// [`Error::File`], [`Error::Unreachable`], [`Error::Refused`]. What was saved stays there,
    /// without a `backup.json`.
    pub async fn backup(
        &self,
        dir: &Path,
        mut told: impl FnMut(&Saved),
    ) -> Result<Vec<Saved>, Error> {
        prepare(dir)?;
        let mut saved = Vec::new();
        for group in self.groups_to_save().await? {
            let file = dir.join(format!("group-{group}.backup"));
            let done = self.save_group(group, &file).await?;
            told(&done);
            saved.push(done);
        }
        let list = dir.join("backup.json");
        let text = serde_json::to_vec_pretty(&serde_json::json!({ "groups": saved }));
        let text = text.map_err(|error| failed(&list)(error.into()))?;
        write_whole(&list, |out| out.write_all(&text))?;
        Ok(saved)
    }

    /// All groups, the directory last.
    async fn groups_to_save(&self) -> Result<Vec<u64>, Error> {
        let statuses = self.statuses().await?;
        if let Some(group) = held_nowhere(&statuses) {
            return Err(Error::Unreachable(vec![format!(
                "no endpoint has a replica of group {group}; name more with --admin"
            )]));
        }
        let all = statuses.iter().map(|status| status.cluster_groups).max();
        Ok((1..all.unwrap_or_default()).chain([0]).collect())
    }

    /// What every endpoint that answers says.
    async fn statuses(&self) -> Result<Vec<v1::AdminStatus>, Error> {
        let mut found = Vec::new();
        let mut silent = Vec::new();
        for endpoint in self.endpoints() {
            let asked = async {
                let mut client = self.client(endpoint).await?;
                let asked = client.status(v1::AdminStatusRequest {}).await;
                asked.map_err(|status| format!("{endpoint}: {}", words(&status)))
            };
            match tokio::time::timeout(READ_WAIT, asked).await {
                Ok(Ok(status)) => found.push(status.into_inner()),
                Ok(Err(why)) => silent.push(why),
                Err(_) => silent.push(format!("{endpoint}: no answer in time")),
            }
        }
        match found.is_empty() {
            true => Err(Error::Unreachable(silent)),
            false => Ok(found),
        }
    }

    /// Saves a group from the first endpoint that has it.
    async fn save_group(&self, group: u64, file: &Path) -> Result<Saved, Error> {
        let mut failures = Vec::new();
        for endpoint in self.endpoints() {
            let client = match self.client(endpoint).await {
                Ok(client) => client,
                Err(why) => {
                    failures.push(why);
                    continue;
                }
            };
            match save_from(client, group, file).await {
                Ok(saved) => return Ok(saved),
                Err(Error::File { path, source }) => return Err(Error::File { path, source }),
                Err(error) => failures.push(format!("{endpoint}: {error}")),
            }
        }
        Err(Error::Unreachable(failures))
    }
}

/// A group of the cluster of which none of these nodes has a replica.
fn held_nowhere(statuses: &[v1::AdminStatus]) -> Option<u64> {
    let held = |group| {
        let mut groups = statuses.iter().flat_map(|status| &status.groups);
        groups.any(|held| held.group == group)
    };
    // A node that belongs to no cluster knows of no group, and there is always a directory.
    let all = statuses.iter().map(|status| status.cluster_groups).max();
    (0..all.unwrap_or_default().max(1)).find(|group| !held(*group))
}

async fn save_from(mut client: Client, group: u64, file: &Path) -> Result<Saved, Error> {
    let asked = client.backup(Request::new(AdminBackupRequest { group }));
    let mut frames = unless_silent(asked).await?.into_inner();
    let fresh = beside(file);
    let mut out = BufWriter::new(create(&fresh)?);
    backup::begin(&mut out).map_err(failed(&fresh))?;
    let (mut begun, mut ended) = (None, None);
    while let Some(frame) = unless_silent(frames.message()).await? {
        backup::write(&mut out, &frame).map_err(failed(&fresh))?;
        match frame.frame {
            Some(Frame::Begin(begin)) => begun = Some(begin),
            Some(Frame::End(end)) => ended = Some(end),
            _ => {}
        }
    }
    let cut = || Error::Refused {
        code: Code::DataLoss,
        message: format!("the backup of group {group} was cut"),
    };
    let (begin, end) = begun.zip(ended).ok_or_else(cut)?;
    let out = out
        .into_inner()
        .map_err(|error| failed(&fresh)(error.into_error()))?;
    settle(&out, &fresh, file)?;
    Ok(saved(file, &begin, end))
}

/// What a node says, if it does not fall silent.
async fn unless_silent<T>(said: impl Future<Output = Result<T, Status>>) -> Result<T, Error> {
    match tokio::time::timeout(BACKUP_SILENCE, said).await {
        Ok(said) => said.map_err(refused),
        Err(_) => Err(Error::Refused {
            code: Code::DeadlineExceeded,
            message: "the node sends nothing any more".into(),
        }),
    }
}

fn saved(file: &Path, begin: &BackupBegin, end: BackupEnd) -> Saved {
    let name = file.file_name().unwrap_or_default();
    Saved {
        group: begin.group,
        file: name.to_string_lossy().into_owned(),
        term: begin.term,
        index: begin.index,
        rows: end.rows,
        bodies: end.bodies,
        body_bytes: end.body_bytes,
        time_ms: begin.time_ms,
        cluster: hex(&begin.cluster),
    }
}

/// Makes the folder, for this user alone; nothing may be in it.
fn prepare(dir: &Path) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt;
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir);
    made.map_err(failed(dir))?;
    let empty = fs::read_dir(dir).map_err(failed(dir))?.next().is_none();
    match empty {
        true => Ok(()),
        false => Err(failed(dir)(io::Error::other("the folder is not empty"))),
    }
}

/// Makes a file for this user alone, whoever may look into the folder: it holds mail, and what
/// passwords are checked against.
fn create(path: &Path) -> Result<File, Error> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = File::options();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path).map_err(failed(path))
}

/// Writes a file that is there whole or not at all.
fn write_whole(file: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), Error> {
    let fresh = beside(file);
    let mut out = create(&fresh)?;
    write(&mut out).map_err(failed(&fresh))?;
    settle(&out, &fresh, file)
}

/// Makes what was written durable under its name.
fn settle(out: &File, fresh: &Path, file: &Path) -> Result<(), Error> {
    out.sync_all().map_err(failed(fresh))?;
    fs::rename(fresh, file).map_err(failed(file))?;
    let dir = file.parent().unwrap_or(Path::new("."));
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(failed(dir))
}

fn beside(file: &Path) -> PathBuf {
    file.with_extension("partial")
}

fn failed(path: &Path) -> impl Fn(io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::File {
        path: path.clone(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(cluster_groups: u64, groups: impl IntoIterator<Item = u64>) -> v1::AdminStatus {
        let group = |group| v1::AdminGroup {
            group,
            ..v1::AdminGroup::default()
        };
        v1::AdminStatus {
            cluster_groups,
            groups: groups.into_iter().map(group).collect(),
            ..v1::AdminStatus::default()
        }
    }

    #[test]
    fn a_file_is_for_this_user_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let file = dir.path().join("backup.json");
        write_whole(&file, |out| out.write_all(b"{}")).unwrap();
        let group = dir.path().join("group-1.partial");
        drop(create(&group).unwrap());
        for file in [file, group] {
            let mode = fs::metadata(&file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", file.display());
        }
    }

    #[test]
    fn a_group_that_no_endpoint_has_is_missed() {
        assert_eq!(held_nowhere(&[status(17, 0..17)]), None);
        assert_eq!(held_nowhere(&[status(17, 0..9), status(17, 9..17)]), None);
        assert_eq!(held_nowhere(&[status(17, 0..9)]), Some(9));
        assert_eq!(held_nowhere(&[status(17, 1..17)]), Some(0));
        assert_eq!(held_nowhere(&[status(0, [])]), Some(0));
    }
}
