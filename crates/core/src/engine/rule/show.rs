//! What is shown of rules, and the dry run.

use std::sync::Arc;

use super::act::Deeds;
use super::fill::words;
use super::ladder::Choice;
use super::see::Trail;
use super::slot::Slot;
use crate::engine::Core;
use crate::engine::bus::take::Variables;
use crate::event::Event;
use crate::expr::Scope;
use crate::fleet::Rule;
use crate::io::Now;
use crate::record::ApprovalRow;
use crate::view::{RuleTrial, RuleView};
use crate::words::duration;

impl Slot {
    fn view(&self) -> RuleView {
        let (rule, row) = (&self.definition, &self.row);
        let waiting = row.keys.iter().filter_map(|(key, memory)| {
            let (at_ms, _) = memory.waits?;
            Some((key.clone(), at_ms))
        });
        RuleView {
            name: rule.name.clone(),
            description: rule.description.clone(),
            on: on(rule),
            when: rule.when.clone(),
            then: then(rule),
            enabled: self.is_enabled(),
            why_disabled: row.why_disabled.clone(),
            fired_total: row.fired_total,
            passed_total: row.passed_total,
            last_fired_ms: row.last_fired_ms,
            waits: waiting.collect(),
            approvals: self.open.len() as u64,
            errors_total: row.errors_total,
            last_error: row.last_error.clone(),
        }
    }

    /// What it would do, on a copy.
    fn try_out(mut self, event: &Arc<Event>, now: Now) -> RuleTrial {
        let variables = Variables::of(event);
        let mut trail = Trail::On(Vec::new());
        let turn = self.look(event, &Scope::new(&variables.0), false, now, &mut trail);
        let mut rung = None;
        let acts = turn
            .as_ref()
            .is_some_and(|key| self.would_act(key, &mut rung, now, &mut trail));
        let waits = self.row.keys.iter().find(|(_, memory)| {
            let waiting = memory.event.as_deref();
            waiting.is_some_and(|waiting| waiting == event.as_ref())
        });
        let key = turn.filter(|_| acts);
        let key = key.or_else(|| waits.map(|(key, _)| key.clone()));
        let deeds = key.map_or_else(Vec::new, |key| self.deeds(rung, &key, event));
        RuleTrial {
            rule: self.definition.name.clone(),
            acts,
            steps: trail.steps(),
            then: in_words(deeds),
        }
    }

    fn would_act(
        &mut self,
        key: &str,
        rung: &mut Option<u32>,
        now: Now,
        trail: &mut Trail,
    ) -> bool {
        match self.choose(key, now) {
            Choice::Plain => {}
            Choice::Rung(at, used) => {
                trail.note(|| format!("ladder: rung {}, use {used}", at + 1));
                *rung = Some(at);
            }
            Choice::Quiet { left_ms } => {
                trail.note(|| format!("ladder: its rung rests {}", duration(left_ms)));
                return false;
            }
            Choice::Exhausted { .. } => {
                trail.note(|| "ladder: no rung is left".to_owned());
                return false;
            }
        }
        if self.too_many(now).is_some() {
            let limit = super::rate(&self.definition.limit);
            trail.note(|| format!("limit: more than {limit} would disable it"));
            return false;
        }
        if self.definition.approve {
            trail.note(|| "approve: a person would be asked first".to_owned());
        }
        true
    }
}

fn in_words(deeds: Deeds) -> Vec<String> {
    let one = |(said, filled): (String, Result<_, String>)| match filled {
        Ok(_) => said,
        Err(why) => format!("{said}: cannot be filled in: {why}"),
    };
    deeds.into_iter().map(one).collect()
}

/// What a rule waits for: `daemon.exited, 5 within 10m`.
fn on(rule: &Rule) -> String {
    let mut text = match rule.sequence.is_empty() {
        true => rule.on.join(", "),
        false => rule.sequence.join(", then "),
    };
    if rule.count > 1 {
        text.push_str(&format!(", {} times", rule.count));
    }
    if let Some(within_ms) = rule.within_ms {
        text.push_str(&format!(" within {}", duration(within_ms)));
    }
    if let Some(for_ms) = rule.for_ms {
        text.push_str(&format!(", for {}", duration(for_ms)));
    }
    if !rule.unless.is_empty() {
        text.push_str(&format!(", unless {}", rule.unless.join(", ")));
    }
    text
}

fn then(rule: &Rule) -> Vec<String> {
    let Some(ladder) = &rule.ladder else {
        return rule.then.iter().map(words).collect();
    };
    let rungs = (1..).zip(&ladder.rungs).map(|(number, rung)| {
        let all: Vec<String> = rung.then.iter().map(words).collect();
        format!("rung {number}, {} times: {}", rung.times, all.join("; "))
    });
    rungs.collect()
}

impl Core {
    /// Rules, in the order of the fleet file.
    pub fn rules(&self) -> Vec<RuleView> {
        self.rules.slots.iter().map(Slot::view).collect()
    }

    /// Requests for approval that are kept, oldest first.
    pub fn approvals(&self) -> impl Iterator<Item = &ApprovalRow> {
        self.rules.approvals.values()
    }

    /// What a rule would do about an event, if it came now. `None`: there is no such rule.
    pub fn try_rule(&self, name: &str, event: &Event, now: Now) -> Option<RuleTrial> {
        let at = *self.rules.by_name.get(name)?;
        let slot = self.rules.slots.get(at)?.clone();
        Some(slot.try_out(&Arc::new(event.clone()), now))
    }
}
