//! `eud status`

use std::time::{Duration, Instant};

use eud_api::client::{Client, Notice};
use eud_core::view::{DaemonView, Status, Summary};

use crate::args::StatusArgs;
use crate::context::{self, Context};
use crate::error::{Error, code};
use crate::offline;
use crate::render::status::{self, Extent};
use crate::selection;

/// Ages are drawn anew this often.
const REDRAW_EVERY: Duration = Duration::from_secs(1);
/// Bursts of changes are drawn together, this long apart.
const REDRAW_APART: Duration = Duration::from_millis(80);
/// How often a manager that has gone is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// `eud status`
///
/// # Errors
/// [`Error::NoManager`], after what is known without one; otherwise as the client's.
pub(crate) fn run(context: &Context, args: &StatusArgs) -> Result<u8, Error> {
    if args.watch {
        return watch(context, args);
    }
    match context.client() {
        Ok(mut client) => {
            let status = chosen(context, args, context::status(&mut client)?)?;
            if context.common.json {
                context::print_json(&status)?;
            } else {
                context::print(&shown(context, args, &status))?;
            }
            Ok(code::OK)
        }
        Err(error @ Error::NoManager { .. }) => {
            without_manager(context, args)?;
            Err(error)
        }
        Err(error) => Err(error),
    }
}

fn without_manager(context: &Context, args: &StatusArgs) -> Result<(), Error> {
    let layout = context.layout()?;
    let known = offline::status(&layout, context.fleet_file().ok().as_deref());
    if known.daemons.is_empty() && !context.common.json {
        return Ok(());
    }
    let known = chosen(context, args, known)?;
    if context.common.json {
        context::print_json(&known)
    } else {
        let args = StatusArgs {
            all: true,
            ..args.clone()
        };
        context::print(&shown(context, &args, &known))
    }
}

fn shown(context: &Context, args: &StatusArgs, status: &Status) -> String {
    let extent = match (args.which.is_empty(), args.all) {
        (false, _) => Extent::Rows,
        (true, true) => Extent::All,
        (true, false) => Extent::Screen,
    };
    if extent == Extent::Rows && status.daemons.is_empty() {
        return format!("no daemon is {}\n", args.which.join(", "));
    }
    status::render(status, &context.screen(), extent)
}

/// Keeps what was asked for; the summary then counts only that.
fn chosen(context: &Context, args: &StatusArgs, mut status: Status) -> Result<Status, Error> {
    if args.which.is_empty() {
        return Ok(status);
    }
    let is_name = |word: &String| status.daemons.iter().any(|d| d.name == *word);
    let (classes, names): (Vec<&String>, Vec<&String>) = args
        .which
        .iter()
        .partition(|word| !is_name(word) && status::class_of(word).is_some());
    let states: Vec<_> = classes
        .iter()
        .filter_map(|c| status::class_of(c))
        .flatten()
        .collect();
    let names: Vec<String> = names.into_iter().cloned().collect();
    let mut daemons: Vec<DaemonView> = if names.is_empty() {
        status.daemons.clone()
    } else {
        selection::views(context, &names, &status.daemons)?
            .into_iter()
            .cloned()
            .collect()
    };
    daemons.retain(|d| states.is_empty() || states.contains(&d.state));
    let mut summary = Summary {
        total: daemons.len(),
        ..Summary::default()
    };
    for state in eud_core::view::State::ALL {
        let count = daemons.iter().filter(|d| d.state == state).count();
        summary.counts.insert(state.as_str().to_owned(), count);
    }
    status.daemons = daemons;
    status.summary = summary;
    Ok(status)
}

/// Draws, and draws again on every change, until interrupted.
fn watch(context: &Context, args: &StatusArgs) -> Result<u8, Error> {
    let mut first = true;
    loop {
        match watch_one(context, args, &mut first) {
            Err(Error::NoManager { .. }) if !first || context.terminal => {
                let layout = context.layout()?;
                let known = offline::status(&layout, context.fleet_file().ok().as_deref());
                draw(context, args, &chosen(context, args, known)?, &mut first)?;
                std::thread::sleep(LOOK_EVERY);
            }
            Err(error) => return Err(error),
            Ok(()) => {}
        }
    }
}

/// Draws as long as one manager answers.
fn watch_one(context: &Context, args: &StatusArgs, first: &mut bool) -> Result<(), Error> {
    let mut client: Client = context.client()?;
    let mut notices = context.client()?;
    notices.subscribe()?;
    loop {
        let status = context::status(&mut client)?;
        draw(context, args, &chosen(context, args, status)?, first)?;
        let drawn = Instant::now();
        let mut until = drawn + REDRAW_EVERY;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            match notices.notice(left)? {
                Notice::Quiet => break,
                Notice::Lagged => return Ok(()),
                // Not asked for.
                Notice::Event(_) => {}
                Notice::Transition(_) => until = until.min(drawn + REDRAW_APART),
            }
        }
    }
}

fn draw(
    context: &Context,
    args: &StatusArgs,
    status: &Status,
    first: &mut bool,
) -> Result<(), Error> {
    if context.common.json {
        let line = serde_json::to_string(status).map_err(|e| Error::Internal(e.to_string()))?;
        return context::print(&format!("{line}\n"));
    }
    let text = shown(context, args, status);
    if !context.terminal {
        return context::print(&format!("{text}\n"));
    }
    // Each line is cleared to its end as it is written, so that nothing flickers.
    let height = context.screen().height.unwrap_or(usize::MAX);
    let lines: Vec<&str> = text.lines().take(height.saturating_sub(1)).collect();
    let begin = if *first { "\x1b[2J\x1b[H" } else { "\x1b[H" };
    *first = false;
    context::print(&format!("{begin}{}\x1b[K\n\x1b[J", lines.join("\x1b[K\n")))
}
