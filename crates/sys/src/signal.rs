//! Signals: their names, receiving them through a descriptor, and a clean slate for a child.
//!
//! Invariants: a [`Signal`] is a number the kernel knows (1 to 64).

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

/// A signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(i32);

const NAMES: [(&str, i32); 31] = [
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("ILL", libc::SIGILL),
    ("TRAP", libc::SIGTRAP),
    ("ABRT", libc::SIGABRT),
    ("BUS", libc::SIGBUS),
    ("FPE", libc::SIGFPE),
    ("KILL", libc::SIGKILL),
    ("USR1", libc::SIGUSR1),
    ("SEGV", libc::SIGSEGV),
    ("USR2", libc::SIGUSR2),
    ("PIPE", libc::SIGPIPE),
    ("ALRM", libc::SIGALRM),
    ("TERM", libc::SIGTERM),
    ("STKFLT", libc::SIGSTKFLT),
    ("CHLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("STOP", libc::SIGSTOP),
    ("TSTP", libc::SIGTSTP),
    ("TTIN", libc::SIGTTIN),
    ("TTOU", libc::SIGTTOU),
    ("URG", libc::SIGURG),
    ("XCPU", libc::SIGXCPU),
    ("XFSZ", libc::SIGXFSZ),
    ("VTALRM", libc::SIGVTALRM),
    ("PROF", libc::SIGPROF),
    ("WINCH", libc::SIGWINCH),
    ("IO", libc::SIGIO),
    ("PWR", libc::SIGPWR),
    ("SYS", libc::SIGSYS),
];

/// Highest number of a signal.
const LAST: i32 = 64;

impl Signal {
    /// `SIGKILL`.
    pub const KILL: Self = Self(libc::SIGKILL);
    /// `SIGTERM`.
    pub const TERM: Self = Self(libc::SIGTERM);
    /// `SIGINT`.
    pub const INT: Self = Self(libc::SIGINT);
    /// `SIGQUIT`.
    pub const QUIT: Self = Self(libc::SIGQUIT);
    /// `SIGHUP`.
    pub const HUP: Self = Self(libc::SIGHUP);
    /// `SIGPIPE`.
    pub const PIPE: Self = Self(libc::SIGPIPE);
    /// `SIGCHLD`.
    pub const CHLD: Self = Self(libc::SIGCHLD);
    /// `SIGCONT`.
    pub const CONT: Self = Self(libc::SIGCONT);
    /// `SIGUSR1`.
    pub const USR1: Self = Self(libc::SIGUSR1);

    /// The signal with this number, if there can be one.
    pub fn from_number(number: i32) -> Option<Self> {
        (1..=LAST).contains(&number).then_some(Self(number))
    }

    /// `TERM`, `SIGTERM`, `term`, `15`, `RTMIN+3`.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(number) = text.parse() {
            return Self::from_number(number);
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Some(offset) = name.strip_prefix("RTMIN") {
            let offset = if offset.is_empty() {
                0
            } else {
                offset.strip_prefix('+')?.parse().ok()?
            };
            return Self::from_number(libc::SIGRTMIN().checked_add(offset)?);
        }
        let name = match name {
            "POLL" => "IO",
            "IOT" => "ABRT",
            "CLD" => "CHLD",
            other => other,
        };
        NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, number)| Self(*number))
    }

    /// Its number.
    pub fn number(self) -> i32 {
        self.0
    }

    /// Its name without `SIG`; `None` for a real-time signal.
    pub fn name(self) -> Option<&'static str> {
        NAMES
            .iter()
            .find(|(_, number)| *number == self.0)
            .map(|(name, _)| *name)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "SIG{name}"),
            None => write!(f, "SIGRTMIN+{}", self.0 - libc::SIGRTMIN()),
        }
    }
}

/// Ignores a signal from now on.
pub fn ignore(signal: Signal) {
    // SAFETY: SIG_IGN installs no handler, so no code of ours runs in signal context.
    unsafe { libc::signal(signal.0, libc::SIG_IGN) };
}

/// Blocks these signals and delivers them through a descriptor instead.
#[derive(Debug)]
pub struct SignalFd(OwnedFd);

impl SignalFd {
    /// For the calling thread, and for threads it starts later.
    pub fn new(signals: &[Signal]) -> io::Result<Self> {
        let set = set_of(signals);
        let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
        // SAFETY: `set` is an initialised signal set; no old set is asked for.
        let ret =
            unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
        crate::check(ret.into())?;
        // SAFETY: -1 asks for a new descriptor; `set` is initialised.
        let fd = crate::check(unsafe { libc::signalfd(-1, &raw const set, flags) }.into())?;
        // SAFETY: a descriptor just returned by the kernel, owned by nobody else; it fits an i32.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd as i32) }))
    }

    /// The next signal that has arrived; `None` when there is none.
    pub fn next(&self) -> Option<Signal> {
        let mut info = [0u8; size_of::<libc::signalfd_siginfo>()];
        match rustix::io::read(&self.0, &mut info) {
            // The number is the first field of the structure.
            Ok(n) if n == info.len() => info
                .first_chunk::<4>()
                .and_then(|number| Signal::from_number(i32::from_ne_bytes(*number))),
            _ => None,
        }
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Gives every signal its default action and blocks none: what a new program expects to find.
pub fn reset_all() {
    /// Size of the kernel's signal set.
    const SET_BYTES: usize = 8;
    let action = [0_u64; 4];
    let no_old = std::ptr::null_mut::<u64>();
    for number in 1..=LAST {
        // Not by `libc::signal`: it keeps two numbers to itself, which may be ignored by
        // inheritance.
        // SAFETY: zeroes are the default action, no flags and an empty mask, and installs no
        // handler; the kernel's structure is 32 bytes. KILL and STOP refuse, which is no harm.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                number,
                &raw const action,
                no_old,
                SET_BYTES,
            )
        };
    }
    let none = set_of(&[]);
    // SAFETY: `none` is an initialised, empty set; no old set is asked for.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut()) };
}

fn set_of(signals: &[Signal]) -> libc::sigset_t {
    // SAFETY: a signal set is an array of integers, for which zeroes are valid.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is a valid place for a signal set.
    unsafe { libc::sigemptyset(&raw mut set) };
    for signal in signals {
        // SAFETY: `set` is initialised and the number is in range by the invariant of `Signal`.
        unsafe { libc::sigaddset(&raw mut set, signal.0) };
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_each_others_inverse() {
        for (name, number) in NAMES {
            let signal = Signal::parse(name).unwrap();
            assert_eq!((signal.number(), signal.name()), (number, Some(name)));
            assert_eq!(Signal::parse(&signal.to_string()), Some(signal));
            assert_eq!(Signal::parse(&number.to_string()), Some(signal));
        }
        let real_time = Signal::parse("RTMIN+3").unwrap();
        assert_eq!(Signal::parse(&real_time.to_string()), Some(real_time));
    }

    #[test]
    fn nonsense_is_no_signal() {
        for text in [
            "",
            "SIG",
            "0",
            "-9",
            "65",
            "TERMINATE",
            "RTMIN+99",
            "RTMIN3",
            "SIGRTMIN+2147483647",
        ] {
            assert_eq!(Signal::parse(text), None, "{text}");
        }
    }
}
