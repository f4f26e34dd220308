//! Being told of changes in folders: inotify(7).
//!
//! Invariants: reads of files are never asked for, so that who looks at what changed is not told of
//! his own looking; a watch that is added where there is one already asks for more, never for less.
//! Deliberately absent: recursion, paths, and any memory of what was there before.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};

/// Bytes read at once: some hundred events.
const BUFFER_BYTES: usize = 64 << 10;

/// `ENOSPC`: what the error of [`Inotify::watch_folder`] and the like is when there are too many.
pub const TOO_MANY_WATCHES: i32 = libc::ENOSPC;

/// `EMFILE`: what the error of [`Inotify::new`] is when there are too many.
pub const TOO_MANY_INSTANCES: i32 = libc::EMFILE;

/// A connection to the kernel, with any number of watches.
#[derive(Debug)]
pub struct Inotify {
    fd: OwnedFd,
}

/// Names a watch of one [`Inotify`]. Never used twice there.
pub type WatchId = i32;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Events were lost.
    Overflow,
    /// The watch is no more.
    Ended,
    /// The file system was unmounted.
    Unmounted,
    /// The watched file or folder itself was renamed or removed.
    Moved,
    /// A name is there that was not, or means something else now.
    Appeared,
    /// A name is gone.
    Vanished,
    /// Contents were written.
    Written,
    /// Attributes were changed, or it was closed after it could have been written.
    Touched,
}

/// One event.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// Whose it is.
    pub watch: WatchId,
    /// The name in the watched folder; empty: the watched file or folder itself.
    pub name: &'a [u8],
    /// It is about a folder.
    pub is_folder: bool,
    /// What happened.
    pub kind: Kind,
}

impl Inotify {
    /// A new one.
    ///
    /// # Errors
    /// `EMFILE`: the user has as many as `fs.inotify.max_user_instances` allows.
    pub fn new() -> io::Result<Self> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        Ok(Self { fd })
    }

    /// Watches a folder and what is directly in it. `follow` a link to it, or refuse it.
    ///
    /// # Errors
    /// `ENOSPC`: the user has as many watches as `fs.inotify.max_user_watches` allows.
    pub fn watch_folder(&self, path: &Path, follow: bool) -> io::Result<WatchId> {
        let contents = WatchFlags::MODIFY | WatchFlags::CLOSE_WRITE | WatchFlags::ATTRIB;
        let link = if follow {
            WatchFlags::empty()
        } else {
            WatchFlags::DONT_FOLLOW
        };
        self.add(path, names() | contents | WatchFlags::EXCL_UNLINK | link)
    }

    /// Watches which names are in a folder, and not what is written there.
    ///
    /// # Errors
    /// As [`Inotify::watch_folder`].
    pub fn watch_names(&self, path: &Path) -> io::Result<WatchId> {
        self.add(path, names())
    }

    /// Watches one file.
    ///
    /// # Errors
    /// As [`Inotify::watch_folder`].
    pub fn watch_file(&self, path: &Path) -> io::Result<WatchId> {
        let contents = WatchFlags::MODIFY | WatchFlags::CLOSE_WRITE | WatchFlags::ATTRIB;
        self.add(path, contents | WatchFlags::MASK_ADD)
    }

    fn add(&self, path: &Path, flags: WatchFlags) -> io::Result<WatchId> {
        Ok(inotify::add_watch(&self.fd, path, flags)?)
    }

    /// Ends a watch. One that ended by itself is no error.
    pub fn unwatch(&self, watch: WatchId) {
        let _ = inotify::remove_watch(&self.fd, watch);
    }

    /// Hands over what happened until now, without waiting for more; at most so many events.
    ///
    /// # Errors
    /// Whatever the system says; what was handed over before is so all the same.
    pub fn drain(&self, most: usize, mut take: impl FnMut(Event<'_>)) -> io::Result<()> {
        let mut buffer = vec![MaybeUninit::uninit(); BUFFER_BYTES];
        let mut reader = Reader::new(&self.fd, &mut buffer);
        let mut count = 0;
        // What is in the buffer is out of the queue, and must be handed over.
        while count < most || !reader.is_buffer_empty() {
            count += 1;
            let event = match reader.next() {
                Ok(event) => event,
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let Some(kind) = kind_of(event.events()) else {
                continue;
            };
            take(Event {
                watch: event.wd(),
                name: event.file_name().map_or(&[], |name| name.to_bytes()),
                is_folder: event.events().contains(ReadFlags::ISDIR),
                kind,
            });
        }
        Ok(())
    }
}

impl AsFd for Inotify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn names() -> WatchFlags {
    WatchFlags::CREATE
        | WatchFlags::DELETE
        | WatchFlags::MOVED_FROM
        | WatchFlags::MOVED_TO
        | WatchFlags::DELETE_SELF
        | WatchFlags::MOVE_SELF
        | WatchFlags::ONLYDIR
        | WatchFlags::MASK_ADD
}

/// The kernel sets one flag for each event.
fn kind_of(events: ReadFlags) -> Option<Kind> {
    let table = [
        (ReadFlags::QUEUE_OVERFLOW, Kind::Overflow),
        (ReadFlags::IGNORED, Kind::Ended),
        (ReadFlags::UNMOUNT, Kind::Unmounted),
        (ReadFlags::DELETE_SELF, Kind::Moved),
        (ReadFlags::MOVE_SELF, Kind::Moved),
        (ReadFlags::CREATE, Kind::Appeared),
        (ReadFlags::MOVED_TO, Kind::Appeared),
        (ReadFlags::DELETE, Kind::Vanished),
        (ReadFlags::MOVED_FROM, Kind::Vanished),
        (ReadFlags::MODIFY, Kind::Written),
        (ReadFlags::CLOSE_WRITE, Kind::Touched),
        (ReadFlags::ATTRIB, Kind::Touched),
    ];
    let found = table.into_iter().find(|(flag, _)| events.contains(*flag));
    found.map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(inotify: &Inotify) -> Vec<(Vec<u8>, Kind)> {
        let mut seen = Vec::new();
        inotify
            .drain(100, |event| seen.push((event.name.to_vec(), event.kind)))
            .unwrap();
        seen
    }

    #[test]
    fn a_folder_tells_of_names_and_writes_and_not_of_reads() {
        let dir = tempfile::tempdir().unwrap();
        let inotify = Inotify::new().unwrap();
        inotify.watch_folder(dir.path(), true).unwrap();
        std::fs::write(dir.path().join("a"), b"x").unwrap();
        let a = b"a".to_vec();
        let expected = [Kind::Appeared, Kind::Written, Kind::Touched];
        let expected: Vec<_> = expected.map(|kind| (a.clone(), kind)).into();
        assert_eq!(seen(&inotify), expected);
        std::fs::read(dir.path().join("a")).unwrap();
        std::fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(seen(&inotify), []);
    }

    #[test]
    fn names_alone_are_not_disturbed_by_writes() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), b"x").unwrap();
        let inotify = Inotify::new().unwrap();
        let watch = inotify.watch_names(dir.path()).unwrap();
        std::fs::write(dir.path().join("a"), b"y").unwrap();
        assert_eq!(seen(&inotify), []);
        std::fs::rename(dir.path().join("a"), dir.path().join("b")).unwrap();
        let expected = [
            (b"a".to_vec(), Kind::Vanished),
            (b"b".to_vec(), Kind::Appeared),
        ];
        assert_eq!(seen(&inotify), expected);
        inotify.unwatch(watch);
        assert_eq!(seen(&inotify), [(vec![], Kind::Ended)]);
    }
}
