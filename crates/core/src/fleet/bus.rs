//! How the events of a fleet are kept, and which types it declares.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Origin;

/// How events are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// Kept this long. Default 7 days.
    pub keep_ms: u64,
    /// At most this many are kept. Default 100,000.
    pub keep_max: u64,
    /// Events of one source with the same type, subject and payload within this time are one.
    /// Default: payloads are not compared.
    pub same_content_ms: Option<u64>,
    /// Types that the fleet file declares, by name.
    pub types: BTreeMap<String, EventType>,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            keep_ms: 7 * 86_400_000,
            keep_max: 100_000,
            same_content_ms: None,
            types: BTreeMap::new(),
        }
    }
}

/// A type of events that the fleet file declares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventType {
    /// For people.
    pub description: Option<String>,
    /// JSON Schema of the payload. An event that breaks it is refused.
    pub schema: Option<Value>,
    /// Where it was declared.
    pub origin: Origin,
}
