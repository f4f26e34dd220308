//! The allocator's habits.
//!
//! Purpose: a process that is meant to be small for months keeps few pages it does not use.
//! Deliberately absent: an allocator of our own. Where the C library is not glibc nothing is done.

/// Lets all threads share one heap (glibc's default is up to eight for each processor), so that
/// what one thread frees another can use. To be called before threads are started.
/// Source: mallopt(3), `M_ARENA_MAX`.
pub fn share_one() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt takes two numbers and touches nothing but the allocator's own parameters.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Gives pages that are free back to the system. Source: malloc_trim(3).
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: malloc_trim may be called at any time from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}
