//! Rules, what they would do, and what waits for a person.
//!
//! Invariants: what an event or an action says is shown without what would move the cursor; no line
//! is wider than the screen.

use eud_core::record::{ApprovalRow, Verdict, WallMs};
use eud_core::view::{RuleTrial, RuleView};
use jiff::Timestamp;

use super::Screen;
use super::ink::Ink;
use super::layout::{Cell, Column, Table, one_line};
use super::show::{Facts, Page};
use super::time;

fn at(ms: WallMs) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or_default()
}

/// A time, and how long ago that was.
fn moment(ms: WallMs, screen: &Screen) -> String {
    let absolute = screen.clock.absolute(at(ms));
    let age = screen.clock.seconds_since(at(ms));
    match age >= 0.0 {
        true => format!("{absolute} ({} ago)", time::span(age)),
        false => absolute,
    }
}

/// How long ago, or when if times are to be absolute.
fn age(ms: WallMs, screen: &Screen) -> String {
    match screen.verbose {
        true => screen.clock.absolute(at(ms)),
        false => screen.clock.age(at(ms)),
    }
}

fn state(rule: &RuleView) -> (Ink, &'static str) {
    match rule {
        _ if !rule.enabled => (Ink::Magenta, "‖ off"),
        _ if rule.approvals > 0 => (Ink::Yellow, "◔ asks"),
        _ if !rule.waits.is_empty() => (Ink::Cyan, "◷ waits"),
        _ => (Ink::Green, "● on"),
    }
}

/// `eud rule list`: a row for each, in the order in which they see an event.
pub(crate) fn list(rules: &[RuleView], screen: &Screen) -> String {
    let mut table = Table::new(vec![
        Column::left("RULE").shrinking_to(12),
        Column::left("STATE"),
        Column::left("ON").shrinking_to(14),
        Column::right("ACTED"),
        Column::right("LAST"),
        Column::right("PASSED").sparable(),
        Column::right("ERRORS"),
        Column::left("WHY"),
    ]);
    for rule in rules {
        let (ink, word) = state(rule);
        let last = rule.last_fired_ms.map(|ms| age(ms, screen));
        let why = rule.why_disabled.as_ref().or(rule.last_error.as_ref());
        table.row(vec![
            Cell::plain(&rule.name),
            Cell::inked(ink, word),
            Cell::plain(one_line(&rule.on)),
            Cell::plain(rule.fired_total.to_string()),
            Cell::plain(last.unwrap_or_else(|| "–".to_owned())),
            Cell::plain(rule.passed_total.to_string()),
            Cell::plain(rule.errors_total.to_string()),
            Cell::plain(why.map(|why| one_line(why)).unwrap_or_default()),
        ]);
    }
    table.render(screen.width, screen.color)
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// `eud rule show`
pub(crate) fn show(rule: &RuleView, screen: &Screen) -> String {
    let mut page = Page::new(screen);
    let (ink, word) = state(rule);
    page.headline(&format!("rule {}", rule.name), ink, word, None);
    if let Some(description) = &rule.description {
        page.line(description);
    }
    let mut what: Facts = vec![("on", one_line(&rule.on))];
    what.extend(rule.when.iter().map(|when| ("when", one_line(when))));
    what.extend(rule.then.iter().map(|then| ("then", one_line(then))));
    page.group("What it does", &what);
    let mut now = Facts::new();
    let off = rule.why_disabled.as_ref();
    now.extend(off.map(|why| ("off because", one_line(why))));
    now.push(("acted", counted(rule.fired_total, "time", "times")));
    now.extend(rule.last_fired_ms.map(|ms| ("last", moment(ms, screen))));
    now.push(("passed", counted(rule.passed_total, "event", "events")));
    if rule.approvals > 0 {
        let asks = format!("{} wait: eud approvals list", rule.approvals);
        now.push(("approvals", asks));
    }
    if rule.errors_total > 0 {
        now.push(("errors", rule.errors_total.to_string()));
    }
    let error = rule.last_error.as_ref();
    now.extend(error.map(|error| ("last error", one_line(error))));
    page.group("Now", &now);
    let waits = rule.waits.iter();
    let waits: Facts = waits
        .map(|(key, ms)| {
            (
                "acts",
                format!("{} for {}", moment(*ms, screen), one_line(key)),
            )
        })
        .collect();
    page.group("Unless called off", &waits);
    page.finish()
}

/// `eud rule test`: what was looked at, and what would be done.
pub(crate) fn trial(trial: &RuleTrial, screen: &Screen) -> String {
    let mut page = Page::new(screen);
    let (ink, word) = match trial.acts {
        true => (Ink::Green, "✓ would act"),
        false => (Ink::Dim, "· would not act"),
    };
    page.headline(&format!("rule {}", trial.rule), ink, word, None);
    let steps = trial.steps.iter();
    let steps: Facts = steps.map(|step| ("", one_line(step))).collect();
    page.group("Why", &steps);
    let then = trial.then.iter();
    let then: Facts = then.map(|then| ("", one_line(then))).collect();
    let title = match trial.acts {
        true => "It would",
        false => "If it acted, it would",
    };
    page.group(title, &then);
    page.finish()
}

/// `eud approvals`: a row for each, as given.
pub(crate) fn approvals(rows: &[ApprovalRow], screen: &Screen) -> String {
    let mut table = Table::new(vec![
        Column::right("ID"),
        Column::right("SINCE"),
        Column::left("RULE").shrinking_to(10),
        Column::left("KEY").shrinking_to(8),
        Column::left("STATE"),
        Column::left("WOULD"),
    ]);
    for row in rows {
        let (ink, word) = verdict(row, screen);
        table.row(vec![
            Cell::plain(row.id.to_string()),
            Cell::plain(age(row.at_ms, screen)),
            Cell::plain(&row.rule),
            Cell::plain(one_line(&row.key)),
            Cell::inked(ink, word),
            Cell::plain(one_line(&row.what.join("; "))),
        ]);
    }
    table.render(screen.width, screen.color)
}

fn verdict(row: &ApprovalRow, screen: &Screen) -> (Ink, String) {
    let by = row.by.as_ref();
    let by = by.map_or(String::new(), |(who, _)| format!(" by {}", one_line(who)));
    match row.outcome {
        None => {
            let word = format!("◔ until {}", screen.clock.moment(at(row.expires_ms)));
            (Ink::Yellow, word)
        }
        Some(Verdict::Granted) => (Ink::Green, format!("✓ granted{by}")),
        Some(Verdict::Denied) => (Ink::Red, format!("✗ denied{by}")),
        Some(Verdict::Expired) => (Ink::Dim, "■ expired".to_owned()),
    }
}
