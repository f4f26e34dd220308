//! Processes as `/proc` shows them, and signals that can only reach the right one.
//!
//! Invariants: a process is named by [`Identity`]: its id together with its start time, which no
//! other process of this boot shares. A signal goes through a pidfd that was opened before the
//! start time was checked; should the process end in between, the pidfd is dead and the signal
//! reaches nobody.
//! Deliberately absent: names and command lines as proof of identity; they are for people only.

use std::collections::BTreeSet;
use std::ffi::{CStr, OsStr, OsString};
use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::fd::{Interest, wait};
use crate::signal::Signal;

/// Longest line of a file in `/proc` about a process, in bytes: 52 numbers and a name.
const LINE_MAX: usize = 2_048;

/// A process of this boot, and no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// Process id.
    pub pid: u32,
    /// When it was started, in clock ticks since boot.
    pub start_ticks: u64,
}

/// What `/proc/<pid>/stat` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Who it is.
    pub identity: Identity,
    /// Its parent.
    pub parent: u32,
    /// Its state: `R`, `S`, `D`, `Z`, …
    pub state: u8,
}

impl Stat {
    /// It has ended, and waits to be collected.
    pub fn is_dead(self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }
}

/// Reads `/proc/<pid>/stat`.
///
/// # Errors
/// [`io::ErrorKind::NotFound`] when there is no such process.
pub fn stat(pid: u32) -> io::Result<Stat> {
    let text = read_short(&format!("/proc/{pid}/stat")).map_err(gone)?;
    parse_stat(pid, &text).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Reads a file of one line at once: the kernel does not say how long it is, and whoever feels for
/// its end asks six times.
fn read_short(path: &str) -> io::Result<Vec<u8>> {
    let mut text = Vec::with_capacity(LINE_MAX);
    let file = fs::File::open(path)?;
    file.take(LINE_MAX as u64).read_to_end(&mut text)?;
    Ok(text)
}

/// Reading a file of a process that ends meanwhile gives ESRCH.
fn gone(error: io::Error) -> io::Error {
    if error.raw_os_error() == Some(libc::ESRCH) {
        io::ErrorKind::NotFound.into()
    } else {
        error
    }
}

/// Reads the text of `/proc/<pid>/stat`; `None` when it is none.
pub fn parse_stat(pid: u32, text: &[u8]) -> Option<Stat> {
    // The second field is the program's name in parentheses, which may hold anything, also `)`.
    let after_name = text.iter().rposition(|b| *b == b')')?;
    let rest = std::str::from_utf8(text.get(after_name + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let parent = fields.next()?.parse().ok()?;
    // `starttime` is field 22; the iterator stands before field 5.
    let start_ticks = fields.nth(22 - 5)?.parse().ok()?;
    Some(Stat {
        identity: Identity { pid, start_ticks },
        parent,
        state,
    })
}

/// Identity of the process that has this id now.
pub fn identity(pid: u32) -> io::Result<Identity> {
    Ok(stat(pid)?.identity)
}

/// Whether it still runs. One that has ended but is not yet collected does not.
pub fn is_alive(identity: Identity) -> bool {
    stat(identity.pid).is_ok_and(|s| s.identity == identity && !s.is_dead())
}

/// Names this boot of the machine. A process id of another boot means nothing.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim()
        .to_owned())
}

/// Its program and arguments, for people. Empty for one that has ended.
pub fn command_line(pid: u32) -> io::Result<Vec<OsString>> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).map_err(gone)?;
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    Ok(bytes
        .split(|b| *b == 0)
        .map(|arg| OsString::from_vec(arg.to_vec()))
        .collect())
}

/// The words that a process was started with. For a `main` that is called by the C library:
/// [`std::env::args`] knows them there only with glibc.
///
/// # Safety
/// `words` must be what `main` is given: `count` strings of C, which stay as they are meanwhile.
pub unsafe fn words(count: libc::c_int, words: *const *const libc::c_char) -> Vec<OsString> {
    let count = usize::try_from(count).unwrap_or(0);
    let word = |at| {
        // SAFETY: the caller's promise.
        let word = unsafe { CStr::from_ptr(*words.add(at)) };
        OsString::from_vec(word.to_bytes().to_vec())
    };
    (0..count).map(word).collect()
}

/// Where the kernel keeps the command line that `ps` shows of this process.
#[derive(Debug)]
pub struct CommandLine {
    address: usize,
    len: usize,
}

impl CommandLine {
    /// Of this process, without its first word, which is `program`.
    ///
    /// # Errors
    /// When `/proc/self/stat` cannot be read.
    pub fn find(program: &OsStr) -> io::Result<Self> {
        let text = fs::read("/proc/self/stat")?;
        let (begin, end) = parse_argument_area(&text).ok_or(io::ErrorKind::InvalidData)?;
        let first = program.len() + 1;
        let len = end.saturating_sub(begin).saturating_sub(first);
        Ok(Self {
            address: begin + first,
            len,
        })
    }

    /// Shows other words from now on, as far as the old ones leave room. [`std::env::args`] must
    /// not be called afterwards.
    pub fn show(self, words: &[&str]) {
        let text = words.join("\0");
        let shown = text.len().min(self.len.saturating_sub(1));
        let place = self.address as *mut u8;
        // SAFETY: `len` bytes at `address` are the words that this process was started with, which
        // lie in memory of its own that stays as long as it does (proc_pid_stat(5), arg_start and
        // arg_end), and nobody reads them at the same time: the caller's promise.
        unsafe {
            std::ptr::write_bytes(place, 0, self.len);
            std::ptr::copy_nonoverlapping(text.as_ptr(), place, shown);
        }
    }
}

/// `arg_start` and `arg_end`, the fields 48 and 49 of `/proc/<pid>/stat`.
fn parse_argument_area(text: &[u8]) -> Option<(usize, usize)> {
    let after_name = text.iter().rposition(|b| *b == b')')?;
    let rest = std::str::from_utf8(text.get(after_name + 1..)?).ok()?;
    // The first field after the name is the third.
    let mut fields = rest.split_ascii_whitespace().skip(48 - 3);
    let begin: usize = fields.next()?.parse().ok()?;
    let end: usize = fields.next()?.parse().ok()?;
    (begin > 0 && end > begin).then_some((begin, end))
}

/// Whether the environment it was started with has exactly this `KEY=value`.
pub fn environment_has(pid: u32, item: &[u8]) -> io::Result<bool> {
    let bytes = fs::read(format!("/proc/{pid}/environ")).map_err(gone)?;
    Ok(bytes.split(|b| *b == 0).any(|have| have == item))
}

/// Whether it is between two programs: in the middle of an exec it shows neither arguments nor
/// environment, for longer than one would think when the machine is busy.
pub fn is_in_exec(pid: u32) -> bool {
    let read = |file: &str| fs::read(format!("/proc/{pid}/{file}"));
    let is_empty = |file: &str| read(file).is_ok_and(|bytes| bytes.is_empty());
    // A kernel thread shows neither as well, but has no program; a dead process has none any more.
    is_empty("cmdline") && is_empty("environ") && fs::read_link(format!("/proc/{pid}/exe")).is_ok()
}

/// Makes this process the leader of a session of its own; it may be one already.
pub fn new_session() {
    // Fails only for one that leads a group already, which is as good.
    let _ = rustix::process::setsid();
}

/// Sets the file mode creation mask and returns the former one.
pub fn set_umask(mask: u32) -> u32 {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask)).as_raw_mode()
}

/// Ids of all processes that can be seen.
pub fn all() -> io::Result<Vec<u32>> {
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let number = std::str::from_utf8(name.as_bytes())
            .ok()
            .and_then(|n| n.parse::<u32>().ok());
        pids.extend(number);
    }
    Ok(pids)
}

/// Ids of its children, as far as they can be seen at this moment.
pub fn children(pid: u32) -> io::Result<Vec<u32>> {
    let mut found = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task")).map_err(gone)? {
        let path = task?.path().join("children");
        match fs::read_to_string(&path) {
            Ok(text) => found.extend(
                text.split_ascii_whitespace()
                    .filter_map(|n| n.parse::<u32>().ok()),
            ),
            // The thread has ended; or the kernel was built without these files.
            Err(_) if path.parent().is_some_and(|task| !task.exists()) => {}
            Err(_) => return children_by_scan(pid),
        }
    }
    Ok(found)
}

fn children_by_scan(pid: u32) -> io::Result<Vec<u32>> {
    let is_child = |child: &u32| stat(*child).is_ok_and(|s| s.parent == pid);
    Ok(all()?.into_iter().filter(is_child).collect())
}

/// Every living descendant of `root`, parents before children. Each is proven: its parent was, at
/// the time of looking, a proven one or `root` itself. What is forked meanwhile may be missing;
/// look again.
pub fn descendants(root: u32) -> io::Result<Vec<Identity>> {
    let mut found = Vec::new();
    let mut known = BTreeSet::new();
    let mut queue = vec![identity(root)?];
    while let Some(parent) = queue.pop() {
        let children = children(parent.pid).unwrap_or_default();
        // Between being listed and now the parent may have died and its id been given to a
        // stranger.
        let parent_is_the_same = identity(parent.pid).is_ok_and(|now| now == parent);
        for child in children.into_iter().filter_map(|pid| stat(pid).ok()) {
            // An orphan is handed to `root` when it is a subreaper, and is then one of its
            // children.
            let is_ours =
                (parent_is_the_same && child.parent == parent.pid) || child.parent == root;
            if is_ours && !child.is_dead() && known.insert(child.identity) {
                found.push(child.identity);
                queue.push(child.identity);
            }
        }
    }
    Ok(found)
}

/// A handle on a process that can never come to mean another one.
#[derive(Debug)]
pub struct Handle(OwnedFd);

impl Handle {
    /// A handle on whichever process has this id now. Prove who it is before using it.
    pub fn of_whoever_is(pid: u32) -> io::Result<Self> {
        let pid = i32::try_from(pid)
            .ok()
            .and_then(Pid::from_raw)
            .ok_or(io::ErrorKind::NotFound)?;
        pidfd_open(pid, PidfdFlags::empty())
            .map(Self)
            .map_err(|error| gone(error.into()))
    }

    /// A handle on exactly this process.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when it is gone.
    pub fn open(identity: Identity) -> io::Result<Self> {
        let handle = Self::of_whoever_is(identity.pid)?;
        if self::identity(identity.pid)? == identity {
            Ok(handle)
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    /// Sends a signal; false when the process has ended.
    pub fn signal(&self, signal: Signal) -> io::Result<bool> {
        let info = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: a valid descriptor, a valid number, no siginfo, no flags.
        let ret = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.0.as_raw_fd(),
                signal.number(),
                info,
                0,
            )
        };
        match crate::check(ret) {
            Ok(_) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Waits for its end for at most `timeout_ms`; true when it has ended.
    pub fn wait(&self, timeout_ms: u64) -> io::Result<bool> {
        wait(self.0.as_fd(), Interest::Read, Some(timeout_ms))
    }
}

impl AsFd for Handle {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Sends a signal to exactly this process; false when it is gone.
///
/// # Errors
/// `PermissionDenied` for a process of somebody else.
pub fn signal(identity: Identity, signal: Signal) -> io::Result<bool> {
    match Handle::open(identity) {
        Ok(handle) => handle.signal(signal),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Sends a signal to a child of this process that has not been collected; its id cannot have been
/// reused.
pub fn signal_child(pid: u32, signal: Signal) -> io::Result<bool> {
    match Handle::of_whoever_is(pid) {
        Ok(handle) => handle.signal(signal),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Sends a signal to every process of the group that a child of this process leads; false when it
/// is empty. The child must not have been collected: until then its id, and so the group's, cannot
/// have been reused.
///
/// # Errors
/// `PermissionDenied` when it reaches no process for that reason.
pub fn signal_child_group(leader: u32, signal: Signal) -> io::Result<bool> {
    let group = i32::try_from(leader)
        .ok()
        .filter(|pid| *pid > 1)
        .ok_or(io::ErrorKind::InvalidInput)?;
    // SAFETY: kill takes plain numbers; a negative id above names a group, never "everybody" (-1).
    match crate::check(unsafe { libc::kill(-group, signal.number()) }.into()) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_name_with_parentheses_does_not_confuse() {
        let line = b"7 (a) b ) (c) S 3 7 7 0 -1 4194304 1 0 0 0 1 2 3 4 20 0 1 0 4711 1 2 3";
        let stat = parse_stat(7, line).unwrap();
        assert_eq!(
            stat.identity,
            Identity {
                pid: 7,
                start_ticks: 4711
            }
        );
        assert_eq!((stat.parent, stat.state), (3, b'S'));
        assert_eq!(parse_stat(7, b"7 (x"), None);
    }

    /// A child that executes its program. That exec closed its descriptors, for which `spawn`
    /// waits, does not yet mean that `/proc` shows the new arguments and environment.
    fn sleeper() -> std::process::Child {
        let child = Command::new("sleep")
            .arg("60")
            .env("EUD_X", "ab")
            .spawn()
            .unwrap();
        while command_line(child.id()).unwrap() != ["sleep", "60"] {
            std::thread::yield_now();
        }
        child
    }

    #[test]
    fn a_process_with_another_start_time_is_not_signalled() {
        let mut child = sleeper();
        let right = identity(child.id()).unwrap();
        let wrong = Identity {
            start_ticks: right.start_ticks + 1,
            ..right
        };
        assert!(!signal(wrong, Signal::KILL).unwrap());
        assert!(is_alive(right) && !is_alive(wrong));
        assert!(signal(right, Signal::KILL).unwrap());
        child.wait().unwrap();
        assert!(!is_alive(right));
        assert!(!signal(right, Signal::KILL).unwrap());
    }

    #[test]
    fn finds_children_and_grandchildren() {
        let script = "sleep 60 & echo $!; wait";
        let mut shell = Command::new("sh")
            .args(["-c", script])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = std::io::BufReader::new(shell.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut output, &mut line).unwrap();
        let grandchild: u32 = line.trim().parse().unwrap();
        let found: Vec<u32> = descendants(shell.id())
            .unwrap()
            .into_iter()
            .map(|i| i.pid)
            .collect();
        assert_eq!(found, [grandchild]);
        for id in [shell.id(), grandchild] {
            signal(identity(id).unwrap(), Signal::KILL).unwrap();
        }
        shell.wait().unwrap();
    }

    #[test]
    fn the_environment_is_matched_exactly() {
        let mut child = sleeper();
        assert!(environment_has(child.id(), b"EUD_X=ab").unwrap());
        assert!(!environment_has(child.id(), b"EUD_X=a").unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn this_boot_has_a_name() {
        assert_eq!(boot_id().unwrap().len(), 36);
    }
}
