//! What the core shows: states, reasons, timers, status.
//!
//! Invariant: `state_of` gives each unit exactly one state, so that counts sum.

use std::collections::BTreeMap;

use crate::engine::Core;
use crate::engine::evaluate::{Blocker, Hold};
use crate::engine::slot::{Readiness, Run, Slot};
use crate::fleet::{Kind, Unit};
use crate::io::{Effect, Now};
use crate::planted::Planted;
use crate::record::{Desired, ExitClass, RunRow, Settled};
use crate::view::{DaemonView, LastExit, State, Status, Summary, Transition};
use crate::words;

impl Core {
    /// State of a unit, if there is such a unit.
    pub fn state(&self, unit: &str) -> Option<State> {
        self.slots.get(unit).map(|slot| self.state_of(unit, slot))
    }

    pub(crate) fn state_of(&self, unit: &str, slot: &Slot) -> State {
        if let Some(run) = &slot.run {
            let is_job = slot.daemon.kind == Kind::Job || slot.is_task();
            return match self.state_of_run(unit, run) {
                State::Up | State::Ready if is_job => State::Running,
                state => state,
            };
        }
        if slot.intent.hold.is_some() {
            return State::Held;
        }
        let is_job = slot.daemon.kind == Kind::Job;
        let is_up = slot.intent.desired == Desired::Up || (is_job && Self::is_by_hand(slot));
        if !is_up || !slot.daemon.enabled || self.shutting_down {
            return State::Stopped;
        }
        if is_job {
            return self.idle_state(unit, slot);
        }
        if self.closed_gate(&slot.daemon.name).is_some() {
            return State::Paused;
        }
        match slot.ledger.settled {
            Some(Settled::Done) => return State::Done,
            Some(Settled::Failed) => return State::Failed,
            None => {}
        }
        match slot.next_try_mono {
            Some(_) if slot.ledger.cooling => State::CoolDown,
            Some(_) => State::Backoff,
            None => State::Waiting,
        }
    }

    fn state_of_run(&self, unit: &str, run: &Run) -> State {
        if run.unreachable.is_some() {
            return State::Unknown;
        }
        if run.stopping.is_some() {
            return State::Stopping;
        }
        if run.pid.is_none() {
            return State::Starting;
        }
        let impaired = run.readiness == Readiness::Lost
            || run.log_blocked.is_some()
            || run.live.failures > 0
            || !self.broken_guards(unit).is_empty()
            || self.lost_need(unit).is_some();
        match run.readiness {
            _ if impaired => State::Degraded,
            Readiness::Proven => State::Ready,
            Readiness::NotAsked | Readiness::Pending | Readiness::Lost => State::Up,
        }
    }

    /// A need that does not serve although it is wanted: it died or is failing.
    pub(crate) fn lost_need(&self, unit: &str) -> Option<Unit> {
        let slot = self.slots.get(unit)?;
        slot.daemon
            .needs
            .iter()
            .flat_map(|name| self.replicas(name))
            .find(|other| !self.serves(other))
            .cloned()
    }

    /// Emits a transition when the state of a unit is not the one last told.
    pub(crate) fn tell(&mut self, unit: &str, now: Now, out: &mut Vec<Effect>) {
        let Some(slot) = self.slots.get(unit).filter(|slot| !slot.is_task()) else {
            return;
        };
        let to = self.state_of(unit, slot);
        if to == slot.shown && slot.since_ms.is_some() {
            return;
        }
        let reason = self.reason_of(unit, now);
        let Some(slot) = self.slots.get_mut(unit) else {
            return;
        };
        let from = std::mem::replace(&mut slot.shown, to);
        slot.since_ms = Some(now.wall_ms);
        if from == to {
            return;
        }
        let run = slot.run.as_ref().map(|run| run.run.clone());
        let run = run.or_else(|| slot.last.as_ref().map(|row| row.run.clone()));
        out.push(Effect::Transition(Transition {
            at_ms: now.wall_ms,
            unit: unit.to_owned(),
            from,
            to,
            reason,
            run,
        }));
    }

    /// Why a unit is what it is, in a few words.
    pub(crate) fn reason_of(&self, unit: &str, now: Now) -> Option<String> {
        let slot = self.slots.get(unit)?;
        let ending = || {
            slot.last
                .as_ref()
                .and_then(|row| row.exit.as_ref())
                .map(words::ending)
        };
        let is_job = slot.daemon.kind == Kind::Job;
        match self.state_of(unit, slot) {
            State::Stopped if self.shutting_down => None,
            State::Stopped if !slot.daemon.enabled => Some("disabled".to_owned()),
            State::Stopped if slot.intent.manual => Some("stopped by hand".to_owned()),
            State::Stopped => Some("not in the profile".to_owned()),
            State::Held => slot.intent.hold.clone(),
            State::Waiting | State::Failed if is_job && slot.fire.is_none() => {
                self.job_reason(unit, now)
            }
            State::Paused if !is_job => self.closed_gate(&slot.daemon.name),
            State::Done | State::Failed => ending(),
            State::Backoff | State::CoolDown => {
                let due = slot.next_try_mono.unwrap_or(now.mono_ms);
                let wait = words::duration(due.saturating_sub(now.mono_ms));
                let ending = ending().unwrap_or_else(|| "ended".to_owned());
                Some(format!("{ending}; next try in {wait}"))
            }
            State::Waiting => Some(self.waiting_reason(unit)),
            State::Starting => Some("its keeper is starting the command".to_owned()),
            State::Stopping => {
                let why = slot.run.as_ref()?.stopping.as_ref()?.why.clone();
                let first = self.stops_after(unit);
                Some(match first.as_slice() {
                    [] => why,
                    others => format!("{why}; after {}", list(others)),
                })
            }
            State::Unknown => slot.run.as_ref()?.unreachable.clone(),
            State::Scheduled | State::Overdue | State::Paused => self.job_reason(unit, now),
            State::Up | State::Ready | State::Running | State::Degraded => {
                self.running_reason(unit, slot.run.as_ref()?)
            }
        }
    }

    fn running_reason(&self, unit: &str, run: &Run) -> Option<String> {
        if let Some(blocked) = &run.log_blocked {
            return Some(format!("its log cannot be written: {blocked}"));
        }
        let said = |error: &Option<String>| error.clone().unwrap_or_else(|| "failed".to_owned());
        if run.readiness == Readiness::Lost {
            return Some(format!("not ready any more: {}", said(&run.ready.error)));
        }
        if run.live.failures > 0 {
            return Some(format!("liveness: {}", said(&run.live.error)));
        }
        if let Some(guard) = self.broken_guards(unit).into_iter().next() {
            return Some(guard);
        }
        if let Some(need) = self.lost_need(unit) {
            let state = self.in_words(&need);
            return Some(format!("needs `{need}`, which is {state}"));
        }
        match (run.readiness, &run.ready.error) {
            (Readiness::Pending, Some(error)) => Some(format!("not ready yet: {error}")),
            (Readiness::Pending, None) => Some("not ready yet".to_owned()),
            _ => None,
        }
    }

    fn waiting_reason(&self, unit: &str) -> String {
        if let Some(need) = self.unwanted_need(unit) {
            let state = self.in_words(&need);
            return format!("needs `{need}`, which is {state}");
        }
        let blockers = self.blockers(unit);
        let on = |how: Hold| -> Vec<Unit> {
            blockers
                .iter()
                .filter(|b| b.how == how)
                .map(|b| b.on.clone())
                .collect()
        };
        let (needs, wants, conflicts) = (on(Hold::Needs), on(Hold::Wants), on(Hold::Conflicts));
        match (needs.as_slice(), wants.as_slice(), conflicts.as_slice()) {
            ([], [], []) => "about to start".to_owned(),
            ([], [], conflicts) => format!("conflicts with {}", list(conflicts)),
            ([], wants, _) => format!("after {}", list(wants)),
            ([one], _, _) => {
                let state = self.in_words(one);
                format!("needs `{one}`, which is {state}")
            }
            (needs, _, _) => format!("needs {}", list(needs)),
        }
    }

    /// What a unit is, for one who needs it: `up` alone would not say why that is not enough.
    fn in_words(&self, unit: &str) -> &'static str {
        let run = self.slots.get(unit).and_then(|slot| slot.run.as_ref());
        match self.state(unit).unwrap_or(State::Unknown) {
            State::Up if run.is_some_and(|run| run.readiness == Readiness::Pending) => {
                "not ready yet"
            }
            state => state.as_str(),
        }
    }

    /// Units it waits for or misses.
    pub(crate) fn blocked_on(&self, unit: &str) -> Vec<Unit> {
        let Some(slot) = self.slots.get(unit) else {
            return Vec::new();
        };
        match self.state_of(unit, slot) {
            State::Waiting => match self.unwanted_need(unit) {
                Some(need) => vec![need],
                None => {
                    let blockers = self.blockers(unit);
                    blockers.into_iter().map(|Blocker { on, .. }| on).collect()
                }
            },
            State::Degraded => self.lost_need(unit).into_iter().collect(),
            State::Stopping => self.stops_after(unit),
            _ => Vec::new(),
        }
    }

    /// Status of the whole fleet. `manager` and `problems` are the shell's to fill in.
    pub fn status(&self, now: Now) -> Status {
        let daemons: Vec<DaemonView> = self
            .units()
            .filter_map(|unit| self.view(unit, now))
            .collect();
        let mut counts: BTreeMap<String, usize> = State::ALL
            .iter()
            .map(|state| (state.as_str().to_owned(), 0))
            .collect();
        for daemon in &daemons {
            if daemon.state == State::Unknown && self.has(Planted::SummaryForgets) {
                continue;
            }
            *counts.entry(daemon.state.as_str().to_owned()).or_default() += 1;
        }
        Status {
            fleet: self.fleet.name.clone(),
            profile: self.profile.clone(),
            generated_at: words::rfc3339(now.wall_ms),
            manager: None,
            summary: Summary {
                total: daemons.len(),
                counts,
            },
            daemons,
            gauges: self.gauge_views(now),
            gates: self.gate_views(now),
            problems: Vec::new(),
        }
    }

    /// One unit.
    pub fn view(&self, unit: &str, now: Now) -> Option<DaemonView> {
        let slot = self.slots.get(unit)?;
        let state = self.state_of(unit, slot);
        let run = slot.run.as_ref();
        let uptime = run
            .and_then(|run| run.started_mono)
            .map(|started| now.mono_ms.saturating_sub(started));
        #[expect(
            clippy::cast_precision_loss,
            reason = "a display value; exact up to 285 millennia"
        )]
        let uptime_s = uptime.map(|ms| ms as f64 / 1000.0);
        let waits = matches!(state, State::Backoff | State::CoolDown);
        let next_try = slot.next_try_mono.filter(|_| waits).map(|due| {
            let wait = i64::try_from(due.saturating_sub(now.mono_ms)).unwrap_or(i64::MAX);
            words::rfc3339(now.wall_ms.saturating_add(wait))
        });
        Some(DaemonView {
            name: unit.to_owned(),
            kind: slot.daemon.kind,
            category: slot.daemon.category.clone(),
            desired: slot.intent.desired,
            state,
            reason: self.reason_of(unit, now),
            pid: run.and_then(|run| run.pid),
            run: run.map(|run| run.run.clone()),
            started_at: run.and_then(|run| run.started_ms).map(words::rfc3339),
            uptime_s,
            since: slot.since_ms.map(words::rfc3339),
            restarts: slot.ledger.restarts_total,
            last_exit: slot.last.as_ref().and_then(last_exit),
            ready: run.and_then(|run| match run.readiness {
                Readiness::NotAsked => None,
                Readiness::Proven => Some(true),
                Readiness::Pending | Readiness::Lost => Some(false),
            }),
            next_try_at: next_try,
            status_text: run.and_then(|run| run.status_text.clone()),
            blocked_on: self.blocked_on(unit),
            job: self.job_view(unit, now),
            guards: self.broken_guards(unit),
            guarded_by: self.guarded_by(unit),
            watch_problem: self.watch_problem(&slot.daemon.name),
        })
    }
}

fn last_exit(row: &RunRow) -> Option<LastExit> {
    let exit = row.exit.as_ref()?;
    Some(LastExit {
        run: row.run.clone(),
        code: exit.code,
        signal: exit.signal,
        at: words::rfc3339(exit.ended_at_ms),
        class: row.class.unwrap_or(ExitClass::Failure),
        reason: exit.reason,
        message: exit.message.clone(),
    })
}

fn list(units: &[Unit]) -> String {
    const SHOWN: usize = 4;
    let mut names: Vec<String> = units.iter().take(SHOWN).map(|u| format!("`{u}`")).collect();
    if units.len() > SHOWN {
        names.push(format!("{} more", units.len() - SHOWN));
    }
    names.join(", ")
}
