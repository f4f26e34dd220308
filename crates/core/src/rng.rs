//! Determined randomness, for jitter and run identities.
//!
//! Purpose: the shell gives one seed; everything else follows from it, so that a simulation can be
//! repeated.
//! Deliberately absent: any claim of unpredictability. Nothing here protects a secret.

use crate::record::{RunId, WallMs};

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `0..bound`; 0 when `bound` is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next() % bound }
    }

    /// A fresh UUIDv7 (RFC 9562 §5.7).
    pub(crate) fn run_id(&mut self, wall_ms: WallMs) -> RunId {
        let millis = u64::try_from(wall_ms).unwrap_or(0) & 0xFFFF_FFFF_FFFF;
        let (a, b) = (self.next() & 0x0FFF, self.next() & 0x3FFF_FFFF_FFFF_FFFF);
        let variant = 0x8000 | (b >> 48);
        format!(
            "{:08x}-{:04x}-7{a:03x}-{variant:04x}-{:012x}",
            millis >> 16,
            millis & 0xFFFF,
            b & 0xFFFF_FFFF_FFFF
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_ids_are_version_7_and_in_order_of_time() {
        let mut rng = Rng::new(1);
        let (a, b) = (rng.run_id(1_700_000_000_000), rng.run_id(1_700_000_000_001));
        assert!(a < b, "{a} {b}");
        for id in [a, b] {
            assert_eq!(id.len(), 36, "{id}");
            assert_eq!(&id[14..15], "7", "{id}");
            assert!("89ab".contains(&id[19..20]), "{id}");
        }
    }
}
