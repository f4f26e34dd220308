//! `eud next`: times to come, where they are meant and everywhere.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Screen;
use super::layout::{Cell, Column, Table};
use super::time;

/// A row for each time.
pub(crate) fn render(times: &[Timestamp], zone: &TimeZone, screen: &Screen) -> String {
    if times.is_empty() {
        return "never again\n".to_owned();
    }
    let mut table = Table::new(vec![
        Column::left("LOCAL"),
        Column::left("UTC"),
        Column::right("IN"),
    ]);
    for at in times {
        let local = at.to_zoned(zone.clone());
        let seconds = -screen.clock.seconds_since(*at);
        let wait = if seconds > 0.0 {
            time::span(seconds)
        } else {
            "–".to_owned()
        };
        table.row(vec![
            Cell::plain(local.strftime("%a %Y-%m-%d %H:%M:%S %:z").to_string()),
            Cell::plain(at.to_string()),
            Cell::plain(wait),
        ]);
    }
    table.render(screen.width, screen.color)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_twice() {
        let zone = TimeZone::get("Europe/Oslo").unwrap();
        let times = ["2026-11-24T02:30:00Z", "2026-11-25T02:30:00Z"].map(|t| t.parse().unwrap());
        let shown = render(&times, &zone, &Screen::fixed(80));
        assert_eq!(
            shown,
            " LOCAL                           UTC                        IN\n \
             Tue 2026-11-24 03:30:00 +01:00  2026-11-24T02:30:00Z  12h 27m\n \
             Wed 2026-11-25 03:30:00 +01:00  2026-11-25T02:30:00Z   1d 12h\n"
        );
    }
}
