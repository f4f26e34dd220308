//! Files that are either wholly there or not at all, through a power cut.
//!
//! Invariants: a reader sees the old contents or the new, never a part; when a function returns
//! `Ok` with [`Depth::Disk`], contents and name are on the disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// How deep a write must reach before it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Survives the death of this process; not of the machine.
    Kernel,
    /// Survives a power cut.
    Disk,
}

/// Replaces the contents of `path`. The file gets mode 0600.
///
/// # Errors
/// Whatever the file system says; `path` is then as it was.
pub fn write(path: &Path, contents: &[u8], depth: Depth) -> io::Result<()> {
    let temporary = temporary_of(path);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    let written = file.write_all(contents).and_then(|()| match depth {
        Depth::Disk => file.sync_all(),
        Depth::Kernel => Ok(()),
    });
    if let Err(error) = written.and_then(|()| std::fs::rename(&temporary, path)) {
        // The temporary file is of no use to anybody; that it stays would be no harm either.
        let _ = std::fs::remove_file(&temporary);
        return Err(error);
    }
    if depth == Depth::Disk {
        sync_folder_of(path)?;
    }
    Ok(())
}

/// Makes the names in the folder of `path` durable.
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// A file whose space is taken in advance, so that a full disk cannot keep it from being written.
#[derive(Debug)]
pub struct Reserved {
    path: PathBuf,
    file: File,
    written: usize,
}

impl Reserved {
    /// Reserves `len` bytes for what will become `path`. File systems that cannot reserve are no
    /// error; those that are full are.
    pub fn new(path: &Path, len: u64) -> io::Result<Self> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(temporary_of(path))?;
        let flags = rustix::fs::FallocateFlags::KEEP_SIZE;
        if let Err(error @ (Errno::NOSPC | Errno::DQUOT)) =
            rustix::fs::fallocate(&file, flags, 0, len)
        {
            return Err(error.into());
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            written: 0,
        })
    }

    /// Writes the contents, then gives the file its name: from then on it is there whatever process
    /// dies. A power cut may still take it, until [`Reserved::sync`].
    ///
    /// # Errors
    /// Whatever the file system says; it may be tried again.
    pub fn publish(&mut self, contents: &[u8]) -> io::Result<()> {
        self.fill(contents)?;
        std::fs::rename(temporary_of(&self.path), &self.path)
    }

    /// Like [`Reserved::publish`], but never replaces a file that is there already.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`], or whatever the file system says.
    pub fn publish_new(&mut self, contents: &[u8]) -> io::Result<()> {
        self.fill(contents)?;
        let temporary = temporary_of(&self.path);
        let linked = std::fs::hard_link(&temporary, &self.path);
        let _ = std::fs::remove_file(&temporary);
        linked
    }

    fn fill(&mut self, contents: &[u8]) -> io::Result<()> {
        use std::os::unix::fs::FileExt;
        if contents.len() < self.written {
            self.file.set_len(contents.len() as u64)?;
        }
        self.written = contents.len();
        self.file.write_all_at(contents, 0)
    }

    /// Waits until the contents are on the disk. The name is not waited for: when it is lost in a
    /// power cut, [`unpublished`] finds the contents.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

/// What was about to be published as `path` by a process that is gone, or by a machine that lost
/// its power. Empty when it had not come to that. It is whole if it is of the right form: it was
/// written at once.
pub fn unpublished(path: &Path) -> io::Result<Vec<u8>> {
    std::fs::read(temporary_of(path))
}

fn temporary_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".tmp");
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_and_leaves_no_temporary_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        write(&path, b"one", Depth::Kernel).unwrap();
        write(&path, b"two", Depth::Disk).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("inside"), b"").unwrap();
        assert!(write(&path, b"x", Depth::Disk).is_err());
        assert!(path.is_dir());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn reserved_files_appear_only_when_published_and_hold_exactly_the_contents() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("exit.json");
        let mut reserved = Reserved::new(&path, 4096).unwrap();
        assert!(!path.exists());
        assert_eq!(unpublished(&path).unwrap(), b"");
        reserved.publish(b"{}").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"{}");
        let mut second = Reserved::new(&path, 4096).unwrap();
        let refused = second.publish_new(b"other").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"{}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
