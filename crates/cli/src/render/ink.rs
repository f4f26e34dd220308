//! Colours and glyphs.
//!
//! Purpose: the one table that says which hue and which glyph a state has.
//! Invariants: colour carries state only, and each state has a glyph of one column.

use anstyle::{AnsiColor, Style};
use eud_core::view::State;

/// A hue with a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ink {
    /// As the terminal has it.
    Plain,
    /// Headings and names that matter.
    Bold,
    /// Less important.
    Dim,
    /// Ready.
    Green,
    /// Starting, running.
    Cyan,
    /// Waiting, backing off, degraded.
    Yellow,
    /// Failing.
    Red,
    /// Held.
    Magenta,
    /// Only to tell log sources apart.
    Blue,
}

impl Ink {
    fn style(self) -> Style {
        let of = |color: AnsiColor| color.on_default();
        match self {
            Self::Plain => Style::new(),
            Self::Bold => Style::new().bold(),
            Self::Dim => Style::new().dimmed(),
            Self::Green => of(AnsiColor::Green),
            Self::Cyan => of(AnsiColor::Cyan),
            Self::Yellow => of(AnsiColor::Yellow),
            Self::Red => of(AnsiColor::Red),
            Self::Magenta => of(AnsiColor::Magenta),
            Self::Blue => of(AnsiColor::Blue),
        }
    }

    /// `text` in this hue, or as it is when there is no colour.
    pub(crate) fn paint(self, color: bool, text: &str) -> String {
        if !color || self == Self::Plain || text.is_empty() {
            return text.to_owned();
        }
        let style = self.style();
        format!("{style}{text}{style:#}")
    }
}

/// Hue of a state.
pub(crate) fn ink_of(state: State) -> Ink {
    match state {
        State::Ready => Ink::Green,
        State::Up | State::Running | State::Starting => Ink::Cyan,
        State::Scheduled => Ink::Blue,
        State::Waiting | State::Stopping | State::Backoff | State::CoolDown | State::Degraded => {
            Ink::Yellow
        }
        State::Failed | State::Overdue | State::Unknown => Ink::Red,
        State::Held | State::Paused => Ink::Magenta,
        State::Done | State::Stopped => Ink::Dim,
    }
}

/// Glyph of a state, one column wide.
pub(crate) fn glyph_of(state: State) -> char {
    match state {
        State::Ready => '●',
        State::Up => '▸',
        State::Degraded => '◐',
        State::Starting => '◌',
        State::Waiting => '◔',
        State::Stopping => '▾',
        State::Backoff => '↻',
        State::CoolDown => '◷',
        State::Running => '▶',
        State::Scheduled => '◇',
        State::Overdue => '!',
        State::Paused => '‖',
        State::Failed => '✗',
        State::Unknown => '?',
        State::Held => '■',
        State::Done => '✓',
        State::Stopped => '○',
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_state_has_a_glyph_of_its_own() {
        let glyphs: BTreeSet<char> = State::ALL.into_iter().map(glyph_of).collect();
        assert_eq!(glyphs.len(), State::ALL.len());
    }

    #[test]
    fn without_colour_nothing_is_added() {
        assert_eq!(Ink::Red.paint(false, "x"), "x");
        assert_eq!(Ink::Red.paint(true, "x"), "\u{1b}[31mx\u{1b}[0m");
    }
}
