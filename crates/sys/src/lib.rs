//! Every system call of eudaemon, behind one door.
//!
//! Purpose: the one crate that may use `unsafe`. What it offers is safe to call and speaks in the
//! words of the rest: identities of processes, signals by name, commands with their surroundings.
//! Invariants: no process is signalled but one that is proven to be meant ([`process::Identity`]);
//! every descriptor that is opened here closes on exec; nothing blocks unless its name says so.
//! Deliberately absent: policy, async, threads, logging, and any C library beyond libc.
//!
//! Linux from 5.4 on is complete; what is newer (`clone3` into a cgroup, `close_range`,
//! `cgroup.kill`) is used where it is there. Elsewhere (macOS) what has no counterpart answers
//! [`std::io::ErrorKind::Unsupported`]: pidfd, subreaper, parent-death signal, signalfd, timerfd,
//! cgroups and `/proc` are missing there, and their places would be taken by kqueue, process groups
//! and libproc. That part is not written yet.

#[cfg(not(target_os = "linux"))]
compile_error!(
    "eud-sys is written for Linux. Modules that need a counterpart elsewhere: \
     cgroup, clock (alarm), inotify, net, process, reap (subreaper), signal (signalfd), socket (credentials), spawn."
);

pub mod cgroup;
pub mod clock;
pub mod durable;
#[cfg(feature = "fault")]
pub mod fault;
pub mod fd;
pub mod heap;
pub mod inotify;
pub mod memory;
pub mod net;
pub mod nvml;
pub mod process;
pub mod random;
pub mod reap;
pub mod rlimit;
pub mod signal;
pub mod socket;
pub mod spawn;
pub mod usage;
pub mod user;

/// Whether an error says only that this process, or the machine, is short of descriptors or memory.
/// It is no answer to what was asked: a little later there may be one.
pub fn is_want(error: &std::io::Error) -> bool {
    let wants = [libc::EMFILE, libc::ENFILE, libc::ENOMEM];
    error
        .raw_os_error()
        .is_some_and(|errno| wants.contains(&errno))
}

/// Turns a raw return value into a result, reading `errno`.
fn check(ret: libc::c_long) -> std::io::Result<libc::c_long> {
    if ret < 0 {
        Err(std::io::Error::last_os_error())
    } else {
        Ok(ret)
    }
}
