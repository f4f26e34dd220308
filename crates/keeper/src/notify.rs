//! Messages of the command by the sd_notify(3) protocol.
//!
//! Invariants: only the run's own user, the keeper's, or root is listened to, by the credentials
//! the kernel attaches; a message is at most [`MESSAGE_MAX`] bytes; descriptors sent along are
//! closed, which is also what a sender of `BARRIER=1` waits for.
//! Deliberately absent: `MAINPID`, `FDSTORE`: the keeper knows its command, and keeps nothing for
//! it.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use eud_sys::socket::{self, Mailbox};

/// Longest message, in bytes.
const MESSAGE_MAX: usize = 4096;
/// Name of the socket in the run's folder.
const FILE: &str = "notify.sock";

/// Receives messages and remembers what must not be forgotten.
#[derive(Debug)]
pub(crate) struct Notify {
    mailbox: Mailbox,
    address: OsString,
    uid: u32,
    is_ready: bool,
    status: Option<String>,
}

impl Notify {
    /// For a run of user `uid`, which is this process's own when absent. The current folder is the
    /// run's.
    ///
    /// A file when its path fits and the command can reach it, else an abstract name.
    pub(crate) fn open(run: &str, uid: Option<u32>) -> io::Result<Self> {
        let own = socket::own_uid();
        let uid = uid.unwrap_or(own);
        let path = std::env::current_dir()?.join(FILE);
        let (mailbox, address) = if uid == own && path.as_os_str().len() <= socket::PATH_MAX_BYTES {
            (Mailbox::at_path(Path::new(FILE))?, path.into_os_string())
        } else {
            let name = format!("eud/{run}/notify");
            (
                Mailbox::at_name(name.as_bytes())?,
                OsString::from_vec(format!("@{name}").into_bytes()),
            )
        };
        Ok(Self {
            mailbox,
            address,
            uid,
            is_ready: false,
            status: None,
        })
    }

    /// Value of `NOTIFY_SOCKET`.
    pub(crate) fn address(&self) -> &OsString {
        &self.address
    }

    /// `READY=1` has been said.
    pub(crate) fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// The last `STATUS=`.
    pub(crate) fn status(&self) -> Option<&str> {
        self.status.as_deref()
    }

    /// The next message that may be heard. `None` when there is none.
    #[inline(never)]
    pub(crate) fn next(&mut self) -> Option<String> {
        let mut buffer = [0; MESSAGE_MAX];
        loop {
            let (len, sender) = self.mailbox.receive(&mut buffer).ok()??;
            let may = |uid| uid == 0 || uid == self.uid || uid == socket::own_uid();
            if sender.is_some_and(|who| may(who.uid)) {
                let message = String::from_utf8_lossy(buffer.get(..len)?).into_owned();
                self.remember(&message);
                return Some(message);
            }
        }
    }

    fn remember(&mut self, message: &str) {
        for item in message.lines() {
            match item.split_once('=') {
                Some(("READY", "1")) => self.is_ready = true,
                Some(("STATUS", status)) => self.status = Some(status.to_owned()),
                _ => {}
            }
        }
    }

    /// Removes the file, if there is one.
    pub(crate) fn remove_file() {
        // There is none with an abstract name, or without notify.
        let _ = std::fs::remove_file(FILE);
    }
}

impl AsFd for Notify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.mailbox.as_fd()
    }
}
