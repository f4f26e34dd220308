//! Channels and messages that are not sent.
//!
//! Invariants: rows that do not decode are damage, not ignored; a channel's row remembers the
//! number of its last message, so that none is used twice.

use eud_core::io::{ChannelPersist, ChannelRecovery};
use rusqlite::{Connection, Transaction, params};

use crate::read::{collect, decode};
use crate::write::json;

pub(crate) fn put(tx: &Transaction<'_>, item: &ChannelPersist) -> rusqlite::Result<()> {
    match item {
        ChannelPersist::Channel(row) => tx
            .prepare_cached("insert or replace into channels (name, row) values (?1, ?2)")?
            .execute(params![row.name, json(row)?]),
        ChannelPersist::ForgetChannel(name) => tx
            .prepare_cached("delete from channels where name = ?1")?
            .execute([name]),
        ChannelPersist::Message(row) => tx
            .prepare_cached(
                "insert or replace into messages (id, channel, row) values (?1, ?2, ?3)",
            )?
            .execute(params![row.id.cast_signed(), row.channel, json(row)?]),
        ChannelPersist::ForgetMessage(id) => tx
            .prepare_cached("delete from messages where id = ?1")?
            .execute([id.cast_signed()]),
    }?;
    Ok(())
}

pub(crate) fn recovery(conn: &Connection) -> rusqlite::Result<ChannelRecovery> {
    Ok(ChannelRecovery {
        channels: collect(conn, "select row from channels order by name", |row| {
            decode(0, &row.get::<_, String>(0)?)
        })?,
        messages: collect(conn, "select row from messages order by id", |row| {
            decode(0, &row.get::<_, String>(0)?)
        })?,
    })
}
