//! Channels.

use crate::engine::Core;
use crate::event::Event;
use crate::fleet::Notice;
use crate::io::{Effect, Now};

impl Core {
    /// Hands a message to its channel.
    ///
    /// # Errors
    /// In words.
    #[expect(clippy::unused_self, reason = "a stub")]
    pub(crate) fn notify(
        &mut self,
        notice: &Notice,
        _event: &Event,
        _depth: u32,
        _now: Now,
        _out: &mut Vec<Effect>,
    ) -> Result<(), String> {
        Err(format!(
            "channel `{}`: channels are not possible yet",
            notice.channel
        ))
    }
}
