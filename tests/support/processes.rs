//! Processes, seen through `/proc` and signalled through a pidfd.
//!
//! Invariant: a process is its number and its start time together; a zombie is dead.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::eventually;

/// One process, never another that got its number later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// Start time in ticks since the machine's.
    pub(crate) born: u64,
}

impl Process {
    /// Whoever has this number now.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let (state, born) = stat(pid)?;
        (!matches!(state, 'Z' | 'X')).then_some(Self { pid, born })
    }

    pub(crate) fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Sends a signal; false when it is gone.
    pub(crate) fn signal(self, signal: Signal) -> bool {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else {
            return false;
        };
        let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else {
            return false;
        };
        self.is_alive() && pidfd_send_signal(handle, signal).is_ok()
    }

    #[track_caller]
    pub(crate) fn kill(self) {
        assert!(self.signal(Signal::KILL), "{self:?} is gone already");
        self.until_gone();
    }

    #[track_caller]
    pub(crate) fn until_gone(self) {
        eventually(&format!("the end of {self:?}"), || {
            (!self.is_alive()).then_some(())
        });
    }
}

/// A process that is no part of any fleet. It ends with the test.
pub(crate) struct Stranger(Child);

impl Stranger {
    pub(crate) fn new(program: &str, args: &[&str]) -> Self {
        Self(
            Command::new(program)
                .args(args)
                .stdin(Stdio::null())
                .spawn()
                .unwrap(),
        )
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    #[track_caller]
    pub(crate) fn lives(&mut self) {
        assert_eq!(self.0.try_wait().unwrap(), None, "a stranger was signalled");
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// State and start time.
fn stat(pid: u32) -> Option<(char, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    let words: Vec<&str> = rest.split(' ').collect();
    Some((words[0].chars().next()?, words[19].parse().ok()?))
}

/// Everybody.
pub(crate) fn all() -> impl Iterator<Item = Process> {
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(Process::of)
}

/// Everybody who belongs to the fleet with this state directory: its managers, keepers, commands
/// and what these started, known by their command line, working folder or environment.
pub(crate) fn of_fleet(state: &Path) -> Vec<Process> {
    let state = state.as_os_str().as_bytes();
    let mark = [b"EUD_STATE=", state].concat();
    let belongs = |pid: u32| {
        let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let mut words = read("cmdline");
        words.push(0);
        let is_under = |path: &[u8]| {
            path.strip_prefix(state)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        };
        let cwd = fs::read_link(format!("/proc/{pid}/cwd"));
        read("environ")
            .split(|byte| *byte == 0)
            .any(|item| item == mark)
            || words.split(|byte| *byte == 0).any(is_under)
            || cwd.is_ok_and(|cwd| is_under(cwd.as_os_str().as_bytes()))
    };
    let own = std::process::id();
    all()
        .filter(|one| one.pid != own && belongs(one.pid))
        .collect()
}

/// Kills what is left of a fleet, keepers and managers too.
pub(crate) fn clear_away(state: &Path) {
    // What is killed first may be restarted by who is killed next.
    for _ in 0..50 {
        let left = of_fleet(state);
        if left.is_empty() {
            return;
        }
        for one in left {
            one.signal(Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
