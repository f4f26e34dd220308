//! Control groups, version 2: a folder per run, from which no process of the run can slip away.
//!
//! Invariants: only groups below this process's own group are created; nothing is required of the
//! system: where a group cannot be had, `None` or an error says so and the caller goes on without.
//! Deliberately absent: turning controllers on, which is for whoever gave us the group.

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

    /// Bytes of memory of all processes in it and below, without files that are merely cached.
    ///
    /// # Errors
    /// `NotFound` where the memory controller is not turned on for it.
    pub fn memory_bytes(&self) -> io::Result<u64> {
        let all = number(&fs::read_to_string(self.path.join("memory.current"))?)?;
        let parts = fs::read_to_string(self.path.join("memory.stat"))?;
        let line = parts
            .lines()
            .find_map(|line| line.strip_prefix("inactive_file "));
        let cached = line.map_or(Ok(0), number)?;
        Ok(all.saturating_sub(cached))
    }

    /// Most bytes of memory it may have; `None`: as many as it wants.
    ///
    /// # Errors
    /// As [`Cgroup::memory_bytes`].
    pub fn memory_max(&self) -> io::Result<Option<u64>> {
        match fs::read_to_string(self.path.join("memory.max"))?.trim() {
            "max" => Ok(None),
            text => number(text).map(Some),
        }
    }

    /// Sets that. When there is no memory left to take back, the kernel kills all of it at once.
    ///
    /// # Errors
    /// As [`Cgroup::memory_bytes`], and those of writing.
    pub fn set_memory_max(&self, bytes: Option<u64>) -> io::Result<()> {
        // Without it only one process would be killed, and the rest would go on without. Kernels
        // before 4.19 cannot.
        let _ = fs::write(self.path.join("memory.oom.group"), b"1");
        let text = bytes.map_or("max".to_owned(), |bytes| bytes.to_string());
        fs::write(self.path.join("memory.max"), text)
    }

    /// CPU time of all processes that are or were in it and below, in milliseconds.
    ///
    /// # Errors
    /// `InvalidData` where the kernel does not count it.
    pub fn cpu_ms(&self) -> io::Result<u64> {
        let text = fs::read_to_string(self.path.join("cpu.stat"))?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("usage_usec "));
        Ok(number(line.ok_or(io::ErrorKind::InvalidData)?)? / 1000)
    }

    /// Removes it together with groups its processes made below. They must be empty.
    pub fn remove(self) -> io::Result<()> {
        remove_below(&self.path)
    }
}

fn number(text: &str) -> io::Result<u64> {
    let parsed = text.trim().parse();
    parsed.map_err(|_| io::ErrorKind::InvalidData.into())
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

    /// The files of a group, in a folder: what the kernel would show there, and what it is told.
    #[test]
    fn memory_and_cpu_are_read_and_limited_by_the_files_of_the_group() {
        let dir = tempfile::tempdir().unwrap();
        let group = Cgroup {
            path: dir.path().to_owned(),
        };
        assert_eq!(
            group.memory_bytes().unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        let file = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        file("memory.current", "1048576\n");
        file("memory.stat", "anon 7\nfile 9\ninactive_file 48576\n");
        file("memory.max", "max\n");
        file("cpu.stat", "usage_usec 2500000\nuser_usec 1\n");
        assert_eq!(group.memory_bytes().unwrap(), 1_000_000);
        assert_eq!(group.memory_max().unwrap(), None);
        assert_eq!(group.cpu_ms().unwrap(), 2_500);
        group.set_memory_max(Some(77)).unwrap();
        assert_eq!(group.memory_max().unwrap(), Some(77));
        assert_eq!(fs::read(dir.path().join("memory.oom.group")).unwrap(), b"1");
        group.set_memory_max(None).unwrap();
        assert_eq!(group.memory_max().unwrap(), None);
        file("cpu.stat", "nr_periods 0\n");
        assert_eq!(
            group.cpu_ms().unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
    }

    #[test]
    fn a_group_elsewhere_or_with_another_name_is_not_ours() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("eud-x")).unwrap();
        fs::write(dir.path().join("eud-x/cgroup.procs"), b"").unwrap();
        assert!(Cgroup::at(&dir.path().join("eud-x"), "eud-x").is_none());
        assert!(own().is_none_or(|own| Cgroup::at(&own, "eud-x").is_none()));
    }
}
