//! Rules.

use crate::engine::Core;
use crate::io::{Accepted, Command, Effect, Now, Refusal};
use crate::record::{ApprovalRow, RuleRow};

/// What the core remembers of rules and approvals.
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
        _rules: Vec<RuleRow>,
        _approvals: Vec<ApprovalRow>,
        _last_approval: u64,
        _now: Now,
        _out: &mut Vec<Effect>,
    ) {
    }

    pub(crate) fn on_rule_command(
        &mut self,
        _command: Command,
        _now: Now,
        _out: &mut Vec<Effect>,
    ) -> Result<Accepted, Refusal> {
        Ok(Accepted::default())
    }

    /// Rules, in the order in which they see an event.
    pub fn rules(&self, _now: Now) -> Vec<crate::view::RuleView> {
        Vec::new()
    }

    /// What a rule would do about an event now. Changes nothing. `None`: there is no such rule.
    pub fn try_rule(
        &self,
        _rule: &str,
        _event: &crate::event::Event,
        _now: Now,
    ) -> Option<crate::view::RuleTrial> {
        None
    }

    /// Handles what waits for time.
    pub(crate) fn tend_rules(&mut self, _now: Now, _out: &mut Vec<Effect>) {}
}
