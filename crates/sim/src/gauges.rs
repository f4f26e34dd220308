//! Gauges, gates and guards: their world, and their checkers.
//!
//! The world: each gauge has a number that somebody else changes; a sample of it answers, fails,
//! answers too late or never; a run has a use of memory that may be too much, and may not be told.
//! The checkers know only which answers were in time. Of a gate they know one rule: a known number
//! from `CLOSES` on closes it, one below `OPENS` opens it, and nothing else moves it, no error, no
//! late answer, no crash. A member of a closed gate is not up, and is not launched; a service is
//! paused only by a closed gate; an error is never a value; a guard is broken by what was measured
//! and mended by what was measured.

use std::collections::{BTreeMap, BTreeSet};

use eud_core::fleet::{
    Fleet, Gate, Gauge, GaugeTrigger, Guard, GuardAction, Guarded, Kind, Level, Limit, Machine,
    Origin, Source, Unit, Value, daemon_of, task_of,
};
use eud_core::io::{Command, Effect, Input, Usage};
use eud_core::record::{Desired, GateRow, Generation, RunId};
use eud_core::view::{State, Status};

use crate::dice::Dice;
use crate::run::{Event, History};
use crate::shell::STATUS_EVERY;
use crate::world::World;

/// At and above this a gauge is over, and its gates close.
const CLOSES: i64 = 50;
/// Below this they open.
const OPENS: i64 = 30;
/// Time a sample may take.
const TIMEOUT_MS: u64 = 500;
/// How long past that the core waits.
const SLACK_MS: u64 = 5_000;
/// Most memory of a guarded run, and what runs use.
const MEMORY_MAX: u64 = 100;
const MODEST: u64 = 50;
const GREEDY: u64 = 500;

/// The world's side, and the memory of the checkers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gauges {
    /// What the gauges really are; `None`: they cannot be read.
    truth: BTreeMap<String, Option<i64>>,
    greedy: BTreeSet<RunId>,
    /// Questions under way: number, and when it is too late.
    asked: BTreeMap<String, (u64, u64)>,
    /// Values told in time to the present manager.
    known: BTreeMap<String, i64>,
    is_leaving: bool,
    /// A rule stepped in while nothing was up: which questions are open cannot be told from
    /// outside, until there is a new manager.
    pub(crate) are_unsure: bool,
    /// Runs whose memory guard is broken, by what the present manager was told.
    broken: BTreeSet<(Unit, Generation)>,
}

/// What was the case before an input.
pub(crate) struct Before {
    gates: BTreeMap<String, GateRow>,
    counted: Option<(String, i64)>,
}

/// Adds gauges, gates, triggers and guards to a fleet.
pub(crate) fn declare(dice: &mut Dice, fleet: &mut Fleet) {
    for number in 0..dice.range(0, 2) {
        let name = format!("g{number}");
        fleet.gauges.insert(name.clone(), gauge(dice, &name));
    }
    let gauges: Vec<String> = fleet.gauges.keys().cloned().collect();
    for daemon in fleet.daemons.values_mut() {
        if daemon.kind == Kind::Service && dice.chance(15) {
            daemon.guards = vec![guard(dice)];
        }
        let Some(job) = daemon.job.as_mut() else {
            continue;
        };
        if job.schedules.is_empty() && !gauges.is_empty() {
            job.gauges = vec![GaugeTrigger {
                gauge: dice.pick(&gauges).clone(),
                level: Level::Over,
                again_ms: dice.chance(50).then_some(7_000),
            }];
        }
    }
    if gauges.is_empty() {
        return;
    }
    // Jobs with times have a checker that expects each time to have its run.
    let may_wait = |d: &&eud_core::fleet::Daemon| {
        let timed = d.job.as_ref().is_some_and(|job| !job.schedules.is_empty());
        !timed
    };
    let free: Vec<String> = fleet
        .daemons
        .values()
        .filter(may_wait)
        .map(|daemon| daemon.name.clone())
        .collect();
    for number in 0..dice.range(1, 2) {
        let name = format!("gate{number}");
        let members = free.iter().filter(|_| dice.chance(40)).cloned().collect();
        let gate = Gate {
            name: name.clone(),
            gauge: dice.pick(&gauges).clone(),
            closes_at: BTreeSet::from([Level::Over]),
            members,
            origin: Origin::default(),
        };
        fleet.gates.insert(name, gate);
    }
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn gauge(dice: &mut Dice, name: &str) -> Gauge {
    Gauge {
        name: name.to_owned(),
        description: None,
        source: Source::Machine(Machine::Load),
        every_ms: dice.range(1_000, 9_000),
        timeout_ms: TIMEOUT_MS,
        warn: None,
        over: Some(Limit {
            at: Value(CLOSES as f64),
            clear: Value(OPENS as f64),
        }),
        under: None,
        frozen_ms: dice.chance(30).then_some(10_000),
        origin: Origin::default(),
    }
}

fn guard(dice: &mut Dice) -> Guard {
    Guard {
        what: Guarded::Memory {
            max_bytes: MEMORY_MAX,
        },
        for_ms: if dice.chance(50) { 0 } else { 4_000 },
        action: match dice.range(0, 3) {
            0 => GuardAction::Hold,
            1 => GuardAction::Restart,
            _ => GuardAction::Event,
        },
    }
}

impl History {
    /// The shell is asked to look at the world.
    pub(crate) fn observe(&mut self, effect: Effect) -> Result<(), String> {
        match effect {
            Effect::Sample { gauge, number, .. } => self.sample(gauge, number)?,
            Effect::Measure {
                unit, generation, ..
            } => self.measure_run(unit, generation),
            _ => {}
        }
        Ok(())
    }

    fn sample(&mut self, gauge: String, number: u64) -> Result<(), String> {
        let deadline = self.mono_ms + TIMEOUT_MS + SLACK_MS;
        if let Some((other, until)) = self.gauges.asked.insert(gauge.clone(), (number, deadline)) {
            if until > self.mono_ms && !self.gauges.are_unsure {
                return Err(format!("`{gauge}` is asked {other} and {number} at a time"));
            }
            self.gauges.known.remove(&gauge);
        }
        if self.gauges.is_leaving {
            return Err(format!("`{gauge}` is sampled by a manager that leaves"));
        }
        let faults = self.faults;
        let old = self.gauges.truth.get(&gauge).copied().flatten();
        let truth = match self.dice.range(0, 9) {
            // Errors, for a while or, in good weather, for ever.
            0 if faults => None,
            1..=3 if faults => Some(i64::try_from(self.dice.range(0, 99)).unwrap_or(0)),
            _ if faults => old.or(Some(10)),
            _ => self.gauges.truth.get(&gauge).copied().unwrap_or(Some(10)),
        };
        self.gauges.truth.insert(gauge.clone(), truth);
        let delay = match self.dice.range(0, 19) {
            // Never, or when nobody waits for it any more.
            0 if faults => return Ok(()),
            1 | 2 if faults => TIMEOUT_MS + SLACK_MS + self.dice.range(1, 9_000),
            _ => self.latency(TIMEOUT_MS),
        };
        let epoch = self.epoch;
        let answer = Event::SampleAnswers {
            epoch,
            gauge,
            number,
            value: truth,
        };
        self.after(delay, answer);
        Ok(())
    }

    fn measure_run(&mut self, unit: Unit, generation: Generation) {
        let Some(run) = self.run_of(generation) else {
            return;
        };
        if self.faults && self.dice.chance(15) {
            let greedy = &mut self.gauges.greedy;
            if !greedy.remove(&run) {
                greedy.insert(run.clone());
            }
        }
        let is_greedy = self.faults && self.gauges.greedy.contains(&run);
        let is_unknown = self.faults && self.dice.chance(25);
        let bytes = if is_greedy { GREEDY } else { MODEST };
        let delay = self.latency(900);
        let epoch = self.epoch;
        let answer = Event::MeasureAnswers {
            epoch,
            unit,
            generation,
            bytes: (!is_unknown).then_some(bytes),
        };
        self.after(delay, answer);
    }

    /// What an event of ours tells the core.
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    pub(crate) fn gauge_input(event: Event) -> Option<Input> {
        let unknown = || "cannot be read".to_owned();
        match event {
            Event::SampleAnswers {
                gauge,
                number,
                value,
                ..
            } => Some(Input::Sampled {
                gauge,
                number,
                outcome: value.map(|value| value as f64).ok_or_else(unknown),
            }),
            Event::MeasureAnswers {
                unit,
                generation,
                bytes,
                ..
            } => Some(Input::Measured {
                unit,
                generation,
                usage: Usage {
                    memory_bytes: Some(bytes.ok_or_else(unknown)),
                    ..Usage::default()
                },
            }),
            _ => None,
        }
    }

    /// Takes note of an input before the core does.
    pub(crate) fn before_gauges(&mut self, input: &Input) -> Before {
        let gauges = &mut self.gauges;
        let mut counted = None;
        match input {
            Input::Command {
                command: Command::Shutdown { .. },
                ..
            } => {
                gauges.is_leaving = true;
                gauges.asked.clear();
            }
            Input::Sampled {
                gauge,
                number,
                outcome,
            } => {
                let asked = gauges.asked.get(gauge);
                if asked.is_some_and(|(asked, until)| asked == number && *until > self.mono_ms) {
                    gauges.asked.remove(gauge);
                    gauges.known.remove(gauge);
                    if let Ok(value) = outcome {
                        #[expect(clippy::cast_possible_truncation, reason = "it was whole")]
                        let value = *value as i64;
                        gauges.known.insert(gauge.clone(), value);
                        counted = Some((gauge.clone(), value));
                    }
                }
            }
            Input::Measured {
                unit,
                generation,
                usage,
            } => {
                let run = (unit.clone(), *generation);
                match &usage.memory_bytes {
                    Some(Ok(bytes)) if *bytes > MEMORY_MAX => _ = gauges.broken.insert(run),
                    Some(Ok(_)) => _ = gauges.broken.remove(&run),
                    _ => {}
                }
            }
            _ => {}
        }
        Before {
            gates: self.world.journal.gates.clone(),
            counted,
        }
    }

    /// Checks what an input led to, if the manager lives.
    pub(crate) fn after_gauges(&mut self, before: &Before) -> Result<(), String> {
        if !self.gauges.are_unsure {
            self.gates_moved_rightly(before)?;
        }
        let now = self.now();
        let any_up = self
            .world
            .journal
            .intents
            .values()
            .any(|intent| intent.desired == Desired::Up)
            || self.gated_tasks();
        let gauges = &mut self.gauges;
        let late: Vec<String> = gauges
            .asked
            .iter()
            .filter(|(_, (_, until))| *until <= now.mono_ms)
            .map(|(gauge, _)| gauge.clone())
            .collect();
        for gauge in late {
            gauges.asked.remove(&gauge);
            gauges.known.remove(&gauge);
        }
        if !any_up && !gauges.is_leaving {
            gauges.asked.clear();
            gauges.known.clear();
        }
        let is_time = self.epoch_inputs.is_multiple_of(STATUS_EVERY);
        if let Some(core) = self.core.as_ref().filter(|_| is_time) {
            let status = core.status(now);
            if !self.gauges.are_unsure {
                self.gauges.values_are_told(&status)?;
            }
            self.gauges.guards_are_told(&self.fleet, &status)?;
            gates_hold(&self.fleet, &self.world, &status)?;
        }
        Ok(())
    }

    /// Only a value that was told in time moves a gate, and only as its limits say.
    fn gates_moved_rightly(&self, before: &Before) -> Result<(), String> {
        let is_closed = |rows: &BTreeMap<String, GateRow>, gate: &str| {
            rows.get(gate).is_some_and(|row| row.closed_ms.is_some())
        };
        for gate in self.fleet.gates.values() {
            let was = is_closed(&before.gates, &gate.name);
            let is = is_closed(&self.world.journal.gates, &gate.name);
            let value = before
                .counted
                .as_ref()
                .filter(|(gauge, _)| *gauge == gate.gauge);
            let should = match value {
                Some((_, value)) if *value >= CLOSES => true,
                Some((_, value)) if *value < OPENS => false,
                _ => was,
            };
            if is != should {
                let (name, counted) = (&gate.name, &before.counted);
                return Err(format!(
                    "gate {name}: closed {was} -> {is}, should be {should}: {counted:?}"
                ));
            }
        }
        Ok(())
    }

    /// In good weather each gauge stays what it is: a value, or an error.
    pub(crate) fn calm_gauges(&mut self) {
        for gauge in self.fleet.gauges.keys() {
            let truth = match self.dice.range(0, 4) {
                0 => None,
                1 => Some(90),
                _ => Some(10),
            };
            self.gauges.truth.insert(gauge.clone(), truth);
        }
    }

    /// Whether there are tasks whose pool looks at gates.
    fn gated_tasks(&self) -> bool {
        let rows = self.world.journal.tasks.tasks.values();
        let mut open = rows.filter(|row| !row.state.is_over());
        open.any(|row| {
            let pool = self.fleet.pools.get(&row.pool);
            pool.is_some_and(|pool| !pool.gates.is_empty())
        })
    }

    /// A launch, at the moment it is carried out: members of closed gates stay down.
    pub(crate) fn launch_passes_gates(&self, unit: &str) -> Result<(), String> {
        match closed_for(&self.fleet, &self.world, unit) {
            Some(gate) => Err(format!("`{unit}` is launched, and gate {gate} is closed")),
            None => Ok(()),
        }
    }
}

/// A closed gate that a unit is a member of, by the journal.
fn closed_for<'a>(fleet: &'a Fleet, world: &World, unit: &str) -> Option<&'a String> {
    let pool = task_of(unit).and_then(|(pool, _)| fleet.pools.get(pool));
    let its = fleet.gates.values().filter(|gate| {
        let is_pools = pool.is_some_and(|pool| pool.gates.contains(&gate.name));
        is_pools || gate.members.contains(daemon_of(unit))
    });
    let rows = &world.journal.gates;
    let mut closed = its.filter(|gate| {
        let row = rows.get(&gate.name);
        row.is_some_and(|row| row.closed_ms.is_some())
    });
    closed.next().map(|gate| &gate.name)
}

/// Nobody is up behind a closed gate, and nobody is paused by an open one.
fn gates_hold(fleet: &Fleet, world: &World, status: &Status) -> Result<(), String> {
    for daemon in status.daemons.iter().filter(|d| d.kind == Kind::Service) {
        let closed = closed_for(fleet, world, &daemon.name);
        let (name, state) = (&daemon.name, daemon.state);
        let is_up = matches!(
            state,
            State::Starting | State::Up | State::Ready | State::Degraded | State::Waiting
        );
        match closed {
            Some(gate) if is_up => {
                return Err(format!("`{name}` is {state}, and gate {gate} is closed"));
            }
            None if state == State::Paused => {
                return Err(format!("`{name}` is paused, and no gate of it is closed"));
            }
            _ => {}
        }
    }
    Ok(())
}

impl Gauges {
    /// Nobody has told it anything yet.
    pub(crate) fn new_manager(&mut self) {
        self.asked.clear();
        self.known.clear();
        self.broken.clear();
        self.is_leaving = false;
        self.are_unsure = false;
    }

    /// What is shown is what was told in time, or unknown.
    fn values_are_told(&self, status: &Status) -> Result<(), String> {
        for gauge in &status.gauges {
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let told = self.known.get(&gauge.name).map(|value| *value as f64);
            let is_known = gauge.level != Level::Unknown;
            if gauge.value != told || is_known != told.is_some() {
                let (name, value, level) = (&gauge.name, gauge.value, gauge.level);
                return Err(format!("{name} is {value:?}, {level}; told was {told:?}"));
            }
        }
        Ok(())
    }

    /// Guards that break at once are broken by what was measured last, and by nothing else.
    fn guards_are_told(&self, fleet: &Fleet, status: &Status) -> Result<(), String> {
        for daemon in &status.daemons {
            let declared = fleet.daemons.get(daemon_of(&daemon.name));
            let guard = declared.and_then(|declared| declared.guards.first());
            let at_once = guard.is_some_and(|guard| guard.for_ms == 0);
            let runs = matches!(daemon.state, State::Up | State::Ready | State::Degraded);
            if !at_once || !runs {
                continue;
            }
            let mut its = self.broken.iter().filter(|(unit, _)| *unit == daemon.name);
            // Of an earlier run nothing is left.
            let newest = its.next_back().is_some_and(|(_, generation)| {
                let run = daemon.pid.map(u64::from);
                run == Some(*generation)
            });
            if newest == daemon.guards.is_empty() {
                let (name, shown) = (&daemon.name, &daemon.guards);
                return Err(format!("`{name}`: broken {newest}, shown {shown:?}"));
            }
        }
        Ok(())
    }
}
