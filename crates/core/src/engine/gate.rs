//! Gates: which are closed, and who is paused by that.
//!
//! A gate looks at one gauge. It *closes* when the gauge comes to one of `closes_at`, and *opens*
//! when the gauge is known to be at another level. While the gauge is unknown the gate stays as it
//! was: an error neither lets producers loose nor stops them. A gate is durable, so a new manager
//! finds it as the last one left it, and nothing but a sample moves it. A limit's `clear` holds
//! across the unknown too: a gate that was closed opens only beyond it.
//!
//! Members that are services are stopped while it is closed, jobs do not begin; `evaluate` asks
//! [`Core::closed_gate`]. They stay desired up and go on by themselves.
//!
//! A rule may close a gate too. Then it stays closed until a rule opens it and the gauge does not
//! keep it closed either; the two know nothing of one another.
//!
//! Invariants: a change is persisted before anything that follows from it; a gate whose gauge is no
//! longer declared is open, unless a rule closed it; a gate that is no longer declared is
//! forgotten.

use std::sync::Arc;

use crate::engine::Core;
use crate::fleet::{Gate, Level};
use crate::happened::{Happened, What};
use crate::io::{Effect, Now, Persist};
use crate::planted::Planted;
use crate::record::{GateRow, WallMs};
use crate::view::GateView;
use crate::words;

/// One gate.
#[derive(Debug, Clone)]
pub(crate) struct Gating {
    gate: Arc<Gate>,
    /// Since when its gauge keeps it closed, and why.
    closed: Option<(WallMs, String)>,
    /// Since when a rule does, and why.
    held: Option<(WallMs, String)>,
}

impl Gating {
    fn row(&self) -> GateRow {
        let (closed, held) = (self.closed.as_ref(), self.held.as_ref());
        GateRow {
            gate: self.gate.name.clone(),
            closed_ms: closed.map(|(at, _)| *at),
            reason: closed.map(|(_, why)| why.clone()),
            held_ms: held.map(|(at, _)| *at),
            held_reason: held.map(|(_, why)| why.clone()),
        }
    }

    /// Since when it is closed, and why, whoever keeps it so.
    fn shut(&self) -> Option<&(WallMs, String)> {
        self.closed.as_ref().or(self.held.as_ref())
    }
}

impl Core {
    pub(crate) fn load_gates(&mut self, now: Now, out: &mut Vec<Effect>) {
        let mut before = std::mem::take(&mut self.gauges.gates);
        self.gauges.gates_of.clear();
        let mut lost_sight = Vec::new();
        for gate in self.fleet.gates.values() {
            let gate = Arc::new(gate.clone());
            let old = before.remove(&gate.name);
            let same_gauge = old.as_ref().is_some_and(|o| o.gate.gauge == gate.gauge);
            if !self.fleet.gauges.contains_key(&gate.gauge) || !same_gauge {
                lost_sight.push(gate.name.clone());
            }
            for member in &gate.members {
                let gates = self.gauges.gates_of.entry(member.clone()).or_default();
                gates.push(gate.name.clone());
            }
            let (closed, held) = old.map_or((None, None), |old| (old.closed, old.held));
            let name = gate.name.clone();
            let gating = Gating { gate, closed, held };
            self.gauges.gates.insert(name, gating);
        }
        for name in lost_sight {
            self.open_gate(&name, now, out);
        }
        for (name, gating) in before {
            if let Some((since, _)) = gating.shut() {
                out.push(opened(&name, *since, now));
            }
            out.push(Effect::Persist(Persist::ForgetGate(name)));
        }
    }

    pub(crate) fn recover_gauges(&mut self, gates: Vec<GateRow>, now: Now, out: &mut Vec<Effect>) {
        for row in gates {
            let Some(gating) = self.gauges.gates.get_mut(&row.gate) else {
                out.push(Effect::Persist(Persist::ForgetGate(row.gate)));
                continue;
            };
            let unknown = || "reason unknown".to_owned();
            if let Some(since) = row.held_ms {
                let why = row.held_reason.clone().unwrap_or_else(unknown);
                gating.held = Some((since, why));
            }
            let Some(since) = row.closed_ms.filter(|_| gating.closed.is_none()) else {
                continue;
            };
            let why = row.reason.unwrap_or_else(unknown);
            gating.closed = Some((since, why));
            let gauge = gating.gate.gauge.clone();
            if !self.fleet.gauges.contains_key(&gauge) || self.has(Planted::GateForgotten) {
                self.open_gate(&row.gate, now, out);
            }
        }
    }

    /// Closes and opens the gates of a gauge as its level says.
    pub(crate) fn swing_gates(&mut self, gauge: &str, now: Now, out: &mut Vec<Effect>) {
        let Some((level, lingering)) = self.gauges.levels(gauge) else {
            return;
        };
        if level == Level::Unknown {
            return;
        }
        let gates = self.gauges.gates.values();
        let its = gates.filter(|gating| gating.gate.gauge == gauge);
        let swings: Vec<(String, bool)> = its
            .filter_map(|gating| {
                let closes_at = &gating.gate.closes_at;
                let stays = closes_at.contains(&lingering);
                match (&gating.closed, closes_at.contains(&level)) {
                    (None, true) => Some((gating.gate.name.clone(), true)),
                    (Some(_), false) if !stays => Some((gating.gate.name.clone(), false)),
                    _ => None,
                }
            })
            .collect();
        for (gate, closes) in swings {
            if closes {
                let said = self.gauges.why(gauge);
                let said = said.map_or(String::new(), |said| format!(" ({said})"));
                self.close_gate(&gate, format!("`{gauge}` is {level}{said}"), now, out);
            } else {
                self.open_gate(&gate, now, out);
            }
        }
    }

    fn close_gate(&mut self, name: &str, why: String, now: Now, out: &mut Vec<Effect>) {
        let Some(gating) = self.gauges.gates.get_mut(name) else {
            return;
        };
        let was_open = gating.shut().is_none();
        gating.closed = Some((now.wall_ms, why.clone()));
        out.push(Effect::Persist(Persist::Gate(gating.row())));
        if was_open {
            out.push(closed(name, why, now));
            self.mark_members(name);
        }
    }

    /// A rule keeps a gate closed until one lets it go.
    ///
    /// # Errors
    /// In words: there is no such gate.
    pub(crate) fn hold_gate(
        &mut self,
        name: &str,
        why: String,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<(), String> {
        let Some(gating) = self.gauges.gates.get_mut(name) else {
            return Err(format!("there is no gate `{name}`"));
        };
        let was_open = gating.shut().is_none();
        let since = gating.held.as_ref().map_or(now.wall_ms, |(at, _)| *at);
        gating.held = Some((since, why.clone()));
        out.push(Effect::Persist(Persist::Gate(gating.row())));
        if was_open {
            out.push(closed(name, why, now));
            self.mark_members(name);
        }
        Ok(())
    }

    /// No rule keeps a gate closed any more; its gauge still may.
    ///
    /// # Errors
    /// In words: there is no such gate.
    pub(crate) fn let_go_gate(
        &mut self,
        name: &str,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<(), String> {
        let Some(gating) = self.gauges.gates.get_mut(name) else {
            return Err(format!("there is no gate `{name}`"));
        };
        if let Some((since, _)) = gating.held.take() {
            out.push(Effect::Persist(Persist::Gate(gating.row())));
            self.came_open(name, since, now, out);
        }
        Ok(())
    }

    fn open_gate(&mut self, name: &str, now: Now, out: &mut Vec<Effect>) {
        let Some(gating) = self.gauges.gates.get_mut(name) else {
            return;
        };
        let Some((since, _)) = gating.closed.take() else {
            return;
        };
        out.push(Effect::Persist(Persist::Gate(gating.row())));
        self.came_open(name, since, now, out);
    }

    /// One of those that kept it closed does not any more.
    fn came_open(&mut self, name: &str, since: WallMs, now: Now, out: &mut Vec<Effect>) {
        let gating = self.gauges.gates.get(name);
        if gating.is_none_or(|gating| gating.shut().is_some()) {
            return;
        }
        out.push(opened(name, since, now));
        if !self.has(Planted::OpeningUnseen) {
            self.mark_members(name);
            self.tasks.gate_opened(name);
        }
    }

    fn mark_members(&mut self, gate: &str) {
        let Some(gating) = self.gauges.gates.get(gate) else {
            return;
        };
        let gate = Arc::clone(&gating.gate);
        for member in &gate.members {
            for unit in self.replicas(member).to_vec() {
                self.mark_around(&unit);
            }
        }
    }

    /// Why a daemon is paused by a closed gate, in words that name it; `None`: it is not.
    pub(crate) fn closed_gate(&self, daemon: &str) -> Option<String> {
        let gates = self.gauges.gates_of.get(daemon)?;
        gates.iter().find_map(|name| self.closed(name))
    }

    /// Why nothing passes a gate; `None`: it is open, or there is no such gate.
    pub(crate) fn closed(&self, gate: &str) -> Option<String> {
        let (_, why) = self.gauges.gates.get(gate)?.shut()?;
        Some(format!("gate `{gate}` is closed: {why}"))
    }

    pub(crate) fn gate_views(&self, _now: Now) -> Vec<GateView> {
        let view = |gating: &Gating| {
            let closed = gating.shut();
            GateView {
                name: gating.gate.name.clone(),
                gauge: gating.gate.gauge.clone(),
                closed: closed.is_some(),
                since: closed.map(|(at, _)| words::rfc3339(*at)),
                reason: closed.map(|(_, why)| why.clone()),
                members: gating.gate.members.iter().cloned().collect(),
            }
        };
        self.gauges.gates.values().map(view).collect()
    }
}

fn closed(gate: &str, why: String, now: Now) -> Effect {
    Effect::Happened(Happened {
        at_ms: now.wall_ms,
        what: What::GateClosed {
            gate: gate.to_owned(),
            why,
        },
    })
}

fn opened(gate: &str, since: WallMs, now: Now) -> Effect {
    // The clock may have been set back since.
    let closed_for_ms = u64::try_from(now.wall_ms.saturating_sub(since)).unwrap_or(0);
    Effect::Happened(Happened {
        at_ms: now.wall_ms,
        what: What::GateOpened {
            gate: gate.to_owned(),
            closed_for_ms,
        },
    })
}
