//! Tasks.

use crate::engine::Core;
use crate::fleet::Unit;
use crate::io::{Accepted, Command, Effect, Now, Refusal, TaskRecovery};
use crate::record::{Generation, TaskProgress};

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
        _command: Command,
        _now: Now,
        _out: &mut Vec<Effect>,
    ) -> Result<Accepted, Refusal> {
        Ok(Accepted::default())
    }

    pub(crate) fn on_progress(
        &mut self,
        _unit: &Unit,
        _generation: Generation,
        _progress: TaskProgress,
        _now: Now,
        _out: &mut Vec<Effect>,
    ) {
    }

    /// Pools, by name; those made for handlers last.
    pub fn pools(&self, _now: Now) -> Vec<crate::view::PoolView> {
        Vec::new()
    }

    /// Begins what may begin.
    pub(crate) fn tend_tasks(&mut self, _now: Now, _out: &mut Vec<Effect>) {}
}
