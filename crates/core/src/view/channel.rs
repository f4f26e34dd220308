//! What is shown of channels and their messages.

use serde::{Deserialize, Serialize};

use crate::record::{MessageId, MessageRow, WallMs};

/// A channel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelView {
    /// Its name.
    pub name: String,
    /// How it sends, in words: `desktop`, `email to ops@example.org`.
    pub via: String,
    /// Messages that wait, or are being sent.
    pub waiting: u64,
    /// What went wrong last; absent once something was sent after it.
    pub last_error: Option<String>,
    /// It is quiet until then.
    pub quiet_until_ms: Option<WallMs>,
    /// Messages sent so far.
    pub sent_total: u64,
    /// Dropped so far: too mild, a repetition, about this channel itself, or too many waited.
    pub dropped_total: u64,
    /// Messages that were given up and wait for a person.
    pub failed: u64,
}

/// A message that is not sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageView {
    /// What it is.
    pub state: MessageState,
    /// All that is remembered of it.
    #[serde(flatten)]
    pub row: MessageRow,
}

/// What a message is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MessageState {
    /// For its turn, the end of quiet hours, others to go with, or the next try.
    #[default]
    Waiting,
    /// A try goes on.
    Sending,
    /// It was given up: retry or drop it.
    Failed,
}

impl MessageView {
    /// Its number.
    pub fn id(&self) -> MessageId {
        self.row.id
    }
}
