//! `eud-keeper`: the parent of one run's command. All of it is in the crate `eud-keeper`.
//!
//! It begins without the standard library's start-up, which reads `/proc/self/maps` and allocates
//! to be able to report stack overflows: that costs each daemon some 16 kB and a tenth of a
//! millisecond at each start.
#![no_main]

/// Called by the C library.
#[expect(
    unsafe_code,
    reason = "the name `main` is the C library's; this binary defines it once"
)]
#[unsafe(no_mangle)]
pub extern "C" fn main() -> i32 {
    eud_keeper::main()
}
