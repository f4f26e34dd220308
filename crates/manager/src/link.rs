//! The manager's side of one run, from its launch or adoption to its end.
//!
//! Purpose: turn what a keeper says into news for the core, and find out what happened when it says
//! no more.
//! Invariants: exactly one end is reported for a run; it is reported only with a record on disk; a
//! keeper that holds its lock is never declared dead; requests made while the keeper is out of
//! reach are sent when it is back.
//! Deliberately absent: any decision to stop or start.

mod progress;

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use eud_core::fleet::ProgressFrom;
use eud_core::io::{Input, Notify, RunEvent};
use eud_core::record::ExitRecord;
use eud_sys::process::{self, Identity};
use eud_sys::signal::Signal;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::context::Context;
use crate::exit_file::{self, BuryError, ExitFile, RunKey};
use crate::keeper_line::{Heard, KeeperLine};
use crate::layout::run_file;
use crate::log_follow::{Looked, Mark};
use crate::log_watch::LogWatch;
use crate::notify;
use crate::progress::Progress;
use crate::wire::{Asked, Hello, Said};

/// Requests that may wait for a keeper.
pub(crate) const REQUESTS_MAX: usize = 64;

/// How long a keeper that holds its lock may be silent before it is called unreachable.
const SILENCE_LIMIT: Duration = Duration::from_secs(1);

/// First and longest pause between two tries to reach it.
const RETRY_FIRST: Duration = Duration::from_millis(2);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// What the engine asks of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    /// To be said to the keeper.
    Ask(Asked),
    /// End the keeper itself, which does not do as asked.
    KillKeeper,
    /// Tell when a line of the output matches.
    WatchLog(String),
    /// Tell of the progress that its output shows.
    WatchProgress(ProgressFrom),
}

/// See the module.
pub(crate) struct Link {
    pub(crate) context: Arc<Context>,
    pub(crate) key: RunKey,
    pub(crate) requests: mpsc::Receiver<Request>,
    /// Rotated logs are compressed.
    pub(crate) compress: bool,
    /// Where the log ended when the run began; `None` for an adopted one.
    pub(crate) log_mark: Option<Mark>,
    state: State,
}

#[derive(Debug, Default)]
struct State {
    keeper: Option<Identity>,
    /// The command, once it is executing.
    pid: Option<u32>,
    started_at_ms: i64,
    unreachable: bool,
    log_blocked: bool,
    watch: Option<LogWatch>,
    /// There is output that `watch` has not seen.
    log_unread: bool,
    /// What counts as progress, if somebody wants to know.
    progress_from: Option<ProgressFrom>,
    progress: Option<Progress>,
    /// When it is looked at next: there is output that it has not seen.
    progress_due: Option<Instant>,
    /// When it was looked at last.
    progress_seen: Option<Instant>,
    /// Requests to repeat on a new connection.
    unsent: Vec<Asked>,
}

impl Link {
    pub(crate) fn new(
        context: Arc<Context>,
        key: RunKey,
        requests: mpsc::Receiver<Request>,
        compress: bool,
        log_mark: Option<Mark>,
    ) -> Self {
        Self {
            context,
            key,
            requests,
            compress,
            log_mark,
            state: State::default(),
        }
    }

    /// Follows the run to its end, or until the engine loses interest.
    pub(crate) async fn follow(mut self, line: Option<KeeperLine>, hello: Option<Hello>) {
        if let Some(hello) = hello {
            self.state.pid = hello.pid;
            self.on_hello(&hello).await;
        } else if line.is_none() {
            // Recovery has told the core already that it is out of reach.
            self.state.unreachable = true;
        }
        let mut next = line;
        loop {
            if let Some(line) = next.take()
                && self.converse(line).await
            {
                return;
            }
            match self.find_out().await {
                Some(line) => next = Some(line),
                None => return,
            }
        }
    }

    /// Talks to the keeper until the run is over (true) or the connection is (false).
    async fn converse(&mut self, mut line: KeeperLine) -> bool {
        for asked in std::mem::take(&mut self.state.unsent) {
            self.say(&mut line, asked).await;
        }
        if self.state.watch.is_some() {
            self.say(&mut line, Asked::Watch).await;
            self.state.log_unread = true;
        }
        if self.state.progress_from.is_some() {
            self.say(&mut line, Asked::Watch).await;
            self.note_output();
        }
        loop {
            // In no fixed order: a daemon that talks without end must not keep a stop from being
            // asked for.
            tokio::select! {
                heard = line.hear() => match heard {
                    Heard::Said(Said::Ended { record }) if record.run == self.key.run => {
                        self.end(*record).await;
                        return true;
                    }
                    Heard::Said(said) => self.on_said(said).await,
                    Heard::Nonsense(why) => {
                        self.context.diary.error(&format!("keeper of {}: {why}", self.key.unit));
                    }
                    Heard::Lost(_) => return false,
                },
                request = self.requests.recv() => match request {
                    Some(request) => self.on_request(Some(&mut line), request).await,
                    None => return true,
                },
                () = std::future::ready(()), if self.state.log_unread => {
                    self.look_at_log(&mut line).await;
                }
                () = sleep_until(self.state.progress_due.unwrap_or_else(Instant::now)),
                    if self.state.progress_due.is_some() => {
                    self.look_at_progress(&mut line).await;
                }
            }
        }
    }

    async fn say(&mut self, line: &mut KeeperLine, asked: Asked) {
        if line.ask(&asked).await.is_err() && asked != Asked::Watch {
            // A keeper that does not read ends the connection soon; it is repeated on the next one.
            self.state.unsent.push(asked);
        }
    }

    async fn on_request(&mut self, line: Option<&mut KeeperLine>, request: Request) {
        match (request, line) {
            (Request::Ask(asked), Some(line)) => self.say(line, asked).await,
            (Request::Ask(asked), None) => self.state.unsent.push(asked),
            (Request::KillKeeper, _) => self.kill_keeper(),
            (Request::WatchProgress(from), line) => {
                let is_new = self.state.progress_from != Some(from);
                self.watch_progress(from);
                if let Some(line) = line.filter(|_| is_new) {
                    self.say(line, Asked::Watch).await;
                    self.note_output();
                }
            }
            (Request::WatchLog(pattern), line) => {
                let since_ms = self.state.started_at_ms;
                match LogWatch::new(
                    &self.context.layout,
                    &self.key.unit,
                    &pattern,
                    self.log_mark,
                    since_ms,
                ) {
                    Ok(watch) => self.state.watch = Some(watch),
                    Err(why) => self
                        .context
                        .diary
                        .error(&format!("{}: {why}", self.key.unit)),
                }
                if let Some(line) = line {
                    self.say(line, Asked::Watch).await;
                    self.state.log_unread = true;
                }
            }
        }
    }

    async fn on_said(&mut self, said: Said) {
        match said {
            Said::Hello(hello) => self.on_hello(&hello).await,
            Said::Started { pid, at_ms } => self.on_started(pid, at_ms).await,
            Said::Notify { message } => {
                for item in notify::parse(&message) {
                    self.tell(RunEvent::Notify(item)).await;
                }
            }
            Said::Output => {
                self.state.log_unread = self.state.watch.is_some();
                self.note_output();
            }
            Said::Rotated { file } => {
                if self.compress {
                    let path = self.context.layout.logs(&self.key.unit).join(file);
                    self.context.compressor.compress(path);
                }
            }
            Said::LogBlocked { error } => self.on_log(Some(error)).await,
            Said::LogUnblocked => self.on_log(None).await,
            Said::Ended { record } => self.context.diary.error(&format!(
                "keeper of {} reports the end of run {}, which is not its own",
                self.key.unit, record.run
            )),
            Said::Unknown => {}
        }
    }

    /// A hello repeats what may have been missed.
    async fn on_hello(&mut self, hello: &Hello) {
        self.state.keeper = process::identity(hello.keeper_pid).ok();
        if self.state.unreachable {
            self.state.unreachable = false;
            self.tell(RunEvent::Unreachable(None)).await;
        }
        if let Some(pid) = hello.pid {
            self.on_started(pid, hello.started_at_ms).await;
        }
        if hello.ready {
            self.tell(RunEvent::Notify(Notify::Ready)).await;
        }
        if let Some(text) = &hello.status {
            for item in notify::parse(&format!("STATUS={text}")) {
                self.tell(RunEvent::Notify(item)).await;
            }
        }
        if hello.log_blocked.is_some() || self.state.log_blocked {
            self.on_log(hello.log_blocked.clone()).await;
        }
    }

    async fn on_started(&mut self, pid: u32, at_ms: i64) {
        self.state.started_at_ms = at_ms;
        if self.state.pid.is_none() {
            self.state.pid = Some(pid);
            self.tell(RunEvent::Started { pid, at_ms }).await;
        }
    }

    async fn on_log(&mut self, blocked: Option<String>) {
        self.state.log_blocked = blocked.is_some();
        self.tell(RunEvent::LogBlocked(blocked)).await;
    }

    /// Reads what was written since the last look, off this task, and asks to be told of more.
    async fn look_at_log(&mut self, line: &mut KeeperLine) {
        self.state.log_unread = false;
        let Some(mut watch) = self.state.watch.take() else {
            return;
        };
        let looked = tokio::task::spawn_blocking(move || {
            let found = watch.look();
            (watch, found)
        })
        .await;
        let Ok((watch, found)) = looked else { return };
        match found {
            Ok(Looked::Enough) => {
                let dir = self.context.layout.run(&self.key.unit, &self.key.run);
                // Only spares the next manager a search; without it the line is looked for again.
                let _ = fs::write(dir.join(run_file::READY), b"");
                return self.tell(RunEvent::LogMatched).await;
            }
            Ok(Looked::More) => self.state.log_unread = true,
            Ok(Looked::AllSeen) => self.say(line, Asked::Watch).await,
            Err(e) => {
                self.context
                    .diary
                    .error(&format!("log of {}: {e}", self.key.unit));
                self.say(line, Asked::Watch).await;
            }
        }
        self.state.watch = Some(watch);
    }

    /// The connection is lost: the run is over, or its keeper is alive and can be reached anew, or
    /// it cannot.
    async fn find_out(&mut self) -> Option<KeeperLine> {
        let silent_since = Instant::now();
        let mut pause = RETRY_FIRST;
        loop {
            if let ExitFile::Record(record) = exit_file::read(&self.context.layout, &self.key) {
                self.end(*record).await;
                return None;
            }
            let why = match self.bury().await {
                Ok(record) => {
                    self.end(record).await;
                    return None;
                }
                Err(BuryError::Held) => {
                    let deadline = Instant::now() + SILENCE_LIMIT;
                    match KeeperLine::connect(&self.context.layout, &self.key, deadline).await {
                        Ok((line, hello)) => {
                            self.on_hello(&hello).await;
                            return Some(line);
                        }
                        Err(e) => format!("its keeper is alive but does not answer: {e}"),
                    }
                }
                Err(e) => e.to_string(),
            };
            if !self.state.unreachable && silent_since.elapsed() >= SILENCE_LIMIT {
                self.state.unreachable = true;
                self.tell(RunEvent::Unreachable(Some(why))).await;
            }
            if !self.pause(pause).await {
                return None;
            }
            pause = (pause * 2).min(RETRY_MAX);
        }
    }

    /// Waits, attending to requests. False when the engine has lost interest.
    async fn pause(&mut self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        loop {
            tokio::select! {
                () = sleep_until(until) => return true,
                request = self.requests.recv() => match request {
                    Some(request) => self.on_request(None, request).await,
                    None => return false,
                },
            }
        }
    }

    async fn bury(&self) -> Result<ExitRecord, BuryError> {
        let (context, key) = (Arc::clone(&self.context), self.key.clone());
        let pid = self.state.pid;
        match tokio::task::spawn_blocking(move || exit_file::bury(&context.layout, &key, pid)).await
        {
            Ok(done) => done,
            Err(e) => Err(BuryError::File(
                "declare a run dead".into(),
                std::io::Error::other(e),
            )),
        }
    }

    /// What is left of the tree is ended when the record is written, once the lock is free.
    fn kill_keeper(&self) {
        let unit = &self.key.unit;
        let dir = self.context.layout.run(unit, &self.key.run);
        let noted = || {
            let noted = eud_keeper::noted(&dir).ok().flatten()?;
            noted
                .keeper
                .filter(|_| noted.boot_id == self.context.boot_id)
        };
        let diary = &self.context.diary;
        let Some(keeper) = self.state.keeper.or_else(noted) else {
            return diary.error(&format!(
                "cannot kill the keeper of {unit}: it is not known"
            ));
        };
        match process::signal(keeper, Signal::KILL) {
            Ok(true) => diary.error(&format!(
                "killed the keeper of {unit}, which did not stop it"
            )),
            // It has ended by itself; the link finds out.
            Ok(false) => {}
            Err(e) => diary.error(&format!("cannot kill the keeper of {unit}: {e}")),
        }
    }

    async fn end(&mut self, mut record: ExitRecord) {
        record.generation = self.key.generation;
        // Before the end: whoever hears of that has heard it all.
        self.end_progress(&record).await;
        self.tell(RunEvent::Ended(record)).await;
    }

    async fn tell(&self, event: RunEvent) {
        let unit = self.key.unit.clone();
        let input = Input::Run {
            unit,
            generation: self.key.generation,
            event,
        };
        // The engine is gone only when the manager is ending; the record on disk says it to the
        // next one.
        let _ = self.context.inputs.send(input).await;
    }
}
