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
//! Invariants: a change is persisted before anything that follows from it; a gate whose gauge is no
//! longer declared is open; a gate that is no longer declared is forgotten.

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
    /// Since when it is closed, and why.
    closed: Option<(WallMs, String)>,
}

impl Gating {
    fn row(&self) -> GateRow {
        let closed = self.closed.as_ref();
        GateRow {
            gate: self.gate.name.clone(),
            closed_ms: closed.map(|(at, _)| *at),
            reason: closed.map(|(_, why)| why.clone()),
        }
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
            let closed = old.and_then(|old| old.closed);
            let name = gate.name.clone();
            self.gauges.gates.insert(name, Gating { gate, closed });
        }
        for name in lost_sight {
            self.open_gate(&name, now, out);
        }
        for (name, gating) in before {
            if let Some((since, _)) = gating.closed {
                out.push(opened(&name, since, now));
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
            let Some(since) = row.closed_ms.filter(|_| gating.closed.is_none()) else {
                continue;
            };
            let why = row.reason.unwrap_or_else(|| "reason unknown".to_owned());
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
        gating.closed = Some((now.wall_ms, why.clone()));
        out.push(Effect::Persist(Persist::Gate(gating.row())));
        out.push(Effect::Happened(Happened {
            at_ms: now.wall_ms,
            what: What::GateClosed {
                gate: name.to_owned(),
                why,
            },
        }));
        self.mark_members(name);
    }

    fn open_gate(&mut self, name: &str, now: Now, out: &mut Vec<Effect>) {
        let Some(gating) = self.gauges.gates.get_mut(name) else {
            return;
        };
        let Some((since, _)) = gating.closed.take() else {
            return;
        };
        out.push(Effect::Persist(Persist::Gate(gating.row())));
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
        let (_, why) = self.gauges.gates.get(gate)?.closed.as_ref()?;
        Some(format!("gate `{gate}` is closed: {why}"))
    }

    pub(crate) fn gate_views(&self, _now: Now) -> Vec<GateView> {
        let view = |gating: &Gating| {
            let closed = gating.closed.as_ref();
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
