//! The time as the core wants it, and when it is set.

use std::io;

use eud_core::io::{Input, Now};
use eud_core::record::WallMs;
use eud_sys::clock::SetWatch;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

/// The time now.
pub(crate) fn now() -> Now {
    Now {
        mono_ms: eud_sys::clock::boot_ms(),
        wall_ms: eud_sys::clock::wall_ms(),
    }
}

/// Tells the engine whenever the wall clock is set, for ever: times of schedules are by that clock.
///
/// # Errors
/// When the system does not tell of it.
#[expect(
    deprecated,
    reason = "the watch owns its descriptor for as long as it is registered"
)]
pub(crate) async fn watch_steps(inputs: mpsc::Sender<Input>) -> io::Result<()> {
    let watch = AsyncFd::new(SetWatch::new()?)?;
    loop {
        let mut set = watch.readable().await?;
        watch.get_ref().acknowledge()?;
        set.clear_ready();
        if inputs.send(Input::Tick).await.is_err() {
            return Ok(());
        }
    }
}

/// RFC 3339 in UTC, with milliseconds.
pub(crate) fn rfc3339(at_ms: WallMs) -> String {
    match jiff::Timestamp::from_millisecond(at_ms) {
        Ok(at) => format!("{at:.3}"),
        Err(_) => "unknown".to_owned(),
    }
}
