//! What the store promises: all or nothing, through any crash, and generations used once.

use std::fs;
use std::path::Path;

use eud_core::io::Persist;
use eud_core::record::{
    Desired, EndReason, ExitClass, ExitRecord, Intent, Ledger, RunRow, Settled,
};
use eud_store::{RUNS_KEPT_PER_UNIT, Store, StoreError};

fn intent(unit: &str, at_ms: i64) -> Intent {
    Intent {
        unit: unit.into(),
        desired: Desired::Up,
        manual: true,
        hold: None,
        at_ms,
    }
}

fn row(unit: &str, generation: u64) -> RunRow {
    RunRow {
        run: format!("run-{generation}"),
        unit: unit.into(),
        generation,
        intent_at_ms: 7,
        pid: None,
        cause: "start".into(),
        exit: None,
        class: None,
    }
}

fn end(unit: &str, generation: u64, code: i32) -> ExitRecord {
    ExitRecord {
        run: format!("run-{generation}"),
        unit: unit.into(),
        generation,
        reason: EndReason::Exited,
        code: Some(code),
        signal: None,
        core: false,
        message: None,
        pid: 42,
        started_at_ms: 8,
        ended_at_ms: 9,
        max_rss_kb: 1,
        cpu_user_us: 2,
        cpu_system_us: 3,
    }
}

fn ended(unit: &str, generation: u64, code: i32) -> Persist {
    Persist::RunEnded {
        record: end(unit, generation, code),
        class: Some(ExitClass::Failure),
    }
}

#[test]
fn everything_written_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let mut held = intent("b", 5);
    held.hold = Some("broken disk".into());
    let ledger = Ledger {
        unit: "a".into(),
        attempt: 3,
        restarts_total: 12,
        recent_ms: vec![1, 2],
        next_try_ms: Some(99),
        cooling: true,
        settled: Some(Settled::Failed),
    };
    {
        let mut store = Store::open(&path).unwrap();
        store
            .apply(&[
                Persist::Intent(intent("a", 4)),
                Persist::Intent(held.clone()),
                Persist::Ledger(ledger.clone()),
                Persist::Profile(Some("full".into())),
                Persist::RunIntent(row("a", 1)),
                Persist::RunStarted {
                    run: "run-1".into(),
                    pid: 42,
                },
                ended("a", 1, 3),
                Persist::RunIntent(row("a", 2)),
                Persist::RunStarted {
                    run: "run-2".into(),
                    pid: 43,
                },
            ])
            .unwrap();
    }
    let journal = Store::open(&path).unwrap().recovery().unwrap();
    assert_eq!(journal.intents, [intent("a", 4), held]);
    assert_eq!(journal.ledgers, [ledger]);
    assert_eq!(journal.profile.as_deref(), Some("full"));
    assert_eq!(journal.next_generation, 3);
    assert_eq!(journal.last_runs.len(), 1);
    assert_eq!(journal.last_runs[0].exit, Some(end("a", 1, 3)));
    assert_eq!(journal.last_runs[0].class, Some(ExitClass::Failure));
    assert_eq!(journal.open_runs.len(), 1);
    assert_eq!(journal.open_runs[0].pid, Some(43));
    let reader = Store::open_read_only(&path).unwrap();
    let runs = reader.runs("a", 10).unwrap();
    assert_eq!(
        runs.iter().map(|r| r.generation).collect::<Vec<_>>(),
        [2, 1]
    );
    assert_eq!(reader.runs("a", 1).unwrap().len(), 1);
    assert_eq!(reader.runs("nobody", 10).unwrap().len(), 0);
}

#[test]
fn a_batch_is_all_or_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&dir.path().join("state.db")).unwrap();
    store.apply(&[Persist::RunIntent(row("a", 5))]).unwrap();
    let refused = store.apply(&[
        Persist::Intent(intent("a", 1)),
        Persist::RunIntent(row("a", 5)),
    ]);
    assert!(matches!(
        refused,
        Err(StoreError::GenerationReused { generation: 5, .. })
    ));
    assert_eq!(store.recovery().unwrap().intents, []);
}

#[test]
fn a_generation_stays_used_after_its_run_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let mut store = Store::open(&path).unwrap();
    store
        .apply(&[Persist::RunIntent(row("a", 9)), ended("a", 9, 0)])
        .unwrap();
    drop(store);
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute("delete from runs", []).unwrap();
    drop(other);
    let mut store = Store::open(&path).unwrap();
    assert_eq!(store.recovery().unwrap().next_generation, 10);
    for used in [1, 8, 9] {
        let again = store.apply(&[Persist::RunIntent(row("b", used))]);
        assert!(
            matches!(again, Err(StoreError::GenerationReused { .. })),
            "{used}: {again:?}"
        );
    }
    store.apply(&[Persist::RunIntent(row("b", 10))]).unwrap();
}

#[test]
fn the_first_exit_record_stays() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&dir.path().join("state.db")).unwrap();
    store
        .apply(&[Persist::RunIntent(row("a", 1)), ended("a", 1, 3)])
        .unwrap();
    store.apply(&[ended("a", 1, 0)]).unwrap();
    let runs = store.runs("a", 10).unwrap();
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].exit.as_ref().unwrap().code, Some(3));
}

#[test]
fn a_run_known_only_by_its_folder_is_recorded_and_its_generation_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&dir.path().join("state.db")).unwrap();
    store.apply(&[ended("a", 31, 1)]).unwrap();
    let journal = store.recovery().unwrap();
    assert_eq!(journal.next_generation, 32);
    assert_eq!(journal.last_runs[0].exit, Some(end("a", 31, 1)));
}

#[test]
fn forgetting_a_unit_keeps_its_history() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&dir.path().join("state.db")).unwrap();
    store
        .apply(&[
            Persist::Intent(intent("a", 1)),
            Persist::Ledger(Ledger {
                unit: "a".into(),
                ..Ledger::default()
            }),
            Persist::RunIntent(row("a", 1)),
            ended("a", 1, 1),
            Persist::Forget("a".into()),
        ])
        .unwrap();
    let journal = store.recovery().unwrap();
    assert!(journal.intents.is_empty() && journal.ledgers.is_empty());
    assert_eq!(store.runs("a", 10).unwrap().len(), 1);
}

#[test]
fn history_is_bounded_and_open_runs_are_never_pruned() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let kept = u64::from(RUNS_KEPT_PER_UNIT);
    let mut store = Store::open(&path).unwrap();
    let mut batch = vec![Persist::RunIntent(row("a", 1))];
    for generation in 2..=kept + 300 {
        batch.push(Persist::RunIntent(row("a", generation)));
        batch.push(ended("a", generation, 1));
    }
    store.apply(&batch).unwrap();
    let runs = store.runs("a", u32::MAX).unwrap();
    assert_eq!(runs.len() as u64, kept + 1);
    assert_eq!(
        runs.last().unwrap().generation,
        1,
        "the open run is the oldest and stays"
    );
    assert_eq!(runs[0].generation, kept + 300);
}

#[test]
fn a_crash_at_any_byte_leaves_whole_batches() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let mut store = Store::open(&path).unwrap();
    let base = fs::read(&path).unwrap();
    let mut marks = vec![];
    for n in 1..=8_u64 {
        store
            .apply(&[
                Persist::Intent(intent(&format!("u{n}"), 1)),
                Persist::RunIntent(row(&format!("u{n}"), n)),
            ])
            .unwrap();
        marks.push(fs::metadata(wal_of(&path)).unwrap().len());
    }
    let wal = fs::read(wal_of(&path)).unwrap();
    assert_eq!(
        fs::read(&path).unwrap(),
        base,
        "no checkpoint may have moved pages into the database"
    );
    let mut seen = std::collections::BTreeSet::new();
    let cuts = (0..wal.len())
        .step_by(997)
        .chain(marks.iter().map(|m| usize::try_from(*m).unwrap()));
    for cut in cuts {
        let copy = tempfile::tempdir().unwrap();
        let db = copy.path().join("state.db");
        fs::write(&db, &base).unwrap();
        fs::write(wal_of(&db), &wal[..cut]).unwrap();
        let journal = Store::open(&db).unwrap().recovery().unwrap();
        let acknowledged = marks.iter().filter(|m| **m <= cut as u64).count();
        assert!(
            journal.intents.len() >= acknowledged,
            "cut at {cut}: an acknowledged batch is lost"
        );
        assert_eq!(
            journal.intents.len(),
            journal.open_runs.len(),
            "cut at {cut}: half a batch"
        );
        assert_eq!(journal.next_generation, journal.open_runs.len() as u64 + 1);
        seen.insert(journal.intents.len());
    }
    assert_eq!(
        seen.into_iter().collect::<Vec<_>>(),
        (0..=8).collect::<Vec<_>>()
    );
}

fn wal_of(path: &Path) -> std::path::PathBuf {
    path.with_extension("db-wal")
}

#[test]
fn foreign_and_damaged_files_are_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    fs::write(
        &path,
        "this is a shopping list, and it is longer than a header of SQLite. ".repeat(40),
    )
    .unwrap();
    let before = fs::read(&path).unwrap();
    let refused = Store::open(&path).unwrap_err();
    assert!(
        matches!(refused, StoreError::NotADatabase { .. }),
        "{refused:?}"
    );
    assert!(refused.to_string().contains("Move it away"), "{refused}");
    assert_eq!(fs::read(&path).unwrap(), before);

    let other = dir.path().join("other.db");
    rusqlite::Connection::open(&other)
        .unwrap()
        .execute_batch("create table t (x)")
        .unwrap();
    assert!(matches!(
        Store::open(&other),
        Err(StoreError::NotADatabase { .. })
    ));
}

#[test]
fn damage_inside_is_reported_as_damage() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let mut store = Store::open(&path).unwrap();
    store.apply(&[Persist::Intent(intent("a", 1))]).unwrap();
    drop(store);
    let other = rusqlite::Connection::open(&path).unwrap();
    other
        .execute("update intents set desired = 'sideways'", [])
        .unwrap();
    drop(other);
    let store = Store::open(&path).unwrap();
    let found = store.recovery().unwrap_err();
    assert!(matches!(found, StoreError::Corrupt { .. }), "{found:?}");
    drop(store);

    let mut bytes = fs::read(&path).unwrap();
    for byte in &mut bytes[100..] {
        *byte = 0xA5;
    }
    fs::write(&path, bytes).unwrap();
    let found = Store::open(&path).unwrap_err();
    assert!(matches!(found, StoreError::Corrupt { .. }), "{found:?}");
}

#[test]
fn a_newer_schema_is_refused_by_writer_and_reader() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    drop(Store::open(&path).unwrap());
    rusqlite::Connection::open(&path)
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let refused = Store::open(&path).unwrap_err();
    assert!(
        matches!(refused, StoreError::NewerSchema { found: 99, .. }),
        "{refused:?}"
    );
    assert!(matches!(
        Store::open_read_only(&path),
        Err(StoreError::NewerSchema { .. })
    ));
}

#[test]
fn a_missing_file_or_folder_is_said_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    assert!(matches!(
        Store::open_read_only(&path),
        Err(StoreError::Missing { .. })
    ));
    let nowhere = dir.path().join("no/such/state.db");
    assert!(matches!(
        Store::open(&nowhere),
        Err(StoreError::CannotOpen { .. })
    ));
}

#[test]
fn a_reader_sees_what_a_writer_adds_and_cannot_write() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let mut store = Store::open(&path).unwrap();
    let reader = Store::open_read_only(&path).unwrap();
    assert_eq!(reader.recovery().unwrap().intents.len(), 0);
    store.apply(&[Persist::Intent(intent("a", 1))]).unwrap();
    assert_eq!(reader.recovery().unwrap().intents.len(), 1);
}

#[test]
fn the_last_good_fleet_is_remembered_with_its_batch() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let fleet = eud_core::fleet::Fleet {
        name: "f".into(),
        ..eud_core::fleet::Fleet::default()
    };
    let mut store = Store::open(&path).unwrap();
    assert_eq!(store.last_fleet().unwrap(), None);
    store.apply_with_fleet(&[], Some(&fleet)).unwrap();
    assert_eq!(
        Store::open_read_only(&path).unwrap().last_fleet().unwrap(),
        Some(fleet)
    );
}

#[test]
fn a_start_is_recorded_without_waiting_for_the_disk_and_the_rest_waits_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let mut store = Store::open(&path).unwrap();
    let started = Persist::RunStarted {
        run: "run-1".into(),
        pid: 42,
    };
    store.apply(&[Persist::RunIntent(row("a", 1))]).unwrap();
    store.apply(std::slice::from_ref(&started)).unwrap();
    assert_eq!(store.synchronous(), 1, "NORMAL");
    // Another process sees it at once: it is in the file, not in this process.
    assert_eq!(
        Store::open_read_only(&path).unwrap().runs("a", 1).unwrap()[0].pid,
        Some(42)
    );
    store.apply(&[started, ended("a", 1, 0)]).unwrap();
    assert_eq!(store.synchronous(), 2, "FULL");
}

#[test]
fn a_database_is_there_whole_or_not_at_all() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    // What a try that was cut short leaves behind.
    fs::write(dir.path().join("state.db.new"), b"half a database").unwrap();
    fs::write(dir.path().join("state.db.new-wal"), b"half a log").unwrap();
    let store = Store::open(&path).unwrap();
    let mut names: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["state.db", "state.db-shm", "state.db-wal"]);
    for name in names {
        let mode = fs::metadata(dir.path().join(&name)).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600, "{name}");
    }
    drop(store);
    // An empty file is as good as none.
    fs::write(&path, b"").unwrap();
    Store::open(&path).unwrap();
}
