//! Timers and probes: what is due when, and what an answer means.
//!
//! Invariants: at most one test of each probe is under way; a test without an answer counts as a
//! failure once its time and [`PROBE_SLACK_MS`] have passed; nothing is tested while a run is being
//! stopped.

use crate::engine::slot::{Checking, Readiness, Run, Slot, Stopping, is_polled};
use crate::engine::{Core, PROBE_SLACK_MS, READY_POLL_FIRST_MS, READY_POLL_MAX_MS, WANTS_WAIT_MS};
use crate::fleet::{Daemon, Live, Probe, Ready};
use crate::io::{Effect, Now, Which};
use crate::planted::Planted;
use crate::record::Generation;
use crate::words;

impl Core {
    /// Registers the earliest deadline of a unit.
    pub(crate) fn arm_timer(&mut self, unit: &str) {
        let due = self.slots.get(unit).and_then(|slot| self.deadline(slot));
        let Some(slot) = self.slots.get_mut(unit) else {
            return;
        };
        if slot.timer == due {
            return;
        }
        if let Some(old) = std::mem::replace(&mut slot.timer, due) {
            self.timers.remove(&(old, unit.to_owned()));
        }
        if let Some(due) = due {
            self.timers.insert((due, unit.to_owned()));
        }
    }

    fn deadline(&self, slot: &Slot) -> Option<u64> {
        let Some(run) = &slot.run else {
            if slot.ledger.settled.is_some() {
                return None;
            }
            let since = slot.waiting_since.filter(|_| !slot.impatient);
            let patience = since.map(|since| since.saturating_add(WANTS_WAIT_MS));
            return slot.next_try_mono.or(patience);
        };
        let escalate = run
            .stopping
            .as_ref()
            .and_then(|stopping| stopping.escalate_at);
        if run.stopping.is_some() {
            return escalate.filter(|_| !self.has(Planted::NoEscalation));
        }
        let launch = run.launch_due.filter(|_| run.pid.is_none());
        let within = ready_deadline(slot, run);
        [
            launch,
            run.ready.due,
            run.live.due,
            run.watchdog_due,
            within,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Handles everything that is due.
    pub(crate) fn fire_timers(&mut self, now: Now, out: &mut Vec<Effect>) {
        while let Some((due, unit)) = self.timers.first().cloned() {
            if due > now.mono_ms {
                break;
            }
            self.timers.pop_first();
            if let Some(slot) = self.slots.get_mut(&unit) {
                slot.timer = None;
            }
            self.fire(&unit, now, out);
            self.mark_around(&unit);
        }
    }

    fn fire(&mut self, unit: &str, now: Now, out: &mut Vec<Effect>) {
        let Some(slot) = self.slots.get_mut(unit) else {
            return;
        };
        let Some(run) = slot.run.as_mut() else {
            if slot.next_try_mono.is_some_and(|due| due <= now.mono_ms) {
                slot.next_try_mono = None;
                if cfg!(feature = "planted") && self.planted == Some(Planted::TimerIgnoresDesired) {
                    slot.intent.desired = crate::record::Desired::Up;
                }
            }
            let waited = slot
                .waiting_since
                .map(|since| since.saturating_add(WANTS_WAIT_MS));
            slot.impatient |= waited.is_some_and(|over| over <= now.mono_ms);
            return;
        };
        let generation = run.generation;
        let is_due = |due: Option<u64>| due.is_some_and(|due| due <= now.mono_ms);
        if let Some(stopping) = run.stopping.as_mut() {
            if is_due(stopping.escalate_at) {
                stopping.escalate_at = Some(now.mono_ms + crate::engine::STOP_SLACK_MS);
                out.push(Effect::KillKeeper {
                    unit: unit.to_owned(),
                    generation,
                });
            }
            return;
        }
        if run.pid.is_none() && is_due(run.launch_due) {
            run.launch_due = Some(now.mono_ms + crate::engine::LAUNCH_LIMIT_MS);
            out.push(Effect::KillKeeper {
                unit: unit.to_owned(),
                generation,
            });
            return;
        }
        if is_due(run.watchdog_due) {
            let limit = words::duration(slot.daemon.watchdog_ms().unwrap_or(0));
            self.stop_failed(unit, format!("no WATCHDOG=1 for {limit}"));
            return;
        }
        if is_due(slot.run.as_ref().and_then(|run| ready_deadline(slot, run))) {
            self.stop_unready(unit);
            return;
        }
        for which in [Which::Ready, Which::Live] {
            self.fire_probe(unit, generation, which, now, out);
        }
    }

    fn stop_unready(&mut self, unit: &str) {
        let Some(slot) = self.slots.get(unit) else {
            return;
        };
        let within = slot
            .daemon
            .ready
            .as_ref()
            .and_then(|ready| ready.within_ms)
            .unwrap_or(0);
        let error = slot.run.as_ref().and_then(|run| run.ready.error.clone());
        let limit = words::duration(within);
        let said = error.map_or(String::new(), |error| format!(": {error}"));
        self.stop_failed(unit, format!("not ready within {limit}{said}"));
    }

    /// Begins a stop that counts as a failure.
    pub(crate) fn stop_failed(&mut self, unit: &str, why: String) {
        if let Some(run) = self.slots.get_mut(unit).and_then(|slot| slot.run.as_mut())
            && run.stopping.is_none()
        {
            run.stopping = Some(Stopping {
                why,
                failed: true,
                sent: false,
                escalate_at: None,
            });
        }
        self.mark_around(unit);
    }

    fn fire_probe(
        &mut self,
        unit: &str,
        generation: Generation,
        which: Which,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let Some(slot) = self.slots.get_mut(unit) else {
            return;
        };
        let Some(run) = slot.run.as_mut() else { return };
        let Some((probe, timeout_ms)) = probe_of(&slot.daemon, which) else {
            return;
        };
        let checking = run.checking(which);
        if checking.due.is_none_or(|due| due > now.mono_ms) {
            return;
        }
        if checking.asked {
            let error = "the test gave no answer".to_owned();
            self.on_probed(unit, generation, which, Err(error), now);
            return;
        }
        checking.asked = true;
        checking.due = Some(now.mono_ms + timeout_ms + PROBE_SLACK_MS);
        let (unit, probe) = (unit.to_owned(), probe.clone());
        out.push(Effect::Probe {
            unit,
            generation,
            which,
            probe,
            timeout_ms,
        });
    }

    /// Takes note of a test's answer.
    pub(crate) fn on_probed(
        &mut self,
        unit: &str,
        generation: Generation,
        which: Which,
        outcome: Result<(), String>,
        now: Now,
    ) {
        let accept_stale = self.has(Planted::StaleProbe);
        let Some(slot) = self.slots.get_mut(unit) else {
            return;
        };
        let daemon = std::sync::Arc::clone(&slot.daemon);
        let Some(run) = slot.run.as_mut() else { return };
        if (run.generation != generation && !accept_stale) || run.stopping.is_some() {
            return;
        }
        if run.pid.is_none() && !accept_stale {
            return;
        }
        run.checking(which).asked = false;
        match which {
            Which::Ready => {
                let Some(ready) = &daemon.ready else { return };
                match outcome {
                    Ok(()) => run.prove_ready(&daemon, ready, now),
                    Err(error) => run.ready_failed(ready, error, now),
                }
            }
            Which::Live => {
                let Some(live) = &daemon.live else { return };
                if let Some(why) = run.live_answered(live, outcome, now) {
                    self.stop_failed(unit, why);
                }
            }
        }
        self.mark_around(unit);
    }

    /// Begins probing a run whose command is executing.
    pub(crate) fn begin_probes(
        &mut self,
        unit: &str,
        proven: bool,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let Some(slot) = self.slots.get_mut(unit) else {
            return;
        };
        let daemon = std::sync::Arc::clone(&slot.daemon);
        let Some(run) = slot.run.as_mut() else { return };
        run.ready = Checking::default();
        run.live = Checking::default();
        run.watchdog_due = None;
        let Some(ready) = &daemon.ready else {
            run.readiness = Readiness::NotAsked;
            run.begin_liveness(&daemon, now);
            return;
        };
        if proven {
            run.prove_ready(&daemon, ready, now);
            return;
        }
        run.readiness = Readiness::Pending;
        match &ready.probe {
            Probe::Log(pattern) => out.push(Effect::WatchLog {
                unit: unit.to_owned(),
                generation: run.generation,
                pattern: pattern.clone(),
            }),
            probe if is_polled(probe) => run.ready.due = Some(now.mono_ms),
            _ => {}
        }
    }
}

impl Run {
    fn checking(&mut self, which: Which) -> &mut Checking {
        match which {
            Which::Ready => &mut self.ready,
            Which::Live => &mut self.live,
        }
    }

    /// The readiness probe passed, or the daemon said `READY=1`.
    pub(crate) fn prove_ready(&mut self, daemon: &Daemon, ready: &Ready, now: Now) {
        let first = self.readiness != Readiness::Proven && self.readiness != Readiness::Lost;
        self.readiness = Readiness::Proven;
        self.ready = Checking::default();
        if is_polled(&ready.probe) {
            self.ready.due = Some(now.mono_ms + ready.every_ms.max(1));
        }
        if first {
            self.begin_liveness(daemon, now);
        }
    }

    fn ready_failed(&mut self, ready: &Ready, error: String, now: Now) {
        self.ready.error = Some(error);
        self.ready.failures = self.ready.failures.saturating_add(1);
        if matches!(self.readiness, Readiness::Proven | Readiness::Lost) {
            if self.ready.failures >= ready.failures.max(1) {
                self.readiness = Readiness::Lost;
            }
            self.ready.due = Some(now.mono_ms + ready.every_ms.max(1));
            return;
        }
        let pause = READY_POLL_FIRST_MS << self.ready.tries.min(8);
        let slowest = READY_POLL_MAX_MS.min(ready.every_ms.max(READY_POLL_FIRST_MS));
        self.ready.tries = self.ready.tries.saturating_add(1);
        self.ready.due = Some(now.mono_ms + pause.min(slowest));
    }

    fn begin_liveness(&mut self, daemon: &Daemon, now: Now) {
        if let Some(watchdog_ms) = daemon.watchdog_ms() {
            self.watchdog_due = Some(now.mono_ms.saturating_add(watchdog_ms));
        }
        if let Some(live) = &daemon.live
            && is_polled(&live.probe)
        {
            self.live.due = Some(now.mono_ms + live.every_ms.max(1));
        }
    }

    /// Says why it must be restarted, if it must.
    fn live_answered(
        &mut self,
        live: &Live,
        outcome: Result<(), String>,
        now: Now,
    ) -> Option<String> {
        self.live.due = Some(now.mono_ms + live.every_ms.max(1));
        match outcome {
            Ok(()) => {
                self.live.failures = 0;
                self.live.error = None;
                None
            }
            Err(error) => {
                self.live.failures = self.live.failures.saturating_add(1);
                let why = format!("liveness failed {} times: {error}", self.live.failures);
                self.live.error = Some(error);
                (self.live.failures >= live.failures.max(1)).then_some(why)
            }
        }
    }
}

fn probe_of(daemon: &Daemon, which: Which) -> Option<(&Probe, u64)> {
    match which {
        Which::Ready => daemon
            .ready
            .as_ref()
            .map(|ready| (&ready.probe, ready.timeout_ms)),
        Which::Live => daemon
            .live
            .as_ref()
            .map(|live| (&live.probe, live.timeout_ms)),
    }
}

/// When a run that is not ready yet is given up.
fn ready_deadline(slot: &Slot, run: &Run) -> Option<u64> {
    let within = slot.daemon.ready.as_ref()?.within_ms?;
    let started = run.started_mono?;
    (run.readiness == Readiness::Pending).then(|| started.saturating_add(within))
}
