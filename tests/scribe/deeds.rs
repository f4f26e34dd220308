//! What the scribe writes, and how to see whether it is there.
//!
//! Invariants: a deed is one batch; every batch has several items, so that half of one shows; no
//! two deeds touch the same thing.

use eud_core::io::Persist;
use eud_core::record::{Desired, EndReason, ExitRecord, Intent, Ledger, RunRow};
use eud_store::Journal;

/// Intents of a wide deed, and the size of each in bytes: together more than SQLite lets its log
/// grow before it writes it back.
const WIDE_ITEMS: u64 = 40;
const WIDE_BYTES: usize = 110_000;

/// One batch. The number is that of the run, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// An intent, and a run under a new generation.
    Start(u64),
    /// The run has a process. Need not survive a power cut.
    Started(u64),
    /// The run's end, and restart memory. Not waited for.
    Ended(u64),
    /// So much that the log is written back.
    Wide(u64),
}

/// What the scribe does, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Opens or creates the database.
    Open,
    /// Records a batch.
    Do(Deed),
    /// Waits for the disk.
    Sync,
    /// Reads everything.
    Read,
    /// The log is written back and removed.
    Close,
}

/// How much of a deed is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// All of it.
    Whole,
    /// Nothing.
    Absent,
    /// Some of it, which must never be.
    Half,
}

use Deed::{Ended, Start, Started, Wide};
use Step::{Close, Do, Open, Read, Sync};

/// By name: `new` begins with nothing, `again` with what a first scribe left, `wide` writes back a
/// full log while it is in use.
pub fn steps(name: &str) -> &'static [Step] {
    match name {
        "new" => &[
            Open,
            Do(Start(1)),
            Do(Started(1)),
            Do(Ended(1)),
            Sync,
            Do(Start(2)),
            Do(Started(2)),
            Read,
            Close,
        ],
        "again" => &[
            Open,
            Read,
            Do(Ended(2)),
            Do(Start(3)),
            Do(Started(3)),
            Close,
            Open,
            Read,
            Do(Ended(3)),
            Sync,
            Sync,
            Do(Start(4)),
            Close,
        ],
        "wide" => &[
            Open,
            Do(Start(5)),
            Do(Wide(1)),
            Do(Started(5)),
            Do(Ended(5)),
            Do(Start(6)),
            Read,
            Close,
        ],
        _ => &[],
    }
}

impl Deed {
    /// What is given to the store.
    pub fn batch(self) -> Vec<Persist> {
        match self {
            Start(n) => vec![
                Persist::Intent(intent(&format!("u{n}"), None)),
                Persist::RunIntent(row(n)),
            ],
            Started(n) => vec![Persist::RunStarted {
                run: format!("run-{n}"),
                pid: 42,
            }],
            Ended(n) => vec![
                Persist::RunEnded {
                    record: end(n),
                    class: None,
                },
                Persist::Ledger(Ledger {
                    unit: format!("u{n}"),
                    attempt: 3,
                    ..Ledger::default()
                }),
            ],
            Wide(n) => (0..WIDE_ITEMS)
                .map(|item| {
                    let text = "w".repeat(WIDE_BYTES);
                    Persist::Intent(intent(&format!("wide{n}-{item}"), Some(text)))
                })
                .collect(),
        }
    }

    /// Whether a power cut may take it although it was acknowledged, as long as nothing that may
    /// not came after.
    pub fn may_be_lost(self) -> bool {
        matches!(self, Started(_) | Ended(_))
    }

    /// How much of it the store gives back.
    pub fn presence(self, journal: &Journal) -> Presence {
        let rows = || journal.open_runs.iter().chain(&journal.last_runs);
        let run = |n: u64| rows().find(|row| row.generation == n);
        let has_intent = |unit: &str| journal.intents.iter().any(|intent| intent.unit == unit);
        let parts = match self {
            Start(n) => vec![
                has_intent(&format!("u{n}")),
                run(n).is_some(),
                journal.next_generation > n,
            ],
            Started(n) => vec![run(n).is_some_and(|row| row.pid == Some(42))],
            Ended(n) => vec![
                run(n).is_some_and(|row| row.exit == Some(end(n))),
                journal
                    .ledgers
                    .iter()
                    .any(|one| one.unit == format!("u{n}")),
            ],
            Wide(n) => (0..WIDE_ITEMS)
                .map(|item| has_intent(&format!("wide{n}-{item}")))
                .collect(),
        };
        match parts.iter().filter(|is_there| **is_there).count() {
            0 => Presence::Absent,
            count if count == parts.len() => Presence::Whole,
            _ => Presence::Half,
        }
    }
}

/// How often a small file is replaced.
pub const VERSIONS: u64 = 4;

/// Its contents, of several sectors: a text that is of this version in every line.
pub fn version(number: u64) -> Vec<u8> {
    format!("version {number}\n").repeat(200).into_bytes()
}

fn intent(unit: &str, hold: Option<String>) -> Intent {
    Intent {
        unit: unit.into(),
        desired: Desired::Up,
        manual: true,
        hold,
        at_ms: 1,
    }
}

fn row(n: u64) -> RunRow {
    RunRow {
        run: format!("run-{n}"),
        unit: format!("u{n}"),
        generation: n,
        intent_at_ms: 1,
        pid: None,
        cause: "start".into(),
        exit: None,
        class: None,
    }
}

fn end(n: u64) -> ExitRecord {
    ExitRecord {
        run: format!("run-{n}"),
        unit: format!("u{n}"),
        generation: n,
        reason: EndReason::Exited,
        code: Some(3),
        signal: None,
        core: false,
        message: None,
        // None of its own: it would be taken for the one of `Started`.
        pid: 0,
        started_at_ms: 8,
        ended_at_ms: 9,
        max_rss_kb: 1,
        cpu_user_us: 2,
        cpu_system_us: 3,
    }
}
