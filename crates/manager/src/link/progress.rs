//! Following the progress of a task's run.
//!
//! Invariants: the log is looked at, and news are told, at most once in [`EVERY`]; the end of a run
//! is told after all that its output says.

use std::io;
use std::time::Duration;

use eud_core::fleet::ProgressFrom;
use eud_core::io::{Input, TaskNews};
use eud_core::record::{ExitRecord, TaskProgress};
use tokio::time::Instant;

use super::Link;
use crate::keeper_line::KeeperLine;
use crate::log_follow::Looked;
use crate::progress::{self, Progress};
use crate::wire::Asked;

/// Time between two looks at the log of a task.
const EVERY: Duration = Duration::from_secs(1);

impl Link {
    /// Tells of progress from now on. Asked for again, it goes on; asked for in another way, it
    /// begins anew with the first line.
    pub(crate) fn watch_progress(&mut self, from: ProgressFrom) {
        if self.state.progress_from.replace(from) != Some(from) {
            self.state.progress = None;
        }
    }

    /// There is output.
    pub(super) fn note_output(&mut self) {
        if self.state.progress_from.is_none() {
            return;
        }
        let now = Instant::now();
        let due = self
            .state
            .progress_seen
            .map_or(now, |seen| now.max(seen + EVERY));
        self.state.progress_due.get_or_insert(due);
    }

    /// What was read so far, or a new start.
    fn take_progress(&mut self, since_ms: i64) -> Option<Progress> {
        let from = self.state.progress_from?;
        let since_ms = progress::begun_ms(&self.key.run, since_ms);
        let progress = self.state.progress.take();
        Some(progress.unwrap_or_else(|| {
            let layout = &self.context.layout;
            Progress::new(layout, &self.key.unit, from, self.log_mark, since_ms)
        }))
    }

    /// Reads what was written since the last look, off this task, and asks to be told of more.
    pub(super) async fn look_at_progress(&mut self, line: &mut KeeperLine) {
        self.state.progress_due = None;
        self.state.progress_seen = Some(Instant::now());
        let Some(mut progress) = self.take_progress(self.state.started_at_ms) else {
            return;
        };
        let looked = tokio::task::spawn_blocking(move || {
            let looked = progress.look();
            let news = progress.news();
            (progress, looked, news)
        });
        let Ok((progress, looked, news)) = looked.await else {
            return;
        };
        self.state.progress = Some(progress);
        if let Some(news) = news {
            self.tell_progress(news).await;
        }
        match looked {
            Ok(Looked::More) => return self.note_output(),
            Ok(_) => {}
            Err(e) => self.complain_of_log(&e),
        }
        self.say(line, Asked::Watch).await;
    }

    /// Reads the rest and tells all of it.
    pub(super) async fn end_progress(&mut self, record: &ExitRecord) {
        let Some(progress) = self.take_progress(record.started_at_ms) else {
            return;
        };
        let (layout, key) = (self.context.layout.clone(), self.key.clone());
        let read = tokio::task::spawn_blocking(move || progress.end(&layout, &key));
        // It fails only when the manager is ending; the next one reads it.
        let Ok((progress, read)) = read.await else {
            return;
        };
        if let Err(e) = read {
            self.complain_of_log(&e);
        }
        if progress != TaskProgress::default() {
            self.tell_progress(progress).await;
        }
    }

    fn complain_of_log(&self, error: &io::Error) {
        let diary = &self.context.diary;
        diary.error(&format!("log of {}: {error}", self.key.unit));
    }

    async fn tell_progress(&self, progress: TaskProgress) {
        let news = TaskNews {
            unit: self.key.unit.clone(),
            generation: self.key.generation,
            progress,
        };
        // As with the end of a run.
        let _ = self.context.inputs.send(Input::Task(news)).await;
    }
}
