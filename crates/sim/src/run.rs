//! One history: events in order of virtual time, from a seed.
//!
//! A minute of faults, then good weather for two, after which everything must
//! have settled.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use eud_core::Core;
use eud_core::event::Seq;
use eud_core::fleet::{Fleet, Unit, task_of};
use eud_core::io::{Command, DeliveryRef, Input, Now, RunEvent, Which};
use eud_core::planted::Planted;
use eud_core::record::{EndReason, Generation, RunId, WallMs};

use crate::check::Checker;
use crate::deliver::DeliveryChecker;
use crate::dice::Dice;
use crate::fleet;
use crate::gauges::Gauges;
use crate::jobs::JobChecker;
use crate::publish::EventChecker;
use crate::reference::Reference;
use crate::shell::Defect;
use crate::tasks::TaskChecker;
use crate::world::{Keeper, World};

const FAULTS_MS: u64 = 60_000;
const CALM_MS: u64 = 120_000;
/// A task that would exit with this code runs into its timeout.
const TIMES_OUT: i32 = 127;
const EVENTS_MAX: u64 = 200_000;

/// What to get wrong on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planting {
    /// Nothing.
    None,
    /// In the core.
    Core(Planted),
    /// In the shell's model.
    Shell(Defect),
}

impl Planting {
    /// Every defect that can be planted.
    pub fn all() -> Vec<Self> {
        let core = Planted::ALL.into_iter().map(Self::Core);
        core.chain(Defect::ALL.into_iter().map(Self::Shell))
            .collect()
    }
}

/// How a history ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What was violated, if anything.
    pub violation: Option<String>,
    /// Events handled.
    pub events: u64,
    /// Managers that died.
    pub manager_deaths: u64,
    /// Hash over every input and effect.
    pub trace_hash: u64,
    /// Lines of the trace, if asked for.
    pub trace: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    ManagerStarts,
    Tick {
        epoch: u64,
    },
    KeeperBegins {
        run: RunId,
    },
    CommandStarts {
        run: RunId,
    },
    CommandExits {
        run: RunId,
        code: i32,
    },
    StopArrives {
        run: RunId,
        epoch: u64,
    },
    KeeperKills {
        run: RunId,
    },
    LossNoticed {
        run: RunId,
        epoch: u64,
    },
    Thaws {
        run: RunId,
    },
    Started {
        run: RunId,
        epoch: u64,
    },
    Ended {
        run: RunId,
        epoch: u64,
    },
    ProbeAnswers {
        epoch: u64,
        unit: Unit,
        generation: Generation,
        which: Which,
        passes: bool,
    },
    EventsRead {
        epoch: u64,
        after: Seq,
        max: u32,
    },
    DeliveryAnswers {
        epoch: u64,
        delivery: DeliveryRef,
        passes: bool,
    },
    SampleAnswers {
        epoch: u64,
        gauge: String,
        number: u64,
        value: Option<i64>,
    },
    MeasureAnswers {
        epoch: u64,
        unit: Unit,
        generation: Generation,
        bytes: Option<u64>,
    },
    Mischief,
    Calm,
    End,
}

pub(crate) struct History {
    pub(crate) dice: Dice,
    pub(crate) world: World,
    pub(crate) fleet: Fleet,
    pub(crate) core: Option<Core>,
    pub(crate) epoch: u64,
    pub(crate) mono_ms: u64,
    pub(crate) wall_offset: i64,
    pub(crate) queue: BinaryHeap<Reverse<(u64, u64, Event)>>,
    sequence: u64,
    pub(crate) faults: bool,
    pub(crate) checker: Checker,
    pub(crate) reference: Reference,
    pub(crate) jobs: JobChecker,
    pub(crate) tasks: TaskChecker,
    pub(crate) gauges: Gauges,
    pub(crate) events: EventChecker,
    pub(crate) deliveries: DeliveryChecker,
    /// How often the machine was started.
    pub(crate) boots: u64,
    pub(crate) pending: Option<Command>,
    pub(crate) planted: Option<Planted>,
    pub(crate) defect: Option<Defect>,
    /// When the earliest timer event of the present manager is due.
    pub(crate) tick_at: Option<u64>,
    pub(crate) epoch_inputs: u64,
    /// Units whose every run soon exits.
    sick: Vec<Unit>,
    pub(crate) by_generation: BTreeMap<Generation, RunId>,
    deaths: u64,
    hash: u64,
    keep_trace: bool,
    lines: Vec<String>,
}

/// Lives through the history of a seed.
pub fn simulate(seed: u64, planting: Planting, keep_trace: bool) -> Outcome {
    let mut dice = Dice::new(seed);
    let fleet = fleet::random(&mut dice);
    let (planted, defect) = match planting {
        Planting::None => (None, None),
        Planting::Core(planted) => (Some(planted), None),
        Planting::Shell(defect) => (None, Some(defect)),
    };
    let mut history = History {
        dice,
        world: World::default(),
        fleet,
        core: None,
        epoch: 0,
        mono_ms: 7_200_000,
        wall_offset: 1_700_000_000_000,
        queue: BinaryHeap::new(),
        sequence: 0,
        faults: true,
        checker: Checker::default(),
        reference: Reference::default(),
        jobs: JobChecker::default(),
        tasks: TaskChecker::default(),
        gauges: Gauges::default(),
        events: EventChecker::default(),
        deliveries: DeliveryChecker::default(),
        boots: 1,
        pending: None,
        planted,
        defect,
        tick_at: None,
        epoch_inputs: 0,
        sick: Vec::new(),
        by_generation: BTreeMap::new(),
        deaths: 0,
        hash: 0xcbf2_9ce4_8422_2325,
        keep_trace,
        lines: Vec::new(),
    };
    let text = format!("{:?}", history.fleet);
    history.trace(format_args!("{text}"));
    history.world.journal.next_generation = 1;
    for unit in history
        .fleet
        .daemons
        .values()
        .flat_map(eud_core::fleet::Daemon::units)
    {
        if history.dice.chance(20) {
            history.sick.push(unit);
        }
    }
    history.after(0, Event::ManagerStarts);
    history.after(200, Event::Mischief);
    history.after(FAULTS_MS, Event::Calm);
    history.after(FAULTS_MS + CALM_MS, Event::End);
    let (violation, events) = history.live();
    Outcome {
        violation,
        events,
        manager_deaths: history.deaths,
        trace_hash: history.hash,
        trace: history.lines,
    }
}

/// FNV-1a (RFC 9923) over the text of the trace.
struct Hasher<'a>(&'a mut u64);

impl std::fmt::Write for Hasher<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for byte in text.bytes() {
            *self.0 = (*self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}

impl History {
    fn live(&mut self) -> (Option<String>, u64) {
        let mut events = 0;
        while let Some(Reverse((at, _, event))) = self.queue.pop() {
            events += 1;
            if events > EVENTS_MAX {
                return (Some("the world never comes to rest".into()), events);
            }
            self.mono_ms = self.mono_ms.max(at);
            self.trace(format_args!("{at} {event:?}"));
            if event == Event::End {
                return (self.judge().err(), events);
            }
            if let Err(violation) = self.happen(event) {
                self.trace(format_args!("{violation}"));
                return (Some(violation), events);
            }
        }
        (Some("the history has no end".into()), events)
    }

    fn judge(&mut self) -> Result<(), String> {
        let now = self.now();
        let core = self.core.as_ref().ok_or("no manager at the end")?;
        Checker::converged(&self.world, core, now)?;
        self.events.none_lost(&self.fleet, &self.world)?;
        self.deliveries
            .judge(&self.fleet, &self.world, core, now.wall_ms)?;
        self.jobs.none_lost(&self.fleet, &self.world)?;
        self.jobs.judge(&self.fleet, &self.world, now.wall_ms)?;
        self.tasks.none_lost(&self.world)?;
        TaskChecker::judge(&self.fleet, &self.world, now.wall_ms)?;
        match self.reference.disagrees(&self.world.journal.intents) {
            Some(wrong) => Err(format!("at the end: {wrong}")),
            None => Ok(()),
        }
    }

    pub(crate) fn now(&self) -> Now {
        Now {
            mono_ms: self.mono_ms,
            wall_ms: self.wall_ms(),
        }
    }

    pub(crate) fn wall_ms(&self) -> WallMs {
        self.wall_offset + i64::try_from(self.mono_ms).unwrap_or(0)
    }

    pub(crate) fn after(&mut self, delay: u64, event: Event) {
        self.sequence += 1;
        self.queue
            .push(Reverse((self.mono_ms + delay, self.sequence, event)));
    }

    pub(crate) fn latency(&mut self, worst: u64) -> u64 {
        if self.faults && self.dice.chance(20) {
            self.dice.range(1, worst)
        } else {
            1
        }
    }

    pub(crate) fn trace(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing into a `Hasher` cannot fail.
        let _ = std::fmt::Write::write_fmt(&mut Hasher(&mut self.hash), line);
        if self.keep_trace {
            self.lines.push(line.to_string());
        }
    }

    pub(crate) fn run_of(&self, generation: Generation) -> Option<RunId> {
        self.by_generation.get(&generation).cloned()
    }

    pub(crate) fn check_world(&self) -> Result<(), String> {
        Checker::one_live_run(&self.world)
    }

    pub(crate) fn manager_gone(&mut self) {
        self.core = None;
        self.tick_at = None;
        self.tasks.is_recovered = false;
        self.epoch += 1;
        self.deaths += 1;
        let delay = self.dice.range(1, 3_000);
        self.after(delay, Event::ManagerStarts);
    }

    /// The manager dies in the middle of a batch.
    pub(crate) fn manager_dies(&mut self) -> Result<(), String> {
        self.manager_gone();
        if let Some(command) = self.pending.take() {
            self.tasks.may_be_retried(&command);
            self.checker.forgive_all();
        }
        self.reference.adopt(&self.world.journal.intents);
        self.check_world()
    }

    fn tell(&mut self, unit: &Unit, generation: Generation, event: RunEvent) -> Result<(), String> {
        self.deliver(Input::Run {
            unit: unit.clone(),
            generation,
            event,
        })
    }

    fn happen(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::ManagerStarts if self.core.is_none() => {
                let seed = self.dice.roll();
                self.recover(seed)?;
                if self.core.is_some() && self.world.journal.intents.is_empty() {
                    self.command(Command::Up { profile: None })?;
                }
                Ok(())
            }
            Event::Tick { epoch } if epoch == self.epoch => {
                self.tick_at = None;
                self.deliver(Input::Tick)
            }
            Event::KeeperBegins { run } => self.keeper_begins(&run),
            Event::CommandStarts { run } => self.command_starts(&run),
            Event::CommandExits { run, code } => self.command_exits(&run, code),
            Event::StopArrives { run, epoch } if epoch == self.epoch => self.stop_arrives(&run),
            Event::KeeperKills { run } => self.keeper_kills(&run),
            Event::LossNoticed { run, epoch } if epoch == self.epoch => self.loss_noticed(&run),
            Event::Thaws { run } if self.faults => self.thaw(&run),
            Event::Started { run, epoch } if epoch == self.epoch => self.started_arrives(&run),
            Event::Ended { run, epoch } if epoch == self.epoch => self.ended_arrives(&run),
            Event::ProbeAnswers {
                epoch,
                unit,
                generation,
                which,
                passes,
            } if epoch == self.epoch => {
                let outcome = if passes {
                    Ok(())
                } else {
                    Err("connection refused".to_owned())
                };
                self.deliver(Input::Probed {
                    unit,
                    generation,
                    which,
                    outcome,
                })
            }
            Event::SampleAnswers { epoch, .. } | Event::MeasureAnswers { epoch, .. }
                if epoch == self.epoch =>
            {
                match Self::gauge_input(event) {
                    Some(input) => self.deliver(input),
                    None => Ok(()),
                }
            }
            Event::EventsRead { epoch, .. } | Event::DeliveryAnswers { epoch, .. }
                if epoch == self.epoch =>
            {
                self.bus_answers(event)
            }
            Event::Mischief if self.faults => self.mischief(),
            Event::Calm => self.calm(),
            _ => Ok(()),
        }
    }

    fn keeper_begins(&mut self, id: &RunId) -> Result<(), String> {
        let Some(run) = self.world.runs.get(id).cloned() else {
            return Ok(());
        };
        if run.keeper != Keeper::Spawned {
            return Ok(());
        }
        let fenced = run.exit.is_some() && self.defect != Some(Defect::NoFence);
        if self.world.locks.contains_key(&run.unit) {
            let wall = self.wall_ms();
            self.world
                .write_exit(id, EndReason::NeverStarted, None, wall);
            self.world.end_keeper(id, false);
            return self.end_is_told(id);
        }
        if fenced {
            self.world.end_keeper(id, false);
            return Ok(());
        }
        self.world.locks.insert(run.unit.clone(), id.clone());
        if let Some(run) = self.world.runs.get_mut(id) {
            run.keeper = Keeper::Locked;
        }
        let delay = self.latency(100);
        self.after(delay, Event::CommandStarts { run: id.clone() });
        Ok(())
    }

    fn command_starts(&mut self, id: &RunId) -> Result<(), String> {
        let wall = self.wall_ms();
        let (moody, life) = (self.dice.chance(35), self.dice.range(5, 15_000));
        let code = *self.dice.pick(&[0, 1, 1, 2, 127]);
        let faults = self.faults;
        let Some(run) = self.world.runs.get_mut(id) else {
            return Ok(());
        };
        if run.keeper != Keeper::Locked || run.kill_at.is_some() {
            return if run.keeper == Keeper::Locked {
                self.keeper_kills(id)
            } else {
                Ok(())
            };
        }
        run.alive = true;
        run.started_ms = Some(wall);
        let sick = self.sick.contains(&run.unit);
        let is_job = run.fire.is_some() || task_of(&run.unit).is_some();
        self.jobs.executes(run)?;
        let run = run.clone();
        self.tasks.executes(&self.fleet, &self.world, id, &run)?;
        self.check_world()?;
        if self
            .world
            .journal
            .runs
            .get(id)
            .is_some_and(|row| row.exit.is_some())
        {
            return Err(format!("{id} starts after its end was recorded"));
        }
        // In good weather jobs are short and do well.
        let (life, code) = match faults {
            false => (life % 1_500, 0),
            true if sick => (life / 20, code),
            true => (life, code),
        };
        if is_job || ((moody || sick) && faults) {
            self.after(
                life,
                Event::CommandExits {
                    run: id.clone(),
                    code,
                },
            );
        }
        let delay = self.latency(300);
        let epoch = self.epoch;
        self.after(
            delay,
            Event::Started {
                run: id.clone(),
                epoch,
            },
        );
        // Messages may come twice.
        if self.dice.chance(5) {
            self.after(
                delay + 40,
                Event::Started {
                    run: id.clone(),
                    epoch,
                },
            );
        }
        Ok(())
    }

    fn command_exits(&mut self, id: &RunId, code: i32) -> Result<(), String> {
        let Some(run) = self.world.runs.get(id) else {
            return Ok(());
        };
        if run.alive && run.frozen {
            self.after(
                500,
                Event::CommandExits {
                    run: id.clone(),
                    code,
                },
            );
            return Ok(());
        }
        if run.alive && run.keeper == Keeper::Locked {
            let asked = run.kill_at.is_some();
            let too_long = code == TIMES_OUT && task_of(&run.unit).is_some();
            let (reason, code) = match asked {
                true => (EndReason::Stopped, Some(code)),
                false if too_long => (EndReason::Timeout, None),
                false => (EndReason::Exited, Some(code)),
            };
            self.finish(id, reason, code)?;
        }
        Ok(())
    }

    /// The keeper saw the end, proved the tree gone, and writes the record.
    fn finish(&mut self, id: &RunId, reason: EndReason, code: Option<i32>) -> Result<(), String> {
        let wall = self.wall_ms();
        if let Some(run) = self.world.runs.get_mut(id) {
            run.truth = code;
            run.alive = false;
        }
        self.world.write_exit(id, reason, code, wall);
        self.world.end_keeper(id, false);
        self.end_is_told(id)
    }

    fn end_is_told(&mut self, id: &RunId) -> Result<(), String> {
        let epoch = self.epoch;
        let delay = self.latency(500);
        self.after(
            delay,
            Event::Ended {
                run: id.clone(),
                epoch,
            },
        );
        if self.dice.chance(10) {
            self.after(
                delay + 30,
                Event::Ended {
                    run: id.clone(),
                    epoch,
                },
            );
        }
        Ok(())
    }

    fn stop_arrives(&mut self, id: &RunId) -> Result<(), String> {
        let Some(run) = self.world.runs.get(id) else {
            return Ok(());
        };
        if run.frozen || run.keeper == Keeper::Spawned {
            // The line waits in the socket until the keeper reads it.
            let epoch = self.epoch;
            self.after(
                300,
                Event::StopArrives {
                    run: id.clone(),
                    epoch,
                },
            );
            return Ok(());
        }
        if run.keeper != Keeper::Locked || run.kill_at.is_some() {
            return Ok(());
        }
        let name = eud_core::fleet::daemon_of(&run.unit).to_owned();
        let grace = self
            .fleet
            .daemons
            .get(&name)
            .map_or(1_000, |daemon| daemon.stop.grace_ms);
        let obeys = run.obeys_after.filter(|after| *after < grace);
        let kill_at = self.mono_ms + grace;
        if let Some(run) = self.world.runs.get_mut(id) {
            run.kill_at = Some(kill_at);
        }
        match obeys {
            Some(after) => self.after(
                after,
                Event::CommandExits {
                    run: id.clone(),
                    code: 0,
                },
            ),
            None => self.after(grace, Event::KeeperKills { run: id.clone() }),
        }
        Ok(())
    }

    fn keeper_kills(&mut self, id: &RunId) -> Result<(), String> {
        let Some(run) = self.world.runs.get(id) else {
            return Ok(());
        };
        if run.keeper != Keeper::Locked {
            return Ok(());
        }
        if run.frozen {
            self.after(500, Event::KeeperKills { run: id.clone() });
            return Ok(());
        }
        self.finish(id, EndReason::StopKilled, None)
    }

    fn loss_noticed(&mut self, id: &RunId) -> Result<(), String> {
        let Some(run) = self.world.runs.get(id).cloned() else {
            return Ok(());
        };
        if self.core.is_none() || self.world.locks.contains_key(&run.unit) {
            return Ok(());
        }
        let record = self.declare_lost(id, false);
        self.tell(&run.unit, run.generation, RunEvent::Ended(record))
    }

    pub(crate) fn thaw(&mut self, id: &RunId) -> Result<(), String> {
        let Some(run) = self.world.runs.get_mut(id) else {
            return Ok(());
        };
        if !std::mem::replace(&mut run.frozen, false) {
            return Ok(());
        }
        let (unit, generation) = (run.unit.clone(), run.generation);
        let (alive, started) = (run.alive, run.started_ms);
        self.tell(&unit, generation, RunEvent::Unreachable(None))?;
        if let Some(at_ms) = started.filter(|_| alive) {
            let pid = u32::try_from(generation).unwrap_or(1);
            self.tell(&unit, generation, RunEvent::Started { pid, at_ms })?;
        }
        Ok(())
    }

    fn started_arrives(&mut self, id: &RunId) -> Result<(), String> {
        let Some(run) = self.world.runs.get(id) else {
            return Ok(());
        };
        let (unit, generation) = (run.unit.clone(), run.generation);
        let pid = u32::try_from(generation).unwrap_or(1);
        let at_ms = run.started_ms.unwrap_or(0);
        self.tell(&unit, generation, RunEvent::Started { pid, at_ms })
    }

    fn ended_arrives(&mut self, id: &RunId) -> Result<(), String> {
        let Some(run) = self.world.runs.get(id) else {
            return Ok(());
        };
        let Some(record) = run.exit.clone() else {
            return Ok(());
        };
        let (unit, generation) = (run.unit.clone(), run.generation);
        self.tell(&unit, generation, RunEvent::Ended(record))
    }

    /// What a test of this run would find now.
    pub(crate) fn probe_passes(&mut self, generation: Generation) -> bool {
        let flaky = self.faults && self.dice.chance(8);
        let run = self
            .run_of(generation)
            .and_then(|id| self.world.runs.get(&id));
        run.is_some_and(|run| run.alive && run.ready_from <= self.mono_ms && !flaky)
    }
}
