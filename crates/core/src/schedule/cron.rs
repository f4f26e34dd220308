//! Cron expressions: crontab(5), with seconds before the minutes if there are six fields.
//!
//! The fields themselves, and the days when clocks are changed, are the crate `croner`'s.
//! Deliberately absent: `@reboot`, which is no time.

use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Refused;

/// Largest value of each field: seconds, minutes, hours, days, months, weekdays. Sunday is 0; that
/// it is called 7 too does not make the week longer.
const HIGHEST: [&str; 6] = ["59", "59", "23", "31", "12", "6"];

/// What the fields are called.
const NAMES: [&str; 6] = ["second", "minute", "hour", "day", "month", "weekday"];

/// A parsed expression.
#[derive(Debug, Clone)]
pub struct Cron(Box<croner::Cron>);

impl Cron {
    /// Reads an expression.
    ///
    /// # Errors
    /// When it cannot be understood.
    pub fn parse(text: &str) -> Result<Self, Refused> {
        let refuse = |why: String| Refused::at(text, text, why);
        if text.trim().eq_ignore_ascii_case("@reboot") {
            return Err(refuse(
                "it is no time: it means each start of the machine".to_owned(),
            ));
        }
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let count = fields.len();
        if !text.trim_start().starts_with('@') && !matches!(count, 5 | 6) {
            return Err(refuse(format!(
                "it has {count} fields: minute hour day month weekday are five, and seconds may \
                 come first"
            )));
        }
        // Others take an empty part for nothing at all, and then look for it until the year 5000.
        if let Some(field) = fields.iter().find(|f| f.split(',').any(str::is_empty)) {
            let why = format!("`{field}` has a comma with nothing beside it");
            return Err(Refused::at(text, field, why));
        }
        // Words stand for numbers; they are not added to them.
        let mixes = |part: &str| {
            let is_word = part
                .bytes()
                .any(|b| b.is_ascii_alphabetic() && !b"LW".contains(&b));
            is_word && part.starts_with(|c: char| c.is_ascii_digit())
        };
        let parts = |field: &&&str| field.split([',', '-', '/', '#']).any(mixes);
        if let Some(field) = fields.iter().find(parts) {
            let why = format!("`{field}` has a number and a word in one");
            return Err(Refused::at(text, field, why));
        }
        let highest = HIGHEST.get(HIGHEST.len().saturating_sub(count)..);
        let plain_fields: Vec<String> = fields
            .iter()
            .zip(highest.unwrap_or(&HIGHEST))
            .map(|(field, highest)| with_ends(field, highest))
            .collect();
        let plain = match text.trim_start().starts_with('@') {
            true => text.trim().to_owned(),
            false => plain_fields.join(" "),
        };
        let parser = CronParser::builder()
            .seconds(Seconds::Optional)
            .year(Year::Disallowed)
            .build();
        let parsed = parser.parse(&plain);
        let parsed = parsed.map_err(|error| {
            let error = error.to_string();
            let error = error.trim_start_matches("Component error: ");
            let error = error.trim_end_matches('.');
            let names = NAMES.get(NAMES.len().saturating_sub(count)..);
            let mut places = fields
                .iter()
                .zip(&plain_fields)
                .zip(names.unwrap_or(&NAMES));
            let culprit = places.find(|((_, plain), name)| !is_good_alone(&parser, plain, name));
            match culprit {
                Some(((field, _), name)) => {
                    let why = format!("`{field}` is no {name}: {error}");
                    Refused::at(text, field, why)
                }
                None => Refused::at(text, text, error),
            }
        })?;
        Ok(Self(Box::new(parsed)))
    }

    pub(super) fn after(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let begin = after.to_zoned(zone.clone());
        let found = self.0.find_next_occurrence(&begin, false).ok()?;
        Some(found.timestamp()).filter(|found| *found > after)
    }
}

/// `5/15` means from 5 to the end, as every cron has it.
fn with_ends(field: &str, highest: &str) -> String {
    let parts = field.split(',').map(|part| match part.split_once('/') {
        Some((begin, _)) if begin == "7" && highest == "6" => begin.to_owned(),
        Some((begin, step)) if begin.bytes().all(|b| b.is_ascii_digit()) && !begin.is_empty() => {
            format!("{begin}-{highest}/{step}")
        }
        _ => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join(",")
}

/// Whether a field is one of this name, with stars for all others.
fn is_good_alone(parser: &CronParser, field: &str, name: &str) -> bool {
    let fields = NAMES.map(|other| if other == name { field } else { "*" });
    parser.parse(&fields.join(" ")).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Schedule;

    #[test]
    fn refusals_name_the_field() {
        for (text, part, why) in [
            ("61 * * * *", "61", "no minute"),
            ("0 24 * * *", "24", "no hour"),
            ("0 0 * FOO *", "FOO", "no month"),
            ("0 0 0 * * *,9", "*,9", "no weekday"),
            ("0 0 31 2 *", "0 0 31 2 *", "never comes true"),
            (", * * 1 *", ",", "nothing beside it"),
            ("0 0 * 0mon *", "0mon", "number and a word"),
            ("* * * *", "* * * *", "4 fields"),
            ("", "", "0 fields"),
            ("@reboot", "@reboot", "is no time"),
            ("@often", "@often", ""),
        ] {
            let refused = Schedule::cron(text, TimeZone::UTC).unwrap_err();
            assert!(refused.why.contains(why), "{text}: {refused}");
            assert_eq!(&text[refused.part.clone()], part, "{text}: {refused}");
        }
    }

    #[test]
    fn a_step_without_an_end_goes_to_the_end() {
        let schedule = Schedule::cron("5/15 22/1 * * *", TimeZone::UTC).unwrap();
        let at = "2026-11-24T22:50:00Z".parse().unwrap();
        let next = schedule.after(at).unwrap();
        assert_eq!(next.to_string(), "2026-11-24T23:05:00Z");
    }
}
