//! The store: a change is there whole or an error was returned, and the database opens again.

use std::path::Path;
use std::process::{Command, Stdio};

use eud_store::Store;
use eud_sys::fault::{self, Begin, Failed, Fault, Seen};
use eud_tests::{Presence, Step, steps};

use crate::cases::{end_of, folder, from_each_on, one_by_one, thin};

const ENOSPC: i32 = 28;
const EMFILE: i32 = 24;
/// So many calls are answered in all: with more of them, fewer faults are tried.
const CALLS_MAX: usize = 300_000;

/// What the scribe said, and what failed under it.
struct Told {
    outcomes: Vec<String>,
    failed: Vec<Failed>,
    seen: Vec<Seen>,
}

fn scribe(database: &Path, name: &str, fault: Fault) -> Told {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scribe"));
    command.arg(database).arg(name);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let (mut child, watch) = fault::start(&mut command, Begin::AtMark, fault, None).unwrap();
    let failed = || (fault, watch.failed());
    let Some(status) = end_of(&mut child) else {
        panic!("{name}: hangs with {:?}", failed());
    };
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(status.success(), "{name}: {:?}: {status}: {said}", failed());
    let lines = String::from_utf8(output.stdout).unwrap();
    let outcomes = lines
        .lines()
        .map(|line| line.split_once(' ').unwrap().1.to_owned());
    Told {
        outcomes: outcomes.collect(),
        failed: watch.failed(),
        seen: watch.seen(),
    }
}

/// Opens it again where nothing fails, and looks.
fn check(database: &Path, name: &str, told: &Told) {
    let context = || format!("{name}: {:?} led to {:?}", told.failed, told.outcomes);
    let store = Store::open(database).unwrap_or_else(|error| panic!("{}: {error}", context()));
    let journal = store.recovery().unwrap();
    drop(store);
    let found: String = rusqlite::Connection::open(database)
        .unwrap()
        .query_row("pragma integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(found, "ok", "{}", context());
    for (number, step) in steps(name).iter().enumerate() {
        let outcome = told.outcomes.get(number).map_or("", String::as_str);
        assert!(!outcome.starts_with("ghost"), "{}", context());
        let Step::Do(deed) = step else { continue };
        let presence = deed.presence(&journal);
        let is_right = match outcome {
            "ok" | "again" => presence == Presence::Whole,
            "" => presence == Presence::Absent,
            _ => presence != Presence::Half,
        };
        assert!(is_right, "{}: {deed:?} is {presence:?}", context());
    }
}

/// Fails every call of these steps. `before` are steps that went well earlier.
fn fail_every_call(name: &str, before: Option<&str>) {
    let prepare = || {
        let folder = folder();
        let database = folder.path().join("state.db");
        if let Some(before) = before {
            let told = scribe(&database, before, Fault::Nothing);
            assert!(told.outcomes.iter().all(|outcome| outcome == "ok"));
        }
        (folder, database)
    };
    let (_folder, database) = prepare();
    let told = scribe(&database, name, Fault::Nothing);
    assert_eq!(told.outcomes, vec!["ok"; steps(name).len()]);
    check(&database, name, &told);
    let mut faults = one_by_one(&told.seen);
    faults.extend(from_each_on(&told.seen, ENOSPC));
    faults.extend(from_each_on(&told.seen, EMFILE));
    let faults = thin(faults, CALLS_MAX / told.seen.len());
    let mut refused = 0;
    for fault in &faults {
        let (_folder, database) = prepare();
        let told = scribe(&database, name, *fault);
        assert!(
            !told.failed.is_empty(),
            "{name}: nothing failed with {fault:?}"
        );
        check(&database, name, &told);
        refused += usize::from(
            told.outcomes
                .last()
                .is_some_and(|last| last.starts_with("error")),
        );
    }
    eprintln!(
        "{name}: {} calls, {} faults, {refused} refused",
        told.seen.len(),
        faults.len(),
    );
}

#[test]
fn a_new_database_with_any_call_failing() {
    fail_every_call("new", None);
}

#[test]
fn an_existing_database_with_any_call_failing() {
    fail_every_call("again", Some("new"));
}

#[test]
fn a_database_that_writes_its_log_back_with_any_call_failing() {
    fail_every_call("wide", None);
}
