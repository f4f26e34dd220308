//! The queue: work items in SQLite, handed out one at a time.
//!
//! Invariants: an item is waiting, claimed or done; a claim that is not answered within 30 s is
//! undone, so a worker that dies loses nothing; at most 10,000 items wait and 1,000 finished ones
//! are kept.
//! Deliberately absent: priorities, retries with a limit, dead letters.

use std::convert::Infallible;
use std::sync::Mutex;

use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::json;

use crate::args::Args;
use crate::http::{self, Reply, Request};
use crate::{Failure, say};

const WAITING_MAX: i64 = 10_000;
const DONE_KEPT: i64 = 1_000;
const CLAIM_LIFE_S: i64 = 30;

const SCHEMA: &str = "
    create table if not exists items (
        id integer primary key,
        body text not null,
        state text not null default 'waiting' check (state in ('waiting', 'claimed', 'done')),
        claimed_by text,
        claimed_at integer
    );
    create index if not exists by_state on items (state, id);
";

struct Queue {
    db: Connection,
}

/// Runs `factory queue`.
pub(crate) fn run(args: &Args) -> Result<Infallible, Failure> {
    let data = args.path("data")?;
    std::fs::create_dir_all(&data).map_err(|e| format!("{}: {e}", data.display()))?;
    let path = data.join("queue.sqlite");
    let db = Connection::open(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let queue = Queue::new(db).map_err(|e| format!("{}: {e}", path.display()))?;
    let (waiting, ..) = queue.depth().map_err(|e| e.to_string())?;
    say::news(&format!(
        "opened {} with {waiting} items waiting",
        path.display()
    ));
    let queue = Mutex::new(queue);
    http::serve(&args.text("queue")?, move |request| {
        // A panic while holding the lock leaves at worst an uncommitted statement behind.
        let queue = queue
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        answer(&queue, request).unwrap_or_else(|e| {
            say::trouble(&format!("{} {}: {e}", request.method, request.path));
            Reply::status(503, format!("{e}\n"))
        })
    })
}

fn answer(queue: &Queue, request: &Request) -> rusqlite::Result<Reply> {
    let id = http::query(&request.query, "id").and_then(|id| id.parse::<i64>().ok());
    Ok(match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/depth" | "/readyz") => {
            let (waiting, claimed, done) = queue.depth()?;
            Reply::ok(json!({ "waiting": waiting, "claimed": claimed, "done": done }).to_string())
        }
        ("POST", "/push") => match queue.push(&request.body)? {
            Some(id) => Reply::ok(json!({ "id": id }).to_string()),
            None => Reply::status(429, format!("{WAITING_MAX} items wait already\n")),
        },
        ("POST", "/claim") => {
            let by = http::query(&request.query, "by").unwrap_or("unknown");
            match queue.claim(by)? {
                Some((id, body)) => Reply::ok(json!({ "id": id, "body": body }).to_string()),
                None => Reply::status(204, ""),
            }
        }
        ("POST", "/done") if id.is_some() => {
            queue.settle(id.unwrap_or_default(), "done")?;
            Reply::ok("done\n")
        }
        ("POST", "/return") if id.is_some() => {
            queue.settle(id.unwrap_or_default(), "waiting")?;
            Reply::ok("returned\n")
        }
        _ => Reply::status(404, "no such path\n"),
    })
}

impl Queue {
    fn new(db: Connection) -> rusqlite::Result<Self> {
        db.pragma_update(None, "journal_mode", "wal")?;
        db.execute_batch(SCHEMA)?;
        Ok(Self { db })
    }

    /// Items waiting, claimed and done.
    fn depth(&self) -> rusqlite::Result<(i64, i64, i64)> {
        let count = |state: &str| {
            let sql = "select count(*) from items where state = ?1";
            self.db.query_row(sql, [state], |row| row.get(0))
        };
        Ok((count("waiting")?, count("claimed")?, count("done")?))
    }

    /// Adds an item; `None` when too many wait already.
    fn push(&self, body: &str) -> rusqlite::Result<Option<i64>> {
        if self.depth()?.0 >= WAITING_MAX {
            return Ok(None);
        }
        self.db
            .execute("insert into items (body) values (?1)", [body])?;
        Ok(Some(self.db.last_insert_rowid()))
    }

    /// Hands out the oldest item that waits or whose claim has lapsed.
    fn claim(&self, by: &str) -> rusqlite::Result<Option<(i64, String)>> {
        let sql = "update items set state = 'claimed', claimed_by = ?1, claimed_at = unixepoch()
             where id = (select id from items
                 where state = 'waiting' or (state = 'claimed' and claimed_at < unixepoch() - ?2)
                 order by id limit 1)
             returning id, body";
        let row = self.db.query_row(sql, params![by, CLAIM_LIFE_S], |r| {
            Ok((r.get(0)?, r.get(1)?))
        });
        row.optional()
    }

    /// Ends a claim.
    fn settle(&self, id: i64, state: &str) -> rusqlite::Result<()> {
        let sql = "update items set state = ?2, claimed_by = null, claimed_at = null where id = ?1";
        self.db.execute(sql, params![id, state])?;
        let sql = "delete from items where state = 'done' and id <= ?1 - ?2";
        self.db.execute(sql, params![id, DONE_KEPT])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::Queue;

    fn queue() -> Queue {
        Queue::new(Connection::open_in_memory().expect("memory")).expect("schema")
    }

    #[test]
    fn items_are_claimed_once_and_in_order() {
        let queue = queue();
        for body in ["a", "b"] {
            queue.push(body).expect("pushed").expect("room");
        }
        assert_eq!(
            queue.claim("x").expect("claim").map(|c| c.1).as_deref(),
            Some("a")
        );
        assert_eq!(
            queue.claim("y").expect("claim").map(|c| c.1).as_deref(),
            Some("b")
        );
        assert_eq!(queue.claim("z").expect("claim"), None);
        assert_eq!(queue.depth().expect("depth"), (0, 2, 0));
    }

    #[test]
    fn a_returned_or_lapsed_claim_is_handed_out_again() {
        let queue = queue();
        let id = queue.push("a").expect("pushed").expect("room");
        queue.claim("x").expect("claim").expect("item");
        queue.settle(id, "waiting").expect("returned");
        assert_eq!(queue.claim("y").expect("claim"), Some((id, "a".to_owned())));
        queue
            .db
            .execute("update items set claimed_at = 0", [])
            .expect("aged");
        assert_eq!(queue.claim("z").expect("claim"), Some((id, "a".to_owned())));
        queue.settle(id, "done").expect("done");
        assert_eq!(queue.claim("z").expect("claim"), None);
    }
}
