//! Deliberate defects, by which the simulator proves that it can see.
//!
//! Purpose: each is a mistake that real supervisors have made. Without the feature `planted` none
//! can be chosen and every test of one is the constant `false`.

/// A defect that can be planted in a [`crate::Core`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    /// An exit of an earlier generation ends the present run.
    StaleExit,
    /// A launch is asked for without an intent.
    IntentForgotten,
    /// A recovered manual stop counts as the profile's.
    ForgetManualStop,
    /// The back-off timer starts a daemon without asking whether it is still wanted.
    TimerIgnoresDesired,
    /// A recovered core counts generations from the start again.
    GenerationReused,
    /// A keeper that does not answer a stop is waited for, for ever.
    NoEscalation,
    /// A code nobody saw is recorded as 0.
    GuessedCode,
    /// A needed daemon counts as ready once it executes.
    NeedOnlyUp,
    /// A daemon is stopped before those that need it.
    StopOrderIgnored,
    /// A recovered back-off has no timer.
    BackoffStuck,
    /// A restart does not wait for the end of the run before.
    RestartOverlaps,
    /// Restarts are never too many.
    LimitIgnored,
    /// Units in state `unknown` are left out of the summary.
    SummaryForgets,
    /// A probe's answer for an earlier generation counts.
    StaleProbe,
    /// Fires that wait are not recorded.
    PendingForgotten,
    /// Times that were decided upon are not recorded.
    CursorForgotten,
    /// A fire whose run never started is over.
    FireLostWithKeeper,
    /// A gauge whose source gives an error is taken for zero.
    UnknownIsZero,
    /// A sample's answer counts whichever question it is to.
    StaleSample,
    /// A recovered gate is open.
    GateForgotten,
    /// Members of a gate are not looked at when it opens.
    OpeningUnseen,
    /// What cannot be measured mends a broken guard.
    UnknownMends,
    /// An event that is told was never recorded.
    EventNotStored,
    /// A recovered core counts events from the start again.
    SeqReused,
    /// A recovered core knows no duplicates.
    KnownForgotten,
    /// What can never be delivered is tried for ever.
    PoisonNeverDead,
    /// A recovered subscription begins with the events from then on.
    CursorSkips,
    /// Deliveries of the same key go on at the same time.
    OrderIgnored,
    /// Tasks that had begun are not recovered.
    TaskLostAtRecovery,
    /// Tasks of one key run at the same time.
    KeyIgnored,
    /// More tasks run than their pool allows.
    ConcurrencyIgnored,
    /// Tasks begin in the order in which they came.
    PriorityIgnored,
    /// Nobody looks at the tasks that wait for one that is over.
    WaitersForgotten,
    /// A task that was called off has succeeded if its command says so.
    CancelledSucceeds,
    /// A task whose run never started goes on as running.
    RunningWithoutRun,
    /// A task of which nobody knows how it ended is tried again, although it may not.
    AtMostOnceRetried,
    /// A recovered rule does not know for which keys it acted.
    CooldownForgotten,
    /// That an approval was decided is not recorded.
    ApprovalTwice,
    /// Rules act however deep an event is.
    DepthNotCut,
    /// A recovered channel knows no keys.
    SeenForgotten,
    /// Nobody is told of messages that are given up.
    GivenUpUntold,
}

impl Planted {
    /// Every one.
    pub const ALL: [Self; 41] = [
        Self::StaleExit,
        Self::IntentForgotten,
        Self::ForgetManualStop,
        Self::TimerIgnoresDesired,
        Self::GenerationReused,
        Self::NoEscalation,
        Self::GuessedCode,
        Self::NeedOnlyUp,
        Self::StopOrderIgnored,
        Self::BackoffStuck,
        Self::RestartOverlaps,
        Self::LimitIgnored,
        Self::SummaryForgets,
        Self::StaleProbe,
        Self::PendingForgotten,
        Self::CursorForgotten,
        Self::FireLostWithKeeper,
        Self::UnknownIsZero,
        Self::StaleSample,
        Self::GateForgotten,
        Self::OpeningUnseen,
        Self::UnknownMends,
        Self::EventNotStored,
        Self::SeqReused,
        Self::KnownForgotten,
        Self::PoisonNeverDead,
        Self::CursorSkips,
        Self::OrderIgnored,
        Self::TaskLostAtRecovery,
        Self::KeyIgnored,
        Self::ConcurrencyIgnored,
        Self::PriorityIgnored,
        Self::WaitersForgotten,
        Self::CancelledSucceeds,
        Self::RunningWithoutRun,
        Self::AtMostOnceRetried,
        Self::CooldownForgotten,
        Self::ApprovalTwice,
        Self::DepthNotCut,
        Self::SeenForgotten,
        Self::GivenUpUntold,
    ];
}
