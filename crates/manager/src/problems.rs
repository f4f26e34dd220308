//! What concerns the manager as a whole, for `problems` in the status.
//!
//! Purpose: let every part of the shell say what is wrong, and take it back.
//! Invariants: one text for each subject; at most as many as there are subjects.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What a problem is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    /// `state.db` cannot be written.
    Storage,
    /// The fleet file cannot be used; an older fleet is running.
    Fleet,
    /// `state.json` or `heartbeat` cannot be written.
    Files,
    /// Rotated logs cannot be compressed.
    Compression,
}

/// Shared list of problems.
#[derive(Debug, Clone, Default)]
pub(crate) struct Problems(Arc<Mutex<BTreeMap<Subject, String>>>);

impl Problems {
    /// Says what is wrong. True when that is news.
    pub(crate) fn set(&self, subject: Subject, text: String) -> bool {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.insert(subject, text.clone()) != Some(text)
    }

    /// Says that it is well again. True when it was not.
    pub(crate) fn clear(&self, subject: Subject) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&subject)
            .is_some()
    }

    /// All of them.
    pub(crate) fn list(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }
}
