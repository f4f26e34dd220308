//! What is shown of events and those who get them. Events and dead letters themselves are read from
//! `state.db`, which has them before anybody is told of them.

use serde::{Deserialize, Serialize};

use crate::event::Seq;

/// The bus as a whole.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BusView {
    /// The newest event ever; 0: there was none.
    pub last_seq: Seq,
    /// Dead letters that wait for somebody.
    pub dead_letters: u64,
    /// Subscriptions by name.
    pub subscriptions: Vec<SubscriptionView>,
}

/// A subscription and how far it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SubscriptionView {
    /// Its name.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// Patterns of types.
    pub on: Vec<String>,
    /// Its filter.
    pub filter: Option<String>,
    /// What its handler is, in words: `job reindex`, `webhook http://…`.
    pub handler: String,
    /// Events up to here were looked at.
    pub cursor: Seq,
    /// Events after that.
    pub behind: u64,
    /// Deliveries that go on now.
    pub delivering: u64,
    /// Deliveries that wait: for their turn, or for the next try.
    pub waiting: u64,
    /// What the delivery that waits longest was told last.
    pub last_error: Option<String>,
    /// Delivered so far.
    pub delivered_total: u64,
    /// Dead letters so far.
    pub dead_total: u64,
    /// Events for which the filter could not be evaluated.
    pub filter_errors: u64,
    /// The last such error.
    pub filter_error: Option<String>,
    /// Events that were not delivered because too many handlers led to them.
    pub cut_total: u64,
    /// A person paused it.
    pub paused: bool,
    /// It was made at run time.
    pub at_run_time: bool,
}
