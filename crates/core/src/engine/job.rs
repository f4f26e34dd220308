//! Jobs.

use crate::engine::Core;
use crate::fleet::Unit;
use crate::io::{Accepted, Batch, Effect, Now, Refusal};
use crate::record::{Book, Trigger};
use crate::view::JobView;

/// What the core remembers of jobs and watches.
#[derive(Debug, Clone, Default)]
pub(crate) struct Jobs {}

impl Jobs {
    pub(crate) fn next_timeout(&self) -> Option<u64> {
        None
    }
}

impl Core {
    pub(crate) fn load_jobs(&mut self, _now: Now, _out: &mut Vec<Effect>) {}

    pub(crate) fn recover_jobs(
        &mut self,
        _books: Vec<Book>,
        _boot_id: String,
        _now: Now,
        _out: &mut Vec<Effect>,
    ) {
    }

    /// Handles what is due.
    pub(crate) fn tend_jobs(&mut self, _now: Now, _out: &mut Vec<Effect>) {}

    /// An occasion that is not the clock's.
    pub(crate) fn fire_job(
        &mut self,
        _job: &str,
        _trigger: Trigger,
        _now: Now,
        _out: &mut Vec<Effect>,
    ) {
    }

    pub(crate) fn on_changed(
        &mut self,
        _daemon: &str,
        _batch: Batch,
        _now: Now,
        _out: &mut Vec<Effect>,
    ) {
    }

    pub(crate) fn on_watching(
        &mut self,
        _daemon: &str,
        _problem: Option<String>,
        _now: Now,
        _out: &mut Vec<Effect>,
    ) {
    }

    pub(crate) fn trigger(
        &mut self,
        _units: &[Unit],
        _now: Now,
        _out: &mut Vec<Effect>,
    ) -> Result<(Accepted, bool), Refusal> {
        Ok((Accepted::default(), false))
    }

    pub(crate) fn job_view(&self, _unit: &str, _now: Now) -> Option<JobView> {
        None
    }

    pub(crate) fn job_reason(&self, _unit: &str, _now: Now) -> Option<String> {
        None
    }

    pub(crate) fn watch_problem(&self, _daemon: &str) -> Option<String> {
        None
    }
}
