//! Descriptors: waiting for them, and files without a name.
//!
//! Invariants: everything opened here closes on exec.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, poll};

use crate::clock::timespec_of_ms;

/// What a descriptor is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// There is something to read, or the other end is gone.
    Read,
    /// There is room to write, or the other end is gone.
    Write,
    /// Both.
    ReadWrite,
    /// Something unusual: the table of mounts in `/proc` has changed. Shows as readable.
    Unusual,
}

/// What a descriptor is ready for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ready {
    /// A read will not block; it may say that the other end is gone.
    pub read: bool,
    /// A write will not block; it may fail.
    pub write: bool,
}

/// Most descriptors a [`PollSet`] can hold.
pub const POLL_MAX: usize = 16;

/// A set of at most [`POLL_MAX`] descriptors, waited for together; lives on the stack.
#[derive(Debug)]
pub struct PollSet<'fd> {
    fds: [Option<PollFd<'fd>>; POLL_MAX],
    len: usize,
}

impl<'fd> PollSet<'fd> {
    /// An empty set.
    pub fn new() -> Self {
        Self {
            fds: [const { None }; POLL_MAX],
            len: 0,
        }
    }

    /// Adds a descriptor and returns its place in the set. A full set ignores it.
    pub fn add(&mut self, fd: BorrowedFd<'fd>, interest: Interest) -> usize {
        let place = self.len;
        if let Some(slot) = self.fds.get_mut(place) {
            *slot = Some(PollFd::from_borrowed_fd(fd, flags_of(interest)));
            self.len += 1;
        }
        place
    }

    /// Waits until one is ready, for at most `timeout_ms`, for ever without one.
    /// A signal that interrupts it is no error: nothing is ready then.
    pub fn wait(self, timeout_ms: Option<u64>) -> io::Result<[Ready; POLL_MAX]> {
        let mut ready = [Ready::default(); POLL_MAX];
        // Slots up to `len` are filled; the rest repeat the first with no interest, so that no
        // allocation is needed for a slice of the right length.
        let Some(Some(first)) = self.fds.first() else {
            return Ok(ready);
        };
        let idle = first.clone();
        let mut fds = self.fds.map(|slot| slot.unwrap_or_else(|| idle.clone()));
        let timeout = timeout_ms.map(timespec_of_ms);
        let Some(filled) = fds.get_mut(..self.len) else {
            return Ok(ready);
        };
        match poll(filled, timeout.as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(ready),
            Err(error) => return Err(error.into()),
        }
        let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
        for (slot, fd) in ready.iter_mut().zip(filled) {
            let seen = fd.revents();
            slot.read = seen.intersects(PollFlags::IN | PollFlags::PRI | gone);
            slot.write = seen.intersects(PollFlags::OUT | PollFlags::ERR | PollFlags::NVAL);
        }
        Ok(ready)
    }
}

impl Default for PollSet<'_> {
    fn default() -> Self {
        Self::new()
    }
}

fn flags_of(interest: Interest) -> PollFlags {
    match interest {
        Interest::Read => PollFlags::IN,
        Interest::Write => PollFlags::OUT,
        Interest::ReadWrite => PollFlags::IN | PollFlags::OUT,
        Interest::Unusual => PollFlags::PRI,
    }
}

/// Waits for one descriptor; false when `timeout_ms` passed first.
pub fn wait(fd: BorrowedFd<'_>, interest: Interest, timeout_ms: Option<u64>) -> io::Result<bool> {
    let mut set = PollSet::new();
    let place = set.add(fd, interest);
    let ready = set.wait(timeout_ms)?;
    Ok(ready.get(place).is_some_and(|r| r.read || r.write))
}

/// Whether the other end of a connection is gone.
pub fn is_hung_up(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::empty())];
    let now = timespec_of_ms(0);
    // What was not asked for is reported all the same: HUP and ERR.
    poll(&mut fds, Some(&now)).is_ok_and(|count| count > 0)
}

/// A file without a name, empty, readable and writable: memory where the kernel offers it, else an
/// unlinked file in the folder for temporary files.
pub fn nameless(label: &CStr) -> io::Result<File> {
    match rustix::fs::memfd_create(label, rustix::fs::MemfdFlags::CLOEXEC) {
        Ok(fd) => Ok(File::from(fd)),
        Err(_) => unlinked(&std::env::temp_dir()),
    }
}

fn unlinked(folder: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let name = folder.join(format!("eud-{}", crate::random::hex::<16>()?));
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&name)?;
    std::fs::remove_file(&name)?;
    Ok(file)
}

/// A pipe: reading end, writing end. Only the reading end is non-blocking.
pub fn capture_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    set_nonblocking(read.as_fd())?;
    Ok((read, write))
}

/// A new writing end of a pipe of which only the reading end is at hand.
pub fn reopen_for_writing(pipe: BorrowedFd<'_>) -> io::Result<File> {
    File::options()
        .write(true)
        .open(format!("/proc/self/fd/{}", pipe.as_raw_fd()))
}

/// Reads and writes return at once.
pub fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(fd)?;
    Ok(rustix::fs::fcntl_setfl(
        fd,
        flags | rustix::fs::OFlags::NONBLOCK,
    )?)
}

/// Reads without retrying; `Ok(None)` when there is nothing now.
pub fn read_now(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    match rustix::io::read(fd, buffer) {
        Ok(n) => Ok(Some(n)),
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A copy of the descriptor, numbered 3 or more.
pub fn duplicate(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, 3)?)
}

/// Whether the descriptor is a socket.
pub fn is_socket(fd: BorrowedFd<'_>) -> bool {
    rustix::fs::fstat(fd).is_ok_and(|s| rustix::fs::FileType::from_raw_mode(s.st_mode).is_socket())
}

/// Takes over standard input and output, which become `/dev/null`.
pub fn take_standard_io() -> io::Result<(OwnedFd, OwnedFd)> {
    // Not those of the standard library, which come with buffers.
    let input = duplicate(rustix::stdio::stdin())?;
    let output = duplicate(rustix::stdio::stdout())?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok((input, output))
}

/// Makes it the standard error of this process.
pub fn become_stderr(fd: OwnedFd) -> io::Result<()> {
    Ok(rustix::stdio::dup2_stderr(&fd)?)
}

/// Calls `take` with the name of each entry of a folder, with no memory but some stack.
pub fn each_name(folder: &Path, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    use rustix::fs::{Mode, OFlags, RawDir, open};
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = open(folder, flags, Mode::empty())?;
    let mut buffer = [std::mem::MaybeUninit::uninit(); 1024];
    let mut entries = RawDir::new(&folder, &mut buffer);
    while let Some(entry) = entries.next() {
        take(entry?.file_name().to_bytes());
    }
    Ok(())
}

/// Whether a folder lies on a file system in which the kernel shows itself: `/proc`, `/sys`.
pub fn is_pseudo_file_system(folder: &Path) -> io::Result<bool> {
    // As in statfs(2): proc, sysfs, cgroup, cgroup2, debugfs, tracefs, devpts, securityfs, bpf,
    // pstore.
    const MAGIC: [u32; 10] = [
        0x9fa0,
        0x6265_6572,
        0x27_e0eb,
        0x6367_7270,
        0x6462_6720,
        0x7472_6163,
        0x1cd1,
        0x7363_6673,
        0xcafe_4a11,
        0x6165_676c,
    ];
    let found = rustix::fs::statfs(folder)?.f_type;
    Ok(MAGIC.iter().any(|magic| i64::from(*magic) == found))
}

/// Closes every descriptor from `first` on. Whoever calls it owns none of them.
pub fn close_from(first: u32) -> io::Result<()> {
    close_range(first, 0)
}

/// Marks every descriptor from `first` on to be closed on exec.
pub fn close_on_exec_from(first: u32) -> io::Result<()> {
    close_range(first, libc::CLOSE_RANGE_CLOEXEC)
}

fn close_range(first: u32, flags: u32) -> io::Result<()> {
    // SAFETY: takes three integers and touches no memory. Closing is asked for by `close_from`
    // only, whose caller owns none of the descriptors.
    let ret = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, flags) };
    match crate::check(ret) {
        Ok(_) => Ok(()),
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => close_one_by_one(first, flags),
        Err(error) => Err(error),
    }
}

/// For kernels before 5.9 and sandboxes that know no `close_range`.
fn close_one_by_one(first: u32, flags: u32) -> io::Result<()> {
    let mut open = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        if let Some(fd) = entry?
            .file_name()
            .to_str()
            .and_then(|n| n.parse::<i32>().ok())
        {
            open.push(fd);
        }
    }
    for fd in open
        .into_iter()
        .filter(|fd| u32::try_from(*fd).is_ok_and(|fd| fd >= first))
    {
        // SAFETY: integers only; the listing's own descriptor is closed already and gives EBADF.
        unsafe {
            if flags == 0 {
                libc::close(fd);
            } else {
                libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek, Write};

    #[test]
    fn nameless_files_hold_what_is_written() {
        let dir = tempfile::tempdir().unwrap();
        for mut file in [nameless(c"t").unwrap(), unlinked(dir.path()).unwrap()] {
            file.write_all(b"hello").unwrap();
            file.rewind().unwrap();
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            assert_eq!(text, "hello");
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_pipe_can_be_reopened_for_writing() {
        let (read, write) = capture_pipe().unwrap();
        let mut buffer = [0u8; 8];
        assert_eq!(read_now(read.as_fd(), &mut buffer).unwrap(), None);
        let mut again = reopen_for_writing(read.as_fd()).unwrap();
        drop(write);
        again.write_all(b"x").unwrap();
        assert_eq!(read_now(read.as_fd(), &mut buffer).unwrap(), Some(1));
        drop(again);
        assert_eq!(read_now(read.as_fd(), &mut buffer).unwrap(), Some(0));
    }

    #[test]
    fn a_set_tells_which_is_ready() {
        let (quiet, _w1) = capture_pipe().unwrap();
        let (loud, w2) = capture_pipe().unwrap();
        rustix::io::write(&w2, b"!").unwrap();
        let mut set = PollSet::new();
        let a = set.add(quiet.as_fd(), Interest::Read);
        let b = set.add(loud.as_fd(), Interest::Read);
        let c = set.add(w2.as_fd(), Interest::ReadWrite);
        let ready = set.wait(Some(1_000)).unwrap();
        assert_eq!(
            (ready[a].read, ready[b].read, ready[c].write),
            (false, true, true)
        );
    }
}
