//! `eud task show`: everything known of one task.
//!
//! Deliberately absent: values of variables that were given with it; they may be secrets.

use eud_api::protocol::ShownTask;
use eud_core::record::{RunRow, TaskOrigin, TaskRow, TaskSpec, TaskState, WallMs};
use eud_core::words::duration;
use jiff::Timestamp;

use super::show::{Facts, Page, shell_line};
use super::tasks::{glyph_of, ink_of, since};
use super::{Screen, time};

/// Characters of a prompt that are shown.
const PROMPT_SHOWN: usize = 600;

/// Labelled facts, a heading for each group; groups without facts are left out.
pub(crate) fn render(shown: &ShownTask, last: &[RunRow], screen: &Screen) -> String {
    let task = &shown.task;
    let mut page = Page::new(screen);
    let state = format!("{} {}", glyph_of(task.state), task.state.as_str());
    let name = format!("task {} of {}", task.id, task.pool);
    page.headline(&name, ink_of(task.state), &state, Some(at(since(task))));
    if !task.title.is_empty() {
        page.line(&task.title);
    }
    page.group("Now", &now(task, screen));
    page.group("Progress", &progress(task));
    page.group("To do", &to_do(&shown.spec));
    let mut files: Facts = vec![("log", shown.log.clone())];
    files.extend(shown.run_dir.iter().map(|dir| ("run", dir.clone())));
    files.extend(shown.work_dir.iter().map(|dir| ("folder", dir.clone())));
    page.group("Files", &files);
    page.runs(last);
    page.finish()
}

fn at(ms: WallMs) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or_default()
}

fn now(task: &TaskRow, screen: &Screen) -> Facts {
    let mut facts = Facts::new();
    facts.extend(task.reason.iter().map(|why| ("why", why.clone())));
    facts.push(("tries", tries(task)));
    facts.extend(task.code.map(|code| ("exit code", code.to_string())));
    facts.push(("submitted", moment(task.submitted_ms, screen)));
    let not_before = task.not_before_ms.filter(|_| task.started_ms.is_none());
    facts.extend(not_before.map(|ms| ("not before", screen.clock.absolute(at(ms)))));
    facts.extend(task.started_ms.map(|ms| ("started", moment(ms, screen))));
    if let (Some(started), Some(ended)) = (task.started_ms, task.ended_ms) {
        let took = time::took(ended.saturating_sub(started) as f64 / 1_000.0);
        facts.push(("ended", format!("{}, after {took}", moment(ended, screen))));
    } else if let Some(ended) = task.ended_ms {
        facts.push(("ended", moment(ended, screen)));
    }
    if !task.after.is_empty() {
        let ids: Vec<String> = task.after.iter().map(u64::to_string).collect();
        facts.push(("after", format!("task {}", ids.join(", "))));
    }
    facts.push(("priority", task.priority.to_string()));
    facts.extend(task.key.iter().map(|key| ("key", key.clone())));
    facts.extend(task.token.iter().map(|token| ("token", token.clone())));
    facts.extend(task.timeout_ms.map(|ms| ("timeout", duration(ms))));
    facts.push(("from", origin(&task.origin)));
    facts
}

fn tries(task: &TaskRow) -> String {
    match (task.attempts, task.failures) {
        (0, _) => "not begun yet".to_owned(),
        (tries, 0) => tries.to_string(),
        (tries, failures) if task.state == TaskState::Succeeded => {
            format!("{tries}, {failures} of them failed")
        }
        (tries, failures) => format!("{tries}, {failures} failed"),
    }
}

fn moment(ms: WallMs, screen: &Screen) -> String {
    let absolute = screen.clock.absolute(at(ms));
    let age = screen.clock.seconds_since(at(ms));
    match age >= 0.0 {
        true => format!("{absolute} ({} ago)", time::span(age)),
        false => absolute,
    }
}

fn origin(origin: &TaskOrigin) -> String {
    match origin {
        TaskOrigin::Hand => "a person or a program".to_owned(),
        TaskOrigin::Delivery { outlet, seq, .. } => format!("event {seq}, for {outlet}"),
        TaskOrigin::Subscription { name, seq, .. } => format!("event {seq}, subscription {name}"),
    }
}

fn progress(task: &TaskRow) -> Facts {
    let progress = &task.progress;
    let mut facts = Facts::new();
    facts.extend(progress.text.iter().map(|text| ("says", text.clone())));
    if progress.steps > 0 {
        facts.push(("steps", progress.steps.to_string()));
    }
    if let (Some(inner), Some(out)) = (progress.tokens_in, progress.tokens_out) {
        facts.push(("tokens", format!("{inner} in, {out} out")));
    }
    facts.extend(progress.cost_micros.map(|micros| {
        let dollars = micros as f64 / 1_000_000.0;
        ("cost", format!("{dollars:.4} USD"))
    }));
    facts.extend(progress.result.iter().map(|text| ("result", text.clone())));
    let left = progress.leftovers.filter(|count| *count > 0);
    facts.extend(left.map(|count| ("left behind", format!("{count} processes, ended"))));
    facts
}

fn to_do(spec: &TaskSpec) -> Facts {
    let mut facts = Facts::new();
    if !spec.args.is_empty() {
        facts.push(("arguments", shell_line(&spec.args)));
    }
    facts.extend(
        spec.prompt
            .iter()
            .map(|prompt| ("prompt", shortened(prompt))),
    );
    let stdin = spec.stdin.as_ref();
    facts.extend(stdin.map(|text| ("input", format!("{} bytes", text.len()))));
    if !spec.env.is_empty() {
        let names: Vec<&str> = spec.env.keys().map(String::as_str).collect();
        facts.push(("variables", names.join(", ")));
    }
    facts.extend(spec.cwd.iter().map(|cwd| ("folder", cwd.clone())));
    facts
}

fn shortened(prompt: &str) -> String {
    let bytes = prompt.len();
    match prompt.char_indices().nth(PROMPT_SHOWN) {
        Some((end, _)) => format!("{}… ({bytes} bytes)", &prompt[..end]),
        None => prompt.to_owned(),
    }
}
