//! Tasks and pools: lists, counts, and how they ended.
//!
//! Invariants: what a task says of itself is shown on one line, without what would move the cursor;
//! no line is wider than the screen.

use std::collections::BTreeMap;

use eud_core::record::{TaskRow, TaskState, WallMs};
use eud_core::view::PoolView;
use eud_store::TaskCounts;
use jiff::Timestamp;
use serde_json::json;

use super::Screen;
use super::ink::Ink;
use super::layout::{Cell, Column, Table, cut_end, one_line};
use super::time::{self, Clock};

/// Hue of a state.
pub(super) fn ink_of(state: TaskState) -> Ink {
    match state {
        TaskState::Running => Ink::Cyan,
        TaskState::Queued => Ink::Plain,
        TaskState::Delayed => Ink::Blue,
        TaskState::Blocked => Ink::Yellow,
        TaskState::Succeeded => Ink::Green,
        TaskState::Failed | TaskState::TimedOut | TaskState::Lost => Ink::Red,
        TaskState::Cancelled => Ink::Dim,
    }
}

/// Glyph of a state, one column wide.
pub(super) fn glyph_of(state: TaskState) -> char {
    match state {
        TaskState::Running => '▶',
        TaskState::Queued => '·',
        TaskState::Delayed => '◷',
        TaskState::Blocked => '◔',
        TaskState::Succeeded => '✓',
        TaskState::Failed | TaskState::TimedOut => '✗',
        TaskState::Cancelled => '■',
        TaskState::Lost => '?',
    }
}

fn at(ms: WallMs) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or_default()
}

/// Since when it is what it is, as far as is known.
pub(super) fn since(row: &TaskRow) -> WallMs {
    let begun = row.started_ms.filter(|_| row.state == TaskState::Running);
    row.ended_ms.or(begun).unwrap_or(row.submitted_ms)
}

/// Why it is what it is, or what it is doing. `clock`: a time is said as people say it.
fn why(row: &TaskRow, clock: &Clock) -> String {
    let waits = row.state == TaskState::Delayed;
    let plain = row
        .reason
        .as_deref()
        .is_none_or(|why| why.starts_with("not before"));
    if let (true, true, Some(ms)) = (waits, plain, row.not_before_ms) {
        return format!("not before {}", clock.moment(at(ms)));
    }
    let progress = row.progress.text.as_ref();
    let words = match row.state {
        TaskState::Running => row.reason.as_ref().or(progress),
        TaskState::Succeeded => row.progress.result.as_ref(),
        _ => row.reason.as_ref(),
    };
    words.map(|words| one_line(words)).unwrap_or_default()
}

/// `eud task list`: a row for each, as given.
pub(crate) fn list(rows: &[TaskRow], screen: &Screen) -> String {
    let mut table = Table::new(vec![
        Column::right("ID"),
        Column::left("POOL").shrinking_to(8),
        Column::left("STATE"),
        Column::right("SINCE"),
        Column::right("TRIES").sparable(),
        Column::left("TASK").shrinking_to(14),
        Column::left("WHY"),
    ]);
    for row in rows {
        let state = format!("{} {}", glyph_of(row.state), row.state.as_str());
        let since = match screen.verbose {
            true => screen.clock.absolute(at(since(row))),
            false => screen.clock.age(at(since(row))),
        };
        table.row(vec![
            Cell::plain(row.id.to_string()),
            Cell::plain(&row.pool),
            Cell::inked(ink_of(row.state), state),
            Cell::plain(since),
            Cell::plain(row.attempts.to_string()),
            Cell::plain(one_line(&row.title)),
            Cell::plain(why(row, &screen.clock)),
        ]);
    }
    table.render(screen.width, screen.color)
}

/// `eud task wait`: a line for each that is over.
pub(crate) fn ended(rows: &[TaskRow], screen: &Screen) -> String {
    let mut text = String::new();
    for row in rows {
        let glyph = ink_of(row.state).paint(screen.color, &glyph_of(row.state).to_string());
        let took = row.started_ms.zip(row.ended_ms).map(|(started, ended)| {
            let seconds = ended.saturating_sub(started) as f64 / 1_000.0;
            format!(" in {}", time::took(seconds))
        });
        let took = took.filter(|_| row.state == TaskState::Succeeded);
        let why = why(row, &screen.clock);
        let state = row.state.as_str();
        let took = took.unwrap_or_default();
        let words = match why.strip_prefix(state) {
            // "cancelled by ada" says it already.
            Some(more) => format!("task {} {state}{took}{more}", row.id),
            None if why.is_empty() => format!("task {} {state}{took}", row.id),
            None => format!("task {} {state}{took}: {why}", row.id),
        };
        let words = cut_end(&words, screen.width.saturating_sub(2));
        text.push_str(&format!("{glyph} {words}\n"));
    }
    text
}

/// What a wait that ran out says.
pub(crate) fn still_open(rows: &[&TaskRow]) -> String {
    const SHOWN: usize = 5;
    let shown = rows.iter().take(SHOWN);
    let mut words: Vec<String> = shown
        .map(|row| format!("task {} is {}", row.id, row.state.as_str()))
        .collect();
    if rows.len() > SHOWN {
        words.push(format!("{} more", rows.len() - SHOWN));
    }
    words.join(", ")
}

/// Counts of one pool in the order of a summary.
fn counts(tasks: &BTreeMap<TaskState, u64>) -> Vec<String> {
    let shown = |count: u64| match count {
        0 => "–".to_owned(),
        count => count.to_string(),
    };
    let count = |state| tasks.get(&state).copied().unwrap_or_default();
    let mut cells: Vec<String> = TaskState::ALL.into_iter().map(count).map(shown).collect();
    cells.push(tasks.values().sum::<u64>().to_string());
    cells
}

/// `eud task stats`: a row for each pool, and one for all when there are several.
pub(crate) fn stats(all: &TaskCounts, screen: &Screen) -> String {
    let titles = [
        "RUN", "QUEUE", "DELAY", "BLOCK", "OK", "FAIL", "TIMEOUT", "CANCEL", "LOST", "TOTAL",
    ];
    let mut columns = vec![Column::left("POOL").shrinking_to(8)];
    columns.extend(titles.map(Column::right));
    // The last column is cut at its end: an empty one keeps the numbers whole.
    columns.push(Column::left(""));
    let mut table = Table::new(columns);
    let mut row = |name: &str, tasks: &BTreeMap<TaskState, u64>| {
        let mut cells = vec![Cell::plain(name)];
        cells.extend(counts(tasks).into_iter().map(Cell::plain));
        cells.push(Cell::plain(""));
        table.row(cells);
    };
    for (pool, tasks) in all {
        row(pool, tasks);
    }
    if all.len() > 1 {
        row("all", &total(all));
    }
    table.render(screen.width, screen.color)
}

fn total(all: &TaskCounts) -> BTreeMap<TaskState, u64> {
    let mut sum = BTreeMap::new();
    for (state, count) in all.values().flatten() {
        *sum.entry(*state).or_default() += count;
    }
    sum
}

/// Counts with every state, so that a program need not look whether one is there.
pub(crate) fn stats_json(all: &TaskCounts) -> serde_json::Value {
    let whole = |tasks: &BTreeMap<TaskState, u64>| {
        let count = |state: TaskState| tasks.get(&state).copied().unwrap_or_default();
        let mut counts: serde_json::Map<String, serde_json::Value> = TaskState::ALL
            .into_iter()
            .map(|state| (state.as_str().to_owned(), json!(count(state))))
            .collect();
        counts.insert("total".into(), json!(tasks.values().sum::<u64>()));
        counts
    };
    let pools: BTreeMap<&str, _> = all
        .iter()
        .map(|(pool, tasks)| (pool.as_str(), whole(tasks)))
        .collect();
    json!({ "pools": pools, "all": whole(&total(all)) })
}

/// `eud pool list`
pub(crate) fn pools(pools: &[PoolView], screen: &Screen) -> String {
    let mut table = Table::new(vec![
        Column::left("POOL").shrinking_to(12),
        Column::left("STATE"),
        Column::right("RUNNING"),
        Column::right("QUEUED"),
        Column::right("OLDEST"),
        Column::right("OVER"),
        Column::left("WHY"),
    ]);
    for pool in pools {
        let (ink, word) = match pool {
            _ if pool.paused => (Ink::Magenta, "‖ paused"),
            _ if pool.rests_until_ms.is_some() => (Ink::Yellow, "◷ rests"),
            _ => (Ink::Green, "● open"),
        };
        let count = |state| pool.tasks.get(&state).copied().unwrap_or_default();
        let running = count(TaskState::Running);
        let waiting = [TaskState::Queued, TaskState::Delayed, TaskState::Blocked];
        let queued: u64 = waiting.into_iter().map(count).sum();
        let over = pool.total.saturating_sub(running + queued);
        let oldest = pool.oldest_ms.map(|ms| screen.clock.age(at(ms)));
        table.row(vec![
            Cell::plain(&pool.name),
            Cell::inked(ink, word),
            Cell::plain(format!("{running}/{}", pool.concurrency)),
            Cell::plain(queued.to_string()),
            Cell::plain(oldest.unwrap_or_else(|| "–".to_owned())),
            Cell::plain(over.to_string()),
            Cell::plain(pool.waits.as_deref().map(one_line).unwrap_or_default()),
        ]);
    }
    table.render(screen.width, screen.color)
}
