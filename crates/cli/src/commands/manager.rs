//! The manager's process: in the background for `eud up`, in the foreground for `eud up
//! --foreground`.
//!
//! Invariants: the control socket is served until the manager has ended and no longer; in the
//! background nothing is written but to the manager's log.
//! Deliberately absent: everything the manager does.

use std::path::Path;

use eud_api::server::{self, ServerError};
use eud_manager::{ManagerError, Options};

use crate::args::ManagerArgs;
use crate::context::{self, Context};
use crate::error::{Error, code};
use crate::settle::transition_line;

/// Transitions that may wait to be printed; a terminal that is slower misses some.
const PRINT_QUEUE_MAX: usize = 10_000;

/// Hidden `eud manager`: detached from the terminal, its standard error being the manager's log.
///
/// # Errors
/// When it cannot start. That another one has won the race is none.
pub(crate) fn background(args: &ManagerArgs) -> Result<u8, Error> {
    // A process that leads a group already may not; then it was started by hand, which is fine.
    let _ = rustix::process::setsid();
    let options = Options {
        state_dir: args.dir.clone(),
        fleet_path: args.fleet.clone(),
        profile: args.profile.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        ..Options::default()
    };
    match server::run(options) {
        Ok(outcome) => Ok(outcome.code()),
        Err(ServerError::Manager(ManagerError::AlreadyRunning { .. })) => Ok(code::OK),
        Err(error) => Err(failure(error)),
    }
}

/// `eud up --foreground`, also as process 1 of a container.
///
/// # Errors
/// When it cannot start.
pub(crate) fn foreground(
    context: &Context,
    fleet: &Path,
    profile: Option<String>,
) -> Result<u8, Error> {
    let layout = context.layout()?;
    let (lines, printed) = std::sync::mpsc::sync_channel(PRINT_QUEUE_MAX);
    let screen = context.screen();
    let json = context.common.json;
    let printer = std::thread::spawn(move || {
        for transition in printed {
            let screen = crate::render::Screen {
                clock: crate::render::time::Clock::system(),
                ..screen.clone()
            };
            let line = match json {
                true => serde_json::json!(transition).to_string() + "\n",
                false => transition_line(&transition, &screen),
            };
            // A reader that went away does not end the fleet.
            let _ = context::print(&line);
        }
    });
    let options = Options {
        state_dir: layout.root().to_owned(),
        fleet_path: fleet.to_owned(),
        profile,
        foreground: true,
        as_pid1: std::process::id() == 1,
        version: env!("CARGO_PKG_VERSION").into(),
        observer: Some(Box::new(move |transition| {
            let _ = lines.try_send(transition.clone());
        })),
        ..Options::default()
    };
    let outcome = server::run(options).map_err(failure)?;
    let _ = printer.join();
    Ok(outcome.code())
}

fn failure(error: ServerError) -> Error {
    match error {
        ServerError::Manager(ManagerError::FleetInvalid {
            diagnostics,
            rendered,
        }) => Error::Invalid {
            rendered,
            diagnostics,
        },
        other => Error::Internal(other.to_string()),
    }
}
