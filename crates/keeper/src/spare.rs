//! A keeper that was started before there is a run for it.
//!
//! Purpose: starting a program takes about as long as all that a restart needs besides. The manager
//! has a few keepers wait for a run, which then begins that much sooner.
//! Invariants: a spare keeper holds nothing, has no name in any folder and knows no secret; it ends
//! when its manager does; once it has its run it is a keeper like any other, and looks like one.
//! Deliberately absent: when and how many; that is the manager's.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use eud_sys::process::CommandLine;
use eud_sys::{fd, socket};

use crate::Beginning;
use crate::launch::Started;
use crate::note::Standing;
use crate::spec::LaunchSpec;

/// Its first argument.
pub(crate) const FLAG: &str = "--spare";
/// Room in its command line for the name of a unit and of a run.
const TITLE_BYTES: usize = 160;
/// Longest message: a path and two names.
const MESSAGE_BYTES_MAX: usize = 8 * 1024;

/// A keeper that waits for its run. It ends when this is dropped.
#[derive(Debug)]
pub struct Spare {
    /// Its process id. Whoever started it has to collect it.
    pub pid: u32,
    socket: UnixStream,
}

impl Spare {
    /// Starts one. `program` is the absolute path of `eud-keeper`.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(program: &Path) -> io::Result<Self> {
        let (socket, theirs) = UnixStream::pair()?;
        let mut command = Command::new(program);
        command
            .args([FLAG, &" ".repeat(TITLE_BYTES)])
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(OwnedFd::from(theirs))
            .stderr(Stdio::null());
        let pid = command.spawn()?.id();
        Ok(Self { pid, socket })
    }

    /// Gives it its run, as [`crate::spawn_keeper`] does with a new one. `stderr` takes its
    /// complaints.
    ///
    /// # Errors
    /// When `spec` cannot be encoded, or the keeper is gone. Then the run has not begun.
    pub fn commission(
        self,
        run_dir: &Path,
        spec: &LaunchSpec,
        stderr: &File,
    ) -> io::Result<Started> {
        let input = spec_file(spec)?;
        let mut message = run_dir.as_os_str().as_bytes().to_vec();
        for name in [&spec.unit, &spec.run] {
            message.push(0);
            message.extend_from_slice(name.as_bytes());
        }
        if message.len() > MESSAGE_BYTES_MAX {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        socket::send_with(
            self.socket.as_fd(),
            &message,
            &[input.as_fd(), stderr.as_fd()],
        )?;
        Ok(Started {
            pid: self.pid,
            socket: self.socket,
        })
    }
}

/// The spec in a file without a name, to be read from its beginning.
pub(crate) fn spec_file(spec: &LaunchSpec) -> io::Result<File> {
    let mut input = fd::nameless(c"eud-launch-spec")?;
    input.write_all(&spec.encode()?)?;
    input.rewind()?;
    Ok(input)
}

/// The keeper's side: waits until there is a run, and goes to its folder. `None` when the manager
/// is gone.
#[inline(never)]
pub(crate) fn wait(
    program: &OsStr,
    first: Option<UnixStream>,
    standing: io::Result<Standing>,
) -> io::Result<Option<Beginning>> {
    let title = CommandLine::find(program);
    let first = first.ok_or_else(|| io::Error::other("a spare keeper needs a connection"))?;
    let mut buffer = [0; MESSAGE_BYTES_MAX];
    let (count, fds) = match socket::receive_with(first.as_fd(), &mut buffer) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
        other => other?,
    };
    if count == 0 {
        return Ok(None);
    }
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let mut parts = buffer.get(..count).ok_or_else(invalid)?.split(|b| *b == 0);
    let (Some(folder), Some(unit), Some(run)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(invalid());
    };
    let Ok([input, stderr]) = <[OwnedFd; 2]>::try_from(fds) else {
        return Err(invalid());
    };
    fd::become_stderr(stderr)?;
    std::env::set_current_dir(OsStr::from_bytes(folder))?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| invalid());
    let (unit, run) = (text(unit)?, text(run)?);
    if let Ok(title) = title {
        title.show(&[&unit, &run]);
    }
    Ok(Some(Beginning {
        unit,
        run,
        input: input.into(),
        first: Some(first),
        standing,
    }))
}
