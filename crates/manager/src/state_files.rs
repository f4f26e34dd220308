//! Files by which others can see that the manager lives and what it thinks.
//!
//! Purpose: `heartbeat` and `state.json`.
//! Invariants: each is replaced as a whole; the heartbeat is the only thing that happens when
//! nothing happens.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use eud_sys::durable::{self, Depth};
use tokio::sync::Notify;

use crate::HEARTBEAT_MS;
use crate::clock;
use crate::handle::Handle;
use crate::problems::{Problems, Subject};

/// Changes within this time are written to `state.json` together.
const GATHER: Duration = Duration::from_millis(200);

/// Beats for ever.
pub(crate) async fn beat(handle: Handle, started_mono_ms: u64) {
    let path = handle.info().layout.heartbeat();
    loop {
        let now = clock::now();
        let beat = serde_json::json!({
            "pid": handle.info().pid,
            "timestamp": clock::rfc3339(now.wall_ms),
            "uptime_seconds": now.mono_ms.saturating_sub(started_mono_ms) / 1_000,
        });
        let written = durable::write(&path, format!("{beat}\n").as_bytes(), Depth::Kernel);
        report(&handle.problems, &path, written);
        // What a start or a storm needed for a moment is not kept for months.
        eud_sys::heap::give_back();
        tokio::time::sleep(Duration::from_millis(HEARTBEAT_MS)).await;
    }
}

/// Writes `state.json` at each change, for ever.
pub(crate) async fn publish(handle: Handle, changed: Arc<Notify>) {
    let path = handle.info().layout.state_json();
    loop {
        if let Ok(status) = handle.status().await {
            let written = serde_json::to_vec_pretty(&status)
                .map_err(io::Error::other)
                .and_then(|bytes| durable::write(&path, &bytes, Depth::Kernel));
            report(&handle.problems, &path, written);
        }
        changed.notified().await;
        tokio::time::sleep(GATHER).await;
    }
}

fn report(problems: &Problems, path: &Path, written: io::Result<()>) {
    match written {
        Ok(()) => {
            problems.clear(Subject::Files);
        }
        Err(e) => {
            problems.set(
                Subject::Files,
                format!("cannot write {}: {e}", path.display()),
            );
        }
    }
}
