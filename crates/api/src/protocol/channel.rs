//! Parameters of the methods of channels and messages.

use eud_core::record::MessageId;
use serde::{Deserialize, Serialize};

/// Parameters of `channel.test`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelParams {
    /// The channel.
    pub name: String,
}

/// Parameters of `message.retry` and `message.drop`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MessagesParams {
    /// These.
    pub ids: Vec<MessageId>,
    /// Instead: all that were given up.
    pub all: bool,
}
