//! The kernel's side: a filter that asks before each call, and the descriptor through which it
//! asks.
//!
//! Invariants: the filter lets everything through that is not asked about; it stays with every
//! process born of the one that installed it, until the last of them is gone.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

use crate::check;

/// A call that waits for an answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    id: u64,
    /// The thread that calls.
    pub(super) tid: u32,
    pub(super) number: libc::c_long,
    pub(super) args: [u64; 6],
}

/// What is to become of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// The kernel carries it out.
    Go,
    /// It is not carried out, and returns 0.
    Pretend,
    /// It is not carried out, and fails with this error.
    Fail(i32),
}

/// The program of the filter, made before the fork.
#[derive(Debug)]
pub(super) struct Filter(Vec<libc::sock_filter>);

/// `AUDIT_ARCH_…` of this program; calls of any other kind are let through.
#[cfg(target_arch = "x86_64")]
const ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCH: u32 = 0xc000_00b7;

impl Filter {
    /// Asks about these calls, at most 200.
    pub(super) fn new(numbers: &[libc::c_long]) -> Self {
        let op = |code: u32, value: u32, yes: usize, no: usize| libc::sock_filter {
            code: u16::try_from(code).unwrap_or(0),
            jt: u8::try_from(yes).unwrap_or(0),
            jf: u8::try_from(no).unwrap_or(0),
            k: value,
        };
        let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
        let equal = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
        let end = libc::BPF_RET | libc::BPF_K;
        let count = numbers.len();
        // Offset 4 of `seccomp_data` is the architecture, offset 0 the number.
        let mut program = vec![
            op(load, 4, 0, 0),
            op(equal, ARCH, 0, count + 1),
            op(load, 0, 0, 0),
        ];
        for (place, number) in numbers.iter().enumerate() {
            let number = u32::try_from(*number).unwrap_or(u32::MAX);
            program.push(op(equal, number, count - place, 0));
        }
        program.push(op(end, libc::SECCOMP_RET_ALLOW, 0, 0));
        program.push(op(end, libc::SECCOMP_RET_USER_NOTIF, 0, 0));
        Self(program)
    }

    /// Installs it in this thread. Nothing is allocated, so that a forked child may do it.
    fn install(&self) -> io::Result<i32> {
        let program = libc::sock_fprog {
            len: u16::try_from(self.0.len()).unwrap_or(0),
            filter: self.0.as_ptr().cast_mut(),
        };
        let flags =
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
        // SAFETY: numbers only; what it forbids (set-user-id programs) is not wanted here.
        check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }.into())?;
        // SAFETY: `program` points to `len` instructions, alive across the call, which only reads.
        let fd = check(unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                flags,
                &raw const program,
            )
        })?;
        i32::try_from(fd).map_err(|_| io::ErrorKind::InvalidData.into())
    }
}

/// A page shared by a process and its forked child, through which the child says who it is and
/// where its listener is: it may make no call for that, as each would wait for an answer.
#[derive(Debug)]
pub(super) struct Doorstep(NonNull<[AtomicI32; 3]>);

// SAFETY: it points to atomic integers in memory that lives as long as it does.
unsafe impl Send for Doorstep {}
// SAFETY: as above.
unsafe impl Sync for Doorstep {}

const PLACE_PID: usize = 0;
const PLACE_FD: usize = 1;
const PLACE_STATE: usize = 2;
const STATE_READY: i32 = 1;
const STATE_OVER: i32 = 2;
/// Between two looks at the page.
const LOOK_PAUSE: Duration = Duration::from_micros(50);
/// How long a child may take to come to its doorstep.
const PATIENCE: Duration = Duration::from_secs(20);

impl Doorstep {
    pub(super) fn new() -> io::Result<Self> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        let len = size_of::<[AtomicI32; 3]>();
        // SAFETY: a null hint lets the kernel choose, so no existing mapping is replaced.
        let page =
            unsafe { mmap_anonymous(std::ptr::null_mut(), len, protection, MapFlags::SHARED) }?;
        NonNull::new(page.cast())
            .map(Self)
            .ok_or(io::ErrorKind::OutOfMemory.into())
    }

    fn word(&self, place: usize) -> &AtomicI32 {
        // SAFETY: a page of zeroes holds three atomic integers, and stays mapped until `drop`.
        let words = unsafe { self.0.as_ref() };
        &words[place]
    }

    /// For the child: installs the filter and says so. Allocates nothing.
    pub(super) fn arrive(&self, filter: &Filter) -> io::Result<()> {
        let pid = i32::try_from(std::process::id()).unwrap_or(0);
        self.word(PLACE_PID).store(pid, Ordering::Relaxed);
        let fd = filter.install()?;
        self.word(PLACE_FD).store(fd, Ordering::Relaxed);
        self.word(PLACE_STATE).store(STATE_READY, Ordering::Release);
        Ok(())
    }

    /// For who started it, when that failed: nobody will come.
    pub(super) fn give_up(&self) {
        let _ = self.word(PLACE_STATE).compare_exchange(
            0,
            STATE_OVER,
            Ordering::AcqRel,
            Ordering::Relaxed,
        );
    }

    /// For the parent: waits for the child; its process id and its listener.
    pub(super) fn meet(&self) -> io::Result<(u32, Listener)> {
        let begun = Instant::now();
        loop {
            match self.word(PLACE_STATE).load(Ordering::Acquire) {
                STATE_READY => break,
                STATE_OVER => return Err(io::Error::other("the program was not started")),
                _ if begun.elapsed() > PATIENCE => return Err(io::ErrorKind::TimedOut.into()),
                _ => std::thread::sleep(LOOK_PAUSE),
            }
        }
        let pid = self.word(PLACE_PID).load(Ordering::Relaxed);
        let theirs = self.word(PLACE_FD).load(Ordering::Relaxed);
        let handle = rustix::process::Pid::from_raw(pid)
            .ok_or(io::ErrorKind::InvalidData)
            .map(|pid| rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()))??;
        let ours = rustix::process::pidfd_getfd(
            handle,
            theirs,
            rustix::process::PidfdGetfdFlags::empty(),
        )?;
        let listener = Listener(ours);
        listener.wake_here();
        Ok((pid.unsigned_abs(), listener))
    }
}

impl Drop for Doorstep {
    fn drop(&mut self) {
        // SAFETY: exactly our mapping, of which no reference is left.
        let _ = unsafe { munmap(self.0.as_ptr().cast(), size_of::<[AtomicI32; 3]>()) };
    }
}

/// Where the kernel asks.
#[derive(Debug)]
pub(super) struct Listener(OwnedFd);

impl Listener {
    /// Who asks and who answers take turns, so the kernel may let them do so on one processor. That
    /// is ten times as fast; kernels before 6.6 cannot.
    fn wake_here(&self) {
        const SYNC_WAKE_UP: libc::c_ulong = 1;
        // SAFETY: a number is passed, no pointer.
        unsafe {
            libc::ioctl(
                self.0.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS,
                SYNC_WAKE_UP,
            )
        };
    }

    /// Waits for the next call. `None` when nobody is left who could make one.
    pub(super) fn next(&self) -> io::Result<Option<Asked>> {
        use rustix::event::{PollFd, PollFlags, poll};
        loop {
            let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
            match poll(&mut fds, None) {
                Err(rustix::io::Errno::INTR) => continue,
                other => other?,
            };
            if !fds[0].revents().contains(PollFlags::IN) {
                return Ok(None);
            }
            // SAFETY: a structure of integers, for which zeroes are valid; the kernel wants them.
            let mut asked: libc::seccomp_notif = unsafe { std::mem::zeroed() };
            // SAFETY: `asked` is a valid place of the right type.
            let ret = unsafe {
                libc::ioctl(
                    self.0.as_raw_fd(),
                    libc::SECCOMP_IOCTL_NOTIF_RECV,
                    &raw mut asked,
                )
            };
            match check(ret.into()) {
                Ok(_) => {
                    return Ok(Some(Asked {
                        id: asked.id,
                        tid: asked.pid,
                        number: asked.data.nr.into(),
                        args: asked.data.args,
                    }));
                }
                // Whoever called was killed meanwhile.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINTR)) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Answers. That whoever called was killed meanwhile is no error.
    pub(super) fn answer(&self, asked: &Asked, answer: Answer) -> io::Result<()> {
        // SAFETY: a structure of integers, for which zeroes are valid.
        let mut response: libc::seccomp_notif_resp = unsafe { std::mem::zeroed() };
        response.id = asked.id;
        match answer {
            Answer::Go => {
                response.flags = u32::try_from(libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE).unwrap_or(0);
            }
            Answer::Pretend => {}
            Answer::Fail(errno) => response.error = -errno,
        }
        // SAFETY: `response` is initialised, and only read.
        let ret = unsafe {
            libc::ioctl(
                self.0.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_SEND,
                &raw mut response,
            )
        };
        match check(ret.into()) {
            Err(error) if error.raw_os_error() != Some(libc::ENOENT) => Err(error),
            _ => Ok(()),
        }
    }
}

/// Runs `arrive` in the child of this command, as the last thing before it becomes the program.
pub(super) fn before_exec(
    command: &mut std::process::Command,
    arrive: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) {
    use std::os::unix::process::CommandExt;
    // SAFETY: the closure is `Doorstep::arrive`, which makes system calls and writes to memory that
    // was mapped before the fork; it neither allocates nor takes a lock.
    unsafe { command.pre_exec(arrive) };
}

/// Makes a call that no kernel knows: a supervisor sees it, and nobody else.
pub(super) fn call_nothing(number: libc::c_long, argument: u64) {
    // SAFETY: there is no system call of this number; the kernel answers ENOSYS.
    unsafe { libc::syscall(number, argument) };
}
