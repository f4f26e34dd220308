//! Sampled numbers, what they close, and what a running daemon may use.
//!
//! Invariants: a gauge that a gate, trigger or condition names exists; the two thresholds of a
//! limit are in order.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{EnvValue, Origin};

/// A sampled number. Never NaN.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Value(pub f64);

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.0.total_cmp(&other.0).is_eq()
    }
}

impl Eq for Value {}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = format!("{:.3}", self.0);
        f.pad(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// A number that is sampled again and again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gauge {
    /// Unique among gauges; the same letters as for daemons.
    pub name: String,
    /// One line for people.
    pub description: Option<String>,
    /// Where it is read.
    pub source: Source,
    /// Time between two samples. Default 30 s.
    pub every_ms: u64,
    /// Time one sample may take. Default 5 s.
    pub timeout_ms: u64,
    /// `warn` at and above.
    pub warn: Option<Limit>,
    /// `over` at and above.
    pub over: Option<Limit>,
    /// `under` at and below.
    pub under: Option<Limit>,
    /// `frozen` when it is above zero and has not changed for this long.
    pub frozen_ms: Option<u64>,
    /// Where it was declared.
    pub origin: Origin,
}

/// Where a gauge is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Files whose paths match a glob.
    Files {
        /// Absolute globs.
        globs: Vec<String>,
        /// What of them.
        measure: FileMeasure,
    },
    /// First column of the first row. The database is opened read-only.
    Sqlite {
        /// Absolute path.
        db: String,
        /// One `select`.
        query: String,
    },
    /// The first number on a command's standard output; other exits than 0 are errors.
    Command {
        /// Program and arguments.
        argv: Vec<String>,
        /// Working directory, absolute.
        cwd: String,
        /// Variables to set.
        env: BTreeMap<String, EnvValue>,
    },
    /// A number in a JSON document.
    Http {
        /// Where it is got from, `http` only.
        url: String,
        /// JSON pointer (RFC 6901); empty: the document itself.
        pointer: String,
    },
    /// The machine.
    Machine(Machine),
}

/// What of the files that match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileMeasure {
    /// How many.
    Count,
    /// Bytes of all together.
    Size,
    /// Seconds since the oldest was modified; 0 without files.
    Oldest,
    /// Seconds since the newest was modified; unknown without files.
    Newest,
}

/// A number of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Machine {
    /// Percent of the file system's space in use, as df(1) counts.
    Disk {
        /// A path on it, absolute.
        path: String,
    },
    /// Percent of memory that is not available.
    Memory,
    /// Percent of swap in use.
    Swap,
    /// Load of the last minute.
    Load,
    /// Percent of the last 10 s in which some task waited: `/proc/pressure`.
    CpuPressure,
    /// As `CpuPressure`, for memory.
    MemoryPressure,
    /// As `CpuPressure`, for input and output.
    IoPressure,
    /// Open files of the whole machine, in percent of the limit.
    OpenFiles,
    /// Percent of the time a GPU is at work.
    Gpu {
        /// Its index.
        index: u32,
    },
    /// Percent of a GPU's memory in use.
    GpuMemory {
        /// Its index.
        index: u32,
    },
}

/// Two thresholds, so that a value at the edge does not flutter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// The level begins here.
    pub at: Value,
    /// It ends beyond this. Default: 90 % of `at`; 110 % for `under`.
    pub clear: Value,
}

/// What a gauge is. Exactly one at a time; `over` goes before `frozen`, then `under`, then `warn`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// It was never sampled, or cannot be.
    #[default]
    Unknown,
    /// Within all limits.
    Ok,
    /// At or above `warn`.
    Warn,
    /// At or below `under`.
    Under,
    /// It does not move.
    Frozen,
    /// At or above `over`.
    Over,
}

impl Level {
    /// Every one.
    pub const ALL: [Self; 6] = [
        Self::Unknown,
        Self::Ok,
        Self::Warn,
        Self::Under,
        Self::Frozen,
        Self::Over,
    ];

    /// Name as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Under => "under",
            Self::Frozen => "frozen",
            Self::Over => "over",
        }
    }
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// Pauses its members while a gauge is at certain levels, and lets them go on by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// Unique among gates.
    pub name: String,
    /// The gauge.
    pub gauge: String,
    /// Closed at these levels. Default `over`. While the gauge is unknown the gate stays as it was.
    pub closes_at: BTreeSet<Level>,
    /// Names of daemons. Services among them are stopped, jobs do not begin.
    pub members: BTreeSet<String>,
    /// Where it was declared.
    pub origin: Origin,
}

/// A limit on what a run may do, and what follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    /// What is limited.
    pub what: Guarded,
    /// The limit must be broken for this long.
    pub for_ms: u64,
    /// What follows.
    pub action: GuardAction,
}

/// What a guard limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guarded {
    /// Bytes of memory of the whole tree.
    Memory {
        /// At most.
        max_bytes: u64,
    },
    /// CPU time of the whole tree, in percent of one core, over the time the guard looks back.
    Cpu {
        /// At most.
        max_percent: u32,
    },
    /// It writes something to its output at least this often.
    Silence {
        /// Longest silence.
        max_ms: u64,
    },
    /// A file is written at least this often.
    Heartbeat {
        /// Absolute path.
        path: String,
        /// Oldest acceptable modification time.
        max_age_ms: u64,
    },
    /// Bytes of output in a second, over the time the guard looks back.
    LogRate {
        /// At most.
        max_bytes_per_s: u64,
    },
}

impl Guarded {
    /// Name as in the fleet file.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Memory { .. } => "memory",
            Self::Cpu { .. } => "cpu",
            Self::Silence { .. } => "silent_for",
            Self::Heartbeat { .. } => "heartbeat",
            Self::LogRate { .. } => "log_rate",
        }
    }
}

/// What follows when a guard's limit is broken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GuardAction {
    /// It is said, and the daemon is `degraded`.
    #[default]
    Event,
    /// It is restarted, as after a failure.
    Restart,
    /// It is held.
    Hold,
}
