//! Events: CloudEvents 1.0 (<https://github.com/cloudevents/spec>, JSON event format).
//!
//! Purpose: one record of everything that happened in the fleet or was told to it.
//! Invariants: `seq` orders all events of one state directory, without gaps and for ever; `source`
//! with `id` names an event once; what is refused says which attribute is wrong and why.
//! Deliberately absent: binary data. `data` is JSON; a text is a JSON string.

pub mod catalogue;
mod glob;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::record::WallMs;

pub use glob::{matches, parse as parse_glob};

/// Identity of an event in its state directory; counts from 1.
pub type Seq = u64;

/// Longest `type`, `source`, `subject` and `id`, in bytes.
pub const NAME_BYTES_MAX: usize = 256;
/// Largest `data`, as JSON text, in bytes.
pub const DATA_BYTES_MAX: usize = 262_144;
/// Most extension attributes of an event.
pub const EXTENSIONS_MAX: usize = 16;
/// Events of this many generations of rules call no more rules.
pub const DEPTH_MAX: u32 = 8;
/// An event may be dated this far in the future; more is refused. One day.
pub const FUTURE_MS_MAX: i64 = 86_400_000;

/// Types that begin like this are the manager's own: nobody else may publish them.
pub const RESERVED: [&str; 12] = [
    "daemon.",
    "job.",
    "gauge.",
    "gate.",
    "guard.",
    "task.",
    "pool.",
    "rule.",
    "subscription.",
    "channel.",
    "manager.",
    "watch.",
];

/// A stored event.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its place in the order of all events.
    pub seq: Seq,
    /// Unique with `source`.
    pub id: String,
    /// Who tells it: `eud/<fleet>` for the manager's own.
    pub source: String,
    /// What sort of thing happened: `model.promoted`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is about: the name of a daemon, a task, a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// When it happened, as the publisher says; when it was stored if it does not say.
    pub time_ms: WallMs,
    /// When it was stored.
    pub stored_ms: WallMs,
    /// The payload; `Null` when there is none.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub data: Value,
    /// URI of a schema of the payload, as the publisher says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataschema: Option<String>,
    /// Extension attributes: lower-case letters and digits.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extensions: BTreeMap<String, String>,
    /// How many rules' actions lie between this and something that no rule did.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub depth: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// An event that somebody publishes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewEvent {
    /// Unique with `source`; a fresh one is made when absent.
    pub id: Option<String>,
    /// Who tells it.
    pub source: String,
    /// What sort of thing happened.
    pub kind: String,
    /// What it is about.
    pub subject: Option<String>,
    /// When it happened; now when absent.
    pub time_ms: Option<WallMs>,
    /// The payload.
    pub data: Value,
    /// URI of a schema of the payload.
    pub dataschema: Option<String>,
    /// Extension attributes.
    pub extensions: BTreeMap<String, String>,
}

/// What became of a published event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Its place in the order of all events; of the first one, for a duplicate.
    pub seq: Seq,
    /// Its id.
    pub id: String,
    /// An event with this `source` and `id`, or this content, was known already; nothing was
    /// stored.
    pub duplicate: bool,
}
