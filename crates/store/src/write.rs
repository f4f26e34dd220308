//! Writing: one transaction for each batch.

mod task;

use eud_core::fleet::Fleet;
use eud_core::io::Persist;
use eud_core::record::{ExitClass, ExitRecord, GateRow, Intent, Ledger, RunRow};
use rusqlite::{Transaction, params};

use crate::create::companion;
use crate::error::{Result, StoreError};
use crate::read::{META_FLEET, META_GENERATION, META_PROFILE, word};
use crate::{PRUNE_EVERY_RUNS, RUNS_KEPT_PER_UNIT, Store, bus, channel, rule};

/// What stops a batch: SQLite, or an invariant of ours.
enum Fault {
    Sqlite(rusqlite::Error),
    GenerationReused(u64),
}

impl From<rusqlite::Error> for Fault {
    fn from(source: rusqlite::Error) -> Self {
        Self::Sqlite(source)
    }
}

impl Store {
    /// Records all of it, or nothing. Durable when it returns, through a power cut.
    ///
    /// The one exception is a batch of nothing but [`Persist::RunStarted`]: it survives the death
    /// of this process at once, but a power cut only once the next batch is recorded. A power cut
    /// ends the very process it tells of.
    ///
    /// # Errors
    /// When it cannot be recorded; then nothing of it is, and the same call may be tried again.
    pub fn apply(&mut self, batch: &[Persist]) -> Result<()> {
        self.apply_with_fleet(batch, None)
    }

    /// As [`Store::apply`], and remembers the fleet that the batch belongs to as the last good one.
    ///
    /// # Errors
    /// As [`Store::apply`].
    pub fn apply_with_fleet(&mut self, batch: &[Persist], fleet: Option<&Fleet>) -> Result<()> {
        let must_reach_disk = fleet.is_some() || batch.iter().any(is_worth_the_disk);
        self.sync_on_commit(must_reach_disk)?;
        self.commit(batch, fleet)?;
        if must_reach_disk {
            self.unsynced = false;
        }
        Ok(())
    }

    /// Records all of it, or nothing, without waiting for the disk: it survives the death of this
    /// process at once, but a power cut only after [`Store::sync`] or the next batch that is
    /// waited for. For what nobody was told yet.
    ///
    /// # Errors
    /// As [`Store::apply`].
    pub fn apply_unsynced(&mut self, batch: &[Persist]) -> Result<()> {
        self.sync_on_commit(false)?;
        self.commit(batch, None)?;
        self.unsynced |= batch.iter().any(is_worth_the_disk);
        Ok(())
    }

    /// Waits until everything recorded is on the disk. Returns at once when it is.
    ///
    /// # Errors
    /// When the disk cannot take it. What was recorded can be read all the same; whether it would
    /// survive a power cut is not known.
    pub fn sync(&mut self) -> Result<()> {
        if !self.unsynced {
            return Ok(());
        }
        // Its own descriptor: SQLite has no call for this. Closing one takes no lock away, as it
        // would for the database itself: SQLite locks nothing in this file.
        let wal = companion(&self.path, "-wal");
        let synced = std::fs::File::open(wal).and_then(|log| log.sync_data());
        synced.map_err(|error| StoreError::of_io(&self.path, &error))?;
        self.unsynced = false;
        Ok(())
    }

    /// Whether [`Store::sync`] has something to wait for.
    pub fn is_unsynced(&self) -> bool {
        self.unsynced
    }

    fn commit(&mut self, batch: &[Persist], fleet: Option<&Fleet>) -> Result<()> {
        if batch.is_empty() && fleet.is_none() {
            return Ok(());
        }
        let ended = self.transact(batch, fleet).map_err(|fault| match fault {
            Fault::Sqlite(source) => StoreError::of(&self.path, source),
            Fault::GenerationReused(generation) => StoreError::GenerationReused {
                path: self.path.clone(),
                generation,
            },
        })?;
        self.ended_since_prune = self.ended_since_prune.saturating_add(ended);
        if self.ended_since_prune >= PRUNE_EVERY_RUNS {
            // The batch is durable; that old rows stay a little longer harms nobody.
            let _ = self.prune();
        }
        Ok(())
    }

    /// Whether a commit waits for the disk. Either way the file is consistent after any crash.
    fn sync_on_commit(&mut self, sync: bool) -> Result<()> {
        if sync != self.syncs {
            let level = if sync { "full" } else { "normal" };
            self.conn
                .pragma_update(None, "synchronous", level)
                .map_err(|source| StoreError::of(&self.path, source))?;
            self.syncs = sync;
        }
        Ok(())
    }

    /// Returns how many runs ended.
    fn transact(
        &mut self,
        batch: &[Persist],
        fleet: Option<&Fleet>,
    ) -> std::result::Result<u32, Fault> {
        let tx = self.conn.transaction()?;
        let mut ended = 0;
        for item in batch {
            match item {
                Persist::Intent(intent) => put_intent(&tx, intent)?,
                Persist::Forget(unit) => forget(&tx, unit)?,
                Persist::Ledger(ledger) => put_ledger(&tx, ledger)?,
                Persist::RunIntent(row) => put_run(&tx, row)?,
                Persist::RunStarted { run, pid } => {
                    tx.prepare_cached("update runs set pid = ?2 where run = ?1")?
                        .execute(params![run, pid])?;
                }
                Persist::RunEnded { record, class } => {
                    put_end(&tx, record, *class)?;
                    ended += 1;
                }
                Persist::Profile(profile) => match profile {
                    Some(name) => put_meta(&tx, META_PROFILE, name)?,
                    None => {
                        tx.prepare_cached("delete from meta where key = ?1")?
                            .execute([META_PROFILE])?;
                    }
                },
                Persist::Book(book) => {
                    tx.prepare_cached("insert or replace into books (job, book) values (?1, ?2)")?
                        .execute(params![book.job, json(book)?])?;
                }
                Persist::ForgetBook(job) => {
                    tx.prepare_cached("delete from books where job = ?1")?
                        .execute([job])?;
                }
                Persist::Gate(row) => put_gate(&tx, row)?,
                Persist::ForgetGate(gate) => {
                    tx.prepare_cached("delete from gates where gate = ?1")?
                        .execute([gate])?;
                }
                Persist::Rule(item) => rule::put(&tx, item)?,
                Persist::Channel(item) => channel::put(&tx, item)?,
                Persist::Bus(item) => bus::put(&tx, item)?,
                Persist::Task(persist) => task::put(&tx, persist)?,
            }
        }
        if let Some(fleet) = fleet {
            put_meta(&tx, META_FLEET, &json(fleet)?)?;
        }
        tx.commit()?;
        Ok(ended)
    }

    /// Deletes runs beyond [`RUNS_KEPT_PER_UNIT`].
    pub(crate) fn prune(&mut self) -> Result<()> {
        self.ended_since_prune = 0;
        self.conn
            .execute(
                "delete from runs where run in (
                     select run from (
                         select run, row_number() over
                             (partition by unit order by generation desc) as n
                         from runs where exit is not null
                     ) where n > ?1
                 )",
                [RUNS_KEPT_PER_UNIT],
            )
            .map_err(|source| StoreError::of(&self.path, source))?;
        Ok(())
    }
}

/// The start of a process is not: a power cut ends that very process.
fn is_worth_the_disk(item: &Persist) -> bool {
    !matches!(item, Persist::RunStarted { .. })
}

pub(crate) fn put_meta(tx: &Transaction<'_>, key: &str, value: &str) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "insert into meta (key, value) values (?1, ?2)
         on conflict (key) do update set value = excluded.value",
    )?
    .execute([key, value])?;
    Ok(())
}

fn put_intent(tx: &Transaction<'_>, intent: &Intent) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "insert or replace into intents (unit, desired, manual, hold, at_ms) values (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        intent.unit,
        word(&intent.desired),
        intent.manual,
        intent.hold,
        intent.at_ms
    ])?;
    Ok(())
}

/// Runs stay, until they are old: what happened has happened.
fn forget(tx: &Transaction<'_>, unit: &str) -> rusqlite::Result<()> {
    tx.prepare_cached("delete from intents where unit = ?1")?
        .execute([unit])?;
    tx.prepare_cached("delete from ledgers where unit = ?1")?
        .execute([unit])?;
    Ok(())
}

fn put_ledger(tx: &Transaction<'_>, ledger: &Ledger) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "insert or replace into ledgers
             (unit, attempt, restarts_total, recent_ms, next_try_ms, cooling, settled)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        ledger.unit,
        ledger.attempt,
        ledger.restarts_total.cast_signed(),
        json(&ledger.recent_ms)?,
        ledger.next_try_ms,
        ledger.cooling,
        ledger.settled.as_ref().map(word),
    ])?;
    Ok(())
}

fn put_gate(tx: &Transaction<'_>, row: &GateRow) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "insert or replace into gates (gate, closed_ms, reason, held_ms, held_reason)
         values (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        row.gate,
        row.closed_ms,
        row.reason,
        row.held_ms,
        row.held_reason
    ])?;
    Ok(())
}

fn put_run(tx: &Transaction<'_>, row: &RunRow) -> std::result::Result<(), Fault> {
    // The counter outlives the rows, so that a generation stays used when its run is pruned or
    // forgotten.
    let raised = tx
        .prepare_cached(
            "insert into meta (key, value) values (?1, cast(?2 as text))
             on conflict (key) do update set value = excluded.value
             where cast(meta.value as integer) < ?2",
        )?
        .execute(params![META_GENERATION, row.generation.cast_signed()])?;
    if raised == 0 {
        return Err(Fault::GenerationReused(row.generation));
    }
    tx.prepare_cached(
        "insert into runs (run, unit, generation, intent_at_ms, pid, cause) values (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        row.run,
        row.unit,
        row.generation.cast_signed(),
        row.intent_at_ms,
        row.pid,
        row.cause
    ])?;
    Ok(())
}

/// The first record of a run stays. A run known only by its folder gets its row now.
fn put_end(
    tx: &Transaction<'_>,
    record: &ExitRecord,
    class: Option<ExitClass>,
) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "insert into runs (run, unit, generation, intent_at_ms, pid, cause, ended_at_ms, class, exit)
         values (?1, ?2, ?3, ?4, nullif(?5, 0), 'found at recovery', ?6, ?7, ?8)
         on conflict (run) do update set
             pid = coalesce(excluded.pid, pid), ended_at_ms = excluded.ended_at_ms,
             class = excluded.class, exit = excluded.exit
         where exit is null",
    )?
    .execute(params![
        record.run,
        record.unit,
        record.generation.cast_signed(),
        record.started_at_ms,
        record.pid,
        record.ended_at_ms,
        class.as_ref().map(word),
        json(record)?,
    ])?;
    Ok(())
}

pub(crate) fn json<T: serde::Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value)
        .map_err(|source| rusqlite::Error::ToSqlConversionFailure(Box::new(source)))
}
