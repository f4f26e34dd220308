//! `eud why`: the causal chain of a unit's state, in sentences.
//!
//! Purpose: from the unit asked about to the first unit whose trouble is its own.
//! Deliberately absent: log lines. The reader of files adds those of `show_log_of`.

use std::collections::BTreeSet;

use crate::engine::Core;
use crate::fleet::{Unit, daemon_of};
use crate::io::Now;
use crate::view::{DaemonView, Explanation, State};
use crate::words;

impl Core {
    /// Why a unit is what it is.
    pub fn explain(&self, unit: &str, now: Now) -> Option<Explanation> {
        let mut explanation = Explanation {
            unit: unit.to_owned(),
            ..Explanation::default()
        };
        let mut seen = BTreeSet::new();
        let mut current = Some(unit.to_owned());
        while let Some(name) = current.take() {
            if !seen.insert(name.clone()) {
                break;
            }
            let view = self.view(&name, now)?;
            let mut told = vec![self.sentence(&view, now)];
            told.extend(besides(&view));
            explanation.sentences.push(told.join(" "));
            explanation.chain.push(name.clone());
            current = view.blocked_on.first().cloned();
            if current.is_none() {
                self.conclude(&view, &mut explanation);
            }
        }
        Some(explanation)
    }

    fn conclude(&self, root: &DaemonView, explanation: &mut Explanation) {
        let name = &root.name;
        let unit = &explanation.unit;
        let well = matches!(
            root.state,
            State::Ready | State::Done | State::Running | State::Scheduled
        ) || (root.state == State::Up && root.ready.is_none());
        if well && name == unit {
            return;
        }
        if root.state.is_trouble() || root.state == State::Up {
            explanation.show_log_of.push(name.clone());
        }
        // What a gate pauses is not what is broken.
        let is_gated = root.state == State::Paused && self.closed_gate(daemon_of(name)).is_some();
        explanation.fix_first = (!is_gated).then(|| name.clone());
        let next = match root.state {
            State::Stopped => vec![format!("eud start {name}")],
            State::Held => vec![format!("eud release {name}")],
            State::Paused if is_gated => vec!["eud gauges".to_owned()],
            State::Paused => vec![format!("eud release {name}"), format!("eud logs {name}")],
            State::Failed | State::Overdue if root.job.is_some() => {
                vec![format!("eud logs {name}"), format!("eud trigger {name}")]
            }
            State::Done | State::Failed | State::Backoff | State::CoolDown => {
                vec![format!("eud logs {name}"), format!("eud restart {name}")]
            }
            State::Unknown => vec![format!("eud show {name}")],
            _ => vec![format!("eud logs {name}")],
        };
        explanation.next = next;
    }

    fn sentence(&self, view: &DaemonView, now: Now) -> String {
        let name = &view.name;
        let reason = view.reason.clone().unwrap_or_default();
        let since = self
            .since(name, now)
            .map_or(String::new(), |for_ms| format!(" for {for_ms}"));
        match view.state {
            State::Ready => format!("`{name}` is ready{since}: {}.", self.proof(name)),
            State::Up if view.ready.is_none() => {
                format!("`{name}` is up{since}. It has no readiness probe, so no more is known.")
            }
            State::Up => format!("`{name}` is up{since}, {reason}."),
            State::Degraded => format!("`{name}` runs but is degraded{since}: {}.", waits(&reason)),
            State::Starting => format!("`{name}` is starting: {reason}."),
            State::Waiting => format!("`{name}` waits{since}: {}.", waits(&reason)),
            State::Stopping => format!("`{name}` is stopping: {reason}."),
            State::Backoff => format!(
                "`{name}` {reason} (back-off; restarted {} so far).",
                times(view.restarts)
            ),
            State::CoolDown => format!(
                "`{name}` {reason}. It was restarted too often ({}) and cools down.",
                times(view.restarts)
            ),
            State::Running => {
                let job = view.job.as_ref();
                let by = job.and_then(|job| job.trigger.as_deref());
                let by = by.map_or(String::new(), |by| format!(", fired by {by}"));
                let tries = job.map_or(0, |job| job.attempt);
                let again = match tries {
                    0 => String::new(),
                    n => format!(", try {}", n + 1),
                };
                format!("`{name}` is at work{since}{by}{again}.")
            }
            State::Scheduled => format!("`{name}` waits for its next time: {reason}."),
            State::Overdue => format!("`{name}` is overdue{since}: {reason}."),
            State::Paused => format!("`{name}` is paused{since}: {reason}."),
            State::Done => format!("`{name}` {reason} and is not to be restarted."),
            State::Failed if view.job.is_some() => {
                let failures = view.job.as_ref().map_or(1, |job| job.failures);
                let row = match failures {
                    0 | 1 => String::new(),
                    n => format!(", {n} times in a row"),
                };
                format!("`{name}` failed{since}{row}: it {reason}.")
            }
            State::Failed => format!("`{name}` failed{since}: it {reason}."),
            State::Held => format!("`{name}` is held{since}: {reason}."),
            State::Stopped => format!("`{name}` is stopped{since}: {reason}."),
            State::Unknown => format!("Whether `{name}` runs is unknown{since}: {reason}."),
        }
    }

    fn since(&self, unit: &str, now: Now) -> Option<String> {
        let since = self.slots.get(unit)?.since_ms?;
        u64::try_from(now.wall_ms.saturating_sub(since))
            .ok()
            .map(words::duration)
    }

    fn proof(&self, unit: &Unit) -> &'static str {
        use crate::fleet::Probe;
        let Some(daemon) = self.daemon(unit) else {
            return "";
        };
        match daemon.ready.as_ref().map(|ready| &ready.probe) {
            Some(Probe::Http(_)) => "its HTTP probe passes",
            Some(Probe::Tcp(_)) => "its port accepts connections",
            Some(Probe::Exec(_)) => "its probe command exits 0",
            Some(Probe::Log(_)) => "the awaited line was in its log",
            Some(Probe::File { .. }) => "its file exists",
            Some(Probe::Notify { .. }) => "it said READY=1",
            None => "it has no readiness probe",
        }
    }
}

/// What else is the case with a unit, and is not its state.
fn besides(view: &DaemonView) -> Vec<String> {
    let name = &view.name;
    let mut sentences = Vec::new();
    if let Some(problem) = &view.watch_problem {
        sentences.push(format!(
            "Its paths are not watched as they should be: {problem}."
        ));
    }
    // The first one is the reason of its state, if it is degraded.
    let broken = view.guards.iter();
    let told = broken.filter(|guard| view.reason.as_ref() != Some(*guard));
    sentences.extend(told.map(|guard| format!("`{name}` breaks a limit: {guard}.")));
    let skipped = view.job.as_ref().filter(|job| job.skipped > 0);
    sentences.extend(skipped.map(|job| {
        let times = times(job.skipped);
        format!(
            "It was skipped {times} so far, of {} fires.",
            job.fires + job.skipped
        )
    }));
    sentences
}

fn waits(reason: &str) -> String {
    reason
        .strip_prefix("needs ")
        .map_or_else(|| reason.to_owned(), |needed| format!("it needs {needed}"))
}

fn times(count: u64) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        n => format!("{n} times"),
    }
}
