//! Writing tasks and pools.
//!
//! Invariants: what a task is to do is written once, with its first row; the id of the last task
//! outlives the row, so that none is used twice; with a task go its runs that have ended.

use eud_core::io::TaskPersist;
use eud_core::record::{PoolRow, TaskId, TaskRow, TaskSpec};
use rusqlite::{Transaction, params};

use super::json;
use crate::read::META_TASK;

pub(super) fn put(tx: &Transaction<'_>, item: &TaskPersist) -> rusqlite::Result<()> {
    match item {
        TaskPersist::Put { row, spec } => {
            if let Some(spec) = spec {
                put_spec(tx, row.id, spec)?;
            }
            put_row(tx, row)
        }
        TaskPersist::Forget(id) => forget(tx, *id),
        TaskPersist::Pool(row) => put_pool(tx, row),
        TaskPersist::ForgetPool(pool) => {
            tx.prepare_cached("delete from pools where pool = ?1")?
                .execute([pool])?;
            Ok(())
        }
    }
}

fn put_spec(tx: &Transaction<'_>, id: TaskId, spec: &TaskSpec) -> rusqlite::Result<()> {
    tx.prepare_cached("insert or replace into task_specs (id, spec) values (?1, ?2)")?
        .execute(params![id.cast_signed(), json(spec)?])?;
    tx.prepare_cached(
        "insert into meta (key, value) values (?1, cast(?2 as text))
         on conflict (key) do update set value = excluded.value
         where cast(meta.value as integer) < ?2",
    )?
    .execute(params![META_TASK, id.cast_signed()])?;
    Ok(())
}

/// Updated in place: an index is written only when its own column changes.
fn put_row(tx: &Transaction<'_>, row: &TaskRow) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "insert into tasks (id, pool, state, key, token, ended_ms, task)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         on conflict (id) do update set
             pool = excluded.pool, state = excluded.state, key = excluded.key,
             token = excluded.token, ended_ms = excluded.ended_ms, task = excluded.task",
    )?
    .execute(params![
        row.id.cast_signed(),
        row.pool,
        row.state.as_str(),
        row.key,
        row.token,
        row.ended_ms,
        json(row)?,
    ])?;
    Ok(())
}

fn forget(tx: &Transaction<'_>, id: TaskId) -> rusqlite::Result<()> {
    let id = id.cast_signed();
    tx.prepare_cached(
        "delete from runs where exit is not null
         and unit = (select pool || '#' || id from tasks where id = ?1)",
    )?
    .execute([id])?;
    for sql in [
        "delete from tasks where id = ?1",
        "delete from task_specs where id = ?1",
    ] {
        tx.prepare_cached(sql)?.execute([id])?;
    }
    Ok(())
}

fn put_pool(tx: &Transaction<'_>, row: &PoolRow) -> rusqlite::Result<()> {
    tx.prepare_cached("insert or replace into pools (pool, row) values (?1, ?2)")?
        .execute(params![row.name, json(row)?])?;
    Ok(())
}
