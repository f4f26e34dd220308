//! Hidden `eud pane`: the command of an interactive task, in a window of tmux.
//!
//! Three processes, all in the tree of the task's keeper. The outer one, which the keeper started,
//! starts a tmux server of its own, copies what the window shows to standard output, and ends as
//! the command did. The inner one is what the window runs: it starts the command, and says at last,
//! in the window's own output, how it ended, so that nothing shown before can come after. The last
//! one becomes the command.
//!
//! Invariants: the command gets the arguments and the environment of the outer process, read from
//! the kernel, because tmux would split, cut and show them; a key that the terminal makes a signal
//! of ends the command, if it wants, and never the inner process; whoever ends the server ends the
//! task.
//! Deliberately absent: any configuration of the user's tmux.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, PipeWriter, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use eud_sys::process::{self, Handle};
use eud_sys::signal::{self, Signal, SignalFd};

use crate::args::PaneArgs;
use crate::error::Error;

/// Name of the server's socket in the run's folder.
const SOCKET: &str = "tmux.sock";

/// Name of the session.
const SESSION: &str = "task";

/// Longest address of a socket, in bytes; what is longer is given relative to its folder.
const ADDRESS_BYTES_MAX: usize = 100;

/// Size of the window while nobody is attached.
const COLUMNS: &str = "200";
const ROWS: &str = "50";

/// How long a server that was told to end may take, in milliseconds. Then it is its keeper's.
const END_LIMIT_MS: u64 = 2_000;

/// What a command that cannot be executed ends with, as in a shell.
const NOT_EXECUTED: u8 = 127;

/// Begins what the inner process says at last; terminals ignore it.
const MARK: &[u8] = b"\x1b]7770;eud;";
const MARK_END: u8 = 0x07;
const MARK_BYTES_MAX: usize = 64;

/// `eud pane`
///
/// # Errors
/// When the window cannot be made.
pub(crate) fn run(args: &PaneArgs) -> Result<u8, Error> {
    let done = match (&args.dir, args.of) {
        (_, Some(outer)) if args.last => Ok(become_command(outer)),
        (_, Some(outer)) => inside(outer),
        (Some(dir), None) => outside(dir),
        (None, None) => Err(io::Error::other("`--dir` is needed")),
    };
    done.map_err(|e| Error::Internal(format!("cannot run in a window of tmux: {e}")))
}

/// tmux, speaking to the server of this run.
fn tmux(dir: &Path) -> Command {
    let mut command = Command::new("tmux");
    let socket = dir.join(SOCKET);
    let is_short = socket.as_os_str().len() <= ADDRESS_BYTES_MAX;
    let socket = if is_short { socket } else { SOCKET.into() };
    command.current_dir(dir).arg("-S").arg(socket);
    command
}

/// Becomes a client of the task's window.
///
/// # Errors
/// When tmux cannot be executed; else it does not return.
pub(super) fn attach(dir: &Path) -> io::Error {
    let mut command = tmux(dir);
    // In a window of another server it would refuse.
    command.env_remove("TMUX");
    command.args(["attach-session", "-t", SESSION]).exec()
}

/// Whether there is a window, or was one.
pub(super) fn has_window(dir: &Path) -> bool {
    dir.join(SOCKET).exists()
}

fn outside(dir: &Path) -> io::Result<u8> {
    let (mut shown, writer) = io::pipe()?;
    let own = std::process::id();
    let window = open_window(dir, own, &writer)?;
    tell_of_server(dir, writer)?;
    let how = copy_to_end(&mut shown, &mut io::stdout().lock(), own);
    // It may be gone.
    let _ = tmux(dir).arg("kill-server").stderr(Stdio::null()).status();
    // Who is left then was left by the command.
    io::copy(&mut shown, &mut io::sink())?;
    for process in window {
        process.wait(END_LIMIT_MS)?;
    }
    match how? {
        How::Exited(code) => Ok(code),
        How::Killed(signal) => {
            process::signal(process::identity(own)?, signal)?;
            // Not all signals kill.
            Ok(u8::try_from(128 + signal.number()).unwrap_or(1))
        }
        How::Gone => Err(io::Error::other("its window was closed")),
    }
}

/// Starts the server and its window. Gives the server and the inner process.
fn open_window(dir: &Path, own: u32, shown: &PipeWriter) -> io::Result<Vec<Handle>> {
    let program = std::env::current_exe()?;
    let copy = format!("exec cat >/proc/{own}/fd/{}", shown.as_raw_fd());
    let made = tmux(dir)
        .args(["-f", "/dev/null", "new-session", "-d", "-s", SESSION])
        .args(["-x", COLUMNS, "-y", ROWS])
        .arg(program)
        .args(["pane", "--of", &own.to_string()])
        .args([";", "pipe-pane", "-t", SESSION, &copy])
        .args([";", "display-message", "-p", "-t", SESSION])
        .arg("#{pid} #{pane_pid}")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    if !made.status.success() {
        return Err(io::Error::other(format!("tmux ended with {}", made.status)));
    }
    let pids = String::from_utf8_lossy(&made.stdout).into_owned();
    let pids = pids.split_whitespace().filter_map(|pid| pid.parse().ok());
    // They live until the server is told to end, or have been ended.
    Ok(pids
        .filter_map(|pid| Handle::of_whoever_is(pid).ok())
        .collect())
}

/// Waits for the end of the server, and tells of it as the last thing that is shown.
fn tell_of_server(dir: &Path, mut shown: PipeWriter) -> io::Result<()> {
    let mut waiting = tmux(dir)
        .args(["wait-for", "the-end"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    std::thread::Builder::new().spawn(move || {
        // It ends with the server only: nobody says that it is over.
        let _ = waiting.wait();
        let _ = shown.write_all(&mark(std::process::id(), "gone"));
    })?;
    Ok(())
}

fn inside(outer: u32) -> io::Result<u8> {
    let held = ["INT", "QUIT", "HUP", "TERM", "TSTP"];
    let held: Vec<Signal> = held.iter().filter_map(|name| Signal::parse(name)).collect();
    let _held = SignalFd::new(&held)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["pane", "--last", "--of", &outer.to_string()]);
    let ended = command.spawn()?.wait()?;
    let how = match ended.signal() {
        Some(signal) => format!("signal {signal}"),
        None => format!("exit {}", ended.code().unwrap_or(1)),
    };
    let mut terminal = io::stdout().lock();
    // Without a window nobody listens.
    let _ = terminal.write_all(&mark(outer, &how));
    let _ = terminal.flush();
    // Whatever was told, the window stays until the outer process has read it.
    let _ = io::stdin().lock().read_to_end(&mut Vec::new());
    Ok(0)
}

fn become_command(outer: u32) -> u8 {
    signal::reset_all();
    let error = match command_of(outer) {
        Ok(mut command) => command.exec(),
        Err(error) => error,
    };
    // There is a terminal, or nobody to tell.
    let _ = writeln!(io::stderr(), "eud: the command cannot be executed: {error}");
    NOT_EXECUTED
}

/// The command that the outer process was given, with its environment and folder, and the
/// terminal's own variables.
fn command_of(outer: u32) -> io::Result<Command> {
    let from = PathBuf::from(format!("/proc/{outer}"));
    let words = items(&fs::read(from.join("cmdline"))?);
    let mut words = words.into_iter().skip_while(|word| word != "--").skip(1);
    let program = words.next().ok_or(io::ErrorKind::NotFound)?;
    let mut command = Command::new(&program);
    command.args(words).env_clear();
    for item in items(&fs::read(from.join("environ"))?) {
        let bytes = item.as_bytes();
        if let Some(at) = bytes.iter().position(|byte| *byte == b'=') {
            let (name, value) = (&bytes[..at], &bytes[at + 1..]);
            command.env(OsStr::from_bytes(name), OsStr::from_bytes(value));
        }
    }
    for name in ["TERM", "TMUX", "TMUX_PANE"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.current_dir(fs::read_link(from.join("cwd"))?);
    Ok(command)
}

/// What the kernel ends with NUL each.
fn items(bytes: &[u8]) -> Vec<OsString> {
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    let items = bytes.split(|byte| *byte == 0);
    items
        .map(|item| OsString::from_vec(item.to_vec()))
        .collect()
}

/// How a command ended.
#[derive(Debug, PartialEq, Eq)]
enum How {
    Exited(u8),
    Killed(Signal),
    /// Nobody knows: its window is not there any more.
    Gone,
}

fn mark(outer: u32, how: &str) -> Vec<u8> {
    let mut mark = MARK.to_vec();
    mark.extend_from_slice(format!("{outer};{how}").as_bytes());
    mark.push(MARK_END);
    mark
}

/// Copies what a window shows until it is said how the command ended. Ends of lines are as a
/// program writes them, not as a terminal does.
fn copy_to_end(shown: &mut impl Read, out: &mut impl Write, outer: u32) -> io::Result<How> {
    let mut held: Vec<u8> = Vec::new();
    let mut buffer = vec![0; 16 << 10];
    loop {
        let count = shown.read(&mut buffer)?;
        if count == 0 {
            write_lines(&held, out)?;
            return Ok(How::Gone);
        }
        held.extend_from_slice(&buffer[..count]);
        while let Some(at) = find(&held, MARK) {
            let end = held[at..].iter().position(|byte| *byte == MARK_END);
            let Some(end) = end.filter(|end| *end <= MARK_BYTES_MAX) else {
                break;
            };
            let how = how_in(&held[at + MARK.len()..at + end], outer);
            write_lines(&held[..at], out)?;
            if let Some(how) = how {
                return Ok(how);
            }
            held.drain(..=at + end);
        }
        // What may be the beginning of a mark, or of an end of line, waits for its rest.
        let keep = kept(&held);
        write_lines(&held[..held.len() - keep], out)?;
        held.drain(..held.len() - keep);
        out.flush()?;
    }
}

/// How many of the last bytes may be the beginning of something.
fn kept(held: &[u8]) -> usize {
    if let Some(at) = find(held, MARK) {
        let rest = held.len() - at;
        return if rest <= MARK_BYTES_MAX { rest } else { 0 };
    }
    if held.last() == Some(&b'\r') {
        return 1;
    }
    let longest = MARK.len().min(held.len() + 1);
    (1..longest)
        .rev()
        .find(|n| held.ends_with(&MARK[..*n]))
        .unwrap_or(0)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|part| part == what)
}

fn how_in(text: &[u8], outer: u32) -> Option<How> {
    let text = std::str::from_utf8(text).ok()?;
    let text = text.strip_prefix(&format!("{outer};"))?;
    if text == "gone" {
        return Some(How::Gone);
    }
    match text.split_once(' ')? {
        ("exit", code) => Some(How::Exited(code.parse().ok()?)),
        ("signal", number) => Signal::from_number(number.parse().ok()?).map(How::Killed),
        _ => None,
    }
}

fn write_lines(bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
    let mut rest = bytes;
    while let Some(at) = find(rest, b"\r\n") {
        out.write_all(&rest[..at])?;
        out.write_all(b"\n")?;
        rest = &rest[at + 2..];
    }
    out.write_all(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its bytes a few at a time.
    struct Slowly<'a>(&'a [u8], usize);

    impl Read for Slowly<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let n = self.1.min(self.0.len()).min(buffer.len());
            buffer[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    #[test]
    fn everything_is_copied_up_to_the_mark_however_it_is_cut() {
        let mut shown = b"one\r\ntwo \x1b[1mbold\x1b]7770;eud;8;exit 1\x07".to_vec();
        shown.extend_from_slice(b"\x1b]7770;other\x07 \x1b]7\r\r\nlast");
        let text = "one\ntwo \x1b[1mbold\x1b]7770;other\x07 \x1b]7\r\nlast";
        for (how, expected) in [
            ("exit 0", How::Exited(0)),
            ("exit 255", How::Exited(255)),
            ("signal 9", How::Killed(Signal::KILL)),
            ("gone", How::Gone),
        ] {
            let marked = [&shown[..], &mark(7, how), b"more"].concat();
            for step in 1..marked.len() {
                let mut out = Vec::new();
                let found = copy_to_end(&mut Slowly(&marked, step), &mut out, 7);
                assert_eq!(found.unwrap(), expected);
                assert_eq!(String::from_utf8(out).unwrap(), text, "{step} at a time");
            }
        }
        let mut out = Vec::new();
        let found = copy_to_end(&mut Slowly(b"x\r", 1), &mut out, 7).unwrap();
        assert_eq!((found, &out[..]), (How::Gone, &b"x\r"[..]));
    }

    #[test]
    fn what_begins_like_a_mark_and_goes_on_for_ever_is_shown() {
        let long = [MARK, &[b'x'; 1000]].concat();
        let marked = [&long[..], &mark(7, "exit 3")].concat();
        let mut out = Vec::new();
        let found = copy_to_end(&mut Slowly(&marked, 7), &mut out, 7).unwrap();
        assert_eq!(found, How::Exited(3));
        assert_eq!(out, long);
    }

    #[test]
    fn arguments_are_as_the_kernel_has_them() {
        assert_eq!(items(b"a\0\0b c\0"), ["a", "", "b c"]);
        assert_eq!(items(b"a\0\0"), ["a", ""]);
    }
}
