//! News of runs: started, notified, ended.
//!
//! Invariant: news of a generation other than the present run's changes nothing; each end is
//! persisted once.

use crate::engine::job::JobEnd;
use crate::engine::slot::{Readiness, Run};
use crate::engine::{Core, policy};
use crate::fleet::{Kind, OnNeedLost, Probe, Unit, daemon_of};
use crate::io::{Effect, Notify, Now, Persist, RunEvent};
use crate::planted::Planted;
use crate::record::{EndReason, ExitClass, ExitRecord, Generation, RunRow, Settled};
use crate::words;

impl Core {
    pub(crate) fn on_run_event(
        &mut self,
        unit: &str,
        generation: Generation,
        event: RunEvent,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let stale_counts = self.has(Planted::StaleExit);
        let Some(run) = self.slots.get_mut(unit).and_then(|slot| slot.run.as_mut()) else {
            return;
        };
        if run.generation != generation && !(stale_counts && matches!(event, RunEvent::Ended(_))) {
            return;
        }
        match event {
            RunEvent::Started { pid, at_ms } => self.on_started(unit, pid, at_ms, now, out),
            RunEvent::Ended(record) => self.on_ended(unit, record, now, out),
            RunEvent::Notify(item) => self.on_notify(unit, item, now),
            RunEvent::LogMatched => self.on_said_ready(unit, now),
            RunEvent::LogBlocked(why) => run.log_blocked = why,
            RunEvent::Unreachable(why) => run.unreachable = why,
        }
        self.mark_around(unit);
    }

    fn on_started(&mut self, unit: &str, pid: u32, at_ms: i64, now: Now, out: &mut Vec<Effect>) {
        let Some(run) = self.slots.get_mut(unit).and_then(|slot| slot.run.as_mut()) else {
            return;
        };
        if run.pid.is_some() {
            // A late or doubled message; the first one counted.
            return;
        }
        run.pid = Some(pid);
        run.started_ms = Some(at_ms);
        run.started_mono = Some(now.mono_ms);
        run.launch_due = None;
        out.push(Effect::Persist(Persist::RunStarted {
            run: run.run.clone(),
            pid,
        }));
        self.begin_probes(unit, false, now, out);
        self.task_executes(unit, now, out);
    }

    fn on_notify(&mut self, unit: &str, item: Notify, now: Now) {
        let Some(slot) = self.slots.get_mut(unit) else {
            return;
        };
        let daemon = std::sync::Arc::clone(&slot.daemon);
        let Some(run) = slot.run.as_mut() else { return };
        match item {
            Notify::Ready => {
                // Only a daemon whose readiness is asked for this way may claim it.
                let asked = daemon.ready.as_ref().map(|ready| &ready.probe);
                if matches!(asked, Some(Probe::Notify { .. })) {
                    self.on_said_ready(unit, now);
                }
            }
            Notify::Watchdog => {
                if run.watchdog_due.is_some() {
                    run.watchdog_due = daemon
                        .watchdog_ms()
                        .map(|limit| now.mono_ms.saturating_add(limit));
                }
            }
            Notify::Status(text) => run.status_text = Some(text),
            Notify::Stopping => run.status_text = Some("stopping".to_owned()),
            Notify::Reloading => run.status_text = Some("reloading".to_owned()),
        }
    }

    /// It announced its readiness, by message or by a line in its log.
    fn on_said_ready(&mut self, unit: &str, now: Now) {
        let Some(slot) = self.slots.get_mut(unit) else {
            return;
        };
        let daemon = std::sync::Arc::clone(&slot.daemon);
        if let (Some(run), Some(ready)) = (slot.run.as_mut(), &daemon.ready)
            && run.pid.is_some()
            && run.readiness == Readiness::Pending
        {
            run.prove_ready(&daemon, ready, now);
        }
    }

    /// The end of the present run.
    pub(crate) fn on_ended(
        &mut self,
        unit: &str,
        mut record: ExitRecord,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        if self.has(Planted::GuessedCode) && record.reason == EndReason::KeeperLost {
            record.code = Some(0);
        }
        let lasts = self
            .slots
            .get(unit)
            .is_some_and(|slot| self.outlives_shutdown(slot));
        let wanted = lasts && !self.shutting_down;
        let Some(slot) = self.slots.get_mut(unit) else {
            return;
        };
        let Some(run) = slot.run.take() else { return };
        let asked = run.stopping.as_ref();
        let class = match asked {
            Some(stopping) if stopping.failed => ExitClass::Failure,
            Some(_) => ExitClass::Stopped,
            None => policy::classify(&record, &slot.daemon.restart),
        };
        let (asked, failed) = (
            asked.is_some(),
            asked.is_some_and(|stopping| stopping.failed),
        );
        if let Some(stopping) = run.stopping.as_ref().filter(|stopping| stopping.failed) {
            record.message.get_or_insert_with(|| stopping.why.clone());
        }
        slot.last = Some(ended_row(unit, &run, &record, class));
        out.push(Effect::Persist(Persist::RunEnded {
            record: record.clone(),
            class: Some(class),
        }));
        let bounced = slot.bounce.take();
        if slot.is_task() {
            let failed = run.stopping.filter(|stopping| stopping.failed);
            let failed = failed.map(|stopping| stopping.why);
            return self.task_run_ended(unit, &record, failed, now, out);
        }
        if slot.daemon.kind == Kind::Job {
            let end = JobEnd {
                class,
                is_stopped: asked && !failed,
                is_bounced: bounced.is_some(),
                lasts,
            };
            return self.job_ended(unit, &record, end, now, out);
        }
        let never_started = record.reason == EndReason::NeverStarted;
        if (asked && !failed) || !wanted {
            slot.cause =
                bounced.map_or_else(|| "start".to_owned(), |why| format!("restart: {why}"));
            if slot.ledger.attempt != 0 || slot.ledger.next_try_ms.is_some() {
                slot.ledger.attempt = 0;
                slot.ledger.next_try_ms = None;
                out.push(Effect::Persist(Persist::Ledger(slot.ledger.clone())));
            }
        } else if never_started {
            slot.cause = run.cause;
        } else {
            self.after_unasked_exit(unit, &record, class, now, out);
            self.dependents_lose(unit);
        }
    }

    fn after_unasked_exit(
        &mut self,
        unit: &str,
        record: &ExitRecord,
        class: ExitClass,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let unlimited = self.has(Planted::LimitIgnored);
        let Some(slot) = self.slots.get_mut(unit) else {
            return;
        };
        let mut policy = slot.daemon.restart.clone();
        if unlimited {
            policy.limit = 0;
        }
        let ledger = &mut slot.ledger;
        slot.cause = format!("restart: {}", words::ending(record));
        let next = policy::after_exit(record, class, &policy, ledger, now.wall_ms, &mut self.rng);
        slot.is_restart = matches!(next, policy::Next::Retry(_) | policy::Next::CoolDown(_));
        slot.next_try_mono = None;
        ledger.next_try_ms = None;
        ledger.cooling = false;
        match next {
            policy::Next::Settle(settled) => ledger.settled = Some(settled),
            policy::Next::Retry(0) => {}
            policy::Next::Retry(delay) | policy::Next::CoolDown(delay) => {
                ledger.cooling = matches!(next, policy::Next::CoolDown(_));
                slot.next_try_mono = Some(now.mono_ms.saturating_add(delay));
                let delay = i64::try_from(delay).unwrap_or(i64::MAX);
                ledger.next_try_ms = Some(now.wall_ms.saturating_add(delay));
            }
            policy::Next::Hold => {
                let window = words::duration(policy.limit_window_ms);
                let hold = format!(
                    "restarted {} times within {window}; it last {}",
                    policy.limit,
                    words::ending(record)
                );
                slot.intent.hold = Some(hold);
                slot.intent.at_ms = now.wall_ms;
                out.push(Effect::Persist(Persist::Intent(slot.intent.clone())));
            }
        }
        out.push(Effect::Persist(Persist::Ledger(slot.ledger.clone())));
    }

    /// Restarts the running dependents that asked to be, when one they need died on its own.
    fn dependents_lose(&mut self, unit: &str) {
        let name = daemon_of(unit).to_owned();
        if self
            .slots
            .get(unit)
            .is_some_and(|slot| slot.ledger.settled == Some(Settled::Done))
        {
            return;
        }
        let watchers: Vec<Unit> = self.watchers.get(&name).cloned().unwrap_or_default();
        for other in watchers {
            let Some(slot) = self.slots.get_mut(&other) else {
                continue;
            };
            let restarts = slot.daemon.on_need_lost == OnNeedLost::Restart;
            if restarts && slot.daemon.needs.contains(&name) && slot.run.is_some() {
                slot.bounce
                    .get_or_insert_with(|| format!("`{unit}`, which it needs, ended"));
                self.dirty.insert(other);
            }
        }
    }
}

pub(crate) fn ended_row(unit: &str, run: &Run, record: &ExitRecord, class: ExitClass) -> RunRow {
    RunRow {
        run: run.run.clone(),
        unit: unit.to_owned(),
        generation: run.generation,
        intent_at_ms: run.intent_ms,
        pid: run.pid.or(Some(record.pid).filter(|pid| *pid != 0)),
        cause: run.cause.clone(),
        exit: Some(record.clone()),
        class: Some(class),
    }
}
