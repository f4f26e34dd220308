//! From checked tables to gauges, gates and guards.
//!
//! Invariants: as in [`crate::model`].

use std::collections::BTreeSet;

use eud_core::fleet::{
    FileMeasure, Gate, Gauge, Guard, GuardAction, Guarded, Level, Limit, Machine, Origin, Source,
    Value,
};

use crate::checked::{Checked, Item, Val, texts};
use crate::model;
use crate::model_job::level;

/// Time between two samples.
const EVERY_MS: u64 = 30_000;
/// Time one sample may take.
const TIMEOUT_MS: u64 = 5_000;

/// A gauge; `None` when its source is absent or wrong, which has been reported.
pub(crate) fn gauge(name: &str, table: &Checked, folder: &str, origin: Origin) -> Option<Gauge> {
    Some(Gauge {
        name: name.to_owned(),
        description: table.text("description").map(str::to_owned),
        source: source(table, folder)?,
        every_ms: table.amount("every").unwrap_or(EVERY_MS),
        timeout_ms: table.amount("timeout").unwrap_or(TIMEOUT_MS),
        warn: table.get("warn").and_then(|item| limit(item, -1.0)),
        over: table.get("over").and_then(|item| limit(item, -1.0)),
        under: table.get("under").and_then(|item| limit(item, 1.0)),
        frozen_ms: table.amount("frozen"),
        origin,
    })
}

fn source(table: &Checked, folder: &str) -> Option<Source> {
    if let Some(item) = table.get("files") {
        return files(item);
    }
    if let Some(sqlite) = table.table("sqlite") {
        return Some(Source::Sqlite {
            db: sqlite.text("db")?.to_owned(),
            query: sqlite.text("query")?.to_owned(),
        });
    }
    if let Some(argv) = table.words("command") {
        return Some(Source::Command {
            argv: argv.to_vec(),
            cwd: table.text("cwd").unwrap_or(folder).to_owned(),
            env: model::env(table),
        });
    }
    if let Some(url) = table.text("http") {
        let (url, pointer) = (url.to_owned(), String::new());
        return Some(Source::Http { url, pointer });
    }
    if let Some(http) = table.table("http") {
        return Some(Source::Http {
            url: http.text("url")?.to_owned(),
            pointer: http.text("pointer").unwrap_or_default().to_owned(),
        });
    }
    machine(table).map(Source::Machine)
}

fn files(item: &Item) -> Option<Source> {
    let plain = |found: Vec<(String, _)>| found.into_iter().map(|(glob, _)| glob).collect();
    match &item.val {
        Val::List(items) => Some(Source::Files {
            globs: plain(texts(items)),
            measure: FileMeasure::Count,
        }),
        Val::Table(table) => Some(Source::Files {
            globs: plain(table.texts("glob")),
            measure: match table.text("measure") {
                Some("size") => FileMeasure::Size,
                Some("oldest") => FileMeasure::Oldest,
                Some("newest") => FileMeasure::Newest,
                _ => FileMeasure::Count,
            },
        }),
        _ => None,
    }
}

fn machine(table: &Checked) -> Option<Machine> {
    if let Some(part) = table.table("machine") {
        let disk = part.text("disk").map(|path| Machine::Disk {
            path: path.to_owned(),
        });
        let gpu = |index| Machine::Gpu { index };
        let memory = |index| Machine::GpuMemory { index };
        return disk
            .or_else(|| part.count("gpu").map(gpu))
            .or_else(|| part.count("gpu_memory").map(memory));
    }
    Some(match table.text("machine")? {
        "memory" => Machine::Memory,
        "swap" => Machine::Swap,
        "load" => Machine::Load,
        "cpu-pressure" => Machine::CpuPressure,
        "memory-pressure" => Machine::MemoryPressure,
        "io-pressure" => Machine::IoPressure,
        "open-files" => Machine::OpenFiles,
        _ => return None,
    })
}

/// `side` is where a limit ends by default: -1 a tenth below it, 1 a tenth above.
fn limit(item: &Item, side: f64) -> Option<Limit> {
    let (at, clear) = match &item.val {
        Val::Number(at) => (*at, None),
        Val::Table(table) => (table.number("at")?, table.number("clear")),
        _ => return None,
    };
    let (at, clear) = (Value(at), clear.unwrap_or(at + side * at.abs() / 10.0));
    Some(Limit {
        at,
        clear: Value(clear),
    })
}

/// A gate, its members not looked up yet.
pub(crate) fn gate(name: &str, table: &Checked, origin: Origin) -> Gate {
    let closes_at: BTreeSet<Level> = match table.list("closes_at") {
        Some(items) => texts(items).iter().map(|(word, _)| level(word)).collect(),
        None => BTreeSet::from([Level::Over]),
    };
    Gate {
        name: name.to_owned(),
        gauge: table.text("gauge").unwrap_or_default().to_owned(),
        closes_at,
        members: BTreeSet::new(),
        origin,
    }
}

/// How long a limit must be broken, by guard.
const FOR_MS: [(&str, u64); 5] = [
    ("memory", 10_000),
    ("cpu", 300_000),
    ("silent_for", 0),
    ("heartbeat", 0),
    ("log_rate", 10_000),
];

/// Oldest acceptable heartbeat.
const MAX_AGE_MS: u64 = 60_000;

/// The guards of a daemon, in a fixed order.
pub(crate) fn guards(table: &Checked) -> Vec<Guard> {
    let guards = FOR_MS.iter().filter_map(|(name, default)| {
        let item = table.get(name)?;
        let what = guarded(name, item)?;
        let none = Checked::default();
        let inner = match &item.val {
            Val::Table(inner) => inner,
            _ => &none,
        };
        Some(Guard {
            what,
            for_ms: inner.amount("for").unwrap_or(*default),
            action: match inner.text("action") {
                Some("restart") => GuardAction::Restart,
                Some("hold") => GuardAction::Hold,
                _ => GuardAction::Event,
            },
        })
    });
    guards.collect()
}

fn guarded(name: &str, item: &Item) -> Option<Guarded> {
    let max = match &item.val {
        Val::Table(inner) => inner.get("max"),
        _ => Some(item),
    };
    let amount = match max.map(|item| &item.val) {
        Some(Val::Amount(amount)) => Some(*amount),
        _ => None,
    };
    Some(match name {
        "memory" => Guarded::Memory { max_bytes: amount? },
        "cpu" => match max?.val {
            Val::Int(percent) => Guarded::Cpu {
                max_percent: u32::try_from(percent).ok()?,
            },
            _ => return None,
        },
        "silent_for" => Guarded::Silence { max_ms: amount? },
        "heartbeat" => heartbeat(item)?,
        _ => Guarded::LogRate {
            max_bytes_per_s: amount?,
        },
    })
}

fn heartbeat(item: &Item) -> Option<Guarded> {
    match &item.val {
        Val::Text(path) => Some(Guarded::Heartbeat {
            path: path.clone(),
            max_age_ms: MAX_AGE_MS,
        }),
        Val::Table(table) => Some(Guarded::Heartbeat {
            path: table.text("file")?.to_owned(),
            max_age_ms: table.amount("max_age").unwrap_or(MAX_AGE_MS),
        }),
        _ => None,
    }
}
