//! `eud next`: when an expression comes true.
//!
//! Deliberately absent: a manager and a fleet file. The question is about the calendar alone.

use eud_core::schedule::{Refused, Schedule};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

use crate::args::NextArgs;
use crate::context::{self, Context};
use crate::error::Error;
use crate::render::next;

/// `eud next`
///
/// # Errors
/// When the expression or the zone cannot be understood; the part that is meant is marked.
pub(crate) fn run(context: &Context, args: &NextArgs) -> Result<(), Error> {
    let screen = context.screen();
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
    let after = match &args.after {
        Some(text) => text.parse().map_err(|_| Error::Usage {
            what: format!("`{text}` is no time"),
            help: "a time is RFC 3339, as in 2026-11-23T14:00:00Z".to_owned(),
        })?,
        None => screen.clock.now,
    };
    let times = times(&schedule, after, args.count);
    if context.common.json {
        let zone = schedule.zone();
        let rows: Vec<_> = times
            .iter()
            .map(|at| {
                let local = at.to_zoned(zone.clone());
                let local = local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
                json!({ "local": local, "utc": at.to_string() })
            })
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
