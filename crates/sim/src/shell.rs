//! The model of the shell: carries out effects on the world, loses messages and dies where a real
//! one could.
//!
//! The order of work in `deliver` and `recover` is that of the real shell; `Defect`s are ways to
//! get it wrong.

use std::collections::BTreeMap;
use std::sync::Arc;

use eud_core::Core;
use eud_core::event::{self as bus, Seq};
use eud_core::fleet::Unit;
use eud_core::io::{
    BusPersist, Command, Effect, Fate, Input, Now, Persist, RecoveredRun, Recovery, Reply, RunEvent,
};
use eud_core::record::{EndReason, Fire, Generation, RunId, RunRow};
use eud_core::view::State;

use crate::check::{Checker, Told};
use crate::jobs::JobChecker;
use crate::publish::EventChecker;
use crate::run::{Event, History};
use crate::tasks::TaskChecker;
use crate::world::{Keeper, SimRun};

/// The status is checked after every so many inputs; it is the dearest check.
pub(crate) const STATUS_EVERY: u64 = 5;

/// Mistakes of a shell, to be found by the checkers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Defect {
    /// Effects are carried out before their batch is committed.
    EffectsFirst,
    /// A keeper that comes late does not look for the exit file that fences it off.
    NoFence,
    /// The tree of a lost keeper is not swept.
    NoSweep,
    /// Exit files written while no manager ran are not read.
    ExitFilesUnread,
    /// Folders of runs that the journal does not know are not looked for.
    UnknownRunsUnseen,
}

impl Defect {
    /// Every one.
    pub const ALL: [Self; 5] = [
        Self::EffectsFirst,
        Self::NoFence,
        Self::NoSweep,
        Self::ExitFilesUnread,
        Self::UnknownRunsUnseen,
    ];
}

impl History {
    /// Gives the core an input and carries out what it asks for; may die in between.
    pub(crate) fn deliver(&mut self, input: Input) -> Result<(), String> {
        let (before, epoch) = (self.before_gauges(&input), self.epoch);
        self.hand_over(input)?;
        if self.epoch == epoch {
            self.after_gauges(&before)?;
        }
        Ok(())
    }

    fn hand_over(&mut self, input: Input) -> Result<(), String> {
        let now = self.now();
        let Some(mut core) = self.core.take() else {
            return Ok(());
        };
        self.note_told(&input);
        let is_load = matches!(input, Input::Load { .. });
        let mut effects = Vec::new();
        core.handle(input, now, &mut effects);
        self.trace(format_args!("{effects:?}"));
        // A crash at step k: before the commit (0), after it (1), or after k - 1 further effects.
        let dies = self.faults && self.dice.roll().is_multiple_of(60);
        let crash_at = if dies {
            self.dice.range(0, effects.len() as u64 + 1)
        } else {
            u64::MAX
        };
        let (persists, others): (Vec<Effect>, Vec<Effect>) = effects
            .into_iter()
            .partition(|effect| matches!(effect, Effect::Persist(_)));
        let effects_first = self.defect == Some(Defect::EffectsFirst);
        if crash_at == 0 && !effects_first {
            return self.manager_dies();
        }
        // Without anybody to answer, the disk is waited for only after the effects.
        let books = |e: &Effect| matches!(e, Effect::Persist(Persist::Book(_) | Persist::Gate(_)));
        let is_awaited = others.iter().any(|e| matches!(e, Effect::Reply { .. }))
            || persists.iter().any(books)
            || is_load;
        let is_power_cut = dies && self.dice.chance(40);
        self.world.begin_batch(is_awaited, now.mono_ms);
        if !effects_first {
            self.commit(&persists)?;
        }
        // What happened is so from now on, whether or not somebody lives to tell of it.
        for effect in &others {
            if let Effect::Happened(happened) = effect {
                self.jobs.happened(&happened.what);
            }
        }
        let mut over = false;
        for (step, effect) in (1..).zip(others) {
            if crash_at == step {
                return if is_power_cut {
                    self.power_cut()
                } else {
                    self.manager_dies()
                };
            }
            over |= effect == Effect::Exit;
            self.carry_out(&core, effect)?;
        }
        if effects_first {
            if dies {
                return self.manager_dies();
            }
            self.commit(&persists)?;
        }
        self.look_at(&core, now)?;
        if !over {
            self.core = Some(core);
        } else {
            self.manager_gone();
        }
        self.check_world()
    }

    /// Checks what the core says, and sets the timer that it wants.
    fn look_at(&mut self, core: &Core, now: Now) -> Result<(), String> {
        if self.epoch_inputs.is_multiple_of(STATUS_EVERY) {
            self.checker.status(core, now)?;
            if self.tasks.is_recovered {
                TaskChecker::core_agrees(&self.world, core, now)?;
            }
        }
        self.epoch_inputs += 1;
        if let Some(due) = core.next_timeout()
            && self.tick_at.is_none_or(|at| due < at)
        {
            self.tick_at = Some(due);
            let tick = Event::Tick { epoch: self.epoch };
            self.after(due.saturating_sub(now.mono_ms), tick);
        }
        Ok(())
    }

    fn commit(&mut self, persists: &[Effect]) -> Result<(), String> {
        EventChecker::recorded(&self.world, persists)?;
        self.deliveries.recorded(&self.world, persists);
        for effect in persists {
            let Effect::Persist(item) = effect else {
                continue;
            };
            self.checker.persisted(&self.fleet, item, self.mono_ms)?;
            self.tasks.records(&self.fleet, &self.world, item)?;
            // Ends of runs are only ever recorded once, with one content.
            if let Persist::RunEnded { record, .. } = item
                && let Some(row) = self.world.journal.runs.get(&record.run)
                && row.exit.is_some()
            {
                return Err(format!("the end of {} is recorded twice", record.run));
            }
            if let Persist::Intent(intent) = item
                && intent.hold.as_ref().is_some_and(|hold| {
                    hold.starts_with("restarted ") || hold.starts_with("guard ")
                })
            {
                self.reference.held_by_limit(&intent.unit);
            }
            let before = self.kept(item);
            self.world.record(item);
            let kept = &self.world.journal.bus.events;
            let gone = before.into_values().filter(|e| !kept.contains_key(&e.seq));
            self.deliveries.gone(&self.fleet, gone)?;
            if let Persist::RunEnded { record, .. } = item {
                Checker::record_is_true(&self.world, &record.run)?;
            }
        }
        for effect in persists {
            if let Effect::Persist(Persist::RunEnded { record, .. }) = effect {
                JobChecker::ended(&self.fleet, &self.world, record)?;
            }
        }
        Ok(())
    }

    /// The events, if some of them may go now.
    fn kept(&self, item: &Persist) -> BTreeMap<Seq, Arc<bus::Event>> {
        match item {
            Persist::Bus(BusPersist::Prune { .. }) => self.world.journal.bus.events.clone(),
            _ => BTreeMap::new(),
        }
    }

    fn note_told(&mut self, input: &Input) {
        match input {
            Input::Run {
                unit,
                generation,
                event,
            } => {
                let Some(told) = self.checker.told.get_mut(unit) else {
                    return;
                };
                if told.generation != *generation {
                    return;
                }
                match event {
                    RunEvent::Started { .. } => told.started = true,
                    RunEvent::Ended(_) => told.ended = true,
                    RunEvent::Unreachable(why) => told.unreachable = why.is_some(),
                    _ => {}
                }
            }
            Input::Probed {
                unit,
                generation,
                outcome: Ok(()),
                ..
            } => {
                if let Some(told) = self.checker.told.get_mut(unit)
                    && told.generation == *generation
                {
                    told.passed = true;
                }
            }
            Input::Recover(recovery) => {
                for run in &recovery.runs {
                    let started = matches!(run.fate, Fate::Live { pid: Some(_), .. });
                    let told = Told {
                        generation: run.generation,
                        started,
                        passed: false,
                        ended: matches!(run.fate, Fate::Ended(_)),
                        unreachable: matches!(run.fate, Fate::Unreachable(_)),
                    };
                    self.checker.told.insert(run.unit.clone(), told);
                }
            }
            _ => {}
        }
    }

    fn carry_out(&mut self, core: &Core, effect: Effect) -> Result<(), String> {
        self.checker
            .effect(&self.world, core, &effect, &self.fleet)?;
        let epoch = self.epoch;
        match effect {
            Effect::Launch {
                unit,
                generation,
                run,
                fire,
                ..
            } => {
                self.launch_passes_gates(&unit)?;
                self.launch(unit, generation, run, fire);
            }
            Effect::Sample { .. } | Effect::Measure { .. } => self.observe(effect)?,
            Effect::Bus(effect) => self.bus_effect(effect),

            Effect::Transition(told) if told.to == State::Stopping => {
                let run = told.run.and_then(|run| self.world.runs.get_mut(&run));
                if let Some(stopped) = run {
                    stopped.stop_asked = true;
                    self.jobs.is_stopped(stopped);
                }
            }
            Effect::Stop { generation, .. } => {
                self.stop(generation);
            }
            Effect::KillKeeper { generation, .. } => {
                if let Some(run) = self.run_of(generation) {
                    self.world.end_keeper(&run, true);
                    self.after(5, Event::LossNoticed { run, epoch });
                }
            }
            Effect::Probe {
                unit,
                generation,
                which,
                ..
            } => {
                let delay = self.latency(900);
                let passes = self.probe_passes(generation);
                self.after(
                    delay,
                    Event::ProbeAnswers {
                        epoch,
                        unit,
                        generation,
                        which,
                        passes,
                    },
                );
            }
            Effect::Reply { reply, .. } => {
                self.answered(reply)?;
            }
            Effect::Persist(_)
            | Effect::Signal { .. }
            | Effect::WatchLog { .. }
            | Effect::Watch { .. }
            | Effect::DropBatches { .. }
            | Effect::Task(_)
            | Effect::Stored(_)
            | Effect::Happened(_)
            | Effect::Transition(_)
            | Effect::Exit => {}
        }
        Ok(())
    }

    fn stop(&mut self, generation: Generation) {
        let Some(run) = self.run_of(generation) else {
            return;
        };
        // No change of state tells of it when its keeper does not answer.
        if let Some(stopped) = self.world.runs.get(&run) {
            self.jobs.is_stopped(stopped);
        }
        let (delay, epoch) = (self.latency(20), self.epoch);
        self.after(delay, Event::StopArrives { run, epoch });
    }

    fn launch(&mut self, unit: Unit, generation: Generation, run: RunId, fire: Option<Fire>) {
        let ready_in = if self.faults {
            self.dice.range(0, 4_000)
        } else {
            500
        };
        let stubborn = self.dice.chance(15);
        let sim_run = SimRun {
            unit,
            generation,
            keeper: Keeper::Spawned,
            frozen: false,
            fire,
            stop_asked: false,
            alive: false,
            tree_left: false,
            started_ms: None,
            kill_at: None,
            exit: None,
            truth: None,
            ready_from: self.mono_ms + ready_in,
            obeys_after: (!stubborn).then(|| self.dice.range(1, 400)),
        };
        self.world.active.insert(run.clone());
        self.world.runs.insert(run.clone(), sim_run);
        self.by_generation.insert(generation, run.clone());
        let delay = self.latency(4_000);
        self.after(delay, Event::KeeperBegins { run });
    }

    /// The operator reads the answer: from now on it binds.
    fn answered(&mut self, reply: Reply) -> Result<(), String> {
        let command = self.pending.take();
        if let Some(Command::Emit(events)) = &command {
            return self.published(events, &reply);
        }
        if let (Reply::Accepted(accepted), Some(command)) = (reply, command) {
            self.tasks.answered(&self.world, &command, &accepted)?;
            match &command {
                Command::Restart(_) | Command::Shutdown { .. } => self.jobs.forgive_all(),
                _ => {}
            }
            for unit in self.reference.acknowledge(&self.fleet, &command) {
                self.jobs.forgive(&unit);
                self.checker.forgive(&unit);
            }
            if let Some(wrong) = self.reference.disagrees(&self.world.journal.intents) {
                return Err(format!("after {command:?}: {wrong}"));
            }
        }
        Ok(())
    }

    /// A new manager: inventory first, then the core.
    pub(crate) fn recover(&mut self, seed: u64) -> Result<(), String> {
        self.epoch += 1;
        self.gauges.new_manager();
        let mut core = Core::new(seed);
        if let Some(planted) = self.planted {
            core.plant(planted);
        }
        let journal = &self.world.journal;
        let is_open = |row: &&RunRow| row.exit.is_none();
        let mut open: Vec<RunRow> = journal.runs.values().filter(is_open).cloned().collect();
        let mut next_generation = journal.next_generation;
        if self.defect != Some(Defect::UnknownRunsUnseen) {
            let unknown = self.world.unknown_runs();
            let highest = unknown.iter().map(|row| row.generation).max().unwrap_or(0);
            next_generation = next_generation.max(highest + 1);
            open.extend(unknown);
        }
        let mut runs = Vec::new();
        for row in open {
            let fate = self.fate(&row)?;
            let RunRow {
                run,
                unit,
                generation,
                ..
            } = row;
            runs.push(RecoveredRun {
                run,
                unit,
                generation,
                fate,
            });
        }
        let journal = &self.world.journal;
        let recovery = Recovery {
            intents: journal.intents.values().cloned().collect(),
            ledgers: journal.ledgers.values().cloned().collect(),
            profile: journal.profile.clone(),
            next_generation,
            last_runs: journal.last_runs(),
            runs,
            books: journal.books.values().cloned().collect(),
            gates: journal.gates.values().cloned().collect(),
            boot_id: format!("boot {}", self.boots),
            bus: journal.bus.recovered(),
            tasks: journal.tasks.recovered(),
        };
        if self.defect.is_none() {
            self.jobs.none_lost(&self.fleet, &self.world)?;
            self.events.none_lost(&self.fleet, &self.world)?;
            self.tasks.none_lost(&self.world)?;
        }
        self.checker.told.clear();
        self.core = Some(core);
        let fleet = Box::new(self.fleet.clone());
        self.deliver(Input::Load {
            fleet,
            ticket: None,
        })?;
        self.tasks.is_recovered = self.core.is_some();
        self.deliver(Input::Recover(Box::new(recovery)))
    }

    fn fate(&mut self, row: &RunRow) -> Result<Fate, String> {
        let Some(run) = self.world.runs.get(&row.run).cloned() else {
            // The folder was never made: the manager died between intent and effect.
            let record = self.never_started(row);
            return Ok(Fate::Ended(record));
        };
        if run.keeper == Keeper::Locked {
            if run.frozen {
                return Ok(Fate::Unreachable("its keeper does not answer".into()));
            }
            let pid = run
                .alive
                .then(|| u32::try_from(run.generation).unwrap_or(1));
            return Ok(Fate::Live {
                pid,
                started_at_ms: run.started_ms.unwrap_or(self.wall_ms()),
                ready_seen: false,
                changed: Vec::new(),
            });
        }
        let unread = self.defect == Some(Defect::ExitFilesUnread);
        if let Some(exit) = run.exit.as_ref().filter(|_| !unread) {
            return Ok(Fate::Ended(exit.clone()));
        }
        Ok(Fate::Ended(self.declare_lost(&row.run, unread)))
    }

    /// Takes the unit's lock, sweeps what is left, and writes the record that also fences a late
    /// keeper.
    pub(crate) fn declare_lost(&mut self, id: &RunId, anew: bool) -> eud_core::record::ExitRecord {
        let wall = self.wall_ms();
        let no_sweep = self.defect == Some(Defect::NoSweep);
        if let Some(run) = self.world.runs.get_mut(id) {
            if !no_sweep {
                run.tree_left = false;
                self.world.active.remove(id);
            }
            if anew {
                run.exit = None;
            }
        }
        let started = self
            .world
            .runs
            .get(id)
            .is_some_and(|run| run.started_ms.is_some());
        let reason = if started {
            EndReason::KeeperLost
        } else {
            EndReason::NeverStarted
        };
        let written = self.world.write_exit(id, reason, None, wall);
        written.unwrap_or_else(|| unreachable!("{id} has a folder"))
    }

    fn never_started(&mut self, row: &RunRow) -> eud_core::record::ExitRecord {
        eud_core::record::ExitRecord {
            run: row.run.clone(),
            unit: row.unit.clone(),
            generation: row.generation,
            reason: EndReason::NeverStarted,
            code: None,
            signal: None,
            core: false,
            message: None,
            pid: 0,
            started_at_ms: 0,
            ended_at_ms: self.wall_ms(),
            max_rss_kb: 0,
            cpu_user_us: 0,
            cpu_system_us: 0,
        }
    }
}
