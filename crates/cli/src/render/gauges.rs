//! Gauges and gates: what is not as it should be, in a line each; and all of them, in tables.
//!
//! Invariants: a value is shown as it was sampled, or as unknown; no line is wider than the screen.
//! Deliberately absent: any judgement on a value; that is the core's.

use eud_core::fleet::{Gauge, Level, Limit, Value};
use eud_core::view::{GateView, GaugeView, Status};

use super::Screen;
use super::ink::Ink;
use super::jobs::exact;
use super::layout::{Cell, Column, Table, cut_end, one_line};
use super::time::parse;

/// Hue of a level.
fn ink_of(level: Level) -> Ink {
    match level {
        Level::Ok => Ink::Green,
        Level::Warn | Level::Under | Level::Frozen => Ink::Yellow,
        Level::Over => Ink::Red,
        Level::Unknown => Ink::Magenta,
    }
}

/// Glyph of a level, one column wide.
fn glyph_of(level: Level) -> char {
    match level {
        Level::Ok => '●',
        Level::Warn => '▴',
        Level::Over => '▲',
        Level::Under => '▼',
        Level::Frozen => '=',
        Level::Unknown => '?',
    }
}

/// `946`, `12.5`, `1.2 G`; `–` when it is unknown.
fn shown(value: Option<f64>) -> String {
    let Some(value) = value else {
        return "–".to_owned();
    };
    let scaled = |by: f64, unit: &str| format!("{} {unit}", rounded(value / by, 10.0));
    match value.abs() {
        v if v >= 1e12 => scaled(1e12, "T"),
        v if v >= 1e9 => scaled(1e9, "G"),
        v if v >= 1e7 => scaled(1e6, "M"),
        _ => rounded(value, 100.0).to_string(),
    }
}

fn rounded(value: f64, steps: f64) -> Value {
    Value((value * steps).round() / steps)
}

fn age(since: Option<&String>, screen: &Screen) -> String {
    let at = since.map(String::as_str).and_then(parse);
    at.map_or_else(|| "–".to_owned(), |at| screen.clock.age(at))
}

/// An empty line, and one for each gauge that is not ok and each gate that is closed.
pub(crate) fn footer(status: &Status, screen: &Screen) -> String {
    let mut text = String::new();
    let room = screen.width.saturating_sub(3);
    let mut line = |ink: Ink, glyph: char, words: &str| {
        let words = cut_end(words, room);
        text.push_str(&format!(
            " {} {words}\n",
            ink.paint(screen.color, &glyph.to_string())
        ));
    };
    let unwell = status
        .gauges
        .iter()
        .filter(|gauge| gauge.level != Level::Ok && was_asked(gauge));
    for gauge in unwell {
        let words = format!("{} {}", gauge.name, unwell_words(gauge, screen));
        line(ink_of(gauge.level), glyph_of(gauge.level), &words);
    }
    for gate in status.gates.iter().filter(|gate| gate.closed) {
        let words = format!(
            "gate {} closed {}: pauses {}",
            gate.name,
            age(gate.since.as_ref(), screen),
            gate.members.join(", "),
        );
        line(Ink::Magenta, '‖', &words);
    }
    if !text.is_empty() {
        text.insert(0, '\n');
    }
    text
}

/// One that was not sampled yet is not in trouble yet.
fn was_asked(gauge: &GaugeView) -> bool {
    let not_yet = |why: &String| why.starts_with("not sampled");
    gauge.since.is_some() || !gauge.reason.as_ref().is_some_and(not_yet)
}

/// `946 (over 41m: at or above 500)`
fn unwell_words(gauge: &GaugeView, screen: &Screen) -> String {
    let age = match &gauge.since {
        Some(since) => format!(" {}", age(Some(since), screen)),
        None => String::new(),
    };
    let why = why(gauge);
    let colon = if why.is_empty() { "" } else { ": " };
    let value = match gauge.value {
        Some(_) => format!("{} ", shown(gauge.value)),
        None => String::new(),
    };
    format!("{value}({}{age}{colon}{why})", gauge.level)
}

/// The reason without the value, which stands beside it.
fn why(gauge: &GaugeView) -> String {
    let why = gauge.reason.as_deref().map(one_line).unwrap_or_default();
    let value = gauge.value.map(|value| format!("{}, ", Value(value)));
    match value.and_then(|value| why.strip_prefix(&value)) {
        Some(rest) => rest.to_owned(),
        None => why,
    }
}

/// `eud gauges`: a table of gauges and one of gates. `declared` has their limits.
pub(crate) fn tables(
    gauges: &[GaugeView],
    gates: &[GateView],
    declared: impl Fn(&str) -> Option<Gauge>,
    screen: &Screen,
) -> String {
    let mut text = String::new();
    if !gauges.is_empty() {
        let mut table = Table::new(vec![
            Column::left("GAUGE").shrinking_to(12),
            Column::right("VALUE"),
            Column::left("LEVEL"),
            Column::right("SINCE"),
            Column::left("LIMITS").sparable(),
            Column::left("WHY"),
        ]);
        for gauge in gauges {
            let limits = declared(&gauge.name).map(|gauge| limits(&gauge));
            let level = format!("{} {}", glyph_of(gauge.level), gauge.level);
            table.row(vec![
                Cell::plain(&gauge.name),
                Cell::plain(shown(gauge.value)),
                Cell::inked(ink_of(gauge.level), level),
                Cell::plain(age(gauge.since.as_ref(), screen)),
                Cell::plain(limits.unwrap_or_default()),
                Cell::plain(why(gauge)),
            ]);
        }
        text.push_str(&table.render(screen.width, screen.color));
    }
    if !gates.is_empty() {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&gate_table(gates, screen));
    }
    text
}

fn gate_table(gates: &[GateView], screen: &Screen) -> String {
    let mut table = Table::new(vec![
        Column::left("GATE").shrinking_to(12),
        Column::left("STATE"),
        Column::right("SINCE"),
        Column::left("GAUGE"),
        Column::left("MEMBERS"),
    ]);
    for gate in gates {
        let (ink, word) = match gate.closed {
            true => (Ink::Magenta, "‖ closed"),
            false => (Ink::Green, "● open"),
        };
        table.row(vec![
            Cell::plain(&gate.name),
            Cell::inked(ink, word),
            Cell::plain(age(gate.since.as_ref(), screen)),
            Cell::plain(&gate.gauge),
            Cell::plain(gate.members.join(", ")),
        ]);
    }
    table.render(screen.width, screen.color)
}

/// `warn 400, over 500, under 2, frozen 30m`
fn limits(gauge: &Gauge) -> String {
    let limit = |name: &str, limit: Option<Limit>| {
        limit.map(|limit| format!("{name} {}", shown(Some(limit.at.0))))
    };
    let frozen = gauge.frozen_ms.map(|ms| format!("frozen {}", exact(ms)));
    let parts = [
        limit("warn", gauge.warn),
        limit("over", gauge.over),
        limit("under", gauge.under),
        frozen,
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
