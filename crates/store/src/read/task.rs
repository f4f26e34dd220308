//! Reading tasks.
//!
//! Purpose: what the core must know of them at its start, and lists for people.
//! Invariant: a list costs what it shows, not what there is: each state is an index of its own,
//! newest first.

use std::collections::BTreeMap;

use eud_core::io::{TaskOver, TaskRecovery};
use eud_core::record::{TaskId, TaskRow, TaskSpec, TaskState};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row};

use super::{META_TASK, collect, decode, decode_number, decode_word, meta, unreadable};
use crate::error::Result;
use crate::{Reader, Store};

/// Which tasks are wanted. Without anything set: none, for `limit` is 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskFilter {
    /// Of this pool only.
    pub pool: Option<String>,
    /// In one of these states; empty: in any.
    pub states: Vec<TaskState>,
    /// With this key only.
    pub key: Option<String>,
    /// Older than this one: to go on where a list ended.
    pub before: Option<TaskId>,
    /// At most this many.
    pub limit: u32,
}

/// How many tasks of each pool are in each state. States without any are left out.
pub type TaskCounts = BTreeMap<String, BTreeMap<TaskState, u64>>;

impl Store {
    /// Tasks that match, newest first.
    ///
    /// # Errors
    /// As [`Store::recovery`].
    pub fn tasks(&self, filter: &TaskFilter) -> Result<Vec<TaskRow>> {
        tasks(&self.conn, filter).map_err(|source| unreadable(&self.path, source))
    }

    /// A task, and what it is to do; `None` when it is not kept.
    ///
    /// # Errors
    /// As [`Store::recovery`].
    pub fn task(&self, id: TaskId) -> Result<Option<(TaskRow, TaskSpec)>> {
        task(&self.conn, id).map_err(|source| unreadable(&self.path, source))
    }

    /// How many tasks there are.
    ///
    /// # Errors
    /// As [`Store::recovery`].
    pub fn task_counts(&self) -> Result<TaskCounts> {
        counts(&self.conn).map_err(|source| unreadable(&self.path, source))
    }
}

impl Reader {
    /// As [`Store::tasks`].
    ///
    /// # Errors
    /// As [`Store::recovery`].
    pub fn tasks(&self, filter: &TaskFilter) -> Result<Vec<TaskRow>> {
        tasks(&self.conn, filter).map_err(|source| unreadable(&self.path, source))
    }

    /// As [`Store::task`].
    ///
    /// # Errors
    /// As [`Store::recovery`].
    pub fn task(&self, id: TaskId) -> Result<Option<(TaskRow, TaskSpec)>> {
        task(&self.conn, id).map_err(|source| unreadable(&self.path, source))
    }

    /// As [`Store::task_counts`].
    ///
    /// # Errors
    /// As [`Store::recovery`].
    pub fn task_counts(&self) -> Result<TaskCounts> {
        counts(&self.conn).map_err(|source| unreadable(&self.path, source))
    }
}

pub(super) fn recovery(conn: &Connection) -> rusqlite::Result<TaskRecovery> {
    let highest: Option<i64> = conn.query_row("select max(id) from tasks", [], |row| row.get(0))?;
    let last = meta(conn, META_TASK)?
        .map(|text| decode_number(&text))
        .transpose()?
        .unwrap_or(0);
    Ok(TaskRecovery {
        tasks: collect(
            conn,
            "select task from tasks
             where state in ('queued', 'delayed', 'blocked', 'running') order by id",
            task_row,
        )?,
        over: collect(
            conn,
            "select id, pool, state, token, ended_ms,
                    case state when 'succeeded' then null else task end from tasks
             where state not in ('queued', 'delayed', 'blocked', 'running') order by id",
            task_over,
        )?,
        last_task: last.max(highest.unwrap_or(0).cast_unsigned()),
        pools: collect(conn, "select row from pools order by pool", |row| {
            decode(0, &row.get::<_, String>(0)?)
        })?,
    })
}

fn task_row(row: &Row<'_>) -> rusqlite::Result<TaskRow> {
    decode(0, &row.get::<_, String>(0)?)
}

fn task_over(row: &Row<'_>) -> rusqlite::Result<TaskOver> {
    Ok(TaskOver {
        id: row.get::<_, i64>(0)?.cast_unsigned(),
        pool: row.get(1)?,
        state: decode_word(2, row.get(2)?)?,
        token: row.get(3)?,
        ended_ms: row.get::<_, Option<i64>>(4)?.unwrap_or(0),
        row: row
            .get::<_, Option<String>>(5)?
            .map(|text| decode(5, &text))
            .transpose()?,
    })
}

/// One look for each state, so that no look has to sort; then the newest of all.
fn tasks(conn: &Connection, filter: &TaskFilter) -> rusqlite::Result<Vec<TaskRow>> {
    if filter.states.is_empty() && filter.pool.is_none() {
        return tasks_in(conn, filter, None);
    }
    let all = &TaskState::ALL[..];
    let mut states = if filter.states.is_empty() {
        all
    } else {
        &filter.states
    }
    .to_vec();
    states.sort_unstable();
    states.dedup();
    let mut found = Vec::new();
    for state in states {
        found.extend(tasks_in(conn, filter, Some(state))?);
    }
    found.sort_unstable_by_key(|row| std::cmp::Reverse(row.id));
    found.truncate(usize::try_from(filter.limit).unwrap_or(usize::MAX));
    Ok(found)
}

fn tasks_in(
    conn: &Connection,
    filter: &TaskFilter,
    state: Option<TaskState>,
) -> rusqlite::Result<Vec<TaskRow>> {
    let before = filter
        .before
        .map(|id| i64::try_from(id).unwrap_or(i64::MAX));
    let terms = [
        ("pool = ?", filter.pool.clone().map(Value::Text)),
        (
            "state = ?",
            state.map(|s| Value::Text(s.as_str().to_owned())),
        ),
        ("key = ?", filter.key.clone().map(Value::Text)),
        ("id < ?", before.map(Value::Integer)),
    ];
    let mut sql = "select task from tasks where true".to_owned();
    let mut values = Vec::new();
    for (term, value) in terms {
        if let Some(value) = value {
            sql.push_str(" and ");
            sql.push_str(term);
            values.push(value);
        }
    }
    sql.push_str(" order by id desc limit ?");
    values.push(Value::Integer(filter.limit.into()));
    let mut statement = conn.prepare_cached(&sql)?;
    let rows = statement.query_map(rusqlite::params_from_iter(values), task_row)?;
    rows.collect()
}

fn task(conn: &Connection, id: TaskId) -> rusqlite::Result<Option<(TaskRow, TaskSpec)>> {
    let Ok(id) = i64::try_from(id) else {
        return Ok(None);
    };
    let mut statement = conn.prepare_cached(
        "select task, spec from tasks left join task_specs using (id) where id = ?1",
    )?;
    let found = statement.query_row([id], |row| {
        let spec: Option<String> = row.get(1)?;
        let spec = spec.map(|text| decode(1, &text)).transpose()?;
        Ok((task_row(row)?, spec.unwrap_or_default()))
    });
    found.optional()
}

fn counts(conn: &Connection) -> rusqlite::Result<TaskCounts> {
    let mut statement =
        conn.prepare_cached("select pool, state, count(*) from tasks group by pool, state")?;
    let mut rows = statement.query([])?;
    let mut counts = TaskCounts::new();
    while let Some(row) = rows.next()? {
        let state = decode_word(1, row.get(1)?)?;
        let number = row.get::<_, i64>(2)?.cast_unsigned();
        counts.entry(row.get(0)?).or_default().insert(state, number);
    }
    Ok(counts)
}
