//! What a gauge's values say: which level, and for how long nothing moved.
//!
//! Pure. A limit begins `at` and ends beyond `clear`; in between the level stays what it was, so
//! that a value at the edge does not flutter. After a time in which the value was not known there
//! is no "was": the level begins anew from the value.
//!
//! *Still* is counted between samples that follow each other. Time in which nobody looked (the
//! value was unknown, the machine slept, no manager ran) counts for nothing: a queue that could not
//! be drained while the machine slept is not stuck.
//!
//! Invariants: a value that is not known is never over, nor ok; exactly one level at a time.
//! Deliberately absent: timers, names, effects; `gauge` and `gate` have them.

use crate::fleet::{Gauge, Level, Limit, Value};
use crate::words;

/// What is remembered of a gauge's values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meter {
    /// The last value that was known.
    pub(crate) last: Option<Value>,
    /// Monotonic time of the last sample; `None` while the value is unknown.
    seen_mono: Option<u64>,
    /// How long `last` has not changed, as far as anybody looked.
    still_ms: u64,
    /// A change was seen.
    moved: bool,
    warn: bool,
    over: bool,
    under: bool,
}

impl Meter {
    /// The value, while it is known.
    pub(crate) fn value(&self) -> Option<Value> {
        self.last.filter(|_| self.seen_mono.is_some())
    }

    /// Takes note of a value. Says whether it is another than the last one known.
    pub(crate) fn take(&mut self, gauge: &Gauge, value: Value, mono_ms: u64) -> bool {
        let changed = self.last.is_some_and(|last| last != value);
        let looked = self.seen_mono.map(|seen| mono_ms.saturating_sub(seen));
        match looked {
            _ if changed => self.still_ms = 0,
            Some(elapsed) => {
                let between = gauge.every_ms.saturating_mul(2) + gauge.timeout_ms;
                self.still_ms = self.still_ms.saturating_add(elapsed.min(between));
            }
            None => {}
        }
        if looked.is_none() {
            self.forget_limits();
        }
        self.moved |= changed;
        self.last = Some(value);
        self.seen_mono = Some(mono_ms);
        latch(&mut self.warn, gauge.warn, |limit| value.0 - limit.0);
        latch(&mut self.over, gauge.over, |limit| value.0 - limit.0);
        latch(&mut self.under, gauge.under, |limit| limit.0 - value.0);
        changed
    }

    /// Takes note that the value is not known.
    pub(crate) fn doubt(&mut self) {
        self.seen_mono = None;
    }

    /// The limits are others than before: each begins anew from the value.
    pub(crate) fn reload(&mut self, gauge: &Gauge) {
        self.forget_limits();
        if let (Some(value), Some(seen)) = (self.value(), self.seen_mono) {
            self.take(gauge, value, seen);
        }
    }

    fn forget_limits(&mut self) {
        (self.warn, self.over, self.under) = (false, false, false);
    }

    /// The level as of the last sample.
    pub(crate) fn level(&self, gauge: &Gauge) -> Level {
        let Some(value) = self.value() else {
            return Level::Unknown;
        };
        let is_frozen = |limit: u64| value.0 > 0.0 && self.still_ms >= limit;
        choose(
            self.over,
            gauge.frozen_ms.is_some_and(is_frozen),
            self.under,
            self.warn,
        )
    }

    /// The level it would be, had every limit been broken before: what may still keep a gate closed
    /// that was closed when the value became unknown, or under an earlier manager.
    pub(crate) fn lingering(&self, gauge: &Gauge) -> Level {
        let Some(value) = self.value() else {
            return Level::Unknown;
        };
        let above = |limit: Option<Limit>| limit.is_some_and(|l| value.0 >= l.clear.0);
        let below = |limit: Option<Limit>| limit.is_some_and(|l| value.0 <= l.clear.0);
        let is_frozen = gauge.frozen_ms.is_some() && value.0 > 0.0 && !self.moved;
        choose(
            above(gauge.over),
            is_frozen,
            below(gauge.under),
            above(gauge.warn),
        )
    }

    /// Why it is at its level, in words; `None`: there is nothing to say.
    pub(crate) fn why(&self, gauge: &Gauge) -> Option<String> {
        let value = self.value()?;
        match self.level(gauge) {
            Level::Unknown | Level::Ok => None,
            Level::Frozen => Some(format!(
                "{value}, unchanged for {}",
                words::duration(self.still_ms)
            )),
            Level::Over => gauge.over.map(|limit| above(value, limit)),
            Level::Warn => gauge.warn.map(|limit| above(value, limit)),
            Level::Under => gauge.under.map(|limit| {
                if value.0 <= limit.at.0 {
                    format!("{value}, at or below {}", limit.at)
                } else {
                    format!("{value}, not yet above {}", limit.clear)
                }
            }),
        }
    }
}

fn above(value: Value, limit: Limit) -> String {
    if value.0 >= limit.at.0 {
        format!("{value}, at or above {}", limit.at)
    } else {
        format!("{value}, not yet below {}", limit.clear)
    }
}

/// `beyond` says how far the value is past a threshold, in the limit's direction.
fn latch(is_on: &mut bool, limit: Option<Limit>, beyond: impl Fn(Value) -> f64) {
    *is_on = limit.is_some_and(|limit| {
        let begins = beyond(limit.at) >= 0.0;
        let lasts = *is_on && beyond(limit.clear) >= 0.0;
        begins || lasts
    });
}

fn choose(over: bool, frozen: bool, under: bool, warn: bool) -> Level {
    match (over, frozen, under, warn) {
        (true, ..) => Level::Over,
        (_, true, ..) => Level::Frozen,
        (_, _, true, _) => Level::Under,
        (.., true) => Level::Warn,
        _ => Level::Ok,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::{Machine, Origin, Source};

    fn limit(at: f64, clear: f64) -> Option<Limit> {
        Some(Limit {
            at: Value(at),
            clear: Value(clear),
        })
    }

    fn gauge() -> Gauge {
        Gauge {
            name: "depth".into(),
            description: None,
            source: Source::Machine(Machine::Load),
            every_ms: 30_000,
            timeout_ms: 5_000,
            warn: limit(80.0, 70.0),
            over: limit(100.0, 90.0),
            under: limit(5.0, 8.0),
            frozen_ms: Some(100_000),
            origin: Origin::default(),
        }
    }

    /// Levels of values that are 30 s apart; `None`: not known.
    fn levels(values: &[Option<f64>]) -> Vec<Level> {
        let (gauge, mut meter, mut at) = (gauge(), Meter::default(), 0);
        let mut step = |value: &Option<f64>| {
            at += 30_000;
            match value {
                Some(value) => {
                    meter.take(&gauge, Value(*value), at);
                }
                None => meter.doubt(),
            }
            meter.level(&gauge)
        };
        values.iter().map(&mut step).collect()
    }

    #[test]
    fn a_level_begins_at_one_threshold_and_ends_beyond_the_other() {
        use Level::{Ok, Over, Under, Warn};
        let values = [
            50.0, 80.0, 70.0, 69.9, 79.9, 100.0, 95.0, 90.0, 89.9, 69.0, 5.0, 8.0, 8.1,
        ];
        let expected = [
            Ok, Warn, Warn, Ok, Ok, Over, Over, Over, Warn, Ok, Under, Under, Ok,
        ];
        assert_eq!(levels(&values.map(Some)), expected);
    }

    #[test]
    fn after_the_unknown_a_level_begins_anew() {
        use Level::{Over, Unknown, Warn};
        let values = [Some(100.0), Some(95.0), None, Some(95.0), Some(101.0)];
        assert_eq!(levels(&values), [Over, Over, Unknown, Warn, Over]);
    }

    #[test]
    fn what_does_not_move_freezes_and_a_moment_unknown_does_not_hide_it() {
        use Level::{Frozen, Ok, Unknown};
        let mut values = [Some(50.0); 7];
        values[3] = None;
        // 60 s until the gap, then 60 s more after it: the gap itself counts for nothing.
        assert_eq!(
            levels(&values),
            [Ok, Ok, Ok, Unknown, Ok, Ok, Frozen],
            "{values:?}"
        );
        assert_eq!(levels(&[Some(0.0); 7])[6], Level::Under, "zero is at rest");
        values[5] = Some(51.0);
        assert_eq!(levels(&values)[6], Ok);
    }

    #[test]
    fn a_machine_that_slept_is_not_frozen() {
        let (gauge, mut meter) = (gauge(), Meter::default());
        meter.take(&gauge, Value(50.0), 0);
        meter.take(&gauge, Value(50.0), 28_800_000);
        assert_eq!(meter.level(&gauge), Level::Ok);
    }

    #[test]
    fn reasons_tell_value_and_threshold() {
        let (gauge, mut meter) = (gauge(), Meter::default());
        let mut why = |value| {
            meter.take(&gauge, Value(value), 0);
            meter.why(&gauge).unwrap_or_default()
        };
        assert_eq!(why(512.5), "512.5, at or above 100");
        assert_eq!(why(95.0), "95, not yet below 90");
        assert_eq!(why(75.0), "75, not yet below 70");
        assert_eq!(why(3.0), "3, at or below 5");
        assert_eq!(why(6.0), "6, not yet above 8");
        assert_eq!(why(30.0), "");
    }
}
