//! How the events of a fleet are kept, which types it declares, and where they go.
//!
//! Invariants: patterns, expressions and templates were parsed once by `eud-config`, so they parse
//! again; every job and pool that is named exists.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{EnvValue, Origin, Retry};

/// How events are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// Kept this long. Default 7 days. One that a subscription has not seen is kept longer.
    pub keep_ms: u64,
    /// At most this many are kept, but for those not seen. Default 100,000.
    pub keep_max: u64,
    /// Publishing is refused while a subscription is this many behind. Default 1,000,000.
    pub behind_max: u64,
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
            behind_max: 1_000_000,
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

/// Brings events to a handler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// Unique among subscriptions.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// Patterns of types; see [`crate::event::matches`]. At least one.
    pub on: Vec<String>,
    /// CEL expression over `event`; absent: all events.
    pub filter: Option<String>,
    /// Where they go.
    pub handler: Handler,
    /// CEL expression; events for which it gives the same text are delivered one after the other,
    /// in order. Absent: in no order when `concurrency` is above 1.
    pub ordered_by: Option<String>,
    /// Deliveries at once. Default 1: one after the other. One that waits for its next try lets
    /// others pass, but for those of its key.
    pub concurrency: u32,
    /// A delivery may take this long. Default 30 s.
    pub timeout_ms: u64,
    /// Tries after the first one. Default 5 tries, from 1 s doubling up to 5 min; each delay varies
    /// by a tenth.
    pub retry: Retry,
    /// A dead letter is tried again by itself this many times. Default 0.
    pub dead_retries: u32,
    /// Time between those. Default 1 h.
    pub dead_retry_ms: u64,
    /// A dead letter this old is abandoned: it is not tried again by itself, and goes away after as
    /// long again. Default 7 days.
    pub abandon_ms: u64,
    /// Where a new subscription begins.
    pub from: From,
    /// It was made at run time, and is not in the fleet file.
    pub at_run_time: bool,
    /// Where it was declared.
    pub origin: Origin,
}

impl Default for Subscription {
    fn default() -> Self {
        Self {
            name: String::new(),
            description: None,
            on: vec!["*".to_owned()],
            filter: None,
            handler: Handler::Job { job: String::new() },
            ordered_by: None,
            concurrency: 1,
            timeout_ms: 30_000,
            retry: Retry {
                limit: 5,
                backoff_initial_ms: 1_000,
                ..Retry::default()
            },
            dead_retries: 0,
            dead_retry_ms: 3_600_000,
            abandon_ms: 7 * 86_400_000,
            from: From::Now,
            at_run_time: false,
            origin: Origin::default(),
        }
    }
}

/// Where a new subscription begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum From {
    /// With the events from now on.
    #[default]
    Now,
    /// With the oldest event that is kept.
    Start,
}

/// Where events go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Handler {
    /// The job fires. Delivered when the fire is recorded.
    Job {
        /// Name of the job.
        job: String,
    },
    /// A task is submitted. Delivered when it is recorded.
    Task(TaskTemplate),
    /// A command runs with the event on its standard input, as a task of the pool
    /// `subscription.<name>`, which `eud-config` makes. Delivered when it succeeds.
    Exec {
        /// Name of that pool.
        pool: String,
    },
    /// An HTTP request. Delivered when the answer is 2xx.
    Webhook(Webhook),
}

/// A task to be submitted, with templates over `event`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskTemplate {
    /// Name of the pool.
    pub pool: String,
    /// Arguments, each a template.
    pub args: Vec<String>,
    /// The prompt, a template.
    pub prompt: Option<String>,
    /// Tasks of the same key run one after the other; a template.
    pub key: Option<String>,
    /// Default 0.
    pub priority: i32,
    /// At most one such task is queued or running for the same key; further ones become part of it.
    pub once: bool,
}

/// An HTTP request: CloudEvents HTTP binding, structured mode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// `http://` or `https://`. Redirects are not followed.
    pub url: String,
    /// Headers to send.
    pub headers: BTreeMap<String, EnvValue>,
    /// Signs the body: `webhook-signature: v1,<base64 of HMAC-SHA-256>` over
    /// `<id>.<unix seconds>.<body>` (Standard Webhooks).
    pub secret: Option<EnvValue>,
}
