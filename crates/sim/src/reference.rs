//! The reference model: what was acknowledged to the operator, by rules of its own.
//!
//! It knows nothing of runs, timers or crashes; it only remembers what each unit shall be.

use std::collections::{BTreeMap, BTreeSet};

use eud_core::fleet::{Fleet, Unit};
use eud_core::io::Command;
use eud_core::record::{Desired, Intent};

/// What was acknowledged for one unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) up: bool,
    pub(crate) by_hand: bool,
    pub(crate) held: bool,
}

/// Acknowledged wishes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reference {
    pub(crate) wishes: BTreeMap<Unit, Wish>,
}

impl Reference {
    /// Takes note of a command; says for which units a person stepped in.
    pub(crate) fn acknowledge(&mut self, fleet: &Fleet, command: &Command) -> BTreeSet<Unit> {
        match command {
            Command::Up { .. } => {
                for unit in fleet
                    .daemons
                    .values()
                    .flat_map(eud_core::fleet::Daemon::units)
                {
                    let wish = self.wishes.entry(unit).or_default();
                    if wish.up || !wish.by_hand {
                        wish.up = true;
                    }
                }
                BTreeSet::new()
            }
            Command::Start(units) | Command::Restart(units) => self.start(fleet, units),
            Command::Stop(units) => {
                for unit in units {
                    let wish = self.wishes.entry(unit.clone()).or_default();
                    (wish.up, wish.by_hand) = (false, true);
                }
                units.iter().cloned().collect()
            }
            Command::Hold(units, _) | Command::Release(units) => {
                for unit in units {
                    let held = matches!(command, Command::Hold(..));
                    self.wishes.entry(unit.clone()).or_default().held = held;
                }
                units.iter().cloned().collect()
            }
            Command::Signal(..)
            | Command::Trigger(_)
            | Command::Emit(_)
            | Command::Bus(_)
            | Command::Task(_)
            | Command::Rule(_)
            | Command::Channel(_)
            | Command::Shutdown { .. } => BTreeSet::new(),
        }
    }

    fn start(&mut self, fleet: &Fleet, units: &[Unit]) -> BTreeSet<Unit> {
        for unit in units {
            let wish = self.wishes.entry(unit.clone()).or_default();
            (wish.up, wish.by_hand) = (true, true);
        }
        let mut todo: Vec<Unit> = units.to_vec();
        let mut seen: BTreeSet<Unit> = BTreeSet::new();
        while let Some(unit) = todo.pop() {
            if !seen.insert(unit.clone()) {
                continue;
            }
            let wish = self.wishes.entry(unit.clone()).or_default();
            if !wish.up {
                (wish.up, wish.by_hand) = (true, false);
            }
            let Some(daemon) = fleet.daemons.get(eud_core::fleet::daemon_of(&unit)) else {
                continue;
            };
            for need in daemon
                .needs
                .iter()
                .filter_map(|name| fleet.daemons.get(name))
            {
                todo.extend(need.units());
            }
            for want in daemon
                .wants
                .iter()
                .filter_map(|name| fleet.daemons.get(name))
            {
                let pullable = |unit: &Unit| {
                    let wish = self.wishes.get(unit).copied().unwrap_or_default();
                    !wish.held && (wish.up || !wish.by_hand)
                };
                todo.extend(want.units().into_iter().filter(pullable));
            }
        }
        seen
    }

    /// After a crash in mid-command either outcome is allowed: take what the journal has for all
    /// units.
    pub(crate) fn adopt(&mut self, intents: &BTreeMap<Unit, Intent>) {
        self.wishes = intents
            .iter()
            .map(|(unit, intent)| (unit.clone(), wish_of(intent)))
            .collect();
    }

    /// A rule changed what one unit shall be.
    pub(crate) fn adopt_one(&mut self, intent: &Intent) {
        self.wishes.insert(intent.unit.clone(), wish_of(intent));
    }

    /// A restart limit may hold a unit without being asked.
    pub(crate) fn held_by_limit(&mut self, unit: &Unit) {
        self.wishes.entry(unit.clone()).or_default().held = true;
    }

    /// Names a unit whose journalled intent is not what was acknowledged.
    pub(crate) fn disagrees(&self, intents: &BTreeMap<Unit, Intent>) -> Option<String> {
        for (unit, wish) in &self.wishes {
            let has = intents.get(unit).map(wish_of).unwrap_or_default();
            if has.up != wish.up
                || (!wish.up && has.by_hand != wish.by_hand)
                || has.held != wish.held
            {
                return Some(format!(
                    "`{unit}`: acknowledged {wish:?}, journal has {has:?}"
                ));
            }
        }
        None
    }
}

fn wish_of(intent: &Intent) -> Wish {
    Wish {
        up: intent.desired == Desired::Up,
        by_hand: intent.manual,
        held: intent.hold.is_some(),
    }
}
