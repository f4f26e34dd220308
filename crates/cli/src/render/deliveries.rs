//! Subscriptions and dead letters.

use eud_core::event::Event;
use eud_core::record::DeadLetterRow;
use eud_core::view::{BusView, SubscriptionView};
use jiff::Timestamp;

use super::Screen;
use super::ink::Ink;
use super::layout::{Cell, Column, Table, one_line};

/// A row for each subscription, and how many dead letters there are.
pub(crate) fn subscriptions(bus: &BusView, screen: &Screen) -> String {
    let mut table = Table::new(vec![
        Column::left("SUBSCRIPTION").shrinking_to(8),
        Column::left("STATE"),
        Column::right("BEHIND"),
        Column::right("WAITING"),
        Column::right("DELIVERED"),
        Column::right("DEAD"),
        Column::left("HANDLER"),
    ]);
    for view in &bus.subscriptions {
        let (ink, state) = state(view);
        table.row(vec![
            Cell::plain(view.name.clone()),
            Cell::inked(ink, state),
            Cell::plain(view.behind.to_string()),
            Cell::plain((view.waiting + view.delivering).to_string()),
            Cell::plain(view.delivered_total.to_string()),
            Cell::plain(view.dead_total.to_string()),
            Cell::plain(one_line(&view.handler)),
        ]);
    }
    let mut text = table.render(screen.width, screen.color);
    for view in &bus.subscriptions {
        let troubles = [
            ("last error", view.last_error.as_ref()),
            ("filter", view.filter_error.as_ref()),
        ];
        for (what, why) in troubles {
            if let Some(why) = why {
                text.push_str(&format!(" {}: {what}: {}\n", view.name, one_line(why)));
            }
        }
    }
    if bus.dead_letters > 0 {
        let count = bus.dead_letters;
        text.push_str(&format!(" dead letters: {count}; see `eud dlq`\n"));
    }
    text
}

fn state(view: &SubscriptionView) -> (Ink, &'static str) {
    match view {
        SubscriptionView { paused: true, .. } => (Ink::Magenta, "‖ paused"),
        SubscriptionView {
            last_error: Some(_),
            ..
        } => (Ink::Yellow, "↻ retrying"),
        SubscriptionView { behind: 1.., .. } => (Ink::Yellow, "◔ behind"),
        _ => (Ink::Green, "● ok"),
    }
}

/// Whose dead letter it is.
pub(crate) fn name_of(row: &DeadLetterRow) -> &str {
    let outlet = &row.delivery.outlet;
    outlet.strip_prefix("subscription.").unwrap_or(outlet)
}

/// A row for each dead letter.
pub(crate) fn dead_letters(rows: &[DeadLetterRow], screen: &Screen) -> String {
    let mut table = Table::new(vec![
        Column::right("NUMBER"),
        Column::left("SINCE"),
        Column::left("SUBSCRIPTION").shrinking_to(8),
        Column::right("EVENT"),
        Column::right("TRIES"),
        Column::left("LAST ERROR"),
    ]);
    for row in rows {
        let at = Timestamp::from_millisecond(row.at_ms).unwrap_or_default();
        let why = row.delivery.errors.last().map(|error| one_line(&error.why));
        table.row(vec![
            Cell::plain(row.id.to_string()),
            Cell::plain(screen.clock.moment(at)),
            Cell::plain(name_of(row)),
            Cell::plain(row.delivery.seq.to_string()),
            Cell::plain(row.delivery.attempts.to_string()),
            Cell::inked(Ink::Red, why.unwrap_or_default()),
        ]);
    }
    table.render(screen.width, screen.color)
}

/// Everything known of a dead letter.
pub(crate) fn story(row: &DeadLetterRow, event: Option<&Event>, screen: &Screen) -> String {
    let moment = |ms| {
        let at = Timestamp::from_millisecond(ms).unwrap_or_default();
        screen.clock.absolute(at)
    };
    let next = match (row.retry_ms, row.abandoned) {
        (Some(at_ms), _) => format!("tried again by itself at {}", moment(at_ms)),
        (None, true) => "abandoned".to_owned(),
        (None, false) => format!("eud dlq retry {}", row.id),
    };
    let mut text = format!(
        "dead letter {} of {}\n  given up   {}\n  tries      {}\n  next       {next}\n",
        row.id,
        name_of(row),
        moment(row.at_ms),
        row.delivery.attempts,
    );
    for error in &row.delivery.errors {
        let why = Ink::Red.paint(screen.color, &one_line(&error.why));
        text.push_str(&format!("  {}  {why}\n", moment(error.at_ms)));
    }
    let event = match event {
        Some(event) => serde_json::to_string_pretty(&event.to_cloudevent()).unwrap_or_default(),
        None => "its event is not kept any more".to_owned(),
    };
    text.push_str(&format!("{event}\n"));
    text
}

#[cfg(test)]
mod tests {
    use eud_core::record::{AttemptError, DeliveryRow};

    use super::*;

    fn dead() -> DeadLetterRow {
        DeadLetterRow {
            id: 7,
            at_ms: 1_795_442_520_250,
            delivery: DeliveryRow {
                outlet: "subscription.index".into(),
                seq: 12,
                attempts: 6,
                errors: vec![AttemptError {
                    at_ms: 1_795_442_520_250,
                    why: "HTTP 500: out of\nmemory".into(),
                }],
                ..DeliveryRow::default()
            },
            ..DeadLetterRow::default()
        }
    }

    #[test]
    fn dead_letters_in_a_table_and_one_with_its_story() {
        let screen = Screen::fixed(80);
        assert_eq!(
            dead_letters(&[dead()], &screen),
            " NUMBER  SINCE    SUBSCRIPTION  EVENT  TRIES  LAST ERROR\n      \
             7  14s ago  index            12      6  HTTP 500: out of memory\n"
        );
        let story = story(&dead(), None, &screen);
        assert!(story.starts_with("dead letter 7 of index\n"), "{story}");
        assert!(story.contains("eud dlq retry 7"), "{story}");
        assert!(
            story.ends_with("its event is not kept any more\n"),
            "{story}"
        );
    }

    #[test]
    fn subscriptions_say_who_is_behind_and_why() {
        let view = |name: &str| SubscriptionView {
            name: name.into(),
            handler: "exec".into(),
            ..SubscriptionView::default()
        };
        let bus = BusView {
            dead_letters: 2,
            subscriptions: vec![
                SubscriptionView {
                    behind: 7,
                    paused: true,
                    ..view("slow")
                },
                SubscriptionView {
                    last_error: Some("HTTP 500".into()),
                    waiting: 1,
                    ..view("web")
                },
            ],
            ..BusView::default()
        };
        let text = subscriptions(&bus, &Screen::fixed(80));
        for words in [
            "‖ paused",
            "↻ retrying",
            "web: last error: HTTP 500",
            "eud dlq",
        ] {
            assert!(text.contains(words), "{text}");
        }
    }
}
