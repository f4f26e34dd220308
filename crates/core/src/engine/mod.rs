//! The state machine of a fleet, told first in prose.
//!
//! Every unit (a daemon, or one replica of it) has a *desired* state, which a person or a profile
//! sets, and a *state*, which is what is the case. The core closes the gap between the two, and
//! never changes the desired state by itself, with one exception: a restart limit or a guard whose
//! action is `hold` sets a hold, and says so.
//!
//! **Wanted.** A unit *may run* when it is desired up, enabled, declared, not held, the manager is
//! not shutting down, and everything it needs may run. Needs propagate intent: stopping `vault` by
//! hand stops, first, every running unit that needs it; they stay desired up and are `waiting`
//! until `vault` is wanted again.
//!
//! **Start.** A unit that may run and has no run is `waiting` while a need does not *serve* (is not
//! `ready`, or not `up` where no readiness is asked for, or not `done`), while a want or an `after`
//! is on its way (for at most [`WANTS_WAIT_MS`]), or while one it conflicts with has a run. Then it
//! is launched: the intent is persisted with a fresh generation, and then a keeper is started
//! (`starting`). Once the command executes it is `up`; when its readiness probe passes it is
//! `ready`. It is `degraded` when that probe fails again, when a need stopped serving, when its log
//! cannot be written, or when liveness has begun to fail.
//!
//! **Stop.** A unit with a run that may not run is `stopping`: first it waits until every unit that
//! names it in needs, wants or after and is going down too is gone, then its keeper is asked, once.
//! The keeper enforces signal, grace and kill by itself. If it says nothing within the grace and
//! [`STOP_SLACK_MS`], the keeper is killed with the tree it keeps.
//!
//! **Exit.** The end of a run is known from the keeper's record or, if the keeper was lost, from
//! the record the shell writes once nothing of the tree is left. An exit that was asked for leads
//! to `stopped` (or to a new start, if that is desired by now). Any other exit is classified by the
//! restart policy: `done` or `failed` when it is not to be restarted, else `backoff` (the first
//! restart is immediate), else `cool-down` or `held` when there were too many. A unit that *needs*
//! the dead one goes on and is `degraded`, or is restarted if its `on_need_lost` says so.
//!
//! **Manual stop.** `stop` sets desired down, by hand. Nothing but a manual start (or a start of
//! something that needs it) changes that: no profile, reload, crash, timer or new manager.
//!
//! **Unknown.** A keeper that holds its lock but does not answer leaves the unit `unknown`: nothing
//! is started in its place, and nothing that needs it counts it as serving.
//!
//! **Gauges and gates.** A gauge is a number that is sampled again and again; it has one level at a
//! time, and `unknown` is one. A gate that a gauge closed pauses its members, durably, until the
//! gauge is known to be at another level. `gauge`, `gate` and `level` tell the story.
//!
//! **Guards.** A run is measured while it executes. A limit that is broken for its time is told,
//! and makes the unit `degraded`, restarts it like a failed liveness, or holds it; see `guard`.
//!
//! **Events.** Whatever is told becomes an event, in the same batch; see `bus`.
//!
//! **Rules.** They look at every event when it is stored, and act on what it means; see `rule`.
//!
//! **Channels.** Messages for people wait, durably, until they are sent; see `channel`.
//!
//! **Tasks.** While it runs, a task is a unit too, of a kind of its own: it has a run, is stopped
//! and recovered like any, and shows nowhere among the daemons. `task` tells the story.
//!
//! **Evaluation.** [`Core::handle`] notes what an input changes and marks units as dirty;
//! `evaluate` brings each dirty unit one step forward and marks those that look at it. There is no
//! recursion, and every unit has at most one timer, the earliest of its deadlines.
//!
//! Deliberately absent: any step that looks at the world. What the shell does with an effect comes
//! back as input.

mod bus;
mod channel;
mod command;
mod evaluate;
mod explain;
mod gate;
mod gauge;
mod guard;
mod job;
mod level;
mod load;
mod policy;
mod probe;
mod rule;
mod run;
mod show;
mod slot;
mod task;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::fleet::{Daemon, Fleet, Unit, daemon_of};
use crate::io::{Effect, Input, Now};
use crate::planted::Planted;
use crate::record::{Generation, RunRow};
use crate::rng::Rng;
pub use job::coming;
use slot::Slot;

/// How long a unit waits for a want or an `after` that is up but not ready.
pub const WANTS_WAIT_MS: u64 = 60_000;
/// How long past its grace a keeper may take to report the end of a stopped run.
pub const STOP_SLACK_MS: u64 = 5_000;
/// How long a launch may take until its keeper is given up.
pub const LAUNCH_LIMIT_MS: u64 = 60_000;
/// First pause between two early readiness tests; doubles up to [`READY_POLL_MAX_MS`].
pub const READY_POLL_FIRST_MS: u64 = 50;
/// Longest pause between two early readiness tests.
pub const READY_POLL_MAX_MS: u64 = 1_000;
/// Rounds of events and what they lead to within one input; what is left waits for the next one.
const REACTIONS_MAX: u32 = 32;
/// How long past its own time limit a test may be without an answer.
pub const PROBE_SLACK_MS: u64 = 5_000;

/// Decides for one fleet. See the module's prose.
#[derive(Debug, Clone)]
pub struct Core {
    fleet: Fleet,
    profile: Option<String>,
    /// `eud up` was called in this state directory, so a profile is in force.
    up_called: bool,
    slots: BTreeMap<Unit, Slot>,
    /// Units of a daemon, in order.
    units_of: BTreeMap<String, Vec<Unit>>,
    /// Units that name a daemon in needs, wants, after or conflicts.
    watchers: BTreeMap<String, Vec<Unit>>,
    timers: BTreeSet<(u64, Unit)>,
    dirty: BTreeSet<Unit>,
    jobs: job::Jobs,
    gauges: gauge::Gauges,
    guards: guard::Guards,
    bus: bus::Bus,
    channels: channel::Channels,
    tasks: task::Tasks,
    rules: rule::Rules,
    next_generation: Generation,
    rng: Rng,
    shutting_down: bool,
    exited: bool,
    planted: Option<Planted>,
}

impl Core {
    /// A core that knows nothing yet. The seed decides jitter and run identities.
    pub fn new(seed: u64) -> Self {
        Self {
            fleet: Fleet::default(),
            profile: None,
            up_called: false,
            slots: BTreeMap::new(),
            units_of: BTreeMap::new(),
            watchers: BTreeMap::new(),
            timers: BTreeSet::new(),
            dirty: BTreeSet::new(),
            jobs: job::Jobs::default(),
            gauges: gauge::Gauges::default(),
            guards: guard::Guards::default(),
            bus: bus::Bus::default(),
            channels: channel::Channels::default(),
            tasks: task::Tasks::default(),
            rules: rule::Rules::default(),
            next_generation: 1,
            rng: Rng::new(seed),
            shutting_down: false,
            exited: false,
            planted: None,
        }
    }

    /// Plants a defect. For the simulator only.
    #[cfg(feature = "planted")]
    pub fn plant(&mut self, defect: Planted) {
        self.planted = Some(defect);
    }

    pub(crate) fn has(&self, defect: Planted) -> bool {
        cfg!(feature = "planted") && self.planted == Some(defect)
    }

    /// Takes note of an input and appends what is to be done, in order.
    pub fn handle(&mut self, input: Input, now: Now, out: &mut Vec<Effect>) {
        let begun = out.len();
        match input {
            Input::Load { fleet, ticket } => self.on_load(*fleet, ticket, now, out),
            Input::Recover(recovery) => self.on_recover(*recovery, now, out),
            Input::Command { ticket, command } => self.on_command(ticket, command, now, out),
            Input::Run {
                unit,
                generation,
                event,
            } => {
                self.on_run_event(&unit, generation, event, now, out);
            }
            Input::Probed {
                unit,
                generation,
                which,
                outcome,
            } => {
                self.on_probed(&unit, generation, which, outcome, now);
            }
            Input::Changed { daemon, batch } => self.on_changed(&daemon, batch, now, out),
            Input::Watching { daemon, problem } => self.on_watching(&daemon, problem, now, out),
            Input::Sampled {
                gauge,
                number,
                outcome,
            } => self.on_sampled(&gauge, number, outcome, now, out),
            Input::Measured {
                unit,
                generation,
                usage,
            } => self.on_measured(&unit, generation, usage, now, out),
            Input::Bus(news) => self.on_bus_news(news, now, out),
            Input::Channel(news) => self.on_channel_news(news, now, out),
            Input::Task(news) => self.on_task_news(news, now, out),
            Input::Tick => {}
        }
        self.fire_timers(now, out);
        self.tell_waiters(now, out);
        self.tend_gauges(now, out);
        self.tend_guards(now, out);
        self.tend_jobs(now, out);
        self.react(begun, now, out);
    }

    /// What is told becomes events, which go to those who want them; what these do may tell of
    /// more.
    fn react(&mut self, mut from: usize, now: Now, out: &mut Vec<Effect>) {
        for _ in 0..REACTIONS_MAX {
            if self.rules.have_acted() {
                // As after a command: others may be up now, or nobody.
                self.tend_gauges(now, out);
                self.tend_guards(now, out);
            }
            self.tend_tasks(now, out);
            self.settle(now, out);
            self.hear(from, now, out);
            from = out.len();
            self.tend_rules(now, out);
            self.tend_bus(now, out);
            self.tend_channels(now, out);
            if out.len() == from && self.dirty.is_empty() {
                return;
            }
        }
        self.hear(from, now, out);
    }

    /// Monotonic time at which [`Input::Tick`] is due; `None` when nothing waits for time.
    pub fn next_timeout(&self) -> Option<u64> {
        let own = self.timers.first().map(|(due, _)| *due);
        [
            own,
            self.jobs.next_timeout(),
            self.gauges.next_timeout(),
            self.guards.next_timeout(),
            self.tasks.next_timeout(),
            self.bus.next_timeout(),
            self.channels.next_timeout(),
            self.rules.next_timeout(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The fleet as last loaded.
    pub fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// Profile brought up last.
    pub fn profile(&self) -> Option<&str> {
        self.profile.as_deref()
    }

    /// Definition of a unit.
    pub fn daemon(&self, unit: &str) -> Option<&Arc<Daemon>> {
        self.slots.get(unit).map(|slot| &slot.daemon)
    }

    /// Names of all units of daemons, in order, those on their way out included.
    pub fn units(&self) -> impl Iterator<Item = &Unit> {
        let daemons = self.slots.iter().filter(|(_, slot)| !slot.is_task());
        daemons.map(|(unit, _)| unit)
    }

    /// The last ended run of a unit.
    pub fn last_run(&self, unit: &str) -> Option<&RunRow> {
        self.slots.get(unit)?.last.as_ref()
    }

    /// Generation of the present run of a unit.
    pub fn generation(&self, unit: &str) -> Option<Generation> {
        Some(self.slots.get(unit)?.run.as_ref()?.generation)
    }

    /// Time since the command of the present run of a unit began to execute.
    pub fn uptime_ms(&self, unit: &str, now: Now) -> Option<u64> {
        let started = self.slots.get(unit)?.run.as_ref()?.started_mono?;
        Some(now.mono_ms.saturating_sub(started))
    }

    /// Whether the last effect of a shutdown has been given.
    pub fn is_over(&self) -> bool {
        self.exited
    }

    fn fresh_generation(&mut self) -> Generation {
        let generation = self.next_generation;
        self.next_generation += 1;
        generation
    }

    /// Units of a daemon by name.
    fn replicas(&self, daemon: &str) -> &[Unit] {
        self.units_of.get(daemon).map_or(&[], Vec::as_slice)
    }

    /// Marks a unit, all that look at it directly or not, and all it looks at.
    fn mark_around(&mut self, unit: &str) {
        let mut todo = vec![unit.to_owned()];
        let mut seen = BTreeSet::new();
        while let Some(current) = todo.pop() {
            // Wanting propagates along chains of needs, so those further along must look again too.
            if seen.insert(daemon_of(&current).to_owned()) {
                todo.extend(
                    self.watchers
                        .get(daemon_of(&current))
                        .into_iter()
                        .flatten()
                        .cloned(),
                );
            }
            self.dirty.insert(current);
        }
        let Some(daemon) = self.slots.get(unit).map(|slot| Arc::clone(&slot.daemon)) else {
            return;
        };
        for name in [
            &daemon.needs,
            &daemon.wants,
            &daemon.after,
            &daemon.conflicts,
        ]
        .into_iter()
        .flatten()
        {
            if let Some(units) = self.units_of.get(name) {
                self.dirty.extend(units.iter().cloned());
            }
        }
    }

    /// Rebuilds the indices over names. Removed units keep their place until they are gone.
    fn reindex(&mut self) {
        self.units_of.clear();
        self.watchers.clear();
        for (unit, slot) in self.slots.iter().filter(|(_, slot)| !slot.is_task()) {
            let daemon = &slot.daemon;
            self.units_of
                .entry(daemon.name.clone())
                .or_default()
                .push(unit.clone());
            for name in [
                &daemon.needs,
                &daemon.wants,
                &daemon.after,
                &daemon.conflicts,
            ]
            .into_iter()
            .flatten()
            {
                self.watchers
                    .entry(name.clone())
                    .or_default()
                    .push(unit.clone());
            }
        }
    }
}
