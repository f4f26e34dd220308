//! Channels and messages that are not sent.
//!
//! Invariants: what a message or a channel says is shown without what would move the cursor; no
//! line is wider than the screen.

use eud_core::fleet::Severity;
use eud_core::record::WallMs;
use eud_core::view::{ChannelView, MessageState, MessageView};
use jiff::Timestamp;

use super::Screen;
use super::ink::Ink;
use super::layout::{Cell, Column, Table, one_line};

fn at(ms: WallMs) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or_default()
}

/// `eud channels`: a row for each.
pub(crate) fn list(channels: &[ChannelView], screen: &Screen) -> String {
    let mut table = Table::new(vec![
        Column::left("CHANNEL").shrinking_to(8),
        Column::left("STATE"),
        Column::left("VIA").shrinking_to(12),
        Column::right("WAIT"),
        Column::right("SENT"),
        Column::right("DROPPED"),
        Column::right("FAILED"),
        Column::left("WHY"),
    ]);
    for channel in channels {
        let (ink, word) = state(channel, screen);
        let why = channel.last_error.as_deref();
        table.row(vec![
            Cell::plain(&channel.name),
            Cell::inked(ink, word),
            Cell::plain(one_line(&channel.via)),
            Cell::plain(channel.waiting.to_string()),
            Cell::plain(channel.sent_total.to_string()),
            Cell::plain(channel.dropped_total.to_string()),
            Cell::plain(channel.failed.to_string()),
            Cell::plain(why.map(one_line).unwrap_or_default()),
        ]);
    }
    let mut text = table.render(screen.width, screen.color);
    let failed: u64 = channels.iter().map(|channel| channel.failed).sum();
    if failed > 0 {
        text.push_str(&format!(
            " not sent: {failed}; see `eud channels messages`\n"
        ));
    }
    text
}

fn state(channel: &ChannelView, screen: &Screen) -> (Ink, String) {
    match channel.quiet_until_ms {
        _ if channel.last_error.is_some() => (Ink::Yellow, "↻ failing".to_owned()),
        Some(until) => {
            let until = screen.clock.moment(at(until));
            (Ink::Blue, format!("◷ quiet to {until}"))
        }
        None => (Ink::Green, "● ok".to_owned()),
    }
}

/// `eud channels messages`: a row for each, as given.
pub(crate) fn messages(messages: &[MessageView], screen: &Screen) -> String {
    let mut table = Table::new(vec![
        Column::right("ID"),
        Column::right("SINCE"),
        Column::left("CHANNEL").shrinking_to(8),
        Column::left("STATE"),
        Column::left("SEVERITY"),
        Column::left("TITLE").shrinking_to(12),
        Column::right("TRIES"),
        Column::left("WHY"),
    ]);
    for message in messages {
        let (ink, word) = match message.state {
            MessageState::Waiting => (Ink::Plain, "◷ waits"),
            MessageState::Sending => (Ink::Cyan, "▶ sending"),
            MessageState::Failed => (Ink::Red, "✗ failed"),
        };
        let row = &message.row;
        let since = match screen.verbose {
            true => screen.clock.absolute(at(row.message.at_ms)),
            false => screen.clock.age(at(row.message.at_ms)),
        };
        let severity = row.message.severity;
        let hue = match severity {
            Severity::Info => Ink::Dim,
            Severity::Warning => Ink::Yellow,
            Severity::Error | Severity::Critical => Ink::Red,
        };
        let last = row.errors.last();
        table.row(vec![
            Cell::plain(row.id.to_string()),
            Cell::plain(since),
            Cell::plain(&row.channel),
            Cell::inked(ink, word),
            Cell::inked(hue, severity.as_str()),
            Cell::plain(one_line(&row.message.title)),
            Cell::plain(row.attempts.to_string()),
            Cell::plain(last.map(|error| one_line(&error.why)).unwrap_or_default()),
        ]);
    }
    table.render(screen.width, screen.color)
}
