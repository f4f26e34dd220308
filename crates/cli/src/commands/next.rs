//! `eud next`: when an expression comes true, or when the jobs of the fleet run next.
//!
//! Invariants: no manager is needed: jobs are those of the fleet file, and what is known of them is
//! read from the journal if there is one; for an expression alone not even a fleet file.

use eud_core::schedule::{Refused, Schedule};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

use super::next_jobs;
use crate::args::NextArgs;
use crate::context::{self, Context};
use crate::error::Error;
use crate::render::next;

/// Times that are told when no number is asked for.
pub(super) const TIMES: usize = 10;

/// `eud next`
///
/// # Errors
/// When the expression or the zone cannot be understood; the part that is meant is marked.
pub(crate) fn run(context: &Context, args: &NextArgs) -> Result<(), Error> {
    let screen = context.screen();
    let after = match &args.after {
        Some(text) => Some(text.parse().map_err(|_| Error::Usage {
            what: format!("`{text}` is no time"),
            help: "a time is RFC 3339, as in 2026-11-23T14:00:00Z".to_owned(),
        })?),
        None => None,
    };
    if args.cron.is_none() && args.calendar.is_none() {
        if args.tz.is_some() {
            return Err(Error::Usage {
                what: "`--tz` is about an expression, and there is none".to_owned(),
                help: "give one by --cron or --calendar".to_owned(),
            });
        }
        return next_jobs::run(context, args, after);
    }
    let zone = match &args.tz {
        Some(name) => TimeZone::get(name).map_err(|_| Error::Usage {
            what: format!("there is no time zone `{name}`"),
            help: "zones are called as in Europe/Oslo, or UTC".to_owned(),
        })?,
        None => screen.clock.zone.clone(),
    };
    let (text, parsed) = match (&args.cron, &args.calendar) {
        (Some(text), _) => (text, Schedule::cron(text, zone)),
        (None, Some(text)) => (text, Schedule::calendar(text, zone)),
        // The command line does not allow it.
        (None, None) => return Ok(()),
    };
    let schedule = parsed.map_err(|refused| marked(text, &refused))?;
    let after = after.unwrap_or(screen.clock.now);
    let count = args.count.unwrap_or(TIMES);
    let times = times(&schedule, after, count);
    if context.common.json {
        let zone = schedule.zone();
        let rows: Vec<_> = times
            .iter()
            .map(|at| next::moment_json(*at, zone))
            .collect();
        return context::print_json(&json!({ "times": rows }));
    }
    context::print(&next::render(&times, schedule.zone(), &screen))
}

fn times(schedule: &Schedule, after: Timestamp, count: usize) -> Vec<Timestamp> {
    let mut times = Vec::new();
    let mut at = after;
    while times.len() < count
        && let Some(next) = schedule.after(at)
    {
        times.push(next);
        at = next;
    }
    times
}

/// The expression, and under it what is meant.
fn marked(text: &str, refused: &Refused) -> Error {
    let before = text.get(..refused.part.start).unwrap_or("");
    let part = text.get(refused.part.clone()).unwrap_or(text);
    let under = "^".repeat(part.chars().count().max(1));
    let indent = " ".repeat(before.chars().count());
    Error::Usage {
        what: format!("{}\n\n    {text}\n    {indent}{under}", refused.why),
        help: "the forms are in docs/schedules.md".to_owned(),
    }
}
