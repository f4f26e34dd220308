//! Figures, their limits, and how they are shown.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::json;

use crate::Failure;

const BEGIN: &str = "<!-- figures: begin -->\n";
const END: &str = "<!-- figures: end -->";

/// One measured figure.
pub(crate) struct Figure {
    /// What was measured.
    pub(crate) name: String,
    /// The value.
    pub(crate) value: f64,
    /// `ms`, `kB`, `×`.
    pub(crate) unit: &'static str,
    /// Highest value that keeps the promise; `None` when there is no promise.
    pub(crate) limit: Option<f64>,
    /// What it was measured against, or what else a reader should know.
    pub(crate) note: String,
}

impl Figure {
    /// A figure with a promise.
    pub(crate) fn promised(
        name: impl Into<String>,
        value: f64,
        unit: &'static str,
        limit: f64,
    ) -> Self {
        Self {
            name: name.into(),
            value,
            unit,
            limit: Some(limit),
            note: String::new(),
        }
    }

    /// A figure without one.
    pub(crate) fn plain(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self {
            name: name.into(),
            value,
            unit,
            limit: None,
            note: String::new(),
        }
    }

    /// Adds what a reader should know.
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    fn is_kept(&self) -> Option<bool> {
        self.limit.map(|limit| self.value <= limit)
    }

    fn verdict(&self) -> &'static str {
        match self.is_kept() {
            Some(true) => "kept",
            Some(false) => "MISSED",
            None => "",
        }
    }
}

/// All figures of one run.
pub(crate) struct Report {
    quick: bool,
    figures: Vec<Figure>,
    failures: Vec<String>,
}

impl Report {
    /// None yet.
    pub(crate) fn new(quick: bool) -> Self {
        Self {
            quick,
            figures: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Takes a scenario's figures.
    pub(crate) fn add(&mut self, figures: Vec<Figure>) {
        self.figures.extend(figures);
    }

    /// A scenario did not get as far as a figure.
    pub(crate) fn failed(&mut self, scenario: &str, failure: &str) {
        self.failures.push(format!("{scenario}: {failure}"));
    }

    /// For the terminal.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        for figure in &self.figures {
            let limit = figure
                .limit
                .map(|limit| format!("≤ {}", short(limit)))
                .unwrap_or_default();
            let _ = writeln!(
                text,
                "{:<52} {:>9} {:<3} {:>8}  {:<6}  {}",
                figure.name,
                short(figure.value),
                figure.unit,
                limit,
                figure.verdict(),
                figure.note
            );
        }
        for failure in &self.failures {
            let _ = writeln!(text, "not measured: {failure}");
        }
        text
    }

    /// For programs.
    pub(crate) fn json(&self) -> String {
        let figure = |f: &Figure| {
            let (name, note) = (&f.name, &f.note);
            json!({ "name": name, "value": f.value, "unit": f.unit, "limit": f.limit, "note": note })
        };
        let figures: Vec<_> = self.figures.iter().map(figure).collect();
        json!({ "quick": self.quick, "figures": figures, "failures": self.failures }).to_string()
    }

    /// Replaces the table in a page of the documentation.
    pub(crate) fn write_page(&self, path: &Path) -> Result<(), Failure> {
        let place = path.display();
        let page = std::fs::read_to_string(path).map_err(|e| format!("{place}: {e}"))?;
        let parts = page
            .split_once(BEGIN)
            .and_then(|(before, rest)| rest.split_once(END).map(|(_, after)| (before, after)));
        let (before, after) = parts.ok_or(format!("{place} has no place for figures"))?;
        let mut table = machine() + "\n| figure | measured | promised | |\n|---|--:|--:|---|\n";
        for f in &self.figures {
            let limit = f
                .limit
                .map(|limit| format!("≤ {} {}", short(limit), f.unit));
            let (value, unit, limit) = (short(f.value), f.unit, limit.unwrap_or_default());
            let missed = (f.is_kept() == Some(false)).then_some("missed");
            let note = missed
                .into_iter()
                .chain([f.note.as_str()])
                .filter(|text| !text.is_empty());
            let note = note.collect::<Vec<_>>().join("; ");
            let _ = writeln!(table, "| {} | {value} {unit} | {limit} | {note} |", f.name);
        }
        let page = format!("{before}{BEGIN}{table}{END}{after}");
        std::fs::write(path, page).map_err(|e| format!("{place}: {e}"))
    }

    /// Fails when a promise was missed or a scenario did not run.
    pub(crate) fn verdict(&self) -> Result<(), Failure> {
        let missed = self
            .figures
            .iter()
            .filter(|f| f.is_kept() == Some(false))
            .count();
        match missed + self.failures.len() {
            0 => Ok(()),
            n => Err(format!("{n} promises missed or not measured")),
        }
    }
}

/// Cores, kernel and load, in one line.
pub(super) fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or("unknown").to_owned();
    format!(
        "{cores} cores, Linux {}, load {load} at the end of the run.\n",
        kernel.trim()
    )
}

/// Three significant digits or so.
pub(super) fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Middle value.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Value that `percent` of the values do not exceed.
pub(crate) fn percentile(mut values: Vec<f64>, percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len() * percent).div_ceil(100).saturating_sub(1);
    values.get(at).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::{Figure, Report, median, percentile, short};

    #[test]
    fn the_middle_and_the_tail() {
        let values = || (1..=100).map(f64::from).collect::<Vec<_>>();
        assert!((median(values()) - 51.0).abs() < f64::EPSILON);
        assert!((percentile(values(), 99) - 99.0).abs() < f64::EPSILON);
        assert!(median(Vec::new()).is_nan());
        assert_eq!(
            (short(0.123), short(12.34), short(1234.5)),
            ("0.12".into(), "12.3".into(), "1234".into())
        );
    }

    #[test]
    fn a_missed_promise_and_a_failed_scenario_are_failures() {
        let mut report = Report::new(true);
        report.add(vec![
            Figure::promised("kept", 1.0, "ms", 1.0),
            Figure::plain("free", 9.0, "ms"),
        ]);
        assert_eq!(report.verdict(), Ok(()));
        report.add(vec![Figure::promised("missed", 2.0, "ms", 1.0)]);
        assert!(report.table().contains("MISSED"));
        report.failed("idle", "no fleet");
        assert_eq!(
            report.verdict(),
            Err("2 promises missed or not measured".to_owned())
        );
    }
}
