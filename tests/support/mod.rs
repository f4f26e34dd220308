//! What the tests share: waiting, and the three things they look at.

pub(crate) mod binaries;
pub(crate) mod diary;
pub(crate) mod fleet;
pub(crate) mod log;
pub(crate) mod processes;
pub(crate) mod wire;

use std::time::{Duration, Instant};

/// How long anything may take. Generous: the machine may be busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Looks until there is something.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "not in {} s: {what}",
            PATIENCE.as_secs()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Keeps tests that ask much of the machine apart, while it is held.
#[must_use]
pub(crate) fn alone() -> std::fs::File {
    let path = concat!(env!("CARGO_TARGET_TMPDIR"), "/alone.lock");
    let file = std::fs::File::create(path).unwrap();
    file.lock().unwrap();
    file
}

/// Milliseconds since the epoch of an RFC 3339 time in UTC.
#[track_caller]
pub(crate) fn epoch_ms(text: &str) -> u64 {
    let (date, time) = text
        .strip_suffix('Z')
        .and_then(|text| text.split_once('T'))
        .unwrap();
    let date: Vec<u64> = date.split('-').map(|part| part.parse().unwrap()).collect();
    let time: Vec<f64> = time.split(':').map(|part| part.parse().unwrap()).collect();
    // Days since 0000-03-01, so that a leap day is the last of its year.
    let (year, month) = if date[1] > 2 {
        (date[0], date[1] - 3)
    } else {
        (date[0] - 1, date[1] + 9)
    };
    let days =
        year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + date[2] - 1;
    let days = days - 719_468;
    days * 86_400_000 + (((time[0] * 60.0 + time[1]) * 60.0 + time[2]) * 1e3) as u64
}

/// A small reproducible generator (splitmix64), for choices that a seed is to decide.
#[derive(Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}
