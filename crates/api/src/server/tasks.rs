//! Methods of tasks and pools.
//!
//! Invariants: what no command could be given is refused before anybody is asked, with the task it
//! is about; whether a pool exists is for the core to say.

use eud_core::fleet::task_unit;
use eud_core::io::{Numbers, TaskCommand};
use eud_core::record::{NewTask, TaskId, TaskOrigin, TaskSpec};
use eud_manager::{Handle, Request, TaskFilter};
use serde_json::Value;

use super::methods::{Asked, Outcome, encode, failed, none, read};
use crate::protocol::{
    CancelParams, IdParams, ListParams, PauseParams, PoolParams, RetryParams, RpcError, ShownTask,
    Submission, SubmitParams, TASK_NAME_BYTES_MAX, TASK_TEXT_BYTES_MAX, TASKS_DEFAULT, TASKS_MAX,
    TASKS_PER_CALL_MAX, code,
};
use crate::server::rpc;

/// Reads method and parameters; `None` when the method is none of these.
///
/// # Errors
/// As they are to be told.
pub(super) fn understand(method: &str, params: Value) -> Option<Result<Asked, RpcError>> {
    Some(match method {
        "task.submit" => read(params).and_then(submit).map(command),
        "task.cancel" => read(params).and_then(cancel).map(command),
        "task.retry" => read(params)
            .and_then(|RetryParams { ids, all }| numbers("task", ids, all))
            .map(|which| command(TaskCommand::Retry(which))),
        "pool.pause" => read(params).map(|PauseParams { name, reason }| {
            let pause = Some(reason);
            command(TaskCommand::PausePool { name, pause })
        }),
        "pool.resume" => read(params).map(|PoolParams { name }| {
            let pause = None;
            command(TaskCommand::PausePool { name, pause })
        }),
        "pool.list" => none(params, Asked::Pools),
        "task.list" => read(params).map(|params| Asked::Tasks(filter(params))),
        "task.show" => read(params).map(|IdParams { id }| Asked::Task(id)),
        _ => return None,
    })
}

fn command(command: TaskCommand) -> Asked {
    Asked::Command(Request::Task(command))
}

fn invalid(why: &str) -> RpcError {
    rpc::error(code::INVALID_PARAMS, why)
}

fn submit(params: SubmitParams) -> Result<TaskCommand, RpcError> {
    let count = params.tasks.len();
    if count == 0 || count > TASKS_PER_CALL_MAX {
        return Err(invalid(&format!(
            "`tasks` has {count} tasks: submit at least 1 and at most {TASKS_PER_CALL_MAX} at once"
        )));
    }
    let tasks = params.tasks.into_iter().enumerate().map(|(index, task)| {
        check(&task).map_err(|why| invalid(&format!("task {index}: {why}")))?;
        Ok(new_task(task))
    });
    let tasks: Result<Vec<NewTask>, RpcError> = tasks.collect();
    tasks.map(TaskCommand::Submit)
}

/// What is wrong with a task, whatever its pool.
fn check(task: &Submission) -> Result<(), String> {
    if task.pool.is_empty() {
        return Err("`pool` must name a pool".to_owned());
    }
    let names = [("key", &task.key), ("token", &task.token)];
    for (field, name) in names {
        let bytes = name.as_ref().map_or(0, String::len);
        if bytes > TASK_NAME_BYTES_MAX {
            return Err(format!(
                "`{field}` has {bytes} bytes, and at most {TASK_NAME_BYTES_MAX} are allowed"
            ));
        }
        if name.as_ref().is_some_and(|name| name.contains('\0')) {
            return Err(format!("`{field}` contains a NUL byte"));
        }
    }
    for (field, text) in [("prompt", &task.prompt), ("stdin", &task.stdin)] {
        let bytes = text.as_ref().map_or(0, String::len);
        if bytes > TASK_TEXT_BYTES_MAX {
            return Err(format!(
                "`{field}` has {bytes} bytes, and at most {TASK_TEXT_BYTES_MAX} are allowed: name \
                 a file instead"
            ));
        }
    }
    // It may become an argument; standard input may hold anything.
    if task.prompt.as_ref().is_some_and(|text| text.contains('\0')) {
        return Err("`prompt` contains a NUL byte".to_owned());
    }
    if let Some(at) = task.args.iter().position(|arg| arg.contains('\0')) {
        return Err(format!(
            "argument {at} contains a NUL byte, which no command can be given"
        ));
    }
    for (name, value) in &task.env {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(format!("`{name}` is no name of a variable"));
        }
        if value.contains('\0') {
            return Err(format!("variable {name} contains a NUL byte"));
        }
    }
    match &task.cwd {
        Some(cwd) if !cwd.starts_with('/') || cwd.contains('\0') => {
            Err(format!("`cwd` must be an absolute path, not `{cwd}`"))
        }
        _ => Ok(()),
    }
}

fn new_task(task: Submission) -> NewTask {
    NewTask {
        pool: task.pool,
        priority: task.priority,
        key: task.key,
        token: task.token,
        not_before_ms: task.not_before_ms,
        after: task.after,
        timeout_ms: task.timeout_ms,
        once: false,
        origin: TaskOrigin::Hand,
        spec: TaskSpec {
            args: task.args,
            prompt: task.prompt,
            stdin: task.stdin,
            event: None,
            env: task.env,
            cwd: task.cwd,
        },
    }
}

fn cancel(params: CancelParams) -> Result<TaskCommand, RpcError> {
    Ok(TaskCommand::Cancel {
        which: numbers("task", params.ids, params.all)?,
        by: params.by.unwrap_or_else(|| "a client".to_owned()),
    })
}

/// Things by their numbers, or all; `what` one of them is.
pub(super) fn numbers(what: &str, ids: Vec<u64>, all: bool) -> Result<Numbers, RpcError> {
    match (ids.is_empty(), all) {
        (false, false) => Ok(Numbers::These(ids)),
        (true, true) => Ok(Numbers::All),
        (true, false) => Err(invalid(&format!(
            "`ids` must name at least one {what}, or `all` be true"
        ))),
        (false, true) => Err(invalid("give `ids` or `all`, not both")),
    }
}

fn filter(params: ListParams) -> TaskFilter {
    TaskFilter {
        pool: params.pool,
        states: params.states,
        key: params.key,
        before: params.before,
        limit: params.limit.unwrap_or(TASKS_DEFAULT).min(TASKS_MAX),
    }
}

pub(super) async fn list(handle: &Handle, filter: TaskFilter) -> Outcome {
    encode(&handle.tasks(filter).await.map_err(failed)?)
}

pub(super) async fn pools(handle: &Handle) -> Outcome {
    encode(&handle.pools().await.map_err(failed)?)
}

pub(super) async fn show(handle: &Handle, id: TaskId) -> Outcome {
    let (task, spec) = handle.task(id).await.map_err(failed)?;
    let layout = &handle.info().layout;
    let unit = task_unit(&task.pool, id);
    let text = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    let work = layout.work(&unit);
    encode(&ShownTask {
        run_dir: task.run.as_ref().map(|run| text(layout.run(&unit, run))),
        log: text(layout.log(&unit)),
        work_dir: work.is_dir().then(|| text(work)),
        run: task.run.clone(),
        task,
        spec,
        unit,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn understood(method: &str, params: Value) -> Result<Asked, RpcError> {
        understand(method, params).expect("a method of tasks")
    }

    #[test]
    fn what_no_command_could_be_given_is_refused_and_named() {
        let long = "x".repeat(TASK_TEXT_BYTES_MAX + 1);
        let good = json!({"pool": "p", "args": ["a"]});
        for (task, word) in [
            (json!({"args": ["a"]}), "`pool`"),
            (json!({"pool": "p", "args": ["a", "b\0"]}), "argument 1"),
            (json!({"pool": "p", "prompt": "\0"}), "`prompt`"),
            (json!({"pool": "p", "prompt": long}), "bytes"),
            (json!({"pool": "p", "stdin": long}), "bytes"),
            (json!({"pool": "p", "key": "k".repeat(257)}), "`key`"),
            (json!({"pool": "p", "token": "\0"}), "`token`"),
            (json!({"pool": "p", "env": {"A=B": "x"}}), "A=B"),
            (json!({"pool": "p", "env": {"": "x"}}), "variable"),
            (json!({"pool": "p", "env": {"A": "\0"}}), "variable A"),
            (json!({"pool": "p", "cwd": "here"}), "`cwd`"),
            (json!({"pool": "p", "promt": "x"}), "promt"),
            (json!({"pool": "p", "priority": 1e10}), ""),
        ] {
            let error = understood("task.submit", json!({"tasks": [good, task]})).unwrap_err();
            assert_eq!(error.code, code::INVALID_PARAMS);
            assert!(
                error.message.contains(word),
                "no `{word}` in {}",
                error.message
            );
        }
        for count in [0, TASKS_PER_CALL_MAX + 1] {
            let tasks = vec![good.clone(); count];
            assert!(understood("task.submit", json!({ "tasks": tasks })).is_err());
        }
        // Standard input may hold anything.
        let asked = understood(
            "task.submit",
            json!({"tasks": [{"pool": "p", "stdin": "\0"}]}),
        );
        let Ok(Asked::Command(Request::Task(TaskCommand::Submit(tasks)))) = asked else {
            panic!("{asked:?}")
        };
        assert_eq!(tasks[0].spec.stdin.as_deref(), Some("\0"));
    }

    #[test]
    fn which_tasks_are_meant_is_said_in_one_way() {
        for method in ["task.cancel", "task.retry"] {
            for bad in [
                json!({}),
                json!({"ids": []}),
                json!({"ids": [1], "all": true}),
            ] {
                assert!(understood(method, bad.clone()).is_err(), "{method} {bad}");
            }
            assert!(understood(method, json!({"all": true})).is_ok());
            assert!(understood(method, json!({"ids": [1, 2]})).is_ok());
            assert!(understood(method, json!({"ids": [-1]})).is_err());
        }
    }

    #[test]
    fn lists_are_bounded() {
        let limit = |params| match understood("task.list", params) {
            Ok(Asked::Tasks(filter)) => filter.limit,
            other => panic!("{other:?}"),
        };
        assert_eq!(limit(json!({})), TASKS_DEFAULT);
        assert_eq!(limit(json!({"limit": 4_000_000_000_u64})), TASKS_MAX);
        assert!(understood("task.list", json!({"states": ["asleep"]})).is_err());
        assert!(understood("task.list", json!({"states": ["timed-out"]})).is_ok());
    }
}
