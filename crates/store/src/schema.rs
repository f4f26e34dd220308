//! The tables, and the steps from one version of them to the next.
//!
//! Invariants: a step is never edited once released, only followed by another; all pending steps
//! run in one transaction; `user_version` counts the steps done.

use std::path::Path;

use rusqlite::Connection;

use crate::error::{Result, StoreError};

/// Marks the file as ours (`PRAGMA application_id`): "eud1".
const APPLICATION_ID: i64 = 0x6575_6431;

/// Step `n` leads from version `n` to `n + 1`.
const STEPS: &[&str] = &[
    "
    create table meta (
        key   text primary key,
        value text not null
    ) strict, without rowid;

    create table intents (
        unit    text primary key,
        desired text not null,              -- up | down
        manual  integer not null,           -- 1: set by a person
        hold    text,                       -- reason; null: not held
        at_ms   integer not null
    ) strict, without rowid;

    create table ledgers (
        unit           text primary key,
        attempt        integer not null,
        restarts_total integer not null,
        recent_ms      text not null,       -- JSON array
        next_try_ms    integer,
        cooling        integer not null,
        settled        text                 -- done | failed
    ) strict, without rowid;

    create table runs (
        run          text primary key,
        unit         text not null,
        generation   integer not null,
        intent_at_ms integer not null,
        pid          integer,
        cause        text not null,
        ended_at_ms  integer,
        class        text,                  -- success | alarm | failure | stopped
        exit         text                   -- the exit record as JSON; null: not ended
    ) strict, without rowid;
    create index runs_by_unit on runs (unit, generation);
    create index runs_open on runs (generation) where exit is null;
",
    "
    create table books (
        job  text primary key,
        book text not null                  -- what is remembered of the job, as JSON
    ) strict, without rowid;

    create table gates (
        gate      text primary key,
        closed_ms integer,                  -- null: open
        reason    text
    ) strict, without rowid;
",
    "
    create table events (
        seq        integer primary key,
        id         text not null,
        source     text not null,
        type       text not null,
        subject    text,
        time_ms    integer not null,
        stored_ms  integer not null,
        data       text,                    -- JSON; null: none
        dataschema text,
        extensions text,                    -- JSON object of texts; null: none
        content    blob                     -- digest, if repetitions are to be known
    ) strict;

    create table subscriptions (
        name text primary key,
        row  text not null                  -- what is remembered of it, as JSON
    ) strict, without rowid;

    create table deliveries (               -- those that are not over
        outlet text not null,
        seq    integer not null,
        number integer not null,
        row    text not null,
        primary key (outlet, seq, number)
    ) strict, without rowid;
    create index deliveries_by_event on deliveries (seq);

    create table dead_letters (
        id  integer primary key,
        seq integer not null,
        row text not null
    ) strict;
    create index dead_letters_by_event on dead_letters (seq);
",
    TASKS,
    RULES,
    CHANNELS,
];

/// Tasks and pools. What is looked for has a column beside the row; what a task is to do is apart,
/// so that a row that is rewritten does not drag a prompt along.
const TASKS: &str = "
    create table tasks (
        id       integer primary key,
        pool     text not null,
        state    text not null,             -- queued | delayed | blocked | running | succeeded | …
        key      text,
        token    text,
        ended_ms integer,                   -- null: not over
        task     text not null              -- what is remembered of the task, as JSON
    ) strict;
    create index tasks_by_pool on tasks (pool, state);
    create index tasks_by_state on tasks (state);
    create index tasks_by_key on tasks (key) where key is not null;

    create table task_specs (
        id   integer primary key,
        spec text not null                  -- what the task is to do, as JSON
    ) strict;

    create table pools (
        pool text primary key,
        row  text not null                  -- what is remembered of the pool, as JSON
    ) strict, without rowid;
";

/// Rules, and gates that they keep closed.
const RULES: &str = "
    create table rules (
        name text primary key,
        row  text not null                  -- what is remembered of the rule, as JSON
    ) strict, without rowid;

    create table rule_keys (
        rule   text not null,
        key    text not null,
        seq    integer,                     -- the event that it waits for; null: none
        memory text not null,               -- what the rule remembers of the key, as JSON
        primary key (rule, key)
    ) strict, without rowid;
    create index rule_keys_by_event on rule_keys (seq) where seq is not null;

    create table approvals (
        id  integer primary key,
        seq integer,                        -- the event; null: decided
        row text not null                   -- the request, as JSON
    ) strict;
    create index approvals_by_event on approvals (seq) where seq is not null;

    alter table gates add column held_ms integer;      -- null: no rule keeps it closed
    alter table gates add column held_reason text;
";

/// Channels, and messages that are not sent.
const CHANNELS: &str = "
    create table channels (
        name text primary key,
        row  text not null                  -- what is remembered of the channel, as JSON
    ) strict, without rowid;

    create table messages (
        id      integer primary key,
        channel text not null,
        row     text not null               -- what is remembered of the message, as JSON
    ) strict;
";

/// Latest version known here.
pub(crate) const VERSION: i64 = STEPS.len() as i64;

fn version(conn: &Connection, path: &Path) -> Result<i64> {
    conn.pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(|source| StoreError::of(path, source))
}

/// Refuses a database of another program or of a newer version of this one.
pub(crate) fn refuse_newer(conn: &Connection, path: &Path) -> Result<()> {
    let found = version(conn, path)?;
    let wrap = |source| StoreError::of(path, source);
    let owner: i64 = conn
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .map_err(wrap)?;
    let tables: i64 = conn
        .query_row("select count(*) from sqlite_schema", [], |row| row.get(0))
        .map_err(wrap)?;
    if owner != APPLICATION_ID && (owner != 0 || found != 0 || tables != 0) {
        return Err(StoreError::NotADatabase { path: path.into() });
    }
    if found > VERSION {
        return Err(StoreError::NewerSchema {
            path: path.into(),
            found,
            known: VERSION,
        });
    }
    Ok(())
}

/// Refuses a database that no manager has finished creating.
pub(crate) fn refuse_empty(conn: &Connection, path: &Path) -> Result<()> {
    if version(conn, path)? == 0 {
        return Err(StoreError::Missing { path: path.into() });
    }
    Ok(())
}

/// Brings the tables up to date.
pub(crate) fn migrate(conn: &mut Connection, path: &Path) -> Result<()> {
    let found = version(conn, path)?;
    if found == VERSION {
        return Ok(());
    }
    let wrap = |source| StoreError::of(path, source);
    let tx = conn.transaction().map_err(wrap)?;
    let done = usize::try_from(found).unwrap_or(0);
    for step in &STEPS[done..] {
        tx.execute_batch(step).map_err(wrap)?;
    }
    tx.pragma_update(None, "application_id", APPLICATION_ID)
        .map_err(wrap)?;
    tx.pragma_update(None, "user_version", VERSION)
        .map_err(wrap)?;
    tx.commit().map_err(wrap)
}
