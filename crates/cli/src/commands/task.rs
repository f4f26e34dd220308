//! `eud task`: submit tasks, and see what became of them.
//!
//! Invariants: what is shown is read from `state.db`, so that it is the same with and without a
//! manager; what is changed goes through the manager.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use eud_api::protocol::{
    CancelParams, RetryParams, ShownTask, Submission, SubmitParams, TASK_TEXT_BYTES_MAX,
};
use eud_core::fleet::task_unit;
use eud_core::io::Accepted;
use eud_core::record::{TaskId, TaskRow, TaskState};
use eud_manager::Layout;
use eud_store::{Reader, Store, TaskFilter};
use serde_json::json;

use super::{logs, pane, task_wait};
use crate::args::{ListArgs, LogsArgs, SubmitArgs, TaskCommand, TaskLogsArgs, WhichArgs};
use crate::context::{self, Context};
use crate::error::{Error, code};
use crate::render::time::parse_moment;
use crate::render::{reply, task_page, tasks};

/// Runs of a task that `eud task show` lists.
const RUNS_SHOWN: u32 = 5;

/// `eud task`
///
/// # Errors
/// As the client's and the journal's.
pub(crate) fn run(context: &Context, command: &TaskCommand) -> Result<u8, Error> {
    match command {
        TaskCommand::Submit(args) => submit(context, args),
        TaskCommand::List(args) => list(context, args),
        TaskCommand::Show(args) => show(context, args.id),
        TaskCommand::Logs(args) => show_logs(context, args),
        TaskCommand::Attach(args) => attach(context, args.id),
        TaskCommand::Cancel(args) => cancel(context, args),
        TaskCommand::Retry(args) => retry(context, args),
        TaskCommand::Wait(args) => task_wait::run(context, &args.ids, args.timeout),
        TaskCommand::Stats => stats(context),
    }
}

/// How long a task that has just begun may take until it has a window.
const WINDOW_LIMIT: Duration = Duration::from_secs(5);

/// Replaces this process by a client of the task's window.
fn attach(context: &Context, id: TaskId) -> Result<u8, Error> {
    let layout = context.layout()?;
    let deadline = std::time::Instant::now() + WINDOW_LIMIT;
    loop {
        let row = found(&journal(&layout)?, id)?;
        let (TaskState::Running, Some(run)) = (row.state, &row.run) else {
            return Err(Error::Usage {
                what: format!("task {id} is {}: it has no window", row.state.as_str()),
                help: format!("read its output: eud task logs {id}"),
            });
        };
        let dir = layout.run(&task_unit(&row.pool, id), run);
        if pane::has_window(&dir) {
            return Err(Error::file("run", Path::new("tmux"), pane::attach(&dir)));
        }
        if std::time::Instant::now() >= deadline {
            return Err(Error::Usage {
                what: format!("task {id} has no window"),
                help: format!(
                    "set `interactive = \"tmux\"` in pool `{}`; its output: eud task logs {id}",
                    row.pool
                ),
            });
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The journal, which only a manager makes.
///
/// # Errors
/// [`Error::NoManager`] when there is none.
pub(super) fn journal(layout: &Layout) -> Result<Reader, Error> {
    let path = layout.database();
    if !path.exists() {
        let socket = layout.socket();
        return Err(Error::NoManager { socket, why: None });
    }
    Store::open_read_only(&path).map_err(unreadable)
}

pub(super) fn unreadable(error: eud_store::StoreError) -> Error {
    Error::Internal(error.to_string())
}

/// A task that is kept.
///
/// # Errors
/// [`Error::NoTask`] when it is not.
pub(super) fn found(journal: &Reader, id: TaskId) -> Result<TaskRow, Error> {
    let found = journal.task(id).map_err(unreadable)?;
    found.map(|(row, _)| row).ok_or(Error::NoTask { id })
}

fn submit(context: &Context, args: &SubmitArgs) -> Result<u8, Error> {
    let task = submission(context, args)?;
    let mut client = context.client()?;
    let params = json!(SubmitParams { tasks: vec![task] });
    let accepted: Accepted = client.call("task.submit", &params)?;
    if let Some(limit) = args.wait {
        if !context.common.json {
            announce(context, &accepted)?;
        }
        return task_wait::run(context, &accepted.tasks, Some(limit));
    }
    if context.common.json {
        context::print_json(&json!({ "tasks": accepted.tasks }))?;
        return Ok(code::OK);
    }
    announce(context, &accepted)?;
    Ok(code::OK)
}

/// The id alone on standard output, for scripts; what else there is to say on standard error.
fn announce(context: &Context, accepted: &Accepted) -> Result<(), Error> {
    let asides = reply::asides(accepted, &context.screen());
    if !asides.is_empty() {
        let _ = std::io::Write::write_all(&mut std::io::stderr(), asides.as_bytes());
    }
    let ids: String = accepted.tasks.iter().map(|id| format!("{id}\n")).collect();
    context::print(&ids)
}

fn submission(context: &Context, args: &SubmitArgs) -> Result<Submission, Error> {
    let clock = context.screen().clock;
    let at = args.at.as_deref().map(|text| moment(text, &clock));
    let delay = args.delay.map(|delay| {
        let ms = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
        clock.now.as_millisecond().saturating_add(ms)
    });
    let cwd = args.cwd.as_deref().map(|folder| {
        let folder = std::path::absolute(folder).map_err(|e| Error::file("find", folder, e))?;
        Ok::<_, Error>(folder.to_string_lossy().into_owned())
    });
    let prompt = match &args.prompt_file {
        Some(path) => Some(prompt_of(path)?),
        None => args.prompt.clone(),
    };
    Ok(Submission {
        pool: args.pool.clone(),
        args: args.args.clone(),
        prompt,
        stdin: None,
        env: args.env.iter().cloned().collect(),
        cwd: cwd.transpose()?,
        priority: args.priority,
        key: args.key.clone(),
        token: args.token.clone(),
        not_before_ms: at.transpose()?.or(delay),
        after: args.after.clone(),
        timeout_ms: args.timeout.map(milliseconds),
    })
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A moment of the future. A time of day that is past today is meant tomorrow.
fn moment(text: &str, clock: &crate::render::time::Clock) -> Result<i64, Error> {
    let usage = |what: String| Error::Usage {
        what,
        help: "write `18:00`, a date, or RFC 3339; a time from now is `--delay 5m`".into(),
    };
    let found = parse_moment(text, clock).map_err(usage)?.as_millisecond();
    let now = clock.now.as_millisecond();
    let is_time_of_day = text.parse::<jiff::civil::Time>().is_ok() && !text.contains('-');
    match (found < now, is_time_of_day) {
        (true, true) => Ok(found + 86_400_000),
        (true, false) => Err(usage(format!("`{text}` is past"))),
        (false, _) => Ok(found),
    }
}

fn prompt_of(path: &Path) -> Result<String, Error> {
    let failed = |e| Error::file("read", path, e);
    let mut bytes = Vec::new();
    let room = TASK_TEXT_BYTES_MAX as u64 + 1;
    if path == Path::new("-") {
        std::io::stdin().take(room).read_to_end(&mut bytes)
    } else {
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(room).read_to_end(&mut bytes)
    }
    .map_err(failed)?;
    let usage = |what: String| Error::Usage {
        what,
        help: "put it into a file that the task reads by itself".into(),
    };
    if bytes.len() > TASK_TEXT_BYTES_MAX {
        let why = format!("the prompt is longer than {TASK_TEXT_BYTES_MAX} bytes");
        return Err(usage(why));
    }
    String::from_utf8(bytes).map_err(|_| usage("the prompt is not UTF-8".into()))
}

fn list(context: &Context, args: &ListArgs) -> Result<u8, Error> {
    let journal = journal(&context.layout()?)?;
    let filter = TaskFilter {
        pool: args.pool.clone(),
        states: args.states.clone(),
        key: args.key.clone(),
        before: args.before,
        // One more tells whether there are more.
        limit: args.limit.saturating_add(1),
    };
    let mut rows = journal.tasks(&filter).map_err(unreadable)?;
    let room = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let more = rows.len() > room;
    rows.truncate(room);
    if context.common.json {
        context::print_json(&rows)?;
        return Ok(code::OK);
    }
    let mut text = match rows.is_empty() {
        true => "no such tasks\n".to_owned(),
        false => tasks::list(&rows, &context.screen()),
    };
    if let (true, Some(last)) = (more, rows.last()) {
        text.push_str(&format!(
            " …older ones: eud task list --before {}\n",
            last.id
        ));
    }
    context::print(&text)?;
    Ok(code::OK)
}

fn show(context: &Context, id: TaskId) -> Result<u8, Error> {
    let layout = context.layout()?;
    let journal = journal(&layout)?;
    let (task, spec) = journal
        .task(id)
        .map_err(unreadable)?
        .ok_or(Error::NoTask { id })?;
    let unit = task_unit(&task.pool, id);
    let runs = journal.runs(&unit, RUNS_SHOWN).map_err(unreadable)?;
    let text = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    let work = layout.work(&unit);
    let shown = ShownTask {
        run: task.run.clone(),
        run_dir: task.run.as_ref().map(|run| text(layout.run(&unit, run))),
        log: text(layout.log(&unit)),
        work_dir: work.is_dir().then(|| text(work)),
        task,
        spec,
        unit,
    };
    if context.common.json {
        context::print_json(&shown)?;
    } else {
        context::print(&task_page::render(&shown, &runs, &context.screen()))?;
    }
    Ok(code::OK)
}

fn show_logs(context: &Context, args: &TaskLogsArgs) -> Result<u8, Error> {
    let layout = context.layout()?;
    let journal = journal(&layout)?;
    let row = found(&journal, args.id)?;
    let lines = LogsArgs {
        names: Vec::new(),
        follow: args.follow,
        lines: args.lines,
        since: None,
        until: None,
        grep: args.grep.clone(),
        stderr: args.stderr,
        raw: args.raw,
        manager: false,
    };
    let over = || found(&journal, args.id).map_or(true, |row| row.state.is_over());
    logs::of_task(context, &lines, &task_unit(&row.pool, row.id), &over)?;
    Ok(code::OK)
}

fn cancel(context: &Context, args: &WhichArgs) -> Result<u8, Error> {
    let by = std::env::var("USER").ok().filter(|user| !user.is_empty());
    let params = json!(CancelParams {
        ids: args.ids.clone(),
        all: args.all,
        by: Some(by.unwrap_or_else(|| "hand".to_owned())),
    });
    changed(context, "task.cancel", &params, |row| match row.state {
        TaskState::Running => format!("stopping task {}", row.id),
        state => format!("{} task {}", state.as_str(), row.id),
    })
}

fn retry(context: &Context, args: &WhichArgs) -> Result<u8, Error> {
    let params = json!(RetryParams {
        ids: args.ids.clone(),
        all: args.all,
    });
    changed(context, "task.retry", &params, |row| {
        format!("task {} is {} again", row.id, row.state.as_str())
    })
}

/// Changes tasks, and says what they are then.
fn changed(
    context: &Context,
    method: &str,
    params: &serde_json::Value,
    say: impl Fn(&TaskRow) -> String,
) -> Result<u8, Error> {
    let mut client = context.client()?;
    let accepted: Accepted = client.call(method, params)?;
    // Nothing changed: that is not what was asked for, unless it was for all there are.
    let some = !accepted.tasks.is_empty() || params["all"] == json!(true);
    let exit = if some { code::OK } else { code::NOT_AS_ASKED };
    if context.common.json {
        context::print_json(&json!({ "tasks": accepted.tasks, "warnings": accepted.warnings }))?;
        return Ok(exit);
    }
    let journal = journal(&context.layout()?)?;
    let mut text = String::new();
    for id in &accepted.tasks {
        let row = found(&journal, *id);
        text.push_str(&row.map_or_else(|_| format!("task {id}"), |row| say(&row)));
        text.push('\n');
    }
    if accepted.tasks.is_empty() && accepted.warnings.is_empty() {
        text.push_str("no such tasks\n");
    }
    text.push_str(&reply::asides(&accepted, &context.screen()));
    context::print(&text)?;
    Ok(exit)
}

fn stats(context: &Context) -> Result<u8, Error> {
    let journal = journal(&context.layout()?)?;
    let counts = journal.task_counts().map_err(unreadable)?;
    if context.common.json {
        context::print_json(&tasks::stats_json(&counts))?;
    } else if counts.is_empty() {
        context::print("no tasks yet: `eud task submit --pool POOL` queues one\n")?;
    } else {
        context::print(&tasks::stats(&counts, &context.screen()))?;
    }
    Ok(code::OK)
}
