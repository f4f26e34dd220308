//! What was measured, cell by cell.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::json;

use crate::bench::report::{percentile, short};

/// A column. Less is better in every one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Metric {
    /// 100 services with logs, from the command to the last one's own stamp.
    Start100,
    /// 500 without logs.
    Start500,
    /// 1,000 without logs.
    Start1000,
    /// From `kill -9` to the new process's stamp.
    Restart,
    /// 50 killed at once, until all are back.
    Storm,
    /// The supervisor's CPU for that.
    StormCpu,
    /// From the command to the end of the last service.
    Stop,
    /// The command that shows the state.
    Status,
    /// Memory of everything on the supervisor's side.
    Pss,
    /// Processes there.
    Processes,
    /// Wakeups there.
    Wakeups,
    /// CPU there while nothing happens.
    IdleCpu,
    /// 30 MB: how long the writer takes.
    LogWriter,
    /// 30 MB: CPU of whoever logs.
    LogCpu,
    /// 30 MB: lines that are not there afterwards.
    LogLost,
    /// 1 GB likewise.
    LargeLogWriter,
    /// 1 GB likewise.
    LargeLogCpu,
    /// 1 GB likewise.
    LargeLogLost,
    /// Processes of a service that outlive a stop.
    Survivors,
    /// Second copies after the supervisor was killed and started again.
    Copies,
    /// Services that began anew then.
    Interrupted,
    /// Lines lost then.
    LinesLost,
    /// Ends while it was dead whose code it does not know when it is back.
    CodesLost,
}

impl Metric {
    /// Key, heading, unit.
    fn names(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Start100 => ("start-100", "start 100", "ms"),
            Self::Start500 => ("start-500", "start 500", "ms"),
            Self::Start1000 => ("start-1000", "start 1,000", "ms"),
            Self::Restart => ("restart", "restart", "ms"),
            Self::Storm => ("storm", "50 crash", "ms"),
            Self::StormCpu => ("storm-cpu", "its CPU", "ms"),
            Self::Stop => ("stop", "stop all", "ms"),
            Self::Status => ("status", "status", "ms"),
            Self::Pss => ("pss", "PSS", "MB"),
            Self::Processes => ("processes", "processes", ""),
            Self::Wakeups => ("wakeups", "wakeups", "/s"),
            Self::IdleCpu => ("idle-cpu", "idle CPU", "%"),
            Self::LogWriter => ("log-writer", "30 MB: writer", "s"),
            Self::LogCpu => ("log-cpu", "CPU", "s"),
            Self::LogLost => ("log-lost", "lost", "lines"),
            Self::LargeLogWriter => ("large-log-writer", "1 GB: writer", "s"),
            Self::LargeLogCpu => ("large-log-cpu", "CPU", "s"),
            Self::LargeLogLost => ("large-log-lost", "lost", "lines"),
            Self::Survivors => ("survivors", "survivors of a stop", ""),
            Self::Copies => ("copies", "second copies", ""),
            Self::Interrupted => ("interrupted", "begun anew", ""),
            Self::LinesLost => ("lines-lost", "lines lost", ""),
            Self::CodesLost => ("codes-lost", "codes lost", ""),
        }
    }

    /// For files and programs.
    pub(super) fn key(self) -> &'static str {
        self.names().0
    }

    /// For people, with its unit.
    pub(super) fn heading(self) -> String {
        let (_, heading, unit) = self.names();
        if unit.is_empty() {
            return heading.to_owned();
        }
        format!("{heading}, {unit}")
    }
}

/// The tables, in the order in which they are shown.
pub(super) const TABLES: [(&str, &[Metric]); 4] = [
    (
        "A hundred services, logs on",
        &[
            Metric::Start100,
            Metric::Restart,
            Metric::Storm,
            Metric::StormCpu,
            Metric::Stop,
            Metric::Status,
            Metric::Pss,
            Metric::Processes,
            Metric::Wakeups,
            Metric::IdleCpu,
        ],
    ),
    ("Starting many", &[Metric::Start500, Metric::Start1000]),
    (
        "Logs",
        &[
            Metric::LogWriter,
            Metric::LogCpu,
            Metric::LogLost,
            Metric::LargeLogWriter,
            Metric::LargeLogCpu,
            Metric::LargeLogLost,
        ],
    ),
    (
        "Faults",
        &[
            Metric::Survivors,
            Metric::Copies,
            Metric::Interrupted,
            Metric::LinesLost,
            Metric::CodesLost,
        ],
    ),
];

/// Who took part.
#[derive(Debug, Clone)]
pub(super) struct Who {
    /// Its name.
    pub(super) name: &'static str,
    /// `None` when it is not installed.
    pub(super) version: Option<String>,
    /// What a reader should know.
    pub(super) note: &'static str,
}

/// Everything measured.
#[derive(Debug, Default)]
pub(super) struct Cells {
    values: BTreeMap<(&'static str, Metric), Vec<f64>>,
    /// Who took part, in order.
    pub(super) who: Vec<Who>,
    /// What could not be measured.
    pub(super) failures: Vec<String>,
}

impl Cells {
    /// Takes a value.
    pub(super) fn add(&mut self, peer: &'static str, metric: Metric, value: f64) {
        self.values.entry((peer, metric)).or_default().push(value);
    }

    /// Takes note of who takes part.
    pub(super) fn version(
        &mut self,
        name: &'static str,
        version: Option<String>,
        note: &'static str,
    ) {
        self.who.push(Who {
            name,
            version,
            note,
        });
    }

    /// A scenario did not get to its end.
    pub(super) fn failed(&mut self, peer: &str, scenario: &str, why: &str) {
        let text = format!("{peer}, {scenario}: {why}");
        if !self.failures.contains(&text) {
            self.failures.push(text);
        }
    }

    /// Median, lower and upper quartile, and how many values.
    pub(super) fn middle(&self, peer: &str, metric: Metric) -> Option<(f64, f64, f64, usize)> {
        let found = self
            .values
            .iter()
            .find(|((p, m), _)| *p == peer && *m == metric);
        let values = found.map(|(_, values)| values).filter(|v| !v.is_empty())?;
        let at = |percent| percentile(values.clone(), percent);
        Some((at(50), at(25), at(75), values.len()))
    }

    /// Names in the order of rows.
    pub(super) fn rows(&self) -> Vec<&'static str> {
        let mut rows: Vec<_> = self.who.iter().map(|who| who.name).collect();
        rows.push("bare spawn");
        rows
    }

    /// A cell, or a dash.
    pub(super) fn cell(&self, peer: &str, metric: Metric) -> String {
        let Some((middle, low, high, count)) = self.middle(peer, metric) else {
            return "–".into();
        };
        if count < 2 || high - low <= middle / 20.0 {
            return short(middle);
        }
        format!("{} ({}–{})", short(middle), short(low), short(high))
    }

    /// For the terminal.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (title, metrics) in TABLES {
            let _ = writeln!(text, "\n{title}");
            for metric in metrics {
                let mut line = format!("  {:<22}", metric.heading());
                for row in self.rows() {
                    if let Some((middle, ..)) = self.middle(row, *metric) {
                        let _ = write!(line, "{row} {}   ", short(middle));
                    }
                }
                let _ = writeln!(text, "{}", line.trim_end());
            }
        }
        for failure in &self.failures {
            let _ = writeln!(text, "not measured: {failure}");
        }
        text
    }

    /// Every value.
    pub(super) fn json(&self) -> String {
        let mut cells = Vec::new();
        for ((peer, metric), values) in &self.values {
            cells.push(json!({ "peer": peer, "metric": metric.key(), "values": values }));
        }
        let who: Vec<_> = self
            .who
            .iter()
            .map(|who| json!({ "name": who.name, "version": who.version }))
            .collect();
        let whole = json!({ "supervisors": who, "cells": cells, "failures": self.failures });
        format!("{whole:#}\n")
    }
}
