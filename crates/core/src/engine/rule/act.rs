//! Acting.
//!
//! Invariants: whether it is a rule's turn is remembered in the batch in which it acts; what an
//! action brings about says which rule it was; the error of one action does not stop the next.

use std::sync::Arc;

use serde_json::{Value, json};

use super::fill::{variables, words};
use super::ladder::Choice;
use super::rate;
use super::see::since;
use super::slot::Slot;
use crate::engine::Core;
use crate::engine::bus::deliver::why as why_refused;
use crate::engine::bus::take::{DEPTH, depth_of};
use crate::event::{Event, NewEvent};
use crate::fleet::{Action, TaskTemplate, Unit, daemon_of};
use crate::io::{Effect, Now};
use crate::record::{NewTask, TaskOrigin, TaskSpec};
use crate::select;

/// What is to be done, and about what.
pub(super) struct Work {
    pub(super) rule: String,
    pub(super) key: String,
    pub(super) event: Arc<Event>,
    pub(super) rung: Option<u32>,
    /// The approval that allowed it.
    pub(super) approval: Option<u64>,
}

impl Work {
    fn depth(&self) -> u32 {
        depth_of(&self.event) + 1
    }

    fn origin(&self) -> TaskOrigin {
        TaskOrigin::Rule {
            name: self.rule.clone(),
            seq: self.event.seq,
            depth: self.depth(),
        }
    }
}

/// Actions with their templates filled in, or why that is not possible, each in words.
pub(super) type Deeds = Vec<(String, Result<Action, String>)>;

impl Slot {
    /// Why the limit of its actions is reached; `None`: it is not.
    pub(super) fn too_many(&mut self, now: Now) -> Option<String> {
        let limit = self.definition.limit;
        let recent = &mut self.row.recent_ms;
        for at in recent.iter_mut() {
            *at = now.wall_ms.min(*at);
        }
        recent.retain(|at| since(*at, now) < limit.per_ms);
        let is_full = recent.len() >= limit.count as usize;
        is_full.then(|| {
            format!(
                "it acted more often than {}: look why, then enable it again",
                rate(&limit)
            )
        })
    }

    /// It acts, or asks, now.
    fn acts(&mut self, key: &str, choice: Choice, now: Now) -> Option<u32> {
        self.row.recent_ms.push(now.wall_ms);
        self.is_changed = true;
        let rung = match choice {
            Choice::Rung(rung, _) => Some(rung),
            _ => None,
        };
        if self.remembers() {
            let memory = self.memory(key, now);
            memory.touched_ms = now.wall_ms;
            memory.fired_ms = Some(now.wall_ms);
            if let Choice::Rung(rung, used) = choice {
                memory.rung = Some((rung, used, now.wall_ms));
            }
        }
        rung
    }

    pub(super) fn deeds(&self, rung: Option<u32>, key: &str, event: &Event) -> Deeds {
        let variables = variables(&self.definition, key, event);
        let deed = |action: &Action| {
            let filled = self.texts.fill(action, &variables);
            let said = filled.as_ref().map_or_else(|_| words(action), words);
            (said, filled)
        };
        self.actions(rung).iter().map(deed).collect()
    }
}

impl Core {
    /// It is the rule's turn for this key.
    pub(super) fn turn(
        &mut self,
        name: &str,
        key: &str,
        event: &Arc<Event>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let Some(slot) = self.rules.slot(name).filter(|slot| slot.is_enabled()) else {
            return;
        };
        let depth = depth_of(event) + 1;
        let choice = slot.choose(key, now);
        match choice {
            Choice::Plain | Choice::Rung(..) => {}
            Choice::Quiet { .. } | Choice::Exhausted { told: true } => {
                slot.count_passed();
                return;
            }
            Choice::Exhausted { told: false } => {
                slot.exhaust(key, now);
                slot.count_passed();
                let rungs = slot.definition.ladder.as_ref().map_or(0, |l| l.rungs.len());
                let data = json!({
                    "rule": name, "key": key, "event": event.seq, "rungs": rungs,
                });
                self.rule_says("rule.exhausted", name, data, depth, now, out);
                return;
            }
        }
        if let Some(why) = slot.too_many(now) {
            self.disable_rule(name, why, depth, now, out);
            return;
        }
        let rung = slot.acts(key, choice, now);
        let asks = slot.definition.approve;
        let work = Work {
            rule: name.to_owned(),
            key: key.to_owned(),
            event: Arc::clone(event),
            rung,
            approval: None,
        };
        if asks {
            self.ask_approval(&work, now, out);
        } else {
            self.perform(&work, now, out);
        }
    }

    /// Tells that the rule acts, and does it.
    pub(super) fn perform(&mut self, work: &Work, now: Now, out: &mut Vec<Effect>) {
        let Some(slot) = self.rules.slot(&work.rule) else {
            return;
        };
        let deeds = slot.deeds(work.rung, &work.key, &work.event);
        slot.row.last_fired_ms = Some(now.wall_ms);
        slot.row.fired_total += 1;
        slot.is_changed = true;
        self.rules.acted = true;
        let said: Vec<&String> = deeds.iter().map(|(said, _)| said).collect();
        let mut data = json!({
            "rule": work.rule, "key": work.key, "event": work.event.seq, "actions": said,
        });
        for (field, number) in [
            ("rung", work.rung.map(u64::from)),
            ("approval", work.approval),
        ] {
            if let Some(number) = number {
                data[field] = json!(number);
            }
        }
        self.rule_says("rule.fired", &work.rule, data, work.depth(), now, out);
        for (said, filled) in deeds {
            let done = filled.and_then(|action| self.carry_out(work, action, now, out));
            if let Err(why) = done {
                self.action_failed(work, &said, why, now, out);
            }
        }
    }

    fn action_failed(
        &mut self,
        work: &Work,
        said: &str,
        why: String,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        if let Some(slot) = self.rules.slot(&work.rule) {
            slot.count_error(format!("event {}: {said}: {why}", work.event.seq));
        }
        let data = json!({
            "rule": work.rule, "key": work.key, "event": work.event.seq,
            "action": said, "why": why,
        });
        self.rule_says("rule.failed", &work.rule, data, work.depth(), now, out);
    }

    fn carry_out(
        &mut self,
        work: &Work,
        action: Action,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<(), String> {
        let rule = format!("rule `{}`", work.rule);
        let done = match action {
            Action::Start { names } => return self.start_by_rule(work, &names, now, out),
            Action::Restart { names } => return self.restart_by_rule(work, &names, now, out),
            Action::Trigger { names } => return self.trigger_for(work, &names, now, out),
            Action::Stop { names } => self.stop(&self.meant(&names)?, now, out),
            Action::Release { names } => self.release(&self.meant(&names)?, now, out),
            Action::Hold { names, reason } => {
                let reason = because(&rule, &reason);
                self.hold(&self.meant(&names)?, &reason, now, out)
            }
            Action::Task(task) => return self.task_for(work, task, now, out),
            // The outlet is called like the pool that runs its command.
            Action::Exec { pool } => return self.deliver_to(&pool, &work.event, now),
            Action::Emit {
                kind,
                subject,
                data,
            } => return self.emit_for(work, kind, subject, data, now, out),
            Action::Webhook { outlet } => return self.deliver_to(&outlet, &work.event, now),
            Action::Notify(notice) => {
                return self.notify(&notice, &work.event, work.depth(), now, out);
            }
            Action::CloseGate { gate, reason } => {
                return self.hold_gate(&gate, because(&rule, &reason), now, out);
            }
            Action::OpenGate { gate } => return self.let_go_gate(&gate, now, out),
        };
        done.map(|_| ()).map_err(|refusal| why_refused(&refusal))
    }

    /// Units that selectors mean.
    fn meant(&self, names: &[String]) -> Result<Vec<Unit>, String> {
        select::units(&self.fleet, names).map_err(|error| error.message)
    }

    fn start_by_rule(
        &mut self,
        work: &Work,
        names: &[String],
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<(), String> {
        let units = self.meant(names)?;
        let done = self.start(&units, now, out);
        let (accepted, _) = done.map_err(|refusal| why_refused(&refusal))?;
        for unit in &accepted.affected {
            if let Some(slot) = self.slots.get_mut(unit) {
                slot.cause = format!("rule `{}`", work.rule);
            }
        }
        Ok(())
    }

    fn restart_by_rule(
        &mut self,
        work: &Work,
        names: &[String],
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<(), String> {
        let units = self.meant(names)?;
        let done = self.restart(&units, now, out);
        done.map_err(|refusal| why_refused(&refusal))?;
        for unit in &units {
            let Some(slot) = self.slots.get_mut(unit) else {
                continue;
            };
            match &mut slot.bounce {
                Some(why) => *why = format!("asked by rule `{}`", work.rule),
                None => slot.cause = format!("rule `{}`", work.rule),
            }
        }
        Ok(())
    }

    fn trigger_for(
        &mut self,
        work: &Work,
        names: &[String],
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<(), String> {
        let units = self.meant(names)?;
        let mut jobs: Vec<String> = units.iter().map(|u| daemon_of(u).to_owned()).collect();
        jobs.dedup();
        for job in &jobs {
            self.fire_by_event(job, work.event.seq, work.depth(), now, out)?;
        }
        Ok(())
    }

    fn task_for(
        &mut self,
        work: &Work,
        task: TaskTemplate,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<(), String> {
        let new = NewTask {
            pool: task.pool,
            priority: task.priority,
            key: task.key,
            once: task.once,
            origin: work.origin(),
            spec: TaskSpec {
                args: task.args,
                prompt: task.prompt,
                ..TaskSpec::default()
            },
            ..NewTask::default()
        };
        let done = self.submit_tasks(vec![new], now, out);
        done.map(|_| ()).map_err(|refusal| why_refused(&refusal))
    }

    fn emit_for(
        &mut self,
        work: &Work,
        kind: String,
        subject: Option<String>,
        data: Value,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<(), String> {
        let new = NewEvent {
            source: format!("rule/{}", work.rule),
            kind,
            subject,
            data,
            extensions: [(DEPTH.to_owned(), work.depth().to_string())].into(),
            ..NewEvent::default()
        };
        let done = self.emit(vec![new], now, out);
        done.map(|_| ()).map_err(|refusal| why_refused(&refusal))
    }
}

/// The cause in words, which names the rule once.
fn because(rule: &str, reason: &str) -> String {
    if reason == rule.replace('`', "") {
        return rule.to_owned();
    }
    format!("{rule}: {reason}")
}
