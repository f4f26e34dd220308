//! Gauges: when each is sampled, and what a new value brings about.
//!
//! A gauge is *sampled* every `every_ms` while something is wanted up, and never while the manager
//! is shutting down. At most one question is under way for each gauge; it has a number, and only
//! the answer with that number counts. An answer that does not come within the sample's own time
//! and [`SAMPLE_SLACK_MS`] is given up: the gauge is *unknown*, with that reason. So is one whose
//! source gave an error. Unknown is a level of its own; it is not zero, not over and not ok.
//!
//! The first samples after an `up` are [`SAMPLE_SPREAD_MS`] apart, and each gauge keeps to its own
//! beat from then on, so that a thousand gauges are not read in the same moment.
//!
//! A new level is told once, swings the gates that look at it (`gate`), and fires the jobs that
//! wait for it. To come back from *unknown* to the level before is not to come to it: nothing is
//! fired. A new manager does not know the level before; what it finds first counts as come to. A
//! gauge comes to *unknown* when a sample fails, not while none was asked for. With
//! `again_ms` a job fires once more each time that long after, while the level is known to last.
//!
//! Invariants: an answer to an earlier question changes nothing; there is no timer while nothing is
//! to be sampled.
//! Deliberately absent: durable values. What was sampled before the manager's start is not known
//! any more; only gates remember.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::engine::Core;
use crate::engine::gate::Gating;
use crate::engine::level::Meter;
use crate::fleet::{Condition, Gauge, GaugeTrigger, Kind, Level, Value};
use crate::happened::{Happened, What};
use crate::io::{Effect, Now};
use crate::planted::Planted;
use crate::record::{Desired, Trigger, WallMs};
use crate::view::GaugeView;
use crate::words;

/// How long past its own time limit a sample may be without an answer.
const SAMPLE_SLACK_MS: u64 = 5_000;
/// Time between the first samples of two gauges.
const SAMPLE_SPREAD_MS: u64 = 10;

const NOT_YET: &str = "not sampled yet";
const NOTHING_UP: &str = "not sampled while nothing is up";

/// What the core remembers of gauges and gates.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gauges {
    known: BTreeMap<String, Known>,
    pub(crate) gates: BTreeMap<String, Gating>,
    /// Names of the gates that a daemon is a member of.
    pub(crate) gates_of: BTreeMap<String, Vec<String>>,
    /// Jobs that a gauge fires.
    fires: BTreeMap<String, Vec<(String, GaugeTrigger)>>,
    /// Jobs that begin only while a gauge is so.
    conditional: BTreeMap<String, BTreeSet<String>>,
    timers: BTreeSet<(u64, String)>,
    next_number: u64,
    is_sampling: bool,
}

/// One gauge.
#[derive(Debug, Clone)]
struct Known {
    gauge: Arc<Gauge>,
    meter: Meter,
    level: Level,
    /// Why it is unknown.
    doubt: String,
    /// Number of the last question, and until when its answer is waited for.
    number: u64,
    asked_until: Option<u64>,
    /// When to ask next.
    due: Option<u64>,
    /// Deadline registered in `timers`.
    timer: Option<u64>,
    since_ms: Option<WallMs>,
    sampled_ms: Option<WallMs>,
    changed_ms: Option<WallMs>,
    /// The last level that was known.
    came_to: Option<Level>,
    /// The last sample failed.
    is_in_doubt: bool,
    /// Monotonic time of the last fire of each job at a level.
    fired: BTreeMap<(String, Level), u64>,
}

impl Known {
    fn new(gauge: &Arc<Gauge>) -> Self {
        Self {
            gauge: Arc::clone(gauge),
            meter: Meter::default(),
            level: Level::Unknown,
            doubt: NOT_YET.to_owned(),
            number: 0,
            asked_until: None,
            due: None,
            timer: None,
            since_ms: None,
            sampled_ms: None,
            changed_ms: None,
            came_to: None,
            is_in_doubt: false,
            fired: BTreeMap::new(),
        }
    }

    /// What was sampled under the old definition counts as far as it is about the same source.
    fn redefine(&mut self, gauge: &Arc<Gauge>) {
        if self.gauge.source != gauge.source {
            *self = Self {
                level: self.level,
                since_ms: self.since_ms,
                ..Self::new(gauge)
            };
            return;
        }
        if self.gauge.every_ms != gauge.every_ms {
            self.due = None;
        }
        self.gauge = Arc::clone(gauge);
        self.meter.reload(gauge);
    }

    fn why(&self) -> Option<String> {
        match self.level {
            Level::Unknown => Some(self.doubt.clone()),
            _ => self.meter.why(&self.gauge),
        }
    }
}

impl Gauges {
    pub(crate) fn next_timeout(&self) -> Option<u64> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// The level as it is, and as it would linger from before.
    pub(crate) fn levels(&self, gauge: &str) -> Option<(Level, Level)> {
        let known = self.known.get(gauge)?;
        Some((known.level, known.meter.lingering(&known.gauge)))
    }

    /// Why a gauge is at its level.
    pub(crate) fn why(&self, gauge: &str) -> Option<String> {
        self.known.get(gauge)?.why()
    }

    fn arm(&mut self, name: &str) {
        let Some(known) = self.known.get_mut(name) else {
            return;
        };
        let question = known.asked_until.or(known.due);
        let again = self
            .fires
            .get(name)
            .into_iter()
            .flatten()
            .filter_map(|(job, trigger)| next_fire(known, job, trigger))
            .min();
        let due = [question, again].into_iter().flatten().min();
        if let Some(old) = std::mem::replace(&mut known.timer, due) {
            self.timers.remove(&(old, name.to_owned()));
        }
        if let Some(due) = due {
            self.timers.insert((due, name.to_owned()));
        }
    }

    /// Gives each gauge that has none the time of its first sample.
    fn spread(&mut self, mono_ms: u64) {
        let mut offset: u64 = 0;
        let mut names = Vec::new();
        for (name, known) in &mut self.known {
            if known.due.is_none() {
                known.due = Some(mono_ms + offset % known.gauge.every_ms.max(1));
                offset += SAMPLE_SPREAD_MS;
                names.push(name.clone());
            }
        }
        for name in names {
            self.arm(&name);
        }
    }
}

/// When a job fires again, if it does.
fn next_fire(known: &Known, job: &str, trigger: &GaugeTrigger) -> Option<u64> {
    let again_ms = trigger.again_ms.filter(|_| known.level == trigger.level)?;
    let fired = known.fired.get(&(job.to_owned(), trigger.level))?;
    Some(fired.saturating_add(again_ms.max(1)))
}

impl Core {
    pub(crate) fn load_gauges(&mut self, now: Now, out: &mut Vec<Effect>) {
        let declared: Vec<Arc<Gauge>> = self.fleet.gauges.values().cloned().map(Arc::new).collect();
        let gauges = &mut self.gauges;
        gauges.timers.clear();
        let mut before = std::mem::take(&mut gauges.known);
        let mut changed = BTreeSet::new();
        for gauge in &declared {
            let known = before.remove(&gauge.name);
            let mut known = known.unwrap_or_else(|| Known::new(gauge));
            known.timer = None;
            if known.gauge != *gauge {
                known.redefine(gauge);
                changed.insert(gauge.name.clone());
            }
            gauges.known.insert(gauge.name.clone(), known);
        }
        self.index_gauges();
        self.load_gates(now, out);
        for gauge in &declared {
            if changed.contains(&gauge.name) {
                self.mark_conditional(&gauge.name);
                self.settle_gauge(&gauge.name, false, now, out);
            } else {
                self.swing_gates(&gauge.name, now, out);
            }
        }
        if self.gauges.is_sampling {
            self.gauges.spread(now.mono_ms);
        }
        for gauge in declared {
            self.gauges.arm(&gauge.name);
        }
    }

    fn index_gauges(&mut self) {
        let gauges = &mut self.gauges;
        gauges.fires.clear();
        gauges.conditional.clear();
        for daemon in self.fleet.daemons.values() {
            let Some(job) = &daemon.job else { continue };
            for trigger in &job.gauges {
                let fires = gauges.fires.entry(trigger.gauge.clone()).or_default();
                fires.push((daemon.name.clone(), trigger.clone()));
            }
            for condition in &job.only_when {
                let gauge = condition.gauge.clone();
                let jobs = gauges.conditional.entry(gauge).or_default();
                jobs.insert(daemon.name.clone());
            }
        }
        for (name, known) in &mut gauges.known {
            let fires = gauges.fires.get(name);
            let declared = |job: &String| fires.is_some_and(|f| f.iter().any(|(j, _)| j == job));
            known.fired.retain(|(job, _), _| declared(job));
        }
    }

    /// Handles what is due.
    pub(crate) fn tend_gauges(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.begin_or_end_sampling(now, out);
        while let Some((due, name)) = self.gauges.timers.first().cloned() {
            if due > now.mono_ms {
                break;
            }
            self.gauges.timers.pop_first();
            if let Some(known) = self.gauges.known.get_mut(&name) {
                known.timer = None;
            }
            self.tend_gauge(&name, now, out);
            self.gauges.arm(&name);
        }
    }

    fn begin_or_end_sampling(&mut self, now: Now, out: &mut Vec<Effect>) {
        if self.gauges.known.is_empty() {
            return;
        }
        let leaving = self.shutting_down || self.exited;
        let is_up = |slot: &super::slot::Slot| {
            slot.intent.desired == Desired::Up && slot.daemon.kind != Kind::Task
        };
        let any_up = self.up_called && self.slots.values().any(is_up);
        let wanted = !leaving && (any_up || self.tasks.look_at_gates());
        if wanted == self.gauges.is_sampling {
            return;
        }
        self.gauges.is_sampling = wanted;
        if wanted {
            self.gauges.spread(now.mono_ms);
            return;
        }
        self.gauges.timers.clear();
        let names: Vec<String> = self.gauges.known.keys().cloned().collect();
        for name in names {
            if let Some(known) = self.gauges.known.get_mut(&name) {
                (known.due, known.asked_until, known.timer) = (None, None, None);
            }
            // A manager that leaves has nothing to say about what it does not look at any more.
            if !leaving {
                self.take_sample(&name, Err(NOTHING_UP.to_owned()), now, out);
            }
        }
    }

    fn tend_gauge(&mut self, name: &str, now: Now, out: &mut Vec<Effect>) {
        let Some(known) = self.gauges.known.get(name) else {
            return;
        };
        let is_due = |due: Option<u64>| due.is_some_and(|due| due <= now.mono_ms);
        if is_due(known.asked_until) {
            let limit = words::duration(known.gauge.timeout_ms.saturating_add(SAMPLE_SLACK_MS));
            let why = format!("the sample gave no answer within {limit}");
            self.take_sample(name, Err(why), now, out);
        }
        self.ask(name, now, out);
        self.fire_again(name, now, out);
    }

    fn ask(&mut self, name: &str, now: Now, out: &mut Vec<Effect>) {
        let gauges = &mut self.gauges;
        let Some(known) = gauges.known.get_mut(name) else {
            return;
        };
        let Some(due) = known.due.filter(|due| *due <= now.mono_ms) else {
            return;
        };
        if known.asked_until.is_some() {
            return;
        }
        gauges.next_number += 1;
        known.number = gauges.next_number;
        let gauge = &known.gauge;
        let patience = gauge.timeout_ms.saturating_add(SAMPLE_SLACK_MS);
        known.asked_until = Some(now.mono_ms.saturating_add(patience));
        // It keeps its beat, unless it is a whole beat late.
        let every_ms = gauge.every_ms.max(1);
        let next = due.saturating_add(every_ms);
        let late = now.mono_ms.saturating_add(every_ms);
        known.due = Some(if next > now.mono_ms { next } else { late });
        out.push(Effect::Sample {
            gauge: name.to_owned(),
            number: known.number,
            source: gauge.source.clone(),
            timeout_ms: gauge.timeout_ms,
        });
    }

    pub(crate) fn on_sampled(
        &mut self,
        gauge: &str,
        number: u64,
        outcome: Result<f64, String>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let accept_stale = self.has(Planted::StaleSample);
        let Some(known) = self.gauges.known.get(gauge) else {
            return;
        };
        let is_awaited = known.asked_until.is_some() && known.number == number;
        if !is_awaited && !accept_stale {
            return;
        }
        let outcome = match outcome {
            Ok(value) if value.is_finite() => Ok(Value(value)),
            Ok(_) => Err("the value is not a finite number".to_owned()),
            Err(_) if self.has(Planted::UnknownIsZero) => Ok(Value(0.0)),
            Err(why) => Err(why),
        };
        self.take_sample(gauge, outcome, now, out);
        self.gauges.arm(gauge);
    }

    fn take_sample(
        &mut self,
        name: &str,
        outcome: Result<Value, String>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let Some(known) = self.gauges.known.get_mut(name) else {
            return;
        };
        known.asked_until = None;
        let before = known.meter.value();
        let is_failed = outcome.as_ref().is_err_and(|why| why != NOTHING_UP);
        match outcome {
            Ok(value) => {
                known.sampled_ms = Some(now.wall_ms);
                if known.meter.take(&known.gauge, value, now.mono_ms) {
                    known.changed_ms = Some(now.wall_ms);
                }
            }
            Err(why) => {
                known.meter.doubt();
                known.doubt = why;
            }
        }
        if known.meter.value() != before {
            self.mark_conditional(name);
        }
        self.settle_gauge(name, is_failed, now, out);
    }

    /// Jobs that look at the gauge's value look again.
    fn mark_conditional(&mut self, gauge: &str) {
        let jobs = self.gauges.conditional.get(gauge).cloned();
        for job in jobs.into_iter().flatten() {
            self.dirty.extend(self.replicas(&job).to_vec());
        }
    }

    /// Draws the conclusions from what is now known of a gauge.
    fn settle_gauge(&mut self, name: &str, is_failed: bool, now: Now, out: &mut Vec<Effect>) {
        let Some(known) = self.gauges.known.get_mut(name) else {
            return;
        };
        let to = known.meter.level(&known.gauge);
        let from = std::mem::replace(&mut known.level, to);
        let is_come_to = match (to, is_failed) {
            (Level::Unknown, is_failed) => is_failed && !known.is_in_doubt,
            (level, _) => known.came_to.replace(level) != Some(level),
        };
        known.is_in_doubt = is_failed;
        if from != to {
            known.since_ms = Some(now.wall_ms);
            let value = known.meter.value().map(|value| value.0);
            let why = known.why().or_else(|| value.map(|v| Value(v).to_string()));
            out.push(Effect::Happened(Happened {
                at_ms: now.wall_ms,
                what: What::GaugeLevel {
                    gauge: name.to_owned(),
                    from,
                    to,
                    value,
                    why,
                },
            }));
        }
        self.swing_gates(name, now, out);
        if is_come_to {
            self.fire_at(name, to, now, out);
        }
    }

    fn fire_at(&mut self, name: &str, level: Level, now: Now, out: &mut Vec<Effect>) {
        let fires = self.gauges.fires.get(name).cloned().unwrap_or_default();
        for (job, _) in fires.into_iter().filter(|(_, t)| t.level == level) {
            self.fire_for_gauge(name, job, level, now, out);
        }
    }

    fn fire_again(&mut self, name: &str, now: Now, out: &mut Vec<Effect>) {
        let fires = self.gauges.fires.get(name).cloned().unwrap_or_default();
        for (job, trigger) in fires {
            let known = self.gauges.known.get(name);
            let due = known.and_then(|known| next_fire(known, &job, &trigger));
            if due.is_some_and(|due| due <= now.mono_ms) {
                self.fire_for_gauge(name, job, trigger.level, now, out);
            }
        }
    }

    fn fire_for_gauge(
        &mut self,
        name: &str,
        job: String,
        level: Level,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        self.fire_job(&job, Trigger::Gauge, now, out);
        if let Some(known) = self.gauges.known.get_mut(name) {
            known.fired.insert((job, level), now.mono_ms);
        }
    }

    /// The first of these conditions that does not hold, in words; `None`: all do.
    pub(crate) fn unmet(&self, conditions: &[Condition]) -> Option<String> {
        conditions.iter().find_map(|condition| {
            let name = &condition.gauge;
            let Some(known) = self.gauges.known.get(name) else {
                return Some(format!("gauge `{name}` is not declared"));
            };
            let Some(value) = known.meter.value() else {
                return Some(format!("gauge `{name}` is unknown: {}", known.doubt));
            };
            if let Some(below) = condition.below.filter(|below| value.0 >= below.0) {
                return Some(format!("gauge `{name}` is {value}, not below {below}"));
            }
            let above = condition.above.filter(|above| value.0 <= above.0)?;
            Some(format!("gauge `{name}` is {value}, not above {above}"))
        })
    }

    pub(crate) fn gauge_views(&self, _now: Now) -> Vec<GaugeView> {
        let view = |(name, known): (&String, &Known)| GaugeView {
            name: name.clone(),
            value: known.meter.value().map(|value| value.0),
            level: known.level,
            reason: known.why(),
            since: known.since_ms.map(words::rfc3339),
            sampled_at: known.sampled_ms.map(words::rfc3339),
            changed_at: known.changed_ms.map(words::rfc3339),
        };
        self.gauges.known.iter().map(view).collect()
    }
}
