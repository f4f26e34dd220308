//! Diagnostics as text for a terminal.
//!
//! Purpose: the line of the file, what is meant in it, and what to do, in at most `width` columns.
//! Invariants: no control character of a file reaches the terminal; without colour nothing is lost;
//! the same diagnostics give the same text.

use std::collections::BTreeMap;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::diagnostic::{Diagnostic, Place, Severity};
use crate::source::{Sources, printable};

/// Narrowest width that is used.
const WIDTH_MIN: usize = 40;
/// Widest: longer lines are hard to read.
const WIDTH_MAX: usize = 120;
const TAB: &str = "    ";
/// Bytes before and after a place that are looked at.
const NEAR_BYTES: usize = 2_000;

/// Colours, as parameters of an SGR sequence.
#[derive(Clone, Copy)]
enum Tone {
    Error,
    Warning,
    Frame,
    Bold,
}

struct Renderer<'a> {
    sources: &'a Sources,
    color: bool,
    width: usize,
    out: String,
}

/// Renders diagnostics, one after the other, with an empty line between them. `width` is that of
/// the terminal in columns; 80 is a good default.
pub fn render(diagnostics: &[Diagnostic], sources: &Sources, color: bool, width: usize) -> String {
    let width = width.clamp(WIDTH_MIN, WIDTH_MAX);
    let mut renderer = Renderer {
        sources,
        color,
        width,
        out: String::new(),
    };
    for (i, diagnostic) in diagnostics.iter().enumerate() {
        if i > 0 {
            renderer.out.push('\n');
        }
        renderer.diagnostic(diagnostic);
    }
    renderer.out
}

impl Renderer<'_> {
    fn paint(&self, text: &str, tone: Tone) -> String {
        let code = match tone {
            Tone::Error => "1;31",
            Tone::Warning => "1;33",
            Tone::Frame => "2",
            Tone::Bold => "1",
        };
        if self.color {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    fn line(&mut self, text: &str) {
        self.out.push_str(text.trim_end());
        self.out.push('\n');
    }

    fn diagnostic(&mut self, diagnostic: &Diagnostic) {
        let (word, tone) = match diagnostic.severity {
            Severity::Error => ("error", Tone::Error),
            Severity::Warning => ("warning", Tone::Warning),
        };
        let message = clean(&diagnostic.message);
        let head = format!("{word}: ");
        for (i, line) in wrap(&message, self.width - head.len()).iter().enumerate() {
            let line = self.paint(line, Tone::Bold);
            let start = if i == 0 {
                self.paint(&head, tone)
            } else {
                " ".repeat(head.len())
            };
            self.line(&format!("{start}{line}"));
        }
        let places: Vec<&Place> = std::iter::once(&diagnostic.place)
            .chain(&diagnostic.related)
            .filter(|place| place.line > 0)
            .collect();
        let last = places.iter().map(|place| place.line).max().unwrap_or(0);
        let gutter = last.to_string().len();
        for (i, group) in by_file(&places).iter().enumerate() {
            self.snippet(group, gutter, i == 0, tone);
        }
        let indent = if places.is_empty() { 2 } else { gutter + 1 };
        if !places.is_empty() {
            let end = self.paint("╰─", Tone::Frame);
            self.line(&format!("{}{end}", " ".repeat(indent)));
        } else {
            let shown = clean(self.sources.shown(&diagnostic.place.file));
            let file = self.paint(&format!("╶─[{shown}]"), Tone::Frame);
            self.line(&format!("  {file}"));
        }
        if let Some(help) = &diagnostic.help {
            self.help(&clean(help), indent);
        }
    }

    fn help(&mut self, help: &str, indent: usize) {
        let head = "help: ";
        for (i, line) in wrap(help, self.width - indent - head.len())
            .iter()
            .enumerate()
        {
            let start = if i == 0 {
                self.paint(head, Tone::Frame)
            } else {
                " ".repeat(head.len())
            };
            self.line(&format!("{}{start}{line}", " ".repeat(indent)));
        }
    }

    /// Lines of one file. The first place in `places` is the one that the header names.
    fn snippet(&mut self, places: &[&Place], gutter: usize, first: bool, tone: Tone) {
        let Some(main) = places.first() else { return };
        let corner = if first { '╭' } else { '├' };
        let shown = clean(self.sources.shown(&main.file));
        let header = format!("{corner}─[{shown}:{}:{}]", main.line, main.column);
        let header = self.paint(&header, Tone::Frame);
        self.line(&format!("{}{header}", " ".repeat(gutter + 1)));
        let mut lines: BTreeMap<usize, Vec<&Place>> = BTreeMap::new();
        for place in places {
            lines.entry(place.line).or_default().push(place);
        }
        let mut before = None;
        for (number, places) in &lines {
            if before.is_some_and(|before| before + 1 < *number) {
                let gap = self.paint("┆", Tone::Frame);
                self.line(&format!("{}{gap}", " ".repeat(gutter + 1)));
            }
            before = Some(*number);
            let sources = self.sources;
            let Some((start, line)) = sources.line_text(&main.file, *number) else {
                continue;
            };
            self.source_line(*number, line, start, places, gutter, tone);
        }
    }

    fn source_line(
        &mut self,
        number: usize,
        line: &str,
        start: usize,
        places: &[&Place],
        gutter: usize,
        tone: Tone,
    ) {
        let room = self.width - gutter - 3;
        let from = places
            .iter()
            .map(|place| place.span.start.saturating_sub(start))
            .min();
        let window = Window::new(line, from.unwrap_or(0), room);
        let bar = self.paint("│", Tone::Frame);
        let shown = self.paint(&format!("{number:>gutter$} "), Tone::Frame);
        let text = window.text.clone();
        self.line(&format!("{shown}{bar} {text}"));
        for place in places {
            let (from, to) = (
                place.span.start.saturating_sub(start),
                place.span.end.saturating_sub(start).min(line.len()),
            );
            let (column, end) = (window.column(from), window.column(to));
            let length = end
                .saturating_sub(column)
                .max(1)
                .min(room.saturating_sub(column).max(1));
            for row in marks(column, length, place.label.as_deref(), room) {
                let row = self.paint(&row, tone);
                self.line(&format!("{}{bar} {row}", " ".repeat(gutter + 1)));
            }
        }
    }
}

/// Rows under a line: what is meant, and the label.
fn marks(column: usize, length: usize, label: Option<&str>, room: usize) -> Vec<String> {
    let pad = " ".repeat(column);
    let Some(label) = label.map(clean) else {
        return vec![format!("{pad}{}", "─".repeat(length))];
    };
    let middle = (length - 1) / 2;
    let line = format!(
        "{pad}{}┬{}",
        "─".repeat(middle),
        "─".repeat(length - 1 - middle)
    );
    let anchor = column + middle;
    let label_width = label.width();
    let right = room.saturating_sub(anchor + 4);
    if label_width > right && label_width + 4 <= anchor {
        let space = " ".repeat(anchor - label_width - 3);
        return vec![line, format!("{space}{label} ──╯")];
    }
    let mut rows = vec![line];
    let longest_word = label
        .split(' ')
        .map(UnicodeWidthStr::width)
        .max()
        .unwrap_or(0);
    let fits = label_width <= right || (right >= 24 && longest_word <= right);
    let (lead, first, next) = if fits {
        (
            anchor + 4,
            format!("{}╰── ", " ".repeat(anchor)),
            " ".repeat(anchor + 4),
        )
    } else {
        // Too little room on the right: the label goes below, from the left edge.
        rows.push(format!("{}│", " ".repeat(anchor)));
        (0, String::new(), String::new())
    };
    for (i, text) in wrap(&label, room - lead).iter().enumerate() {
        rows.push(format!("{}{text}", if i == 0 { &first } else { &next }));
    }
    rows
}

/// The part of a line that fits, and where its bytes are on the screen.
struct Window {
    text: String,
    /// Column of each character that is shown, by its offset in the line.
    columns: BTreeMap<usize, usize>,
}

impl Window {
    /// A window on `line` of at most `room` columns that shows what is at byte `from`.
    fn new(line: &str, from: usize, room: usize) -> Self {
        // A line can be megabytes long; only what is near is looked at.
        let first = line.floor_char_boundary(from.saturating_sub(NEAR_BYTES));
        let last = line.ceil_char_boundary(from.saturating_add(NEAR_BYTES).min(line.len()));
        let near = line.get(first..last).unwrap_or_default();
        let cells: Vec<(usize, String, usize)> = near
            .char_indices()
            .map(|(at, c)| cell(first + at, c))
            .collect();
        let width_of = |cells: &[(usize, String, usize)]| cells.iter().map(|c| c.2).sum::<usize>();
        let total = width_of(&cells);
        let before = width_of(
            cells
                .get(..cells.partition_point(|c| c.0 < from))
                .unwrap_or(&[]),
        );
        let cut = first > 0 || last < line.len() || total > room;
        let skip = if !cut || (first == 0 && before < room / 2) {
            0
        } else {
            before.saturating_sub(room / 4)
        };
        let mut window = Self {
            text: String::new(),
            columns: BTreeMap::new(),
        };
        let (mut seen, mut column) = (0, 0);
        if skip > 0 || first > 0 {
            window.text.push('…');
            column = 1;
        }
        for (at, text, width) in cells {
            seen += width;
            if seen <= skip {
                continue;
            }
            if column + width > room.saturating_sub(1) && cut {
                window.text.push('…');
                break;
            }
            window.columns.insert(at, column);
            window.text.push_str(&text);
            column += width;
        }
        window.columns.entry(last).or_insert(column);
        window
    }

    /// Column of a byte; of the nearest one shown when it is not.
    fn column(&self, at: usize) -> usize {
        let next = self
            .columns
            .range(at..)
            .next()
            .or_else(|| self.columns.iter().next_back());
        next.map_or(0, |(_, column)| *column)
    }
}

/// A character as it is shown: its offset, text and width.
fn cell(at: usize, c: char) -> (usize, String, usize) {
    match c {
        '\t' => (at, TAB.to_owned(), TAB.len()),
        c => (
            at,
            printable(c).to_string(),
            printable(c).width().unwrap_or(0),
        ),
    }
}

fn by_file<'p>(places: &[&'p Place]) -> Vec<Vec<&'p Place>> {
    let mut groups: Vec<Vec<&Place>> = Vec::new();
    for place in places {
        match groups
            .iter_mut()
            .find(|g| g.first().is_some_and(|p| p.file == place.file))
        {
            Some(group) => group.push(place),
            None => groups.push(vec![place]),
        }
    }
    groups
}

fn clean(text: &str) -> String {
    text.chars().map(printable).collect()
}

/// Breaks a text at spaces into lines of at most `width` columns. A longer word has a line of its
/// own.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        if !line.is_empty() && line.width() + 1 + word.width() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_cut_around_what_is_meant() {
        let line = format!("{}HERE{}", "a".repeat(500), "b".repeat(500));
        let window = Window::new(&line, 500, 60);
        assert!(window.text.width() <= 60);
        let column = window.column(500);
        assert_eq!(
            window.text.chars().skip(column).take(4).collect::<String>(),
            "HERE"
        );
    }

    #[test]
    fn wide_characters_and_tabs_keep_marks_in_place() {
        let window = Window::new("\t名 = 1", 0, 60);
        assert_eq!(window.column(1), 4);
        assert_eq!(window.column(5), 7);
    }

    #[test]
    fn labels_stay_within_the_width() {
        for column in 0..70 {
            for row in marks(column, 3, Some("a label of a few words, not too short"), 76) {
                assert!(row.width() <= 76, "{column}: {row}");
            }
        }
    }
}
