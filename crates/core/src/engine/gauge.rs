//! Gauges and gates.

use crate::engine::Core;
use crate::fleet::Condition;
use crate::io::{Effect, Now};
use crate::record::GateRow;
use crate::view::{GateView, GaugeView};

/// What the core remembers of gauges and gates.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gauges {}

impl Gauges {
    pub(crate) fn next_timeout(&self) -> Option<u64> {
        None
    }
}

impl Core {
    pub(crate) fn load_gauges(&mut self, _now: Now, _out: &mut Vec<Effect>) {}

    pub(crate) fn recover_gauges(
        &mut self,
        _gates: Vec<GateRow>,
        _now: Now,
        _out: &mut Vec<Effect>,
    ) {
    }

    /// Handles what is due.
    pub(crate) fn tend_gauges(&mut self, _now: Now, _out: &mut Vec<Effect>) {}

    /// Why a daemon is paused by a closed gate, in words that name it; `None`: it is not.
    pub(crate) fn closed_gate(&self, _daemon: &str) -> Option<String> {
        None
    }

    /// The first of these conditions that does not hold, in words; `None`: all do.
    pub(crate) fn unmet(&self, _conditions: &[Condition]) -> Option<String> {
        None
    }

    pub(crate) fn on_sampled(
        &mut self,
        _gauge: &str,
        _number: u64,
        _outcome: Result<f64, String>,
        _now: Now,
        _out: &mut Vec<Effect>,
    ) {
    }

    pub(crate) fn gauge_views(&self, _now: Now) -> Vec<GaugeView> {
        Vec::new()
    }

    pub(crate) fn gate_views(&self, _now: Now) -> Vec<GateView> {
        Vec::new()
    }
}
