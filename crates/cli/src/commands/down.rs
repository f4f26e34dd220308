//! `eud down`: stop the fleet, then the manager, and prove that nothing is left.

use std::time::Instant;

use eud_core::io::Accepted;
use eud_core::view::Status;
use serde_json::json;

use crate::args::DownArgs;
use crate::context::{self, Context};
use crate::error::{Error, code};
use crate::launch;
use crate::offline;
use crate::render::status::plural;
use crate::render::time;
use crate::settle::{Before, Goal, Wait};

/// `eud down`
///
/// # Errors
/// When daemons run without a manager, or the manager does not end.
pub(crate) fn run(context: &Context, args: &DownArgs) -> Result<u8, Error> {
    let layout = context.layout()?;
    let mut client = match context.client() {
        Ok(client) => client,
        Err(Error::NoManager { socket, .. }) => return without_manager(context, socket),
        Err(error) => return Err(error),
    };
    let began = Instant::now();
    let wait = Wait::begin(context)?;
    let before = context::status(&mut client)?;
    let params = json!({ "keep_daemons": args.keep_daemons });
    let accepted: Accepted = client.call("fleet.shutdown", &params)?;
    if !args.keep_daemons {
        // Units that were down already need not be watched, but the manager's end is always waited
        // for.
        let units: Vec<String> = running(&before);
        let title = format!("bringing down {}", before.fleet);
        wait.until(
            &mut client,
            &units,
            Goal::Down,
            &Before::of(&before),
            args.wait,
            &title,
        )?;
    }
    launch::until_gone(&layout, args.wait.saturating_sub(began.elapsed()))?;
    let left = offline::alive(&layout);
    let took = time::took(began.elapsed().as_secs_f64());
    tell(context, args, &before, &accepted, &left, &took)
}

fn running(status: &Status) -> Vec<String> {
    let alive = status
        .daemons
        .iter()
        .filter(|d| d.pid.is_some() || d.state.may_be_alive());
    alive.map(|d| d.name.clone()).collect()
}

fn tell(
    context: &Context,
    args: &DownArgs,
    before: &Status,
    accepted: &Accepted,
    left: &[String],
    took: &str,
) -> Result<u8, Error> {
    let exit = if left.is_empty() || args.keep_daemons {
        code::OK
    } else {
        code::NOT_AS_ASKED
    };
    if context.common.json {
        context::print_json(&json!({
            "accepted": accepted, "ok": exit == code::OK, "alive": left,
        }))?;
        return Ok(exit);
    }
    let stopped = running(before).len();
    let text = if args.keep_daemons {
        let word = plural(left.len(), "daemon goes", "daemons go");
        format!(
            "the manager has ended; {} {word} on unsupervised until `eud up`\n",
            left.len()
        )
    } else if left.is_empty() && stopped == 0 {
        "no daemon was running; the manager has ended\n".into()
    } else if left.is_empty() {
        let word = plural(stopped, "daemon", "daemons");
        format!("stopped {stopped} {word} and the manager in {took}\n")
    } else {
        format!(
            "the manager has ended, but these still run: {}\n",
            left.join(", ")
        )
    };
    context::print(&text)?;
    Ok(exit)
}

fn without_manager(context: &Context, socket: std::path::PathBuf) -> Result<u8, Error> {
    let left = offline::alive(&context.layout()?);
    if !left.is_empty() {
        let why = format!("{} run without one: {}", left.len(), left.join(", "));
        return Err(Error::NoManager {
            socket,
            why: Some(why),
        });
    }
    if context.common.json {
        context::print_json(&json!({ "ok": true, "alive": left }))?;
    } else {
        context::print("nothing runs here\n")?;
    }
    Ok(code::OK)
}
