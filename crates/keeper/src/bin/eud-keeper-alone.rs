//! The keeper without the package that ships it: for this crate's tests and measurements. Without
//! the standard library's start-up, like the binary that is shipped.
#![no_main]

use std::ffi::{c_char, c_int};

/// Called by the C library.
///
/// # Safety
/// With what that gives.
#[expect(
    unsafe_code,
    reason = "the name `main` is the C library's; this crate defines it once"
)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn main(count: c_int, words: *const *const c_char) -> c_int {
    // SAFETY: what the C library gives is passed on.
    let words = unsafe { eud_sys::process::words(count, words) };
    eud_keeper::main(&words)
}
