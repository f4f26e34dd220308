//! `eud task wait`: until tasks are over.
//!
//! Invariants: how a task ended is read from `state.db`; with the manager gone nothing would come
//! to an end any more, so the wait ends, too.

use std::time::{Duration, Instant};

use eud_core::record::{TaskId, TaskRow, TaskState};
use serde_json::json;

use super::task::{found, journal};
use crate::context::{self, Context};
use crate::error::{Error, code};
use crate::render::tasks;

/// The journal is looked at this often.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Waits until these are over, and says how.
///
/// # Errors
/// [`Error::NoTask`], [`Error::TimedOut`], and [`Error::NoManager`] when it is gone before.
pub(super) fn run(context: &Context, ids: &[TaskId], limit: Option<Duration>) -> Result<u8, Error> {
    let rows = until_over(context, ids, limit)?;
    let good = rows.iter().all(|row| row.state == TaskState::Succeeded);
    let exit = if good { code::OK } else { code::NOT_AS_ASKED };
    if context.common.json {
        context::print_json(&json!({ "tasks": rows, "ok": good }))?;
    } else {
        context::print(&tasks::ended(&rows, &context.screen()))?;
    }
    Ok(exit)
}

fn until_over(
    context: &Context,
    ids: &[TaskId],
    limit: Option<Duration>,
) -> Result<Vec<TaskRow>, Error> {
    let begun = Instant::now();
    let journal = journal(&context.layout()?)?;
    let mut client = None;
    loop {
        let rows: Result<Vec<TaskRow>, Error> = ids.iter().map(|id| found(&journal, *id)).collect();
        let rows = rows?;
        let open: Vec<&TaskRow> = rows.iter().filter(|row| !row.state.is_over()).collect();
        if open.is_empty() {
            return Ok(rows);
        }
        if limit.is_some_and(|limit| begun.elapsed() >= limit) {
            return Err(Error::TimedOut {
                what: tasks::still_open(&open),
                help: "`eud task show ID` says what it waits for; it goes on".into(),
            });
        }
        let client = match &mut client {
            Some(client) => client,
            none => {
                let mut connected = context.client()?;
                connected.subscribe()?;
                none.insert(connected)
            }
        };
        // Whatever it says, or nothing: it is there, and this is a time to look again.
        client.notice(LOOK_EVERY)?;
    }
}
