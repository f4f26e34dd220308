//! Guards on what a run may do.

use crate::engine::Core;
use crate::io::{Effect, Now, Usage};
use crate::record::Generation;

/// What the core remembers of guards.
#[derive(Debug, Clone, Default)]
pub(crate) struct Guards {}

impl Guards {
    pub(crate) fn next_timeout(&self) -> Option<u64> {
        None
    }
}

impl Core {
    /// Handles what is due.
    pub(crate) fn tend_guards(&mut self, _now: Now, _out: &mut Vec<Effect>) {}

    pub(crate) fn on_measured(
        &mut self,
        _unit: &str,
        _generation: Generation,
        _usage: Usage,
        _now: Now,
        _out: &mut Vec<Effect>,
    ) {
    }

    pub(crate) fn broken_guards(&self, _unit: &str) -> Vec<String> {
        Vec::new()
    }

    pub(crate) fn guarded_by(&self, _unit: &str) -> Option<String> {
        None
    }
}
