//! What people want of rules.

use crate::engine::Core;
use crate::io::{Accepted, Effect, Now, Refusal, RuleCommand};

impl Core {
    pub(crate) fn on_rule_command(
        &mut self,
        command: RuleCommand,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<Accepted, Refusal> {
        let done = match command {
            RuleCommand::Enable { name, enabled } => self.enable_rule(&name, enabled, now, out),
            RuleCommand::Reset(name) => self.reset_rule(&name),
            RuleCommand::Approve { id, grant, by } => self.approve(id, grant, by, now, out),
        };
        self.save_rules(out);
        done
    }

    fn enable_rule(
        &mut self,
        name: &str,
        enabled: bool,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<Accepted, Refusal> {
        let Some(slot) = self.rules.slot(name) else {
            return Err(unknown(name));
        };
        let mut accepted = Accepted::default();
        if slot.is_enabled() == enabled {
            let is = if enabled { "enabled" } else { "disabled" };
            let unchanged = (name.to_owned(), format!("already {is}"));
            accepted.unchanged.push(unchanged);
            return Ok(accepted);
        }
        accepted.count = 1;
        if enabled {
            slot.row.enabled = Some(true);
            slot.row.why_disabled = None;
            // Who looked at it grants it as many actions again.
            slot.row.recent_ms.clear();
            slot.is_changed = true;
        } else {
            self.disable_rule(name, "by hand".to_owned(), 0, now, out);
        }
        Ok(accepted)
    }

    fn reset_rule(&mut self, name: &str) -> Result<Accepted, Refusal> {
        let slot = self.rules.slot(name).ok_or_else(|| unknown(name))?;
        slot.forget_all();
        Ok(Accepted {
            count: 1,
            ..Accepted::default()
        })
    }
}

fn unknown(name: &str) -> Refusal {
    Refusal::Unknown {
        what: "rule".to_owned(),
        name: name.to_owned(),
    }
}
