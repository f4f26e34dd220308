//! The keeper without the package that ships it: for this crate's tests and measurements. Without
//! the standard library's start-up, like the binary that is shipped.
#![no_main]

/// Called by the C library.
#[expect(
    unsafe_code,
    reason = "the name `main` is the C library's; this crate defines it once"
)]
#[unsafe(no_mangle)]
pub extern "C" fn main() -> i32 {
    eud_keeper::main()
}
