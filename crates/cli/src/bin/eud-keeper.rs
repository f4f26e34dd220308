//! `eud-keeper`: the parent of one run's command. All of it is in the crate `eud-keeper`.
//!
//! It begins without the standard library's start-up, which reads `/proc/self/maps` and allocates
//! to be able to report stack overflows: that costs each daemon some 16 kB and a tenth of a
//! millisecond at each start.
#![no_main]

use std::ffi::{c_char, c_int};

/// Called by the C library.
///
/// # Safety
/// With what that gives.
#[expect(
    unsafe_code,
    reason = "the name `main` is the C library's; this binary defines it once"
)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn main(count: c_int, words: *const *const c_char) -> c_int {
    // SAFETY: what the C library gives is passed on.
    let words = unsafe { eud_sys::process::words(count, words) };
    eud_keeper::main(&words)
}
