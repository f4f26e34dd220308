//! `eud next`: times to come, where they are meant and everywhere.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

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
        table.row(vec![
            Cell::plain(local.strftime("%a %Y-%m-%d %H:%M:%S %:z").to_string()),
            Cell::plain(at.to_string()),
            Cell::plain(wait(*at, screen)),
        ]);
    }
    table.render(screen.width, screen.color)
}

/// What is known of the times of one job.
#[derive(Debug, Clone)]
pub(crate) struct Coming {
    /// Its name.
    pub(crate) job: String,
    /// Zone in which its times are meant.
    pub(crate) zone: TimeZone,
    /// Times to come, without jitter.
    pub(crate) times: Vec<Timestamp>,
    /// Everything that fires it, in words.
    pub(crate) fired_by: Vec<String>,
    /// Why no time counts now.
    pub(crate) at_rest: Option<String>,
}

impl Coming {
    /// As documented.
    pub(crate) fn to_json(&self) -> Value {
        let times = self.times.iter().map(|at| moment_json(*at, &self.zone));
        json!({
            "job": self.job,
            "zone": self.zone.iana_name().filter(|name| *name != "local"),
            "times": times.collect::<Vec<_>>(),
            "fired_by": self.fired_by,
            "at_rest": self.at_rest,
        })
    }
}

/// A moment as the clock of a zone shows it, and in UTC.
pub(crate) fn moment_json(at: Timestamp, zone: &TimeZone) -> Value {
    let local = at.to_zoned(zone.clone());
    let local = local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
    let utc = at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    json!({ "local": local, "utc": utc })
}

/// A row for each time of each job, the soonest first; then what has no times.
pub(crate) fn of_jobs(all: &[Coming], screen: &Screen) -> String {
    if all.is_empty() {
        return "no jobs yet: give a daemon a `schedule`\n".to_owned();
    }
    let mut rows: Vec<(Timestamp, &Coming)> = Vec::new();
    for job in all {
        rows.extend(job.times.iter().map(|at| (*at, job)));
    }
    rows.sort_by_key(|(at, job)| (*at, job.job.clone()));
    let mut text = String::new();
    if !rows.is_empty() {
        let mut table = Table::new(vec![
            Column::left("JOB").shrinking_to(10),
            Column::left("LOCAL"),
            Column::left("UTC"),
            Column::right("IN"),
        ]);
        for (at, job) in rows {
            let local = at.to_zoned(job.zone.clone());
            table.row(vec![
                Cell::plain(&job.job),
                Cell::plain(local.strftime("%a %Y-%m-%d %H:%M:%S %:z").to_string()),
                Cell::plain(at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
                Cell::plain(wait(at, screen)),
            ]);
        }
        text.push_str(&table.render(screen.width, screen.color));
    }
    let timeless: Vec<&Coming> = all.iter().filter(|job| job.times.is_empty()).collect();
    if timeless.is_empty() {
        return text;
    }
    if !text.is_empty() {
        text.push('\n');
    }
    let mut table = Table::new(vec![
        Column::left("JOB").shrinking_to(10),
        Column::left("RUNS"),
    ]);
    for job in timeless {
        let words = match &job.at_rest {
            Some(why) => why.clone(),
            None => job.fired_by.join("; "),
        };
        table.row(vec![Cell::plain(&job.job), Cell::plain(words)]);
    }
    text.push_str(&table.render(screen.width, screen.color));
    text
}

fn wait(at: Timestamp, screen: &Screen) -> String {
    let seconds = -screen.clock.seconds_since(at);
    if seconds > 0.0 {
        time::span(seconds)
    } else {
        "–".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_without_times_say_what_runs_them() {
        let coming = |job: &str, times: &[&str], at_rest: Option<&str>| Coming {
            job: job.to_owned(),
            zone: TimeZone::get("Europe/Oslo").unwrap(),
            times: times.iter().map(|t| t.parse().unwrap()).collect(),
            fired_by: vec!["when /srv/docs changes".to_owned()],
            at_rest: at_rest.map(str::to_owned),
        };
        let all = [
            coming("late", &["2026-11-25T02:30:00Z"], None),
            coming("soon", &["2026-11-23T15:00:00Z"], None),
            coming("reindex", &[], None),
            coming("b2-backup", &[], Some("held: quota")),
        ];
        assert_eq!(
            of_jobs(&all, &Screen::fixed(80)),
            " JOB   LOCAL                           UTC                        IN\n \
             soon  Mon 2026-11-23 16:00:00 +01:00  2026-11-23T15:00:00Z  57m 46s\n \
             late  Wed 2026-11-25 03:30:00 +01:00  2026-11-25T02:30:00Z   1d 12h\n\n \
             JOB        RUNS\n \
             reindex    when /srv/docs changes\n \
             b2-backup  held: quota\n"
        );
    }

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
