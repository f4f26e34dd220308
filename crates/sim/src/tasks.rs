//! Tasks: their part of the journal, random ones, and their checkers.
//!
//! The checkers look at rows as they are recorded, and at commands as they really execute: a task
//! that was accepted is there until it is over; a row that is running has a run; commands of a pool
//! execute no more at a time than it allows, and of one key one at a time; what may run once does;
//! a cancelled task does not succeed; a token is one task; nothing begins before what ranks before
//! it; and once the world calms down, every task comes to its end.

use std::collections::{BTreeMap, BTreeSet};

use eud_core::Core;
use eud_core::fleet::{
    Breaker, Daemon, Delivery, Fleet, Kind, Pool, Rate, Retry, Stop, task_of, task_unit,
};
use eud_core::io::{
    Accepted, Command, Now, Numbers, Persist, TaskCommand, TaskOver, TaskPersist, TaskRecovery,
};
use eud_core::record::{
    EndReason, ExitRecord, NewTask, PoolRow, RunId, TaskId, TaskRow, TaskState, WallMs,
};

use crate::dice::Dice;
use crate::run::History;
use crate::world::{SimRun, World};

/// Tries of which nobody saw the end, when fewer are asked for.
const UNSEEN_MAX: u32 = 3;
/// A task that began this shortly before the end may still run.
const LAST_MS: i64 = 10_000;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct TaskJournal {
    pub(crate) tasks: BTreeMap<TaskId, TaskRow>,
    pub(crate) pools: BTreeMap<String, PoolRow>,
    pub(crate) last_task: TaskId,
}

/// How one item is taken back.
#[derive(Debug, Clone)]
pub(crate) enum TaskUndo {
    Task(TaskId, Option<Box<TaskRow>>, TaskId),
    Pool(String, Option<PoolRow>),
}

impl TaskJournal {
    /// Records one item; gives what takes it back.
    pub(crate) fn apply(&mut self, item: &TaskPersist) -> TaskUndo {
        let last = self.last_task;
        match item {
            TaskPersist::Put { row, .. } => {
                self.last_task = last.max(row.id);
                let old = self.tasks.insert(row.id, (**row).clone());
                TaskUndo::Task(row.id, old.map(Box::new), last)
            }
            TaskPersist::Forget(id) => {
                TaskUndo::Task(*id, self.tasks.remove(id).map(Box::new), last)
            }
            TaskPersist::Pool(row) => {
                let old = self.pools.insert(row.name.clone(), row.clone());
                TaskUndo::Pool(row.name.clone(), old)
            }
            TaskPersist::ForgetPool(name) => TaskUndo::Pool(name.clone(), self.pools.remove(name)),
        }
    }

    pub(crate) fn take_back(&mut self, undo: TaskUndo) {
        match undo {
            TaskUndo::Task(id, old, last) => {
                match old {
                    Some(row) => self.tasks.insert(id, *row),
                    None => self.tasks.remove(&id),
                };
                self.last_task = last;
            }
            TaskUndo::Pool(name, old) => {
                match old {
                    Some(row) => self.pools.insert(name, row),
                    None => self.pools.remove(&name),
                };
            }
        }
    }

    /// What a new core is told of them.
    pub(crate) fn recovered(&self) -> TaskRecovery {
        let (over, tasks): (Vec<&TaskRow>, Vec<&TaskRow>) =
            self.tasks.values().partition(|row| row.state.is_over());
        let over = over.into_iter().map(|row| TaskOver {
            id: row.id,
            pool: row.pool.clone(),
            state: row.state,
            token: row.token.clone(),
            ended_ms: row.ended_ms.unwrap_or(0),
            row: (row.state != TaskState::Succeeded).then(|| Box::new(row.clone())),
        });
        TaskRecovery {
            over: over.collect(),
            tasks: tasks.into_iter().cloned().collect(),
            last_task: self.last_task,
            pools: self.pools.values().cloned().collect(),
        }
    }
}

/// Adds pools to a fleet.
pub(crate) fn declare(dice: &mut Dice, fleet: &mut Fleet) {
    let gates: Vec<String> = fleet.gates.keys().cloned().collect();
    for number in 0..dice.range(0, 2) {
        let name = format!("p{number}");
        let mut pool = pool(dice, &name);
        if !gates.is_empty() && dice.chance(20) {
            pool.gates.insert(dice.pick(&gates).clone());
        }
        fleet.pools.insert(name, pool);
    }
}

fn pool(dice: &mut Dice, name: &str) -> Pool {
    let mut template = Daemon {
        name: name.to_owned(),
        kind: Kind::Task,
        enabled: true,
        replicas: 1,
        stop: Stop {
            grace_ms: 1_000,
            ..Stop::default()
        },
        ..Daemon::default()
    };
    template.exec.argv = vec!["sim".into()];
    let once = dice.chance(35);
    let small = |dice: &mut Dice, low, high| u32::try_from(dice.range(low, high)).unwrap_or(1);
    Pool {
        name: name.to_owned(),
        template,
        concurrency: small(dice, 1, 3),
        ageing_ms: *dice.pick(&[0, 1_000, 20_000]),
        rate: dice.chance(25).then(|| Rate {
            count: small(dice, 1, 3),
            per_ms: dice.range(500, 3_000),
        }),
        retry: Retry {
            limit: small(dice, 0, 2),
            backoff_initial_ms: 500,
            backoff_max_ms: 2_000,
            ..Retry::default()
        },
        retry_exits: dice.chance(20).then(|| [1].into()),
        delivery: if once {
            Delivery::AtMostOnce
        } else {
            Delivery::AtLeastOnce
        },
        // Of what may run once, the checker would have to know why it was stopped.
        stall_ms: (!once && dice.chance(20)).then_some(6_000),
        breaker: dice.chance(30).then(|| Breaker {
            failures: small(dice, 1, 4),
            rest_ms: dice.range(1_000, 5_000),
        }),
        keep_max: *dice.pick(&[3, 10_000]),
        ..Pool::default()
    }
}

/// Memory of the checkers.
#[derive(Debug, Clone, Default)]
pub(crate) struct TaskChecker {
    /// The present manager was told of what there is.
    pub(crate) is_recovered: bool,
    /// A pool that was taken out of the fleet file.
    spare: Option<Pool>,
    /// Tasks whose submitter was answered.
    accepted: BTreeSet<TaskId>,
    /// Tasks that were kept long enough.
    forgotten: BTreeSet<TaskId>,
    /// By what a task was called.
    tokens: BTreeMap<String, TaskId>,
    /// Tasks whose canceller was answered, and that nobody wanted again since.
    cancelled: BTreeSet<TaskId>,
    /// Runs of each task whose command executed.
    executed: BTreeMap<TaskId, BTreeSet<RunId>>,
    /// Runs whose end the keeper saw, and that nobody stopped.
    known_ends: BTreeSet<RunId>,
}

impl TaskChecker {
    /// Somebody takes a pool out of the fleet file, or puts it back.
    pub(crate) fn edit(&mut self, dice: &mut Dice, fleet: &mut Fleet) {
        if let Some(pool) = self.spare.take() {
            fleet.pools.insert(pool.name.clone(), pool);
        } else if dice.chance(30) {
            self.spare = fleet.pools.pop_first().map(|(_, pool)| pool);
        }
    }

    /// A command was answered: from now on it binds.
    pub(crate) fn answered(
        &mut self,
        world: &World,
        command: &Command,
        accepted: &Accepted,
    ) -> Result<(), String> {
        let Command::Task(command) = command else {
            return Ok(());
        };
        let rows = &world.journal.tasks.tasks;
        match command {
            TaskCommand::Submit(tasks) => {
                for (task, id) in tasks.iter().zip(&accepted.tasks) {
                    // One may be over and forgotten at once.
                    if !rows.contains_key(id) && !self.forgotten.contains(id) {
                        return Err(format!("task {id} is accepted and not recorded"));
                    }
                    if rows.contains_key(id) {
                        self.accepted.insert(*id);
                    }
                    // Of `once` the answer may be a task of another name.
                    let Some(token) = task.token.as_ref().filter(|_| !task.once) else {
                        continue;
                    };
                    let known = self.tokens.insert(token.clone(), *id);
                    let kept = known.filter(|known| rows.contains_key(known));
                    if let Some(known) = kept.filter(|known| known != id) {
                        return Err(format!("token {token} is task {known} and task {id}"));
                    }
                }
            }
            TaskCommand::Cancel { .. } => self.cancelled.extend(&accepted.tasks),
            TaskCommand::Retry(_) => {
                for id in &accepted.tasks {
                    self.cancelled.remove(id);
                    self.executed.remove(id);
                }
            }
            TaskCommand::PausePool { .. } => {}
        }
        Ok(())
    }

    /// A retry that may have been recorded, and was not answered.
    pub(crate) fn may_be_retried(&mut self, command: &Command) {
        if let Command::Task(TaskCommand::Retry(_)) = command {
            self.cancelled.clear();
            self.executed.clear();
        }
    }

    /// Looks at an item before it is recorded.
    pub(crate) fn records(
        &mut self,
        fleet: &Fleet,
        world: &World,
        item: &Persist,
    ) -> Result<(), String> {
        match item {
            Persist::Task(TaskPersist::Put { row, .. }) => self.row_is_right(fleet, world, row),
            Persist::Task(TaskPersist::Forget(id)) => {
                let row = world.journal.tasks.tasks.get(id);
                if row.is_some_and(|row| !row.state.is_over()) {
                    return Err(format!("task {id} is forgotten and not over"));
                }
                self.accepted.remove(id);
                self.forgotten.insert(*id);
                Ok(())
            }
            Persist::RunEnded { record, .. } => {
                self.note_end(record);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn note_end(&mut self, record: &ExitRecord) {
        let seen = matches!(
            record.reason,
            EndReason::Exited | EndReason::Timeout | EndReason::SpawnFailed
        );
        if seen && task_of(&record.unit).is_some() {
            self.known_ends.insert(record.run.clone());
        }
    }

    fn row_is_right(&self, fleet: &Fleet, world: &World, row: &TaskRow) -> Result<(), String> {
        let id = row.id;
        let succeeded = row.state == TaskState::Succeeded;
        if succeeded && (row.cancel.is_some() || self.cancelled.contains(&id)) {
            return Err(format!("task {id} was cancelled and succeeded"));
        }
        let Some(pool) = fleet.pools.get(&row.pool) else {
            return Ok(());
        };
        if row.failures > pool.retry.limit.max(UNSEEN_MAX) + 1 {
            return Err(format!("task {id} failed {} times", row.failures));
        }
        let known = row.run.as_ref().map(|run| world.runs.contains_key(run));
        if row.state == TaskState::Running && known == Some(false) {
            return nothing_is_passed_over(pool, world, row);
        }
        Ok(())
    }

    /// A command executes.
    pub(crate) fn executes(
        &mut self,
        fleet: &Fleet,
        world: &World,
        id: &RunId,
        run: &SimRun,
    ) -> Result<(), String> {
        let Some((name, task)) = task_of(&run.unit) else {
            return Ok(());
        };
        let Some(pool) = fleet.pools.get(name) else {
            return Ok(());
        };
        let rows = &world.journal.tasks.tasks;
        let its = world.alive().filter_map(|(_, run)| {
            let (pool, task) = task_of(&run.unit)?;
            (pool == name).then_some(task)
        });
        let alive: Vec<TaskId> = its.collect();
        let (count, most) = (alive.len(), pool.concurrency);
        if count > most as usize {
            return Err(format!(
                "{count} tasks of `{name}` run at a time, of {most}"
            ));
        }
        let key = |task: &TaskId| rows.get(task).and_then(|row| row.key.clone());
        let same = |other: &&TaskId| **other != task && key(other).is_some();
        let mut others = alive.iter().filter(same);
        if let Some(other) = others.find(|other| key(other) == key(&task)) {
            return Err(format!("task {task} and task {other} have one key and run"));
        }
        let runs = self.executed.entry(task).or_default();
        runs.insert(id.clone());
        let unknown = |other: &&RunId| *other != id && !self.known_ends.contains(*other);
        if pool.delivery == Delivery::AtMostOnce && runs.iter().any(|run| unknown(&run)) {
            return Err(format!("task {task} may run once and runs again"));
        }
        Ok(())
    }

    /// What was accepted is there.
    pub(crate) fn none_lost(&self, world: &World) -> Result<(), String> {
        let rows = &world.journal.tasks.tasks;
        match self.accepted.iter().find(|id| !rows.contains_key(id)) {
            Some(id) => Err(format!("task {id} was accepted and is lost")),
            None => Ok(()),
        }
    }

    /// The core has what the journal has, and each row that is running has its run.
    pub(crate) fn core_agrees(world: &World, core: &Core, now: Now) -> Result<(), String> {
        let rows = &world.journal.tasks.tasks;
        let mut counts: BTreeMap<(String, TaskState), u64> = BTreeMap::new();
        for row in rows.values() {
            *counts.entry((row.pool.clone(), row.state)).or_default() += 1;
            let unit = task_unit(&row.pool, row.id);
            let runs = core.generation(&unit).is_some();
            if runs != (row.state == TaskState::Running) {
                let state = row.state.as_str();
                return Err(format!("task {} is {state}; has a run: {runs}", row.id));
            }
        }
        for view in core.pools(now) {
            let parts: u64 = view.tasks.values().sum();
            if parts != view.total {
                let (name, total) = (view.name, view.total);
                return Err(format!("the tasks of `{name}` sum to {parts} of {total}"));
            }
            for (state, count) in view.tasks {
                let known = counts.remove(&(view.name.clone(), state)).unwrap_or(0);
                if known != count {
                    let (name, state) = (&view.name, state.as_str());
                    return Err(format!("`{name}`: {count} {state}, recorded {known}"));
                }
            }
        }
        match counts.into_iter().next() {
            Some(((name, state), count)) => {
                let state = state.as_str();
                Err(format!(
                    "`{name}`: {count} {state} are recorded, none shown"
                ))
            }
            None => Ok(()),
        }
    }

    /// In good weather everything comes to its end.
    pub(crate) fn judge(fleet: &Fleet, world: &World, now: WallMs) -> Result<(), String> {
        let rows = &world.journal.tasks.tasks;
        let frozen: BTreeSet<&str> = world
            .alive()
            .filter(|(_, run)| run.frozen)
            .filter_map(|(_, run)| Some(task_of(&run.unit)?.0))
            .collect();
        for row in rows.values().filter(|row| !row.state.is_over()) {
            let Some(pool) = fleet.pools.get(&row.pool) else {
                continue;
            };
            let memory = world.journal.tasks.pools.get(&row.pool);
            let closed = |gate: &String| {
                let gate = world.journal.gates.get(gate);
                gate.is_some_and(|gate| gate.closed_ms.is_some())
            };
            let hangs = frozen.contains(row.pool.as_str())
                || memory.is_some_and(|memory| memory.paused.is_some())
                || pool.gates.iter().any(closed);
            let excused = match row.state {
                TaskState::Delayed => row.not_before_ms.is_some_and(|at| at > now),
                TaskState::Blocked => row
                    .after
                    .iter()
                    .any(|on| rows.get(on).is_some_and(|on| !on.state.is_over())),
                TaskState::Running => row.started_ms.is_some_and(|at| now - at < LAST_MS),
                _ => false,
            };
            if !hangs && !excused {
                let (id, state) = (row.id, row.state.as_str());
                let why = row.reason.clone().unwrap_or_default();
                return Err(format!("task {id} ends up {state} ({why})"));
            }
        }
        Ok(())
    }
}

/// What begins is what ranks first among those that may.
fn nothing_is_passed_over(pool: &Pool, world: &World, row: &TaskRow) -> Result<(), String> {
    let rows = world.journal.tasks.tasks.values();
    let its: Vec<&TaskRow> = rows.filter(|other| other.pool == row.pool).collect();
    let busy: BTreeSet<&String> = its
        .iter()
        .filter(|other| other.state == TaskState::Running)
        .filter_map(|other| other.key.as_ref())
        .collect();
    let rank = |row: &TaskRow| match i64::try_from(pool.ageing_ms).unwrap_or(0) {
        0 => (-i64::from(row.priority), row.submitted_ms, row.id),
        ageing => (
            row.submitted_ms - i64::from(row.priority) * ageing,
            0,
            row.id,
        ),
    };
    let before = its.iter().find(|other| {
        let waits = other.state == TaskState::Queued && other.id != row.id;
        let free = other.key.as_ref().is_none_or(|key| !busy.contains(key));
        waits && free && rank(other) < rank(row)
    });
    match before {
        Some(other) => Err(format!("task {} begins before task {}", row.id, other.id)),
        None => Ok(()),
    }
}

impl History {
    /// Somebody does something with tasks.
    pub(crate) fn task_mischief(&mut self) -> Option<Command> {
        let names: Vec<String> = self.fleet.pools.keys().cloned().collect();
        if names.is_empty() {
            return None;
        }
        let name = self.dice.pick(&names).clone();
        let known: Vec<TaskId> = self.world.journal.tasks.tasks.keys().copied().collect();
        let some = |dice: &mut Dice| match known.as_slice() {
            [] => Numbers::All,
            known => Numbers::These(vec![*dice.pick(known)]),
        };
        Some(Command::Task(match self.dice.range(0, 9) {
            0..=5 => {
                let count = self.dice.range(1, 4);
                let wall_ms = self.wall_ms();
                let tasks = (0..count).map(|_| new_task(&mut self.dice, &name, &known, wall_ms));
                TaskCommand::Submit(tasks.collect())
            }
            6 | 7 => TaskCommand::Cancel {
                which: some(&mut self.dice),
                by: "the operator".into(),
            },
            8 => TaskCommand::Retry(some(&mut self.dice)),
            _ => TaskCommand::PausePool {
                name,
                pause: self.dice.chance(30).then(|| "by the operator".into()),
            },
        }))
    }
}

fn new_task(dice: &mut Dice, pool: &str, known: &[TaskId], wall_ms: WallMs) -> NewTask {
    let delay = i64::try_from(dice.range(0, 20_000)).unwrap_or(0);
    let after = match known {
        [] => None,
        known => dice.chance(25).then(|| *dice.pick(known)),
    };
    NewTask {
        pool: pool.to_owned(),
        priority: i32::try_from(dice.range(0, 4)).unwrap_or(0) - 2,
        key: dice.chance(50).then(|| format!("k{}", dice.range(0, 1))),
        token: dice.chance(30).then(|| format!("t{}", dice.range(0, 9))),
        not_before_ms: dice.chance(25).then_some(wall_ms + delay),
        after: after.into_iter().collect(),
        once: dice.chance(10),
        ..NewTask::default()
    }
}
