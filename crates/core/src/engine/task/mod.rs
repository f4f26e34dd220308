//! Tasks.

use crate::engine::Core;
use crate::io::{Accepted, Effect, Now, Refusal, TaskCommand, TaskNews, TaskRecovery};
use crate::view::PoolView;

/// What the core remembers of tasks and pools.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tasks {}

impl Tasks {
    /// Monotonic time at which something of it is due.
    pub(crate) fn next_timeout(&self) -> Option<u64> {
        None
    }
}

impl Core {
    pub(crate) fn load_tasks(&mut self, _now: Now, _out: &mut Vec<Effect>) {}

    pub(crate) fn recover_tasks(
        &mut self,
        _found: TaskRecovery,
        _now: Now,
        _out: &mut Vec<Effect>,
    ) {
    }

    pub(crate) fn on_task_command(
        &mut self,
        _command: TaskCommand,
        _now: Now,
        _out: &mut Vec<Effect>,
    ) -> Result<Accepted, Refusal> {
        Ok(Accepted::default())
    }

    pub(crate) fn on_task_news(&mut self, _news: TaskNews, _now: Now, _out: &mut Vec<Effect>) {}

    /// Pools, by name; those made for handlers last.
    pub fn pools(&self, _now: Now) -> Vec<PoolView> {
        Vec::new()
    }

    /// Begins what may begin.
    pub(crate) fn tend_tasks(&mut self, _now: Now, _out: &mut Vec<Effect>) {}
}
