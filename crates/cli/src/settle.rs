//! Waiting until what was asked for has happened, or cannot.
//!
//! Purpose: after a command was accepted, follow the units concerned until each is settled, showing
//! progress.
//! Invariants: notices are subscribed to before the command is given, so that nothing is missed;
//! the verdict on a unit comes from the status, never from a notice alone; the wait is bounded.
//! Deliberately absent: deciding anything for the manager.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::time::{Duration, Instant};

use eud_api::client::{Client, ClientError, Notice};
use eud_core::fleet::{Kind, daemon_of};
use eud_core::record::{Desired, RunId};
use eud_core::view::{DaemonView, State, Status, Transition};
use jiff::Timestamp;

use crate::context::{self, Context};
use crate::error::Error;
use crate::render::Screen;
use crate::render::ink::{glyph_of, ink_of};
use crate::render::layout::{cut_end, one_line};
use crate::render::time::parse;
use crate::render::tree::{self, Progress};

/// Progress is drawn again this often.
const REDRAW_EVERY: Duration = Duration::from_millis(100);
/// The status is asked for again at least this often, should a notice be lost.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// How long a unit without a readiness probe must be up to count, in milliseconds.
const LASTING_MS: i64 = 150;
/// The status is asked for this often while that is all that is waited for.
const LASTING_ASK_EVERY: Duration = Duration::from_millis(40);
/// Changes that come closer together than this are one burst.
const BURST: Duration = Duration::from_millis(2);
/// Between two questions for the status, so many times what the first one took passes.
const REST_FACTOR: u32 = 4;
/// Nothing is drawn before this, so that what is quick does not flicker.
const DRAW_AFTER: Duration = Duration::from_millis(150);
/// A next try further away than this is not waited for, in seconds.
const PATIENCE_S: f64 = 3.0;
/// After so many restarts since the command a unit is not about to become ready by itself.
const RESTARTS_MAX: u64 = 2;

/// What the units shall become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    /// Serving, or done.
    Running,
    /// Without a process.
    Down,
    /// A job's fire has come to its end, and well.
    Succeeded,
}

/// Whether a unit is what it shall become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is.
    Good,
    /// It will not be without help.
    Bad,
    /// It may still become so.
    Open,
}

/// The end of a wait.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The units concerned, as they are now.
    pub(crate) daemons: Vec<DaemonView>,
    /// Verdict on each, by name.
    pub(crate) verdicts: BTreeMap<String, Verdict>,
    /// The manager ended meanwhile.
    pub(crate) manager_gone: bool,
}

impl Outcome {
    /// Units with this verdict, in order.
    pub(crate) fn with(&self, verdict: Verdict) -> impl Iterator<Item = &DaemonView> {
        self.daemons
            .iter()
            .filter(move |d| self.verdicts.get(&d.name) == Some(&verdict))
    }
}

/// What was before the command.
#[derive(Debug, Default)]
pub(crate) struct Before {
    restarts: BTreeMap<String, u64>,
    /// The last run that had ended.
    ended: BTreeMap<String, RunId>,
    /// The last success of a job.
    succeeded: BTreeMap<String, String>,
}

impl Before {
    /// Remembers.
    pub(crate) fn of(status: &Status) -> Self {
        let restarts = status
            .daemons
            .iter()
            .map(|d| (d.name.clone(), d.restarts))
            .collect();
        let ended = status.daemons.iter().filter_map(|d| {
            let exit = d.last_exit.as_ref()?;
            Some((d.name.clone(), exit.run.clone()))
        });
        let succeeded = status.daemons.iter().filter_map(|d| {
            let at = d.job.as_ref()?.last_success_at.clone()?;
            Some((d.name.clone(), at))
        });
        Self {
            restarts,
            ended: ended.collect(),
            succeeded: succeeded.collect(),
        }
    }
}

/// Judges one unit. `now` decides whether a next try is near.
pub(crate) fn judge(
    goal: Goal,
    daemon: &DaemonView,
    all: &BTreeMap<&str, &DaemonView>,
    before: &Before,
    now: Timestamp,
) -> Verdict {
    match goal {
        Goal::Down => match daemon.state {
            State::Unknown => Verdict::Bad,
            // What needed it is wanted still, and so waits; it has no process either.
            state if !state.may_be_alive() => Verdict::Good,
            _ => Verdict::Open,
        },
        Goal::Running => running(daemon, all, before, now, &mut BTreeSet::new()),
        Goal::Succeeded => succeeded(daemon, all, before),
    }
}

/// A fire is over when none of the job's lanes is at work and none waits.
fn succeeded(daemon: &DaemonView, all: &BTreeMap<&str, &DaemonView>, before: &Before) -> Verdict {
    let Some(job) = &daemon.job else {
        return Verdict::Bad;
    };
    let own = daemon_of(&daemon.name);
    let is_busy = |lane: &DaemonView| {
        lane.state.may_be_alive() || matches!(lane.state, State::Waiting | State::Backoff)
    };
    let mut lanes = all.values().filter(|lane| daemon_of(&lane.name) == own);
    if job.pending > 0 || lanes.any(|lane| is_busy(lane)) {
        return Verdict::Open;
    }
    let well = job.last_success_at.as_ref() != before.succeeded.get(&daemon.name);
    if well && job.failures == 0 {
        Verdict::Good
    } else {
        Verdict::Bad
    }
}

fn running<'a>(
    daemon: &'a DaemonView,
    all: &BTreeMap<&str, &'a DaemonView>,
    before: &Before,
    now: Timestamp,
    seen: &mut BTreeSet<&'a str>,
) -> Verdict {
    match daemon.state {
        // A job that is armed has done all that was asked for; so has what a gate keeps waiting.
        State::Running | State::Scheduled | State::Overdue | State::Paused => Verdict::Good,
        State::Ready | State::Done => Verdict::Good,
        State::Up if daemon.ready.is_none() && has_lasted(daemon, now) => Verdict::Good,
        State::Up | State::Starting | State::Stopping => Verdict::Open,
        // What failed before is armed again.
        State::Failed if daemon.kind == Kind::Job && has_not_run(daemon, before) => Verdict::Good,
        State::Failed | State::CoolDown | State::Held | State::Unknown | State::Degraded => {
            Verdict::Bad
        }
        // Wanted, and so about to be started.
        State::Stopped if daemon.desired == Desired::Up => Verdict::Open,
        State::Stopped => Verdict::Bad,
        State::Backoff => {
            let restarts = before.restarts.get(&daemon.name).copied().unwrap_or(0);
            let wait = daemon
                .next_try_at
                .as_deref()
                .and_then(parse)
                .map_or(0.0, |at| {
                    (at.as_millisecond() - now.as_millisecond()) as f64 / 1000.0
                });
            let hopeless = daemon.restarts.saturating_sub(restarts) > RESTARTS_MAX;
            if hopeless || wait > PATIENCE_S {
                Verdict::Bad
            } else {
                Verdict::Open
            }
        }
        State::Waiting => {
            if !seen.insert(&daemon.name) {
                return Verdict::Open;
            }
            // What it merely wants or comes after does not keep it down for ever; what it needs
            // does.
            let needs = daemon
                .reason
                .as_deref()
                .is_some_and(|r| r.starts_with("needs"));
            let lost = daemon
                .blocked_on
                .iter()
                .filter_map(|on| all.get(on.as_str()))
                .any(|on| running(on, all, before, now, seen) == Verdict::Bad);
            if needs && lost {
                Verdict::Bad
            } else {
                Verdict::Open
            }
        }
    }
}

fn has_not_run(daemon: &DaemonView, before: &Before) -> bool {
    let ended = daemon.last_exit.as_ref().map(|exit| &exit.run);
    ended == before.ended.get(&daemon.name)
}

/// Without a probe, the only proof is not to have ended at once.
fn has_lasted(daemon: &DaemonView, now: Timestamp) -> bool {
    let since = daemon.since.as_deref().and_then(parse);
    since.is_none_or(|at| now.as_millisecond() - at.as_millisecond() >= LASTING_MS)
}

/// A wait that has begun before the command is given.
pub(crate) struct Wait<'a> {
    context: &'a Context,
    notices: Client,
    started: Instant,
    rest_until: Instant,
    drawn_at: Option<Instant>,
    screen: Screen,
    drawn: Live,
}

impl<'a> Wait<'a> {
    /// Subscribes.
    ///
    /// # Errors
    /// As the client's.
    pub(crate) fn begin(context: &'a Context) -> Result<Self, Error> {
        let mut notices = context.client()?;
        notices.subscribe()?;
        let (started, screen) = (Instant::now(), context.screen());
        let drawn = Live::default();
        Ok(Self {
            context,
            notices,
            started,
            rest_until: started,
            drawn_at: None,
            screen,
            drawn,
        })
    }

    /// Waits until every unit of `units` is settled, the limit is reached, or the manager has
    /// ended.
    ///
    /// # Errors
    /// As the client's, but for an end of the manager.
    pub(crate) fn until(
        mut self,
        client: &mut Client,
        units: &[String],
        goal: Goal,
        before: &Before,
        limit: Duration,
        title: &str,
    ) -> Result<Outcome, Error> {
        let deadline = self.started + limit;
        let mut outcome = Outcome {
            daemons: Vec::new(),
            verdicts: units.iter().map(|u| (u.clone(), Verdict::Open)).collect(),
            manager_gone: false,
        };
        loop {
            let asked = Instant::now();
            match context::status(client) {
                Ok(status) => take(&mut outcome, units, goal, before, &status),
                Err(Error::NoManager { .. }) => outcome.manager_gone = true,
                Err(error) => return Err(error),
            }
            let open = outcome.verdicts.values().any(|v| *v == Verdict::Open);
            if outcome.manager_gone || !open || Instant::now() >= deadline {
                self.drawn.clear();
                return Ok(outcome);
            }
            // Asking takes the manager's time, the more the larger the fleet: leave it most of it.
            self.rest_until = Instant::now() + asked.elapsed() * REST_FACTOR;
            if !self.pass_time(&outcome, goal, deadline, title)? {
                outcome.manager_gone = true;
            }
        }
    }

    /// Shows progress until something has happened. False: the manager has ended.
    fn pass_time(
        &mut self,
        outcome: &Outcome,
        goal: Goal,
        deadline: Instant,
        title: &str,
    ) -> Result<bool, Error> {
        let mut open = outcome.with(Verdict::Open);
        let lasting =
            goal == Goal::Running && open.any(|d| d.state == State::Up && d.ready.is_none());
        let every = if lasting {
            LASTING_ASK_EVERY
        } else {
            ASK_EVERY
        };
        let ask_at = (Instant::now() + every).max(self.rest_until).min(deadline);
        let mut changed = false;
        loop {
            self.draw(outcome, goal, title);
            let left = ask_at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(true);
            }
            // Changes come in bursts: once one is there, only a moment is waited for more.
            let rest = self.rest_until.saturating_duration_since(Instant::now());
            let moment = if changed {
                rest.max(BURST)
            } else {
                REDRAW_EVERY
            };
            match self.notices.notice(moment.min(left)) {
                Ok(Notice::Transition(transition)) => {
                    if outcome.verdicts.contains_key(&transition.unit) {
                        changed = true;
                        self.tell(&transition)?;
                    }
                }
                Ok(Notice::Quiet) if changed => return Ok(true),
                Ok(Notice::Quiet | Notice::Event(_)) => {}
                Ok(Notice::Lagged) | Err(ClientError::Closed { .. }) => {
                    // Too slow a reader is cut off: begin again. If the manager has ended, that
                    // fails.
                    return match self.context.client().and_then(|mut c| {
                        c.subscribe()?;
                        self.notices = c;
                        Ok(())
                    }) {
                        Ok(()) => Ok(true),
                        Err(Error::NoManager { .. }) => Ok(false),
                        Err(error) => Err(error),
                    };
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn draw(&mut self, outcome: &Outcome, goal: Goal, title: &str) {
        let due = self.drawn_at.is_none_or(|at| at.elapsed() >= REDRAW_EVERY);
        if !due || !self.context.live() || self.started.elapsed() < DRAW_AFTER {
            return;
        }
        self.drawn_at = Some(Instant::now());
        let screen = self.context.screen();
        let settled = outcome.with(Verdict::Good).count();
        let progress = Progress {
            title,
            counted: match goal {
                Goal::Running => "ready",
                Goal::Down => "stopped",
                Goal::Succeeded => "done",
            },
            settled,
            total: outcome.verdicts.len(),
            open: outcome
                .daemons
                .iter()
                .filter(|d| {
                    outcome
                        .verdicts
                        .get(&d.name)
                        .is_some_and(|v| *v != Verdict::Good)
                })
                .collect(),
            elapsed_s: self.started.elapsed().as_secs_f64(),
        };
        let rows = screen.height.unwrap_or(24).saturating_sub(2).clamp(2, 30);
        self.drawn.draw(&tree::lines(&progress, &screen, rows));
    }

    /// Without a terminal to redraw, each change is a line.
    fn tell(&self, transition: &Transition) -> Result<(), Error> {
        if self.context.live() || self.context.common.json {
            return Ok(());
        }
        context::print(&transition_line(transition, &self.screen))
    }
}

/// `14:02:11 ● rag-drain  starting → ready`
pub(crate) fn transition_line(transition: &Transition, screen: &Screen) -> String {
    let at = Timestamp::from_millisecond(transition.at_ms).unwrap_or_default();
    let reason = transition
        .reason
        .as_deref()
        .map(one_line)
        .unwrap_or_default();
    let colon = if reason.is_empty() { "" } else { ": " };
    let text = format!(
        "{}  {} → {}{colon}{reason}",
        transition.unit, transition.from, transition.to
    );
    let glyph = ink_of(transition.to).paint(screen.color, &glyph_of(transition.to).to_string());
    let time = screen.clock.time_of_day(at);
    let room = screen.width.saturating_sub(time.len() + 3);
    format!("{time} {glyph} {}\n", cut_end(&text, room))
}

fn take(outcome: &mut Outcome, units: &[String], goal: Goal, before: &Before, status: &Status) {
    let all: BTreeMap<&str, &DaemonView> = status
        .daemons
        .iter()
        .map(|d| (d.name.as_str(), d))
        .collect();
    outcome.daemons = units
        .iter()
        .filter_map(|u| all.get(u.as_str()).copied().cloned())
        .collect();
    let now = Timestamp::now();
    for unit in units {
        let verdict = all.get(unit.as_str()).map_or(Verdict::Good, |daemon| {
            judge(goal, daemon, &all, before, now)
        });
        outcome.verdicts.insert(unit.clone(), verdict);
    }
}

/// An area at the end of the terminal that is drawn again and again.
#[derive(Debug, Default)]
pub(crate) struct Live {
    lines: usize,
}

impl Live {
    /// Replaces what was drawn.
    pub(crate) fn draw(&mut self, lines: &[String]) {
        let mut text = self.back();
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        self.lines = lines.len();
        write(&text);
    }

    /// Removes what was drawn.
    pub(crate) fn clear(&mut self) {
        let text = self.back();
        self.lines = 0;
        write(&text);
    }

    fn back(&self) -> String {
        match self.lines {
            0 => String::new(),
            n => format!("\x1b[{n}A\r\x1b[J"),
        }
    }
}

/// Progress that cannot be shown is not worth failing for.
fn write(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
