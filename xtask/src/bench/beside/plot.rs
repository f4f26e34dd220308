//! Bars, for the page: one figure, everybody, on a scale of powers of ten.

use std::fmt::Write as _;

use super::table::{Cells, Metric};
use crate::bench::report::short;

const ROW: f64 = 26.0;
const LEFT: f64 = 110.0;
const WIDTH: f64 = 460.0;
const TOP: f64 = 36.0;

/// The drawing, as SVG. Readable on light and dark pages.
pub(super) fn bars(metric: Metric, cells: &Cells) -> String {
    let found = |row: &&'static str| Some((*row, cells.middle(row, metric)?.0));
    let mut rows: Vec<(&str, f64)> = cells.rows().iter().filter_map(found).collect();
    rows.sort_by(|a, b| a.1.total_cmp(&b.1));
    let floor = rows.first().map_or(1.0, |(_, v)| v.max(0.01)) / 2.0;
    let ceiling = rows.last().map_or(1.0, |(_, v)| v.max(0.02));
    let span = (ceiling / floor).log10().max(0.1);
    let height = rows.iter().fold(TOP + 10.0, |sum, _| sum + ROW);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 660 {height}\" role=\"img\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\">\n<title>{title}</title>\n<style>\
         text{{fill:#1f2328}}.o{{fill:#8c959f}}.e{{fill:#2f81f7}}\
         @media(prefers-color-scheme:dark){{text{{fill:#e6edf3}}.o{{fill:#6e7681}}}}</style>\n\
         <text x=\"0\" y=\"18\" font-weight=\"600\">{title} · less is better · logarithmic</text>\n",
        title = metric.heading()
    );
    let mut y = TOP;
    for (name, value) in rows {
        let width = (value.max(0.01) / floor).log10() / span * WIDTH;
        let class = if name == "eud" { "e" } else { "o" };
        let (bar, middle) = (ROW - 8.0, y + 14.0);
        let _ = writeln!(
            text,
            "<text x=\"{:.0}\" y=\"{middle:.0}\" text-anchor=\"end\">{name}</text>\
             <rect class=\"{class}\" x=\"{LEFT}\" y=\"{y:.0}\" width=\"{width:.0}\" height=\"{bar}\" rx=\"2\"/>\
             <text x=\"{:.0}\" y=\"{middle:.0}\">{}</text>",
            LEFT - 8.0,
            LEFT + width + 6.0,
            short(value)
        );
        y += ROW;
    }
    text.push_str("</svg>\n");
    text
}
