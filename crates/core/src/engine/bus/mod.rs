//! The bus.

use crate::engine::Core;
use crate::io::{Accepted, BusRecovery, Command, DeliveryRef, Effect, Now, Refusal};

/// What the core remembers of events, subscriptions and deliveries.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bus {}

impl Bus {
    /// Monotonic time at which something of it is due.
    pub(crate) fn next_timeout(&self) -> Option<u64> {
        None
    }
}

impl Core {
    pub(crate) fn load_bus(&mut self, _now: Now, _out: &mut Vec<Effect>) {}

    pub(crate) fn recover_bus(&mut self, _found: BusRecovery, _now: Now, _out: &mut Vec<Effect>) {}

    pub(crate) fn on_bus_command(
        &mut self,
        _command: Command,
        _now: Now,
        _out: &mut Vec<Effect>,
    ) -> Result<Accepted, Refusal> {
        Ok(Accepted::default())
    }

    pub(crate) fn on_fetched(
        &mut self,
        _after: u64,
        _events: Vec<std::sync::Arc<crate::event::Event>>,
        _upto: u64,
        _now: Now,
        _out: &mut Vec<Effect>,
    ) {
    }

    pub(crate) fn on_delivered(
        &mut self,
        _delivery: DeliveryRef,
        _outcome: Result<(), String>,
        _now: Now,
        _out: &mut Vec<Effect>,
    ) {
    }

    /// Makes events of what was told since this place in the effects.
    pub(crate) fn hear(&mut self, _from: usize, _now: Now, _out: &mut Vec<Effect>) {}

    /// The bus, its subscriptions and channels.
    pub fn bus(&self, _now: Now) -> crate::view::BusView {
        crate::view::BusView::default()
    }

    /// Brings deliveries forward.
    pub(crate) fn tend_bus(&mut self, _now: Now, _out: &mut Vec<Effect>) {}
}
