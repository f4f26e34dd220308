//! `eud status`: is my fleet well, and if not, why?
//!
//! Purpose: one screen. A headline whose counts sum, a bar of the same parts, causes in words,
//! trouble first, the healthy folded.
//! Invariants: every unit is counted exactly once in the headline, in the bar and in the groups; no
//! line is wider than the screen.
//! Deliberately absent: any judgement of its own on what a unit is; that is the core's.

use std::collections::BTreeMap;

use eud_core::record::EndReason;
use eud_core::view::{DaemonView, JobView, LastExit, State, Status};

use super::causes::{self, Cause};
use super::ink::{Ink, glyph_of, ink_of};
use super::layout::{Cell, Column, Table, cut_end, cut_middle, one_line, width};
use super::time::{self, parse};
use super::{Screen, gauges};

/// A fleet of up to this many units is shown unit by unit.
const UNFOLDED_MAX: usize = 20;
/// Rows of trouble that are shown at least, however low the screen.
const TROUBLE_ROWS_MIN: usize = 4;
/// Rows of a screen whose height is not known.
const HEIGHT: usize = 24;
/// Causes that are told.
const CAUSES_MAX: usize = 3;
/// Between two counts.
const SEPARATOR: &str = " · ";
/// The bar is no wider than this, in columns.
const BAR_MAX: usize = 98;

/// How much to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// The screen that answers the question.
    Screen,
    /// The same, with every unit.
    All,
    /// Only a table of the units given.
    Rows,
}

/// What the headline counts; several states can be one class, none is in two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Class {
    label: &'static str,
    states: &'static [State],
    bar: char,
}

/// Every state is in exactly one class. In the order of the headline.
const CLASSES: &[Class] = &[
    Class {
        label: "ready",
        states: &[State::Ready],
        bar: '█',
    },
    Class {
        label: "up",
        states: &[State::Up],
        bar: '█',
    },
    Class {
        label: "running",
        states: &[State::Running],
        bar: '█',
    },
    Class {
        label: "scheduled",
        states: &[State::Scheduled],
        bar: '▆',
    },
    Class {
        label: "starting",
        states: &[State::Starting],
        bar: '▓',
    },
    Class {
        label: "waiting",
        states: &[State::Waiting],
        bar: '▓',
    },
    Class {
        label: "stopping",
        states: &[State::Stopping],
        bar: '▓',
    },
    Class {
        label: "done",
        states: &[State::Done],
        bar: '░',
    },
    Class {
        label: "stopped",
        states: &[State::Stopped],
        bar: '░',
    },
    Class {
        label: "held",
        states: &[State::Held],
        bar: '▒',
    },
    Class {
        label: "paused",
        states: &[State::Paused],
        bar: '▒',
    },
    Class {
        label: "degraded",
        states: &[State::Degraded],
        bar: '▚',
    },
    Class {
        label: "unknown",
        states: &[State::Unknown],
        bar: '▚',
    },
    Class {
        label: "overdue",
        states: &[State::Overdue],
        bar: '▚',
    },
    Class {
        label: "failing",
        states: &[State::Failed, State::Backoff, State::CoolDown],
        bar: '▚',
    },
];

impl Class {
    fn ink(&self) -> Ink {
        ink_of(self.states[0])
    }

    fn count(&self, daemons: &[&DaemonView]) -> usize {
        daemons
            .iter()
            .filter(|d| self.states.contains(&d.state))
            .count()
    }
}

/// The states of a class by its name, or the state of that name; `failing` is all trouble and
/// `well` the rest.
pub(crate) fn class_of(word: &str) -> Option<Vec<State>> {
    let all = || State::ALL.into_iter();
    match word {
        "failing" | "trouble" => Some(all().filter(|s| s.is_trouble()).collect()),
        "well" | "healthy" => Some(all().filter(|s| !s.is_trouble()).collect()),
        _ => all().find(|s| s.as_str() == word).map(|s| vec![s]),
    }
}

/// The whole screen.
pub(crate) fn render(status: &Status, screen: &Screen, extent: Extent) -> String {
    let daemons: Vec<&DaemonView> = status.daemons.iter().collect();
    if extent == Extent::Rows {
        return rows(&daemons, screen, "DAEMON");
    }
    let mut text = headline(status, &daemons, screen);
    if daemons.is_empty() {
        text.push_str("\n no daemons yet: declare one in the fleet file, then `eud reload`\n");
        return text;
    }
    text.push_str(&bar(&daemons, screen));
    for problem in &status.problems {
        let line = cut_end(
            &format!("! {}", one_line(problem)),
            screen.width.saturating_sub(1),
        );
        text.push_str(&format!(" {}\n", Ink::Red.paint(screen.color, &line)));
    }
    let causes = causes::find(&daemons);
    text.push_str(&cause_lines(&causes, &daemons, screen));
    text.push('\n');
    let mut sorted = daemons.clone();
    sorted.sort_by_key(|d| (rank(&causes, d), urgency(d.state), d.name.clone()));
    if extent == Extent::All || daemons.len() <= UNFOLDED_MAX {
        text.push_str(&rows(&sorted, screen, "DAEMON"));
        text.push_str(&gauges::footer(status, screen));
    } else {
        let mut groups = groups(&daemons, screen);
        groups.push_str(&gauges::footer(status, screen));
        let height = screen.height.unwrap_or(HEIGHT);
        // The table's heading, the empty line after it, and the prompt take a row each.
        let others = text.lines().count() + groups.lines().count() + 3;
        let room = height.saturating_sub(others).max(TROUBLE_ROWS_MIN);
        text.push_str(&trouble(&sorted, screen, room));
        text.push_str(&groups);
    }
    text
}

/// Name, total, counts that sum to it, and the manager's uptime.
fn headline(status: &Status, daemons: &[&DaemonView], screen: &Screen) -> String {
    let total = format!(
        "{} {}",
        daemons.len(),
        plural(daemons.len(), "daemon", "daemons")
    );
    let uptime = status
        .manager
        .as_ref()
        .and_then(|m| parse(&m.started_at))
        .map(|at| format!("up {}", time::span(screen.clock.seconds_since(at))))
        .unwrap_or_default();
    let (plain, painted) = counts(daemons, screen.color);
    let room = screen.width.saturating_sub(1);
    let name = cut_middle(
        &status.fleet,
        room.saturating_sub(width(&total) + 16).max(8),
    );
    let lead = width(&name) + 3 + width(&total);
    let shown_name = Ink::Bold.paint(screen.color, &name);
    let shown_up = Ink::Dim.paint(screen.color, &uptime);
    let gap = |used: usize| " ".repeat(room.saturating_sub(used + width(&uptime)).max(3));
    let one_line = 1 + lead + 3 + width(&plain) + 3 + width(&uptime) <= room;
    let mut text = format!(" {shown_name}   {total}");
    if one_line && !plain.is_empty() {
        text.push_str(&format!("   {painted}"));
        if !uptime.is_empty() {
            text.push_str(&format!("{}{shown_up}", gap(1 + lead + 3 + width(&plain))));
        }
    } else {
        if !uptime.is_empty() {
            text.push_str(&format!("{}{shown_up}", gap(1 + lead)));
        }
        if !plain.is_empty() {
            for line in count_lines(daemons, screen.color, room) {
                text.push_str(&format!("\n {line}"));
            }
        }
    }
    text.push('\n');
    text
}

/// `47 ready · 20 failing`, plain and painted.
fn counts(daemons: &[&DaemonView], color: bool) -> (String, String) {
    let parts = count_parts(daemons);
    let plain: Vec<&str> = parts.iter().map(|(_, text)| text.as_str()).collect();
    let painted: Vec<String> = parts
        .iter()
        .map(|(ink, text)| ink.paint(color, text))
        .collect();
    (plain.join(SEPARATOR), painted.join(SEPARATOR))
}

/// The counts in as many lines as they need: none is ever left out, for they sum.
fn count_lines(daemons: &[&DaemonView], color: bool, room: usize) -> Vec<String> {
    let (mut lines, mut used) = (vec![String::new()], 0);
    for (ink, text) in count_parts(daemons) {
        if used > 0 && used + width(SEPARATOR) + width(&text) > room {
            lines.push(String::new());
            used = 0;
        }
        if let Some(line) = lines.last_mut() {
            if used > 0 {
                line.push_str(SEPARATOR);
                used += width(SEPARATOR);
            }
            line.push_str(&ink.paint(color, &text));
            used += width(&text);
        }
    }
    lines
}

fn count_parts(daemons: &[&DaemonView]) -> Vec<(Ink, String)> {
    CLASSES
        .iter()
        .map(|class| (class, class.count(daemons)))
        .filter(|(_, count)| *count > 0)
        .map(|(class, count)| (class.ink(), format!("{count} {}", class.label)))
        .collect()
}

/// Parts of the headline as lengths. Every class that is there has at least one column.
fn bar(daemons: &[&DaemonView], screen: &Screen) -> String {
    let room = screen.width.saturating_sub(2).min(BAR_MAX);
    let counts: Vec<usize> = CLASSES.iter().map(|class| class.count(daemons)).collect();
    let mut text = String::from(" ");
    for (class, cells) in CLASSES.iter().zip(shares(&counts, room)) {
        let part: String = std::iter::repeat_n(class.bar, cells).collect();
        text.push_str(&class.ink().paint(screen.color, &part));
    }
    text.push('\n');
    text
}

/// Splits `room` cells in proportion to `counts`: none that counts is without a cell, and they sum
/// to `room`.
fn shares(counts: &[usize], room: usize) -> Vec<usize> {
    let total: usize = counts.iter().sum();
    let present = counts.iter().filter(|c| **c > 0).count();
    if total == 0 || room < present {
        return vec![0; counts.len()];
    }
    let free = room - present;
    let mut cells: Vec<usize> = counts
        .iter()
        .map(|c| if *c == 0 { 0 } else { 1 + free * c / total })
        .collect();
    let mut order: Vec<usize> = (0..counts.len()).filter(|at| counts[*at] > 0).collect();
    order.sort_by_key(|at| std::cmp::Reverse(free * counts[*at] % total));
    let missing = room - cells.iter().sum::<usize>();
    for at in order.into_iter().cycle().take(missing) {
        cells[at] += 1;
    }
    cells
}

/// `1 cause explains 6 of 20 in trouble:  vault (backoff 41m) → rag-drain → …`
fn cause_lines(causes: &[Cause], daemons: &[&DaemonView], screen: &Screen) -> String {
    if causes.is_empty() {
        return String::new();
    }
    let unwell = daemons
        .iter()
        .filter(|d| causes::is_unwell(d, causes))
        .count();
    let mut explained: Vec<&str> = causes.iter().flat_map(Cause::units).collect();
    explained.sort_unstable();
    explained.dedup();
    let verb = if causes.len() == 1 {
        "cause explains"
    } else {
        "causes explain"
    };
    let lead = format!(
        "{} {verb} {} of {unwell} in trouble:",
        causes.len(),
        explained.len()
    );
    let room = screen.width.saturating_sub(1);
    let told = |cause: &Cause| {
        let root = daemons.iter().find(|d| d.name == cause.root);
        let age = root.and_then(|d| d.since.as_deref()).and_then(parse);
        let since = age
            .map(|at| format!(" {}", screen.clock.age(at)))
            .unwrap_or_default();
        let state = root.map(|d| d.state.as_str()).unwrap_or_default();
        let levels: Vec<String> = cause.levels.iter().map(|names| names.join(", ")).collect();
        format!("{} ({state}{since}) → {}", cause.root, levels.join(" → "))
    };
    let first = format!("{lead}  {}", told(&causes[0]));
    let mut lines = Vec::new();
    if causes.len() == 1 && width(&first) <= room {
        lines.push(first);
    } else {
        lines.push(lead);
        let shown = causes.iter().take(CAUSES_MAX);
        lines.extend(shown.map(|c| cut_end(&format!("  {}", told(c)), room)));
        if causes.len() > CAUSES_MAX {
            lines.push(format!("  …{} more causes", causes.len() - CAUSES_MAX));
        }
    }
    lines
        .iter()
        .map(|line| format!(" {}\n", cut_end(line, room)))
        .collect()
}

/// Order of rows: the smaller, the sooner a person should see it.
fn urgency(state: State) -> u8 {
    match state {
        State::Failed => 0,
        State::CoolDown | State::Backoff => 1,
        State::Overdue => 2,
        State::Unknown => 3,
        State::Degraded => 4,
        State::Stopping | State::Starting | State::Waiting => 5,
        State::Paused => 6,
        State::Held => 7,
        State::Running => 8,
        State::Scheduled => 10,
        _ => 9,
    }
}

/// Causes first, each with what it explains, then what nothing explains.
fn rank(causes: &[Cause], daemon: &DaemonView) -> (usize, usize) {
    let of = causes
        .iter()
        .position(|c| c.units().any(|unit| unit == daemon.name));
    let Some(cause) = of.filter(|_| daemon.state.is_trouble() || daemon.state == State::Waiting)
    else {
        let own = causes.iter().position(|c| c.root == daemon.name);
        return (own.unwrap_or(causes.len()), 0);
    };
    let depth = causes[cause].units().position(|unit| unit == daemon.name);
    (cause, depth.unwrap_or(0))
}

/// The table of what is wrong.
fn trouble(sorted: &[&DaemonView], screen: &Screen, room: usize) -> String {
    let wrong: Vec<&DaemonView> = sorted
        .iter()
        .copied()
        .filter(|d| d.state.is_trouble())
        .collect();
    if wrong.is_empty() {
        return String::new();
    }
    let soft =
        |d: &&DaemonView| matches!(d.state, State::Degraded | State::Unknown | State::Overdue);
    let title = if wrong.iter().any(soft) {
        "TROUBLE"
    } else {
        "FAILING"
    };
    let shown = if wrong.len() > room {
        room - 1
    } else {
        wrong.len()
    };
    let mut text = rows(&wrong[..shown], screen, title);
    if shown < wrong.len() {
        let more = format!("…{} more", wrong.len() - shown);
        text.push_str(&format!(
            " {}\n",
            Ink::Dim.paint(screen.color, &format!("{more:<18}  eud status failing"),)
        ));
    }
    text.push('\n');
    text
}

/// A row for each unit.
fn rows(daemons: &[&DaemonView], screen: &Screen, title: &'static str) -> String {
    // A column in which nobody has anything takes room from the words.
    let restarted = daemons.iter().any(|d| d.restarts > 0);
    let exited = daemons.iter().any(|d| d.last_exit.is_some());
    let mut columns = vec![
        Column::left(title).shrinking_to(14),
        Column::left("STATE"),
        Column::right("SINCE"),
    ];
    if restarted {
        columns.push(Column::right("RESTARTS").or_short("RST").sparable());
    }
    if exited {
        columns.push(Column::left("LAST EXIT").sparable());
    }
    columns.push(Column::left("WHY"));
    let mut table = Table::new(columns);
    for daemon in daemons {
        let since = daemon.since.as_deref().and_then(parse);
        let since = since.map_or("–".into(), |at| {
            if screen.verbose {
                screen.clock.time_of_day(at)
            } else {
                screen.clock.age(at)
            }
        });
        let state = format!("{} {}", glyph_of(daemon.state), daemon.state);
        let mut cells = vec![
            Cell::plain(&daemon.name),
            Cell::inked(ink_of(daemon.state), state),
            Cell::plain(since),
        ];
        if restarted {
            cells.push(Cell::plain(match daemon.restarts {
                0 => "–".to_owned(),
                n => n.to_string(),
            }));
        }
        if exited {
            let exit = daemon.last_exit.as_ref();
            cells.push(Cell::plain(
                exit.map_or("–".into(), |e| last_exit(e, screen)),
            ));
        }
        cells.push(Cell::plain(why(daemon, screen)));
        table.row(cells);
    }
    table.render(screen.width, screen.color)
}

/// `1 · 3s ago`, `SIGKILL · 03:30`, `timeout · Fri 23:00`.
pub(crate) fn last_exit(exit: &LastExit, screen: &Screen) -> String {
    let at = parse(&exit.at);
    let at = at.map(|at| {
        if screen.verbose {
            screen.clock.time_of_day(at)
        } else {
            screen.clock.moment(at)
        }
    });
    let what = exit_word(exit.reason, exit.code, exit.signal);
    match at {
        Some(at) => format!("{what} · {at}"),
        None => what,
    }
}

/// An exit in a word: the code, the signal, or what happened instead of an exit.
pub(crate) fn exit_word(reason: EndReason, code: Option<i32>, signal: Option<i32>) -> String {
    match reason {
        EndReason::Timeout => "timeout".into(),
        EndReason::StopKilled => "killed".into(),
        EndReason::SpawnFailed | EndReason::NeverStarted => "not run".into(),
        EndReason::KeeperLost | EndReason::RecordCorrupt => "unknown".into(),
        EndReason::Exited | EndReason::Stopped => match (code, signal) {
            (Some(code), _) => code.to_string(),
            (None, Some(signal)) => format!("SIG{}", eud_core::words::signal(signal)),
            (None, None) => "unknown".into(),
        },
    }
}

/// Why it is what it is, in one line.
fn why(daemon: &DaemonView, screen: &Screen) -> String {
    let message = daemon.last_exit.as_ref().and_then(|e| e.message.as_ref());
    let words = match daemon.state {
        s if s.is_trouble() => daemon.reason.as_ref().or(message),
        _ => daemon
            .status_text
            .as_ref()
            .filter(|t| !t.is_empty())
            .or(daemon.reason.as_ref()),
    };
    let words = words.map(|text| one_line(text)).unwrap_or_default();
    match &daemon.job {
        Some(job) => job_why(daemon.state, words, job, screen),
        None => words,
    }
}

/// What a job's row says: when it runs next and when it last did well, or what brought it about.
fn job_why(state: State, words: String, job: &JobView, screen: &Screen) -> String {
    let mut parts: Vec<String> = Vec::new();
    match state {
        State::Running if words.is_empty() => {
            let trigger = job.trigger.as_deref().unwrap_or("unknown");
            parts.push(format!("by {trigger}"));
            if job.attempt > 0 {
                parts.push(format!("try {}", job.attempt + 1));
            }
        }
        _ => parts.extend(Some(words).filter(|words| !words.is_empty())),
    }
    let succeeded = job.last_success_at.as_deref().and_then(parse);
    if let (State::Scheduled, Some(at)) = (state, succeeded) {
        parts.push(format!("succeeded {} ago", screen.clock.age(at)));
    }
    if job.pending > 0 && state == State::Running {
        parts.push(format!("{} more to come", job.pending));
    }
    parts.join("; ")
}

/// A line for each category, in which every unit of it is counted.
fn groups(daemons: &[&DaemonView], screen: &Screen) -> String {
    let mut by_category: BTreeMap<(bool, &str), Vec<&DaemonView>> = BTreeMap::new();
    for daemon in daemons {
        let category = daemon.category.as_deref();
        let key = (category.is_none(), category.unwrap_or("other"));
        by_category.entry(key).or_default().push(daemon);
    }
    let name_room = (screen.width / 3).max(8);
    let names: Vec<String> = by_category
        .keys()
        .map(|k| cut_middle(k.1, name_room))
        .collect();
    let name_width = names.iter().map(|n| width(n)).max().unwrap_or(0);
    let count_width = by_category
        .values()
        .map(|m| m.len().to_string().len())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for (name, members) in names.iter().zip(by_category.values()) {
        let (plain, painted) = counts(members, screen.color);
        let pad = " ".repeat(name_width - width(name));
        let lead = format!(" {name}{pad}  {:>count_width$}  ", members.len());
        let room = screen.width.saturating_sub(width(&lead));
        let shown = if width(&plain) <= room {
            painted
        } else {
            cut_end(&plain, room)
        };
        text.push_str(&format!("{lead}{shown}\n"));
    }
    text
}

/// One or many.
pub(crate) fn plural(count: usize, one: &'static str, many: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}
