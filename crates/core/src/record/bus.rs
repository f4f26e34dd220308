//! What is remembered of subscriptions, deliveries and dead letters.

use serde::{Deserialize, Serialize};

use super::WallMs;
use crate::event::Seq;
use crate::fleet::Subscription;

/// Names something that deliveries go to: `subscription.<name>`.
pub type Outlet = String;

/// Durable memory of one subscription.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionRow {
    /// Name of the subscription.
    pub name: String,
    /// Events up to here were looked at: each is delivered, a [`DeliveryRow`], a
    /// [`DeadLetterRow`], or not wanted.
    pub cursor: Seq,
    /// Delivered so far.
    pub delivered_total: u64,
    /// Dead letters so far.
    pub dead_total: u64,
    /// Events for which the filter could not be evaluated.
    pub filter_errors: u64,
    /// The last such error.
    pub filter_error: Option<String>,
    /// Its definition, if it was made at run time.
    pub definition: Option<Box<Subscription>>,
    /// A person paused it.
    pub paused: bool,
    /// Times that it was told to begin anew.
    #[serde(default)]
    pub replays: u64,
    /// Events that were not delivered because too many handlers led to them, one after the other.
    #[serde(default)]
    pub cut_total: u64,
}

/// A delivery that is not over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryRow {
    /// Where it goes.
    pub outlet: Outlet,
    /// The event.
    pub seq: Seq,
    /// Tells deliveries of the same event to the same outlet apart: 0 for the first, then one more
    /// for each replay.
    pub number: u64,
    /// Deliveries with the same key keep their order.
    pub key: Option<String>,
    /// Tries so far.
    pub attempts: u32,
    /// When the next try is due.
    pub next_ms: Option<WallMs>,
    /// What went wrong, oldest first; the last ones.
    pub errors: Vec<AttemptError>,
    /// When it was taken on.
    pub taken_ms: WallMs,
    /// Its event is about a subscription: nothing is told if it is given up.
    #[serde(default)]
    pub hushed: bool,
    /// Times that it was a dead letter and was tried again by itself.
    #[serde(default)]
    pub revived: u32,
    /// The task that is doing it.
    pub task: Option<u64>,
}

/// A try that failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptError {
    /// When.
    pub at_ms: WallMs,
    /// Why, in words.
    pub why: String,
}

/// A delivery that was given up. It keeps its event from being pruned.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterRow {
    /// Counts all dead letters of the state directory.
    pub id: u64,
    /// The delivery, with its whole story.
    pub delivery: DeliveryRow,
    /// When it was given up.
    pub at_ms: WallMs,
    /// Automatic retries so far.
    pub retries: u32,
    /// When it is tried again by itself.
    pub retry_ms: Option<WallMs>,
    /// It is not tried again by itself any more.
    pub abandoned: bool,
}
