//! The exit record: what `exit.json` says, once and for all, about a run.
//!
//! Invariants: same names as `ExitRecord` in `eud-core`, which reads it (a test holds them
//! together); what nobody saw is null, never a guess.

use crate::json::Object;

/// Why the run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The command ended by itself.
    Exited,
    /// It was asked to stop, and did.
    Stopped,
    /// It was asked to stop, did not in time, and was killed.
    StopKilled,
    /// It ran longer than its timeout.
    Timeout,
    /// It could not be executed.
    SpawnFailed,
    /// Nothing was started.
    NeverStarted,
}

impl Reason {
    fn name(self) -> &'static str {
        match self {
            Self::Exited => "exited",
            Self::Stopped => "stopped",
            Self::StopKilled => "stop-killed",
            Self::Timeout => "timeout",
            Self::SpawnFailed => "spawn-failed",
            Self::NeverStarted => "never-started",
        }
    }
}

/// The end of a run.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) run: String,
    pub(crate) unit: String,
    pub(crate) generation: u64,
    pub(crate) reason: Reason,
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) core: bool,
    pub(crate) message: Option<String>,
    pub(crate) pid: u32,
    pub(crate) started_at_ms: i64,
    pub(crate) ended_at_ms: i64,
    pub(crate) max_rss_kb: u64,
    pub(crate) cpu_user_us: u64,
    pub(crate) cpu_system_us: u64,
    /// Processes that it left behind when it ended by itself, and that the keeper ended.
    pub(crate) leftovers: u32,
}

impl Record {
    /// A record of a run that never had a process.
    pub(crate) fn without_process(run: &str, unit: &str, generation: u64, reason: Reason) -> Self {
        Self {
            run: run.to_owned(),
            unit: unit.to_owned(),
            generation,
            reason,
            code: None,
            signal: None,
            core: false,
            message: None,
            pid: 0,
            started_at_ms: 0,
            ended_at_ms: eud_sys::clock::wall_ms(),
            max_rss_kb: 0,
            cpu_user_us: 0,
            cpu_system_us: 0,
            leftovers: 0,
        }
    }

    /// One line of JSON.
    pub(crate) fn to_json(&self) -> String {
        Object::new()
            .text("run", &self.run)
            .text("unit", &self.unit)
            .number("generation", self.generation)
            .text("reason", self.reason.name())
            .number_or_null("code", self.code)
            .number_or_null("signal", self.signal)
            .truth("core", self.core)
            .text_or_null("message", self.message.as_deref())
            .number("pid", self.pid)
            .number("started_at_ms", self.started_at_ms)
            .number("ended_at_ms", self.ended_at_ms)
            .number("max_rss_kb", self.max_rss_kb)
            .number("cpu_user_us", self.cpu_user_us)
            .number("cpu_system_us", self.cpu_system_us)
            .number("leftovers", self.leftovers)
            .end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eud_core::record::{EndReason, ExitRecord};

    #[test]
    fn the_core_reads_back_every_field() {
        let reasons = [
            (Reason::Exited, EndReason::Exited),
            (Reason::Stopped, EndReason::Stopped),
            (Reason::StopKilled, EndReason::StopKilled),
            (Reason::Timeout, EndReason::Timeout),
            (Reason::SpawnFailed, EndReason::SpawnFailed),
            (Reason::NeverStarted, EndReason::NeverStarted),
        ];
        for (reason, expected) in reasons {
            let mut record = Record::without_process("r\"1", "web@2", u64::MAX, reason);
            record.code = Some(3);
            record.signal = Some(11);
            record.core = true;
            record.message = Some("line one\nline two".into());
            record.pid = 42;
            record.started_at_ms = 1_700_000_000_123;
            record.max_rss_kb = 5;
            record.cpu_user_us = 6;
            record.cpu_system_us = 7;
            let read: ExitRecord = serde_json::from_str(&record.to_json()).unwrap();
            let expected = ExitRecord {
                run: record.run,
                unit: record.unit,
                generation: u64::MAX,
                reason: expected,
                code: Some(3),
                signal: Some(11),
                core: true,
                message: record.message,
                pid: 42,
                started_at_ms: 1_700_000_000_123,
                ended_at_ms: record.ended_at_ms,
                max_rss_kb: 5,
                cpu_user_us: 6,
                cpu_system_us: 7,
            };
            assert_eq!(read, expected);
        }
    }
}
