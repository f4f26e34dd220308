//! What the store promises of tasks: none is lost, no id is used twice, a list is what it says.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use eud_core::io::{Persist, TaskOver, TaskPersist};
use eud_core::record::{
    EndReason, ExitRecord, PoolRow, RunRow, TaskId, TaskProgress, TaskRow, TaskSpec, TaskState,
};
use eud_store::{Store, TaskFilter};

fn row(id: TaskId, pool: &str, state: TaskState) -> TaskRow {
    TaskRow {
        id,
        pool: pool.into(),
        state,
        title: format!("task {id}"),
        submitted_ms: 1_000,
        ended_ms: state.is_over().then_some(2_000),
        ..TaskRow::default()
    }
}

fn put(row: TaskRow, spec: Option<TaskSpec>) -> Persist {
    Persist::Task(TaskPersist::Put {
        row: Box::new(row),
        spec: spec.map(Box::new),
    })
}

fn new(id: TaskId, pool: &str, state: TaskState) -> Persist {
    put(row(id, pool, state), Some(TaskSpec::default()))
}

fn ids(rows: &[TaskRow]) -> Vec<TaskId> {
    rows.iter().map(|row| row.id).collect()
}

#[test]
fn a_task_is_read_back_whole_and_its_prompt_stays_when_its_row_changes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let spec = TaskSpec {
        args: vec!["--flag".into(), "two words".into(), String::new()],
        prompt: Some("é\n\"'\u{1}".repeat(200_000)),
        stdin: Some("in".into()),
        env: BTreeMap::from([("A".into(), "b".into())]),
        cwd: Some("/x".into()),
        ..TaskSpec::default()
    };
    let mut task = row(1, "agents", TaskState::Queued);
    task.key = Some("k".into());
    task.token = Some("t".into());
    task.after = vec![7];
    let mut store = Store::open(&path).unwrap();
    store
        .apply(&[put(task.clone(), Some(spec.clone()))])
        .unwrap();
    task.state = TaskState::Running;
    task.attempts = 1;
    task.progress = TaskProgress {
        steps: 3,
        text: Some("at work".into()),
        ..TaskProgress::default()
    };
    store.apply(&[put(task.clone(), None)]).unwrap();
    drop(store);
    let store = Store::open(&path).unwrap();
    assert_eq!(store.task(1).unwrap(), Some((task.clone(), spec)));
    assert_eq!(store.task(2).unwrap(), None);
    assert_eq!(store.task(u64::MAX).unwrap(), None);
    assert_eq!(store.recovery().unwrap().tasks.tasks, [task]);
}

#[test]
fn recovery_tells_those_that_are_over_from_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&dir.path().join("state.db")).unwrap();
    let batch: Vec<Persist> = TaskState::ALL
        .iter()
        .zip(1..)
        .map(|(state, id)| new(id, "p", *state))
        .collect();
    store.apply(&batch).unwrap();
    let pool = PoolRow {
        name: "p".into(),
        paused: Some("by hand".into()),
        failures: 2,
        recent_ms: vec![1, 2],
        ..PoolRow::default()
    };
    let other = PoolRow {
        name: "q".into(),
        ..PoolRow::default()
    };
    store
        .apply(&[
            Persist::Task(TaskPersist::Pool(pool.clone())),
            Persist::Task(TaskPersist::Pool(other)),
            Persist::Task(TaskPersist::ForgetPool("q".into())),
        ])
        .unwrap();
    let found = store.recovery().unwrap().tasks;
    assert_eq!(found.pools, [pool]);
    assert_eq!(found.last_task, 9);
    assert!(found.tasks.iter().all(|task| !task.state.is_over()));
    assert!(found.over.iter().all(|task| task.state.is_over()));
    assert_eq!((found.tasks.len(), found.over.len()), (4, 5));
    let first = TaskOver {
        id: 5,
        pool: "p".into(),
        state: TaskState::Succeeded,
        token: None,
        ended_ms: 2_000,
        row: None,
    };
    assert_eq!(found.over[0], first);
    // What did not succeed may be queued again, as it was.
    let failed = row(6, "p", TaskState::Failed);
    assert_eq!(found.over[1].row.as_deref(), Some(&failed));
}

#[test]
fn an_id_stays_used_after_its_task_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let mut store = Store::open(&path).unwrap();
    assert_eq!(store.recovery().unwrap().tasks.last_task, 0);
    store
        .apply(&[
            new(1, "p", TaskState::Succeeded),
            new(2, "p", TaskState::Failed),
        ])
        .unwrap();
    let gone = [1, 2].map(|id| Persist::Task(TaskPersist::Forget(id)));
    store.apply(&gone).unwrap();
    drop(store);
    let store = Store::open(&path).unwrap();
    assert_eq!(store.task(2).unwrap(), None);
    assert_eq!(store.recovery().unwrap().tasks.last_task, 2);
}

#[test]
fn with_a_task_go_its_runs_and_nobody_elses() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&dir.path().join("state.db")).unwrap();
    let run = |generation: u64, unit: &str| RunRow {
        run: format!("run-{generation}"),
        unit: unit.into(),
        generation,
        intent_at_ms: 1,
        pid: None,
        cause: "task".into(),
        exit: None,
        class: None,
    };
    let ended = |generation: u64, unit: &str| Persist::RunEnded {
        record: ExitRecord {
            run: format!("run-{generation}"),
            unit: unit.into(),
            generation,
            reason: EndReason::Exited,
            code: Some(0),
            signal: None,
            core: false,
            message: None,
            pid: 4,
            started_at_ms: 1,
            ended_at_ms: 2,
            max_rss_kb: 0,
            cpu_user_us: 0,
            cpu_system_us: 0,
        },
        class: None,
    };
    store
        .apply(&[
            new(1, "p", TaskState::Succeeded),
            new(11, "p", TaskState::Succeeded),
            Persist::RunIntent(run(1, "p#1")),
            ended(1, "p#1"),
            Persist::RunIntent(run(2, "p#11")),
            ended(2, "p#11"),
            Persist::RunIntent(run(3, "p")),
            ended(3, "p"),
            Persist::Task(TaskPersist::Forget(1)),
        ])
        .unwrap();
    let runs = |unit| store.runs(unit, 9).unwrap().len();
    assert_eq!((runs("p#1"), runs("p#11"), runs("p")), (0, 1, 1));
    // The last run of a task is the task's to remember.
    let last = store.recovery().unwrap().last_runs;
    assert_eq!(last.len(), 1);
    assert_eq!(last[0].unit, "p");
}

#[test]
fn lists_are_what_was_asked_for_newest_first() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let mut store = Store::open(&path).unwrap();
    let batch: Vec<Persist> = (1..=40)
        .map(|id| {
            let pool = if id % 2 == 0 { "even" } else { "odd" };
            let state = [TaskState::Queued, TaskState::Failed, TaskState::Succeeded]
                [usize::try_from(id % 3).unwrap()];
            let mut task = row(id, pool, state);
            task.key = (id % 5 == 0).then(|| "five".into());
            put(task, Some(TaskSpec::default()))
        })
        .collect();
    store.apply(&batch).unwrap();
    let reader = Store::open_read_only(&path).unwrap();
    let list = |filter: TaskFilter| {
        let rows = store.tasks(&filter).unwrap();
        assert_eq!(reader.tasks(&filter).unwrap(), rows);
        ids(&rows)
    };
    let some = |limit| TaskFilter {
        limit,
        ..TaskFilter::default()
    };
    assert_eq!(list(some(0)), [0; 0]);
    assert_eq!(list(some(3)), [40, 39, 38]);
    let even = TaskFilter {
        pool: Some("even".into()),
        ..some(4)
    };
    assert_eq!(list(even.clone()), [40, 38, 36, 34]);
    let older = TaskFilter {
        before: Some(36),
        ..even.clone()
    };
    assert_eq!(list(older), [34, 32, 30, 28]);
    let two = vec![TaskState::Failed, TaskState::Queued, TaskState::Failed];
    let states = TaskFilter {
        states: two.clone(),
        ..some(4)
    };
    assert_eq!(list(states), [40, 39, 37, 36]);
    let all = TaskFilter {
        pool: Some("odd".into()),
        states: two,
        key: Some("five".into()),
        ..some(9)
    };
    assert_eq!(list(all), [25, 15]);
    let none = TaskFilter {
        pool: Some("none".into()),
        before: Some(u64::MAX),
        ..some(9)
    };
    assert_eq!(list(none), [0; 0]);
    let counts = store.task_counts().unwrap();
    assert_eq!(counts["even"][&TaskState::Queued], 6);
    let sum: u64 = counts.values().flat_map(BTreeMap::values).sum();
    assert_eq!(sum, 40);
}

#[test]
fn a_list_costs_what_it_shows() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    drop(Store::open(&path).unwrap());
    let conn = rusqlite::Connection::open(&path).unwrap();
    for sql in [
        "select task from tasks where pool = ? and state = ? and id < ? order by id desc limit ?",
        "select task from tasks where state = ? order by id desc limit ?",
        "select task from tasks where true and id < ? order by id desc limit ?",
        "select pool, state, count(*) from tasks group by pool, state",
    ] {
        let mut statement = conn.prepare(&format!("explain query plan {sql}")).unwrap();
        let blanks = vec![None::<i64>; statement.parameter_count()];
        let rows = statement
            .query_map(rusqlite::params_from_iter(blanks), |row| row.get(3))
            .unwrap();
        let plan: Vec<String> = rows.map(Result::unwrap).collect();
        assert!(
            !plan.iter().any(|step| step.contains("TEMP")),
            "{sql}: {plan:?}"
        );
    }
}

/// The store of the agent daemon before was rewritten in place: a torn one was thrown away, and
/// began again with the first id.
#[test]
fn a_torn_store_of_tasks_holds_whole_batches_and_uses_no_id_twice() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let mut store = Store::open(&path).unwrap();
    let base = fs::read(&path).unwrap();
    let mut marks = vec![];
    for id in 1..=8_u64 {
        let mut batch = vec![new(id, "p", TaskState::Queued)];
        if id > 1 {
            batch.push(put(row(id - 1, "p", TaskState::Succeeded), None));
        }
        store.apply(&batch).unwrap();
        marks.push(fs::metadata(wal_of(&path)).unwrap().len());
    }
    let wal = fs::read(wal_of(&path)).unwrap();
    assert_eq!(fs::read(&path).unwrap(), base, "no page was moved yet");
    let cuts = (0..wal.len()).step_by(997);
    let cuts = cuts.chain(marks.iter().map(|mark| usize::try_from(*mark).unwrap()));
    let mut seen = std::collections::BTreeSet::new();
    for cut in cuts {
        let copy = tempfile::tempdir().unwrap();
        let db = copy.path().join("state.db");
        fs::write(&db, &base).unwrap();
        fs::write(wal_of(&db), &wal[..cut]).unwrap();
        let store = Store::open(&db).unwrap();
        let found = store.recovery().unwrap().tasks;
        let acknowledged = marks.iter().filter(|mark| **mark <= cut as u64).count() as u64;
        assert!(
            found.last_task >= acknowledged,
            "cut at {cut}: a task is lost"
        );
        let open = found.tasks.iter().map(|task| task.id).collect::<Vec<_>>();
        let last = found.last_task;
        assert_eq!(
            open,
            (last.max(1)..=last).collect::<Vec<_>>(),
            "cut at {cut}"
        );
        assert_eq!(
            found.over.len() as u64,
            last.saturating_sub(1),
            "cut at {cut}"
        );
        for id in 1..=last {
            assert!(store.task(id).unwrap().is_some(), "cut at {cut}");
        }
        seen.insert(last);
    }
    assert_eq!(
        seen.into_iter().collect::<Vec<_>>(),
        (0..=8).collect::<Vec<_>>()
    );
}

fn wal_of(path: &Path) -> std::path::PathBuf {
    path.with_extension("db-wal")
}
