//! Memory that costs nothing until it is touched and can be handed back.

use std::ffi::c_void;
use std::io;
use std::ops::{Deref, DerefMut};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

/// A zeroed region of its own pages. Touched pages stay until [`Region::release`] or drop.
#[derive(Debug)]
pub struct Region {
    start: *mut c_void,
    len: usize,
}

impl Region {
    /// Bytes of a page. Only a hint for when a release is worth its while.
    pub const PAGE: usize = 4096;

    /// A region of `len` bytes, at least one.
    pub fn new(len: usize) -> io::Result<Self> {
        let len = len.max(1);
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a null hint lets the kernel choose, so no existing mapping is replaced.
        let start =
            unsafe { mmap_anonymous(std::ptr::null_mut(), len, protection, MapFlags::PRIVATE) }?;
        Ok(Self { start, len })
    }

    /// Gives the pages back to the kernel. The region then reads as zeroes.
    pub fn release(&mut self) {
        // SAFETY: the range is exactly our mapping, and `&mut self` says that nobody holds a
        // reference into it. That it fails is no harm: the pages are then merely kept.
        let _ = unsafe { madvise(self.start, self.len, Advice::LinuxDontNeed) };
    }
}

impl Deref for Region {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the mapping is `len` readable, initialised (zeroed) bytes, alive as long as
        // `self`.
        unsafe { std::slice::from_raw_parts(self.start.cast(), self.len) }
    }
}

impl DerefMut for Region {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and writable; `&mut self` makes it the only reference.
        unsafe { std::slice::from_raw_parts_mut(self.start.cast(), self.len) }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: exactly our mapping, of which no reference is left.
        let _ = unsafe { munmap(self.start, self.len) };
    }
}

/// Place of the first `byte` in `bytes`, by libc's vectorised search.
pub fn find_byte(bytes: &[u8], byte: u8) -> Option<usize> {
    // SAFETY: reads at most `len` bytes of a valid slice.
    let found = unsafe { libc::memchr(bytes.as_ptr().cast(), byte.into(), bytes.len()) };
    (!found.is_null()).then(|| found as usize - bytes.as_ptr() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_zeroed_at_first_and_after_release() {
        let mut region = Region::new(10_000).unwrap();
        assert!(region.iter().all(|b| *b == 0));
        region.fill(7);
        assert_eq!(region[9_999], 7);
        region.release();
        assert!(region.iter().all(|b| *b == 0));
    }

    #[test]
    fn finds_the_first_byte() {
        assert_eq!(find_byte(b"a\nb\n", b'\n'), Some(1));
        assert_eq!(find_byte(b"ab", b'\n'), None);
        assert_eq!(find_byte(b"", b'\n'), None);
    }
}
