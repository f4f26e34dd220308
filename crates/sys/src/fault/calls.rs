//! The system calls that are looked at, and the errors each may give.
//!
//! Invariants: an error is listed for a call only if the call's man page, or that of the file
//! systems and sockets it works on, says that it can happen to a correct program.
//! Deliberately absent: errors that only a wrong argument brings (`EBADF`, `EFAULT`).

use libc::{
    EAGAIN, EINTR, EIO, EMFILE, ENFILE, ENOBUFS, ENOLCK, ENOMEM, ENOSPC, EPERM, c_long as Number,
};

use super::listener::Asked;
use super::record;

/// One of the system calls that are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Its name, as in the manual.
    pub name: &'static str,
    pub(super) number: Number,
    errnos: &'static [i32],
}

/// What is opened, made or received takes descriptors.
const DESCRIPTOR: &[i32] = &[EMFILE, ENFILE, ENOMEM];
/// A change of a folder.
const FOLDER: &[i32] = &[EIO, ENOSPC, ENOMEM];
/// Writing to a file.
const CONTENTS: &[i32] = &[EIO, ENOSPC, EINTR];
const READING: &[i32] = &[EIO, EINTR];
const SENDING: &[i32] = &[EAGAIN, EINTR, ENOBUFS, ENOMEM];
const RECEIVING: &[i32] = &[EAGAIN, EINTR, ENOMEM];

macro_rules! calls {
    ($($number:ident $errnos:expr;)*) => {
        &[$(Call { name: name_of(stringify!($number)), number: libc::$number, errnos: $errnos },)*]
    };
}

/// `SYS_openat` is `openat`.
const fn name_of(constant: &'static str) -> &'static str {
    match constant.split_at_checked("SYS_".len()) {
        Some((_, name)) => name,
        None => constant,
    }
}

/// Those that every architecture has.
const EVERYWHERE: &[Call] = calls! {
    SYS_openat &[EMFILE, ENFILE, ENOMEM, ENOSPC, EIO, EINTR];
    SYS_read READING;
    SYS_pread64 READING;
    SYS_readv READING;
    SYS_write CONTENTS;
    SYS_pwrite64 CONTENTS;
    SYS_writev CONTENTS;
    SYS_fsync &[EIO, ENOSPC, EINTR];
    SYS_fdatasync &[EIO, ENOSPC, EINTR];
    SYS_ftruncate &[EIO, EINTR, ENOSPC];
    SYS_fallocate CONTENTS;
    SYS_renameat2 FOLDER;
    SYS_linkat FOLDER;
    SYS_unlinkat &[EIO, ENOMEM];
    SYS_mkdirat FOLDER;
    SYS_getdents64 &[EIO];
    SYS_statx &[EIO, ENOMEM];
    SYS_newfstatat &[EIO, ENOMEM];
    SYS_readlinkat &[EIO, ENOMEM];
    SYS_flock &[EINTR, ENOLCK, ENOMEM];
    SYS_fcntl &[EMFILE, ENOLCK];
    SYS_dup &[EMFILE];
    SYS_dup3 &[EMFILE, EINTR];
    SYS_pipe2 &[EMFILE, ENFILE];
    SYS_memfd_create DESCRIPTOR;
    SYS_signalfd4 DESCRIPTOR;
    SYS_timerfd_create DESCRIPTOR;
    SYS_pidfd_open DESCRIPTOR;
    SYS_pidfd_send_signal &[EPERM];
    SYS_socket &[EMFILE, ENFILE, ENOBUFS, ENOMEM];
    SYS_bind &[ENOMEM, ENOSPC, EIO];
    SYS_listen &[ENOMEM];
    SYS_connect &[EAGAIN, EINTR, ENOMEM];
    SYS_accept4 &[EMFILE, ENFILE, ENOMEM, EAGAIN, EINTR];
    SYS_sendto SENDING;
    SYS_sendmsg SENDING;
    SYS_recvfrom RECEIVING;
    SYS_recvmsg RECEIVING;
    SYS_ppoll &[EINTR, ENOMEM];
    SYS_wait4 &[EINTR];
    SYS_waitid &[EINTR];
    SYS_clone &[EAGAIN, ENOMEM];
    SYS_clone3 &[EAGAIN, ENOMEM];
    SYS_execve &[ENOMEM, EIO, EMFILE, ENFILE];
    SYS_chdir &[EIO, ENOMEM];
    SYS_setsid &[EPERM];
    SYS_setgroups &[ENOMEM];
    SYS_prctl &[EPERM];
    SYS_prlimit64 &[EPERM];
    SYS_setpriority &[EPERM];
    SYS_mmap &[ENOMEM];
    SYS_madvise &[ENOMEM, EAGAIN];
    SYS_getrandom &[EINTR];
    SYS_close_range &[ENOMEM];
};

/// Those that newer architectures no longer have.
#[cfg(target_arch = "x86_64")]
const OLD: &[Call] = calls! {
    SYS_open &[EMFILE, ENFILE, ENOMEM, ENOSPC, EIO, EINTR];
    SYS_rename FOLDER;
    SYS_renameat FOLDER;
    SYS_link FOLDER;
    SYS_unlink &[EIO, ENOMEM];
    SYS_mkdir FOLDER;
    SYS_stat &[EIO, ENOMEM];
    SYS_lstat &[EIO, ENOMEM];
    SYS_readlink &[EIO, ENOMEM];
    SYS_dup2 &[EMFILE, EINTR];
    SYS_poll &[EINTR, ENOMEM];
    SYS_fork &[EAGAIN, ENOMEM];
    SYS_vfork &[EAGAIN, ENOMEM];
};

#[cfg(not(target_arch = "x86_64"))]
const OLD: &[Call] = &[];

impl Call {
    /// All of them.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        EVERYWHERE.iter().chain(OLD)
    }

    pub(super) fn of(number: Number) -> Option<&'static Self> {
        Self::all().find(|call| call.number == number)
    }

    /// Numbers of the errors it may give here. Some calls do many things; most of what `fcntl` does
    /// cannot fail, and to give a lock back needs nothing.
    pub(super) fn errnos(&self, asked: &Asked) -> &'static [i32] {
        let command = i32::try_from(asked.args[1]).unwrap_or(-1);
        match self.number {
            libc::SYS_fcntl if command == libc::F_DUPFD_CLOEXEC || command == libc::F_DUPFD => {
                &[EMFILE]
            }
            libc::SYS_fcntl if command == libc::F_SETLK && !record::is_unlock(asked) => &[ENOLCK],
            libc::SYS_fcntl => &[],
            // Only a disk has errors of its own.
            libc::SYS_read if !record::is_of_file(asked) => &[EINTR],
            _ => self.errnos,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_is_there_once_and_can_fail() {
        let mut numbers: Vec<_> = Call::all().map(|call| call.number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), Call::all().count());
        assert!(Call::all().all(|call| !call.errnos.is_empty()));
        assert_eq!(Call::of(libc::SYS_openat).unwrap().name, "openat");
    }
}
