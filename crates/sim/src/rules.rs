//! Rules: their part of the journal, random ones, people who decide, and what is checked.
//!
//! Invariants checked: each action is told in a batch that has the rule's memory and is about an
//! event that is there; none within a cooldown, none beyond the limit, none twice for a key that
//! may have one, none for an event that is too deep; what needs approval is done once, when it was
//! granted, and not after it was denied or over; nothing waits for ever.

use std::collections::{BTreeMap, BTreeSet};

use eud_core::event::{Event, Seq};
use eud_core::fleet::{Action, Daemon, Fleet, Kind, Ladder, Rate, Rule, Rung, TaskTemplate, Unit};
use eud_core::io::{
    BusPersist, Command, Effect, Now, Persist, RuleCommand, RulePersist, RuleRecovery,
};
use eud_core::record::{ApprovalRow, Desired, RuleRow, Verdict, WallMs};
use serde_json::json;

use crate::dice::Dice;
use crate::run::History;
use crate::world::World;

/// Actions may be this deep; as the core has it.
const DEPTH_MAX: u32 = 8;
/// What was due this long ago is late.
const LATE_MS: i64 = 5_000;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct RuleJournal {
    pub(crate) rules: BTreeMap<String, RuleRow>,
    pub(crate) approvals: BTreeMap<u64, ApprovalRow>,
    last_approval: u64,
}

/// How one item is taken back.
#[derive(Debug, Clone)]
pub(crate) enum RuleUndo {
    Rule(String, Option<Box<RuleRow>>),
    Approval(u64, Option<Box<ApprovalRow>>, u64),
}

impl RuleJournal {
    /// Records one item; gives what takes it back.
    pub(crate) fn apply(&mut self, item: &RulePersist) -> RuleUndo {
        let last = self.last_approval;
        match item {
            RulePersist::Put(row) => {
                let old = self.rules.get(&row.name).cloned();
                let keys = old.as_ref().map(|old| old.keys.clone()).unwrap_or_default();
                let row = RuleRow {
                    keys,
                    ..(**row).clone()
                };
                let name = row.name.clone();
                self.rules.insert(name.clone(), row);
                RuleUndo::Rule(name, old.map(Box::new))
            }
            RulePersist::Key { rule, key, memory } => {
                let old = self.rules.get(rule).cloned();
                let row = self.rules.entry(rule.clone()).or_default();
                row.name.clone_from(rule);
                match memory {
                    Some(memory) => row.keys.insert(key.clone(), (**memory).clone()),
                    None => row.keys.remove(key),
                };
                RuleUndo::Rule(rule.clone(), old.map(Box::new))
            }
            RulePersist::Forget(name) => {
                let old = self.rules.remove(name);
                RuleUndo::Rule(name.clone(), old.map(Box::new))
            }
            RulePersist::Approval(row) => {
                self.last_approval = last.max(row.id);
                let old = self.approvals.insert(row.id, (**row).clone());
                RuleUndo::Approval(row.id, old.map(Box::new), last)
            }
            RulePersist::ForgetApproval(id) => {
                let old = self.approvals.remove(id);
                RuleUndo::Approval(*id, old.map(Box::new), last)
            }
        }
    }

    pub(crate) fn take_back(&mut self, undo: RuleUndo) {
        match undo {
            RuleUndo::Rule(name, old) => {
                match old {
                    Some(row) => self.rules.insert(name, *row),
                    None => self.rules.remove(&name),
                };
            }
            RuleUndo::Approval(id, old, last) => {
                match old {
                    Some(row) => self.approvals.insert(id, *row),
                    None => self.approvals.remove(&id),
                };
                self.last_approval = last;
            }
        }
    }

    /// Events that are kept for what waits.
    pub(crate) fn pinned(&self) -> BTreeSet<Seq> {
        let keys = self.rules.values().flat_map(|row| row.keys.values());
        let waits = keys.filter_map(|memory| memory.waits).map(|(_, seq)| seq);
        let open = self.approvals.values().filter(|row| row.outcome.is_none());
        waits.chain(open.map(|row| row.seq)).collect()
    }

    /// What a new core is told of them.
    pub(crate) fn recovered(&self) -> RuleRecovery {
        RuleRecovery {
            rules: self.rules.values().cloned().collect(),
            approvals: self.approvals.values().cloned().collect(),
            last_approval: self.last_approval,
        }
    }
}

/// Chooses rules.
pub(crate) fn declare(dice: &mut Dice, fleet: &mut Fleet) {
    if dice.chance(50) {
        return;
    }
    for number in 0..dice.range(1, 3) {
        let rule = rule(dice, number, fleet);
        fleet.rules.push(rule);
    }
}

fn rule(dice: &mut Dice, number: u64, fleet: &Fleet) -> Rule {
    let many = u32::try_from(dice.range(2, 3)).unwrap_or(2);
    let on = *dice.pick(&[
        "count.up",
        "count.up",
        "echo.*",
        "daemon.exited",
        "daemon.*",
        "job.ended",
        "task.*",
        "rule.fired",
        "approval.*",
    ]);
    let from_others = on == "count.up";
    let mut rule = Rule {
        name: format!("r{number}"),
        on: vec![on.to_owned()],
        key: from_others.then(|| "event.data.n".into()),
        count: if from_others && dice.chance(30) {
            many
        } else {
            1
        },
        within_ms: dice.chance(50).then_some(10_000),
        for_ms: dice.chance(20).then_some(2_000),
        cooldown_ms: *dice.pick(&[0, 0, 3_000, 10_000]),
        once_per_key: dice.chance(20),
        limit: Rate {
            count: u32::try_from(dice.range(1, 4)).unwrap_or(1),
            per_ms: 3_600_000,
        },
        approve: dice.chance(30),
        approve_within_ms: 20_000,
        ..Rule::default()
    };
    if on == "echo.*" {
        // Long enough a loop that nothing but its depth ends it.
        rule.limit.count = 40;
        rule.cooldown_ms = 0;
        rule.then = vec![echo()];
        (rule.once_per_key, rule.approve, rule.for_ms) = (false, false, None);
        return rule;
    }
    if from_others && dice.chance(20) {
        rule.on.clear();
        rule.count = 1;
        rule.sequence = vec!["count.up".into(), "*.up".into()];
    }
    if rule.for_ms.is_some() && dice.chance(50) {
        rule.unless = vec!["daemon.started".into(), "count.*".into()];
    }
    if dice.chance(25) {
        let rungs = (0..dice.range(1, 3)).map(|_| Rung {
            then: vec![action(dice, fleet)],
            cooldown_ms: *dice.pick(&[0, 2_000]),
            times: u32::try_from(dice.range(1, 2)).unwrap_or(1),
        });
        rule.ladder = Some(Ladder {
            rungs: rungs.collect(),
            healthy: vec!["daemon.ready".into()],
            reset_ms: 20_000,
        });
    } else {
        rule.then = (0..dice.range(1, 2)).map(|_| action(dice, fleet)).collect();
    }
    rule
}

fn echo() -> Action {
    Action::Emit {
        kind: "echo.back".into(),
        subject: None,
        // Each says something else, or the repetition would end it.
        data: json!({ "of": "{{ event.sequence }}" }),
    }
}

fn action(dice: &mut Dice, fleet: &Fleet) -> Action {
    let units: Vec<Unit> = fleet.daemons.values().flat_map(Daemon::units).collect();
    let jobs = fleet
        .daemons
        .values()
        .filter(|daemon| daemon.kind == Kind::Job);
    let jobs: Vec<String> = jobs.map(|daemon| daemon.name.clone()).collect();
    let pools: Vec<String> = fleet.pools.keys().cloned().collect();
    let names = vec![dice.pick(&units).clone()];
    match dice.range(0, 6) {
        0 => Action::Stop { names },
        1 => Action::Start { names },
        2 => Action::Restart { names },
        3 if !jobs.is_empty() => Action::Trigger {
            names: vec![dice.pick(&jobs).clone()],
        },
        4 if !pools.is_empty() => Action::Task(TaskTemplate {
            pool: dice.pick(&pools).clone(),
            args: vec!["{{ event.type }}".into()],
            ..TaskTemplate::default()
        }),
        // Somebody who is not there.
        5 => Action::Start {
            names: vec!["nobody".into()],
        },
        _ => echo(),
    }
}

/// Something that counts as acting: an action, or a question.
#[derive(Debug, Clone)]
struct Act {
    seq: Seq,
    rule: String,
    key: String,
    wall_ms: WallMs,
    /// It still counts for the limit, or for cooldowns.
    counts: bool,
    cools: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct RuleChecker {
    acts: Vec<Act>,
    /// Approvals by which something was done.
    done: BTreeMap<u64, Seq>,
    /// Approvals that were denied or over.
    refused: BTreeMap<u64, Seq>,
}

fn number(event: &Event, field: &str) -> u64 {
    event.data.get(field).and_then(|n| n.as_u64()).unwrap_or(0)
}

fn text(event: &Event, field: &str) -> String {
    let text = event.data.get(field).and_then(|text| text.as_str());
    text.unwrap_or_default().to_owned()
}

fn stored(persists: &[Effect]) -> impl Iterator<Item = &Event> {
    persists.iter().filter_map(|effect| match effect {
        Effect::Persist(Persist::Bus(BusPersist::Event { event, .. })) => Some(event.as_ref()),
        _ => None,
    })
}

/// Whether a batch has actions of rules that change what is wanted.
pub(crate) fn steps_in(persists: &[Effect]) -> bool {
    let verbs = ["start ", "stop ", "restart "];
    let mut fired = stored(persists).filter(|event| event.kind == "rule.fired");
    fired.any(|event| {
        let actions = event.data.get("actions").and_then(|all| all.as_array());
        let mut actions = actions
            .into_iter()
            .flatten()
            .filter_map(|text| text.as_str());
        actions.any(|text| verbs.iter().any(|verb| text.starts_with(verb)))
    })
}

impl RuleChecker {
    /// A batch is about to be recorded.
    pub(crate) fn recorded(
        &mut self,
        fleet: &Fleet,
        world: &World,
        persists: &[Effect],
        now: Now,
    ) -> Result<(), String> {
        // A power cut took the others back.
        let last = world.journal.bus.events.keys().next_back().copied();
        let last = last.unwrap_or(0);
        self.acts.retain(|act| act.seq <= last);
        self.done.retain(|_, seq| *seq <= last);
        self.refused.retain(|_, seq| *seq <= last);
        for event in stored(persists) {
            match event.kind.as_str() {
                "rule.fired" => {
                    Self::is_about_something(world, persists, event)?;
                    Self::is_remembered(fleet, persists, event)?;
                    self.fired(fleet, event, now)?;
                }
                "approval.asked" => self.acts_now(fleet, event, now)?,
                "approval.denied" | "approval.expired" => {
                    let id = number(event, "approval");
                    self.refused.insert(id, event.seq);
                    if self.done.contains_key(&id) {
                        return Err(format!("approval {id} was done, and is {}", event.kind));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The event is there, and not too deep.
    fn is_about_something(world: &World, persists: &[Effect], fired: &Event) -> Result<(), String> {
        let (seq, rule) = (number(fired, "event"), text(fired, "rule"));
        let mut fresh = stored(persists);
        let kept = world.journal.bus.events.get(&seq).map(AsRef::as_ref);
        let Some(event) = kept.or_else(|| fresh.find(|event| event.seq == seq)) else {
            return Err(format!("`{rule}` acts on event {seq}, which is not there"));
        };
        let depth = event.extensions.get("euddepth");
        let depth: u32 = depth.and_then(|text| text.parse().ok()).unwrap_or(0);
        if depth >= DEPTH_MAX {
            return Err(format!("`{rule}` acts on event {seq}, {depth} deep"));
        }
        Ok(())
    }

    /// Its memory is in the same batch.
    fn is_remembered(fleet: &Fleet, persists: &[Effect], fired: &Event) -> Result<(), String> {
        let (name, key) = (text(fired, "rule"), text(fired, "key"));
        let has_row = persists.iter().any(|effect| {
            matches!(effect, Effect::Persist(Persist::Rule(RulePersist::Put(row)))
                if row.name == name)
        });
        let rule = fleet.rules.iter().find(|rule| rule.name == name);
        let keeps = rule.is_some_and(|rule| rule.cooldown_ms > 0 || rule.once_per_key);
        let has_key = persists.iter().any(|effect| {
            matches!(effect, Effect::Persist(Persist::Rule(RulePersist::Key {
                rule, key: of, memory: Some(memory),
            })) if *rule == name && *of == key && memory.fired_ms.is_some())
        });
        if !has_row || (keeps && !has_key) {
            return Err(format!(
                "`{name}` acts for `{key}` and does not remember it"
            ));
        }
        Ok(())
    }

    fn fired(&mut self, fleet: &Fleet, event: &Event, now: Now) -> Result<(), String> {
        let id = number(event, "approval");
        if id == 0 {
            return self.acts_now(fleet, event, now);
        }
        if self.refused.contains_key(&id) {
            return Err(format!("approval {id} is done, and was not granted"));
        }
        if self.done.insert(id, event.seq).is_some() {
            return Err(format!("approval {id} is done twice"));
        }
        // Its cooldown begins now.
        self.note(event, now, false);
        Ok(())
    }

    fn note(&mut self, event: &Event, now: Now, counts: bool) {
        self.acts.push(Act {
            seq: event.seq,
            rule: text(event, "rule"),
            key: text(event, "key"),
            wall_ms: now.wall_ms,
            counts,
            cools: true,
        });
    }

    /// It was the rule's turn: it acts, or asks.
    fn acts_now(&mut self, fleet: &Fleet, event: &Event, now: Now) -> Result<(), String> {
        let (name, key) = (text(event, "rule"), text(event, "key"));
        let Some(rule) = fleet.rules.iter().find(|rule| rule.name == name) else {
            return Err(format!("`{name}` acts, and there is no such rule"));
        };
        let own = self.acts.iter().filter(|act| act.rule == name);
        let ago = |act: &&Act| u64::try_from(now.wall_ms - act.wall_ms).ok();
        let of_key = own.clone().filter(|act| act.key == key);
        if rule.once_per_key && of_key.clone().next().is_some() {
            return Err(format!("`{name}` acts twice for `{key}`"));
        }
        let cooling = of_key.filter(|act| act.cools);
        if cooling
            .filter_map(|act| ago(&act))
            .any(|ago| ago < rule.cooldown_ms)
        {
            return Err(format!("`{name}` acts for `{key}` within its cooldown"));
        }
        let counted = own.filter(|act| act.counts).filter_map(|act| ago(&act));
        let recent = counted.filter(|ago| *ago < rule.limit.per_ms).count();
        if recent >= rule.limit.count as usize {
            return Err(format!("`{name}` acts {} times, too often", recent + 1));
        }
        self.note(event, now, true);
        Ok(())
    }

    /// Somebody wants something of a rule; whether or not it comes to pass, it may.
    pub(crate) fn asked(&mut self, command: &Command) {
        match command {
            Command::Rule(RuleCommand::Reset(name)) => {
                self.acts.retain(|act| act.rule != *name);
            }
            Command::Rule(RuleCommand::Enable { name, .. }) => {
                let own = self.acts.iter_mut().filter(|act| act.rule == *name);
                own.for_each(|act| act.counts = false);
            }
            _ => {}
        }
    }

    /// The clock was set: how long ago something was cannot be told any more.
    pub(crate) fn clock_was_set(&mut self) {
        for act in &mut self.acts {
            (act.counts, act.cools) = (false, false);
        }
    }

    /// What must be so once the world has calmed down.
    pub(crate) fn judge(fleet: &Fleet, world: &World, now: WallMs) -> Result<(), String> {
        let journal = &world.journal.rules;
        for row in journal
            .approvals
            .values()
            .filter(|row| row.outcome.is_none())
        {
            let rule = fleet.rules.iter().find(|rule| rule.name == row.rule);
            let within = rule.map_or(0, |rule| rule.approve_within_ms);
            if now - row.at_ms > within.cast_signed() + LATE_MS {
                return Err(format!("approval {} waits for ever", row.id));
            }
        }
        for row in journal.rules.values() {
            let waits = row.keys.values().filter_map(|memory| memory.waits);
            if let Some((at_ms, seq)) = waits.into_iter().find(|(at, _)| now - at > LATE_MS) {
                let name = &row.name;
                return Err(format!("`{name}` should have acted on {seq} at {at_ms}"));
            }
        }
        Ok(())
    }
}

impl History {
    /// A rule changed what is wanted: that binds like the word of an operator.
    pub(crate) fn rules_step_in(&mut self, persists: &[Effect]) {
        if self.nothing_is_up_for_a_moment(persists) {
            self.gauges.are_unsure = true;
        }
        for effect in persists {
            let unit = match effect {
                Effect::Persist(Persist::Intent(intent)) => {
                    self.reference.adopt_one(intent);
                    &intent.unit
                }
                // What was done is to be done again.
                Effect::Persist(Persist::Ledger(ledger)) => &ledger.unit,
                _ => continue,
            };
            self.checker.stepped_in.insert(unit.clone());
        }
        self.jobs.forgive_all();
        self.checker.forgive_all();
    }

    /// Gauges may have been forgotten, and asked for anew, within a batch.
    fn nothing_is_up_for_a_moment(&self, persists: &[Effect]) -> bool {
        let intents = self.world.journal.intents.values();
        let up = intents.filter(|intent| intent.desired == Desired::Up);
        let mut up: BTreeSet<&Unit> = up.map(|intent| &intent.unit).collect();
        let mut any_moment = up.is_empty();
        for effect in persists {
            if let Effect::Persist(Persist::Intent(intent)) = effect {
                match intent.desired {
                    Desired::Up => up.insert(&intent.unit),
                    Desired::Down => up.remove(&intent.unit),
                };
                any_moment |= up.is_empty();
            }
        }
        any_moment
    }

    /// Somebody decides, or handles a rule.
    pub(crate) fn rule_mischief(&mut self) -> Option<Command> {
        let names: Vec<String> = self.fleet.rules.iter().map(|r| r.name.clone()).collect();
        if names.is_empty() {
            return None;
        }
        let name = self.dice.pick(&names).clone();
        let approvals = &self.world.journal.rules.approvals;
        let open = approvals.values().filter(|row| row.outcome.is_none());
        let open: Vec<u64> = open.map(|row| row.id).collect();
        let all: Vec<u64> = approvals.keys().copied().collect();
        let ids = if self.dice.chance(70) { open } else { all };
        Some(Command::Rule(match self.dice.range(0, 9) {
            0 => RuleCommand::Reset(name),
            1 | 2 => RuleCommand::Enable {
                name,
                enabled: self.dice.chance(70),
            },
            _ if ids.is_empty() => return None,
            _ => RuleCommand::Approve {
                id: *self.dice.pick(&ids),
                grant: self.dice.chance(70),
                by: "the operator".into(),
            },
        }))
    }

    /// What a person who decided is answered is so.
    pub(crate) fn decided(&self, command: &Command) -> Result<(), String> {
        let Command::Rule(RuleCommand::Approve { id, grant, .. }) = command else {
            return Ok(());
        };
        let row = self.world.journal.rules.approvals.get(id);
        let outcome = if *grant {
            Verdict::Granted
        } else {
            Verdict::Denied
        };
        // Many others may have been decided since, and it is not kept any more.
        match row {
            Some(row) if row.outcome != Some(outcome) => Err(format!(
                "approval {id}: {outcome:?} was accepted, is {:?}",
                row.outcome
            )),
            _ => Ok(()),
        }
    }

    /// Before the end nobody acts any more, so that what was begun can come to its end.
    pub(crate) fn rules_rest(&mut self) -> Result<(), String> {
        for name in self
            .fleet
            .rules
            .iter()
            .map(|r| r.name.clone())
            .collect::<Vec<_>>()
        {
            let enabled = false;
            self.command(Command::Rule(RuleCommand::Enable { name, enabled }))?;
        }
        Ok(())
    }
}
