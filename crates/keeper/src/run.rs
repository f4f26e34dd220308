//! The life of one run: a loop that turns what happens into deeds.
//!
//! The story. The keeper waits for: the end of a child, a signal to itself, output, a message of
//! the command, a connection, a request, a time. Nothing of that: it sleeps, for ever if need be.
//! When the kernel says that no child is left, it reads what is left in the pipes, writes the exit
//! record, releases the lock, tells who is connected, and is done.
//! Invariants: the exit record has its name before the lock is released or anybody is told; the
//! lock is released before anybody is told, so that the next run can start at once; the record is
//! on the disk before the keeper ends. The disk comes last, and a little later: a file system that
//! is writing lets everybody wait who makes a file, and that is the next run.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use eud_sys::cgroup::Cgroup;
use eud_sys::clock::{Alarm, boot_ms, wall_ms};
use eud_sys::durable::Reserved;
use eud_sys::fd::{self, Interest, PollSet, Ready, capture_pipe, read_now, reopen_for_writing};
use eud_sys::process::{self, Identity};
use eud_sys::reap::{self, Ending, Next, Reaped};
use eud_sys::signal::{Signal, SignalFd};
use eud_sys::spawn::{self, SingleThreaded};

use crate::child::{Birth, Failure, Role};
use crate::control::{Control, Request};
use crate::flow::Flow;
use crate::json::Object;
use crate::log::{Got, Log, Stream};
use crate::note::{LIVE, Note};
use crate::notify::Notify;
use crate::record::{Reason, Record};
use crate::spec::LaunchSpec;
use crate::stop::{Deed, Stopping};
use crate::{report_pipe, tree};

/// Bytes read from the pipes after the tree is gone: more than they hold. Only a stranger to whom
/// the command passed its output could write more.
const LAST_OUTPUT_BYTES: usize = 2 * 1024 * 1024;
/// How long a command usually takes at most until it executes, in milliseconds.
const EXEC_MS: u64 = 5;
/// How long after everything else the disk is waited for.
const SYNC_AFTER: Duration = Duration::from_millis(20);
/// However long it took to stop, the log can be waited for this long after, in milliseconds: it is
/// tried again once more.
const LAST_TRY_MS: u64 = 1_000;
/// How long the last words may take, in milliseconds.
const FAREWELL_MS: u64 = 100;
/// Pause before it is tried again to wait, when the kernel had no memory for that.
const MEMORY_PAUSE: Duration = Duration::from_millis(10);
/// Messages of the command taken at a time.
const NOTIFY_BATCH: usize = 16;
const RECORD_RETRY_MAX_MS: u64 = 1_000;

/// What the keeper has prepared before there is a command.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) spec: LaunchSpec,
    /// Kept only while it may be needed again: it holds secrets.
    pub(crate) spec_file: Option<File>,
    pub(crate) inherited_umask: u32,
    pub(crate) signals: SignalFd,
    pub(crate) lock: File,
    pub(crate) record: Reserved,
    pub(crate) control: Control,
    pub(crate) notify: Option<Notify>,
    pub(crate) cgroup: Option<Cgroup>,
    pub(crate) note: Option<Note>,
    pub(crate) log: Log,
}

/// One run, from the fork of its command on.
#[derive(Debug)]
pub(crate) struct Run {
    base: Box<Prepared>,
    proof: SingleThreaded,
    alarm: Alarm,
    stopping: Stopping,
    leader: Leader,
    /// Closes when the command executes, or says why it does not.
    report: Option<File>,
    failure: Option<Failure>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    stop_command: Option<StopCommand>,
    is_tree_gone: bool,
    lost_bytes: usize,
    /// Processes that the command left behind when it ended.
    leftovers: usize,
    /// From when on nobody wants to wait for the disk any more.
    give_up_at_ms: Option<u64>,
    record_retry_ms: Option<u64>,
    flow: Flow,
}

#[derive(Debug)]
struct Leader {
    pid: u32,
    start_ticks: u64,
    started_at_ms: i64,
    is_executing: bool,
    ended: Option<Reaped>,
}

#[derive(Debug)]
struct StopCommand {
    pid: u32,
    report: File,
}

/// A greeting for who connects when nothing runs yet.
pub(crate) fn hello_before_start(spec: &LaunchSpec) -> String {
    hello(spec, None, &Hello::default())
}

#[derive(Debug, Default)]
struct Hello<'a> {
    is_stopping: bool,
    is_ready: bool,
    status: Option<&'a str>,
    log_blocked: Option<&'a str>,
}

fn hello(spec: &LaunchSpec, leader: Option<&Leader>, now: &Hello<'_>) -> String {
    Object::event("hello")
        .text("unit", &spec.unit)
        .text("run", &spec.run)
        .number("generation", spec.generation)
        .number("keeper_pid", std::process::id())
        .number_or_null("pid", leader.filter(|l| l.is_executing).map(|l| l.pid))
        .number("start_ticks", leader.map_or(0, |l| l.start_ticks))
        .number("started_at_ms", leader.map_or(0, |l| l.started_at_ms))
        .truth("stopping", now.is_stopping)
        .truth("ready", now.is_ready)
        .text_or_null("status", now.status)
        .text_or_null("log_blocked", now.log_blocked)
        .end()
}

/// `{"event":"ended",…}`.
pub(crate) fn ended_event(record_json: &str) -> String {
    Object::event("ended").raw("record", record_json).end()
}

impl Run {
    /// Forks the command.
    ///
    /// # Errors
    /// Whatever keeps even a fork from being made; gives back what was prepared, to tell of it.
    pub(crate) fn start(mut base: Box<Prepared>) -> Result<Self, (Box<Prepared>, io::Error)> {
        match Self::fork_leader(&mut base) {
            Ok(parts) => {
                if base.spec.stop_args.is_empty() {
                    base.spec_file = None;
                }
                Ok(parts.into_run(base))
            }
            Err(error) => Err((base, error)),
        }
    }

    #[inline(never)]
    fn fork_leader(base: &mut Prepared) -> io::Result<Parts> {
        let proof = SingleThreaded::prove()?;
        let alarm = Alarm::new()?;
        let (stdout, child_stdout) = capture_pipe()?;
        let (stderr, child_stderr) = capture_pipe()?;
        let (report, child_report) = report_pipe()?;
        let started_at_ms = wall_ms();
        // Asked before the fork: what is in the closures is evaluated in the child.
        let parent = std::process::id();
        let outputs = (child_stdout.as_fd(), child_stderr.as_fd());
        let report_copy = child_report.try_clone()?;
        let entrance = base
            .cgroup
            .as_ref()
            .and_then(|cgroup| cgroup.entrance().ok());
        let born_inside = entrance.as_ref().and_then(|entrance| {
            let child = || birth(base, Role::Command, outputs, parent).become_command(report_copy);
            spawn::fork(&proof, Some(entrance.as_fd()), child).ok()
        });
        let pid = match born_inside {
            Some(pid) => pid,
            None => {
                if let Some(cgroup) = base.cgroup.take() {
                    // A group that may not be entered is of no use; that it stays would be no harm.
                    let _ = cgroup.remove();
                }
                let child =
                    || birth(base, Role::Command, outputs, parent).become_command(child_report);
                spawn::fork(&proof, None, child)?
            }
        };
        let start_ticks = process::identity(pid).map_or(0, |identity| identity.start_ticks);
        let leader = Leader {
            pid,
            start_ticks,
            started_at_ms,
            is_executing: false,
            ended: None,
        };
        Ok(Parts {
            proof,
            alarm,
            leader,
            report,
            stdout,
            stderr,
        })
    }

    /// Keeps it to its end.
    ///
    /// # Errors
    /// Only such as leave the keeper unable to go on. Its command dies with it.
    pub(crate) fn keep(mut self, first: Option<UnixStream>) -> io::Result<()> {
        self.note_command();
        self.greet(first);
        while !self.is_tree_gone {
            self.turn()?;
        }
        let ended_at_ms = wall_ms();
        let last_try_ms = boot_ms().saturating_add(LAST_TRY_MS);
        self.give_up_at_ms = self.give_up_at_ms.map(|at_ms| at_ms.max(last_try_ms));
        while !self.drain() && !folder_is_gone() {
            if self.gives_up(boot_ms()) {
                self.abandon_log();
            } else {
                self.turn()?;
            }
        }
        self.tell_news();
        self.finish(ended_at_ms)
    }

    /// Says hello on the connection it was given, once the command executes: who hears it has
    /// something to do then, and the command is not to wait for a processor because of that.
    fn greet(&mut self, first: Option<UnixStream>) {
        let Some(first) = first else { return };
        if let Some(report) = &self.report {
            // One way or the other it is time.
            let _ = fd::wait(report.as_fd(), Interest::Read, Some(EXEC_MS));
        }
        let hello = hello(&self.base.spec, Some(&self.leader), &Hello::default());
        self.base.control.add(first, &hello);
    }

    /// For who must prove what the command is when the keeper is lost.
    fn note_command(&mut self) {
        let command = Identity {
            pid: self.leader.pid,
            start_ticks: self.leader.start_ticks,
        };
        let noted = self.base.note.take().map(|note| note.finish(command));
        if let Some(Err(error)) = noted {
            self.complain(LIVE, &error);
        }
    }

    fn complain(&self, what: &str, error: &dyn std::fmt::Display) {
        crate::complain(
            &self.base.spec.unit,
            &self.base.spec.run,
            &format!("{what}: {error}"),
        );
    }

    /// Waits for something to happen and deals with it.
    fn turn(&mut self) -> io::Result<()> {
        self.alarm.set(self.next_ms())?;
        let mut set = PollSet::new();
        let base = &self.base;
        let signals = set.add(base.signals.as_fd(), Interest::Read);
        let alarm = set.add(self.alarm.as_fd(), Interest::Read);
        let may_read = base.log.blocked().is_none();
        let mut maybe = |fd: Option<_>| fd.map(|fd| set.add(fd, Interest::Read));
        let report = maybe(self.report.as_ref().map(AsFd::as_fd));
        let stdout = maybe(self.stdout.as_ref().filter(|_| may_read).map(AsFd::as_fd));
        let stderr = maybe(self.stderr.as_ref().filter(|_| may_read).map(AsFd::as_fd));
        let notify = maybe(base.notify.as_ref().map(AsFd::as_fd));
        let listener = maybe(base.control.listener());
        let peers = base
            .control
            .peers()
            .map(|(fd, interest)| set.add(fd, interest));
        let peers = peers
            .reduce(|_, last| last)
            .map(|last| last + 1 - base.control.peers().count()..last + 1);
        let ready = match set.wait(None) {
            // Memory comes back; a command that was given up does not.
            Err(error) if error.kind() == io::ErrorKind::OutOfMemory => {
                std::thread::sleep(MEMORY_PAUSE);
                return Ok(());
            }
            other => other?,
        };
        let is_ready = |place: Option<usize>| place.is_some_and(|place| can_read(&ready, place));

        let now_ms = boot_ms();
        if can_read(&ready, alarm) {
            self.alarm.acknowledge();
        }
        if can_read(&ready, signals) {
            self.take_signals(now_ms)?;
        }
        if is_ready(report) {
            self.take_report();
        }
        if is_ready(stdout) || is_ready(stderr) {
            self.flow.gather();
        }
        if is_ready(stdout) {
            self.read_output(Stream::Stdout, now_ms);
        }
        // The first may have blocked the log.
        if is_ready(stderr) && self.base.log.blocked().is_none() {
            self.read_output(Stream::Stderr, now_ms);
        }
        if is_ready(notify) {
            self.take_messages();
        }
        if let Some(places) = peers {
            self.serve_peers(places, &ready, now_ms);
        }
        if is_ready(listener) {
            self.accept();
        }
        self.due(now_ms);
        self.tell_news();
        Ok(())
    }

    fn next_ms(&self) -> Option<u64> {
        let stopping = if self.is_tree_gone {
            None
        } else {
            self.stopping.next_ms()
        };
        let is_waiting = self.is_tree_gone && self.base.log.blocked().is_some();
        let give_up = self.give_up_at_ms.filter(|_| is_waiting);
        let log = self.base.log.next_ms();
        [stopping, log, give_up, self.record_retry_ms]
            .into_iter()
            .flatten()
            .min()
    }

    fn due(&mut self, now_ms: u64) {
        self.base.log.due(now_ms);
        if !self.is_tree_gone {
            let deed = self.stopping.due(now_ms);
            self.perform(deed, now_ms);
        }
    }

    fn take_signals(&mut self, now_ms: u64) -> io::Result<()> {
        let mut asked = false;
        while let Some(signal) = self.base.signals.next() {
            asked |= signal != Signal::CHLD;
        }
        // First who has ended: a command that ended by itself was not stopped.
        self.reap(now_ms)?;
        if asked {
            self.ask_to_stop(now_ms);
        }
        Ok(())
    }

    /// Once nothing is left of the tree, what is asked to end is the waiting for the disk: it has
    /// the same grace.
    fn ask_to_stop(&mut self, now_ms: u64) {
        let until_ms = now_ms.saturating_add(self.base.spec.grace_ms);
        self.give_up_at_ms.get_or_insert(until_ms);
        if !self.is_tree_gone {
            let deed = self.stopping.asked(now_ms);
            self.perform(deed, now_ms);
        }
    }

    fn reap(&mut self, now_ms: u64) -> io::Result<()> {
        loop {
            match reap::next()? {
                Next::Reaped(reaped) if reaped.pid == self.leader.pid => {
                    self.leader.ended = Some(reaped);
                }
                Next::Reaped(reaped) => self.note_other_end(reaped, now_ms),
                Next::NoChildren => {
                    self.is_tree_gone = true;
                    return Ok(());
                }
                Next::AllAlive => break,
            }
        }
        if self.leader.ended.is_some() {
            let deed = self.stopping.leader_ended(now_ms);
            self.perform(deed, now_ms);
        }
        if self.stopping.is_killing() {
            // Who has died may have left children that are now ours.
            tree::kill_all(self.base.cgroup.as_ref());
        }
        Ok(())
    }

    /// An orphan that came to us, or the stop command.
    fn note_other_end(&mut self, reaped: Reaped, now_ms: u64) {
        let Some(mut command) = self.stop_command.take_if(|c| c.pid == reaped.pid) else {
            return;
        };
        let mut bytes = Vec::new();
        let failure = command
            .report
            .read_to_end(&mut bytes)
            .ok()
            .and(Failure::decode(&bytes));
        if let Some(failure) = failure {
            self.complain("stop command", &failure.message);
        }
        let deed = self
            .stopping
            .command_ended(reaped.ending == Ending::Exited(0), now_ms);
        self.perform(deed, now_ms);
    }

    fn perform(&mut self, deed: Deed, now_ms: u64) {
        match deed {
            Deed::Nothing => {}
            Deed::SignalTree => {
                let reached = tree::signal_all(self.base.spec.stop_signal);
                if self.stopping.is_for_leftovers() {
                    self.leftovers = reached;
                }
                // Who is suspended would otherwise never hear of it.
                tree::signal_all(Signal::CONT);
            }
            Deed::KillTree => tree::kill_all(self.base.cgroup.as_ref()),
            Deed::RunStopCommand => match self.start_stop_command() {
                Ok(command) => self.stop_command = Some(command),
                Err(error) => {
                    self.complain("stop command", &error);
                    let deed = self.stopping.command_ended(false, now_ms);
                    self.perform(deed, now_ms);
                }
            },
        }
    }

    fn start_stop_command(&self) -> io::Result<StopCommand> {
        // Its output goes where the command's goes; the ends of these pipes for writing are not
        // kept, so that their end can be seen.
        let writer = |pipe: Option<&OwnedFd>| match pipe {
            Some(pipe) => reopen_for_writing(pipe.as_fd()),
            None => File::options().write(true).open("/dev/null"),
        };
        let (stdout, stderr) = (writer(self.stdout.as_ref())?, writer(self.stderr.as_ref())?);
        let (report, child_report) = report_pipe()?;
        let outputs = (stdout.as_fd(), stderr.as_fd());
        let mut birth = birth(&self.base, Role::StopCommand, outputs, std::process::id());
        birth
            .more_env
            .push(("EUD_PID".into(), self.leader.pid.to_string().into()));
        let pid = spawn::fork(&self.proof, None, || birth.become_command(child_report))?;
        Ok(StopCommand { pid, report })
    }

    fn take_report(&mut self) {
        let Some(mut report) = self.report.take() else {
            return;
        };
        let mut bytes = Vec::new();
        // It ends when the command executes or exits; a child that is ready to be read from has
        // done so, or is about to exit.
        let result = report.read_to_end(&mut bytes);
        self.failure = result.ok().and(Failure::decode(&bytes));
        if self.failure.is_some() {
            return;
        }
        self.leader.is_executing = true;
        let started = Object::event("started")
            .number("pid", self.leader.pid)
            .number("start_ticks", self.leader.start_ticks)
            .number("at_ms", self.leader.started_at_ms)
            .end();
        self.base.control.tell(&started);
    }

    fn read_output(&mut self, stream: Stream, now_ms: u64) {
        let pipe = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        let Some(fd) = pipe else { return };
        match self.base.log.read_from(fd.as_fd(), stream, now_ms) {
            Ok(Got::Nothing) => {}
            Ok(Got::Bytes(count)) => self.flow.note(count),
            Ok(Got::End) => {
                self.flow.note(0);
                *pipe = None;
                self.base.log.end(stream, now_ms);
            }
            Err(error) => {
                *pipe = None;
                self.complain("output", &error);
            }
        }
    }

    fn take_messages(&mut self) {
        for _ in 0..NOTIFY_BATCH {
            let Some(message) = self.base.notify.as_mut().and_then(Notify::next) else {
                return;
            };
            self.base
                .control
                .tell(&Object::event("notify").text("message", &message).end());
        }
    }

    fn serve_peers(&mut self, places: std::ops::Range<usize>, ready: &[Ready], now_ms: u64) {
        let mut requests = Vec::new();
        for (peer, place) in places.enumerate() {
            if ready.get(place).is_some_and(|r| r.read || r.write) {
                self.base
                    .control
                    .serve(peer, |request| requests.push(request));
            }
        }
        self.base.control.forget_lost();
        for request in requests {
            self.obey(request, now_ms);
        }
    }

    fn obey(&mut self, request: Request, now_ms: u64) {
        match request {
            Request::Stop => self.ask_to_stop(now_ms),
            Request::Kill => {
                self.give_up_at_ms = Some(now_ms);
                if !self.is_tree_gone {
                    let deed = self.stopping.kill_asked(now_ms);
                    self.perform(deed, now_ms);
                }
            }
            Request::Signal(signal) if self.leader.ended.is_none() => {
                if let Err(error) = process::signal_child(self.leader.pid, signal) {
                    self.complain("signal", &error);
                }
            }
            Request::Signal(_) => {}
        }
    }

    fn accept(&mut self) {
        let (spec, leader, log) = (&self.base.spec, &self.leader, &self.base.log);
        let now = Hello {
            is_stopping: self.stopping.has_begun(),
            is_ready: self.base.notify.as_ref().is_some_and(Notify::is_ready),
            status: self.base.notify.as_ref().and_then(Notify::status),
            log_blocked: log.blocked(),
        };
        self.base.control.accept(|| hello(spec, Some(leader), &now));
    }

    fn tell_news(&mut self) {
        let news = self.base.log.take_news();
        let control = &mut self.base.control;
        for file in news.rotated {
            control.tell(&Object::event("rotated").text("file", &file).end());
        }
        match news.blocked {
            Some(Some(why)) => {
                control.tell(&Object::event("log-blocked").text("error", &why).end())
            }
            Some(None) => control.tell(&Object::event("log-unblocked").end()),
            None => {}
        }
        if news.written {
            control.tell_output();
        }
    }

    /// Reads what is left in the pipes. False when the log must be waited for.
    fn drain(&mut self) -> bool {
        let now_ms = boot_ms();
        let log = &mut self.base.log;
        for (pipe, stream) in [
            (&mut self.stdout, Stream::Stdout),
            (&mut self.stderr, Stream::Stderr),
        ] {
            let mut left = LAST_OUTPUT_BYTES;
            while let Some(fd) = pipe.as_ref().filter(|_| log.blocked().is_none()) {
                match log.read_from(fd.as_fd(), stream, now_ms) {
                    Ok(Got::Bytes(count)) if count < left => left -= count,
                    _ => *pipe = None,
                }
            }
            if log.blocked().is_none() {
                log.end(stream, now_ms);
            }
        }
        log.is_clear()
    }

    /// Whether waiting for the disk has gone on for as long as anybody wants.
    fn gives_up(&self, now_ms: u64) -> bool {
        self.give_up_at_ms.is_some_and(|at_ms| at_ms <= now_ms)
    }

    /// Gives up what cannot be written, and what was not read because of that.
    fn abandon_log(&mut self) {
        self.lost_bytes += self.base.log.abandon();
        for pipe in [self.stdout.take(), self.stderr.take()]
            .into_iter()
            .flatten()
        {
            let mut buffer = [0; 4096];
            let before = self.lost_bytes;
            while let Ok(Some(count @ 1..)) = read_now(pipe.as_fd(), &mut buffer)
                && self.lost_bytes - before < LAST_OUTPUT_BYTES
            {
                self.lost_bytes += count;
            }
        }
    }

    fn finish(mut self, ended_at_ms: i64) -> io::Result<()> {
        self.take_report();
        let record = self.record(ended_at_ms).to_json();
        let mut pause_ms = 10;
        while let Err(error) = self.base.record.publish(record.as_bytes()) {
            let why = format!("exit.json: {error}");
            self.base
                .control
                .tell(&Object::event("log-blocked").text("error", &why).end());
            let until_ms = boot_ms().saturating_add(pause_ms);
            pause_ms = (pause_ms * 2).min(RECORD_RETRY_MAX_MS);
            self.record_retry_ms = Some(until_ms);
            if folder_is_gone() {
                self.complain("exit.json is lost: the run's folder was deleted", &error);
                break;
            }
            if self.gives_up(boot_ms()) {
                self.complain("exit.json is lost: it could not be written in time", &error);
                break;
            }
            while boot_ms() < until_ms {
                self.turn()?;
            }
        }
        let Prepared {
            lock,
            mut control,
            cgroup,
            record: file,
            ..
        } = *self.base;
        drop(lock);
        control.tell(&ended_event(&record));
        control.flush(FAREWELL_MS);
        // All that follows is in nobody's way then.
        std::thread::sleep(SYNC_AFTER);
        crate::tidy();
        if let Some(cgroup) = cgroup {
            // The last process may take a moment to leave it; who looks for it later removes it.
            let _ = cgroup.remove();
        }
        file.sync()
    }

    fn record(&self, ended_at_ms: i64) -> Record {
        let spec = &self.base.spec;
        let mut record = Record::without_process(
            &spec.run,
            &spec.unit,
            spec.generation,
            self.stopping.reason(),
        );
        record.ended_at_ms = ended_at_ms;
        if let Some(failure) = &self.failure {
            record.reason = Reason::SpawnFailed;
            record.code = Some(failure.code);
            record.message = Some(failure.message.clone());
            return record;
        }
        record.pid = self.leader.pid;
        record.started_at_ms = self.leader.started_at_ms;
        if let Some(ended) = self.leader.ended {
            record.code = ended.ending.code();
            if let Ending::Killed { signal, core } = ended.ending {
                record.signal = Some(signal);
                record.core = core;
            }
            record.max_rss_kb = ended.usage.max_rss_kb;
        }
        record.leftovers = u32::try_from(self.leftovers).unwrap_or(u32::MAX);
        let usage = reap::children_usage();
        record.cpu_user_us = usage.cpu_user_us;
        record.cpu_system_us = usage.cpu_system_us;
        if self.lost_bytes > 0 {
            let why = format!(
                "{} bytes of log were given up: the log could not be written",
                self.lost_bytes
            );
            record.message = Some(why);
        }
        record
    }
}

/// What forking gives.
struct Parts {
    proof: SingleThreaded,
    alarm: Alarm,
    leader: Leader,
    report: File,
    stdout: OwnedFd,
    stderr: OwnedFd,
}

impl Parts {
    fn into_run(self, base: Box<Prepared>) -> Run {
        let timeout_at_ms = base.spec.timeout_ms.map(|ms| boot_ms().saturating_add(ms));
        let has_command = !base.spec.stop_args.is_empty();
        let stopping = Stopping::new(base.spec.grace_ms, has_command, timeout_at_ms);
        Run {
            base,
            proof: self.proof,
            alarm: self.alarm,
            stopping,
            leader: self.leader,
            report: Some(self.report),
            failure: None,
            stdout: Some(self.stdout),
            stderr: Some(self.stderr),
            stop_command: None,
            is_tree_gone: false,
            lost_bytes: 0,
            leftovers: 0,
            give_up_at_ms: None,
            record_retry_ms: None,
            flow: Flow::default(),
        }
    }
}

/// Whether the run's folder, where the keeper works, was deleted under it: then no waiting helps.
fn folder_is_gone() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(".").is_ok_and(|folder| folder.nlink() == 0)
}

fn can_read(ready: &[Ready], place: usize) -> bool {
    ready.get(place).is_some_and(|r| r.read)
}

fn birth<'a>(
    base: &'a Prepared,
    role: Role,
    (stdout, stderr): (BorrowedFd<'a>, BorrowedFd<'a>),
    parent: u32,
) -> Birth<'a> {
    Birth {
        role,
        spec: base.spec_file.as_ref(),
        stdout,
        stderr,
        parent,
        inherited_umask: base.inherited_umask,
        more_env: more_env(base),
        note: base.note.as_ref().filter(|_| role == Role::Command),
    }
}

/// Variables that only the keeper can know.
fn more_env(base: &Prepared) -> Vec<(OsString, OsString)> {
    let mut env = Vec::new();
    if let Some(notify) = &base.notify {
        env.push(("NOTIFY_SOCKET".into(), notify.address().clone()));
        if let Some(ms) = base.spec.watchdog_ms {
            env.push((
                "WATCHDOG_USEC".into(),
                ms.saturating_mul(1_000).to_string().into(),
            ));
        }
    }
    env
}
