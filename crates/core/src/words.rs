//! Times, durations and exits in the words people read.
//!
//! Purpose: one way to say "41m", "in 3 s" or "exit 127", for reasons, explanations and tables.

use crate::record::{EndReason, ExitRecord, WallMs};

/// RFC 3339 in UTC, with milliseconds.
pub fn rfc3339(at_ms: WallMs) -> String {
    match jiff::Timestamp::from_millisecond(at_ms) {
        Ok(at) => format!("{at:.3}"),
        Err(_) => "unknown".to_owned(),
    }
}

/// Two units at most, the larger first: `850ms`, `3.2s`, `41m`, `6h 04m`, `2d 03h`.
pub fn duration(ms: u64) -> String {
    let s = ms / 1000;
    match s {
        0 => format!("{ms}ms"),
        1..10 => format!("{}.{}s", s, ms % 1000 / 100),
        10..60 => format!("{s}s"),
        60..3_600 if s < 600 && !s.is_multiple_of(60) => format!("{}m {:02}s", s / 60, s % 60),
        60..3_600 => format!("{}m", s / 60),
        3_600..86_400 => format!("{}h {:02}m", s / 3_600, s % 3_600 / 60),
        _ => format!("{}d {:02}h", s / 86_400, s % 86_400 / 3_600),
    }
}

/// A size, in powers of 1000: `812 B`, `4.2 kB`, `50 MB`.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    let mut scale: u64 = 1;
    let mut unit = "B";
    for larger in UNITS {
        if bytes / scale < 1000 {
            break;
        }
        (scale, unit) = (scale.saturating_mul(1000), larger);
    }
    let (whole, tenth) = (bytes / scale, bytes % scale * 10 / scale);
    if whole < 10 && tenth > 0 {
        format!("{whole}.{tenth} {unit}")
    } else {
        format!("{whole} {unit}")
    }
}

/// Name of a signal on Linux, without `SIG`; its number when it has none.
pub fn signal(number: i32) -> String {
    const NAMES: [&str; 32] = [
        "0", "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV",
        "USR2", "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU",
        "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ];
    let name = usize::try_from(number).ok().and_then(|n| NAMES.get(n));
    name.map_or_else(|| number.to_string(), |name| (*name).to_owned())
}

/// How a run ended: `exited with code 1`, `was killed by KILL`, `could not be started: …`.
pub fn ending(record: &ExitRecord) -> String {
    let message = |default: &str| record.message.clone().unwrap_or_else(|| default.to_owned());
    // Why it was stopped, when that was a failure of its own: a probe, a guard.
    let because = || {
        let why = record.message.as_deref();
        why.map_or(String::new(), |why| format!(": {why}"))
    };
    let code = match (record.code, record.signal) {
        (Some(code), _) => format!("exited with code {code}"),
        (None, Some(number)) => {
            let core = if record.core { " (core dumped)" } else { "" };
            format!("was killed by {}{core}", signal(number))
        }
        (None, None) => "ended with an unknown code".to_owned(),
    };
    match record.reason {
        EndReason::Exited => code,
        EndReason::Stopped => format!("was stopped and {code}{}", because()),
        EndReason::StopKilled => format!("did not stop in its grace and was killed{}", because()),
        EndReason::Timeout => "ran longer than its timeout and was stopped".to_owned(),
        EndReason::SpawnFailed => {
            format!("could not be started: {}", message("reason unknown"))
        }
        EndReason::KeeperLost => "lost its keeper; its exit code is unknown".to_owned(),
        EndReason::NeverStarted => "was never started".to_owned(),
        EndReason::RecordCorrupt => {
            "ended; its exit record is corrupt and the code unknown".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        for (ms, expected) in [
            (850, "850ms"),
            (3_250, "3.2s"),
            (41_000, "41s"),
            (60_000, "1m"),
            (61_000, "1m 01s"),
            (41 * 60_000 + 7_000, "41m"),
            (6 * 3_600_000 + 240_000, "6h 04m"),
            (51 * 3_600_000, "2d 03h"),
        ] {
            assert_eq!(duration(ms), expected);
        }
    }

    #[test]
    fn sizes_read_well() {
        for (size, expected) in [
            (0, "0 B"),
            (812, "812 B"),
            (4_200, "4.2 kB"),
            (999_999, "999 kB"),
            (50_000_000, "50 MB"),
            (2_000_000_000, "2 GB"),
            (u64::MAX, "18446 PB"),
        ] {
            assert_eq!(bytes(size), expected);
        }
    }

    #[test]
    fn who_is_stopped_for_a_failure_is_told_for_which() {
        let record = ExitRecord {
            run: "r".into(),
            unit: "u".into(),
            generation: 1,
            reason: EndReason::Stopped,
            code: None,
            signal: Some(15),
            core: false,
            message: Some("guard memory: 80 MB, limit 50 MB".into()),
            pid: 1,
            started_at_ms: 0,
            ended_at_ms: 1,
            max_rss_kb: 0,
            cpu_user_us: 0,
            cpu_system_us: 0,
        };
        assert_eq!(
            ending(&record),
            "was stopped and was killed by TERM: guard memory: 80 MB, limit 50 MB"
        );
    }

    #[test]
    fn times_are_utc_with_milliseconds() {
        assert_eq!(rfc3339(1_700_000_000_120), "2023-11-14T22:13:20.120Z");
    }
}
