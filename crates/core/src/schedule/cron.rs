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

/// Expressions with a name, and what they mean.
const NICKNAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

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
        let name = text.trim_ascii();
        if name.eq_ignore_ascii_case("@reboot") {
            return Err(refuse(
                "it is no time: it means each start of the machine".to_owned(),
            ));
        }
        if name.starts_with('@') {
            let is_meant = |(known, _): &&(&str, &str)| known.eq_ignore_ascii_case(name);
            let Some((_, meaning)) = NICKNAMES.iter().find(is_meant) else {
                let known = NICKNAMES.map(|(name, _)| name).join(" ");
                return Err(refuse(format!("there is no `{name}`; there are {known}")));
            };
            return Self::parse(meaning);
        }
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let count = fields.len();
        if !matches!(count, 5 | 6) {
            return Err(refuse(format!(
                "it has {count} fields: minute hour day month weekday are five, and seconds may \
                 come first"
            )));
        }
        for field in &fields {
            if let Some(why) = nonsense(field) {
                return Err(Refused::at(text, field, format!("`{field}` has {why}")));
            }
        }
        let highest = HIGHEST.get(HIGHEST.len().saturating_sub(count)..);
        let plain_fields: Vec<String> = fields
            .iter()
            .zip(highest.unwrap_or(&HIGHEST))
            .map(|(field, highest)| with_ends(field, highest))
            .collect();
        let parser = CronParser::builder()
            .seconds(Seconds::Optional)
            .year(Year::Disallowed)
            .build();
        let parsed = parser.parse(&plain_fields.join(" "));
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

/// What others than us would take for something. Fields of which a part is empty, say, for fields
/// that hold at no time, looked for until the year 5000.
fn nonsense(field: &str) -> Option<&'static str> {
    // Words stand for numbers; they are not added to them.
    let mixes = |part: &str| {
        let is_word = |b: u8| b.is_ascii_alphabetic() && !b"LW".contains(&b);
        part.bytes().any(is_word) && part.starts_with(|c: char| c.is_ascii_digit())
    };
    if !field.is_ascii() {
        Some("characters that no cron knows")
    } else if field.split(',').any(str::is_empty) {
        Some("a comma with nothing beside it")
    } else if field.split([',', '-', '/', '#']).any(mixes) {
        Some("a number and a word in one")
    } else {
        None
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
            (
                "@often",
                "@often",
                "there is no `@often`; there are @yearly",
            ),
            ("@daily x", "@daily x", "there is no"),
            ("\u{a0}* * * * *", "\u{a0}*", "no cron knows"),
        ] {
            let refused = Schedule::cron(text, TimeZone::UTC).unwrap_err();
            assert!(refused.why.contains(why), "{text}: {refused}");
            assert_eq!(&text[refused.part.clone()], part, "{text}: {refused}");
        }
    }

    #[test]
    fn nicknames_are_known_in_any_case() {
        let at = "2026-11-24T22:50:00Z".parse().unwrap();
        for (name, next) in [
            ("@yearly", "2027-01-01T00:00:00Z"),
            ("@Annually", "2027-01-01T00:00:00Z"),
            ("@monthly", "2026-12-01T00:00:00Z"),
            ("@weekly", "2026-11-29T00:00:00Z"),
            ("@DAILY", "2026-11-25T00:00:00Z"),
            (" @midnight ", "2026-11-25T00:00:00Z"),
            ("@hourly", "2026-11-24T23:00:00Z"),
        ] {
            let schedule = Schedule::cron(name, TimeZone::UTC).unwrap();
            assert_eq!(schedule.after(at).unwrap().to_string(), next, "{name}");
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
