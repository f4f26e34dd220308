//! Unix sockets: paths of any length, who is at the other end, and datagrams whose sender is known.
//!
//! Invariants: everything opened here closes on exec.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Longest path of a unix socket, in bytes: `sun_path` without its final NUL.
pub const PATH_MAX_BYTES: usize = 107;

/// Most descriptors sent at once.
const FDS_MAX: usize = 2;

/// Listens at `path`, however long it is. The file gets mode 0600. A file in the way is an error.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    use rustix::fs::Mode;
    let (short, _folder) = shortened(path)?;
    // The mode must be right from the first moment on, so it cannot be set afterwards. In a process
    // with threads, a file that another one creates at this moment gets fewer rights, never more.
    let before = rustix::process::umask(Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(short);
    rustix::process::umask(before);
    listener
}

/// Connects to the socket at `path`, however long it is.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    let (short, _folder) = shortened(path)?;
    UnixStream::connect(short)
}

/// A path that fits, and what it needs to stay open.
fn shortened(path: &Path) -> io::Result<(PathBuf, Option<OwnedFd>)> {
    use rustix::fs::{Mode, OFlags, open};
    if path.as_os_str().len() <= PATH_MAX_BYTES {
        return Ok((path.to_owned(), None));
    }
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let folder = open(
        folder,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let short = Path::new("/proc/self/fd")
        .join(folder.as_raw_fd().to_string())
        .join(name);
    Ok((short, Some(folder)))
}

/// Who is at the other end of a socket, or sent a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credentials {
    /// Process id; 0 when it is outside of this process's namespace.
    pub pid: u32,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl From<libc::ucred> for Credentials {
    fn from(raw: libc::ucred) -> Self {
        Self {
            pid: u32::try_from(raw.pid).unwrap_or(0),
            uid: raw.uid,
            gid: raw.gid,
        }
    }
}

/// Who connected, or was connected to.
pub fn peer(socket: BorrowedFd<'_>) -> io::Result<Credentials> {
    let mut raw = libc::ucred {
        pid: 0,
        uid: 0,
        gid: 0,
    };
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: a valid descriptor; `raw` is a valid place of `len` bytes.
    let ret = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut raw).cast(),
            &raw mut len,
        )
    };
    crate::check(ret.into())?;
    Ok(raw.into())
}

/// User this process acts as.
pub fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Sends as much as there is room for, without blocking and without SIGPIPE. `Ok(0)`: no room now.
pub fn send_now(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    use rustix::net::{SendFlags, send};
    match send(socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
        Ok(n) => Ok(n),
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// Sends all of it together with descriptors, without SIGPIPE. Blocks while there is no room.
///
/// # Errors
/// `BrokenPipe` when the other end is gone. What was sent in part is of no use then.
pub fn send_with(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let parts = [io::IoSlice::new(bytes)];
    let sent =
        rustix::io::retry_on_intr(|| sendmsg(socket, &parts, &mut control, SendFlags::NOSIGNAL))?;
    if sent == bytes.len() {
        return Ok(());
    }
    Err(io::ErrorKind::WriteZero.into())
}

/// Receives what [`send_with`] sent, at most `buffer.len()` bytes. Blocks. No bytes: the other end
/// is gone.
pub fn receive_with(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
) -> io::Result<(usize, Vec<OwnedFd>)> {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [io::IoSliceMut::new(buffer)];
    let received = rustix::io::retry_on_intr(|| {
        recvmsg(socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)
    })?;
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(sent) = message {
            fds.extend(sent);
        }
    }
    Ok((received.bytes, fds))
}

/// A datagram socket that knows who sent what.
#[derive(Debug)]
pub struct Mailbox(UnixDatagram);

impl Mailbox {
    /// At a path. The file gets mode 0600.
    pub fn at_path(path: &Path) -> io::Result<Self> {
        use rustix::fs::Mode;
        let before = rustix::process::umask(Mode::from_raw_mode(0o177));
        let socket = UnixDatagram::bind(path);
        rustix::process::umask(before);
        Self::prepared(socket?)
    }

    /// At an abstract name, which is no file and vanishes with the socket. Anybody may send to it.
    pub fn at_name(name: &[u8]) -> io::Result<Self> {
        Self::prepared(UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(
            name,
        )?)?)
    }

    fn prepared(socket: UnixDatagram) -> io::Result<Self> {
        rustix::net::sockopt::set_socket_passcred(&socket, true)?;
        socket.set_nonblocking(true)?;
        Ok(Self(socket))
    }

    /// The next datagram and its sender, `Ok(None)` when there is none. Descriptors sent along are
    /// closed. A datagram longer than `buffer`, or without credentials, has no sender.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<(usize, Option<Credentials>)>> {
        let mut part = libc::iovec {
            iov_base: buffer.as_mut_ptr().cast(),
            iov_len: buffer.len(),
        };
        let mut control = MaybeUninit::<ControlBuffer>::zeroed();
        // SAFETY: a structure of integers and pointers, for which zeroes are valid.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_iov = &raw mut part;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = size_of::<ControlBuffer>() as _;
        let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
        // SAFETY: the header points to one valid buffer and to a control buffer of the stated
        // length.
        let ret = unsafe { libc::recvmsg(self.0.as_raw_fd(), &raw mut header, flags) };
        let len = match crate::check(ret as libc::c_long) {
            Ok(n) => usize::try_from(n).unwrap_or(0),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        };
        let whole = header.msg_flags & libc::MSG_TRUNC == 0;
        // SAFETY: the kernel has just filled in the header and what it points to.
        let sender = unsafe { credentials_in(&header) };
        Ok(Some((len, sender.filter(|_| whole))))
    }
}

impl AsFd for Mailbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Room for credentials, which come first, and for nothing else: descriptors do not fit, and the
/// kernel closes them.
#[repr(C, align(8))]
struct ControlBuffer([u8; CONTROL_BYTES]);

// SAFETY: CMSG_SPACE is arithmetic on its argument.
const CONTROL_BYTES: usize = unsafe { libc::CMSG_SPACE(size_of::<libc::ucred>() as u32) } as usize;

/// Credentials among the control messages.
///
/// # Safety
/// `header` must be as recvmsg(2) left it, with its control buffer still alive.
unsafe fn credentials_in(header: &libc::msghdr) -> Option<Credentials> {
    let mut found = None;
    // SAFETY: by this function's contract the header is valid.
    let mut message = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !message.is_null() {
        // SAFETY: a non-null result of CMSG_FIRSTHDR or CMSG_NXTHDR is a whole header.
        let (level, kind, len) = unsafe {
            (
                (*message).cmsg_level,
                (*message).cmsg_type,
                (*message).cmsg_len as usize,
            )
        };
        // SAFETY: CMSG_LEN is arithmetic on its argument.
        let wanted = unsafe { libc::CMSG_LEN(size_of::<libc::ucred>() as u32) } as usize;
        let is_credentials = level == libc::SOL_SOCKET && kind == libc::SCM_CREDENTIALS;
        if is_credentials && len >= wanted {
            // SAFETY: the message's length was just checked to hold the structure; it may be
            // unaligned.
            let raw: libc::ucred =
                unsafe { std::ptr::read_unaligned(libc::CMSG_DATA(message).cast()) };
            found = Some(raw.into());
        }
        // SAFETY: as above.
        message = unsafe { libc::CMSG_NXTHDR(header, message) };
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_longer_than_the_kernel_allows() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("x".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let path = deep.join("control.sock");
        let listener = listen(&path).unwrap();
        let near = connect(&path).unwrap();
        let (far, _) = listener.accept().unwrap();
        assert_eq!(peer(far.as_fd()).unwrap().pid, std::process::id());
        assert_eq!(peer(near.as_fd()).unwrap().uid, own_uid());
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(listen(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_full_or_closed_peer_neither_blocks_nor_kills() {
        let (near, far) = UnixStream::pair().unwrap();
        while send_now(near.as_fd(), &[0; 4096]).unwrap() > 0 {}
        drop(far);
        assert!(send_now(near.as_fd(), b"x").is_err());
    }

    #[test]
    fn datagrams_carry_their_sender_and_no_descriptors() {
        use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
        let name = format!("eud-test-{}", crate::random::hex::<8>().unwrap());
        let mailbox = Mailbox::at_name(name.as_bytes()).unwrap();
        let mut buffer = [0; 8];
        assert_eq!(mailbox.receive(&mut buffer).unwrap(), None);

        let sender = UnixDatagram::unbound().unwrap();
        let address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
        sender.send_to_addr(b"READY=1", &address).unwrap();
        let (len, from) = mailbox.receive(&mut buffer).unwrap().unwrap();
        assert_eq!(
            (&buffer[..len], from.unwrap().pid),
            (&b"READY=1"[..], std::process::id())
        );

        sender.send_to_addr(b"far too long", &address).unwrap();
        assert_eq!(mailbox.receive(&mut buffer).unwrap().unwrap().1, None);

        sender.connect_addr(&address).unwrap();
        let (pipe_end, watched) = crate::fd::capture_pipe().unwrap();
        let mut space = [MaybeUninit::uninit(); 64];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = [watched.as_fd()];
        assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
        let parts = [io::IoSlice::new(b"FD=1")];
        sendmsg(&sender, &parts, &mut control, SendFlags::empty()).unwrap();
        drop(watched);
        assert_eq!(mailbox.receive(&mut buffer).unwrap().unwrap().0, 4);
        // The copy that was sent is closed too: the pipe has no writer left.
        assert_eq!(
            crate::fd::read_now(pipe_end.as_fd(), &mut buffer).unwrap(),
            Some(0)
        );
    }
}
