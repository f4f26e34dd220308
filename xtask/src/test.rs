//! `cargo xtask test`: everything, set-up included.
//!
//! Invariants: every step runs, whatever became of those before it; the last line is
//! `N passed, N failed`, where each test counts as one and each other step as one.

mod count;
mod examples;
mod setup;

use std::process::Command;
use std::time::Instant;

use crate::{Failure, cmd};
use count::Count;

/// Simulated seeds when none are asked for.
const SEEDS: u64 = 20_000;

/// One thing that must hold.
struct Step {
    name: &'static str,
    work: Work,
}

enum Work {
    /// Counts as one: exit code 0 is a pass.
    Command(Vec<String>),
    /// Prints a test runner's summary; each test counts.
    Tests(Vec<String>),
    /// A task of this program; counts as one.
    Task(fn(&[String]) -> Result<(), Failure>),
}

/// Runs the task.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let seeds = cmd::number(args, "--seeds")?.unwrap_or(SEEDS);
    setup::install_servers();
    let mut total = Count::default();
    let mut failures = Vec::new();
    for step in steps(seeds) {
        cmd::say(&format!("\n── {}", step.name));
        let begun = Instant::now();
        let count = carry_out(&step.work);
        let spent = begun.elapsed().as_secs();
        cmd::say(&format!("── {}: {count}, {spent} s", step.name));
        if count.failed > 0 {
            failures.push(step.name);
        }
        total.add(&count);
    }
    if !failures.is_empty() {
        cmd::say(&format!("\nfailed: {}", failures.join(", ")));
    }
    cmd::say(&format!("\n{total}"));
    if total.failed == 0 {
        Ok(())
    } else {
        // The count is the last line, whatever came of it.
        Err(Failure::new())
    }
}

fn steps(seeds: u64) -> Vec<Step> {
    let seeds = seeds.to_string();
    let command = |words: &[&str]| Work::Command(words.iter().map(|w| (*w).to_owned()).collect());
    let tests = |words: &[&str]| Work::Tests(words.iter().map(|w| (*w).to_owned()).collect());
    let runner: &[&str] = if cmd::is_installed("cargo-nextest") {
        &["nextest", "run", "--workspace", "--no-fail-fast"]
    } else {
        &[
            "test",
            "--workspace",
            "--no-fail-fast",
            "--bins",
            "--lib",
            "--tests",
        ]
    };
    vec![
        Step {
            name: "format",
            work: command(&["fmt", "--all", "--check"]),
        },
        Step {
            name: "tidy",
            work: Work::Task(crate::tidy::run),
        },
        Step {
            name: "lints",
            work: command(&[
                "clippy",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ]),
        },
        // The tests of the examples and of the docs run these binaries.
        Step {
            name: "build",
            work: command(&["build", "--workspace"]),
        },
        Step {
            name: "tests",
            work: tests(runner),
        },
        Step {
            name: "doc tests",
            work: tests(&["test", "--workspace", "--doc"]),
        },
        Step {
            name: "simulator",
            work: command(&["run", "--release", "-p", "eud-sim", "--", "--seeds", &seeds]),
        },
        Step {
            name: "docs",
            work: Work::Task(crate::docs::run),
        },
        Step {
            name: "examples",
            work: Work::Task(examples::run),
        },
    ]
}

fn carry_out(work: &Work) -> Count {
    match work {
        Work::Command(args) => Count::of_one(&cmd::run(&mut cargo(args))),
        Work::Tests(args) => count::run_and_count(&mut cargo(args)),
        Work::Task(task) => {
            let outcome = task(&[]);
            if let Err(failure) = &outcome {
                cmd::say(&format!("error: {failure}"));
            }
            Count::of_one(&outcome)
        }
    }
}

fn cargo(args: &[String]) -> Command {
    cmd::cargo(&args.iter().map(String::as_str).collect::<Vec<_>>())
}
