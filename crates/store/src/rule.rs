//! Rules and requests for approval.
//!
//! Invariants: what a rule remembers is written key by key, so that an event costs one row however
//! many keys there are; an event for which a rule or a person's decision waits has its number in a
//! column, by which it is kept; the number of the last request outlives the row.

use std::collections::BTreeMap;

use eud_core::io::{RulePersist, RuleRecovery};
use eud_core::record::{ApprovalRow, RuleKey, RuleRow};
use rusqlite::{Connection, Row, Transaction, params};

use crate::error::Result;
use crate::read::{collect, decode, decode_number, meta, unreadable};
use crate::write::{json, put_meta};
use crate::{Reader, Store};

const META_LAST_APPROVAL: &str = "last_approval";

/// Records one item.
pub(crate) fn put(tx: &Transaction<'_>, item: &RulePersist) -> rusqlite::Result<()> {
    match item {
        RulePersist::Put(row) => {
            tx.prepare_cached("insert or replace into rules (name, row) values (?1, ?2)")?
                .execute(params![row.name, json(row)?])?;
            Ok(())
        }
        RulePersist::Key { rule, key, memory } => put_key(tx, rule, key, memory.as_deref()),
        RulePersist::Forget(name) => {
            tx.prepare_cached("delete from rules where name = ?1")?
                .execute([name])?;
            tx.prepare_cached("delete from rule_keys where rule = ?1")?
                .execute([name])?;
            Ok(())
        }
        RulePersist::Approval(row) => put_approval(tx, row),
        RulePersist::ForgetApproval(id) => {
            tx.prepare_cached("delete from approvals where id = ?1")?
                .execute([id.cast_signed()])?;
            Ok(())
        }
    }
}

fn put_key(
    tx: &Transaction<'_>,
    rule: &str,
    key: &str,
    memory: Option<&RuleKey>,
) -> rusqlite::Result<()> {
    let Some(memory) = memory else {
        tx.prepare_cached("delete from rule_keys where rule = ?1 and key = ?2")?
            .execute([rule, key])?;
        return Ok(());
    };
    let seq = memory.waits.map(|(_, seq)| seq.cast_signed());
    tx.prepare_cached(
        "insert or replace into rule_keys (rule, key, seq, memory) values (?1, ?2, ?3, ?4)",
    )?
    .execute(params![rule, key, seq, json(memory)?])?;
    Ok(())
}

fn put_approval(tx: &Transaction<'_>, row: &ApprovalRow) -> rusqlite::Result<()> {
    let seq = row.outcome.is_none().then(|| row.seq.cast_signed());
    tx.prepare_cached("insert or replace into approvals (id, seq, row) values (?1, ?2, ?3)")?
        .execute(params![row.id.cast_signed(), seq, json(row)?])?;
    let last: u64 = meta(tx, META_LAST_APPROVAL)?.map_or(0, |text| text.parse().unwrap_or(0));
    if row.id > last {
        put_meta(tx, META_LAST_APPROVAL, &row.id.to_string())?;
    }
    Ok(())
}

/// What a new manager must know of rules.
pub(crate) fn recovery(conn: &Connection) -> rusqlite::Result<RuleRecovery> {
    let last = meta(conn, META_LAST_APPROVAL)?;
    Ok(RuleRecovery {
        rules: rules(conn)?,
        approvals: approvals(conn)?,
        last_approval: last.map_or(Ok(0), |text| decode_number(&text))?,
    })
}

/// A rule that only remembers keys has no row of its own.
fn rules(conn: &Connection) -> rusqlite::Result<Vec<RuleRow>> {
    let rows: Vec<RuleRow> = collect(conn, "select row from rules", |row| {
        decode(0, row.get_ref(0)?.as_str()?)
    })?;
    let named = rows.into_iter().map(|row| (row.name.clone(), row));
    let mut rules: BTreeMap<String, RuleRow> = named.collect();
    let keys = collect(conn, "select rule, key, memory from rule_keys", key_row)?;
    for (name, key, memory) in keys {
        let rule = rules.entry(name.clone()).or_default();
        rule.name = name;
        rule.keys.insert(key, memory);
    }
    Ok(rules.into_values().collect())
}

fn key_row(row: &Row<'_>) -> rusqlite::Result<(String, String, RuleKey)> {
    let memory = decode(2, row.get_ref(2)?.as_str()?)?;
    Ok((row.get(0)?, row.get(1)?, memory))
}

fn approvals(conn: &Connection) -> rusqlite::Result<Vec<ApprovalRow>> {
    collect(conn, "select row from approvals order by id", |row| {
        decode(0, row.get_ref(0)?.as_str()?)
    })
}

macro_rules! reading {
    ($($who:ty),*) => {$(
        impl $who {
            /// Rules that remember something, by name.
            ///
            /// # Errors
            /// As [`Store::recovery`].
            pub fn rules(&self) -> Result<Vec<RuleRow>> {
                rules(&self.conn).map_err(|source| unreadable(&self.path, source))
            }

            /// Requests for approval that are kept, oldest first.
            ///
            /// # Errors
            /// As [`Store::recovery`].
            pub fn approvals(&self) -> Result<Vec<ApprovalRow>> {
                approvals(&self.conn).map_err(|source| unreadable(&self.path, source))
            }
        }
    )*};
}
reading!(Store, Reader);
