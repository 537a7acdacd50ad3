//! A folder of mail on this machine, as mail programs use it beside mbsync.

use std::io;
use std::path::{Path, PathBuf};

use crate::history::Flags;

/// The letters of flags in the names of files, in the order in which they stand there.
const LETTERS: [(char, Flags); 5] = [
    ('D', Flags::DRAFT),
    ('F', Flags::FLAGGED),
    ('R', Flags::ANSWERED),
    ('S', Flags::SEEN),
    ('T', Flags::DELETED),
];

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    path: PathBuf,
    /// Its flags.
    pub flags: Flags,
    /// Whether mbsync has given it a UID: it knows the message.
    pub is_known: bool,
}

/// A folder.
#[derive(Clone, Debug)]
pub struct Maildir(PathBuf);

impl Maildir {
    /// The folder at this path, which mbsync makes.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Adds a message.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn deliver(&self, name: &str, text: &str) -> io::Result<()> {
        let written = self.0.join("tmp").join(name);
        std::fs::write(&written, text)?;
        std::fs::rename(written, self.0.join("new").join(name))
    }

    /// All messages. Some may be gone by the time they are looked at.
    ///
    /// # Errors
    ///
    /// When there is no such folder.
    pub fn list(&self) -> io::Result<Vec<File>> {
        let mut files = Vec::new();
        for folder in ["new", "cur"] {
            for entry in std::fs::read_dir(self.0.join(folder))? {
                files.push(File::of(entry?.path()));
            }
        }
        Ok(files)
    }

    /// Adds a flag to a message; `false` if it is not where it was.
    ///
    /// # Errors
    ///
    /// When it cannot be renamed.
    pub fn flag(&self, file: &File, flag: Flags) -> io::Result<bool> {
        let name = name_of(&file.path);
        let base = name
            .split_once(":2,")
            .map_or(name.as_str(), |(base, _)| base);
        let flags = file.flags.with(flag);
        let letters = LETTERS.iter().filter(|(_, of)| flags.has(*of));
        let letters: String = letters.map(|(letter, _)| letter).collect();
        let to = self.0.join("cur").join(format!("{base}:2,{letters}"));
        was_there(std::fs::rename(&file.path, to))
    }

    /// Removes a message; `false` if it is not where it was.
    ///
    /// # Errors
    ///
    /// When it cannot be.
    pub fn remove(&self, file: &File) -> io::Result<bool> {
        was_there(std::fs::remove_file(&file.path))
    }
}

impl File {
    fn of(path: PathBuf) -> Self {
        let name = name_of(&path);
        let letters = name.split_once(":2,").map_or("", |(_, letters)| letters);
        let flags = LETTERS
            .iter()
            .filter(|(letter, _)| letters.contains(*letter))
            .fold(Flags::default(), |all, (_, flag)| all.with(*flag));
        Self {
            flags,
            is_known: name.contains(",U="),
            path,
        }
    }

    /// What is in it; none if it is not where it was.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn read(&self) -> io::Result<Option<String>> {
        match std::fs::read_to_string(&self.path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn was_there(done: io::Result<()>) -> io::Result<bool> {
    match done {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_in_the_names_of_files() {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["tmp", "new", "cur"] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
        }
        let maildir = Maildir::new(dir.path().to_owned());
        maildir.deliver("one,U=3", "text").unwrap();
        let file = maildir.list().unwrap().remove(0);
        assert!(file.is_known && file.flags == Flags::default());
        assert!(maildir.flag(&file, Flags::SEEN).unwrap());
        assert!(!maildir.flag(&file, Flags::SEEN).unwrap());
        let file = maildir.list().unwrap().remove(0);
        assert!(maildir.flag(&file, Flags::FLAGGED).unwrap());
        let file = maildir.list().unwrap().remove(0);
        assert_eq!(file.path, dir.path().join("cur/one,U=3:2,FS"));
        assert_eq!(file.flags, Flags::SEEN.with(Flags::FLAGGED));
        assert_eq!(file.read().unwrap().unwrap(), "text");
        assert!(maildir.remove(&file).unwrap());
        assert!(maildir.list().unwrap().is_empty());
    }
}
