//! Lines between manager and keeper.
//!
//! Purpose: the vocabulary of the control connection of one run, in one place.
//! Invariants: one JSON object a line from the keeper, one word a line to it; a line that cannot be
//! read is an error value, never a panic; unknown events are kept apart, so that an older manager
//! can live with a newer keeper.

use eud_core::record::{ExitRecord, Generation, RunId, WallMs};
use serde::Deserialize;

/// Longest line of a keeper, in bytes. A notify message is at most 4 KiB, escaped at most six times
/// that.
pub(crate) const LINE_BYTES_MAX: usize = 64 << 10;

/// What a keeper says.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum Said {
    /// First line on every connection.
    Hello(Box<Hello>),
    /// The command is executing.
    Started { pid: u32, at_ms: WallMs },
    /// The daemon sent an sd_notify message.
    Notify { message: String },
    /// There is output; said once until `watch` asks again.
    Output,
    /// A log file was closed and renamed.
    Rotated { file: String },
    /// The log cannot be written.
    LogBlocked { error: String },
    /// The log can be written again.
    LogUnblocked,
    /// The run ended and the record is on disk.
    Ended { record: Box<ExitRecord> },
    /// A newer keeper's word.
    #[serde(other)]
    Unknown,
}

/// The state of a keeper when somebody connects.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Hello {
    pub(crate) unit: String,
    pub(crate) run: RunId,
    pub(crate) generation: Generation,
    pub(crate) keeper_pid: u32,
    pub(crate) pid: Option<u32>,
    #[serde(default)]
    pub(crate) started_at_ms: WallMs,
    #[serde(default)]
    pub(crate) ready: bool,
    #[serde(default)]
    pub(crate) status: Option<String>,
    #[serde(default)]
    pub(crate) log_blocked: Option<String>,
}

/// What the manager asks of a keeper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Signal, grace, kill.
    Stop,
    /// Signal the command.
    Signal(String),
    /// Say once when there is output.
    Watch,
}

impl Asked {
    /// As a line with its newline. Signal names are letters, digits, `+` and `-`; others are
    /// refused before.
    pub(crate) fn line(&self) -> String {
        match self {
            Self::Stop => "stop\n".into(),
            Self::Signal(name) => format!("signal {name}\n"),
            Self::Watch => "watch\n".into(),
        }
    }
}

/// Reads one line.
///
/// # Errors
/// In words, when it is not what a keeper says.
pub(crate) fn read(line: &[u8]) -> Result<Said, String> {
    serde_json::from_slice(line).map_err(|e| format!("not a keeper's line: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_read() {
        let hello = br#"{"event":"hello","unit":"a","run":"r","generation":7,"keeper_pid":5,"pid":null,
            "start_ticks":1,"started_at_ms":0,"stopping":false,"ready":true,"status":null,"log_blocked":null}"#;
        let Ok(Said::Hello(hello)) = read(hello) else {
            panic!("a hello was sent")
        };
        assert_eq!((hello.generation, hello.pid, hello.ready), (7, None, true));
        let started = read(br#"{"event":"started","pid":9,"start_ticks":4,"at_ms":77}"#);
        assert_eq!(started, Ok(Said::Started { pid: 9, at_ms: 77 }));
        assert_eq!(read(br#"{"event":"output"}"#), Ok(Said::Output));
        assert_eq!(
            read(br#"{"event":"log-unblocked"}"#),
            Ok(Said::LogUnblocked)
        );
        let ended = read(
            br#"{"event":"ended","record":{"run":"r","unit":"a","generation":7,"reason":"exited",
                "code":3,"ended_at_ms":5}}"#,
        );
        let Ok(Said::Ended { record }) = ended else {
            panic!("an end was sent: {ended:?}")
        };
        assert_eq!(record.code, Some(3));
        assert_eq!(
            read(br#"{"event":"from-the-future","x":1}"#),
            Ok(Said::Unknown)
        );
    }

    #[test]
    fn garbage_is_an_error() {
        for line in [
            &b"null"[..],
            b"",
            b"{}",
            b"\xff\xfe",
            b"{\"event\":\"started\"}",
            b"[1,2]",
        ] {
            assert!(read(line).is_err(), "{line:?}");
        }
    }
}
