//! Rules.

use std::sync::Arc;

use crate::engine::Core;
use crate::event::Event;
use crate::io::{Accepted, Effect, Now, Refusal, RuleCommand, RuleRecovery};
use crate::view::{RuleTrial, RuleView};

/// What the core remembers of rules.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {}

impl Rules {
    /// Monotonic time at which something of it is due.
    pub(crate) fn next_timeout(&self) -> Option<u64> {
        None
    }
}

impl Core {
    pub(crate) fn load_rules(&mut self, _now: Now, _out: &mut Vec<Effect>) {}

    pub(crate) fn recover_rules(
        &mut self,
        _found: RuleRecovery,
        _now: Now,
        _out: &mut Vec<Effect>,
    ) {
    }

    pub(crate) fn on_rule_command(
        &mut self,
        _command: RuleCommand,
        _now: Now,
        _out: &mut Vec<Effect>,
    ) -> Result<Accepted, Refusal> {
        Ok(Accepted::default())
    }

    /// Looks at events that were just stored, in order.
    pub(crate) fn rules_see(&mut self, _fresh: &[Arc<Event>], _now: Now, _out: &mut Vec<Effect>) {}

    /// Acts where the time for it has come.
    pub(crate) fn tend_rules(&mut self, _now: Now, _out: &mut Vec<Effect>) {}

    /// Rules, in the order of the fleet file.
    pub fn rules(&self) -> Vec<RuleView> {
        Vec::new()
    }

    /// What a rule would do about an event, if it came now. `None`: there is no such rule.
    pub fn try_rule(&self, _name: &str, _event: &Event, _now: Now) -> Option<RuleTrial> {
        None
    }
}
