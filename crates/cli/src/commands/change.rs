//! `start`, `stop`, `restart`, `hold`, `release`: change some daemons and say what happened.

use std::collections::BTreeSet;
use std::time::Duration;

use eud_api::client::Client;
use eud_core::io::Accepted;
use eud_core::view::DaemonView;
use eud_manager::Layout;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::args::{ChangeArgs, HoldArgs, KillArgs};
use crate::context::{self, Context};
use crate::error::{Error, code};
use crate::logs;
use crate::render::reply::Verb;
use crate::render::{Screen, reply, time};
use crate::settle::{Before, Goal, Outcome, Verdict, Wait};

/// Log lines shown of a unit that is not as asked.
const LOG_LINES: usize = 5;
/// Units told one by one; more are counted.
const TOLD_MAX: usize = 20;

/// A command that changes units and waits for them.
#[derive(Debug)]
pub(crate) struct Change<'a> {
    /// Method of the control socket.
    pub(crate) method: &'static str,
    /// Its parameters.
    pub(crate) params: Value,
    /// What is said of the units.
    pub(crate) verb: Verb,
    /// What they shall become.
    pub(crate) goal: Goal,
    /// How long to wait for that.
    pub(crate) limit: Duration,
    /// What is said while waiting.
    pub(crate) title: &'a str,
}

/// `eud start`
///
/// # Errors
/// As the client's.
pub(crate) fn start(context: &Context, args: &ChangeArgs) -> Result<u8, Error> {
    simple(
        context,
        args,
        "daemon.start",
        Verb::Start,
        Goal::Running,
        "starting",
    )
}

/// `eud restart`
///
/// # Errors
/// As the client's.
pub(crate) fn restart(context: &Context, args: &ChangeArgs) -> Result<u8, Error> {
    simple(
        context,
        args,
        "daemon.restart",
        Verb::Restart,
        Goal::Running,
        "restarting",
    )
}

/// `eud stop`
///
/// # Errors
/// As the client's.
pub(crate) fn stop(context: &Context, args: &ChangeArgs) -> Result<u8, Error> {
    simple(
        context,
        args,
        "daemon.stop",
        Verb::Stop,
        Goal::Down,
        "stopping",
    )
}

fn simple(
    context: &Context,
    args: &ChangeArgs,
    method: &'static str,
    verb: Verb,
    goal: Goal,
    title: &str,
) -> Result<u8, Error> {
    let params = json!({ "names": args.names });
    run(
        context,
        &Change {
            method,
            params,
            verb,
            goal,
            limit: args.wait.wait,
            title,
        },
    )
}

/// `eud hold`
///
/// # Errors
/// As the client's.
pub(crate) fn hold(context: &Context, args: &HoldArgs) -> Result<u8, Error> {
    let params = json!({ "names": args.names, "reason": args.reason });
    let (verb, goal, limit) = (Verb::Hold, Goal::Down, args.wait.wait);
    run(
        context,
        &Change {
            method: "daemon.hold",
            params,
            verb,
            goal,
            limit,
            title: "holding",
        },
    )
}

/// `eud release`. What becomes of the daemons then is the profile's business: it is told, not
/// judged.
///
/// # Errors
/// As the client's.
pub(crate) fn release(context: &Context, args: &ChangeArgs) -> Result<u8, Error> {
    let mut client = context.client()?;
    let params = json!({ "names": args.names });
    let accepted: Accepted = client.call("daemon.release", &params)?;
    if context.common.json {
        context::print_json(&json!({ "accepted": accepted }))?;
        return Ok(code::OK);
    }
    let status = context::status(&mut client)?;
    let mut text = String::new();
    for daemon in status
        .daemons
        .iter()
        .filter(|d| accepted.affected.contains(&d.name))
    {
        text.push_str(&format!(
            "released {} (now {})\n",
            daemon.name, daemon.state
        ));
    }
    text.push_str(&reply::asides(&accepted, &context.screen()));
    context::print(&text)?;
    Ok(code::OK)
}

/// `eud kill`
///
/// # Errors
/// As the client's.
pub(crate) fn kill(context: &Context, args: &KillArgs) -> Result<u8, Error> {
    if eud_sys::signal::Signal::parse(&args.signal).is_none() {
        return Err(Error::Usage {
            what: format!("there is no signal `{}`", args.signal),
            help: "names as in `kill -l`: HUP, USR1, TERM; the signal comes before the names"
                .into(),
        });
    }
    let mut client = context.client()?;
    // Before, because the signal may end the process.
    let status = context::status(&mut client)?;
    let params = json!({ "names": args.names, "signal": args.signal });
    let accepted: Accepted = client.call("daemon.signal", &params)?;
    if context.common.json {
        context::print_json(&json!({ "accepted": accepted }))?;
        return Ok(code::OK);
    }
    let signal = args.signal.to_uppercase();
    let signal = signal.strip_prefix("SIG").unwrap_or(&signal);
    let mut text = String::new();
    for unit in &accepted.affected {
        let pid = status
            .daemons
            .iter()
            .find(|d| d.name == *unit)
            .and_then(|d| d.pid);
        let pid = pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
        text.push_str(&format!("sent SIG{signal} to {unit}{pid}\n"));
    }
    text.push_str(&reply::asides(&accepted, &context.screen()));
    context::print(&text)?;
    Ok(code::OK)
}

/// Gives the command, waits, tells.
///
/// # Errors
/// As the client's.
pub(crate) fn run(context: &Context, change: &Change<'_>) -> Result<u8, Error> {
    let wait = Wait::begin(context)?;
    let mut client = context.client()?;
    let before = Before::of(&context::status(&mut client)?);
    let asked_at = Timestamp::now();
    let accepted: Accepted = client.call(change.method, &change.params)?;
    let done = finish(context, &mut client, wait, &accepted, &before, change)?;
    tell(context, change, &accepted, &done, asked_at)
}

fn finish(
    context: &Context,
    client: &mut Client,
    wait: Wait<'_>,
    accepted: &Accepted,
    before: &Before,
    change: &Change<'_>,
) -> Result<Outcome, Error> {
    if !context.live() && !context.common.json {
        context::print(&reply::asides(accepted, &context.screen()))?;
    }
    let units: Vec<String> = accepted
        .affected
        .iter()
        .chain(accepted.restarted.iter().map(|(unit, _)| unit))
        .cloned()
        .collect();
    wait.until(
        client,
        &units,
        change.goal,
        before,
        change.limit,
        change.title,
    )
}

/// Says what became of each unit and gives the exit code.
///
/// # Errors
/// When the output cannot be written.
pub(crate) fn tell(
    context: &Context,
    change: &Change<'_>,
    accepted: &Accepted,
    outcome: &Outcome,
    asked_at: Timestamp,
) -> Result<u8, Error> {
    let exit = exit_code(outcome, change.limit);
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
    if context.live() {
        text.push_str(&reply::asides(accepted, &screen));
    }
    let good: Vec<_> = outcome.with(Verdict::Good).collect();
    if good.len() > TOLD_MAX {
        text.push_str(&format!("{} {} daemons\n", past(change.verb), good.len()));
    } else {
        for daemon in good {
            text.push_str(&reply::done(change.verb, daemon, asked_at, &screen));
        }
    }
    if !change.limit.is_zero() {
        text.push_str(&trouble(context, outcome, &screen)?);
    }
    context::print(&text)?;
    Ok(exit)
}

fn past(verb: Verb) -> &'static str {
    match verb {
        Verb::Start => "started",
        Verb::Restart => "restarted",
        Verb::Stop => "stopped",
        Verb::Hold => "held",
    }
}

/// What is not as asked: reasons, logs and next commands of the causes; names of what they hold up.
///
/// # Errors
/// When the state directory is not known.
pub(crate) fn trouble(
    context: &Context,
    outcome: &Outcome,
    screen: &Screen,
) -> Result<String, Error> {
    let layout = context.layout()?;
    let mut wrong: Vec<_> = outcome.with(Verdict::Bad).collect();
    wrong.extend(outcome.with(Verdict::Open));
    let names: BTreeSet<&str> = wrong.iter().map(|d| d.name.as_str()).collect();
    let held_up = |d: &&DaemonView| d.blocked_on.iter().any(|on| names.contains(on.as_str()));
    let (behind, causes): (Vec<&DaemonView>, Vec<_>) = wrong.iter().copied().partition(held_up);
    let mut text = String::new();
    for daemon in &causes {
        text.push_str(&reply::failed(daemon, &last_log(&layout, daemon), screen));
    }
    text.push_str(&reply::held_up(&behind, screen));
    Ok(text)
}

/// The last lines of a unit's log, of its present run if it has one; repetitions are counted.
fn last_log(layout: &Layout, daemon: &DaemonView) -> Vec<String> {
    let since = daemon
        .started_at
        .as_deref()
        .and_then(time::parse)
        .map(|at| at.as_nanosecond());
    let lines = logs::last_lines(&layout.logs(&daemon.name), LOG_LINES);
    let own = lines
        .iter()
        .filter(|l| since.is_none_or(|since| i128::from(l.at_ns) >= since));
    let mut told: Vec<(String, usize)> = Vec::new();
    for line in own {
        let text = String::from_utf8_lossy(&line.text).into_owned();
        match told.last_mut() {
            Some((last, times)) if *last == text => *times += 1,
            _ => told.push((text, 1)),
        }
    }
    let shown = told.into_iter().map(|(text, times)| match times {
        1 => text,
        n => format!("{text}   (×{n})"),
    });
    shown.collect()
}

/// 1 when something is not as asked, 4 when the manager ended before it was, 6 when only time ran
/// out, else 0. Not waiting is not running out.
pub(crate) fn exit_code(outcome: &Outcome, limit: Duration) -> u8 {
    let any = |verdict| !limit.is_zero() && outcome.with(verdict).next().is_some();
    if any(Verdict::Bad) {
        code::NOT_AS_ASKED
    } else if any(Verdict::Open) && outcome.manager_gone {
        code::NO_MANAGER
    } else if any(Verdict::Open) {
        code::TIMED_OUT
    } else {
        code::OK
    }
}
