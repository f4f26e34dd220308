//! Commands that ask a running daemon and exit: probes for `exec`, and handles for a person.

use std::process::ExitCode;

use crate::args::Args;
use crate::{Failure, http, say};

/// `factory check NAME`: exit 0 when `/readyz` answers 200.
pub(crate) fn check(args: &Args) -> Result<ExitCode, Failure> {
    let name = args
        .word(0)
        .ok_or("name what to check: vault, queue or model")?;
    let reply = http::call("GET", &args.text(name)?, "/readyz", None, "")?;
    match reply.status {
        200 => Ok(ExitCode::SUCCESS),
        status => Err(format!("{name} answers {status}: {}", reply.body.trim())),
    }
}

/// `factory depth`: what the queue holds.
pub(crate) fn depth(args: &Args) -> Result<ExitCode, Failure> {
    let reply = http::call("GET", &args.text("queue")?, "/depth", None, "")?;
    say::news(reply.body.trim());
    Ok(ExitCode::SUCCESS)
}

/// `factory expire` and `factory renew`.
pub(crate) fn tell_vault(args: &Args, path: &str) -> Result<ExitCode, Failure> {
    let reply = http::call("POST", &args.text("vault")?, path, None, "")?;
    match reply.status {
        200 => {
            say::news(reply.body.trim());
            Ok(ExitCode::SUCCESS)
        }
        status => Err(format!("{status} {}", reply.body.trim())),
    }
}
