//! The state directory, taken for one manager.
//!
//! Invariants: mode 0700 and ours; one manager at a time holds `manager.lock`, for as long as it
//! lives, and the kernel lets go of it however the manager ends.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::ManagerError;
use crate::files::create_private_dir;
use crate::layout::Layout;

/// How long the lock is tried for, unless a manager answers. The kernel lets go of a killed
/// process's only when the last of its threads has ended, and a client that looks whether it is
/// held, holds it for a moment.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);
/// How long an answer may take.
const ANSWER_PATIENCE: Duration = Duration::from_millis(100);
/// Pause between two tries.
const LOCK_PAUSE: Duration = Duration::from_millis(2);

/// Held as long as the manager lives.
#[derive(Debug)]
pub(crate) struct Taken {
    #[expect(dead_code, reason = "held, not read: dropping it unlocks")]
    lock: File,
}

/// Creates the folder where needed, and takes it. Blocks for as long as [`LOCK_PATIENCE`].
///
/// # Errors
/// [`ManagerError::AlreadyRunning`] when another manager has it, [`ManagerError::NotOurs`] when
/// another user has.
pub(crate) fn take(layout: &Layout) -> Result<Taken, ManagerError> {
    let root = layout.root();
    create_private_dir(root).map_err(|e| ManagerError::file("create", root, e))?;
    let meta = fs::metadata(root).map_err(|e| ManagerError::file("read", root, e))?;
    if meta.uid() != eud_sys::socket::own_uid() {
        return Err(ManagerError::NotOurs {
            path: root.into(),
            owner: meta.uid(),
        });
    }
    if meta.mode() & 0o077 != 0 {
        fs::set_permissions(root, fs::Permissions::from_mode(0o700))
            .map_err(|e| ManagerError::file("restrict", root, e))?;
    }
    let path = layout.manager_lock();
    let lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|e| ManagerError::file("open", &path, e))?;
    match lock_soon(&lock, &layout.socket()) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let text = fs::read_to_string(layout.manager_pid()).unwrap_or_default();
            let pid = text.trim().parse().ok();
            return Err(ManagerError::AlreadyRunning {
                state_dir: root.into(),
                pid,
            });
        }
        Err(TryLockError::Error(e)) => return Err(ManagerError::file("lock", &path, e)),
    }
    write_pid(layout)?;
    create_private_dir(&layout.daemons())
        .map_err(|e| ManagerError::file("create", layout.daemons(), e))?;
    Ok(Taken { lock })
}

/// Whoever waits for a manager that is well would take over when it is asked to end: the fleet
/// would be back a moment after `eud down`.
fn lock_soon(file: &File, socket: &Path) -> Result<(), TryLockError> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if Instant::now() < deadline && !is_answered(socket) => {
                std::thread::sleep(LOCK_PAUSE);
            }
            outcome => return outcome,
        }
    }
}

/// Whether a manager is at work behind the socket. That it accepts proves nothing: the kernel does
/// that for one that is being killed, too.
fn is_answered(socket: &Path) -> bool {
    let ask = || {
        let mut stream = eud_sys::socket::connect(socket)?;
        stream.set_read_timeout(Some(ANSWER_PATIENCE))?;
        stream.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"ping\"}\n")?;
        stream.read(&mut [0])
    };
    ask().is_ok_and(|bytes| bytes > 0)
}

fn write_pid(layout: &Layout) -> Result<(), ManagerError> {
    let path = layout.manager_pid();
    let write = || {
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)?;
        writeln!(file, "{}", std::process::id())
    };
    write().map_err(|e| ManagerError::file("write", &path, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_one_is_told_who_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().join("state"));
        let first = take(&layout).unwrap();
        let mode = fs::metadata(layout.root()).unwrap().mode();
        assert_eq!(mode & 0o777, 0o700);
        let refused = take(&layout).unwrap_err();
        assert!(matches!(
            refused,
            ManagerError::AlreadyRunning { pid: Some(pid), .. } if pid == std::process::id()
        ));
        drop(first);
        assert!(take(&layout).is_ok());
    }

    #[test]
    fn a_manager_that_answers_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let _first = take(&layout).unwrap();
        let listener = eud_sys::socket::listen(&layout.socket()).unwrap();
        let manager = std::thread::spawn(move || {
            let (mut asker, _) = listener.accept().unwrap();
            asker.write_all(b"pong").unwrap();
        });
        assert!(take(&layout).is_err());
        manager.join().unwrap();
    }

    #[test]
    fn one_that_only_accepts_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let first = take(&layout).unwrap();
        let listener = eud_sys::socket::listen(&layout.socket()).unwrap();
        let dying = std::thread::spawn(move || {
            drop(listener.accept().unwrap());
            drop(first);
        });
        assert!(take(&layout).is_ok());
        dying.join().unwrap();
    }

    #[test]
    fn an_open_folder_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        let _taken = take(&Layout::new(dir.path())).unwrap();
        assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o777, 0o700);
    }
}
