//! What is remembered of messages and channels.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{AttemptError, TaskId, WallMs};
use crate::event::Seq;
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
    /// The event that led to it; 0: none, it is a test.
    pub event: Seq,
}

/// Counts all messages of a state directory, from 1.
pub type MessageId = u64;

/// A message that is not sent: it waits, is being sent, or was given up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MessageRow {
    /// Its number.
    pub id: MessageId,
    /// Name of its channel.
    pub channel: String,
    /// What it says.
    pub message: Message,
    /// Neither quiet hours nor grouping hold it back: it is critical, or a person asked for it.
    pub urgent: bool,
    /// How many handlers led to it, one after the other.
    pub depth: u32,
    /// The delivery that it is part of, in its channel; absent: it waits.
    pub delivery: Option<u64>,
    /// The task that is sending it.
    pub task: Option<TaskId>,
    /// Tries that failed.
    pub attempts: u32,
    /// When the next try is due.
    pub next_ms: Option<WallMs>,
    /// What went wrong, oldest first; the last ones.
    pub errors: Vec<AttemptError>,
    /// When it was given up.
    pub failed_ms: Option<WallMs>,
}

/// Durable memory of one channel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ChannelRow {
    /// Its name.
    pub name: String,
    /// When a message of a key was taken on last; bounded. Empty unless the channel drops
    /// repetitions.
    pub seen: BTreeMap<String, WallMs>,
    /// Messages sent so far.
    pub sent_total: u64,
    /// Dropped so far: too mild, a repetition, about this channel itself, or too many waited.
    pub dropped_total: u64,
    /// Given up so far.
    pub failed_total: u64,
    /// Number of its next delivery.
    pub next_number: u64,
    /// Number of the last message that it took on.
    pub last_message: MessageId,
    /// Messages were dropped because too many waited, and that was told.
    pub full: bool,
}
