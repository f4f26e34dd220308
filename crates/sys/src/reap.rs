//! What becomes of children: collecting them and reading their wait status.
//!
//! Invariants: a wait status is decoded here and nowhere else; nothing blocks.
//! Deliberately absent: waiting for a process that is not a child. That needs a pidfd and gives no
//! code.

use std::io;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It exited with this code, 0 to 255.
    Exited(i32),
    /// A signal killed it.
    Killed {
        /// Number of the signal.
        signal: i32,
        /// A core was dumped.
        core: bool,
    },
}

impl Ending {
    /// Decodes a wait status. `None` for a process that was only stopped or continued.
    pub fn from_status(status: i32) -> Option<Self> {
        if libc::WIFEXITED(status) {
            return Some(Self::Exited(libc::WEXITSTATUS(status)));
        }
        libc::WIFSIGNALED(status).then(|| Self::Killed {
            signal: libc::WTERMSIG(status),
            core: libc::WCOREDUMP(status),
        })
    }

    /// Its exit code, if it exited.
    pub fn code(self) -> Option<i32> {
        match self {
            Self::Exited(code) => Some(code),
            Self::Killed { .. } => None,
        }
    }
}

/// What a process has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Largest resident set, in kB.
    pub max_rss_kb: u64,
    /// CPU time in user mode, in µs.
    pub cpu_user_us: u64,
    /// CPU time in the kernel, in µs.
    pub cpu_system_us: u64,
}

/// A child that was collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reaped {
    /// Its process id, which the kernel may use again from now on.
    pub pid: u32,
    /// How it ended.
    pub ending: Ending,
    /// What it and the children it waited for have used.
    pub usage: Usage,
}

/// Answer to [`next`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// One has ended, and is collected.
    Reaped(Reaped),
    /// There are children, all still alive.
    AllAlive,
    /// There is no child at all. For a subreaper: nothing it ever started is left.
    NoChildren,
}

/// Collects one child that has ended, whichever.
pub fn next() -> io::Result<Next> {
    reap(-1)
}

/// Collects this child if it has ended. [`Next::NoChildren`] when it is no child of ours.
pub fn this(pid: u32) -> io::Result<Next> {
    reap(i32::try_from(pid).map_err(|_| io::ErrorKind::InvalidInput)?)
}

fn reap(pid: i32) -> io::Result<Next> {
    loop {
        let mut status = 0;
        // SAFETY: rusage is a structure of integers, for which zeroes are valid.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: both pointers are to valid places of the right types.
        let ret = unsafe { libc::wait4(pid, &raw mut status, libc::WNOHANG, &raw mut usage) };
        match crate::check(ret.into()) {
            Ok(0) => return Ok(Next::AllAlive),
            Ok(pid) => {
                // Stopped and continued children are not asked for (no WUNTRACED), so there is an
                // ending.
                let Some(ending) = Ending::from_status(status) else {
                    continue;
                };
                let pid = u32::try_from(pid).unwrap_or(0);
                return Ok(Next::Reaped(Reaped {
                    pid,
                    ending,
                    usage: usage_of(&usage),
                }));
            }
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => {
                return Ok(Next::NoChildren);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Process id of a child that has ended, without collecting it. For processes whose other parts
/// collect their own children and must not be robbed of them.
pub fn peek() -> io::Result<Option<u32>> {
    // SAFETY: siginfo is a structure of integers, for which zeroes are valid.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` is a valid place of the right type.
    let ret = unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, flags) };
    match crate::check(ret.into()) {
        // SAFETY: waitid filled the structure for a child, or left the zeroes.
        Ok(_) => Ok(u32::try_from(unsafe { info.si_pid() })
            .ok()
            .filter(|pid| *pid > 0)),
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What all collected children and their collected descendants have used.
pub fn children_usage() -> Usage {
    // SAFETY: rusage is a structure of integers, for which zeroes are valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: a valid place of the right type.
    unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) };
    usage_of(&usage)
}

fn usage_of(usage: &libc::rusage) -> Usage {
    let us = |t: libc::timeval| u64::try_from(t.tv_sec * 1_000_000 + t.tv_usec).unwrap_or(0);
    Usage {
        max_rss_kb: u64::try_from(usage.ru_maxrss).unwrap_or(0),
        cpu_user_us: us(usage.ru_utime),
        cpu_system_us: us(usage.ru_stime),
    }
}

/// Every descendant whose parent dies becomes a child of this process, even one that left the
/// session.
///
/// # Errors
/// Those of prctl(2); kernels before 3.4 have none.
pub fn become_subreaper() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(
        rustix::process::getpid(),
    ))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_what_wait_says() {
        assert_eq!(Ending::from_status(3 << 8), Some(Ending::Exited(3)));
        assert_eq!(
            Ending::from_status(9),
            Some(Ending::Killed {
                signal: 9,
                core: false
            })
        );
        assert_eq!(
            Ending::from_status(0x80 | 11),
            Some(Ending::Killed {
                signal: 11,
                core: true
            })
        );
        assert_eq!(Ending::from_status(0x137f), None);
    }

    #[test]
    fn a_child_can_be_seen_before_it_is_collected() {
        let mut child = std::process::Command::new("false")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        while peek().unwrap() != Some(child.id()) {
            std::thread::yield_now();
        }
        let Next::Reaped(reaped) = this(child.id()).unwrap() else {
            panic!("not collected")
        };
        assert_eq!((reaped.pid, reaped.ending), (child.id(), Ending::Exited(1)));
        assert_eq!(this(child.id()).unwrap(), Next::NoChildren);
        assert!(child.wait().is_err());
    }
}
