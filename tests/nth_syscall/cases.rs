//! Which calls are failed, and how.

use std::path::Path;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use eud_sys::fault::{Fault, Seen, Whom};

/// How long a program may take with a call that fails. It waits for nothing but that.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Of so many calls of the same name in a row, these at either end are tried.
const ROW_ENDS: usize = 3;

/// Whether everything is to be tried.
fn is_exhaustive() -> bool {
    std::env::var_os("EUD_FAULTS").is_some_and(|value| value == "all")
}

/// A folder where waiting for the disk costs nothing, where there is one.
pub(crate) fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

/// One call at a time, for each that was seen.
pub(crate) fn one_by_one(seen: &[Seen]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for whom in [Whom::Program, Whom::Children] {
        let calls: Vec<_> = seen.iter().filter(|call| call.whom == whom).collect();
        for (place, call) in calls.iter().enumerate() {
            if !is_exhaustive() && is_in_a_row(&calls, place) {
                continue;
            }
            let choices = if is_exhaustive() {
                0..call.errnos.len()
            } else {
                place..place + 1
            };
            faults.extend(choices.map(|choice| Fault::Once {
                whom,
                nth: place + 1,
                choice,
            }));
        }
    }
    faults
}

/// From each call on that may give this error, every one that may.
pub(crate) fn from_each_on(seen: &[Seen], errno: i32) -> Vec<Fault> {
    let calls: Vec<_> = seen
        .iter()
        .filter(|call| call.whom == Whom::Program)
        .collect();
    let able = (0..calls.len()).filter(|place| calls[*place].errnos.contains(&errno));
    let tried = able.filter(|place| is_exhaustive() || !is_in_a_row(&calls, *place));
    tried
        .map(|place| Fault::From {
            whom: Whom::Program,
            nth: place + 1,
            errno,
        })
        .collect()
}

/// At most so many of them, evenly, unless everything is to be tried.
pub(crate) fn thin(faults: Vec<Fault>, count_max: usize) -> Vec<Fault> {
    let step = if is_exhaustive() {
        1
    } else {
        faults.len().div_ceil(count_max).max(1)
    };
    faults.into_iter().step_by(step).collect()
}

/// Whether many calls of the same name, or of the same two names in turn, come before and after.
fn is_in_a_row(calls: &[&Seen], place: usize) -> bool {
    let name = |place: usize| calls.get(place).map(|call| call.name);
    let is_same = |other: Option<usize>| {
        other.is_some_and(|other| {
            name(other) == name(place) || name(other) == name(place.wrapping_add(1))
        })
    };
    (1..=2 * ROW_ENDS)
        .all(|step| is_same(place.checked_sub(step)) && is_same(place.checked_add(step)))
}

/// Waits for the end of a program. `None` when it does not come in time.
pub(crate) fn end_of(child: &mut Child) -> Option<ExitStatus> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        if begun.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}
