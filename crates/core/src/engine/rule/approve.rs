//! Approvals: a person agrees first.
//!
//! Invariants: for each rule and key at most one request is open; it is decided once, in the batch
//! in which its actions are done; it is over by itself after its time, also if the clock is set
//! back; what is done is what was asked for, word for word, or nothing.

use std::sync::Arc;

use serde_json::json;

use super::act::Work;
use super::durable;
use crate::engine::Core;
use crate::engine::bus::take::depth_of;
use crate::io::{Accepted, Effect, Now, Refusal, RulePersist};
use crate::planted::Planted;
use crate::record::{ApprovalRow, Verdict};

/// Requests that were decided about and are still kept.
const DECIDED_MAX: usize = 200;
/// Open requests of one rule.
const OPEN_MAX: usize = 1_000;

impl Core {
    /// Asks for approval instead of acting.
    pub(super) fn ask_approval(&mut self, work: &Work, now: Now, out: &mut Vec<Effect>) {
        let id = self.rules.last_approval + 1;
        let Some(slot) = self.rules.slot(&work.rule) else {
            return;
        };
        if slot.open.len() >= OPEN_MAX {
            slot.count_error(format!(
                "event {}: {OPEN_MAX} requests for approval wait already: decide about them",
                work.event.seq
            ));
            return;
        }
        let deeds = slot.deeds(work.rung, &work.key, &work.event);
        let within_ms = slot.definition.approve_within_ms;
        slot.open.insert(work.key.clone(), id);
        let within = i64::try_from(within_ms).unwrap_or(i64::MAX);
        let row = ApprovalRow {
            id,
            rule: work.rule.clone(),
            key: work.key.clone(),
            seq: work.event.seq,
            event: Some(Box::new((*work.event).clone())),
            rung: work.rung,
            what: deeds.into_iter().map(|(said, _)| said).collect(),
            at_ms: now.wall_ms,
            expires_ms: now.wall_ms.saturating_add(within),
            outcome: None,
            by: None,
        };
        let data = json!({
            "approval": id, "rule": row.rule, "key": row.key, "event": row.seq,
            "actions": row.what, "expires_ms": row.expires_ms,
        });
        self.rules.last_approval = id;
        let due = now.mono_ms.saturating_add(within_ms);
        self.rules.expires.insert((due, id));
        self.keep_approval(row, out);
        let depth = depth_of(&work.event) + 1;
        self.rule_says("approval.asked", &work.rule, data, depth, now, out);
    }

    fn keep_approval(&mut self, row: ApprovalRow, out: &mut Vec<Effect>) {
        out.push(durable(RulePersist::Approval(Box::new(row.clone()))));
        self.rules.approvals.insert(row.id, row);
    }

    /// A person decides.
    pub(super) fn approve(
        &mut self,
        id: u64,
        grant: bool,
        by: String,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<Accepted, Refusal> {
        let Some(row) = self.rules.approvals.get(&id).cloned() else {
            return Err(Refusal::Unknown {
                what: "approval".to_owned(),
                name: id.to_string(),
            });
        };
        if let Some(outcome) = row.outcome {
            let why = decided(&row, outcome);
            return Err(Refusal::Invalid { why });
        }
        let event = row.event.clone().map(|event| Arc::new(*event));
        let (true, Some(event)) = (grant, event) else {
            self.decide(row, Verdict::Denied, Some(by), now, out);
            return Ok(one());
        };
        let slot = self.rules.slot(&row.rule);
        let deeds = slot.map(|slot| slot.deeds(row.rung, &row.key, &event));
        let said = deeds.map(|deeds| deeds.into_iter().map(|(said, _)| said));
        if said.is_none_or(|said| !said.eq(row.what.iter().cloned())) {
            let why = format!(
                "approval {id}: rule `{}` would do something else now than what was asked for: \
                 deny it, and let the rule ask again",
                row.rule
            );
            return Err(Refusal::Invalid { why });
        }
        let work = Work {
            rule: row.rule.clone(),
            key: row.key.clone(),
            event,
            rung: row.rung,
            approval: Some(id),
        };
        self.decide(row, Verdict::Granted, Some(by), now, out);
        if let Some(slot) = self.rules.slot(&work.rule)
            && slot.remembers()
        {
            // Its cooldown begins with what is done.
            slot.memory(&work.key, now).fired_ms = Some(now.wall_ms);
        }
        self.perform(&work, now, out);
        self.save_rules(out);
        Ok(one())
    }

    fn decide(
        &mut self,
        mut row: ApprovalRow,
        outcome: Verdict,
        by: Option<String>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let depth = row.event.as_ref().map_or(0, |event| depth_of(event)) + 1;
        row.outcome = Some(outcome);
        row.by = by.map(|by| (by, now.wall_ms));
        if let Some(slot) = self.rules.slot(&row.rule)
            && slot.open.get(&row.key) == Some(&row.id)
        {
            slot.open.remove(&row.key);
        }
        self.rules.expires.retain(|(_, id)| *id != row.id);
        let mut data = json!({ "approval": row.id, "rule": row.rule, "key": row.key });
        if let Some((by, _)) = &row.by {
            data["by"] = json!(by);
        }
        let kind = match outcome {
            Verdict::Granted => "approval.granted",
            Verdict::Denied => "approval.denied",
            Verdict::Expired => "approval.expired",
        };
        let rule = row.rule.clone();
        if outcome == Verdict::Granted && self.has(Planted::ApprovalTwice) {
            self.rules.approvals.insert(
                row.id,
                ApprovalRow {
                    outcome: None,
                    ..row
                },
            );
        } else {
            row.event = None;
            self.keep_approval(row, out);
        }
        self.rule_says(kind, &rule, data, depth, now, out);
        self.forget_decided(out);
    }

    /// The oldest that were decided about go.
    fn forget_decided(&mut self, out: &mut Vec<Effect>) {
        let approvals = self.rules.approvals.values();
        let decided = approvals
            .filter(|row| row.outcome.is_some())
            .map(|row| row.id);
        let decided: Vec<u64> = decided.collect();
        let beyond = decided.len().saturating_sub(DECIDED_MAX);
        for id in decided.into_iter().take(beyond) {
            self.rules.approvals.remove(&id);
            out.push(durable(RulePersist::ForgetApproval(id)));
        }
    }

    /// Those that nobody decided about in time are over.
    pub(super) fn expire_approvals(&mut self, now: Now, out: &mut Vec<Effect>) {
        while let Some((due, id)) = self.rules.expires.first().copied() {
            if due > now.mono_ms {
                break;
            }
            self.rules.expires.pop_first();
            self.expire(id, now, out);
        }
    }

    pub(super) fn expire(&mut self, id: u64, now: Now, out: &mut Vec<Effect>) {
        let open = self.rules.approvals.get(&id).cloned();
        if let Some(row) = open.filter(|row| row.outcome.is_none()) {
            self.decide(row, Verdict::Expired, None, now, out);
        }
    }
}

fn decided(row: &ApprovalRow, outcome: Verdict) -> String {
    let how = match outcome {
        Verdict::Granted => "granted",
        Verdict::Denied => "denied",
        Verdict::Expired => {
            let at = crate::words::rfc3339(row.expires_ms);
            return format!("approval {}: nobody decided about it before {at}", row.id);
        }
    };
    match &row.by {
        Some((by, at)) => {
            let at = crate::words::rfc3339(*at);
            format!("approval {} was {how} by {by} at {at}", row.id)
        }
        None => format!("approval {} was {how}", row.id),
    }
}

fn one() -> Accepted {
    Accepted {
        count: 1,
        ..Accepted::default()
    }
}
