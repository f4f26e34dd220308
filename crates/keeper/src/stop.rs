//! How a run comes to its end: the decisions, without the deeds.
//!
//! The story. A run is *running* until one of three things happens: somebody asks it to stop, its
//! time is up, or its leader (the command itself) ends and leaves others behind. The first two
//! begin with the stop command, if it has one, which gets a grace of its own; when that fails or is
//! late, or if there is none, the stop signal goes to every process of the tree. The third begins
//! with the signal. From then on the tree has its *grace*. Whoever is left after it is *killed*,
//! again and again, until nothing is left. Asking twice changes nothing; asking to kill skips to
//! the last step.
//!
//! Invariants: the grace is never prolonged by a second request; the cause that came first is the
//! one that is recorded. Times are those of `CLOCK_BOOTTIME`, in milliseconds.
//! Deliberately absent: processes, signals, clocks.

use crate::record::Reason;

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Nothing.
    Nothing,
    /// Run the stop command.
    RunStopCommand,
    /// Send the stop signal to every process of the tree.
    SignalTree,
    /// Kill every process of the tree.
    KillTree,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Asked,
    TimedOut,
    LeaderEnded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    Command { until_ms: u64 },
    Grace { until_ms: u64 },
    Killing { again_ms: u64, pause_ms: u64 },
}

/// Longest pause between two rounds of killing, in milliseconds.
const KILL_PAUSE_MAX_MS: u64 = 1_000;

/// The end of a run, as far as it has come.
#[derive(Debug)]
pub(crate) struct Stopping {
    phase: Phase,
    cause: Option<Cause>,
    grace_ms: u64,
    has_command: bool,
    timeout_at_ms: Option<u64>,
}

impl Stopping {
    /// For a run that is about to start.
    pub(crate) fn new(grace_ms: u64, has_command: bool, timeout_at_ms: Option<u64>) -> Self {
        Self {
            phase: Phase::Running,
            cause: None,
            grace_ms,
            has_command,
            timeout_at_ms,
        }
    }

    /// Whether the end has begun.
    pub(crate) fn has_begun(&self) -> bool {
        self.phase != Phase::Running
    }

    /// Whether it has begun because the leader ended, and others were left.
    pub(crate) fn is_for_leftovers(&self) -> bool {
        self.cause == Some(Cause::LeaderEnded)
    }

    /// Whether it has come to killing.
    pub(crate) fn is_killing(&self) -> bool {
        matches!(self.phase, Phase::Killing { .. })
    }

    /// Somebody asks it to stop.
    pub(crate) fn asked(&mut self, now_ms: u64) -> Deed {
        self.begin(Cause::Asked, now_ms)
    }

    /// Somebody asks to kill it.
    pub(crate) fn kill_asked(&mut self, now_ms: u64) -> Deed {
        self.cause.get_or_insert(Cause::Asked);
        self.kill(now_ms)
    }

    /// The leader has ended, and others are left.
    pub(crate) fn leader_ended(&mut self, now_ms: u64) -> Deed {
        if self.has_begun() {
            return Deed::Nothing;
        }
        self.cause = Some(Cause::LeaderEnded);
        self.signal(now_ms)
    }

    /// The stop command has ended, well or not, or could not be run. Late news are ignored.
    pub(crate) fn command_ended(&mut self, well: bool, now_ms: u64) -> Deed {
        match self.phase {
            Phase::Command { .. } if well => {
                self.phase = Phase::Grace {
                    until_ms: now_ms.saturating_add(self.grace_ms),
                };
                Deed::Nothing
            }
            Phase::Command { .. } => self.signal(now_ms),
            _ => Deed::Nothing,
        }
    }

    /// Time has passed.
    pub(crate) fn due(&mut self, now_ms: u64) -> Deed {
        match self.phase {
            Phase::Running if self.timeout_at_ms.is_some_and(|at| at <= now_ms) => {
                self.begin(Cause::TimedOut, now_ms)
            }
            Phase::Command { until_ms } if until_ms <= now_ms => self.signal(now_ms),
            Phase::Grace { until_ms } if until_ms <= now_ms => self.kill(now_ms),
            Phase::Killing { again_ms, .. } if again_ms <= now_ms => self.kill(now_ms),
            _ => Deed::Nothing,
        }
    }

    /// When [`Stopping::due`] will have something to do.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        match self.phase {
            Phase::Running => self.timeout_at_ms,
            Phase::Command { until_ms } | Phase::Grace { until_ms } => Some(until_ms),
            Phase::Killing { again_ms, .. } => Some(again_ms),
        }
    }

    /// Why the run ended, now that nothing is left of it.
    pub(crate) fn reason(&self) -> Reason {
        match self.cause {
            None | Some(Cause::LeaderEnded) => Reason::Exited,
            Some(Cause::TimedOut) => Reason::Timeout,
            Some(Cause::Asked) if self.is_killing() => Reason::StopKilled,
            Some(Cause::Asked) => Reason::Stopped,
        }
    }

    fn begin(&mut self, cause: Cause, now_ms: u64) -> Deed {
        if self.has_begun() {
            return Deed::Nothing;
        }
        self.cause = Some(cause);
        if self.has_command {
            self.phase = Phase::Command {
                until_ms: now_ms.saturating_add(self.grace_ms),
            };
            return Deed::RunStopCommand;
        }
        self.signal(now_ms)
    }

    fn signal(&mut self, now_ms: u64) -> Deed {
        self.phase = Phase::Grace {
            until_ms: now_ms.saturating_add(self.grace_ms),
        };
        Deed::SignalTree
    }

    /// A process may be forked between looking and killing, and one in an uninterruptible wait dies
    /// late: so it is done again, at first soon, then at leisure.
    fn kill(&mut self, now_ms: u64) -> Deed {
        let pause_ms = match self.phase {
            Phase::Killing { pause_ms, .. } => (pause_ms * 2).min(KILL_PAUSE_MAX_MS),
            _ => 1,
        };
        self.phase = Phase::Killing {
            again_ms: now_ms.saturating_add(pause_ms),
            pause_ms,
        };
        Deed::KillTree
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asked_in_time() {
        let mut s = Stopping::new(100, false, None);
        assert_eq!((s.next_ms(), s.due(1_000_000)), (None, Deed::Nothing));
        assert_eq!(s.asked(10), Deed::SignalTree);
        assert_eq!(s.leader_ended(20), Deed::Nothing);
        assert_eq!((s.due(109), s.reason()), (Deed::Nothing, Reason::Stopped));
    }

    #[test]
    fn asking_again_prolongs_nothing() {
        let mut s = Stopping::new(100, false, Some(50));
        assert_eq!(s.asked(10), Deed::SignalTree);
        assert_eq!((s.asked(90), s.due(60)), (Deed::Nothing, Deed::Nothing));
        assert_eq!(s.next_ms(), Some(110));
        assert_eq!(
            (s.due(110), s.reason()),
            (Deed::KillTree, Reason::StopKilled)
        );
    }

    #[test]
    fn the_leader_ends_by_itself_and_others_stay() {
        let mut s = Stopping::new(100, true, None);
        assert_eq!(s.leader_ended(5), Deed::SignalTree);
        assert_eq!(s.asked(6), Deed::Nothing);
        assert_eq!((s.due(105), s.reason()), (Deed::KillTree, Reason::Exited));
    }

    #[test]
    fn time_is_up() {
        let mut s = Stopping::new(100, false, Some(50));
        assert_eq!(
            (s.next_ms(), s.due(49), s.due(50)),
            (Some(50), Deed::Nothing, Deed::SignalTree)
        );
        assert_eq!((s.due(150), s.reason()), (Deed::KillTree, Reason::Timeout));
    }

    #[test]
    fn the_stop_command_has_a_grace_of_its_own() {
        let mut s = Stopping::new(100, true, None);
        assert_eq!(s.asked(0), Deed::RunStopCommand);
        assert_eq!(s.command_ended(true, 99), Deed::Nothing);
        assert_eq!((s.due(198), s.due(199)), (Deed::Nothing, Deed::KillTree));
        assert_eq!(s.command_ended(false, 200), Deed::Nothing);
    }

    #[test]
    fn a_stop_command_that_fails_or_is_late_is_replaced_by_the_signal() {
        let mut s = Stopping::new(100, true, None);
        assert_eq!(
            (s.asked(0), s.command_ended(false, 7)),
            (Deed::RunStopCommand, Deed::SignalTree)
        );
        assert_eq!(s.next_ms(), Some(107));
        let mut s = Stopping::new(100, true, None);
        assert_eq!(
            (s.asked(0), s.due(100)),
            (Deed::RunStopCommand, Deed::SignalTree)
        );
        assert_eq!(s.next_ms(), Some(200));
    }

    #[test]
    fn killing_goes_on_with_growing_pauses() {
        let mut s = Stopping::new(100, false, None);
        assert_eq!(
            (s.kill_asked(0), s.reason()),
            (Deed::KillTree, Reason::StopKilled)
        );
        let mut now = 0;
        for _ in 0..20 {
            let next = s.next_ms().unwrap();
            assert!(next > now && next - now <= KILL_PAUSE_MAX_MS);
            assert_eq!(
                (s.due(next - 1), s.due(next)),
                (Deed::Nothing, Deed::KillTree)
            );
            now = next;
        }
        assert!(now > 5_000);
    }
}
