//! What is remembered of messages and channels.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::WallMs;
use crate::fleet::Severity;

/// A message for people, ready to be sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// One line.
    pub title: String,
    /// Further lines.
    pub body: String,
    /// How bad it is.
    pub severity: Severity,
    /// Messages of the same key are one.
    pub key: String,
    /// When it came about.
    pub at_ms: WallMs,
}

/// Durable memory of one channel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelRow {
    /// Its name.
    pub name: String,
    /// When a message of a key was sent or dropped last; bounded.
    pub seen: BTreeMap<String, WallMs>,
    /// Sent so far.
    pub sent_total: u64,
    /// Dropped so far: too mild, or a repetition.
    pub dropped_total: u64,
    /// Number of its next delivery.
    pub next_number: u64,
}
