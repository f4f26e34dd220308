//! Letting output gather before it is read.
//!
//! Purpose: few large reads instead of many small ones while a command talks fast.
//! Invariant: nothing waits that comes after a silence, or at the end.

use std::time::Duration;

use eud_sys::clock::boot_ns;

/// Output that comes again within this time is flowing, in nanoseconds.
const FLOW_NS: u64 = 1_000_000;
/// A flow is given this time to gather, in microseconds: less than the fastest writer needs to fill
/// a pipe.
const GATHER_US: u64 = 200;
/// A read of this many bytes has gathered enough.
const GATHERED_BYTES: usize = 16 * 1024;

/// How output comes.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    last_ns: u64,
    last_bytes: usize,
}

impl Flow {
    /// Lets output gather while it flows. Who writes line by line would otherwise wake us for each
    /// of them: with it, 30 MB take a thousand reads instead of twenty thousand.
    pub(crate) fn gather(&mut self) {
        let now_ns = boot_ns();
        let is_flowing = now_ns.saturating_sub(self.last_ns) < FLOW_NS;
        // After the end of one output the end of the other comes, and after that the command's.
        if is_flowing && (1..GATHERED_BYTES).contains(&self.last_bytes) {
            std::thread::sleep(Duration::from_micros(GATHER_US));
        }
        self.last_ns = boot_ns();
    }

    /// Takes note of what a read brought; 0 is the end.
    pub(crate) fn note(&mut self, bytes: usize) {
        self.last_bytes = bytes;
    }
}
