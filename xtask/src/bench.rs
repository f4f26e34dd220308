//! `cargo xtask bench`: the figures of SPECIFICATION.md, measured.
//!
//! Purpose: one run measures eud and, beside it, the least the machine itself can do, so that the
//! figures are ratios and survive a slow or busy machine.
//! Invariants: stop-watches go through real processes (`bench-probe`), never through what a
//! supervisor says of itself; every scenario is one file with one function; nothing is left
//! running.
//! Deliberately absent: averages. Medians are reported, or the one value there is.

mod beside;
mod eud;
mod idle;
mod jobs;
mod logs;
mod memory;
mod peers;
mod report;
mod restart;
mod rig;
mod start;
mod status;
mod stop;

use std::path::PathBuf;

use crate::{Failure, cmd};
use report::{Figure, Report};

/// What every scenario is given.
pub(crate) struct Setting {
    /// Shorter and smaller: for a look, not for publishing.
    quick: bool,
    /// Folder of the `eud` and `eud-keeper` that are measured.
    bin: PathBuf,
    /// Promised memory of a keeper: it depends on how it was built.
    keeper_kb_max: f64,
}

type Scenario = fn(&Setting) -> Result<Vec<Figure>, Failure>;

const SCENARIOS: [(&str, Scenario); 8] = [
    ("start", start::run),
    ("restart", restart::run),
    ("stop", stop::run),
    ("status", status::run),
    ("memory", memory::run),
    ("idle", idle::run),
    ("logs", logs::run),
    ("jobs", jobs::run),
];

/// Runs the scenarios.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    if cmd::flag(args, "--install") {
        return peers::install::all();
    }
    if cmd::flag(args, "--beside") {
        if !cmd::flag(args, "--no-build") {
            build()?;
        }
        let setting = setting(cmd::flag(args, "--quick"), !cmd::flag(args, "--plain"))?;
        return beside::run(&setting, args);
    }
    let only = cmd::option(args, "--only")?;
    let known = SCENARIOS
        .iter()
        .any(|(name, _)| only.is_none_or(|only| only == *name));
    if !known {
        let names = SCENARIOS.map(|(name, _)| name).join(", ");
        return Err(format!("--only takes one of {names}"));
    }
    if !cmd::flag(args, "--no-build") {
        build()?;
    }
    let setting = setting(cmd::flag(args, "--quick"), cmd::flag(args, "--dist"))?;
    let mut report = Report::new(setting.quick);
    for (name, scenario) in SCENARIOS {
        if only.is_some_and(|only| only != name) {
            continue;
        }
        cmd::say(&format!("── {name}"));
        match scenario(&setting) {
            Ok(figures) => report.add(figures),
            Err(failure) => report.failed(name, &failure),
        }
    }
    cmd::say(&report.table());
    if let Some(path) = cmd::option(args, "--json")? {
        std::fs::write(path, report.json()).map_err(|e| format!("{path}: {e}"))?;
    }
    if cmd::flag(args, "--write") {
        report.write_page(&cmd::root().join("docs/benchmarks.md"))?;
    }
    report.verdict()
}

/// Builds what is measured, and the stop-watch.
fn build() -> Result<(), Failure> {
    let args = ["build", "--release", "-p", "eudaemon", "-p", "xtask"];
    cmd::run(&mut cmd::cargo(&args))
}

fn setting(quick: bool, is_dist: bool) -> Result<Setting, Failure> {
    if is_dist {
        crate::dist::run(&[])?;
        return Ok(Setting {
            quick,
            bin: cmd::target("dist-out"),
            keeper_kb_max: 100.0,
        });
    }
    Ok(Setting {
        quick,
        bin: cmd::target("release"),
        keeper_kb_max: 150.0,
    })
}
