//! `eud`: the client of a fleet of daemons, and, when started as one, its manager.
//!
//! Purpose: turn a command line into one command, and its result into an exit code.
//! Invariants: no runtime is started and no file read before the command line is understood; an
//! output that nobody reads is no error.
//! Deliberately absent: decisions about daemons.

mod args;
mod commands;
mod context;
mod error;
mod launch;
mod logs;
mod offline;
mod render;
mod selection;
mod settle;

use std::io::{ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

use context::Context;
use error::{Error, code};
use render::ink::Ink;

fn main() -> ExitCode {
    let cli = match args::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing can be done about a message that cannot be shown.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() {
                code::USAGE
            } else {
                code::OK
            });
        }
    };
    let context = Context::new(cli.common);
    match commands::dispatch(&context, cli.command) {
        Ok(code) => ExitCode::from(code),
        Err(Error::Output(error)) if error.kind() == ErrorKind::BrokenPipe => {
            ExitCode::from(code::OK)
        }
        Err(error) => {
            complain(&context, &error);
            ExitCode::from(error.exit_code())
        }
    }
}

fn complain(context: &Context, error: &Error) {
    let text = if context.common.json {
        format!("{}\n", error.to_json())
    } else {
        let plain = error.render();
        let color = context.color_of(std::io::stderr().is_terminal());
        match plain.strip_prefix("error:") {
            Some(rest) => format!("{}{rest}", Ink::Red.paint(color, "error:")),
            None => plain,
        }
    };
    // Nothing can be done about a message that cannot be shown.
    let _ = std::io::stderr().write_all(text.as_bytes());
}
