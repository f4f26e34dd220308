//! The time as the core wants it.

use eud_core::io::Now;
use eud_core::record::WallMs;

/// The time now.
pub(crate) fn now() -> Now {
    Now {
        mono_ms: eud_sys::clock::boot_ms(),
        wall_ms: eud_sys::clock::wall_ms(),
    }
}

/// RFC 3339 in UTC, with milliseconds.
pub(crate) fn rfc3339(at_ms: WallMs) -> String {
    match jiff::Timestamp::from_millisecond(at_ms) {
        Ok(at) => format!("{at:.3}"),
        Err(_) => "unknown".to_owned(),
    }
}
