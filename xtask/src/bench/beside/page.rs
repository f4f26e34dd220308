//! The page of the documentation.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::losses;
use super::table::{Cells, TABLES};
use crate::Failure;
use crate::bench::report::{machine, short};

const BEGIN: &str = "<!-- beside: begin -->\n";
const END: &str = "<!-- beside: end -->";

/// Replaces the part of the page between the marks.
pub(super) fn write(path: &Path, cells: &Cells) -> Result<(), Failure> {
    let place = path.display();
    let page = fs::read_to_string(path).map_err(|e| format!("{place}: {e}"))?;
    let parts = page
        .split_once(BEGIN)
        .and_then(|(before, rest)| rest.split_once(END).map(|(_, after)| (before, after)));
    let (before, after) = parts.ok_or(format!("{place} has no place for the comparison"))?;
    let page = format!("{before}{BEGIN}{}{END}{after}", body(cells));
    fs::write(path, page).map_err(|e| format!("{place}: {e}"))
}

fn body(cells: &Cells) -> String {
    let mut text = machine() + "\n| | version | |\n|---|---|---|\n";
    for who in &cells.who {
        let version = who
            .version
            .as_deref()
            .unwrap_or("not installed, not measured");
        let _ = writeln!(text, "| {} | {version} | {} |", who.name, who.note);
    }
    for (title, metrics) in TABLES {
        let headings: Vec<String> = metrics.iter().map(|m| m.heading()).collect();
        let _ = write!(
            text,
            "\n### {title}\n\n| | {} |\n|---|",
            headings.join(" | ")
        );
        let _ = writeln!(text, "{}", "--:|".repeat(metrics.len()));
        for row in cells.rows() {
            let row_cells: Vec<String> =
                metrics.iter().map(|m| with_ratio(cells, row, *m)).collect();
            if row_cells.iter().any(|cell| cell != "–") {
                let _ = writeln!(text, "| {row} | {} |", row_cells.join(" | "));
            }
        }
    }
    text.push_str("\n### Where eud is behind\n\n");
    for line in losses::list(cells) {
        let _ = writeln!(text, "- {line}");
    }
    if !cells.failures.is_empty() {
        text.push_str("\n### What could not be measured\n\n");
        for failure in &cells.failures {
            let _ = writeln!(text, "- {failure}");
        }
    }
    text.push('\n');
    text
}

/// A cell, and how many times eud's it is.
fn with_ratio(cells: &Cells, row: &str, metric: super::table::Metric) -> String {
    let cell = cells.cell(row, metric);
    let both = (cells.middle(row, metric), cells.middle("eud", metric));
    match both {
        (Some((theirs, ..)), Some((ours, ..))) if row != "eud" && ours > 0.0 && theirs > 0.0 => {
            format!("{cell} · {}×", short(theirs / ours))
        }
        _ => cell,
    }
}
