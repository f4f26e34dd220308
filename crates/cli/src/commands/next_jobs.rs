//! `eud next` without an expression: when jobs run next.
//!
//! Invariants: nothing is written, and no manager is asked; what was never brought up is told as if
//! it were now.

use eud_core::fleet::{Daemon, Fleet, Kind};
use eud_core::io::Now;
use eud_core::record::{Book, Desired, Intent};
use eud_core::{coming, select};
use jiff::Timestamp;
use serde_json::json;

use super::next::TIMES;
use crate::args::NextArgs;
use crate::context::{self, Context};
use crate::error::Error;
use crate::render::next::{self, Coming};
use crate::render::{Screen, jobs};
use crate::selection;

/// What the journal knows.
#[derive(Debug, Default)]
struct Known {
    intents: Vec<Intent>,
    books: Vec<Book>,
    boot_id: String,
}

/// The next times of jobs.
///
/// # Errors
/// When the fleet file is invalid, or a name means no job.
pub(super) fn run(
    context: &Context,
    args: &NextArgs,
    after: Option<Timestamp>,
) -> Result<(), Error> {
    let fleet = super::check::load(context, &context.fleet_file()?)?;
    let chosen = chosen(&fleet, &args.names)?;
    let count = match (args.count, args.names.is_empty()) {
        (Some(count), _) => count,
        (None, true) => 1,
        (None, false) => TIMES,
    };
    let known = known(context);
    let screen = context.screen();
    let now = now(after.unwrap_or(screen.clock.now), screen.clock.now);
    let all: Vec<Coming> = chosen
        .iter()
        .map(|daemon| of_job(daemon, &known, now, count, &screen))
        .collect();
    if context.common.json {
        let jobs: Vec<_> = all.iter().map(Coming::to_json).collect();
        return context::print_json(&json!({ "jobs": jobs }));
    }
    context::print(&next::of_jobs(&all, &screen))
}

/// Jobs that are asked about.
fn chosen<'f>(fleet: &'f Fleet, names: &[String]) -> Result<Vec<&'f Daemon>, Error> {
    let is_job = |daemon: &&Daemon| daemon.kind == Kind::Job;
    if names.is_empty() {
        return Ok(fleet.daemons.values().filter(is_job).collect());
    }
    let chosen = select::expand(fleet, names).map_err(selection::unknown)?;
    let chosen: Vec<&Daemon> = chosen
        .iter()
        .filter_map(|name| fleet.daemons.get(name))
        .collect();
    let service = chosen.iter().find(|daemon| !is_job(daemon));
    match service {
        Some(daemon) if chosen.len() == 1 => Err(Error::Usage {
            what: format!("`{}` is a service: only jobs have times", daemon.name),
            help: "`eud next` lists the jobs".to_owned(),
        }),
        _ => Ok(chosen.into_iter().filter(is_job).collect()),
    }
}

fn known(context: &Context) -> Known {
    let layout = context.layout().ok();
    let journal = layout.and_then(|layout| {
        let reader = eud_store::Store::open_read_only(&layout.database()).ok()?;
        reader.recovery().ok()
    });
    let boot_id = eud_sys::process::boot_id().unwrap_or_default();
    match journal {
        Some(journal) => Known {
            intents: journal.intents,
            books: journal.books,
            boot_id,
        },
        None => Known {
            boot_id,
            ..Known::default()
        },
    }
}

/// `wall` as the time now: both clocks are moved alike.
fn now(wall: Timestamp, real: Timestamp) -> Now {
    let ahead = wall.as_millisecond() - real.as_millisecond();
    Now {
        mono_ms: eud_sys::clock::boot_ms().saturating_add_signed(ahead),
        wall_ms: wall.as_millisecond(),
    }
}

fn of_job(daemon: &Daemon, known: &Known, now: Now, count: usize, screen: &Screen) -> Coming {
    let book = known.books.iter().find(|book| book.job == daemon.name);
    let unit = daemon.units().into_iter().next().unwrap_or_default();
    let intent = known.intents.iter().find(|intent| intent.unit == unit);
    let (at_rest, book) = match (intent, book) {
        _ if !daemon.enabled => (Some("disabled".to_owned()), None),
        (
            Some(Intent {
                hold: Some(why), ..
            }),
            _,
        ) => (Some(format!("held: {why}")), None),
        (
            _,
            Some(Book {
                paused: Some(why), ..
            }),
        ) => (Some(format!("paused: {why}")), None),
        (Some(intent), _) if intent.desired == Desired::Down => {
            let start = format!("stopped; `eud start {}` arms it", daemon.name);
            (Some(start), None)
        }
        (_, book) => (None, book.filter(|book| book.armed_ms.is_some())),
    };
    let times = match (&daemon.job, &at_rest) {
        (Some(job), None) => coming(&daemon.name, job, book, &known.boot_id, now, count),
        _ => Vec::new(),
    };
    let times: Vec<Timestamp> = times
        .into_iter()
        .filter_map(|at| Timestamp::from_millisecond(at).ok())
        .collect();
    Coming {
        job: daemon.name.clone(),
        zone: jobs::zone_of(daemon).unwrap_or_else(|| screen.clock.zone.clone()),
        times,
        fired_by: jobs::fired_by(daemon),
        at_rest,
    }
}
