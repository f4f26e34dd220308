//! Columns and widths.
//!
//! Purpose: tables that never wrap a row, whatever the terminal's width.
//! Invariants: widths are counted in terminal columns, not bytes; no row is wider than the screen.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::ink::Ink;

/// Columns that `text` takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// `text` without what would move the cursor: control characters become spaces.
pub(crate) fn one_line(text: &str) -> String {
    text.trim()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// The longest prefix of at most `room` columns.
fn prefix(text: &str, room: usize) -> &str {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += c.width().unwrap_or(0);
        if used > room {
            return &text[..at];
        }
    }
    text
}

/// The longest suffix of at most `room` columns.
fn suffix(text: &str, room: usize) -> &str {
    let mut used = 0;
    for (at, c) in text.char_indices().rev() {
        used += c.width().unwrap_or(0);
        if used > room {
            return &text[at + c.len_utf8()..];
        }
    }
    text
}

/// Shortens at the end: for sentences.
pub(crate) fn cut_end(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    match room {
        0 => String::new(),
        _ => format!("{}…", prefix(text, room - 1).trim_end()),
    }
}

/// Shortens in the middle: for names, whose ends tell them apart.
pub(crate) fn cut_middle(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    if room < 5 {
        return cut_end(text, room);
    }
    let tail = (room - 1) / 2;
    format!("{}…{}", prefix(text, room - 1 - tail), suffix(text, tail))
}

/// How a column is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    /// Names and words.
    Left,
    /// Numbers and ages.
    Right,
}

/// A column of a table.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    /// Heading.
    pub(crate) title: &'static str,
    /// Heading where there is little room.
    pub(crate) short: &'static str,
    /// Side its text leans on.
    pub(crate) align: Align,
    /// It is shortened in the middle and may shrink to this many columns.
    pub(crate) min: Option<usize>,
    /// It is left out where the last column would have too little room.
    pub(crate) spare: bool,
}

impl Column {
    /// A left column that keeps its width.
    pub(crate) fn left(title: &'static str) -> Self {
        Self {
            title,
            short: title,
            align: Align::Left,
            min: None,
            spare: false,
        }
    }

    /// A right column that keeps its width.
    pub(crate) fn right(title: &'static str) -> Self {
        Self {
            title,
            short: title,
            align: Align::Right,
            min: None,
            spare: false,
        }
    }

    /// With a shorter heading for narrow screens.
    pub(crate) fn or_short(self, short: &'static str) -> Self {
        Self { short, ..self }
    }

    /// May be left out.
    pub(crate) fn sparable(self) -> Self {
        Self {
            spare: true,
            ..self
        }
    }

    /// May shrink to `min` columns.
    pub(crate) fn shrinking_to(self, min: usize) -> Self {
        Self {
            min: Some(min),
            ..self
        }
    }
}

/// One cell.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    ink: Ink,
}

impl Cell {
    /// Text without colour.
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ink: Ink::Plain,
        }
    }

    /// Text with colour.
    pub(crate) fn inked(ink: Ink, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ink,
        }
    }
}

/// A table. The last column takes what room is left and is cut at its end.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

/// Columns between two columns.
const GAP: usize = 2;
/// Columns before the first.
const MARGIN: usize = 1;
/// Percent of the screen that the last column should have before others give up theirs.
const LAST_PERCENT: usize = 30;
/// A last column with this much room may keep its neighbours.
const LAST_ENOUGH: usize = 20;
/// A last column narrower than this says nothing.
const LAST_MIN: usize = 6;

impl Table {
    /// A table without rows.
    pub(crate) fn new(columns: Vec<Column>) -> Self {
        Self {
            columns,
            rows: Vec::new(),
        }
    }

    /// Adds a row; it has as many cells as the table has columns.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        debug_assert_eq!(cells.len(), self.columns.len());
        self.rows.push(cells);
    }

    /// Widths of all columns, for a screen of `screen` columns.
    fn widths(&self, screen: usize, short: bool) -> Vec<usize> {
        let title = |c: &Column| width(if short { c.short } else { c.title });
        let mut widths: Vec<usize> = self.columns.iter().map(title).collect();
        for row in &self.rows {
            for (cell, wide) in row.iter().zip(&mut widths) {
                *wide = (*wide).max(width(&cell.text));
            }
        }
        let last = widths.len() - 1;
        let wanted = widths[last].min(screen * LAST_PERCENT / 100);
        for at in 0..last {
            let fixed: usize = widths[..last].iter().map(|w| w + GAP).sum();
            let over = (MARGIN + fixed + wanted).saturating_sub(screen);
            if let Some(min) = self.columns[at].min {
                widths[at] = widths[at].saturating_sub(over).max(min.min(widths[at]));
            }
        }
        let fixed: usize = widths[..last].iter().map(|w| w + GAP).sum();
        widths[last] = widths[last].min(screen.saturating_sub(MARGIN + fixed));
        widths
    }

    /// The table as lines, headings first unless all are empty.
    pub(crate) fn render(&self, screen: usize, color: bool) -> String {
        let mut widths = self.widths(screen, false);
        let needed: usize = widths.iter().map(|w| w + GAP).sum::<usize>() - GAP + MARGIN;
        let last_cells = self.rows.iter().filter_map(|r| r.last());
        let wanted = last_cells.map(|c| width(&c.text)).max().unwrap_or(0);
        let last = |widths: &[usize]| widths.last().copied().unwrap_or(0);
        let short = needed > screen || last(&widths) < wanted;
        if short {
            widths = self.widths(screen, true);
            let spare = self.columns.iter().rposition(|c| c.spare);
            if let Some(spare) = spare.filter(|_| last(&widths) < wanted.min(LAST_ENOUGH)) {
                return self.without(spare).render(screen, color);
            }
        }
        let cells = fitting(&widths, screen);
        widths.truncate(cells);
        let mut text = String::new();
        if self.columns.iter().any(|c| !c.title.is_empty()) {
            let titles = self
                .columns
                .iter()
                .map(|c| Cell::inked(Ink::Dim, if short { c.short } else { c.title }));
            self.line(&mut text, &titles.collect::<Vec<_>>(), &widths, color);
        }
        for row in &self.rows {
            self.line(&mut text, row, &widths, color);
        }
        text
    }

    fn without(&self, column: usize) -> Self {
        let (mut columns, mut rows) = (self.columns.clone(), self.rows.clone());
        columns.remove(column);
        for row in &mut rows {
            row.remove(column);
        }
        Self { columns, rows }
    }

    fn line(&self, text: &mut String, cells: &[Cell], widths: &[usize], color: bool) {
        let last = widths.len().saturating_sub(1);
        let mut line = " ".repeat(MARGIN);
        let mut pending = 0;
        for (at, (cell, wide)) in cells.iter().zip(widths).enumerate() {
            let column = &self.columns[at];
            let shown = if column.min.is_some() && at != last {
                cut_middle(&cell.text, *wide)
            } else {
                cut_end(&cell.text, *wide)
            };
            let pad = wide - width(&shown).min(*wide);
            // Blanks are written only once something follows them, so that no line ends in any.
            let (before, after) = match column.align {
                Align::Left => (0, pad),
                Align::Right => (pad, 0),
            };
            if !shown.is_empty() {
                line.push_str(&" ".repeat(pending + before));
                line.push_str(&cell.ink.paint(color, &shown));
                pending = after + GAP;
            } else {
                pending += before + after + GAP;
            }
        }
        text.push_str(&line);
        text.push('\n');
    }
}

/// How many columns from the left the screen has room for.
fn fitting(widths: &[usize], screen: usize) -> usize {
    let mut used = MARGIN;
    for (at, wide) in widths.iter().enumerate() {
        used += wide + if at == 0 { 0 } else { GAP };
        let squeezed = at > 0 && at + 1 == widths.len() && used >= screen && *wide < LAST_MIN;
        if used > screen || squeezed {
            return at.max(1);
        }
    }
    widths.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_middle_and_sentences_their_end() {
        assert_eq!(cut_middle("a-very-long-daemon-name", 11), "a-ver…-name");
        assert_eq!(cut_end("connect timed out", 9), "connect…");
        assert_eq!(cut_middle("short", 11), "short");
        assert_eq!(cut_end("x", 0), "");
    }

    #[test]
    fn wide_characters_count_twice() {
        assert_eq!(cut_end("日本語日本語", 7), "日本語…");
        assert_eq!(cut_middle("日本語日本語", 7), "日…語");
    }

    #[test]
    fn no_row_is_wider_than_the_screen() {
        let columns = vec![
            Column::left("NAME").shrinking_to(8),
            Column::right("RESTARTS").or_short("RST"),
            Column::left("WHY"),
        ];
        let mut table = Table::new(columns);
        table.row(vec![
            Cell::plain("a-name-that-is-much-too-long-for-this"),
            Cell::plain("7"),
            Cell::plain("a reason that goes on and on and on"),
        ]);
        for screen in 20..90 {
            for line in table.render(screen, false).lines() {
                assert!(width(line) <= screen, "{screen}: {line:?}");
            }
        }
        assert_eq!(
            table.render(44, false),
            " NAME                     RST  WHY\n a-name-that…ng-for-this    7  a reason tha…\n"
        );
    }
}
