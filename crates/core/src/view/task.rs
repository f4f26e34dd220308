//! What is shown of pools. Tasks themselves are read from `state.db`, which has them before anybody
//! is told of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::record::{TaskState, WallMs};

/// A pool and its queue.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PoolView {
    /// Its name.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// Tasks at once.
    pub concurrency: u32,
    /// Tasks that are kept, by state. Their sum is `total`.
    pub tasks: BTreeMap<TaskState, u64>,
    /// All tasks that are kept.
    pub total: u64,
    /// When the oldest task that is queued was submitted.
    pub oldest_ms: Option<WallMs>,
    /// Why no task begins; `None`: nothing forbids it.
    pub waits: Option<String>,
    /// A person paused it.
    pub paused: bool,
    /// It rests until then, after failures in a row.
    pub rests_until_ms: Option<WallMs>,
    /// Made for a handler.
    pub implicit: bool,
}
