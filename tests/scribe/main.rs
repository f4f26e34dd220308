//! A program that does nothing but drive the store, so that it can be watched at it.
//!
//! ```text
//! scribe DATABASE STEPS
//! scribe FILE replace
//! ```
//!
//! Purpose: each step is tried, and once more if it fails; what came of it is printed at the end,
//! one line a step: `NUMBER ok`, `NUMBER again` (the second time it went well) or `NUMBER error
//! WHY`. A deed that failed must not show afterwards: `NUMBER ghost WHY` if it does. What did not
//! go well is the last step.
//! `replace` gives a small file new contents, again and again, each durable before the next.
//! Invariants: between its first and its last mark it makes no system call but through the store;
//! step `n` (from 0) is marked `2n` before and `2n + 1` when it went well.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use eud_store::{Result, Store};
use eud_sys::durable::{Depth, write};
use eud_sys::fault::{MARK_BEGIN, MARK_END, mark};
use eud_tests::{Deed, Presence, Step, VERSIONS, steps, version};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (Some(path), Some(name), None) = (args.next(), args.next(), args.next()) else {
        return ExitCode::from(2);
    };
    let path = Path::new(&path);
    if name == "replace" {
        return replace(path);
    }
    let mut store = None;
    let mut outcomes = Vec::new();
    mark(MARK_BEGIN);
    for (number, step) in (0..).zip(steps(&name)) {
        mark(2 * number);
        let outcome = attempt(*step, path, &mut store);
        let went_well = matches!(outcome.as_str(), "ok" | "again");
        outcomes.push(outcome);
        if !went_well {
            break;
        }
        mark(2 * number + 1);
    }
    mark(MARK_END);
    let mut out = io::stdout().lock();
    for (number, outcome) in outcomes.iter().enumerate() {
        if writeln!(out, "{number} {outcome}").is_err() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn replace(path: &Path) -> ExitCode {
    mark(MARK_BEGIN);
    for number in 0..VERSIONS {
        mark(2 * number);
        if write(path, &version(number), Depth::Disk).is_err() {
            return ExitCode::FAILURE;
        }
        mark(2 * number + 1);
    }
    mark(MARK_END);
    ExitCode::SUCCESS
}

fn attempt(step: Step, path: &Path, store: &mut Option<Store>) -> String {
    let Err(first) = carry_out(step, path, store) else {
        return "ok".to_owned();
    };
    if let (Step::Do(deed), Some(store)) = (step, &*store)
        && let Ok(journal) = store.recovery()
        && deed.presence(&journal) != Presence::Absent
    {
        return format!("ghost {first}");
    }
    match carry_out(step, path, store) {
        Ok(()) => "again".to_owned(),
        Err(second) => format!("error {first}; {second}").replace('\n', " "),
    }
}

fn carry_out(step: Step, path: &Path, store: &mut Option<Store>) -> Result<()> {
    match (step, store) {
        (Step::Open, store) => *store = Some(Store::open(path)?),
        (Step::Close, store) => *store = None,
        (Step::Do(deed @ Deed::Ended(_)), Some(store)) => store.apply_unsynced(&deed.batch())?,
        (Step::Do(deed), Some(store)) => store.apply(&deed.batch())?,
        (Step::Sync, Some(store)) => store.sync()?,
        (Step::Read, Some(store)) => {
            store.recovery()?;
            store.runs("u1", 10)?;
            store.last_fleet()?;
        }
        (_, None) => {}
    }
    Ok(())
}
