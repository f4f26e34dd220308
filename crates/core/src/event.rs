//! Events: CloudEvents 1.0 (<https://github.com/cloudevents/spec>, JSON event format).
//!
//! Purpose: one record of everything that happened in the fleet or was told to it.
//! Invariants: `seq` orders all events of one state directory, without gaps and for ever; `source`
//! with `id` names an event once; what is refused says which attribute is wrong and why.
//! Deliberately absent: binary data. `data` is JSON; a text is a JSON string.

pub mod catalogue;
mod check;
mod glob;
mod parse;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::record::WallMs;
use crate::words;

pub use check::check_type;
pub use glob::{matches, parse as parse_glob};

/// Identity of an event in its state directory; counts from 1.
pub type Seq = u64;

/// Half of a SHA-256.
pub type Digest = [u8; 16];

/// Longest `type`, `source`, `subject` and `id`, in bytes.
pub const NAME_BYTES_MAX: usize = 256;
/// Largest payload, as JSON text, in bytes.
pub const DATA_BYTES_MAX: usize = 262_144;
/// Most extension attributes of an event.
pub const EXTENSIONS_MAX: usize = 16;
/// Most events published at once.
pub const BATCH_MAX: usize = 1_000;
/// An event may be dated this far in the future: one day. More is refused.
pub const FUTURE_MS_MAX: i64 = 86_400_000;
/// Duplicates are known among this many events that others published last.
pub const KNOWN_MAX: usize = 100_000;

/// Sources that begin like this, and types that begin like these, are the manager's own.
pub const OWN_SOURCE: &str = "eud/";
/// See [`OWN_SOURCE`].
pub const OWN_TYPES: [&str; 14] = [
    "daemon.",
    "job.",
    "gauge.",
    "gate.",
    "guard.",
    "watch.",
    "manager.",
    "task.",
    "pool.",
    "rule.",
    "approval.",
    "subscription.",
    "channel.",
    "node.",
];

/// A stored event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// What it is about: the name of a daemon, a file.
    pub subject: Option<String>,
    /// When it happened, as the publisher says; when it was stored if it does not say.
    pub time_ms: WallMs,
    /// When it was stored.
    pub stored_ms: WallMs,
    /// The payload; `Null` when there is none.
    pub data: Value,
    /// URI of a schema of the payload, as the publisher says.
    pub dataschema: Option<String>,
    /// Extension attributes.
    pub extensions: BTreeMap<String, String>,
}

impl Event {
    /// The event in CloudEvents' JSON format. `sequence` is its extension for the order (as in
    /// CloudEvents' documented extensions); `eudstored` is when it was stored.
    pub fn to_cloudevent(&self) -> Value {
        let mut event = json!({
            "specversion": "1.0",
            "id": self.id,
            "source": self.source,
            "type": self.kind,
            "time": words::rfc3339(self.time_ms),
            "sequence": self.seq.to_string(),
            "eudstored": words::rfc3339(self.stored_ms),
        });
        if let Some(subject) = &self.subject {
            event["subject"] = json!(subject);
        }
        if let Some(schema) = &self.dataschema {
            event["dataschema"] = json!(schema);
        }
        for (name, value) in &self.extensions {
            event[name] = json!(value);
        }
        if !self.data.is_null() {
            event["datacontenttype"] = json!("application/json");
            event["data"] = self.data.clone();
        }
        event
    }

    /// Digest of what an event says, by which repetitions are known: source, type, subject and
    /// payload.
    pub fn content(&self) -> Digest {
        let subject = self.subject.as_deref().unwrap_or("");
        let data = self.data.to_string();
        digest(&[&self.source, &self.kind, subject, &data])
    }
}

/// Digest of the pair that names an event.
pub fn identity(source: &str, id: &str) -> Digest {
    digest(&[source, id])
}

/// The first half of SHA-256, over texts that cannot run into one another.
fn digest(texts: &[&str]) -> Digest {
    let mut hasher = Sha256::new();
    for text in texts {
        hasher.update((text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    let whole = hasher.finalize();
    let mut half = [0; 16];
    half.copy_from_slice(&whole[..16]);
    half
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
    /// Extension attributes: lower-case letters and digits.
    pub extensions: BTreeMap<String, String>,
}

/// What became of a published event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Its place in the order of all events; of the first one, for a duplicate.
    pub seq: Seq,
    /// Its id. Absent for a duplicate by content, whose first one may have another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// An event with this `source` and `id`, or this content, was known already; nothing was
    /// stored.
    pub duplicate: bool,
}
