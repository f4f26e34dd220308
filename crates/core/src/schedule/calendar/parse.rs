//! From text to a [`Calendar`].

use jiff::tz::TimeZone;

use super::Calendar;
use crate::schedule::Refused;

/// What the short words mean.
const WORDS: [(&str, &str); 9] = [
    ("minutely", "*-*-* *:*:00"),
    ("hourly", "*-*-* *:00:00"),
    ("daily", "*-*-* 00:00:00"),
    ("weekly", "Mon *-*-* 00:00:00"),
    ("monthly", "*-*-01 00:00:00"),
    ("quarterly", "*-01,04,07,10-01 00:00:00"),
    ("semiannually", "*-01,07-01 00:00:00"),
    ("yearly", "*-01-01 00:00:00"),
    ("annually", "*-01-01 00:00:00"),
];

const WEEKDAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

/// Years that can be asked for.
const YEARS: (u32, u32) = (1970, 2199);

/// Bits `first` to `last`.
pub(super) fn bits(first: u32, last: u32) -> u64 {
    (first..=last).fold(0, |bits, n| bits | 1 << n)
}

/// See [`Calendar::parse`].
pub(super) fn whole(text: &str) -> Result<(Calendar, Option<TimeZone>), Refused> {
    let mut words: Vec<&str> = text.split_ascii_whitespace().collect();
    let zone = words.last().copied().and_then(zone_of);
    if zone.is_some() {
        words.pop();
    }
    let short = |word: &str| {
        WORDS
            .iter()
            .find(|(short, _)| short.eq_ignore_ascii_case(word))
    };
    if let [word] = words.as_slice()
        && let Some((_, long)) = short(word)
    {
        return Ok((parts(long, &long.split(' ').collect::<Vec<_>>())?, zone));
    }
    if words.is_empty() {
        let why = "it says nothing; for instance: daily, or Mon..Fri 09:00";
        return Err(Refused::at(text, text, why));
    }
    Ok((parts(text, &words)?, zone))
}

fn zone_of(word: &str) -> Option<TimeZone> {
    if word.eq_ignore_ascii_case("utc") {
        return Some(TimeZone::UTC);
    }
    let is_name = word.contains('/') && word.starts_with(|c: char| c.is_ascii_alphabetic());
    is_name.then(|| TimeZone::get(word).ok()).flatten()
}

fn parts(text: &str, words: &[&str]) -> Result<Calendar, Refused> {
    let mut calendar = Calendar {
        weekdays: bits(0, 6) as u8,
        years: Vec::new(),
        months: bits(1, 12) as u16,
        days: bits(1, 31) as u32,
        from_end: false,
        hours: 1,
        minutes: 1,
        seconds: 1,
    };
    let mut rest = words;
    if let Some((word, others)) = rest.split_first()
        && word.starts_with(|c: char| c.is_ascii_alphabetic())
    {
        calendar.weekdays = weekdays(text, word)?;
        rest = others;
    }
    if let Some((word, others)) = rest.split_first()
        && !word.contains(':')
    {
        date(text, word, &mut calendar)?;
        rest = others;
    }
    if let Some((word, others)) = rest.split_first() {
        time(text, word, &mut calendar)?;
        rest = others;
    }
    match rest.first() {
        Some(word) if word.starts_with(|c: char| c.is_ascii_alphabetic()) => Err(Refused::at(
            text,
            word,
            format!("`{word}` is no time zone; they are called as in Europe/Oslo, or UTC"),
        )),
        Some(word) => Err(Refused::at(
            text,
            word,
            format!("`{word}` is too much: weekdays, date, time, zone is all, in this order"),
        )),
        None => Ok(calendar),
    }
}

fn weekdays(text: &str, word: &str) -> Result<u8, Refused> {
    let day = |name: &str| {
        let lower = name.to_ascii_lowercase();
        let place = WEEKDAYS
            .iter()
            .position(|day| *day == lower || (lower.len() == 3 && day.starts_with(&lower)));
        place
            .and_then(|place| u32::try_from(place).ok())
            .ok_or_else(|| {
                let why = format!("`{name}` is no day of the week; they are Mon, Tue … Sun");
                Refused::at(text, name, why)
            })
    };
    let mut found = 0;
    for part in word.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = match part.split_once("..").or_else(|| part.split_once('-')) {
            Some((first, last)) => (day(first)?, day(last)?),
            None => (day(part)?, day(part)?),
        };
        if first > last {
            let why = format!("`{part}` ends before it begins; the week begins with Mon");
            return Err(Refused::at(text, part, why));
        }
        found |= bits(first, last);
    }
    Ok(found as u8)
}

/// `YEAR-MONTH-DAY` or `MONTH-DAY`; `~` before the day counts from the end of the month.
fn date(text: &str, word: &str, calendar: &mut Calendar) -> Result<(), Refused> {
    let (front, day) = match word.rsplit_once('~') {
        Some((front, day)) => {
            calendar.from_end = true;
            (front, day)
        }
        None => word.rsplit_once('-').ok_or_else(|| {
            let why = format!("`{word}` is no date; one is YEAR-MONTH-DAY, any part may be *");
            Refused::at(text, word, why)
        })?,
    };
    let (year, month) = front.split_once('-').unwrap_or(("*", front));
    if year != "*" {
        let years = ranges(text, year, YEARS)?;
        let small = |n: u32| i16::try_from(n).unwrap_or(i16::MAX);
        calendar.years = years
            .into_iter()
            .map(|(first, last, step)| (small(first), small(last), small(step)))
            .collect();
    }
    calendar.months = set(text, month, (1, 12))? as u16;
    calendar.days = set(text, day, (1, 31))? as u32;
    if calendar.from_end {
        // `07/1` goes on to the end of the month there, which is 1.
        calendar.days = 0;
        for (first, last, step) in ranges(text, day, (1, 31))? {
            let steps = usize::try_from(step).unwrap_or(1);
            let is_open = last == 31 && day.contains('/') && !day.contains("..");
            let (low, high) = if is_open { (1, first) } else { (first, last) };
            let places = (low..=high).rev().step_by(steps.max(1));
            calendar.days |= places.fold(0, |bits, n| bits | 1 << n);
        }
    }
    Ok(())
}

/// `HOUR:MINUTE` or `HOUR:MINUTE:SECOND`.
fn time(text: &str, word: &str, calendar: &mut Calendar) -> Result<(), Refused> {
    let fields: Vec<&str> = word.split(':').collect();
    let (hour, minute, second) = match fields.as_slice() {
        [hour, minute] => (*hour, *minute, None),
        [hour, minute, second] => (*hour, *minute, Some(*second)),
        _ => {
            let why = format!("`{word}` is no time; one is HOUR:MINUTE or HOUR:MINUTE:SECOND");
            return Err(Refused::at(text, word, why));
        }
    };
    calendar.hours = set(text, hour, (0, 23))? as u32;
    calendar.minutes = set(text, minute, (0, 59))?;
    if let Some(second) = second {
        calendar.seconds = set(text, second, (0, 59))?;
    }
    Ok(())
}

fn set(text: &str, field: &str, limits: (u32, u32)) -> Result<u64, Refused> {
    let mut found = 0;
    for (first, last, step) in ranges(text, field, limits)? {
        let step = usize::try_from(step.max(1)).unwrap_or(usize::MAX);
        found |= (first..=last).step_by(step).fold(0, |b, n| b | 1_u64 << n);
    }
    Ok(found)
}

/// `*`, or a list of `VALUE`, `FIRST..LAST` and either with `/STEP`.
fn ranges(
    text: &str,
    field: &str,
    (low, high): (u32, u32),
) -> Result<Vec<(u32, u32, u32)>, Refused> {
    if field == "*" {
        return Ok(vec![(low, high, 1)]);
    }
    let number = |word: &str| {
        let value: u32 = word.parse().map_err(|_| {
            let why = if word.starts_with('*') {
                format!("`*` stands alone; for every so many write {low}/STEP")
            } else if word.contains('.') {
                format!("`{word}` is no whole number")
            } else {
                format!("`{word}` is no number")
            };
            Refused::at(text, if word.is_empty() { field } else { word }, why)
        })?;
        if (low..=high).contains(&value) {
            return Ok(value);
        }
        let why = format!("{value} is not from {low} to {high}");
        Err(Refused::at(text, word, why))
    };
    let mut found = Vec::new();
    for part in field.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (part, None),
        };
        let steps = step.map(|step| match step.parse::<u32>() {
            Ok(steps @ 1..) => Ok(steps),
            _ => Err(Refused::at(
                text,
                step,
                format!("`{step}` is no step; it is a number from 1"),
            )),
        });
        let steps = steps.transpose()?;
        let (first, last) = match range.split_once("..") {
            Some((first, last)) => (number(first)?, number(last)?),
            None if steps.is_some() => (number(range)?, high),
            None => (number(range)?, number(range)?),
        };
        if first > last {
            let why = format!("`{range}` ends before it begins");
            return Err(Refused::at(text, range, why));
        }
        found.push((first, last, steps.unwrap_or(1)));
    }
    Ok(found)
}
