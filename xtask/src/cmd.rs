//! Running commands, and the few words said around them.
//!
//! Invariants: every command runs in the workspace's root unless told otherwise; a failure names
//! the command line that can be typed to repeat it.

use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::Failure;

/// Root of the workspace.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Folder of built binaries: `debug`, `release`, `dist`.
pub(crate) fn target(profile: &str) -> PathBuf {
    let dir =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    dir.join(profile)
}

/// Writes a line. A closed pipe ends nobody.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// A command in the workspace's root.
pub(crate) fn command<S: AsRef<OsStr>>(program: impl AsRef<OsStr>, args: &[S]) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(root());
    command
}

/// The cargo that runs this task.
pub(crate) fn cargo(args: &[&str]) -> Command {
    command(
        std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()),
        args,
    )
}

/// Runs to the end, output shown.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let status = command.status().map_err(|e| cannot(command, &e))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{}: {status}", words(command)))
    }
}

/// Runs to the end, output kept; a non-zero exit is a failure that shows standard error.
pub(crate) fn output(command: &mut Command) -> Result<String, Failure> {
    let output = capture(command)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let trouble = String::from_utf8_lossy(&output.stderr);
    Err(format!(
        "{}: {}\n{}",
        words(command),
        output.status,
        trouble.trim_end()
    ))
}

/// Runs to the end, output kept, whatever the exit.
pub(crate) fn capture(command: &mut Command) -> Result<Output, Failure> {
    command
        .stdin(Stdio::null())
        .output()
        .map_err(|e| cannot(command, &e))
}

/// Whether a program is in `PATH`.
pub(crate) fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// Becomes another program, with every signal as a new program expects it.
pub(crate) fn exec(words: &[String]) -> Result<(), Failure> {
    let (program, args) = words.split_first().ok_or("exec: name a program")?;
    eud_sys::signal::reset_all();
    Err(format!(
        "cannot run {program}: {}",
        Command::new(program).args(args).exec()
    ))
}

/// The command line, as it could be typed.
pub(crate) fn words(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|w| w.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

fn cannot(command: &Command, error: &std::io::Error) -> Failure {
    format!("cannot run {}: {error}", words(command))
}

/// Value of `--name value` among a task's arguments.
pub(crate) fn option<'a>(args: &'a [String], name: &str) -> Result<Option<&'a str>, Failure> {
    let Some(at) = args.iter().position(|arg| arg == name) else {
        return Ok(None);
    };
    let value = args.get(at + 1).ok_or(format!("{name} needs a value"))?;
    Ok(Some(value))
}

/// Value of `--name N` among a task's arguments.
pub(crate) fn number(args: &[String], name: &str) -> Result<Option<u64>, Failure> {
    let Some(text) = option(args, name)? else {
        return Ok(None);
    };
    text.parse()
        .map(Some)
        .map_err(|_| format!("{name}: `{text}` is not a whole number"))
}

/// Whether a flag is among a task's arguments.
pub(crate) fn flag(args: &[String], name: &str) -> bool {
    args.iter().any(|arg| arg == name)
}
