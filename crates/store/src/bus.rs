//! Events and those who get them.
//!
//! Invariants: events are written in the order of their numbers and never changed; the newest one
//! stays, so that no number is used twice; what somebody waits for stays too: a delivery, a
//! dead letter, a rule, a request for approval.

use std::collections::BTreeMap;
use std::sync::Arc;

use eud_core::event::{Digest, Event, KNOWN_MAX, OWN_SOURCE, Seq, identity, matches};
use eud_core::io::{BusPersist, BusRecovery, Known};
use eud_core::record::{DeadLetterRow, DeliveryRow, SubscriptionRow, WallMs};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use crate::error::Result;
use crate::read::{collect, decode, meta, undecodable, unreadable};
use crate::write::{json, put_meta};
use crate::{Reader, Store};

const META_LAST_DEAD: &str = "last_dead_letter";

/// Columns of an event, in the order that [`event_row`] reads them.
const COLUMNS: &str =
    "seq, id, source, type, subject, time_ms, stored_ms, data, dataschema, extensions";

/// A page ends early when its payloads have this many bytes together.
const PAGE_BYTES_MAX: usize = 4 << 20;

/// Which events are wanted. The default is all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Patterns of types, of which one must match; empty: any type. See [`matches`].
    pub on: Vec<String>,
    /// What they are about.
    pub subject: Option<String>,
    /// Stored at this time or later.
    pub since_ms: Option<WallMs>,
}

impl EventFilter {
    /// Whether an event is wanted.
    pub fn wants(&self, event: &Event) -> bool {
        self.wants_type(&event.kind)
            && self.since_ms.is_none_or(|since| event.stored_ms >= since)
            && (self.subject.is_none() || self.subject == event.subject)
    }

    /// Whether events of a type can be wanted.
    pub fn wants_type(&self, kind: &str) -> bool {
        self.on.is_empty() || self.on.iter().any(|pattern| matches(pattern, kind))
    }
}

/// Which dead letters are wanted. The default is none of them: nothing is without a limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadFilter {
    /// Where they were to go.
    pub outlet: Option<String>,
    /// Older than this one: to go on where a list ended.
    pub before: Option<u64>,
    /// How many.
    pub limit: usize,
}

/// Some events, in order.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Those that are wanted.
    pub events: Vec<Arc<Event>>,
    /// Everything up to here was looked at.
    pub upto: Seq,
    /// There was no more to look at.
    pub is_last: bool,
}

/// Records one item.
pub(crate) fn put(tx: &Transaction<'_>, item: &BusPersist) -> rusqlite::Result<()> {
    match item {
        BusPersist::Event { event, content } => put_event(tx, event, content.as_ref()),
        BusPersist::Prune {
            before_ms,
            keep_max,
            upto,
        } => prune(tx, *before_ms, *keep_max, *upto),
        BusPersist::Subscription(row) => {
            tx.prepare_cached("insert or replace into subscriptions (name, row) values (?1, ?2)")?
                .execute(params![row.name, json(row)?])?;
            Ok(())
        }
        BusPersist::ForgetSubscription(name) => {
            tx.prepare_cached("delete from subscriptions where name = ?1")?
                .execute([name])?;
            Ok(())
        }
        BusPersist::Delivery(row) => {
            tx.prepare_cached(
                "insert or replace into deliveries (outlet, seq, number, row)
                 values (?1, ?2, ?3, ?4)",
            )?
            .execute(params![
                row.outlet,
                int(row.seq),
                int(row.number),
                json(row)?
            ])?;
            Ok(())
        }
        BusPersist::DeliveryOver {
            outlet,
            seq,
            number,
        } => {
            tx.prepare_cached(
                "delete from deliveries where outlet = ?1 and seq = ?2 and number = ?3",
            )?
            .execute(params![outlet, int(*seq), int(*number)])?;
            Ok(())
        }
        BusPersist::DeadLetter(row) => put_dead(tx, row),
        BusPersist::ForgetDeadLetter(id) => {
            tx.prepare_cached("delete from dead_letters where id = ?1")?
                .execute([int(*id)])?;
            Ok(())
        }
    }
}

fn put_event(
    tx: &Transaction<'_>,
    event: &Event,
    content: Option<&Digest>,
) -> rusqlite::Result<()> {
    let data = (!event.data.is_null()).then(|| event.data.to_string());
    let extensions = Some(&event.extensions).filter(|extensions| !extensions.is_empty());
    let extensions = extensions.map(json).transpose()?;
    tx.prepare_cached(
        "insert into events
             (seq, id, source, type, subject, time_ms, stored_ms, data, dataschema, extensions,
              content)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?
    .execute(params![
        int(event.seq),
        event.id,
        event.source,
        event.kind,
        event.subject,
        event.time_ms,
        event.stored_ms,
        data,
        event.dataschema,
        extensions,
        content.map(|digest| &digest[..]),
    ])?;
    Ok(())
}

/// Deletes the oldest events while they are too old or too many.
fn prune(
    tx: &Transaction<'_>,
    before_ms: WallMs,
    keep_max: u64,
    upto: Seq,
) -> rusqlite::Result<()> {
    let (last, first_young) = (
        last_seq(tx)?,
        tx.prepare_cached("select seq from events where stored_ms >= ?1 order by seq limit 1")?
            .query_row([before_ms], |row| row.get::<_, i64>(0))
            .optional()?,
    );
    let too_old = first_young.map_or(last, |seq| seq.cast_unsigned().saturating_sub(1));
    let too_many = last.saturating_sub(keep_max);
    tx.prepare_cached(
        "delete from events where seq <= ?1
             and seq not in (select seq from deliveries)
             and seq not in (select seq from dead_letters)
             and seq not in (select seq from approvals where seq is not null)
             and seq not in (select seq from rule_keys where seq is not null)",
    )?
    .execute([int(too_old.max(too_many).min(upto))])?;
    Ok(())
}

fn put_dead(tx: &Transaction<'_>, row: &DeadLetterRow) -> rusqlite::Result<()> {
    tx.prepare_cached("insert or replace into dead_letters (id, seq, row) values (?1, ?2, ?3)")?
        .execute(params![int(row.id), int(row.delivery.seq), json(row)?])?;
    let last: u64 = meta(tx, META_LAST_DEAD)?.map_or(0, |text| text.parse().unwrap_or(0));
    if row.id > last {
        put_meta(tx, META_LAST_DEAD, &row.id.to_string())?;
    }
    Ok(())
}

/// What a new manager must know of events.
pub(crate) fn recovery(conn: &Connection) -> rusqlite::Result<BusRecovery> {
    let mut statement = conn.prepare(
        "select seq, source, id, content, stored_ms from events
         where substr(source, 1, ?1) <> ?2 order by seq desc limit ?3",
    )?;
    let (length, max) = (int(OWN_SOURCE.len() as u64), int(KNOWN_MAX as u64));
    let rows = statement.query_map(params![length, OWN_SOURCE, max], known_row)?;
    let mut known = rows.collect::<rusqlite::Result<Vec<Known>>>()?;
    known.reverse();
    let last_dead = meta(conn, META_LAST_DEAD)?.map_or(Ok(0), |text| {
        text.parse().map_err(|source| undecodable(0, source))
    })?;
    Ok(BusRecovery {
        last_seq: last_seq(conn)?,
        known,
        subscriptions: subscriptions(conn)?,
        deliveries: collect(conn, "select row from deliveries", json_row::<DeliveryRow>)?,
        dead_letters: dead_letters(conn)?,
        last_dead,
    })
}

fn last_seq(conn: &Connection) -> rusqlite::Result<Seq> {
    conn.prepare_cached("select coalesce(max(seq), 0) from events")?
        .query_row([], |row| Ok(row.get::<_, i64>(0)?.cast_unsigned()))
}

fn subscriptions(conn: &Connection) -> rusqlite::Result<Vec<SubscriptionRow>> {
    collect(conn, "select row from subscriptions", json_row)
}

fn dead_letters(conn: &Connection) -> rusqlite::Result<Vec<DeadLetterRow>> {
    collect(conn, "select row from dead_letters order by id", json_row)
}

/// Newest first.
fn dead_letters_of(conn: &Connection, filter: &DeadFilter) -> rusqlite::Result<Vec<DeadLetterRow>> {
    let mut statement =
        conn.prepare_cached("select row from dead_letters where id < ?1 order by id desc")?;
    let mut rows = statement.query([int(filter.before.unwrap_or(u64::MAX))])?;
    let mut found = Vec::new();
    while found.len() < filter.limit {
        let Some(row) = rows.next()? else { break };
        let dead: DeadLetterRow = json_row(row)?;
        let outlet = filter.outlet.as_ref();
        if outlet.is_none_or(|outlet| dead.delivery.outlet == *outlet) {
            found.push(dead);
        }
    }
    Ok(found)
}

fn dead_letter(conn: &Connection, id: u64) -> rusqlite::Result<Option<DeadLetterRow>> {
    conn.prepare_cached("select row from dead_letters where id = ?1")?
        .query_row([int(id)], json_row)
        .optional()
}

/// The first events after this one, at most `max`, and none after `upto`.
fn page(
    conn: &Connection,
    filter: &EventFilter,
    after: Seq,
    upto: Seq,
    max: usize,
) -> rusqlite::Result<Page> {
    let sql = format!("select {COLUMNS} from events where seq > ?1 and seq <= ?2 order by seq");
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query([int(after), int(upto)])?;
    let mut page = Page {
        upto: after,
        ..Page::default()
    };
    let mut bytes = 0;
    while page.events.len() < max && bytes < PAGE_BYTES_MAX {
        let Some(row) = rows.next()? else {
            page.is_last = true;
            page.upto = upto.min(last_seq(conn)?).max(after);
            break;
        };
        page.upto = row.get::<_, i64>(0)?.cast_unsigned();
        if !filter.wants_type(row.get_ref(3)?.as_str()?) {
            continue;
        }
        let event = event_row(row)?;
        if filter.wants(&event) {
            bytes += row.get_ref(7)?.as_str_or_null()?.map_or(0, str::len);
            page.events.push(Arc::new(event));
        }
    }
    Ok(page)
}

/// The last events that are wanted, at most `max`, oldest first.
fn latest(
    conn: &Connection,
    filter: &EventFilter,
    max: usize,
) -> rusqlite::Result<Vec<Arc<Event>>> {
    let sql = format!("select {COLUMNS} from events order by seq desc");
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query([])?;
    let mut events = Vec::new();
    while events.len() < max {
        let Some(row) = rows.next()? else { break };
        if !filter.wants_type(row.get_ref(3)?.as_str()?) {
            continue;
        }
        let event = event_row(row)?;
        if filter.wants(&event) {
            events.push(Arc::new(event));
        }
    }
    events.reverse();
    Ok(events)
}

fn event(conn: &Connection, seq: Seq) -> rusqlite::Result<Option<Arc<Event>>> {
    let sql = format!("select {COLUMNS} from events where seq = ?1");
    let found = conn
        .prepare_cached(&sql)?
        .query_row([int(seq)], event_row)
        .optional()?;
    Ok(found.map(Arc::new))
}

fn event_row(row: &Row<'_>) -> rusqlite::Result<Event> {
    let data: Option<String> = row.get(7)?;
    let extensions: Option<String> = row.get(9)?;
    Ok(Event {
        seq: row.get::<_, i64>(0)?.cast_unsigned(),
        id: row.get(1)?,
        source: row.get(2)?,
        kind: row.get(3)?,
        subject: row.get(4)?,
        time_ms: row.get(5)?,
        stored_ms: row.get(6)?,
        data: data.map_or(Ok(serde_json::Value::Null), |text| decode(7, &text))?,
        dataschema: row.get(8)?,
        extensions: extensions.map_or_else(|| Ok(BTreeMap::new()), |text| decode(9, &text))?,
    })
}

fn known_row(row: &Row<'_>) -> rusqlite::Result<Known> {
    let (source, id): (String, String) = (row.get(1)?, row.get(2)?);
    let content: Option<Vec<u8>> = row.get(3)?;
    Ok(Known {
        seq: row.get::<_, i64>(0)?.cast_unsigned(),
        identity: identity(&source, &id),
        content: content.and_then(|bytes| bytes.try_into().ok()),
        stored_ms: row.get(4)?,
    })
}

fn json_row<T: serde::de::DeserializeOwned>(row: &Row<'_>) -> rusqlite::Result<T> {
    decode(0, row.get_ref(0)?.as_str()?)
}

/// SQLite's integers are signed.
fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

macro_rules! reading {
    ($($who:ty),*) => {$(
        impl $who {
            /// The first events after this one, in order, at most `max`, and none after `upto`.
            ///
            /// # Errors
            /// As [`Store::recovery`].
            pub fn events(
                &self,
                filter: &EventFilter,
                after: Seq,
                upto: Seq,
                max: usize,
            ) -> Result<Page> {
                page(&self.conn, filter, after, upto, max)
                    .map_err(|source| unreadable(&self.path, source))
            }

            /// The last events that are wanted, oldest first, at most `max`.
            ///
            /// # Errors
            /// As [`Store::recovery`].
            pub fn latest_events(
                &self,
                filter: &EventFilter,
                max: usize,
            ) -> Result<Vec<Arc<Event>>> {
                latest(&self.conn, filter, max).map_err(|source| unreadable(&self.path, source))
            }

            /// One event; `None` when it is not kept, or there never was one.
            ///
            /// # Errors
            /// As [`Store::recovery`].
            pub fn event(&self, seq: Seq) -> Result<Option<Arc<Event>>> {
                event(&self.conn, seq).map_err(|source| unreadable(&self.path, source))
            }

            /// Number of the newest event ever; 0: there was none.
            ///
            /// # Errors
            /// As [`Store::recovery`].
            pub fn last_event(&self) -> Result<Seq> {
                last_seq(&self.conn).map_err(|source| unreadable(&self.path, source))
            }

            /// Dead letters that are wanted, newest first.
            ///
            /// # Errors
            /// As [`Store::recovery`].
            pub fn dead_letters_of(&self, filter: &DeadFilter) -> Result<Vec<DeadLetterRow>> {
                dead_letters_of(&self.conn, filter)
                    .map_err(|source| unreadable(&self.path, source))
            }

            /// One dead letter; `None` when there is none of this number.
            ///
            /// # Errors
            /// As [`Store::recovery`].
            pub fn dead_letter(&self, id: u64) -> Result<Option<DeadLetterRow>> {
                dead_letter(&self.conn, id).map_err(|source| unreadable(&self.path, source))
            }

            /// Dead letters by number.
            ///
            /// # Errors
            /// As [`Store::recovery`].
            pub fn dead_letters(&self) -> Result<Vec<DeadLetterRow>> {
                dead_letters(&self.conn).map_err(|source| unreadable(&self.path, source))
            }
        }
    )*};
}
reading!(Store, Reader);
