//! Failing system calls and power cuts, for tests: the program under test is the real one.
//!
//! Purpose: a program runs under a filter of seccomp(2) that asks before each system call of an
//! interesting kind. Who watches counts the calls, lets one of them fail (or all from one on), and
//! keeps what is written to files, from which [`Disk`] makes what a power cut would have left.
//! Invariants: only calls of the program itself are counted and failed, and those of the children
//! it forks until they become another program; what these then do is their business. A call that
//! fails is not carried out.
//! Deliberately absent: memory that is mapped and written (SQLite's `-shm` file is of no use after
//! a power cut), `io_uring`, and faults that give no error.
//!
//! Needs Linux 5.19 and nobody else's listener on the test itself. Where it cannot be had,
//! [`start`] fails and says so.

mod calls;
mod disk;
mod listener;
mod record;

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use listener::{Answer, Asked, Doorstep, Filter, Listener};
use record::Recorder;

pub use calls::Call;
pub use disk::{Disk, Image, Op, Survives};

/// Number of a system call that no kernel has.
const MARK: libc::c_long = 100_000;
/// The mark from which on a program is watched, with [`Begin::AtMark`].
pub const MARK_BEGIN: u64 = u64::MAX;
/// The mark from which on it is watched no more.
pub const MARK_END: u64 = u64::MAX - 1;

/// Says something to whoever watches this program; else it does nothing. Numbers below
/// [`MARK_END`] are kept in the [`Disk`].
pub fn mark(number: u64) {
    listener::call_nothing(MARK, number);
}

/// From when on calls count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// From the program's [`mark`] of [`MARK_BEGIN`] on, in the thread that made it.
    AtMark,
    /// From the program's first call of this name on: what comes before is its loader's.
    AtCall(&'static str),
}

/// Whose call is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// The program's.
    Program,
    /// That of children it forked, before they become another program.
    Children,
}

/// What is to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    Nothing,
    /// One call, the `nth` (from 1), with one of the errors it may give: the one at place `choice`
    /// in [`Seen::errnos`]; places wrap around.
    Once {
        /// Whose.
        whom: Whom,
        /// Which.
        nth: usize,
        /// With what.
        choice: usize,
    },
    /// Every call from the `nth` on that may give this error, until [`Watch::lift`].
    From {
        /// Whose.
        whom: Whom,
        /// Which is the first.
        nth: usize,
        /// With what.
        errno: i32,
    },
}

/// A call that was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Whose.
    pub whom: Whom,
    /// Name of the call.
    pub name: &'static str,
    /// Errors it may give.
    pub errnos: &'static [i32],
}

/// A call that failed on purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// Name of the call.
    pub name: &'static str,
    /// The file it was about, as far as that can be told.
    pub about: String,
    /// The error.
    pub errno: i32,
}

/// A program that is watched. Its calls are answered until it and all that was born of it are gone,
/// also when this is dropped.
#[derive(Debug)]
pub struct Watch(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    begin: Begin,
    fault: Fault,
    pid: u32,
    /// The thread that is watched, once it has begun, and its program.
    watched: Option<(u32, PathBuf)>,
    has_ended: bool,
    seen: Vec<Seen>,
    failed: Vec<Failed>,
    recorder: Option<Recorder>,
    broken: Option<String>,
}

/// Starts a program and watches it.
///
/// With `folder`, what happens to the files in it is kept for [`Watch::disk`].
///
/// # Errors
/// When the program cannot be started or this kernel does not let it be watched.
pub fn start(
    command: &mut Command,
    begin: Begin,
    fault: Fault,
    folder: Option<&Path>,
) -> io::Result<(Child, Watch)> {
    let numbers: Vec<_> = Call::all().map(|call| call.number).chain([MARK]).collect();
    let filter = Filter::new(&numbers);
    let doorstep = Arc::new(Doorstep::new()?);
    let state = Arc::new(Mutex::new(State {
        begin,
        fault,
        pid: 0,
        watched: None,
        has_ended: false,
        seen: Vec::new(),
        failed: Vec::new(),
        recorder: folder.map(Recorder::new).transpose()?,
        broken: None,
    }));
    // The program's start waits for answers, so they must be given from another thread.
    let answers = std::thread::spawn({
        let (doorstep, state) = (Arc::clone(&doorstep), Arc::clone(&state));
        move || answer_all(&doorstep, &state)
    });
    let theirs = Arc::clone(&doorstep);
    listener::before_exec(command, move || theirs.arrive(&filter));
    match command.spawn() {
        Ok(child) => Ok((child, Watch(state))),
        Err(error) => {
            doorstep.give_up();
            let _ = answers.join();
            let why = format!("cannot watch the system calls of a program: {error}");
            Err(io::Error::new(error.kind(), why))
        }
    }
}

fn answer_all(doorstep: &Doorstep, state: &Mutex<State>) {
    let result = doorstep.meet().and_then(|(pid, listener)| {
        hold(state).pid = pid;
        answer_until_gone(&listener, state)
    });
    if let Err(error) = result {
        hold(state).broken = Some(error.to_string());
    }
}

fn answer_until_gone(listener: &Listener, state: &Mutex<State>) -> io::Result<()> {
    while let Some(asked) = listener.next()? {
        let answer = hold(state).decide(&asked);
        listener.answer(&asked, answer)?;
    }
    Ok(())
}

fn hold(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watch {
    /// The calls counted so far, in their order.
    ///
    /// # Panics
    /// When calls could not be answered any more: nothing that was seen is worth anything then.
    pub fn seen(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    /// The calls that failed so far.
    ///
    /// # Panics
    /// As [`Watch::seen`].
    pub fn failed(&self) -> Vec<Failed> {
        self.state().failed.clone()
    }

    /// Nothing fails from now on.
    pub fn lift(&self) {
        self.state().fault = Fault::Nothing;
    }

    /// What happened to the files so far. Empty when no folder was named.
    ///
    /// # Panics
    /// As [`Watch::seen`], and when something was done to them that cannot be kept.
    pub fn disk(&self) -> Disk {
        let state = self.state();
        state
            .recorder
            .as_ref()
            .map(Recorder::disk)
            .unwrap_or_default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let state = hold(&self.0);
        if let Some(why) = &state.broken {
            panic!("a program's calls cannot be answered any more: {why}");
        }
        state
    }
}

impl State {
    fn decide(&mut self, asked: &Asked) -> Answer {
        if asked.number == MARK {
            self.take_mark(asked);
            return Answer::Pretend;
        }
        let Some(call) = Call::of(asked.number) else {
            return Answer::Go;
        };
        if self.watched.is_none()
            && asked.tid == self.pid
            && matches!(self.begin, Begin::AtCall(name) if name == call.name)
        {
            self.begin_with(asked.tid);
        }
        let Some(whom) = self.whose(asked.tid) else {
            return Answer::Go;
        };
        let answer = self.count(whom, call, asked);
        if let (Answer::Go, Some(recorder)) = (answer, &mut self.recorder) {
            recorder.take(call.name, asked);
        }
        answer
    }

    fn take_mark(&mut self, asked: &Asked) {
        match asked.args[0] {
            MARK_BEGIN if self.watched.is_none() => self.begin_with(asked.tid),
            MARK_END => self.has_ended = true,
            number => {
                if let Some(recorder) = &mut self.recorder {
                    recorder.mark(number);
                }
            }
        }
    }

    fn begin_with(&mut self, tid: u32) {
        self.watched = Some((tid, program_of(tid).unwrap_or_default()));
    }

    fn whose(&self, tid: u32) -> Option<Whom> {
        let (watched, program) = self.watched.as_ref().filter(|_| !self.has_ended)?;
        if *watched == tid {
            return Some(Whom::Program);
        }
        (program_of(tid).as_ref() == Some(program)).then_some(Whom::Children)
    }

    fn count(&mut self, whom: Whom, call: &'static Call, asked: &Asked) -> Answer {
        let errnos = call.errnos(asked);
        if errnos.is_empty() {
            return Answer::Go;
        }
        self.seen.push(Seen {
            whom,
            name: call.name,
            errnos,
        });
        let number = self.seen.iter().filter(|seen| seen.whom == whom).count();
        let errno = match self.fault {
            Fault::Once {
                whom: meant,
                nth,
                choice,
            } if (meant, nth) == (whom, number) => errnos.get(choice % errnos.len()).copied(),
            Fault::From {
                whom: meant,
                nth,
                errno,
            } if meant == whom && nth <= number => errnos.contains(&errno).then_some(errno),
            _ => None,
        };
        let Some(errno) = errno else {
            return Answer::Go;
        };
        self.failed.push(Failed {
            name: call.name,
            about: record::about(call.name, asked),
            errno,
        });
        Answer::Fail(errno)
    }
}

fn program_of(tid: u32) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{tid}/exe")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: Begin = Begin::AtCall("openat");

    /// A shell that writes a file, and how it ended.
    fn shell(script: &str, folder: &Path, fault: Fault) -> (Option<i32>, Watch) {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).current_dir(folder);
        command.stderr(std::process::Stdio::null());
        let (mut child, watch) = start(&mut command, BEGIN, fault, Some(folder)).unwrap();
        (child.wait().unwrap().code(), watch)
    }

    #[test]
    fn each_call_can_be_failed_and_all_from_one_on() {
        let folder = tempfile::tempdir().unwrap();
        let (code, watch) = shell("echo a > f; exit 0", folder.path(), Fault::Nothing);
        assert_eq!((code, watch.failed()), (Some(0), vec![]));
        let seen = watch.seen();
        let writes = seen.iter().rposition(|call| call.name == "write").unwrap();
        let fault = Fault::Once {
            whom: Whom::Program,
            nth: writes + 1,
            choice: 1,
        };
        let (code, watch) = shell("echo a > f || exit 5", folder.path(), fault);
        assert_eq!(code, Some(5));
        let failed = watch.failed();
        assert_eq!((failed.len(), failed[0].name), (1, "write"));
        assert_eq!(failed[0].errno, libc::ENOSPC);
        assert!(failed[0].about.ends_with("/f"), "{failed:?}");
        let fault = Fault::From {
            whom: Whom::Program,
            nth: 1,
            errno: libc::EMFILE,
        };
        let (code, watch) = shell("exit 0", folder.path(), fault);
        assert_eq!(code, Some(127), "no library can be opened");
        assert!(!watch.failed().is_empty());
    }

    #[test]
    fn what_other_programs_do_is_their_business() {
        let folder = tempfile::tempdir().unwrap();
        let script = "/bin/cat /dev/null; exit 7";
        let (code, watch) = shell(script, folder.path(), Fault::Nothing);
        assert_eq!(code, Some(7));
        let of = |whom| watch.seen().iter().filter(|call| call.whom == whom).count();
        let (own, children) = (of(Whom::Program), of(Whom::Children));
        assert!(own > 0 && children > 0, "{own} {children}");
        let by_children = |call: &Seen| call.whom == Whom::Children;
        let seen = watch.seen();
        let last = seen.iter().rfind(|call| by_children(call)).unwrap();
        assert_eq!(last.name, "execve", "what comes after is not the shell's");
    }

    #[test]
    fn what_happens_to_files_is_kept_whole() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("log"), "one\n").unwrap();
        std::fs::create_dir(folder.path().join("sub")).unwrap();
        let script = "echo two >> sub/../log; echo x > a; exec 3> b; echo y >&3; echo z >&3";
        let (code, watch) = shell(script, folder.path(), Fault::Nothing);
        assert_eq!(code, Some(0));
        let disk = watch.disk();
        let image = disk.cut(disk.ops().len(), Survives::Everything);
        for (name, expected) in [("log", "one\ntwo\n"), ("a", "x\n"), ("b", "y\nz\n")] {
            assert_eq!(image.get(name).unwrap(), expected.as_bytes(), "{name}");
        }
        let none = disk.cut(disk.ops().len(), Survives::Nothing);
        assert_eq!(none.files().count(), 1);
    }
}
