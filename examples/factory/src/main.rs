//! A small AI factory: the daemons of the example fleet, in one program.
//!
//! Purpose: something real to supervise that runs anywhere, with no account, network or GPU. Each
//! daemon is a subcommand; `eud.toml` beside this folder declares them.
//! Invariants: everything listens on loopback only; every queue, buffer and wait is bounded; what a
//! daemon has to say it says on standard output (news) or standard error (trouble), one line each.
//! Deliberately absent: timestamps and rotation (the keeper adds them), daemonising, PID files and
//! signal handlers. A daemon under a supervisor needs none of them.

mod args;
mod ask;
mod drain;
mod flaky;
mod http;
mod jobs;
mod model;
mod notify;
mod producer;
mod queue;
mod say;
mod vault;
mod watcher;

use std::process::ExitCode;

use args::Args;

/// What went wrong, in words. One string is enough for programs that only ever log it and exit.
pub(crate) type Failure = String;

const USAGE: &str = "\
factory: the daemons of the example fleet

  factory vault     hands out tokens while its credential is valid
  factory queue     keeps work items in SQLite
  factory model     answers prompts, after a slow start
  factory producer  adds items to the queue
  factory drain     takes items from the queue to the model
  factory watcher   queues files that appear in a folder
  factory flaky     exits 1 after some seconds
  factory backup    saves a copy of the queue, and ends
  factory index     lists which words are in which notes, and ends

  factory check vault|queue|model   exit 0 when it answers
  factory depth                     items in the queue, by state
  factory expire | renew            the vault's credential

Options are given as `--name value`; each has a default, and FACTORY_<NAME> in the environment sets it too.";

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let Some(command) = words.next() else {
        say::trouble(USAGE);
        return ExitCode::from(2);
    };
    let outcome = Args::parse(words).and_then(|args| run(&command, &args));
    match outcome {
        Ok(code) => code,
        Err(failure) => {
            say::trouble(&format!("{command}: {failure}"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: &str, args: &Args) -> Result<ExitCode, Failure> {
    match command {
        "vault" => vault::run(args).map(|never| match never {}),
        "queue" => queue::run(args).map(|never| match never {}),
        "model" => model::run(args).map(|never| match never {}),
        "producer" => producer::run(args).map(|never| match never {}),
        "drain" => drain::run(args).map(|never| match never {}),
        "watcher" => watcher::run(args).map(|never| match never {}),
        "flaky" => flaky::run(args).map(|never| match never {}),
        "backup" => jobs::backup(args),
        "index" => jobs::index(args),
        "check" => ask::check(args),
        "depth" => ask::depth(args),
        "expire" => ask::tell_vault(args, "/expire"),
        "renew" => ask::tell_vault(args, "/renew"),
        "help" | "--help" | "-h" => {
            say::news(USAGE);
            Ok(ExitCode::SUCCESS)
        }
        other => Err(format!(
            "no such command `{other}`; `factory help` lists them"
        )),
    }
}
