//! `eud up`: from a fleet file to a fleet that runs.
//!
//! Invariants: nothing is started or changed when the fleet file has an error.

use std::path::Path;
use std::time::Duration;

use eud_api::client::{Client, ClientError};
use eud_api::protocol::Info;
use eud_core::io::Accepted;
use eud_core::record::Desired;
use eud_core::view::{DaemonView, State, Status};
use jiff::Timestamp;
use serde_json::json;

use super::change::{Change, exit_code, trouble};
use crate::args::UpArgs;
use crate::context::{self, Context};
use crate::error::{Error, code};
use crate::launch;
use crate::render::reply::{self, Verb};
use crate::render::status::plural;
use crate::render::time;
use crate::settle::{Before, Goal, Outcome, Verdict, Wait};

/// `eud up`
///
/// # Errors
/// When the fleet file is invalid, the manager cannot start, or it refuses.
pub(crate) fn run(context: &Context, args: &UpArgs) -> Result<u8, Error> {
    let file = context.fleet_file()?;
    let fleet = super::check::load(context, &file)?;
    if let Some(profile) = &args.profile
        && !fleet.profiles.contains_key(profile)
    {
        return Err(super::check::unknown_profile(&fleet, profile));
    }
    if args.foreground {
        return super::manager::foreground(context, &file, args.profile.clone());
    }
    let asked_at = Timestamp::now();
    let (mut client, started) = connect_or_start(context, &file, args.profile.as_deref())?;
    let wait = Wait::begin(context)?;
    let before = Before::of(&context::status(&mut client)?);
    let mut accepted = if started {
        Accepted::default()
    } else {
        reload(context, &mut client, &file)?
    };
    let up: Accepted = client.call("fleet.up", &json!({ "profile": args.profile }))?;
    merge(&mut accepted, up);
    let units = wanted(&context::status(&mut client)?);
    let limit = args.wait.wait;
    let title = format!("bringing up {}", fleet.name);
    let outcome = wait.until(&mut client, &units, Goal::Running, &before, limit, &title)?;
    tell(context, &accepted, &outcome, asked_at, limit, started)
}

fn connect_or_start(
    context: &Context,
    file: &Path,
    profile: Option<&str>,
) -> Result<(Client, bool), Error> {
    let layout = context.layout()?;
    match answering(context)? {
        Some(client) => Ok((client, false)),
        None => {
            let client = launch::manager(&layout, file, profile)?;
            if !context.common.json {
                let pid = std::fs::read_to_string(layout.manager_pid()).unwrap_or_default();
                let pid = pid.trim();
                let pid = if pid.is_empty() {
                    String::new()
                } else {
                    format!(" (pid {pid})")
                };
                context::print(&format!("started the manager{pid}\n"))?;
            }
            Ok((client, true))
        }
    }
}

/// The manager, if it answers. One that was killed a moment ago may still be connected to.
fn answering(context: &Context) -> Result<Option<Client>, Error> {
    let mut client = match context.client() {
        Ok(client) => client,
        Err(Error::NoManager { why: None, .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    match client.call::<serde_json::Value>("ping", &json!({})) {
        Ok(_) => Ok(Some(client)),
        Err(ClientError::Closed { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Takes over what changed in the file since the manager read it.
fn reload(context: &Context, client: &mut Client, file: &Path) -> Result<Accepted, Error> {
    let info: Info = client.call("manager.info", &json!({}))?;
    if Path::new(&info.fleet_file) != file {
        return Err(Error::Usage {
            what: format!(
                "the manager here runs another fleet file: {}",
                info.fleet_file
            ),
            help: "`eud down` it first, or give this fleet a state of its own with --state".into(),
        });
    }
    let accepted: Accepted = client.call("fleet.reload", &json!({}))?;
    if !context.common.json {
        context::print(&reply::reloaded(&accepted, &context.screen()))?;
    }
    Ok(accepted)
}

fn merge(accepted: &mut Accepted, up: Accepted) {
    for unit in up.affected {
        if !accepted.affected.contains(&unit) {
            accepted.affected.push(unit);
        }
    }
    accepted.unchanged = up.unchanged;
    accepted.warnings.extend(up.warnings);
    accepted.warnings.dedup();
}

/// Units to wait for: all that are wanted. The fleet as a whole was asked for, not only what had to
/// change.
fn wanted(status: &Status) -> Vec<String> {
    let wanted = status.daemons.iter().filter(|d| d.desired == Desired::Up);
    wanted.map(|d| d.name.clone()).collect()
}

fn tell(
    context: &Context,
    accepted: &Accepted,
    outcome: &Outcome,
    asked_at: Timestamp,
    limit: Duration,
    started: bool,
) -> Result<u8, Error> {
    let exit = exit_code(outcome, limit);
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
    let mut text = String::new();
    for warning in &accepted.warnings {
        text.push_str(&format!("warning: {warning}\n"));
    }
    let left: Vec<_> = accepted
        .unchanged
        .iter()
        .filter(|(_, why)| !why.starts_with("already"))
        .map(|(unit, why)| format!("{unit}: {why}"))
        .collect();
    for line in &left {
        text.push_str(&format!("· {line}\n"));
    }
    if !limit.is_zero() {
        text.push_str(&trouble(context, outcome, &screen)?);
    }
    let good = outcome.with(Verdict::Good).count();
    let total = outcome.daemons.len();
    let took =
        time::took((Timestamp::now().as_millisecond() - asked_at.as_millisecond()) as f64 / 1e3);
    let word = plural(total, "daemon", "daemons");
    let idle = !started && accepted.affected.is_empty() && accepted.restarted.is_empty();
    let kept = if started {
        taken_back(outcome, asked_at)
    } else {
        0
    };
    if kept > 0 {
        text.push_str(&format!(
            "took back {kept} running {}\n",
            plural(kept, "daemon", "daemons")
        ));
    }
    text.push_str(&if idle && good == total {
        format!("{total} {word} up already; nothing to do\n")
    } else if good == total {
        format!("{total} {word} up in {took}{}\n", scheduled(outcome))
    } else if limit.is_zero() {
        format!("{total} {word} on the way; `eud status --watch` shows it\n")
    } else {
        format!("{good} of {total} {word} up after {took}\n")
    });
    context::print(&text)?;
    Ok(exit)
}

/// `, 3 scheduled`, if there are jobs that wait for their time.
fn scheduled(outcome: &Outcome) -> String {
    let good = outcome.with(Verdict::Good);
    let scheduled = good.filter(|d| d.state == State::Scheduled);
    match scheduled.count() {
        0 => String::new(),
        n => format!(", {n} scheduled"),
    }
}

/// Daemons that run since before the manager was started.
fn taken_back(outcome: &Outcome, asked_at: Timestamp) -> usize {
    let started = |d: &&DaemonView| d.started_at.as_deref().and_then(time::parse);
    let before = |d: &&DaemonView| d.pid.is_some() && started(d).is_some_and(|at| at < asked_at);
    outcome.daemons.iter().filter(before).count()
}

/// `eud reload`
///
/// # Errors
/// When the fleet file is invalid or no manager runs.
pub(crate) fn reload_command(context: &Context, limit: Duration) -> Result<u8, Error> {
    let mut client = context.client()?;
    let info: Info = client.call("manager.info", &json!({}))?;
    // Here first, because here the diagnostics fit the terminal; the manager checks again.
    super::check::load(context, Path::new(&info.fleet_file))?;
    let wait = Wait::begin(context)?;
    let before = Before::of(&context::status(&mut client)?);
    let asked_at = Timestamp::now();
    let accepted: Accepted = client.call("fleet.reload", &json!({}))?;
    let screen = context.screen();
    if !context.common.json {
        let changes = reply::reloaded(&accepted, &screen);
        let none = changes.is_empty();
        context::print(if none {
            "nothing changed that a daemon would notice\n"
        } else {
            &changes
        })?;
    }
    let status = context::status(&mut client)?;
    let wanted = |unit: &String| {
        status
            .daemons
            .iter()
            .any(|d| d.name == *unit && d.desired == Desired::Up)
    };
    let restarted = accepted.restarted.iter().map(|(unit, _)| unit);
    let units: Vec<String> = accepted
        .affected
        .iter()
        .chain(restarted)
        .filter(|u| wanted(u))
        .cloned()
        .collect();
    let outcome = wait.until(
        &mut client,
        &units,
        Goal::Running,
        &before,
        limit,
        "reloading",
    )?;
    let change = Change {
        method: "fleet.reload",
        params: json!({}),
        verb: Verb::Restart,
        goal: Goal::Running,
        limit,
        title: "reloading",
    };
    super::change::tell(context, &change, &accepted, &outcome, asked_at)
}
