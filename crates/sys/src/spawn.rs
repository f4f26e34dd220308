//! Starting a command: fork, its surroundings, exec.
//!
//! Invariants: the child runs ordinary code between fork and exec (it allocates, reads files,
//! formats messages), which is sound only in a process with one thread; [`SingleThreaded`] stands
//! for that. The child never returns into its parent's code. After [`Surroundings::enter`] the
//! command is a session leader, has no descriptor but 0, 1 and 2, default signals, and dies with
//! its parent.
//! Deliberately absent: what a failure means to people; the caller says that.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use rustix::process::Signal as RawSignal;
use rustix::thread as kernel;

use crate::rlimit::{self, Limit};
use crate::signal;

/// Proof that this process has one thread. Whoever holds it starts no other.
#[derive(Debug)]
pub struct SingleThreaded(());

impl SingleThreaded {
    /// Looks.
    ///
    /// # Errors
    /// [`io::ErrorKind::Other`] when there are more threads.
    pub fn prove() -> io::Result<Self> {
        // The link count of the folder is that of its subfolders, one per thread, and two more.
        let threads = rustix::fs::stat("/proc/self/task")?.st_nlink;
        if threads > 3 {
            return Err(io::Error::other("this process has several threads"));
        }
        Ok(Self(()))
    }
}

/// Forks. The child runs `child` and exits with what it returns; the parent gets the child's
/// process id.
///
/// With `cgroup`, an open cgroup v2 folder, the child is born in it.
///
/// # Errors
/// Those of clone3(2). With a cgroup: also that it may not be entered.
pub fn fork(
    _proof: &SingleThreaded,
    cgroup: Option<BorrowedFd<'_>>,
    child: impl FnOnce() -> i32,
) -> io::Result<u32> {
    let pid = match cgroup {
        // SAFETY: one thread, by `_proof`, so no lock is held by a thread that the child lacks.
        None => crate::check(unsafe { libc::fork() }.into())?,
        Some(cgroup) => clone_into(cgroup)?,
    };
    if pid != 0 {
        return u32::try_from(pid).map_err(|_| io::ErrorKind::InvalidData.into());
    }
    // A panic must not unwind into the code of the parent, of which this is a copy.
    let code = catch_unwind(AssertUnwindSafe(child)).unwrap_or(127);
    // SAFETY: ends the process without running what is registered to run at its parent's exit.
    unsafe { libc::_exit(code) }
}

/// Of `linux/sched.h`; libc's constant of this name is too narrow.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

fn clone_into(cgroup: BorrowedFd<'_>) -> io::Result<libc::c_long> {
    // SAFETY: a structure of integers, for which zeroes are valid.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = CLONE_INTO_CGROUP;
    args.exit_signal = libc::SIGCHLD as u64;
    args.cgroup = u64::try_from(cgroup.as_raw_fd()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let size = size_of::<libc::clone_args>();
    // SAFETY: without CLONE_VM this is a fork: the child has a copy of all memory and goes on from
    // here on its own copy of the stack. The caller has one thread. `args` is initialised, of the
    // stated size.
    crate::check(unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size) })
}

/// What a command finds around itself.
#[derive(Debug)]
pub struct Surroundings<'a> {
    /// File to read as standard input; without one there is nothing to read.
    pub stdin: Option<&'a Path>,
    /// Standard output.
    pub stdout: BorrowedFd<'a>,
    /// Standard error.
    pub stderr: BorrowedFd<'a>,
    /// Working directory.
    pub cwd: &'a Path,
    /// User; this process's own when absent.
    pub uid: Option<u32>,
    /// Group; this process's own when absent.
    pub gid: Option<u32>,
    /// Supplementary groups; taken over only when a user or group is given.
    pub groups: &'a [u32],
    /// File mode creation mask.
    pub umask: u32,
    /// Scheduling priority, -20 to 19; inherited when absent.
    pub nice: Option<i32>,
    /// Resource limits by name.
    pub rlimits: &'a [(String, Limit)],
    /// The process with which it dies: its parent.
    pub parent: u32,
}

/// Part of [`Surroundings::enter`] that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Session, standard output.
    Session,
    /// Standard input.
    Stdin,
    /// Resource limit with this name.
    Rlimit(String),
    /// Scheduling priority.
    Nice,
    /// Supplementary groups.
    Groups,
    /// Group.
    Group,
    /// User.
    User,
    /// Working directory.
    Cwd,
    /// The parent has already died.
    Orphaned,
}

impl Surroundings<'_> {
    /// Turns the forked child into what the command expects. Only for a child of [`fork`].
    pub fn enter(&self) -> Result<(), (Step, io::Error)> {
        let at = |step: Step| move |error: rustix::io::Errno| (step, io::Error::from(error));
        signal::reset_all();
        self.stdin().map_err(|error| (Step::Stdin, error))?;
        self.session().map_err(|error| (Step::Session, error))?;
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(self.umask));
        for (name, limit) in self.rlimits {
            rlimit::set(name, *limit).map_err(|error| (Step::Rlimit(name.clone()), error))?;
        }
        if let Some(nice) = self.nice {
            rustix::process::setpriority_process(None, nice).map_err(at(Step::Nice))?;
        }
        self.become_user()?;
        // A change of user clears this, so it comes after.
        rustix::process::set_parent_process_death_signal(Some(RawSignal::KILL))
            .map_err(at(Step::Session))?;
        // The parent may have died before it was set: then the signal never comes.
        let parent =
            rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
        if parent != Some(self.parent) {
            return Err((Step::Orphaned, io::ErrorKind::NotFound.into()));
        }
        rustix::process::chdir(self.cwd).map_err(at(Step::Cwd))
    }

    /// Opened as who this process still is: the command's user need not be able to.
    fn stdin(&self) -> io::Result<()> {
        let file = std::fs::File::open(self.stdin.unwrap_or(Path::new("/dev/null")))?;
        Ok(rustix::stdio::dup2_stdin(file.as_fd())?)
    }

    fn session(&self) -> io::Result<()> {
        rustix::process::setsid()?;
        rustix::stdio::dup2_stdout(self.stdout)?;
        rustix::stdio::dup2_stderr(self.stderr)?;
        crate::fd::close_on_exec_from(3)
    }

    fn become_user(&self) -> Result<(), (Step, io::Error)> {
        use rustix::process::{Gid, Uid};
        let at = |step: Step| move |error: rustix::io::Errno| (step, io::Error::from(error));
        if self.uid.is_none() && self.gid.is_none() {
            return Ok(());
        }
        let groups: Vec<Gid> = self.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
        let is_already = self
            .uid
            .is_none_or(|uid| uid == rustix::process::geteuid().as_raw())
            && self
                .gid
                .is_none_or(|gid| gid == rustix::process::getegid().as_raw());
        match kernel::set_thread_groups(&groups) {
            // Only root may set groups; for the own user and group there is nothing to set.
            Err(rustix::io::Errno::PERM) if is_already => return Ok(()),
            other => other.map_err(at(Step::Groups))?,
        }
        if let Some(gid) = self.gid.map(Gid::from_raw) {
            kernel::set_thread_res_gid(gid, gid, gid).map_err(at(Step::Group))?;
        }
        if let Some(uid) = self.uid.map(Uid::from_raw) {
            kernel::set_thread_res_uid(uid, uid, uid).map_err(at(Step::User))?;
        }
        Ok(())
    }
}

/// Why a program could not be executed.
#[derive(Debug)]
pub struct ExecError {
    /// The file that was tried; `None` when the search path has no such program.
    pub tried: Option<PathBuf>,
    /// What the kernel said of it.
    pub error: io::Error,
}

/// The file, its folder or its interpreter does not exist.
pub const ENOENT: i32 = libc::ENOENT;
/// The file is not of a form the kernel can execute.
pub const ENOEXEC: i32 = libc::ENOEXEC;
/// The file may not be executed.
pub const EACCES: i32 = libc::EACCES;

/// Search path of a command whose environment has none.
pub const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Replaces this process by the program `args[0]`, which is looked up in the `PATH` of `env` when
/// it has no slash. Returns only when that failed.
pub fn exec(args: &[OsString], env: &[(OsString, OsString)]) -> ExecError {
    let invalid = |tried| ExecError {
        tried,
        error: io::ErrorKind::InvalidInput.into(),
    };
    let Some(program) = args.first().filter(|p| !p.is_empty()) else {
        return invalid(None);
    };
    let Ok(argv) = args
        .iter()
        .map(|a| CString::new(a.as_bytes()))
        .collect::<Result<Vec<_>, _>>()
    else {
        return invalid(Some(program.into()));
    };
    let items = env
        .iter()
        .map(|(key, value)| CString::new([key.as_bytes(), b"=", value.as_bytes()].concat()));
    let Ok(envp) = items.collect::<Result<Vec<_>, _>>() else {
        return invalid(Some(program.into()));
    };
    if program.as_bytes().contains(&b'/') {
        return ExecError {
            tried: Some(program.into()),
            error: execve(program, &argv, &envp),
        };
    }
    let path = env
        .iter()
        .rfind(|(key, _)| key == "PATH")
        .map(|(_, value)| value.as_os_str());
    let mut best = ExecError {
        tried: None,
        error: io::ErrorKind::NotFound.into(),
    };
    for folder in std::env::split_paths(path.unwrap_or(OsStr::new(DEFAULT_PATH))) {
        // An empty entry means the working directory.
        let file = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            &folder
        }
        .join(program);
        let error = execve(file.as_os_str(), &argv, &envp);
        let exists = file.exists();
        // Like a shell, go on after a file that may not be executed, but remember it.
        if exists && best.tried.is_none() {
            best = ExecError {
                tried: Some(file),
                error,
            };
        }
    }
    best
}

fn execve(file: &OsStr, argv: &[CString], envp: &[CString]) -> io::Error {
    let Ok(file) = CString::new(file.as_bytes()) else {
        return io::ErrorKind::InvalidInput.into();
    };
    let pointers = |items: &[CString]| -> Vec<*const libc::c_char> {
        items
            .iter()
            .map(|item| item.as_ptr())
            .chain([std::ptr::null()])
            .collect()
    };
    let (argv, envp) = (pointers(argv), pointers(envp));
    // SAFETY: three valid strings or null-terminated arrays of such, alive across the call.
    unsafe { libc::execve(file.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    io::Error::last_os_error()
}
