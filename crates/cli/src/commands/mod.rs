//! One module for each command.
//!
//! Invariants: a command returns its exit code, or an error that has one; only it prints.

mod change;
mod check;
mod dlq;
mod down;
mod emit;
mod events;
mod gauges;
mod graph;
mod init;
mod logs;
mod manager;
mod manager_log;
mod next;
mod next_jobs;
mod pages;
mod pane;
mod pool;
mod run;
mod runs;
mod show;
mod status;
mod subscriptions;
mod task;
mod task_wait;
mod trigger;
mod up;
mod upgrade;
mod why;

use crate::args::Command;
use crate::context::Context;
use crate::error::{Error, code};

/// Carries out a command.
///
/// # Errors
/// See [`Error`].
pub(crate) fn dispatch(context: &Context, command: Command) -> Result<u8, Error> {
    let ok = |()| code::OK;
    match command {
        Command::Up(args) => up::run(context, &args),
        Command::Down(args) => down::run(context, &args),
        Command::Status(args) => status::run(context, &args),
        Command::Start(args) => change::start(context, &args),
        Command::Stop(args) => change::stop(context, &args),
        Command::Restart(args) => change::restart(context, &args),
        Command::Kill(args) => change::kill(context, &args),
        Command::Hold(args) => change::hold(context, &args),
        Command::Release(args) => change::release(context, &args),
        Command::Trigger(args) => trigger::run(context, &args),
        Command::Gauges => gauges::run(context),
        Command::Emit(args) => emit::run(context, &args),
        Command::Events(args) => events::run(context, &args),
        Command::Subscriptions(args) => subscriptions::run(context, args.command),
        Command::Dlq(args) => dlq::run(context, args.command),
        Command::Logs(args) if args.manager => manager_log::run(context, &args).map(ok),
        Command::Logs(args) => logs::run(context, &args).map(ok),
        Command::Runs(args) => runs::run(context, &args).map(ok),
        Command::Show(args) => show::run(context, &args).map(ok),
        Command::Why(args) => why::run(context, &args).map(ok),
        Command::Graph(args) => graph::run(context, &args).map(ok),
        Command::Task(args) => task::run(context, &args.command),
        Command::Pool(args) => pool::run(context, &args.command),
        Command::Reload(args) => up::reload_command(context, args.wait),
        Command::Next(args) => next::run(context, &args).map(ok),
        Command::Check => check::run(context),
        Command::Init(args) => init::run(context, &args).map(ok),
        Command::Schema => pages::schema().map(ok),
        Command::Upgrade(args) => upgrade::run(context, args.wait),
        Command::Run(args) => run::run(context, &args),
        Command::Completions { shell } => pages::completions(shell).map(ok),
        Command::Man => pages::man().map(ok),
        Command::Manager(args) => manager::background(&args),
        Command::Pane(args) => pane::run(&args),
    }
}
