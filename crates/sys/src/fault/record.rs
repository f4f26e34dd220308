//! What a program does to the files of a folder, kept as it happens.
//!
//! Invariants: a call is looked at before it is carried out, while whoever made it waits, so what
//! is read of its memory and its descriptors is what the kernel will find.

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::disk::{Disk, Op};
use super::listener::Asked;

/// Longest path that is read, in bytes.
const PATH_MAX: usize = 4096;

/// Keeps what happens below a folder.
#[derive(Debug)]
pub(super) struct Recorder {
    folder: PathBuf,
    disk: Disk,
    /// Something happened that is not understood here.
    puzzle: Option<String>,
}

impl Recorder {
    /// With what is in the folder now as the beginning.
    pub(super) fn new(folder: &Path) -> io::Result<Self> {
        let folder = folder.canonicalize()?;
        Ok(Self {
            disk: Disk::of(&folder)?,
            folder,
            puzzle: None,
        })
    }

    pub(super) fn disk(&self) -> Disk {
        if let Some(puzzle) = &self.puzzle {
            panic!("a call that changes files is not understood: {puzzle}");
        }
        self.disk.clone()
    }

    pub(super) fn mark(&mut self, number: u64) {
        self.disk.push(Op::Mark(number));
    }

    pub(super) fn take(&mut self, name: &str, asked: &Asked) {
        let result = match name {
            "openat" => self.open(path_argument(asked, Some(0), 1), asked.args[2]),
            "open" => self.open(path_argument(asked, None, 0), asked.args[1]),
            "write" => self.write(asked, None),
            "pwrite64" => self.write(asked, Some(asked.args[3])),
            "ftruncate" => self.of_descriptor(asked, |path| Op::Truncate {
                path,
                len: asked.args[1],
            }),
            "fsync" | "fdatasync" => self.of_descriptor(asked, Op::Sync),
            "rename" => self.pair(asked, (None, 0), (None, 1), false),
            "renameat" | "renameat2" => self.pair(asked, (Some(0), 1), (Some(2), 3), false),
            "link" => self.pair(asked, (None, 0), (None, 1), true),
            "linkat" => self.pair(asked, (Some(0), 1), (Some(2), 3), true),
            "unlink" => self.unlink(path_argument(asked, None, 0)),
            "unlinkat" => self.unlink(path_argument(asked, Some(0), 1)),
            "writev" => match self.descriptor(asked) {
                None => Ok(None),
                Some(path) => Err(io::Error::other(path.display().to_string())),
            },
            _ => Ok(None),
        };
        match result {
            Ok(Some(op)) => self.disk.push(op),
            Ok(None) => {}
            Err(error) => self.puzzle = Some(format!("{name}: {error}")),
        }
    }

    /// Its name below the folder, the same by whatever way it was named. `None` for what is
    /// elsewhere, and for what cannot be since its folder is not there.
    fn inside(&self, path: &Path) -> Option<PathBuf> {
        let folder = path.parent()?.canonicalize().ok()?;
        let plain = folder.join(path.file_name()?);
        plain.strip_prefix(&self.folder).ok().map(Path::to_owned)
    }

    fn open(&self, path: io::Result<PathBuf>, flags: u64) -> io::Result<Option<Op>> {
        let path = path?;
        let Some(name) = self.inside(&path) else {
            return Ok(None);
        };
        let has = |flag: i32| flags & u64::from(flag.unsigned_abs()) != 0;
        let len = fs::metadata(&path).map(|found| found.len()).ok();
        Ok(match len {
            None if has(libc::O_CREAT) => Some(Op::Create(name)),
            Some(1..) if has(libc::O_TRUNC) => Some(Op::Truncate { path: name, len: 0 }),
            _ => None,
        })
    }

    fn write(&self, asked: &Asked, offset: Option<u64>) -> io::Result<Option<Op>> {
        let Some(path) = self.descriptor(asked) else {
            return Ok(None);
        };
        let offset = match offset {
            Some(offset) => offset,
            None => position(asked)?,
        };
        let len = usize::try_from(asked.args[2]).map_err(|_| io::ErrorKind::InvalidData)?;
        let mut data = vec![0; len];
        memory(asked)?.read_exact_at(&mut data, asked.args[1])?;
        Ok(Some(Op::Write { path, offset, data }))
    }

    fn of_descriptor(
        &self,
        asked: &Asked,
        op: impl FnOnce(PathBuf) -> Op,
    ) -> io::Result<Option<Op>> {
        Ok(self.descriptor(asked).map(op))
    }

    /// The file of the descriptor that is the first argument. One that has no name any more is
    /// nobody's.
    fn descriptor(&self, asked: &Asked) -> Option<PathBuf> {
        let path = descriptor(asked)?;
        let is_deleted = path.as_os_str().as_encoded_bytes().ends_with(b" (deleted)");
        self.inside(&path).filter(|_| !is_deleted)
    }

    fn pair(
        &self,
        asked: &Asked,
        from: (Option<usize>, usize),
        to: (Option<usize>, usize),
        keeps: bool,
    ) -> io::Result<Option<Op>> {
        let from_path = path_argument(asked, from.0, from.1)?;
        let to_path = path_argument(asked, to.0, to.1)?;
        let may_happen = from_path.exists() && !(keeps && to_path.exists());
        let names = self.inside(&from_path).zip(self.inside(&to_path));
        Ok(names.filter(|_| may_happen).map(|(from, to)| {
            if keeps {
                Op::Link { from, to }
            } else {
                Op::Rename { from, to }
            }
        }))
    }

    fn unlink(&self, path: io::Result<PathBuf>) -> io::Result<Option<Op>> {
        let path = path?;
        let is_file = fs::symlink_metadata(&path).is_ok_and(|found| !found.is_dir());
        Ok(self.inside(&path).filter(|_| is_file).map(Op::Unlink))
    }
}

/// The file a call is about, for people.
pub(super) fn about(name: &str, asked: &Asked) -> String {
    let path = match name {
        "openat" | "unlinkat" | "mkdirat" | "renameat" | "renameat2" | "statx" | "newfstatat"
        | "readlinkat" | "linkat" => path_argument(asked, Some(0), 1).ok(),
        "open" | "rename" | "unlink" | "mkdir" | "link" | "execve" | "stat" | "chdir" => {
            path_argument(asked, None, 0).ok()
        }
        "mmap" | "madvise" | "prctl" | "getrandom" | "clone" | "clone3" | "fork" | "vfork"
        | "ppoll" | "poll" | "wait4" => None,
        _ => descriptor(asked),
    };
    path.map_or_else(String::new, |path| path.display().to_string())
}

/// Whether a `fcntl` with a lock gives one back: the lock's first field says so.
pub(super) fn is_unlock(asked: &Asked) -> bool {
    let mut kind = [0; 2];
    let read = memory(asked).and_then(|memory| memory.read_exact_at(&mut kind, asked.args[2]));
    read.is_ok() && i32::from(i16::from_ne_bytes(kind)) == libc::F_UNLCK
}

/// Whether the descriptor that is the first argument is that of a file on a disk.
pub(super) fn is_of_file(asked: &Asked) -> bool {
    fs::metadata(format!("/proc/{}/fd/{}", asked.tid, asked.args[0])).is_ok_and(|m| m.is_file())
}

fn descriptor(asked: &Asked) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{}/fd/{}", asked.tid, asked.args[0])).ok()
}

/// Where a write without an offset goes.
fn position(asked: &Asked) -> io::Result<u64> {
    let (tid, fd) = (asked.tid, asked.args[0]);
    let info = fs::read_to_string(format!("/proc/{tid}/fdinfo/{fd}"))?;
    let field = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name));
        line.map(str::trim).ok_or(io::ErrorKind::InvalidData)
    };
    let flags = i32::from_str_radix(field("flags:")?, 8).map_err(io::Error::other)?;
    if flags & libc::O_APPEND != 0 {
        return Ok(fs::metadata(format!("/proc/{tid}/fd/{fd}"))?.len());
    }
    field("pos:")?.parse().map_err(io::Error::other)
}

fn memory(asked: &Asked) -> io::Result<File> {
    File::open(format!("/proc/{}/mem", asked.tid))
}

/// A path that a call was given, absolute; `folder` is the argument it is relative to.
fn path_argument(asked: &Asked, folder: Option<usize>, place: usize) -> io::Result<PathBuf> {
    let mut bytes = vec![0; PATH_MAX];
    let at = asked.args[place];
    // A string may end shortly before memory does.
    let mut len = memory(asked)?.read_at(&mut bytes, at)?;
    len = bytes[..len]
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(len);
    bytes.truncate(len);
    let path = PathBuf::from(std::ffi::OsString::from_vec(bytes));
    if path.is_absolute() {
        return Ok(path);
    }
    let tid = asked.tid;
    let base = match folder.map(|place| asked.args[place] as i32) {
        None | Some(libc::AT_FDCWD) => format!("/proc/{tid}/cwd"),
        Some(fd) => format!("/proc/{tid}/fd/{fd}"),
    };
    Ok(fs::read_link(base)?.join(path))
}
