//! The engine: the one place where the core is called.
//!
//! Purpose: drain what happened, let the core decide, make its decisions durable, carry them out.
//! Invariants: everything the core persists for a batch is committed, in one transaction, before
//! any other effect of the batch is carried out; a batch in which somebody is answered is on the
//! disk before that; any other is there within [`SYNC_AFTER`], so that a restart does not wait for
//! the disk, and a power cut takes only what nobody was told; when the commit fails nothing of the
//! batch is done and it is tried again for ever, while questions are still answered; an input is
//! handled once, in the order of its arrival.
//! Deliberately absent: waiting for anything but inputs, questions and time.

use std::time::{Duration, Instant};

use eud_core::Core;
use eud_core::fleet::{Fleet, task_of};
use eud_core::io::{Accepted, Command, Effect, Input, Now, Persist, Refusal};
use eud_core::record::TaskId;
use eud_core::select;
use eud_core::view::{ManagerView, State, Status};
use eud_store::{Store, StoreError};
use tokio::sync::mpsc;

use crate::clock;
use crate::effects::{Hands, signal_name};
use crate::error::CommandError;
use crate::handle::{Ask, Info, Request, Shown, one_unit};
use crate::problems::{Problems, Subject};

/// Inputs that may wait for the engine; senders wait beyond that.
pub const INPUTS_MAX: usize = 4_096;

/// Questions and commands that may wait for the engine; askers wait beyond that.
pub const ASKS_MAX: usize = 256;

/// Inputs handled before their decisions are committed.
const BATCH_MAX: usize = 256;

/// Pause between two tries to commit.
const RETRY: Duration = Duration::from_secs(1);

/// What nobody waits for is on the disk this much later: not at once, because a file system that
/// is writing lets those wait who start the next run.
const SYNC_AFTER: Duration = Duration::from_millis(20);

/// A wall clock that moves this much against the other one was set.
const STEP_MS: i64 = 500;

/// How the manager ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExitOutcome {
    /// Units that had not gone as wanted when the shutdown was asked for.
    pub failed: Vec<String>,
    /// The daemons were left running.
    pub kept_daemons: bool,
    /// The engine ended by a fault of ours. The daemons go on under their keepers; a new manager
    /// takes them back.
    pub crashed: bool,
}

impl ExitOutcome {
    /// 0 when everything had gone as wanted, 70 (`EX_SOFTWARE`) after a fault of ours, else 1.
    pub fn code(&self) -> u8 {
        match self {
            Self { crashed: true, .. } => 70,
            Self { failed, .. } => u8::from(!failed.is_empty()),
        }
    }
}

/// What woke the engine.
enum Woken {
    Input(Input),
    Ask(Ask),
    Time,
    /// What was recorded is to be on the disk now.
    Sync,
    /// Nobody can ask or tell anything any more.
    Abandoned,
}

/// See the module.
pub(crate) struct Engine {
    pub(crate) core: Core,
    pub(crate) store: Store,
    pub(crate) hands: Hands,
    pub(crate) inputs: mpsc::Receiver<Input>,
    pub(crate) asks: mpsc::Receiver<Ask>,
    pub(crate) info: std::sync::Arc<Info>,
    pub(crate) problems: Problems,
    /// Asked for while nothing could be recorded; what comes of it depends on the next try.
    pub(crate) waiting: Option<Ask>,
    /// Effects of the present batch.
    pub(crate) out: Vec<Effect>,
    /// Fleet to be remembered with the present batch.
    pub(crate) fleet: Option<Box<Fleet>>,
    pub(crate) outcome: ExitOutcome,
    /// When the disk is to be waited for.
    pub(crate) sync_at: Option<Instant>,
}

fn no_task(id: TaskId) -> CommandError {
    let refusal = Refusal::Unknown {
        what: "task".to_owned(),
        name: id.to_string(),
    };
    let message = crate::refusal::words(&refusal);
    CommandError::Refused { refusal, message }
}

/// By value, as it is mapped.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn unreadable(error: StoreError) -> CommandError {
    CommandError::Storage(error.to_string())
}

/// Waits until a time of the core's clock, which goes on while the machine sleeps. The runtime's
/// does not: after a sleep this is late, by at most [`crate::HEARTBEAT_MS`]. Ends earlier when the
/// wall clock was set meanwhile, whether or not the system told. For ever without a time.
async fn until(due_ms: Option<u64>) {
    let Some(due_ms) = due_ms else {
        return std::future::pending().await;
    };
    let ahead_ms = |now: Now| now.wall_ms.saturating_sub(now.mono_ms.cast_signed());
    let begun_ms = ahead_ms(clock::now());
    loop {
        if (ahead_ms(clock::now()) - begun_ms).abs() > STEP_MS {
            return;
        }
        let wait_ms = due_ms.saturating_sub(clock::now().mono_ms);
        if wait_ms == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(wait_ms.min(crate::HEARTBEAT_MS))).await;
    }
}

impl Engine {
    /// Runs until the core says that it is over.
    pub(crate) async fn run(mut self) -> ExitOutcome {
        // What was handled before the loop: loading, recovery and the profile.
        if self.finish_batch().await {
            return self.outcome;
        }
        loop {
            match self.woken().await {
                Woken::Input(input) => self.handle(input),
                Woken::Ask(ask) => self.on_ask(ask),
                Woken::Time => self.handle(Input::Tick),
                Woken::Sync => self.sync(),
                Woken::Abandoned => return self.outcome,
            }
            for _ in 1..BATCH_MAX {
                if let Ok(input) = self.inputs.try_recv() {
                    self.handle(input);
                } else if let Ok(ask) = self.asks.try_recv() {
                    self.on_ask(ask);
                } else {
                    break;
                }
            }
            if self.finish_batch().await {
                return self.outcome;
            }
            while let Some(ask) = self.waiting.take() {
                self.on_ask(ask);
                if self.finish_batch().await {
                    return self.outcome;
                }
            }
        }
    }

    async fn woken(&mut self) -> Woken {
        // First, so that no flood of inputs can put it off.
        if self.sync_at.is_some_and(|at| at <= Instant::now()) {
            return Woken::Sync;
        }
        let sync_at = self.sync_at.map(tokio::time::Instant::from_std);
        let due = self.core.next_timeout();
        if due.is_some_and(|due| due <= clock::now().mono_ms) {
            return Woken::Time;
        }
        tokio::select! {
            input = self.inputs.recv() => input.map_or(Woken::Abandoned, Woken::Input),
            ask = self.asks.recv() => ask.map_or(Woken::Abandoned, Woken::Ask),
            () = until(due) => Woken::Time,
            () = tokio::time::sleep_until(sync_at.unwrap_or_else(tokio::time::Instant::now)),
                if sync_at.is_some() => Woken::Sync,
        }
    }

    /// Blocks until the disk has it all. What it cannot take is complained of; the next commit that
    /// somebody waits for will have to write it.
    fn sync(&mut self) {
        self.sync_at = None;
        match self.store.sync() {
            Ok(()) => self.hands.tell_followers(),
            Err(error) => self.cannot_record(&error.to_string()),
        }
    }

    pub(crate) fn handle(&mut self, input: Input) {
        self.hands.before(&input);
        self.core.handle(input, clock::now(), &mut self.out);
    }

    /// Commits and carries out what the batch decided. True when the manager shall exit.
    async fn finish_batch(&mut self) -> bool {
        if self.commit().await {
            return true;
        }
        let is_launch = |effect: &&Effect| matches!(effect, Effect::Launch { .. });
        self.hands.launches = self.out.iter().filter(is_launch).count();
        let mut exit = false;
        for effect in std::mem::take(&mut self.out) {
            exit |= self.hands.perform(&self.core, &self.store, effect);
        }
        if !self.store.is_unsynced() {
            self.hands.tell_followers();
        }
        self.sync_at = match self.sync_at {
            _ if !self.store.is_unsynced() => None,
            None => Some(Instant::now() + SYNC_AFTER),
            set => set,
        };
        if exit {
            self.sync();
        }
        exit
    }

    fn cannot_record(&mut self, why: &str) {
        if self.problems.set(Subject::Storage, why.to_owned()) {
            self.hands.context.diary.error(why);
            self.hands.changed.notify_one();
        }
    }

    /// Commits, however long it takes. True when the manager shall leave at once, with nothing of
    /// the batch done: that is no different from being killed, which is always safe.
    async fn commit(&mut self) -> bool {
        let persist: Vec<Persist> = self
            .out
            .iter()
            .filter_map(|effect| match effect {
                Effect::Persist(persist) => Some(persist.clone()),
                _ => None,
            })
            .collect();
        // A fire or a task is on the disk before its run begins, so that a power cut cannot double
        // it.
        let answers = |effect: &Effect| match effect {
            Effect::Reply { .. } | Effect::Persist(Persist::Book(_) | Persist::Gate(_)) => true,
            Effect::Launch { unit, .. } => task_of(unit).is_some(),
            _ => false,
        };
        let is_awaited = self.fleet.is_some() || self.out.iter().any(answers);
        loop {
            // Blocks this thread, which has nothing better to do: it is the engine's own.
            let recorded = if is_awaited {
                self.store.apply_with_fleet(&persist, self.fleet.as_deref())
            } else {
                self.store.apply_unsynced(&persist)
            };
            let Err(error) = recorded else {
                self.fleet = None;
                if !persist.is_empty() && self.problems.clear(Subject::Storage) {
                    self.hands.changed.notify_one();
                    self.hands
                        .context
                        .diary
                        .note("state.db can be written again");
                }
                return false;
            };
            let text = error.to_string();
            self.cannot_record(&text);
            self.hands.fail_answers(&format!(
                "{text}. It is carried out as soon as it can be recorded"
            ));
            if let Some(Ask::Command(_, answer) | Ask::Load(_, answer)) = self.waiting.take() {
                let _ = answer.send(Err(CommandError::Storage(text)));
            }
            if self.answer_meanwhile().await {
                return true;
            }
        }
    }

    /// Answers questions until the next try. True when the manager shall leave.
    async fn answer_meanwhile(&mut self) -> bool {
        let next_try = tokio::time::Instant::now() + RETRY;
        loop {
            let ask = tokio::select! {
                () = tokio::time::sleep_until(next_try) => return false,
                ask = self.asks.recv() => ask,
            };
            match ask {
                Some(Ask::Command(Request::Shutdown { keep_daemons: true }, answer)) => {
                    // Whoever asked may have gone.
                    let _ = answer.send(Ok(Accepted::default()));
                    self.outcome.kept_daemons = true;
                    return true;
                }
                // There may be room again: whoever asks for something is not made to wait for it,
                // nor refused for what is over.
                Some(ask @ (Ask::Command(..) | Ask::Load(..))) => {
                    self.waiting = Some(ask);
                    return false;
                }
                Some(question) => self.answer(question),
                None => return true,
            }
        }
    }

    fn on_ask(&mut self, ask: Ask) {
        match ask {
            Ask::Command(request, answer) => match self.resolve(request) {
                Ok(command) => {
                    if let Command::Shutdown { keep_daemons } = &command {
                        self.note_outcome(*keep_daemons);
                    }
                    let ticket = self.hands.ticket(answer);
                    self.handle(Input::Command { ticket, command });
                }
                Err(e) => {
                    // Whoever asked may have gone; so everywhere below.
                    let _ = answer.send(Err(e));
                }
            },
            Ask::Load(fleet, answer) => {
                let ticket = Some(self.hands.ticket(answer));
                self.handle(Input::Load {
                    fleet: fleet.clone(),
                    ticket,
                });
                self.fleet = Some(fleet);
            }
            question => self.answer(question),
        }
    }

    /// From selectors to units.
    fn resolve(&self, request: Request) -> Result<Command, CommandError> {
        let units = |terms: Vec<String>| {
            if terms.is_empty() {
                return Err(CommandError::Invalid("no daemon was named".to_owned()));
            }
            select::units(self.core.fleet(), &terms).map_err(CommandError::Selector)
        };
        Ok(match request {
            Request::Up { profile } => Command::Up { profile },
            Request::Start(terms) => Command::Start(units(terms)?),
            Request::Stop(terms) => Command::Stop(units(terms)?),
            Request::Restart(terms) => Command::Restart(units(terms)?),
            Request::Signal(terms, signal) => Command::Signal(units(terms)?, signal_name(&signal)?),
            Request::Hold(terms, reason) => Command::Hold(units(terms)?, reason),
            Request::Release(terms) => Command::Release(units(terms)?),
            Request::Trigger(terms) => Command::Trigger(units(terms)?),
            Request::Emit(events) => Command::Emit(events),
            Request::Task(command) => Command::Task(command),
            Request::Bus(command) => Command::Bus(command),
            Request::Rule(command) => Command::Rule(command),
            Request::Channel(command) => Command::Channel(command),
            Request::Shutdown { keep_daemons } => Command::Shutdown { keep_daemons },
        })
    }

    /// Remembers what had gone wrong: once everything is stopped, nothing shows it any more.
    fn note_outcome(&mut self, keep_daemons: bool) {
        let wrong = |state| {
            matches!(
                state,
                State::Failed | State::Unknown | State::Backoff | State::CoolDown
            )
        };
        self.outcome.kept_daemons = keep_daemons;
        if self.outcome.failed.is_empty() {
            self.outcome.failed = self
                .core
                .units()
                .filter(|unit| self.core.state(unit).is_some_and(wrong))
                .cloned()
                .collect();
        }
    }

    /// Answers a question, which changes nothing.
    fn answer(&self, question: Ask) {
        match question {
            Ask::Status(answer) => {
                let _ = answer.send(self.status(clock::now()));
            }
            Ask::Show(name, runs, answer) => {
                let _ = answer.send(self.show(&name, runs));
            }
            Ask::Why(name, answer) => {
                let why = self.unit_of(&name).and_then(|unit| {
                    self.core
                        .explain(&unit, clock::now())
                        .ok_or(CommandError::Ending)
                });
                let _ = answer.send(why);
            }
            Ask::Runs(name, limit, answer) => {
                let unit = self.unit_of(&name);
                // A unit that is no longer declared is still known by its runs.
                let known = unit.as_ref().map_or(name.as_str(), String::as_str);
                let rows = self.store.runs(known, limit);
                let rows = rows.map_err(unreadable);
                let _ = answer.send(match (unit, rows) {
                    (Err(e), Ok(rows)) if rows.is_empty() => Err(e),
                    (_, rows) => rows,
                });
            }
            Ask::Pools(answer) => {
                let _ = answer.send(self.core.pools(clock::now()));
            }
            Ask::Bus(answer) => {
                let _ = answer.send(self.core.bus());
            }
            Ask::Rules(answer) => {
                let _ = answer.send(self.core.rules());
            }
            Ask::TryRule(name, event, answer) => {
                let _ = answer.send(self.core.try_rule(&name, &event, clock::now()));
            }
            Ask::Approvals(answer) => {
                let _ = answer.send(self.core.approvals().cloned().collect());
            }
            Ask::Channels(answer) => {
                let _ = answer.send(self.core.channels(clock::now()));
            }
            Ask::Messages(answer) => {
                let _ = answer.send(self.core.messages());
            }
            Ask::Tasks(filter, answer) => {
                let _ = answer.send(self.store.tasks(&filter).map_err(unreadable));
            }
            Ask::Task(id, answer) => {
                let found = self.store.task(id).map_err(unreadable);
                let _ = answer.send(found.and_then(|found| found.ok_or_else(|| no_task(id))));
            }
            Ask::Command(_, answer) | Ask::Load(_, answer) => {
                let _ = answer.send(Err(CommandError::Ending));
            }
        }
    }

    /// A unit as it is called, those on their way out included, or the one that a selector means.
    fn unit_of(&self, name: &str) -> Result<String, CommandError> {
        if self.core.state(name).is_some() {
            return Ok(name.to_owned());
        }
        one_unit(self.core.fleet(), name)
    }

    fn status(&self, now: Now) -> Status {
        let mut status = self.core.status(now);
        status.manager = Some(ManagerView {
            pid: self.info.pid,
            started_at: self.info.started_at.clone(),
            version: self.info.version.clone(),
        });
        status.problems.extend(self.problems.list());
        status
    }

    fn show(&self, name: &str, runs: u32) -> Result<Shown, CommandError> {
        let unit = self.unit_of(name)?;
        let (Some(view), Some(daemon)) =
            (self.core.view(&unit, clock::now()), self.core.daemon(&unit))
        else {
            return Err(CommandError::Ending);
        };
        let launched = self
            .hands
            .launched(&unit)
            .filter(|launched| *launched != daemon);
        let runs = self.store.runs(&unit, runs).unwrap_or_default();
        let run = view
            .run
            .clone()
            .or_else(|| runs.first().map(|row| row.run.clone()));
        Ok(Shown {
            daemon: (**daemon).clone(),
            launched: launched.map(|launched| (**launched).clone()),
            view,
            run,
            runs,
        })
    }
}
