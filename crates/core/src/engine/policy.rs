//! Restart policy: what an exit means, and when the next try is.
//!
//! Pure functions of a record, a policy and a ledger.

use crate::fleet::{LimitAction, Restart, RestartMode};
use crate::record::{EndReason, ExitClass, ExitRecord, Ledger, Settled, WallMs};
use crate::rng::Rng;

/// What follows an exit nobody asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Start again after this many milliseconds.
    Retry(u64),
    /// Too many restarts: wait this long.
    CoolDown(u64),
    /// Too many restarts: hold.
    Hold,
    /// Stay down.
    Settle(Settled),
}

/// Meaning of an exit that nobody asked for.
pub(crate) fn classify(record: &ExitRecord, policy: &Restart) -> ExitClass {
    match record.reason {
        EndReason::Exited => match record.code {
            Some(code) if policy.success_exits.contains(&code) => ExitClass::Success,
            Some(code) if policy.alarm_exits.contains(&code) => ExitClass::Alarm,
            _ => ExitClass::Failure,
        },
        EndReason::Stopped | EndReason::StopKilled | EndReason::NeverStarted => ExitClass::Stopped,
        EndReason::Timeout
        | EndReason::SpawnFailed
        | EndReason::KeeperLost
        | EndReason::RecordCorrupt => ExitClass::Failure,
    }
}

/// What follows. Counts the restart in the ledger when there is one.
pub(crate) fn after_exit(
    record: &ExitRecord,
    class: ExitClass,
    policy: &Restart,
    ledger: &mut Ledger,
    now_ms: WallMs,
    rng: &mut Rng,
) -> Next {
    // A start that never happened is not a restart: the crash was the manager's.
    if record.reason == EndReason::NeverStarted {
        return Next::Retry(0);
    }
    match (policy.mode, class) {
        (RestartMode::Never, ExitClass::Failure) => return Next::Settle(Settled::Failed),
        (RestartMode::Never, _)
        | (RestartMode::OnFailure, ExitClass::Success | ExitClass::Alarm) => {
            return Next::Settle(Settled::Done);
        }
        (RestartMode::OnFailure, ExitClass::Failure | ExitClass::Stopped)
        | (RestartMode::Always, _) => {}
    }
    // The times come from a file; nothing says that they are sensible.
    let lasted_ms = record.ended_at_ms.saturating_sub(record.started_at_ms);
    let lasted_ms = u64::try_from(lasted_ms).unwrap_or(0);
    if record.started_at_ms > 0 && lasted_ms >= policy.reset_ms {
        ledger.attempt = 0;
    }
    let window_ms = i64::try_from(policy.limit_window_ms).unwrap_or(i64::MAX);
    // Entries from the future were written before the clock was set back. How long ago that was is
    // not known; as of now, they count.
    for at in &mut ledger.recent_ms {
        *at = (*at).min(now_ms);
    }
    ledger
        .recent_ms
        .retain(|at| now_ms.saturating_sub(*at) < window_ms);
    if policy.limit > 0 && ledger.recent_ms.len() >= policy.limit as usize {
        ledger.recent_ms.clear();
        ledger.attempt = 0;
        return match policy.limit_action {
            LimitAction::CoolDown => Next::CoolDown(policy.cool_down_ms),
            LimitAction::Hold => Next::Hold,
        };
    }
    ledger.recent_ms.push(now_ms);
    let delay = delay_ms(policy, ledger.attempt, rng);
    ledger.attempt = ledger.attempt.saturating_add(1);
    Next::Retry(delay)
}

/// A delay that was multiplied so many times, capped.
pub(crate) fn grown(initial_ms: u64, factor_percent: u32, max_ms: u64, times: u32) -> u64 {
    let factor = u64::from(factor_percent.max(100));
    let mut delay = initial_ms;
    for _ in 0..times {
        let longer = delay.saturating_mul(factor) / 100;
        // One that does not grow never will, however many attempts there were.
        if longer >= max_ms || longer == delay {
            delay = longer;
            break;
        }
        delay = longer;
    }
    delay.min(max_ms)
}

/// Delay before restart number `attempt`: none for the first, then exponential, capped, with
/// jitter.
fn delay_ms(policy: &Restart, attempt: u32, rng: &mut Rng) -> u64 {
    if attempt == 0 {
        return 0;
    }
    let delay = grown(
        policy.backoff_initial_ms,
        policy.backoff_factor_percent,
        policy.backoff_max_ms,
        attempt - 1,
    );
    let spread = delay.saturating_mul(u64::from(policy.backoff_jitter_percent)) / 100;
    delay - spread + rng.below(2 * spread + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(reason: EndReason, code: Option<i32>, lasted_ms: i64) -> ExitRecord {
        ExitRecord {
            run: "r".into(),
            unit: "u".into(),
            generation: 1,
            reason,
            code,
            signal: None,
            core: false,
            message: None,
            pid: 1,
            started_at_ms: 1_000,
            ended_at_ms: 1_000 + lasted_ms,
            max_rss_kb: 0,
            cpu_user_us: 0,
            cpu_system_us: 0,
        }
    }

    #[test]
    fn exits_mean_what_the_policy_says() {
        let policy = Restart {
            alarm_exits: [2].into(),
            ..Restart::default()
        };
        for (reason, code, expected) in [
            (EndReason::Exited, Some(0), ExitClass::Success),
            (EndReason::Exited, Some(2), ExitClass::Alarm),
            (EndReason::Exited, Some(1), ExitClass::Failure),
            (EndReason::Exited, None, ExitClass::Failure),
            (EndReason::KeeperLost, None, ExitClass::Failure),
            (EndReason::Stopped, Some(0), ExitClass::Stopped),
            (EndReason::NeverStarted, None, ExitClass::Stopped),
        ] {
            assert_eq!(
                classify(&record(reason, code, 0), &policy),
                expected,
                "{reason:?} {code:?}"
            );
        }
    }

    #[test]
    fn the_first_restart_is_immediate_then_delays_double_up_to_the_cap() {
        let policy = Restart {
            backoff_jitter_percent: 0,
            limit: 0,
            ..Restart::default()
        };
        let (mut ledger, mut rng) = (Ledger::default(), Rng::new(1));
        let delays: Vec<Next> = (0..9)
            .map(|_| {
                let exit = record(EndReason::Exited, Some(1), 10);
                after_exit(&exit, ExitClass::Failure, &policy, &mut ledger, 0, &mut rng)
            })
            .collect();
        let expected = [0, 1, 2, 4, 8, 16, 32, 60, 60].map(|s| Next::Retry(s * 1000));
        assert_eq!(delays, expected);
        let healthy = record(EndReason::Exited, Some(1), 60_000);
        let next = after_exit(
            &healthy,
            ExitClass::Failure,
            &policy,
            &mut ledger,
            0,
            &mut rng,
        );
        assert_eq!(
            next,
            Next::Retry(0),
            "a healthy stretch starts the sequence anew"
        );
    }

    #[test]
    fn jitter_stays_within_its_percentage() {
        let policy = Restart {
            limit: 0,
            ..Restart::default()
        };
        let mut rng = Rng::new(7);
        for _ in 0..1000 {
            let delay = delay_ms(&policy, 1, &mut rng);
            assert!((900..=1100).contains(&delay), "{delay}");
        }
    }

    #[test]
    fn too_many_restarts_cool_down_also_when_the_clock_is_set_back() {
        let policy = Restart {
            limit: 2,
            ..Restart::default()
        };
        let (mut ledger, mut rng) = (Ledger::default(), Rng::new(1));
        let exit = record(EndReason::Exited, Some(1), 10);
        let mut next = |now: WallMs| {
            after_exit(
                &exit,
                ExitClass::Failure,
                &policy,
                &mut ledger,
                now,
                &mut rng,
            )
        };
        assert_eq!(next(1_000_000), Next::Retry(0));
        assert!(matches!(next(1_000_001), Next::Retry(_)));
        assert_eq!(next(1_000_002), Next::CoolDown(300_000));
        assert!(matches!(next(1_000_003), Next::Retry(_)));
        // The restart a moment ago is in the future now. It still counts.
        assert!(matches!(next(500), Next::Retry(_)));
        assert_eq!(next(501), Next::CoolDown(300_000));
    }
}
