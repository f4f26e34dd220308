//! Guards: limits on what a run may do, and what follows when one is broken.
//!
//! While a run with guards is executing, it is *measured* at intervals: one question for all its
//! guards, as often as the most impatient of them asks for. A guard is *broken* when its limit was
//! exceeded at every measurement for `for_ms`; of CPU time and log rate it is the average over that
//! time. What could not be measured is unknown: it neither breaks a guard nor mends it, and the
//! time it lasts does not count. Neither does time in which nobody measured, since the machine
//! slept: a daemon that slept with it was not silent.
//!
//! A guard that breaks is told, once, and leads to its action. *Event*: the unit is `degraded`
//! until the limit is kept again. *Restart*: the run is stopped as after a failed liveness test,
//! and the restart policy goes on from there. *Hold*: the unit is held, durably.
//!
//! Invariants: nothing is measured before the command executes nor once the run is being stopped;
//! an answer about an earlier run changes nothing; memory of a guard is bounded.
//! Deliberately absent: memory across managers. A new one counts `for_ms` from its own first
//! measurement; what it cannot know it does not assume.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::engine::Core;
use crate::fleet::{Guard, GuardAction, Guarded, Unit, task_of};
use crate::happened::{Happened, What};
use crate::io::{Effect, Now, Persist, Usage};
use crate::planted::Planted;
use crate::record::Generation;
use crate::words;

/// Shortest time between two measurements of a run.
const MEASURE_MIN_MS: u64 = 1_000;
/// Longest time between two measurements of a run.
const MEASURE_MAX_MS: u64 = 10_000;
/// How long a measurement may be without an answer.
const MEASURE_LIMIT_MS: u64 = 10_000;
/// Measurements that an average is made of, at most.
const GUARD_WINDOW_MAX: u64 = 64;

/// What the core remembers of guards.
#[derive(Debug, Clone, Default)]
pub(crate) struct Guards {
    watched: BTreeMap<Unit, Watched>,
    timers: BTreeSet<(u64, Unit)>,
}

/// One run with guards.
#[derive(Debug, Clone)]
struct Watched {
    generation: Generation,
    every_ms: u64,
    /// When to measure next, or when an answer is overdue.
    due: u64,
    asked: bool,
    /// Monotonic time of the last measurement.
    measured: Option<u64>,
    how: Option<String>,
    checks: Vec<Check>,
}

/// One guard.
#[derive(Debug, Clone)]
struct Check {
    guard: Guard,
    /// Monotonic time of the last measurement, if that one was over the limit.
    over_since: Option<u64>,
    /// For how long it was over the limit.
    over_ms: u64,
    /// Time in which nobody measured, that an age still contains.
    excused_ms: u64,
    /// Totals as measured, oldest first.
    window: VecDeque<(u64, u64)>,
    /// In words, while it is broken.
    broken: Option<String>,
}

/// When a measurement was made.
struct Moment {
    mono_ms: u64,
    /// Time since the one before.
    elapsed: u64,
    /// The longest that this can be while somebody measures. Of more, nobody knows what happened.
    between: u64,
}

/// What one measurement says of one guard.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Finding {
    Unknown,
    Kept(String),
    /// It was exceeded for its whole time; for less, it is `Exceeded`.
    Broken(String),
    Exceeded,
}

impl Guards {
    pub(crate) fn next_timeout(&self) -> Option<u64> {
        self.timers.first().map(|(due, _)| *due)
    }

    fn forget(&mut self, unit: &str) {
        if let Some(watched) = self.watched.remove(unit) {
            self.timers.remove(&(watched.due, unit.to_owned()));
        }
    }

    fn set_due(&mut self, unit: &str, due: u64) {
        if let Some(watched) = self.watched.get_mut(unit) {
            self.timers.remove(&(watched.due, unit.to_owned()));
            watched.due = due;
            self.timers.insert((due, unit.to_owned()));
        }
    }
}

/// How often a run with these guards is measured.
fn every_ms(guards: &[Guard]) -> u64 {
    let patience = |guard: &Guard| match &guard.what {
        // An age cannot be over its limit sooner than that.
        Guarded::Silence { max_ms } => guard.for_ms.max(*max_ms),
        Guarded::Heartbeat { max_age_ms, .. } => guard.for_ms.max(*max_age_ms),
        Guarded::Memory { .. } | Guarded::Cpu { .. } | Guarded::LogRate { .. } => guard.for_ms,
    };
    let shortest = guards.iter().map(patience).min().unwrap_or(MEASURE_MAX_MS);
    (shortest / 4).clamp(MEASURE_MIN_MS, MEASURE_MAX_MS)
}

impl Core {
    /// Handles what is due.
    pub(crate) fn tend_guards(&mut self, now: Now, out: &mut Vec<Effect>) {
        // Whatever happened to a unit has marked it, so the others need no look.
        let touched: Vec<Unit> = self.dirty.iter().cloned().collect();
        for unit in touched {
            self.watch_run(&unit, now);
        }
        while let Some((due, unit)) = self.guards.timers.first().cloned() {
            if due > now.mono_ms {
                break;
            }
            self.guards.timers.pop_first();
            self.measure(&unit, now, out);
        }
    }

    /// Whether a run of a unit is to be measured, and which.
    fn guarded_run(&self, unit: &str) -> Option<(Generation, &[Guard])> {
        let slot = self.slots.get(unit)?;
        let run = slot.run.as_ref()?;
        let executing = run.pid.is_some() && run.stopping.is_none() && run.unreachable.is_none();
        let guards = slot.daemon.guards.as_slice();
        (executing && !guards.is_empty()).then_some((run.generation, guards))
    }

    /// Begins, goes on with, or ends the measuring of a unit.
    fn watch_run(&mut self, unit: &str, now: Now) {
        let Some((generation, guards)) = self.guarded_run(unit) else {
            self.guards.forget(unit);
            return;
        };
        if let Some(watched) = self.guards.watched.get(unit)
            && watched.generation == generation
            && watched.checks.iter().map(|check| &check.guard).eq(guards)
        {
            return;
        }
        let every_ms = every_ms(guards);
        let checks = guards.iter().cloned().map(Check::new).collect();
        self.guards.forget(unit);
        // Runs that began together are not measured together.
        let due = now.mono_ms + every_ms / 2 + self.rng.below(every_ms / 2 + 1);
        let watched = Watched {
            generation,
            every_ms,
            due,
            asked: false,
            measured: None,
            how: None,
            checks,
        };
        self.guards.watched.insert(unit.to_owned(), watched);
        self.guards.set_due(unit, due);
    }

    fn measure(&mut self, unit: &str, now: Now, out: &mut Vec<Effect>) {
        if self.guarded_run(unit).is_none() {
            self.guards.forget(unit);
            return;
        }
        let Some(watched) = self.guards.watched.get_mut(unit) else {
            return;
        };
        if watched.asked {
            let (generation, usage) = (watched.generation, Usage::default());
            self.on_measured(unit, generation, usage, now, out);
            return;
        }
        watched.asked = true;
        out.push(Effect::Measure {
            unit: unit.to_owned(),
            generation: watched.generation,
            guards: watched.checks.iter().map(|c| c.guard.clone()).collect(),
        });
        self.guards.set_due(unit, now.mono_ms + MEASURE_LIMIT_MS);
    }

    pub(crate) fn on_measured(
        &mut self,
        unit: &str,
        generation: Generation,
        usage: Usage,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let is_running = self.guarded_run(unit).is_some();
        let usage = self.unless_log_blocked(unit, usage);
        let unknown_mends = self.has(Planted::UnknownMends);
        let watched = self.guards.watched.get_mut(unit);
        let Some(watched) = watched.filter(|w| is_running && w.generation == generation) else {
            return;
        };
        watched.asked = false;
        let elapsed = watched
            .measured
            .map_or(0, |at| now.mono_ms.saturating_sub(at));
        watched.measured = Some(now.mono_ms);
        if usage.how.is_some() {
            watched.how.clone_from(&usage.how);
        }
        let at = Moment {
            mono_ms: now.mono_ms,
            elapsed,
            between: 2 * watched.every_ms + MEASURE_LIMIT_MS,
        };
        let mut changes = Vec::new();
        for check in &mut watched.checks {
            let mut finding = check.look(&usage, &at);
            if finding == Finding::Unknown && unknown_mends {
                finding = Finding::Kept("unknown".to_owned());
            }
            changes.extend(check.conclude(finding));
        }
        let due = now.mono_ms + watched.every_ms;
        self.guards.set_due(unit, due);
        for (guard, is_broken, why) in changes {
            self.guard_changed(unit, &guard, is_broken, why, now, out);
        }
    }

    /// While the log cannot be written, nobody knows what the daemon would have written.
    fn unless_log_blocked(&self, unit: &str, usage: Usage) -> Usage {
        let run = self.slots.get(unit).and_then(|slot| slot.run.as_ref());
        if run.is_none_or(|run| run.log_blocked.is_none()) {
            return usage;
        }
        Usage {
            log_bytes: None,
            silent_ms: None,
            ..usage
        }
    }

    fn guard_changed(
        &mut self,
        unit: &str,
        guard: &Guard,
        is_broken: bool,
        why: String,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let name = guard.what.as_str();
        out.push(Effect::Happened(Happened {
            at_ms: now.wall_ms,
            what: What::Guard {
                unit: unit.to_owned(),
                guard: name.to_owned(),
                broken: is_broken,
                why: why.clone(),
            },
        }));
        if is_broken {
            let why = format!("guard {name}: {why}");
            match guard.action {
                GuardAction::Event => {}
                GuardAction::Restart => self.stop_failed(unit, why),
                // A task is not held: its try has failed.
                GuardAction::Hold if task_of(unit).is_some() => self.stop_failed(unit, why),
                GuardAction::Hold => self.hold_for_guard(unit, why, now, out),
            }
        }
        self.mark_around(unit);
    }

    fn hold_for_guard(&mut self, unit: &str, why: String, now: Now, out: &mut Vec<Effect>) {
        let Some(slot) = self.slots.get_mut(unit) else {
            return;
        };
        if slot.intent.hold.is_some() {
            return;
        }
        slot.intent.hold = Some(why);
        slot.intent.at_ms = now.wall_ms;
        out.push(Effect::Persist(Persist::Intent(slot.intent.clone())));
    }

    /// Guards whose limit is broken, in words.
    pub(crate) fn broken_guards(&self, unit: &str) -> Vec<String> {
        let Some(watched) = self.guards.watched.get(unit) else {
            return Vec::new();
        };
        let words = |check: &Check| {
            let why = check.broken.as_ref()?;
            Some(format!("guard {}: {why}", check.guard.what.as_str()))
        };
        watched.checks.iter().filter_map(words).collect()
    }

    /// How the guards of a unit work, in words, once that is known.
    pub(crate) fn guarded_by(&self, unit: &str) -> Option<String> {
        self.guards.watched.get(unit)?.how.clone()
    }
}

impl Check {
    fn new(guard: Guard) -> Self {
        Self {
            guard,
            over_since: None,
            over_ms: 0,
            excused_ms: 0,
            window: VecDeque::new(),
            broken: None,
        }
    }

    /// Says what changed: the guard, whether it is broken now, and why.
    fn conclude(&mut self, finding: Finding) -> Option<(Guard, bool, String)> {
        match finding {
            Finding::Broken(why) => {
                let is_new = self.broken.replace(why.clone()).is_none();
                is_new.then(|| (self.guard.clone(), true, why))
            }
            Finding::Kept(why) => {
                self.broken.take()?;
                Some((self.guard.clone(), false, why))
            }
            Finding::Exceeded | Finding::Unknown => None,
        }
    }

    fn look(&mut self, usage: &Usage, at: &Moment) -> Finding {
        match self.guard.what.clone() {
            Guarded::Memory { max_bytes } => match &usage.memory_bytes {
                Some(Ok(bytes)) => {
                    let (has, limit) = (words::bytes(*bytes), words::bytes(max_bytes));
                    self.instant(*bytes > max_bytes, format!("{has}, limit {limit}"), at)
                }
                _ => self.unknown(),
            },
            Guarded::Silence { max_ms } => self.age(&usage.silent_ms, max_ms, "no output", at),
            Guarded::Heartbeat { max_age_ms, .. } => {
                self.age(&usage.heartbeat_age_ms, max_age_ms, "not written", at)
            }
            Guarded::Cpu { max_percent } => {
                let Some((total, span)) = self.average(&usage.cpu_ms, at.mono_ms) else {
                    return Finding::Unknown;
                };
                let percent = total.saturating_mul(100) / span;
                let span = words::duration(span);
                let said = format!("{percent} % of a core over {span}, limit {max_percent} %");
                verdict(percent > u64::from(max_percent), said)
            }
            Guarded::LogRate { max_bytes_per_s } => {
                let Some((total, span)) = self.average(&usage.log_bytes, at.mono_ms) else {
                    return Finding::Unknown;
                };
                let rate = total.saturating_mul(1000) / span;
                let (has, limit) = (words::bytes(rate), words::bytes(max_bytes_per_s));
                let span = words::duration(span);
                let said = format!("{has}/s of output over {span}, limit {limit}/s");
                verdict(rate > max_bytes_per_s, said)
            }
        }
    }

    fn unknown(&mut self) -> Finding {
        self.over_since = None;
        Finding::Unknown
    }

    /// A limit on the age of something, which goes on growing while nobody measures.
    fn age(
        &mut self,
        age: &Option<Result<u64, String>>,
        limit: u64,
        said: &str,
        at: &Moment,
    ) -> Finding {
        let Some(Ok(age)) = age else {
            return self.unknown();
        };
        if *age < at.elapsed {
            self.excused_ms = 0;
        } else {
            let unwatched = at.elapsed.saturating_sub(at.between);
            self.excused_ms = self.excused_ms.saturating_add(unwatched);
        }
        let age = age.saturating_sub(self.excused_ms);
        let (has, most) = (words::duration(age), words::duration(limit));
        self.instant(age > limit, format!("{said} for {has}, limit {most}"), at)
    }

    /// A limit on what is the case at a moment.
    fn instant(&mut self, is_over: bool, said: String, at: &Moment) -> Finding {
        if !is_over {
            (self.over_since, self.over_ms) = (None, 0);
            return Finding::Kept(said);
        }
        let since = self.over_since.replace(at.mono_ms);
        let more = since.map_or(0, |since| at.mono_ms.saturating_sub(since));
        self.over_ms = self.over_ms.saturating_add(more.min(at.between));
        if self.over_ms >= self.guard.for_ms {
            Finding::Broken(said)
        } else {
            Finding::Exceeded
        }
    }

    /// Growth of a total over the time the guard looks back, and that time; `None` while it is not
    /// known for so long.
    fn average(&mut self, total: &Option<Result<u64, String>>, mono_ms: u64) -> Option<(u64, u64)> {
        let Some(Ok(total)) = total else {
            return None;
        };
        let for_ms = self.guard.for_ms.max(MEASURE_MIN_MS);
        let is_old = |(at, _): &(u64, u64)| mono_ms.saturating_sub(*at) >= for_ms;
        while self.window.get(1).is_some_and(is_old) {
            self.window.pop_front();
        }
        let first = self.window.front().copied().filter(is_old);
        let apart = for_ms / GUARD_WINDOW_MAX;
        let last = self.window.back();
        if last.is_none_or(|(at, _)| mono_ms.saturating_sub(*at) >= apart.max(1)) {
            self.window.push_back((mono_ms, *total));
        }
        let (at, before) = first?;
        // Processes that ended may have taken their share with them.
        Some((total.saturating_sub(before), mono_ms - at))
    }
}

fn verdict(is_over: bool, said: String) -> Finding {
    if is_over {
        Finding::Broken(said)
    } else {
        Finding::Kept(said)
    }
}
