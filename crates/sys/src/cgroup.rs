//! Control groups, version 2: a folder per run, from which no process of the run can slip away.
//!
//! Invariants: only groups below this process's own group are created; nothing is required of the
//! system: where a group cannot be had, `None` or an error says so and the caller goes on without.
//! Deliberately absent: controllers and limits.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// A control group.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
}

/// A group opened to be born into.
#[derive(Debug)]
pub struct Entrance(OwnedFd);

impl AsFd for Entrance {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Folder where cgroup v2 is mounted: `/sys/fs/cgroup`, or `unified` in it on a hybrid system.
pub fn mount_point() -> Option<&'static Path> {
    ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        .into_iter()
        .map(Path::new)
        .find(|path| path.join("cgroup.procs").exists())
}

/// Folder of the group this process is in.
pub fn own() -> Option<PathBuf> {
    let text = fs::read_to_string("/proc/self/cgroup").ok()?;
    Some(mount_point()?.join(parse_own(&text)?))
}

/// Path of the cgroup v2 in the text of `/proc/self/cgroup`, relative to where it is mounted.
pub fn parse_own(text: &str) -> Option<&Path> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(Path::new(path))
}

impl Cgroup {
    /// Creates a group with this name below another, which must be [`own`].
    ///
    /// # Errors
    /// `PermissionDenied` or `ReadOnlyFilesystem` where it is not ours.
    pub fn create(below: &Path, name: &str) -> io::Result<Self> {
        let path = below.join(name);
        fs::create_dir(&path)?;
        Ok(Self { path })
    }

    /// The group in this folder, if there is one with this name.
    pub fn at(path: &Path, name: &str) -> Option<Self> {
        let is_ours = path.file_name().is_some_and(|n| n == name)
            && path.starts_with(mount_point()?)
            && path.join("cgroup.procs").exists();
        is_ours.then(|| Self {
            path: path.to_owned(),
        })
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens it for [`crate::spawn::fork`].
    pub fn entrance(&self) -> io::Result<Entrance> {
        use rustix::fs::{Mode, OFlags, open};
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Entrance(open(&self.path, flags, Mode::empty())?))
    }

    /// Kills every process in it and below, at once.
    ///
    /// # Errors
    /// `NotFound` on kernels before 5.14.
    pub fn kill(&self) -> io::Result<()> {
        fs::write(self.path.join("cgroup.kill"), b"1")
    }

    /// Processes in it, not those in groups below.
    pub fn members(&self) -> io::Result<Vec<u32>> {
        let text = fs::read_to_string(self.path.join("cgroup.procs"))?;
        Ok(text.lines().filter_map(|pid| pid.parse().ok()).collect())
    }

    /// Whether any living process is in it or below.
    pub fn is_populated(&self) -> io::Result<bool> {
        let events = fs::read_to_string(self.path.join("cgroup.events"))?;
        Ok(events.lines().any(|line| line == "populated 1"))
    }

    /// Removes it together with groups its processes made below. They must be empty.
    pub fn remove(self) -> io::Result<()> {
        remove_below(&self.path)
    }
}

fn remove_below(path: &Path) -> io::Result<()> {
    match fs::remove_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
        other => return other,
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_below(&entry.path())?;
        }
    }
    fs::remove_dir(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_elsewhere_or_with_another_name_is_not_ours() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("eud-x")).unwrap();
        fs::write(dir.path().join("eud-x/cgroup.procs"), b"").unwrap();
        assert!(Cgroup::at(&dir.path().join("eud-x"), "eud-x").is_none());
        assert!(own().is_none_or(|own| Cgroup::at(&own, "eud-x").is_none()));
    }
}
