//! What a forked child does until it is the command, and what it says when it cannot become it.
//!
//! Invariants: the program's arguments and environment, with their secrets, are decoded only here,
//! in the child's memory, which exec replaces; the keeper never holds them. A failure is reported
//! in words through a pipe that closes on exec, so that silence means success.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use eud_sys::spawn::{self, ExecError, Step, Surroundings};

use crate::note::Note;
use crate::spec::LaunchSpec;

/// Exit code of a command that does not exist, as with a shell.
pub(crate) const CODE_NOT_FOUND: i32 = 127;
/// Exit code of a command that exists but cannot be executed, as with a shell.
pub(crate) const CODE_NOT_EXECUTABLE: i32 = 126;

/// What to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The command itself.
    Command,
    /// Its stop command.
    StopCommand,
}

/// What the child is given by its keeper.
#[derive(Debug)]
pub(crate) struct Birth<'a> {
    pub(crate) role: Role,
    /// The launch spec, readable.
    pub(crate) spec: Option<&'a File>,
    pub(crate) stdout: BorrowedFd<'a>,
    pub(crate) stderr: BorrowedFd<'a>,
    /// Process id of the keeper.
    pub(crate) parent: u32,
    /// Mask the keeper was started with.
    pub(crate) inherited_umask: u32,
    /// Variables to add to the environment.
    pub(crate) more_env: Vec<(OsString, OsString)>,
    /// Where it is noted that the command is about to execute.
    pub(crate) note: Option<&'a Note>,
}

impl Birth<'_> {
    /// Becomes the command. Returns the code to exit with when that failed and was reported.
    pub(crate) fn become_command(self, report: OwnedFd) -> i32 {
        let spec = self
            .spec
            .ok_or_else(|| io::Error::other("the launch spec is closed"));
        let failure = match spec.and_then(|file| read_spec(file, LaunchSpec::decode)) {
            Ok(spec) => self.try_to(spec),
            Err(error) => Failure::not_executable(error.to_string()),
        };
        // There is nobody left to tell if this fails.
        let _ = File::from(report).write_all(failure.encode().as_bytes());
        failure.code
    }

    fn try_to(self, spec: LaunchSpec) -> Failure {
        let stdin = spec.stdin.as_deref();
        let surroundings = Surroundings {
            // A stop command has nothing to read, least of all what was meant for another.
            stdin: stdin.filter(|_| self.role == Role::Command),
            stdout: self.stdout,
            stderr: self.stderr,
            cwd: &spec.cwd,
            uid: spec.uid,
            gid: spec.gid,
            groups: &spec.groups,
            umask: spec.umask.unwrap_or(self.inherited_umask),
            nice: spec.nice,
            rlimits: &spec.rlimits,
            parent: self.parent,
        };
        if let Err((step, error)) = surroundings.enter() {
            return Failure::not_executable(describe_step(&step, &error, &spec));
        }
        // By the child itself: its keeper may be killed before it comes to noting who it is, and
        // what executes must not be taken for what was never started.
        if let Some(note) = self.note {
            note.born();
        }
        let mut env = spec.env;
        env.extend(self.more_env);
        let args = match self.role {
            Role::Command => spec.args,
            Role::StopCommand => spec.stop_args,
        };
        describe_exec(&args, &env, spawn::exec(&args, &env))
    }
}

/// Reads the whole spec without touching the position that parent and child share.
pub(crate) fn read_spec<T>(file: &File, decode: impl Fn(&[u8]) -> io::Result<T>) -> io::Result<T> {
    let len = usize::try_from(file.metadata()?.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
    // Pages of its own, gone when this returns: the heap would keep them.
    let mut bytes = eud_sys::memory::Region::new(len)?;
    file.read_exact_at(bytes.get_mut(..len).unwrap_or_default(), 0)?;
    decode(bytes.get(..len).unwrap_or_default())
}

/// Why a command could not be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: i32,
    pub(crate) message: String,
}

impl Failure {
    /// Something other than its absence is wrong with it.
    pub(crate) fn not_executable(message: String) -> Self {
        Self {
            code: CODE_NOT_EXECUTABLE,
            message,
        }
    }

    fn not_found(message: String) -> Self {
        Self {
            code: CODE_NOT_FOUND,
            message,
        }
    }

    fn encode(&self) -> String {
        format!("{}\n{}", self.code, self.message)
    }

    /// What came through the pipe. `None` when nothing did: the command is executing.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let (code, message) = text.split_once('\n')?;
        Some(Self {
            code: code.parse().ok()?,
            message: message.to_owned(),
        })
    }
}

fn describe_step(step: &Step, error: &io::Error, spec: &LaunchSpec) -> String {
    let why = plain(error);
    match step {
        Step::Cwd if error.kind() == io::ErrorKind::NotFound => {
            format!("cwd {} does not exist", spec.cwd.display())
        }
        Step::Cwd => format!("cwd {}: {why}", spec.cwd.display()),
        Step::User => format!("user {}: {why}", spec.uid.unwrap_or_default()),
        Step::Group => format!("group {}: {why}", spec.gid.unwrap_or_default()),
        Step::Groups => format!("supplementary groups: {why}"),
        Step::Rlimit(name) => format!("rlimit {name}: {why}"),
        Step::Nice => format!("nice {}: {why}", spec.nice.unwrap_or_default()),
        Step::Session => format!("session: {why}"),
        Step::Stdin => {
            let path = spec.stdin.as_deref().unwrap_or(Path::new("/dev/null"));
            format!("standard input {}: {why}", path.display())
        }
        Step::Orphaned => "its keeper died while it was started".to_owned(),
    }
}

/// The kernel's words without the number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error")
        .next()
        .unwrap_or_default()
        .to_owned()
}

fn describe_exec(args: &[OsString], env: &[(OsString, OsString)], failed: ExecError) -> Failure {
    let program = args
        .first()
        .map_or_else(String::new, |p| p.display().to_string());
    if program.is_empty() {
        return Failure::not_found("the command is empty".to_owned());
    }
    let Some(tried) = failed.tried else {
        let path = env
            .iter()
            .rfind(|(key, _)| key == "PATH")
            .map(|(_, value)| value.display());
        let path = path.map_or_else(|| spawn::DEFAULT_PATH.to_owned(), |p| p.to_string());
        return Failure::not_found(format!("{program} is not in PATH ({path})"));
    };
    let name = tried.display();
    match failed.error.raw_os_error() {
        _ if failed.error.kind() == io::ErrorKind::InvalidInput => {
            Failure::not_executable(format!("{name}: an argument or variable holds a NUL byte"))
        }
        Some(errno) if errno == eud_sys::spawn::ENOENT && tried.exists() => {
            Failure::not_found(describe_interpreter(&tried))
        }
        Some(errno) if errno == eud_sys::spawn::ENOENT && tried.is_symlink() => {
            let target = std::fs::read_link(&tried).unwrap_or_default();
            Failure::not_found(format!(
                "{name} is a link to {}, which does not exist",
                target.display()
            ))
        }
        Some(errno) if errno == eud_sys::spawn::ENOENT => {
            Failure::not_found(format!("{name} does not exist"))
        }
        Some(errno) if errno == eud_sys::spawn::ENOEXEC => Failure::not_executable(format!(
            "{name}: not a program, and its first line is no #! line"
        )),
        Some(errno) if errno == eud_sys::spawn::EACCES => {
            Failure::not_executable(describe_refusal(&tried))
        }
        _ => Failure::not_executable(format!("{name}: {}", plain(&failed.error))),
    }
}

/// The file is there, yet exec says it is not: so it is its interpreter that is missing.
fn describe_interpreter(file: &Path) -> String {
    let name = file.display();
    match interpreter_of(file) {
        Some(interpreter) if interpreter.ends_with('\r') => {
            let interpreter = interpreter.trim_end();
            format!(
                "interpreter of {name}: its #! line ends in CR LF, so {interpreter}\\r is looked for"
            )
        }
        Some(interpreter) => format!("interpreter of {name}: {interpreter} does not exist"),
        None => format!("interpreter of {name}: the dynamic loader it names does not exist"),
    }
}

fn describe_refusal(file: &Path) -> String {
    let name = file.display();
    let Ok(metadata) = file.metadata() else {
        return format!("{name}: permission denied");
    };
    if metadata.is_dir() {
        return format!("{name}: a directory");
    }
    if metadata.permissions().mode() & 0o111 == 0 {
        return format!("{name}: not executable");
    }
    match interpreter_of(file) {
        Some(interpreter) => format!("interpreter of {name}: {interpreter}: permission denied"),
        None => format!("{name}: permission denied"),
    }
}

/// The program named in the `#!` line.
fn interpreter_of(file: &Path) -> Option<String> {
    let mut start = [0; 256];
    let count = File::open(file).ok()?.read_at(&mut start, 0).ok()?;
    let line = start
        .get(..count)?
        .strip_prefix(b"#!")?
        .split(|b| *b == b'\n')
        .next()?;
    let line = line.trim_ascii_start();
    let end = line
        .iter()
        .position(|b| matches!(b, b' ' | b'\t'))
        .unwrap_or(line.len());
    let path = std::ffi::OsStr::from_bytes(line.get(..end)?);
    Some(path.to_string_lossy().into_owned())
}
