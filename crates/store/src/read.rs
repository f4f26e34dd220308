//! Reading: what a manager needs at its start, and what people ask for.

mod task;

use std::path::Path;

use eud_core::fleet::Fleet;
use eud_core::io::{BusRecovery, ChannelRecovery, RuleRecovery, TaskRecovery};
use eud_core::record::{Book, GateRow, Generation, Intent, Ledger, RunRow};
use rusqlite::{Connection, OptionalExtension, Row};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{bus, channel, rule};
pub use task::{TaskCounts, TaskFilter};

use crate::error::{Result, StoreError};
use crate::{Reader, Store};

pub(crate) const META_PROFILE: &str = "profile";
pub(crate) const META_FLEET: &str = "fleet";
pub(crate) const META_GENERATION: &str = "generation";
pub(crate) const META_TASK: &str = "task";

/// Columns of a run, in the order that [`run_row`] reads them.
const RUN_COLUMNS: &str = "run, unit, generation, intent_at_ms, pid, cause, exit, class";

/// Everything a manager must know when it starts.
#[derive(Debug, Clone, Default)]
pub struct Journal {
    /// Durable intents.
    pub intents: Vec<Intent>,
    /// Durable restart memory.
    pub ledgers: Vec<Ledger>,
    /// Profile brought up last.
    pub profile: Option<String>,
    /// Smallest generation never recorded here.
    pub next_generation: Generation,
    /// Last ended run of each unit that is no task's.
    pub last_runs: Vec<RunRow>,
    /// Runs without an end, oldest first.
    pub open_runs: Vec<RunRow>,
    /// Durable memory of jobs.
    pub books: Vec<Book>,
    /// Durable memory of gates.
    pub gates: Vec<GateRow>,
    /// Durable memory of events.
    pub bus: BusRecovery,
    /// Durable memory of rules.
    pub rules: RuleRecovery,
    /// Durable memory of channels.
    pub channels: ChannelRecovery,
    /// Durable memory of tasks.
    pub tasks: TaskRecovery,
}

/// The word that serde uses for a variant without fields.
pub(crate) fn word<T: Serialize>(value: &T) -> Option<String> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Some(word),
        _ => None,
    }
}

impl Store {
    /// Everything a manager must know when it starts.
    ///
    /// # Errors
    /// When the database cannot be read or holds what no eudaemon wrote.
    pub fn recovery(&self) -> Result<Journal> {
        journal(&self.conn).map_err(|source| unreadable(&self.path, source))
    }

    /// The last fleet that was loaded without an error.
    ///
    /// # Errors
    /// As [`Store::recovery`].
    pub fn last_fleet(&self) -> Result<Option<Fleet>> {
        last_fleet(&self.conn).map_err(|source| unreadable(&self.path, source))
    }

    /// Whether the end of a run is recorded.
    ///
    /// # Errors
    /// As [`Store::recovery`].
    pub fn has_ended(&self, run: &str) -> Result<bool> {
        let ask = || {
            self.conn
                .prepare_cached("select 1 from runs where run = ?1 and exit is not null")?
                .exists([run])
        };
        ask().map_err(|source| unreadable(&self.path, source))
    }

    /// Runs of a unit, newest first, at most `limit`.
    ///
    /// # Errors
    /// As [`Store::recovery`].
    pub fn runs(&self, unit: &str, limit: u32) -> Result<Vec<RunRow>> {
        runs(&self.conn, unit, limit).map_err(|source| unreadable(&self.path, source))
    }
}

impl Reader {
    /// As [`Store::recovery`].
    ///
    /// # Errors
    /// As [`Store::recovery`].
    pub fn recovery(&self) -> Result<Journal> {
        journal(&self.conn).map_err(|source| unreadable(&self.path, source))
    }

    /// As [`Store::last_fleet`].
    ///
    /// # Errors
    /// As [`Store::recovery`].
    pub fn last_fleet(&self) -> Result<Option<Fleet>> {
        last_fleet(&self.conn).map_err(|source| unreadable(&self.path, source))
    }

    /// As [`Store::runs`].
    ///
    /// # Errors
    /// As [`Store::recovery`].
    pub fn runs(&self, unit: &str, limit: u32) -> Result<Vec<RunRow>> {
        runs(&self.conn, unit, limit).map_err(|source| unreadable(&self.path, source))
    }
}

/// A value that does not decode is damage too.
pub(crate) fn unreadable(path: &Path, source: rusqlite::Error) -> StoreError {
    match source {
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..) => StoreError::Corrupt {
            path: path.into(),
            detail: source.to_string(),
        },
        other => StoreError::of(path, other),
    }
}

fn journal(conn: &Connection) -> rusqlite::Result<Journal> {
    let highest: Generation = meta(conn, META_GENERATION)?
        .map(|text| decode_number(&text))
        .transpose()?
        .unwrap_or(0);
    let in_rows: i64 =
        conn.query_row("select coalesce(max(generation), 0) from runs", [], |row| {
            row.get(0)
        })?;
    Ok(Journal {
        intents: collect(
            conn,
            "select unit, desired, manual, hold, at_ms from intents",
            intent,
        )?,
        ledgers: collect(
            conn,
            "select unit, attempt, restarts_total, recent_ms, next_try_ms, cooling, settled from ledgers",
            ledger,
        )?,
        profile: meta(conn, META_PROFILE)?,
        next_generation: highest.max(in_rows.cast_unsigned()) + 1,
        // With a lone max(), SQLite takes the other columns from the row that has the maximum.
        last_runs: collect(
            conn,
            "select run, unit, max(generation), intent_at_ms, pid, cause, exit, class
             from runs where exit is not null and instr(unit, '#') = 0 group by unit",
            run_row,
        )?,
        open_runs: collect(
            conn,
            &format!("select {RUN_COLUMNS} from runs where exit is null order by generation"),
            run_row,
        )?,
        books: collect(conn, "select book from books", |row| {
            decode(0, &row.get::<_, String>(0)?)
        })?,
        gates: collect(
            conn,
            "select gate, closed_ms, reason, held_ms, held_reason from gates",
            gate,
        )?,
        bus: bus::recovery(conn)?,
        rules: rule::recovery(conn)?,
        channels: channel::recovery(conn)?,
        tasks: task::recovery(conn)?,
    })
}

fn last_fleet(conn: &Connection) -> rusqlite::Result<Option<Fleet>> {
    meta(conn, META_FLEET)?
        .map(|text| decode(0, &text))
        .transpose()
}

fn runs(conn: &Connection, unit: &str, limit: u32) -> rusqlite::Result<Vec<RunRow>> {
    let sql =
        format!("select {RUN_COLUMNS} from runs where unit = ?1 order by generation desc limit ?2");
    let mut statement = conn.prepare_cached(&sql)?;
    let rows = statement.query_map(rusqlite::params![unit, limit], run_row)?;
    rows.collect()
}

pub(crate) fn meta(conn: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    conn.query_row("select value from meta where key = ?1", [key], |row| {
        row.get(0)
    })
    .optional()
}

pub(crate) fn collect<T>(
    conn: &Connection,
    sql: &str,
    read: fn(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    let mut statement = conn.prepare(sql)?;
    let rows = statement.query_map([], read)?;
    rows.collect()
}

fn intent(row: &Row<'_>) -> rusqlite::Result<Intent> {
    Ok(Intent {
        unit: row.get(0)?,
        desired: decode_word(1, row.get(1)?)?,
        manual: row.get(2)?,
        hold: row.get(3)?,
        at_ms: row.get(4)?,
    })
}

fn gate(row: &Row<'_>) -> rusqlite::Result<GateRow> {
    Ok(GateRow {
        gate: row.get(0)?,
        closed_ms: row.get(1)?,
        reason: row.get(2)?,
        held_ms: row.get(3)?,
        held_reason: row.get(4)?,
    })
}

fn ledger(row: &Row<'_>) -> rusqlite::Result<Ledger> {
    let settled: Option<String> = row.get(6)?;
    Ok(Ledger {
        unit: row.get(0)?,
        attempt: row.get(1)?,
        restarts_total: row.get::<_, i64>(2)?.cast_unsigned(),
        recent_ms: decode(3, &row.get::<_, String>(3)?)?,
        next_try_ms: row.get(4)?,
        cooling: row.get(5)?,
        settled: settled.map(|word| decode_word(6, word)).transpose()?,
    })
}

fn run_row(row: &Row<'_>) -> rusqlite::Result<RunRow> {
    let exit: Option<String> = row.get(6)?;
    let class: Option<String> = row.get(7)?;
    Ok(RunRow {
        run: row.get(0)?,
        unit: row.get(1)?,
        generation: row.get::<_, i64>(2)?.cast_unsigned(),
        intent_at_ms: row.get(3)?,
        pid: row.get(4)?,
        cause: row.get(5)?,
        exit: exit.map(|text| decode(6, &text)).transpose()?,
        class: class.map(|word| decode_word(7, word)).transpose()?,
    })
}

pub(crate) fn decode<T: DeserializeOwned>(column: usize, text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text).map_err(|source| undecodable(column, source))
}

fn decode_word<T: DeserializeOwned>(column: usize, word: String) -> rusqlite::Result<T> {
    serde_json::from_value(serde_json::Value::String(word))
        .map_err(|source| undecodable(column, source))
}

pub(crate) fn decode_number(text: &str) -> rusqlite::Result<Generation> {
    text.parse().map_err(|source| undecodable(0, source))
}

pub(crate) fn undecodable(
    column: usize,
    source: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(source))
}
