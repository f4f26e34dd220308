//! Ends: of a try, of a task, and what follows for those that wait.
//!
//! Invariants: every end of a run is counted once, in the batch that records it; tries are bounded;
//! a cancelled task never succeeds and is never tried again.

use crate::engine::{Core, policy};
use crate::fleet::{Delivery, Keep, Pool, WorkDir, task_of, task_unit};
use crate::happened::{Happened, TaskStep, What};
use crate::io::{Effect, Now, Persist, TaskEffect, TaskOver, TaskPersist};
use crate::planted::Planted;
use crate::record::{EndReason, ExitClass, ExitRecord, TaskId, TaskRow, TaskState};
use crate::words;

/// Tries of which nobody saw the end, when fewer are asked for: more, and the task is lost.
const UNSEEN_MAX: u32 = 3;
/// The delay of a try varies by up to this many percent either way.
const RETRY_JITTER_PERCENT: u64 = 10;
/// So many tasks that are over are looked at for their age, when another one is.
const FORGET_LOOK_MAX: usize = 64;

/// What the end of a run means for its task.
enum Verdict {
    /// It is over.
    Over(TaskState, String),
    /// It is queued as it was.
    Again(String),
    /// The try failed, and there is another one.
    Retry(String),
}

impl Core {
    /// The run of a task ended. `failed`: it was stopped for a failure, in words.
    pub(crate) fn task_run_ended(
        &mut self,
        unit: &str,
        record: &ExitRecord,
        failed: Option<String>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        self.drop_task_slot(unit);
        let Some((_, id)) = task_of(unit) else { return };
        let never = record.reason == EndReason::NeverStarted;
        if never && self.has(Planted::RunningWithoutRun) {
            return;
        }
        self.unwatch(id);
        let running = self.tasks.tasks.get_mut(&id);
        let Some(task) = running.filter(|task| task.row.state == TaskState::Running) else {
            return;
        };
        task.row.code = record.code;
        let (pool, key) = (task.row.pool.clone(), task.row.key.clone());
        let verdict = self.verdict(id, record, failed);
        let slot = self.tasks.pool(&pool);
        slot.stop(id, key.as_deref());
        self.tasks.dirty.insert(pool);
        match verdict {
            Verdict::Over(state, reason) => self.task_over(id, state, reason, now, out),
            Verdict::Again(reason) => self.try_again(id, reason, out),
            Verdict::Retry(reason) => self.retry_later(id, reason, now, out),
        }
    }

    /// The unit of a task is gone with its run.
    fn drop_task_slot(&mut self, unit: &str) {
        if let Some(slot) = self.slots.remove(unit)
            && let Some(due) = slot.timer
        {
            self.timers.remove(&(due, unit.to_owned()));
        }
    }

    /// Judges an end, and counts a failure.
    fn verdict(&mut self, id: TaskId, record: &ExitRecord, failed: Option<String>) -> Verdict {
        let succeeds = self.has(Planted::CancelledSucceeds);
        let retries = self.has(Planted::AtMostOnceRetried);
        let shutting_down = self.shutting_down;
        let Some(task) = self.tasks.tasks.get_mut(&id) else {
            return Verdict::Again(String::new());
        };
        let row = &mut task.row;
        let pool = self.tasks.pools.get(&row.pool);
        let rules = pool.map(|slot| slot.rules()).unwrap_or_default();
        let once = row.delivery == Delivery::AtMostOnce && !retries;
        let class = policy::classify(record, &rules.template.restart);
        let well = matches!(class, ExitClass::Success | ExitClass::Alarm);
        if let Some(by) = &row.cancel
            && !(succeeds && record.code == Some(0))
        {
            return Verdict::Over(TaskState::Cancelled, cancelled(by));
        }
        match record.reason {
            EndReason::NeverStarted => Verdict::Again("its run never started".to_owned()),
            EndReason::Exited if well => Verdict::Over(TaskState::Succeeded, words::ending(record)),
            EndReason::Stopped if succeeds && record.code == Some(0) => {
                Verdict::Over(TaskState::Succeeded, words::ending(record))
            }
            EndReason::Stopped | EndReason::StopKilled if failed.is_none() && shutting_down => {
                let who = "it was stopped with the manager";
                if once {
                    let why = format!("{who}, and may not run twice");
                    Verdict::Over(TaskState::Lost, why)
                } else {
                    Verdict::Again(who.to_owned())
                }
            }
            // Nobody here asked for that stop, or a manager that is gone did.
            EndReason::Stopped
            | EndReason::StopKilled
            | EndReason::KeeperLost
            | EndReason::RecordCorrupt
                if failed.is_none() =>
            {
                unseen(row, &rules, once, record)
            }
            _ => failure(row, &rules, record, failed),
        }
    }

    fn try_again(&mut self, id: TaskId, reason: String, out: &mut Vec<Effect>) {
        self.set_state(id, TaskState::Queued);
        if let Some(task) = self.tasks.tasks.get_mut(&id) {
            task.row.reason = Some(reason);
        }
        self.line_up(id);
        self.put_task(id, out);
    }

    fn retry_later(&mut self, id: TaskId, reason: String, now: Now, out: &mut Vec<Effect>) {
        let Some(task) = self.tasks.tasks.get_mut(&id) else {
            return;
        };
        let name = task.row.pool.clone();
        let pool = self.tasks.pools.get(&name);
        let rules = pool.map(|slot| slot.rules()).unwrap_or_default();
        let delay = longest_delay(&rules, task.row.failures);
        let spread = delay.saturating_mul(RETRY_JITTER_PERCENT) / 100;
        let delay = delay - spread + self.rng.below(2 * spread + 1);
        let wait = words::duration(delay);
        let due = now.mono_ms.saturating_add(delay);
        let key = task.row.key.clone();
        task.retry_mono = Some(due);
        task.row.not_before_ms = Some(now.wall_ms.saturating_add(super::signed(delay)));
        task.row.reason = Some(format!("{reason}; next try in {wait}"));
        let told = task.row.reason.clone();
        out.push(super::tell(&task.row, TaskStep::Retrying, told, now));
        self.tasks.retries.insert((due, id));
        self.tasks.pool(&name).expect(key.as_deref(), id);
        self.set_state(id, TaskState::Delayed);
        self.put_task(id, out);
        let rested = self.tasks.pool(&name).row.rests_until_ms.is_some();
        if rested {
            // The one that was tried after a rest failed too.
            self.rest(&name, now, out);
        }
    }

    /// A task that has no run comes to its end.
    pub(super) fn task_over(
        &mut self,
        id: TaskId,
        state: TaskState,
        reason: String,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        self.withdraw(id);
        let Some(task) = self.tasks.tasks.remove(&id) else {
            return;
        };
        let mut row = task.row;
        let old = std::mem::replace(&mut row.state, state);
        row.reason = Some(reason.clone());
        row.ended_ms = Some(now.wall_ms);
        row.not_before_ms = None;
        let ran = old == TaskState::Running;
        let slot = self.tasks.pool(&row.pool);
        slot.recount(Some(old), Some(state));
        slot.over.insert((now.wall_ms, id));
        let rules = slot.rules();
        out.push(super::put(&row));
        out.push(Effect::Task(TaskEffect::Over {
            unit: task_unit(&row.pool, id),
            drop_dir: drops_dir(&rules, state),
        }));
        out.push(super::tell(&row, step(state), Some(reason), now));
        self.tasks.over.insert(
            id,
            TaskOver {
                id,
                pool: row.pool.clone(),
                state,
                token: row.token.clone(),
                ended_ms: now.wall_ms,
                row: (state != TaskState::Succeeded).then(|| Box::new(row.clone())),
            },
        );
        self.tasks.ended.push_back(id);
        if ran {
            self.count_outcome(&row.pool, state, now, out);
        }
        self.task_is_over(&row, now, out);
        self.forget_old_tasks(&row.pool, now, out);
    }

    /// A task is over: for those who brought it about. The row is as it was made durable.
    fn task_is_over(&mut self, row: &TaskRow, now: Now, out: &mut Vec<Effect>) {
        self.handler_is_over(row, now, out);
    }

    /// Takes a task out of wherever it waits.
    fn withdraw(&mut self, id: TaskId) {
        let Some(task) = self.tasks.tasks.get_mut(&id) else {
            return;
        };
        if let Some(due) = task.retry_mono.take() {
            self.tasks.retries.remove(&(due, id));
        }
        if let Some(at) = task.row.not_before_ms {
            self.tasks.delayed.remove(&(at, id));
        }
        let (order, key) = (task.order, task.row.key.clone());
        let (pool, submitted_ms) = (task.row.pool.clone(), task.row.submitted_ms);
        if task.row.state == TaskState::Blocked {
            self.no_longer_blocked(id);
        }
        let slot = self.tasks.pool(&pool);
        slot.leave(order, key.as_deref(), submitted_ms);
        self.tasks.dirty.insert(pool);
    }

    /// Those that it waits for are not kept for its sake any more.
    fn no_longer_blocked(&mut self, id: TaskId) {
        let Some(task) = self.tasks.tasks.get(&id) else {
            return;
        };
        for on in task.row.after.clone() {
            if let Some(waiters) = self.tasks.waiters.get_mut(&on) {
                waiters.remove(&id);
                if waiters.is_empty() {
                    self.tasks.waiters.remove(&on);
                }
            }
        }
    }

    /// Looks at those that wait for tasks that are over.
    pub(crate) fn tell_waiters(&mut self, now: Now, out: &mut Vec<Effect>) {
        while let Some(on) = self.tasks.ended.pop_front() {
            if self.has(Planted::WaitersForgotten) {
                continue;
            }
            let waiters = self.tasks.waiters.get(&on).cloned().unwrap_or_default();
            for id in waiters {
                self.look_at_blocked(id, now, out);
            }
        }
    }

    /// A blocked task goes on when all that it waits for succeeded, and is cancelled when one of
    /// them did not.
    pub(super) fn look_at_blocked(&mut self, id: TaskId, now: Now, out: &mut Vec<Effect>) {
        let Some(task) = self.tasks.tasks.get(&id) else {
            return;
        };
        if task.row.state != TaskState::Blocked {
            return;
        }
        let mut all = true;
        let mut missed = None;
        for on in &task.row.after {
            let over = self.tasks.over.get(on).map(|over| over.state);
            match over {
                Some(TaskState::Succeeded) => {}
                Some(state) => missed = missed.or(Some((*on, state.as_str()))),
                None if self.tasks.tasks.contains_key(on) => all = false,
                None => missed = missed.or(Some((*on, "unknown"))),
            }
        }
        if let Some((on, how)) = missed {
            let why = format!("task {on}, which it waits for, is {how}");
            return self.task_over(id, TaskState::Cancelled, why, now, out);
        }
        if all {
            let later = task.row.not_before_ms.filter(|at| *at > now.wall_ms);
            self.no_longer_blocked(id);
            match later {
                Some(at) => {
                    self.tasks.delayed.insert((at, id));
                    self.set_state(id, TaskState::Delayed);
                    self.put_task(id, out);
                }
                None => self.enqueue(id, out),
            }
        }
    }

    /// Counts failures in a row, and lets the pool rest.
    fn count_outcome(&mut self, name: &str, state: TaskState, now: Now, out: &mut Vec<Effect>) {
        let slot = self.tasks.pool(name);
        let Some(breaker) = slot.rules().breaker else {
            return;
        };
        match state {
            TaskState::Succeeded if slot.row.failures > 0 || slot.row.rests_until_ms.is_some() => {
                slot.row.failures = 0;
                let rested = slot.row.rests_until_ms.take().is_some();
                self.put_pool(name, out);
                if rested {
                    out.push(resumed(name, "a task succeeded", now));
                }
            }
            TaskState::Failed | TaskState::TimedOut | TaskState::Lost => {
                slot.row.failures = slot.row.failures.saturating_add(1);
                if slot.row.failures >= breaker.failures.max(1) {
                    self.rest(name, now, out);
                } else {
                    self.put_pool(name, out);
                }
            }
            _ => {}
        }
    }

    /// No task of a pool begins for a time, or until somebody resumes it.
    fn rest(&mut self, name: &str, now: Now, out: &mut Vec<Effect>) {
        let slot = self.tasks.pool(name);
        let Some(breaker) = slot.rules().breaker else {
            return;
        };
        let failures = slot.row.failures;
        let why = format!("{failures} failures in a row");
        if breaker.rest_ms == 0 {
            slot.row.paused.get_or_insert(why.clone());
        } else {
            let rest = super::signed(breaker.rest_ms);
            slot.row.rests_until_ms = Some(now.wall_ms.saturating_add(rest));
        }
        let until_ms = slot.row.rests_until_ms;
        self.put_pool(name, out);
        out.push(Effect::Happened(Happened {
            at_ms: now.wall_ms,
            what: What::PoolRests {
                pool: name.to_owned(),
                why,
                until_ms,
            },
        }));
        self.tasks.dirty.insert(name.to_owned());
    }

    /// Tasks that are over go by age and by number, but not those that others wait for.
    fn forget_old_tasks(&mut self, name: &str, now: Now, out: &mut Vec<Effect>) {
        let slot = self.tasks.pool(name);
        let rules = slot.rules();
        let before = now.wall_ms.saturating_sub(super::signed(rules.keep_ms));
        let kept = usize::try_from(rules.keep_max).unwrap_or(usize::MAX);
        let mut surplus = slot.over.len().saturating_sub(kept);
        let oldest: Vec<_> = slot.over.iter().take(FORGET_LOOK_MAX).copied().collect();
        for (ended_ms, id) in oldest {
            if surplus == 0 && ended_ms >= before {
                break;
            }
            if self.tasks.waiters.contains_key(&id) {
                continue;
            }
            surplus = surplus.saturating_sub(1);
            self.forget_task(id, out);
        }
    }

    fn forget_task(&mut self, id: TaskId, out: &mut Vec<Effect>) {
        let Some(over) = self.tasks.over.remove(&id) else {
            return;
        };
        if let Some(token) = &over.token
            && self.tasks.tokens.get(token) == Some(&id)
        {
            self.tasks.tokens.remove(token);
        }
        let slot = self.tasks.pool(&over.pool);
        slot.over.remove(&(over.ended_ms, id));
        slot.recount(Some(over.state), None);
        out.push(Effect::Persist(Persist::Task(TaskPersist::Forget(id))));
        let unit = task_unit(&over.pool, id);
        out.push(Effect::Task(TaskEffect::Drop { unit }));
    }
}

/// Nobody knows how it would have ended, or did.
fn unseen(row: &mut TaskRow, rules: &Pool, once: bool, record: &ExitRecord) -> Verdict {
    row.failures = row.failures.saturating_add(1);
    let ending = words::ending(record);
    if once {
        let why = format!("{ending}, and it may not run twice");
        return Verdict::Over(TaskState::Lost, why);
    }
    if row.failures <= rules.retry.limit.max(UNSEEN_MAX) {
        return Verdict::Retry(ending);
    }
    let tries = row.failures;
    let why = format!("{ending}, after {tries} failed tries");
    Verdict::Over(TaskState::Lost, why)
}

fn failure(
    row: &mut TaskRow,
    rules: &Pool,
    record: &ExitRecord,
    failed: Option<String>,
) -> Verdict {
    row.failures = row.failures.saturating_add(1);
    let timed_out = record.reason == EndReason::Timeout;
    let why = failed.unwrap_or_else(|| words::ending(record));
    let exits = rules.retry_exits.as_ref();
    let code = record.code.filter(|_| record.reason == EndReason::Exited);
    let may = exits.is_none_or(|exits| code.is_some_and(|code| exits.contains(&code)));
    if may && row.failures <= rules.retry.limit {
        return Verdict::Retry(why);
    }
    let state = if timed_out {
        TaskState::TimedOut
    } else {
        TaskState::Failed
    };
    Verdict::Over(state, why)
}

/// The delay after so many failures, without jitter.
pub(super) fn longest_delay(rules: &Pool, failures: u32) -> u64 {
    let retry = &rules.retry;
    policy::grown(
        retry.backoff_initial_ms,
        retry.backoff_factor_percent,
        retry.backoff_max_ms,
        failures.saturating_sub(1),
    )
}

/// Why a task is cancelled.
pub(super) fn cancelled(by: &str) -> String {
    format!("cancelled by {by}")
}

pub(super) fn resumed(pool: &str, why: &str, now: Now) -> Effect {
    Effect::Happened(Happened {
        at_ms: now.wall_ms,
        what: What::PoolResumed {
            pool: pool.to_owned(),
            why: why.to_owned(),
        },
    })
}

fn drops_dir(rules: &Pool, state: TaskState) -> bool {
    match rules.work_dir {
        WorkDir::Shared => false,
        WorkDir::Own { keep } => match keep {
            Keep::Always => false,
            Keep::Never => true,
            Keep::Failed => state == TaskState::Succeeded,
        },
    }
}

fn step(state: TaskState) -> TaskStep {
    match state {
        TaskState::Succeeded => TaskStep::Succeeded,
        TaskState::TimedOut => TaskStep::TimedOut,
        TaskState::Cancelled => TaskStep::Cancelled,
        TaskState::Lost => TaskStep::Lost,
        TaskState::Running => TaskStep::Started,
        TaskState::Queued | TaskState::Delayed | TaskState::Blocked => TaskStep::Queued,
        TaskState::Failed => TaskStep::Failed,
    }
}
