//! The times at which a job is due: which have come, and which comes next.
//!
//! Invariants: every time after the cursor and not after now is in exactly one answer of
//! [`Clocks::due`], or counted as missed in it; the work of one answer is bounded, however long
//! nobody looked; jitter depends on the job and the time alone, so that a new manager waits for
//! the same moment.
//! Deliberately absent: what follows from a time that has come.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::fleet::{Anchor, Job, Missed, When};
use crate::io::Now;
use crate::record::{Book, Trigger, WallMs};
use crate::schedule::Schedule;

/// A time that passed longer ago than this was missed.
pub(crate) const LATE_MS: i64 = 60_000;

/// Times are looked at one by one up to this many; of more, only the latest.
const LOOKED_AT_MAX: usize = 1_000;

/// A clock that was set back by more than this had been wrong before: its times count anew. After a
/// smaller step times do not come a second time.
const SET_BACK_MAX_MS: i64 = 3 * 3_600_000;

/// One way in which the clock makes a job due.
#[derive(Debug, Clone)]
enum Clock {
    Expression(Schedule),
    Every { every_ms: i64, from: Anchor },
    At(WallMs),
    AfterBoot(i64),
    AfterUp(i64),
}

/// All of a job's clocks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clocks {
    name: String,
    jitter_ms: i64,
    missed: Missed,
    clocks: Vec<Clock>,
}

/// What one look at the clock shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Due {
    /// Fires that come of it, oldest first.
    pub(crate) fires: Vec<(WallMs, Trigger)>,
    /// How many times were missed, and the last of them.
    pub(crate) missed: Option<(u32, WallMs)>,
}

/// When things began, as far as times depend on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Begun<'a> {
    /// The manager took over.
    pub(crate) manager_ms: WallMs,
    /// Identity of this boot of the machine.
    pub(crate) boot_id: &'a str,
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

impl Clocks {
    /// Expressions were accepted when the fleet file was read; one that is not any more (another
    /// version of the time zone database) never comes true.
    pub(crate) fn new(name: &str, job: &Job) -> Self {
        let zone = |name: &Option<String>| match name {
            Some(name) => TimeZone::get(name).unwrap_or(TimeZone::UTC),
            None => TimeZone::UTC,
        };
        let clock = |when: &When| match when {
            When::Cron { expr, zone: name } => {
                Schedule::cron(expr, zone(name)).ok().map(Clock::Expression)
            }
            When::Calendar { expr, zone: name } => Schedule::calendar(expr, zone(name))
                .ok()
                .map(Clock::Expression),
            When::Every { every_ms, from } => Some(Clock::Every {
                every_ms: signed(*every_ms).max(1),
                from: *from,
            }),
            When::At { at_ms } => Some(Clock::At(*at_ms)),
            When::AfterBoot { delay_ms } => Some(Clock::AfterBoot(signed(*delay_ms))),
            When::AfterUp { delay_ms } => Some(Clock::AfterUp(signed(*delay_ms))),
        };
        Self {
            name: name.to_owned(),
            jitter_ms: signed(job.jitter_ms),
            missed: job.missed,
            clocks: job.schedules.iter().filter_map(clock).collect(),
        }
    }

    /// Whether it runs once for each time that it is brought up, and needs to have.
    pub(crate) fn runs_at_up(&self) -> bool {
        self.clocks
            .iter()
            .any(|clock| matches!(clock, Clock::AfterUp(_)))
    }

    /// Whether an interval begins with the end of a run.
    pub(crate) fn counts_from_end(&self) -> bool {
        let ends = |clock: &Clock| {
            matches!(
                clock,
                Clock::Every {
                    from: Anchor::End,
                    ..
                }
            )
        };
        self.clocks.iter().any(ends)
    }

    /// Times that have come since the cursor; moves the cursor.
    pub(crate) fn due(&self, book: &mut Book, begun: Begun<'_>, now: Now) -> Due {
        self.mind_steps(book, now.wall_ms);
        let mut due = self.due_once(book, begun, now);
        let times = self.passed(book, now.wall_ms);
        let Some(last) = times.last().copied() else {
            return due;
        };
        book.cursor_ms = Some(last);
        let is_late = now.wall_ms.saturating_sub(last + self.jitter(last)) > LATE_MS;
        let missed = if is_late {
            times.len()
        } else {
            times.len() - 1
        };
        if let Some(last_missed) = missed.checked_sub(1).and_then(|n| times.get(n)) {
            let count = u32::try_from(missed).unwrap_or(u32::MAX);
            due.missed = Some((count, *last_missed));
        }
        let mut made_up: &[WallMs] = times.get(..missed).unwrap_or_default();
        match self.missed {
            Missed::Skip => made_up = &[],
            // What comes in time makes up for what did not.
            Missed::RunOnce if !is_late => made_up = &[],
            Missed::RunOnce => {
                made_up = made_up.get(missed.saturating_sub(1)..).unwrap_or_default()
            }
            Missed::RunAll { max } => {
                let first = missed.saturating_sub(max as usize);
                made_up = made_up.get(first..).unwrap_or_default();
            }
        }
        due.fires
            .extend(made_up.iter().map(|t| (*t, Trigger::Missed)));
        if !is_late {
            due.fires.push((last, Trigger::Schedule));
        }
        due
    }

    /// What comes once: after the boot, after it was brought up, after the end of the run before.
    fn due_once(&self, book: &mut Book, begun: Begun<'_>, now: Now) -> Due {
        let mut due = Due::default();
        let idle = book.pending.is_empty() && book.active.is_empty();
        for clock in &self.clocks {
            let Some(at) = self.next_of(clock, book, begun, now) else {
                continue;
            };
            if at > now.wall_ms {
                continue;
            }
            match clock {
                Clock::AfterBoot(_) => {
                    book.boot_id = Some(begun.boot_id.to_owned());
                    due.fires.push((at, Trigger::Start));
                }
                Clock::AfterUp(_) => {
                    book.up_fired = true;
                    due.fires.push((at, Trigger::Start));
                }
                Clock::Every {
                    from: Anchor::End, ..
                } if idle => {
                    let is_late = now.wall_ms.saturating_sub(at) > LATE_MS;
                    if is_late {
                        due.missed = Some((1, at));
                    }
                    match self.missed {
                        // As if it had ended just now.
                        Missed::Skip if is_late => book.last_end_ms = Some(now.wall_ms),
                        _ if is_late => due.fires.push((at, Trigger::Missed)),
                        _ => due.fires.push((at, Trigger::Schedule)),
                    }
                }
                _ => {}
            }
        }
        due
    }

    /// Times in the future that should be past: the clock was set back.
    fn mind_steps(&self, book: &mut Book, now_ms: WallMs) {
        // What was a moment ago is now; how long ago it really was is not known.
        for at in [
            &mut book.armed_ms,
            &mut book.last_end_ms,
            &mut book.last_success_ms,
        ] {
            *at = at.map(|at| at.min(now_ms));
        }
        let Some(ahead) = book.cursor_ms.map(|c| c.saturating_sub(now_ms)) else {
            return;
        };
        let patience = |clock: &Clock| match clock {
            // What merely elapses need not be silent for hours.
            Clock::Every { every_ms, .. } => every_ms.saturating_add(LATE_MS),
            _ => SET_BACK_MAX_MS,
        };
        let most = self.clocks.iter().map(patience).max();
        if most.is_some_and(|most| ahead > most.min(SET_BACK_MAX_MS)) {
            book.cursor_ms = Some(now_ms);
        }
    }

    /// Times after the cursor that have come, oldest first; of very many only the latest.
    fn passed(&self, book: &Book, now_ms: WallMs) -> Vec<WallMs> {
        let Some(mut cursor) = book.cursor_ms else {
            return Vec::new();
        };
        let mut times = Vec::new();
        let mut jumped = false;
        let mut steps = 0;
        while let Some(next) = self.after(cursor, book) {
            steps += 1;
            if next.saturating_add(self.jitter(next)) > now_ms || steps > 8 * LOOKED_AT_MAX {
                break;
            }
            times.push(next);
            cursor = next;
            if times.len() < LOOKED_AT_MAX {
                continue;
            }
            if jumped {
                times.remove(0);
                continue;
            }
            // From here the average distance tells how far back the last ones begin.
            let first = times.first().copied().unwrap_or(next);
            let distance = (next - first) / signed(LOOKED_AT_MAX as u64) + 1;
            let back = distance.saturating_mul(signed(LOOKED_AT_MAX as u64) / 2);
            cursor = cursor.max(now_ms.saturating_sub(back));
            jumped = true;
        }
        times
    }

    /// The next time after another, of those that come again and again, or at a given time.
    fn after(&self, cursor: WallMs, book: &Book) -> Option<WallMs> {
        let next = |clock: &Clock| match clock {
            Clock::Expression(schedule) => {
                let after = Timestamp::from_millisecond(cursor).ok()?;
                Some(schedule.after(after)?.as_millisecond())
            }
            Clock::Every { every_ms, from } => {
                let origin = match from {
                    Anchor::Clock => 0,
                    Anchor::Start => book.armed_ms?,
                    Anchor::End => return None,
                };
                let passed = cursor.saturating_sub(origin).div_euclid(*every_ms);
                let steps = passed.checked_add(1)?;
                origin.checked_add(steps.checked_mul(*every_ms)?)
            }
            Clock::At(at) => Some(*at).filter(|at| *at > cursor),
            Clock::AfterBoot(_) | Clock::AfterUp(_) => None,
        };
        self.clocks.iter().filter_map(next).min()
    }

    fn next_of(&self, clock: &Clock, book: &Book, begun: Begun<'_>, now: Now) -> Option<WallMs> {
        let armed = book.armed_ms?;
        match clock {
            Clock::AfterBoot(delay) => {
                let is_over = book.boot_id.as_deref() == Some(begun.boot_id);
                if is_over || begun.boot_id.is_empty() {
                    return None;
                }
                let booted = now.wall_ms.saturating_sub(signed(now.mono_ms));
                Some(booted.saturating_add(*delay))
            }
            Clock::AfterUp(delay) => {
                let begin = armed.max(begun.manager_ms);
                (!book.up_fired).then(|| begin.saturating_add(*delay))
            }
            Clock::Every {
                every_ms,
                from: Anchor::End,
            } => {
                if !book.pending.is_empty() || !book.active.is_empty() {
                    return None;
                }
                let begin = book.last_end_ms.unwrap_or(armed).max(armed);
                Some(begin.saturating_add(*every_ms))
            }
            _ => None,
        }
    }

    /// The next time by the clock that is still to come, without jitter.
    pub(crate) fn next(&self, book: &Book, begun: Begun<'_>, now: Now) -> Option<WallMs> {
        let once = self
            .clocks
            .iter()
            .filter_map(|clock| self.next_of(clock, book, begun, now));
        let cursor = book.cursor_ms;
        once.chain(cursor.and_then(|cursor| self.after(cursor, book)))
            .min()
    }

    /// Times still to come, from `now` on, without jitter; at most `count`. Of what depends on the
    /// end of a run only the first.
    pub(super) fn coming(
        &self,
        book: &Book,
        begun: Begun<'_>,
        now: Now,
        count: usize,
    ) -> Vec<WallMs> {
        let once = self
            .clocks
            .iter()
            .filter_map(|clock| self.next_of(clock, book, begun, now));
        let mut times: Vec<WallMs> = once.map(|at| at.max(now.wall_ms)).collect();
        let mut cursor = now.wall_ms;
        for _ in 0..count {
            let Some(next) = self.after(cursor, book) else {
                break;
            };
            times.push(next);
            cursor = next;
        }
        times.sort_unstable();
        times.dedup();
        times.truncate(count);
        times
    }

    /// How much later than its time a fire comes.
    pub(crate) fn jitter(&self, at_ms: WallMs) -> i64 {
        if self.jitter_ms == 0 {
            return 0;
        }
        // FNV-1a, 64 bits: the same in every version of the program.
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        for byte in self.name.bytes().chain(at_ms.to_le_bytes()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        signed((hash >> 16) % self.jitter_ms.unsigned_abs().saturating_add(1))
    }

    /// When it should have succeeded, after a success or its begin; `None`: by no clock.
    pub(crate) fn expected(&self, base: WallMs, book: &Book) -> Option<(WallMs, i64)> {
        let ends = self.clocks.iter().find_map(|clock| match clock {
            Clock::Every {
                every_ms,
                from: Anchor::End,
            } => Some((base.saturating_add(*every_ms), *every_ms)),
            _ => None,
        });
        if ends.is_some() {
            return ends;
        }
        let first = self.after(base, book)?;
        let cadence = self.after(first, book).map_or(0, |second| second - first);
        Some((first.saturating_add(self.jitter_ms), cadence))
    }
}
