//! A number from somebody else's SQLite database.
//!
//! Purpose: the first column of the first row of one query.
//! Invariants: the database is opened for reading only, and the query must be one that only reads,
//! so nothing of it is changed, not even by a mistake in the query; a database that is missing is
//! an error and is never made; a query that takes too long is interrupted. A database in WAL mode
//! that another process is writing is read as of its last commit.
//! Deliberately absent: `immutable`, which would read torn pages of a database that is in use.

use std::path::Path;
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::Deadline;

/// The deadline is looked at after every so many instructions of the query.
const STEPS: std::ffi::c_int = 1_000;

/// Asks once.
pub(super) fn ask(db: &Path, query: &str, deadline: Deadline) -> Result<f64, String> {
    let shown = db.display();
    match std::fs::metadata(db) {
        // Opening a pipe would wait for its writer.
        Ok(meta) if !meta.is_file() => return Err(format!("{shown} is not a regular file")),
        Ok(_) => {}
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(format!("{shown} does not exist"));
        }
        Err(e) => return Err(format!("{shown}: {e}")),
    }
    value(db, query, deadline).map_err(|error| match error {
        Trouble::Sqlite(error) => format!("{shown}: {}", words(&error, deadline)),
        Trouble::Words(why) => format!("{shown}: {why}"),
    })
}

enum Trouble {
    Sqlite(rusqlite::Error),
    Words(String),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn value(db: &Path, query: &str, deadline: Deadline) -> Result<f64, Trouble> {
    let no = |why: &str| Err(Trouble::Words(why.to_owned()));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(db, flags)?;
    // It ends while there is time to say so.
    let patience = deadline.left().saturating_sub(Duration::from_millis(100));
    connection.busy_timeout(patience)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.progress_handler(STEPS, Some(move || deadline.is_over()))?;
    let mut statement = connection.prepare(query)?;
    if !statement.readonly() || statement.column_count() == 0 {
        return no("the query is not a select");
    }
    let mut rows = statement.query([])?;
    let Some(row) = rows.next()? else {
        return no("the query gave no row");
    };
    match row.get_ref(0)? {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a gauge is a float; exact up to 2^53"
        )]
        ValueRef::Integer(number) => Ok(number as f64),
        ValueRef::Real(number) if number.is_finite() => Ok(number),
        ValueRef::Real(_) => no("the query gave an infinite number"),
        ValueRef::Null => no("the query gave NULL"),
        ValueRef::Text(_) => no("the query gave a text"),
        ValueRef::Blob(_) => no("the query gave a blob"),
    }
}

fn words(error: &rusqlite::Error, deadline: Deadline) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => deadline.words("the query"),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            let ms = deadline.limit.as_millis();
            format!("it was locked by another process for {ms} ms")
        }
        _ => match error {
            rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
            other => other.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use std::time::Instant;

    struct Queue {
        _dir: tempfile::TempDir,
        path: PathBuf,
        connection: Connection,
    }

    fn queue(mode: &str) -> Queue {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("queue #1?.sqlite");
        let connection = Connection::open(&path).unwrap();
        connection
            .pragma_update(None, "journal_mode", mode)
            .unwrap();
        connection
            .execute_batch("create table queue (x); insert into queue values (1), (2);")
            .unwrap();
        Queue {
            _dir: dir,
            path,
            connection,
        }
    }

    fn within(ms: u64, path: &Path, query: &str) -> Result<f64, String> {
        ask(path, query, Deadline::after(Duration::from_millis(ms)))
    }

    fn depth(path: &Path) -> Result<f64, String> {
        within(5_000, path, "select count(*) from queue")
    }

    #[test]
    fn a_database_that_is_being_written_is_read_as_of_its_last_commit() {
        for mode in ["delete", "wal"] {
            let queue = queue(mode);
            assert_eq!(depth(&queue.path), Ok(2.0), "{mode}");
            queue
                .connection
                .execute_batch("begin; insert into queue values (3);")
                .unwrap();
            assert_eq!(depth(&queue.path), Ok(2.0), "{mode}");
            queue.connection.execute_batch("commit").unwrap();
            assert_eq!(depth(&queue.path), Ok(3.0), "{mode}");
        }
    }

    #[test]
    fn a_wal_database_whose_writer_has_gone_is_read_too() {
        let Queue {
            _dir,
            path,
            connection,
        } = queue("wal");
        connection.close().unwrap();
        assert_eq!(depth(&path), Ok(2.0));
    }

    #[test]
    fn a_missing_database_is_an_error_and_is_not_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("none.sqlite");
        assert!(
            depth(&path)
                .unwrap_err()
                .ends_with("none.sqlite does not exist")
        );
        assert!(!path.exists());
        assert!(
            depth(dir.path())
                .unwrap_err()
                .ends_with("is not a regular file")
        );
        std::fs::write(&path, "not a database, but long enough to be taken for one").unwrap();
        let why = depth(&path).unwrap_err();
        assert!(why.contains("file is not a database"), "{why}");
        std::fs::write(&path, "").unwrap();
        let why = depth(&path).unwrap_err();
        assert!(why.contains("no such table: queue"), "{why}");
    }

    #[test]
    fn a_locked_database_is_unknown_and_says_so_in_time() {
        let queue = queue("delete");
        queue
            .connection
            .execute_batch("begin exclusive; delete from queue;")
            .unwrap();
        let begun = Instant::now();
        let why = within(300, &queue.path, "select count(*) from queue").unwrap_err();
        assert!(
            why.ends_with("it was locked by another process for 300 ms"),
            "{why}"
        );
        assert!(begun.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_query_that_goes_on_for_ever_is_interrupted() {
        let queue = queue("delete");
        let endless = "with recursive n(i) as (select 1 union all select i + 1 from n) \
                       select count(*) from n";
        let why = within(200, &queue.path, endless).unwrap_err();
        assert!(
            why.ends_with("the query gave no answer within 200 ms"),
            "{why}"
        );
    }

    #[test]
    fn nothing_can_be_written() {
        let queue = queue("delete");
        for query in [
            "delete from queue",
            "insert into queue values (9) returning x",
            "update queue set x = 1",
            "pragma journal_mode = wal",
            "vacuum",
            "drop table queue",
            "select 1; delete from queue",
            "attach '/tmp/eud-never-made.sqlite' as other",
            "",
        ] {
            let answer = within(5_000, &queue.path, query);
            assert!(answer.is_err(), "{query}: {answer:?}");
        }
        assert_eq!(depth(&queue.path), Ok(2.0));
        assert!(!Path::new("/tmp/eud-never-made.sqlite").exists());
    }

    #[test]
    fn what_is_no_number_is_an_error() {
        let queue = queue("delete");
        for (query, expected) in [
            ("select 1.5", Ok(1.5)),
            ("select -7, 'x'", Ok(-7.0)),
            ("select x from queue order by x desc", Ok(2.0)),
            ("select null", Err("the query gave NULL")),
            ("select '12'", Err("the query gave a text")),
            ("select 9e999", Err("the query gave an infinite number")),
            (
                "select x from queue where x > 5",
                Err("the query gave no row"),
            ),
        ] {
            let answer = within(5_000, &queue.path, query);
            match expected {
                Ok(number) => assert_eq!(answer, Ok(number), "{query}"),
                Err(why) => assert!(answer.unwrap_err().ends_with(why), "{query}"),
            }
        }
        let why = within(5_000, &queue.path, "selec 1").unwrap_err();
        assert!(why.contains("syntax error"), "{why}");
    }
}
