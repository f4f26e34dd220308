//! `eud runs`: how a daemon's runs ended.

use eud_core::record::{ExitClass, ExitRecord, RunRow};
use jiff::Timestamp;

use super::Screen;
use super::ink::Ink;
use super::layout::{Cell, Column, Table, one_line};
use super::status::exit_word;
use super::time;

/// A row for each run, as given.
pub(crate) fn render(runs: &[RunRow], screen: &Screen) -> String {
    let mut table = Table::new(vec![
        Column::left("RUN"),
        Column::left("STARTED"),
        Column::right("LASTED"),
        Column::left("EXIT"),
        Column::right("MAX RSS").or_short("RSS"),
        Column::right("CPU"),
        Column::left("CAUSE"),
    ]);
    for run in runs {
        table.row(row(run, screen));
    }
    table.render(screen.width, screen.color)
}

fn row(run: &RunRow, screen: &Screen) -> Vec<Cell> {
    let id = if screen.verbose {
        run.run.clone()
    } else {
        short_run(&run.run)
    };
    let exit = run.exit.as_ref();
    let started_ms = exit
        .map(|e| e.started_at_ms)
        .filter(|ms| *ms > 0)
        .unwrap_or(run.intent_at_ms);
    let started = Timestamp::from_millisecond(started_ms).unwrap_or_default();
    let started_text = match screen.verbose {
        true => screen.clock.absolute(started),
        false => screen.clock.moment(started),
    };
    let lasted = match exit {
        Some(exit) => lasted(exit),
        None => time::took(screen.clock.seconds_since(started)),
    };
    let (ink, word) = match exit {
        None => (Ink::Cyan, "running".to_owned()),
        Some(exit) => {
            let ink = match run.class {
                Some(ExitClass::Failure) => Ink::Red,
                Some(ExitClass::Alarm) => Ink::Yellow,
                Some(ExitClass::Success) => Ink::Green,
                Some(ExitClass::Stopped) | None => Ink::Plain,
            };
            (ink, exit_word(exit.reason, exit.code, exit.signal))
        }
    };
    let message = exit
        .and_then(|e| e.message.as_deref())
        .map(|m| format!(" ({})", one_line(m)));
    vec![
        Cell::plain(id),
        Cell::plain(started_text),
        Cell::plain(lasted),
        Cell::inked(ink, word),
        Cell::plain(exit.map_or("–".into(), |e| memory(e.max_rss_kb))),
        Cell::plain(exit.map_or("–".into(), cpu)),
        Cell::plain(format!(
            "{}{}",
            one_line(&run.cause),
            message.unwrap_or_default()
        )),
    ]
}

/// The first part of a run id: its time in milliseconds, which tells runs apart.
pub(crate) fn short_run(run: &str) -> String {
    run.chars().take(13).collect()
}

/// How long a run took.
pub(crate) fn lasted(exit: &ExitRecord) -> String {
    if exit.started_at_ms <= 0 {
        return "–".into();
    }
    time::took((exit.ended_at_ms - exit.started_at_ms) as f64 / 1000.0)
}

/// `–`, `850 kB`, `1.2 MB`, `3.4 GB`.
pub(crate) fn memory(kb: u64) -> String {
    match kb {
        0 => "–".into(),
        1..1_000 => format!("{kb} kB"),
        1_000..1_000_000 => format!("{:.1} MB", kb as f64 / 1e3),
        _ => format!("{:.1} GB", kb as f64 / 1e6),
    }
}

/// User and system time together.
pub(crate) fn cpu(exit: &ExitRecord) -> String {
    time::took((exit.cpu_user_us + exit.cpu_system_us) as f64 / 1e6)
}
