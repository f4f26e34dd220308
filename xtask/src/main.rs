//! Project tasks: what other projects keep in scripts.
//!
//! Purpose: one entry for everything a person or a machine does with this repository.
//! Invariants: every task says what it does, leaves no process and no temporary file behind, and
//! exits non-zero when anything failed.
//! Deliberately absent: dependencies beyond `serde_json`, `rustix` and `eud-sys`, so that `cargo
//! xtask` starts soon on a fresh clone.

mod bench;
mod cmd;
mod demo;
mod dist;
mod docs;
mod fleet;
mod fuzz;
mod processes;
mod test;
mod tidy;
mod torture;

use std::process::ExitCode;

/// What went wrong, in words that end in what to do.
pub(crate) type Failure = String;

const USAGE: &str = "\
cargo xtask <task>

  demo   [--seconds N] [--release]   start examples/factory, break it, watch it recover, leave
  test   [--seeds N]                 everything: set-up, format, lints, tests, simulator, docs
  tidy   [--wrap]                    sizes, headers, columns, leftovers
  docs   [--show] [--write] [PAGE...] run the commands in README.md and docs/
  dist                               build what is distributed into target/dist-out
  bench  [--quick] [--dist] [--no-build] [--only NAME] [--json FILE] [--write]
                                     the figures of SPECIFICATION.md, as ratios in one run
  bench  --beside [--quick] [--plain] [--no-build] [--only NAME] [--peer NAME] [--write]
                                     other supervisors, in turns with eud
  bench  --install                   get the other supervisors
  fuzz   [TARGET...] [--runs N | --minutes M] [--planted]
                                     any bytes for every parser of foreign input
  torture [--minutes N] [--seed N] [--steps N] [--units N] [--dist]
                                     random deaths and faults of real processes, checked by their own diaries";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (task, rest) = match args.split_first() {
        Some((task, rest)) => (task.as_str(), rest),
        None => ("help", args.as_slice()),
    };
    let outcome = match task {
        "demo" => demo::run(rest),
        "test" => test::run(rest),
        "tidy" => tidy::run(rest),
        "docs" => docs::run(rest),
        "dist" => dist::run(rest),
        "bench" => bench::run(rest),
        "fuzz" => fuzz::run(rest),
        "torture" => torture::run(rest),
        // For this program itself: see `fleet::Fleet::unblock_signals`.
        "exec" => cmd::exec(rest),
        "help" | "--help" | "-h" => {
            cmd::say(USAGE);
            Ok(())
        }
        other => Err(format!("no such task `{other}`\n\n{USAGE}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // A task whose own last line says it all leaves nothing to say.
            if !failure.is_empty() {
                cmd::say(&format!("error: {failure}"));
            }
            ExitCode::FAILURE
        }
    }
}
