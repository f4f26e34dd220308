//! Submitting: what is accepted, and where it waits.
//!
//! Invariants: tasks submitted together are accepted together or not at all; a token names one task
//! among those that are kept.

use std::collections::BTreeMap;

use crate::engine::Core;
use crate::fleet::PromptVia;
use crate::happened::TaskStep;
use crate::io::{Effect, Now, Persist, Refusal, TaskPersist};
use crate::record::{NewTask, TaskId, TaskRow, TaskSpec, TaskState};
use crate::words;

use super::Task;

/// Most tasks submitted at once.
const SUBMIT_MAX: usize = 10_000;
/// Most tasks that one may wait for.
const AFTER_MAX: usize = 100;
/// Largest task: its arguments, prompt, input and environment together, in bytes.
const SPEC_BYTES_MAX: usize = 16_777_216;
/// Longest key or token, in bytes.
const KEY_BYTES_MAX: usize = 512;
/// Longest title, in characters.
const TITLE_CHARS_MAX: usize = 80;

impl Core {
    /// Queues these, all or none; gives their identities, of known tokens those of the first.
    pub(crate) fn submit_tasks(
        &mut self,
        tasks: Vec<NewTask>,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<Vec<TaskId>, Refusal> {
        if tasks.len() > SUBMIT_MAX {
            let why = format!(
                "there are {} tasks, at most {SUBMIT_MAX} are submitted at once",
                tasks.len()
            );
            return Err(Refusal::Invalid { why });
        }
        let mut coming: BTreeMap<&str, u64> = BTreeMap::new();
        for task in &tasks {
            self.check_task(task)?;
            *coming.entry(&task.pool).or_default() += 1;
        }
        for (pool, count) in coming {
            self.check_room(pool, count)?;
        }
        let ids = tasks.into_iter().map(|task| self.accept(task, now, out));
        Ok(ids.collect())
    }

    fn check_task(&self, task: &NewTask) -> Result<(), Refusal> {
        let invalid = |why: String| Err(Refusal::Invalid { why });
        let Some(pool) = self.tasks.declared(&task.pool) else {
            return Err(Refusal::Unknown {
                what: "pool".to_owned(),
                name: task.pool.clone(),
            });
        };
        if let Some(unknown) = task.after.iter().find(|id| !self.is_known(**id)) {
            return Err(Refusal::Unknown {
                what: "task".to_owned(),
                name: unknown.to_string(),
            });
        }
        if task.after.len() > AFTER_MAX {
            let count = task.after.len();
            return invalid(format!(
                "it waits for {count} tasks, at most {AFTER_MAX} are possible"
            ));
        }
        for (what, text) in [("key", &task.key), ("token", &task.token)] {
            if text.as_ref().is_some_and(|text| text.len() > KEY_BYTES_MAX) {
                return invalid(format!("its {what} is longer than {KEY_BYTES_MAX} bytes"));
            }
        }
        check_spec(&task.spec, pool.prompt).or_else(invalid)
    }

    fn is_known(&self, id: TaskId) -> bool {
        self.tasks.tasks.contains_key(&id) || self.tasks.over.contains_key(&id)
    }

    fn check_room(&self, name: &str, count: u64) -> Result<(), Refusal> {
        let Some(slot) = self.tasks.pools.get(name) else {
            return Ok(());
        };
        let (waiting, most) = (slot.waiting(), slot.rules().queue_max);
        if waiting.saturating_add(count) <= most {
            return Ok(());
        }
        let why = format!(
            "{waiting} tasks wait in pool `{name}`, which takes {most}; submit again when some of \
             them are done, or raise its `queue_max`"
        );
        Err(Refusal::Full { why })
    }

    fn accept(&mut self, new: NewTask, now: Now, out: &mut Vec<Effect>) -> TaskId {
        let known = new.token.as_ref();
        if let Some(id) = known.and_then(|token| self.tasks.tokens.get(token)) {
            return *id;
        }
        if let Some(key) = new.key.as_deref().filter(|_| new.once)
            && let Some(id) = self.tasks.pool(&new.pool).first_of(key)
        {
            return id;
        }
        let id = self.tasks.last_task + 1;
        self.tasks.last_task = id;
        let later = new.not_before_ms.filter(|at| *at > now.wall_ms);
        let state = match (new.after.is_empty(), later) {
            (false, _) => TaskState::Blocked,
            (true, Some(_)) => TaskState::Delayed,
            (true, None) => TaskState::Queued,
        };
        let delivery = self.tasks.pool(&new.pool).rules().delivery;
        let row = TaskRow {
            id,
            state,
            reason: waits_for(&new, later.is_some()),
            title: title(&new.spec),
            pool: new.pool,
            priority: new.priority,
            key: new.key,
            token: new.token,
            submitted_ms: now.wall_ms,
            not_before_ms: later,
            after: new.after,
            timeout_ms: new.timeout_ms,
            delivery,
            origin: new.origin,
            ..TaskRow::default()
        };
        out.push(Effect::Persist(Persist::Task(TaskPersist::Put {
            row: Box::new(row.clone()),
            spec: Some(Box::new(new.spec)),
        })));
        let told = super::tell(&row, TaskStep::Queued, row.reason.clone(), now);
        out.push(told);
        if let Some(token) = &row.token {
            self.tasks.tokens.insert(token.clone(), id);
        }
        self.tasks.pool(&row.pool).recount(None, Some(state));
        self.place(row, now, out);
        id
    }

    /// Puts a task that does not run where its state says.
    pub(super) fn place(&mut self, row: TaskRow, now: Now, out: &mut Vec<Effect>) {
        let (id, state, not_before_ms) = (row.id, row.state, row.not_before_ms);
        let (pool, key, after) = (row.pool.clone(), row.key.clone(), row.after.clone());
        let task = Task {
            order: super::queue::order(&row, self.tasks.pools.get(&pool)),
            row,
            retry_mono: None,
            watched: None,
        };
        self.tasks.tasks.insert(id, task);
        self.tasks.pool(&pool).expect(key.as_deref(), id);
        match (state, not_before_ms) {
            (TaskState::Blocked, _) => {
                for on in after {
                    self.tasks.waiters.entry(on).or_default().insert(id);
                }
                self.look_at_blocked(id, now, out);
            }
            (TaskState::Delayed, Some(at)) => {
                self.tasks.delayed.insert((at, id));
            }
            _ => self.line_up(id),
        }
    }
}

fn waits_for(new: &NewTask, is_later: bool) -> Option<String> {
    if let Some(on) = new.after.first() {
        let more = match new.after.len() {
            1 => String::new(),
            n => format!(" and {} more", n - 1),
        };
        return Some(format!("waits for task {on}{more}"));
    }
    let at = new.not_before_ms.filter(|_| is_later)?;
    Some(format!("not before {}", words::rfc3339(at)))
}

fn check_spec(spec: &TaskSpec, via: PromptVia) -> Result<(), String> {
    let env = spec.env.iter().flat_map(|(name, value)| [name, value]);
    let passed = spec.args.iter().chain(env).chain(&spec.cwd);
    let whole = [&spec.prompt, &spec.stdin].into_iter().flatten();
    let size: usize = passed.clone().chain(whole).map(String::len).sum();
    if size > SPEC_BYTES_MAX {
        return Err(format!(
            "it has {size} bytes, at most {SPEC_BYTES_MAX} are possible; give it a file by name"
        ));
    }
    let prompt = spec.prompt.iter().filter(|_| via == PromptVia::Argv);
    if passed.chain(prompt).any(|text| text.contains('\0')) {
        return Err(
            "an argument, variable or folder contains a NUL byte, which no program can be given; \
             use standard input"
                .to_owned(),
        );
    }
    Ok(())
}

/// One line for people: the first of the prompt, else the arguments.
fn title(spec: &TaskSpec) -> String {
    let prompt = spec.prompt.as_deref().unwrap_or_default();
    let first = prompt.lines().map(str::trim).find(|line| !line.is_empty());
    let line = first.map_or_else(|| spec.args.join(" "), str::to_owned);
    let line: String = line
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if line.chars().count() <= TITLE_CHARS_MAX {
        return line;
    }
    let begin: String = line.chars().take(TITLE_CHARS_MAX - 1).collect();
    format!("{begin}…")
}
