//! `eud trigger`: run jobs now, and, if asked to, wait for what becomes of it.
//!
//! Invariants: without `--wait` it says only what is certain, that the fire is recorded; with it,
//! the exit code is that of the fires.

use std::time::Duration;

use eud_core::fleet::daemon_of;
use eud_core::io::Accepted;
use eud_core::view::{DaemonView, Status};
use jiff::Timestamp;
use serde_json::json;

use super::change::{exit_code, trouble};
use crate::args::TriggerArgs;
use crate::context::{self, Context};
use crate::error::{Error, code};
use crate::render::ink::Ink;
use crate::render::runs::short_run;
use crate::render::{reply, time};
use crate::settle::{Before, Goal, Outcome, Verdict, Wait};

/// `eud trigger`
///
/// # Errors
/// As the client's.
pub(crate) fn run(context: &Context, args: &TriggerArgs) -> Result<u8, Error> {
    let wait = args.wait.map(|_| Wait::begin(context)).transpose()?;
    let mut client = context.client()?;
    let before = context::status(&mut client)?;
    let params = json!({ "names": args.names });
    let asked_at = Timestamp::now();
    let accepted: Accepted = client.call("daemon.trigger", &params)?;
    let (Some(wait), Some(limit)) = (wait, args.wait) else {
        let status = context::status(&mut client)?;
        return told(context, &accepted, &status);
    };
    let units = lanes(&before, &accepted.affected);
    let names = accepted.affected.join(", ");
    let title = format!("running {names}");
    let goal = Goal::Succeeded;
    let outcome = wait.until(
        &mut client,
        &units,
        goal,
        &Before::of(&before),
        limit,
        &title,
    )?;
    ended(context, &accepted, &outcome, asked_at, limit)
}

/// Units of these jobs.
fn lanes(status: &Status, jobs: &[String]) -> Vec<String> {
    let of = |daemon: &&DaemonView| jobs.iter().any(|job| job == daemon_of(&daemon.name));
    let daemons = status.daemons.iter().filter(of);
    daemons.map(|daemon| daemon.name.clone()).collect()
}

/// What is known at once.
fn told(context: &Context, accepted: &Accepted, status: &Status) -> Result<u8, Error> {
    // Nothing was brought about: that is not what was asked for.
    let exit = match accepted.affected.is_empty() {
        true => code::NOT_AS_ASKED,
        false => code::OK,
    };
    if context.common.json {
        context::print_json(&json!({ "accepted": accepted, "ok": exit == code::OK }))?;
        return Ok(exit);
    }
    let screen = context.screen();
    let mut text = String::new();
    for job in &accepted.affected {
        let lane = status
            .daemons
            .iter()
            .filter(|d| daemon_of(&d.name) == job)
            .max_by_key(|d| (d.run.is_some(), d.run.clone()));
        let now = lane.map(|d| match (&d.run, &d.reason) {
            (Some(run), _) => format!(" (run {})", short_run(run)),
            (None, Some(why)) => format!(" ({}: {why})", d.state),
            (None, None) => format!(" ({})", d.state),
        });
        text.push_str(&format!("triggered {job}{}\n", now.unwrap_or_default()));
    }
    text.push_str(&reply::asides(accepted, &screen));
    context::print(&text)?;
    Ok(exit)
}

/// What became of it.
fn ended(
    context: &Context,
    accepted: &Accepted,
    outcome: &Outcome,
    asked_at: Timestamp,
    limit: Duration,
) -> Result<u8, Error> {
    let exit = match accepted.affected.is_empty() {
        true => code::NOT_AS_ASKED,
        false => exit_code(outcome, limit),
    };
    if context.common.json {
        context::print_json(&json!({
            "accepted": accepted,
            "daemons": outcome.daemons,
            "settled": outcome.with(Verdict::Open).next().is_none(),
            "ok": exit == code::OK,
        }))?;
        return Ok(exit);
    }
    let screen = context.screen();
    let mut text = reply::asides(accepted, &screen);
    let mut told: Vec<&str> = Vec::new();
    for daemon in outcome.with(Verdict::Good) {
        let job = daemon_of(&daemon.name);
        if told.contains(&job) {
            continue;
        }
        told.push(job);
        let view = daemon.job.as_ref();
        let at = view.and_then(|job| job.last_success_at.as_deref());
        let took = at.and_then(time::parse).map(|at| {
            let ms = at.as_millisecond() - asked_at.as_millisecond();
            format!(" in {}", time::took(ms as f64 / 1000.0))
        });
        let glyph = Ink::Green.paint(screen.color, "✓");
        let took = took.unwrap_or_default();
        text.push_str(&format!("{glyph} {job} succeeded{took}\n"));
    }
    text.push_str(&trouble(context, outcome, &screen)?);
    context::print(&text)?;
    Ok(exit)
}
