//! Subscriptions.

use crate::engine::Core;
use crate::io::{Accepted, BusCommand, BusNews, Effect, Now, Refusal};
use crate::view::BusView;

impl Core {
    pub(crate) fn on_bus_command(
        &mut self,
        _command: BusCommand,
        _now: Now,
        _out: &mut Vec<Effect>,
    ) -> Result<Accepted, Refusal> {
        Ok(Accepted::default())
    }

    pub(crate) fn on_bus_news(&mut self, _news: BusNews, _now: Now, _out: &mut Vec<Effect>) {}

    /// The bus as a whole.
    pub fn bus(&self) -> BusView {
        BusView::default()
    }
}
