//! A task's command: from its pool's template to what is executed.
//!
//! Purpose: arguments, folder, variables and standard input of one try of a task.
//! Invariants: what a task says is one argument, one variable or one file, whatever it contains; it
//! is never split, never a template, never read by a shell; what it says is whole or the launch
//! fails and says why; nothing of it is written into `spec.json`.
//! Deliberately absent: secrets, which are resolved as those of any daemon.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use eud_core::event::Event;
use eud_core::fleet::{Daemon, EnvValue, PromptVia, WorkDir};
use eud_core::record::{TaskRow, TaskSpec};
use eud_keeper::LaunchSpec;
use serde_json::{Map, Value};

use super::template::{Templates, uses};
use crate::exit_file::RunKey;
use crate::files;
use crate::layout::{Layout, run_file};

/// Longest argument or variable the kernel takes, in bytes, without the NUL that ends it
/// (`MAX_ARG_STRLEN`).
pub const ARG_BYTES_MAX: usize = (128 << 10) - 1;

/// The kernel takes at least this much of arguments and variables together, in bytes.
const ARGS_BYTES_ALWAYS: u64 = 128 << 10;

/// And never more than this, whatever the limit of the stack.
const ARGS_BYTES_EVER: u64 = 6 << 20;

/// A task whose prompt or input has more bytes is launched apart from others.
const LONG_BYTES: usize = 64 << 10;

/// What there is to know of a task at its launch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TaskLaunch {
    pub(crate) row: TaskRow,
    pub(crate) spec: TaskSpec,
    /// How its pool hands prompts over.
    pub(crate) prompt: PromptVia,
    /// Its pool's working folder.
    pub(crate) work_dir: WorkDir,
    /// The event that it reads on standard input; whoever handles events needs it.
    pub(crate) event: Option<Arc<Event>>,
    /// It runs in a window, to which a person may attach.
    pub(crate) interactive: bool,
}

impl TaskLaunch {
    /// Whether writing down what it says may take a while.
    pub(super) fn is_slow(&self) -> bool {
        let bytes = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        bytes(&self.spec.prompt) + bytes(&self.spec.stdin) > LONG_BYTES
    }
}

/// What is to be executed.
pub(super) struct Filled {
    /// Of a task: its pool's template with everything filled in.
    pub(super) daemon: Arc<Daemon>,
    /// File in the run's folder that it reads as standard input.
    pub(super) stdin: Option<PathBuf>,
    /// Variables that tell a task about itself.
    pub(super) env: BTreeMap<String, String>,
}

impl Filled {
    /// What is no task's has nothing to be filled in.
    pub(super) fn as_it_is(daemon: Arc<Daemon>) -> Self {
        Self {
            daemon,
            stdin: None,
            env: BTreeMap::new(),
        }
    }
}

/// Fills in a task's command, and writes what it needs into the run's folder.
///
/// # Errors
/// In words: what is wrong, and what to do.
pub(super) fn fill(
    template: &Daemon,
    task: &TaskLaunch,
    layout: &Layout,
    key: &RunKey,
) -> Result<Filled, String> {
    let dir = layout.run(&key.unit, &key.run);
    let work = match task.work_dir {
        WorkDir::Shared => None,
        WorkDir::Own { .. } => Some(layout.work(&key.unit)),
    };
    if let Some(work) = &work {
        files::create_private_dir(work)
            .map_err(|e| format!("cannot create {}: {e}", work.display()))?;
    }
    let way = Way::of(template, task)?;
    let prompt_file = way.file.then(|| dir.join(run_file::PROMPT));
    if let (Some(path), Some(prompt)) = (&prompt_file, &task.spec.prompt) {
        files::write_private(path, prompt.as_bytes()).map_err(|e| cannot_write(path, &e))?;
    }
    let event = task.event.as_deref().map(line_of);
    let stdin = match event.as_deref().or(way.stdin) {
        Some(text) => {
            let path = dir.join(run_file::STDIN);
            files::write_private(&path, text.as_bytes()).map_err(|e| cannot_write(&path, &e))?;
            Some(PathBuf::from(run_file::STDIN))
        }
        None => None,
    };
    let about = About {
        work: work.as_deref(),
        prompt_file: prompt_file.as_deref(),
    };
    let templates = Templates::over_task(about.fields(task));
    let mut daemon = template.clone();
    daemon.exec.argv = arguments(&templates, &template.exec.argv, &task.spec.args)?;
    daemon.exec.cwd = folder(&templates, template, task, work.as_deref())?;
    for (name, value) in &mut daemon.exec.env {
        if let EnvValue::Plain(text) = value {
            *text = templates.fill(&format!("variable {name}"), text)?;
        }
    }
    let own = task.spec.env.iter();
    let own = own.map(|(name, value)| (name.clone(), EnvValue::Plain(value.clone())));
    daemon.exec.env.extend(own);
    daemon.timeout_ms = task.row.timeout_ms.or(template.timeout_ms);
    Ok(Filled {
        daemon: Arc::new(daemon),
        stdin,
        env: about.environment(task),
    })
}

/// An event as its handler reads it: a CloudEvent in JSON, one line.
fn line_of(event: &Event) -> String {
    let mut line = event.to_cloudevent().to_string();
    line.push('\n');
    line
}

fn cannot_write(path: &Path, error: &std::io::Error) -> String {
    format!("cannot write {}: {error}", path.display())
}

/// How what a task says gets to its command.
struct Way<'a> {
    /// The prompt is in a file.
    file: bool,
    stdin: Option<&'a str>,
}

impl<'a> Way<'a> {
    fn of(daemon: &Daemon, task: &'a TaskLaunch) -> Result<Self, String> {
        let TaskSpec { prompt, stdin, .. } = &task.spec;
        let Some(prompt) = prompt.as_deref() else {
            return Ok(Self {
                file: false,
                stdin: stdin.as_deref(),
            });
        };
        let file = task.prompt == PromptVia::File || asks(daemon, "task.prompt_file");
        let by_stdin = match task.prompt {
            PromptVia::Stdin => true,
            // Nobody asks for it: it must not be lost.
            PromptVia::Argv => !file && !asks(daemon, "task.prompt"),
            PromptVia::File => false,
        };
        match stdin {
            Some(_) if by_stdin => Err(format!(
                "the task has a prompt and a standard input, and both would go to standard input: \
                 submit it with one of them, or set `prompt = \"file\"` in pool `{}`",
                task.row.pool
            )),
            _ if by_stdin => Ok(Self {
                file,
                stdin: Some(prompt),
            }),
            stdin => Ok(Self {
                file,
                stdin: stdin.as_deref(),
            }),
        }
    }
}

/// Whether anything of a command uses a field.
fn asks(daemon: &Daemon, field: &str) -> bool {
    let values = daemon.exec.env.values().filter_map(|value| match value {
        EnvValue::Plain(text) => Some(text),
        _ => None,
    });
    daemon
        .exec
        .argv
        .iter()
        .chain(values)
        .any(|text| uses(text, field))
}

/// Paths that a task is told of.
struct About<'a> {
    work: Option<&'a Path>,
    prompt_file: Option<&'a Path>,
}

impl About<'_> {
    fn paths(&self) -> [(&'static str, &'static str, Option<String>); 2] {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        [
            ("dir", "EUD_TASK_DIR", self.work.map(text)),
            ("prompt_file", "EUD_PROMPT_FILE", self.prompt_file.map(text)),
        ]
    }

    /// What templates may use. What a task has not is not there, so that asking for it is an error.
    fn fields(&self, task: &TaskLaunch) -> Map<String, Value> {
        let TaskLaunch { row, spec, .. } = task;
        let mut fields = BTreeMap::from([
            ("id", Value::from(row.id)),
            ("pool", Value::from(row.pool.as_str())),
            ("attempt", Value::from(row.attempts)),
            ("args", Value::from(spec.args.as_slice())),
        ]);
        for (name, text) in [("prompt", &spec.prompt), ("key", &row.key)] {
            if let Some(text) = text {
                fields.insert(name, Value::from(text.as_str()));
            }
        }
        for (name, _, path) in self.paths() {
            if let Some(path) = path {
                fields.insert(name, Value::from(path));
            }
        }
        let owned = |(name, value): (&str, Value)| (name.to_owned(), value);
        fields.into_iter().map(owned).collect()
    }

    fn environment(&self, task: &TaskLaunch) -> BTreeMap<String, String> {
        let row = &task.row;
        let mut env = BTreeMap::from([
            ("EUD_TASK_ID", row.id.to_string()),
            ("EUD_TASK_POOL", row.pool.clone()),
            ("EUD_TASK_ATTEMPT", row.attempts.to_string()),
        ]);
        if let Some(key) = &row.key {
            env.insert("EUD_TASK_KEY", key.clone());
        }
        if let Some(event) = &task.event {
            env.insert("EUD_EVENT_SEQ", event.seq.to_string());
            env.insert("EUD_EVENT_ID", event.id.clone());
            env.insert("EUD_EVENT_TYPE", event.kind.clone());
            if let Some(subject) = &event.subject {
                env.insert("EUD_EVENT_SUBJECT", subject.clone());
            }
        }
        for (_, name, path) in self.paths() {
            if let Some(path) = path {
                env.insert(name, path);
            }
        }
        let owned = |(name, value): (&str, String)| (name.to_owned(), value);
        env.into_iter().map(owned).collect()
    }
}

/// Where `{{ task.args }}` stands alone in an argument come all arguments of the task; else they
/// come last.
fn arguments(
    templates: &Templates,
    argv: &[String],
    args: &[String],
) -> Result<Vec<String>, String> {
    let mut filled = Vec::with_capacity(argv.len() + args.len());
    let mut have_place = false;
    for (at, template) in argv.iter().enumerate() {
        if is_all_args(template) {
            have_place = true;
            filled.extend_from_slice(args);
        } else {
            let what = if at == 0 {
                "the program".to_owned()
            } else {
                format!("argument {at} of the command")
            };
            filled.push(templates.fill(&what, template)?);
        }
    }
    if !have_place {
        filled.extend_from_slice(args);
    }
    Ok(filled)
}

fn is_all_args(template: &str) -> bool {
    let inner = template
        .strip_prefix("{{")
        .and_then(|t| t.strip_suffix("}}"));
    inner.is_some_and(|inner| inner.trim() == "task.args")
}

fn folder(
    templates: &Templates,
    template: &Daemon,
    task: &TaskLaunch,
    work: Option<&Path>,
) -> Result<String, String> {
    match (&task.spec.cwd, work) {
        (Some(cwd), _) if !cwd.starts_with('/') => Err(format!(
            "the task's folder `{cwd}` is not absolute: submit it with a path that begins with `/`"
        )),
        (Some(cwd), _) => Ok(cwd.clone()),
        (None, Some(work)) if template.exec.cwd.is_empty() => {
            Ok(work.to_string_lossy().into_owned())
        }
        (None, _) => templates.fill("the folder", &template.exec.cwd),
    }
}

/// Whether the kernel takes it all.
///
/// # Errors
/// In words, with what to do, when it would not.
pub(super) fn check_size(spec: &LaunchSpec, pool: &str) -> Result<(), String> {
    let advice = format!(
        "hand it over another way: set `prompt = \"stdin\"` or `prompt = \"file\"` in pool `{pool}`"
    );
    for (at, arg) in spec.args.iter().enumerate() {
        if arg.len() > ARG_BYTES_MAX {
            return Err(format!(
                "argument {at} of the command has {} bytes, and the kernel takes at most \
                 {ARG_BYTES_MAX} in one; {advice}",
                arg.len()
            ));
        }
    }
    let variable = |(name, value): &(OsString, OsString)| name.len() + 1 + value.len();
    for item in &spec.env {
        if variable(item) > ARG_BYTES_MAX {
            return Err(format!(
                "variable {} has {} bytes, and the kernel takes at most {ARG_BYTES_MAX} in one; \
                 {advice}",
                item.0.display(),
                variable(item)
            ));
        }
    }
    // Each has a NUL at its end, and a pointer to it.
    let each = 1 + size_of::<usize>();
    let args: usize = spec.args.iter().map(|arg| arg.len() + each).sum();
    let env: usize = spec.env.iter().map(|item| variable(item) + each).sum();
    let total = (args + env) as u64;
    let limit = total_max(spec);
    if total > limit {
        return Err(format!(
            "arguments and variables have {total} bytes, and the kernel takes at most {limit}; \
             {advice}"
        ));
    }
    Ok(())
}

/// A quarter of the stack that the command may use, within bounds.
fn total_max(spec: &LaunchSpec) -> u64 {
    let own =
        |(name, limit): &(String, eud_sys::rlimit::Limit)| (name == "stack").then_some(limit.soft);
    let stack = spec
        .rlimits
        .iter()
        .find_map(own)
        .or_else(|| eud_sys::rlimit::get("stack").ok().map(|limit| limit.soft))
        .flatten();
    stack.map_or(ARGS_BYTES_EVER, |stack| {
        (stack / 4).clamp(ARGS_BYTES_ALWAYS, ARGS_BYTES_EVER)
    })
}

#[cfg(test)]
mod tests;
