//! What a command did, and what it did not.
//!
//! Purpose: a line for each unit that says what happened, not what was asked; reasons, last log
//! lines and the next command for what went wrong.

use eud_core::fleet::Kind;
use eud_core::io::Accepted;
use eud_core::view::{DaemonView, State};
use jiff::Timestamp;

use super::Screen;
use super::ink::{Ink, glyph_of, ink_of};
use super::layout::{cut_end, one_line};
use super::runs::short_run;
use super::status::exit_word;
use super::time::{self, parse};
use super::why::wrap;

/// What was asked of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    /// `up`, `start`, `release`
    Start,
    /// `restart`, `reload`
    Restart,
    /// `stop`
    Stop,
    /// `hold`
    Hold,
}

/// `restarted rag-drain (run 0192…, ready in 1.2 s)`
pub(crate) fn done(
    verb: Verb,
    daemon: &DaemonView,
    asked_at: Timestamp,
    screen: &Screen,
) -> String {
    let past = match verb {
        _ if daemon.state == State::Held => "held",
        Verb::Start => "started",
        Verb::Restart => "restarted",
        Verb::Stop | Verb::Hold => "stopped",
    };
    let mut parts = Vec::new();
    if let Some(run) = &daemon.run {
        parts.push(format!("run {}", short_run(run)));
    }
    let since = daemon.since.as_deref().and_then(parse);
    let took = since.map(|at| (at.as_millisecond() - asked_at.as_millisecond()) as f64 / 1000.0);
    let took = took
        .filter(|s| *s >= 0.0)
        .map(|s| format!(" in {}", time::took(s)));
    let took = took.unwrap_or_default();
    match daemon.state {
        State::Held => parts.extend(daemon.reason.as_deref().map(one_line)),
        State::Stopped if daemon.kind == Kind::Job => {
            parts.push("its times do not count until it is started".into());
        }
        State::Stopped | State::Waiting => match &daemon.last_exit {
            Some(exit) => {
                let word = exit_word(exit.reason, exit.code, exit.signal);
                parts.push(format!("exit {word}{took}"));
            }
            None => parts.push("was not running".into()),
        },
        state => parts.push(format!("{state}{took}")),
    }
    if daemon.state == State::Waiting && !daemon.blocked_on.is_empty() {
        parts.push(format!("waits for {}", daemon.blocked_on.join(", ")));
    }
    let text = format!("{past} {} ({})", daemon.name, parts.join(", "));
    let glyph = ink_of(daemon.state).paint(screen.color, &glyph_of(daemon.state).to_string());
    format!(
        "{glyph} {}\n",
        cut_end(&text, screen.width.saturating_sub(2))
    )
}

/// The reason, the last log lines and the next command of a unit that is not as asked.
pub(crate) fn failed(daemon: &DaemonView, log: &[String], screen: &Screen) -> String {
    let reason = daemon.reason.as_deref().map(one_line).unwrap_or_default();
    // The state says it already.
    let reason = reason.strip_prefix("not ready yet: ").unwrap_or(&reason);
    let colon = if reason.is_empty() { "" } else { ": " };
    let text = format!("{} {}{colon}{reason}", daemon.name, predicate(daemon.state));
    let ink = ink_of(daemon.state);
    let glyph = ink.paint(screen.color, &glyph_of(daemon.state).to_string());
    // The whole reason: this is the one place where it matters most.
    let text = if screen.height.is_some() {
        wrap(&text, screen.width.saturating_sub(4).max(20)).join("\n    ")
    } else {
        text
    };
    let mut out = format!("{glyph} {text}\n");
    for line in log {
        let line = cut_end(&one_line(line), screen.width.saturating_sub(6));
        out.push_str(&format!(
            "    {} {line}\n",
            Ink::Dim.paint(screen.color, "│")
        ));
    }
    let next = match daemon.state {
        State::Held => format!("eud release {}", daemon.name),
        State::Unknown => format!("eud show {}", daemon.name),
        _ => format!("eud why {}", daemon.name),
    };
    out.push_str(&format!(
        "    {} {next}\n",
        Ink::Dim.paint(screen.color, "next:")
    ));
    out
}

/// Names of units that are only not as asked because of others.
pub(crate) fn held_up(daemons: &[&DaemonView], screen: &Screen) -> String {
    if daemons.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = daemons.iter().map(|d| d.name.as_str()).collect();
    let glyph = ink_of(State::Waiting).paint(screen.color, "◔");
    let text = format!("held up by that: {}", names.join(", "));
    let mut out = String::new();
    for (at, line) in wrap(&text, screen.width.saturating_sub(4).max(20))
        .iter()
        .enumerate()
    {
        let lead = if at == 0 {
            format!("{glyph} ")
        } else {
            "    ".into()
        };
        out.push_str(&format!("{lead}{line}\n"));
    }
    out
}

/// What is said of a unit that is not as asked.
fn predicate(state: State) -> &'static str {
    match state {
        State::Failed => "failed",
        State::Backoff => "keeps failing",
        State::CoolDown => "failed too often",
        State::Degraded => "is degraded",
        State::Held => "is held",
        State::Unknown => "may or may not run",
        State::Waiting => "waits",
        State::Starting => "is still starting",
        State::Up => "is not ready",
        State::Stopping => "is still stopping",
        State::Stopped => "is stopped",
        State::Ready => "is ready",
        State::Running => "is at work",
        State::Scheduled => "waits for its next time",
        State::Overdue => "is overdue",
        State::Paused => "is paused",
        State::Done => "is done",
    }
}

/// What stays as it is, and what a person should know.
pub(crate) fn asides(accepted: &Accepted, screen: &Screen) -> String {
    let mut text = String::new();
    for (unit, why) in &accepted.unchanged {
        text.push_str(&format!(
            "{} {unit}: {why}\n",
            Ink::Dim.paint(screen.color, "·")
        ));
    }
    for warning in &accepted.warnings {
        text.push_str(&format!(
            "{} {warning}\n",
            Ink::Yellow.paint(screen.color, "warning:")
        ));
    }
    text
}

/// What a reload changes: which daemons are new, gone, or restart and because of which keys.
pub(crate) fn reloaded(accepted: &Accepted, screen: &Screen) -> String {
    let mut text = String::new();
    let mut line = |ink: Ink, sign: &str, words: String| {
        text.push_str(&format!("{} {words}\n", ink.paint(screen.color, sign)));
    };
    for unit in &accepted.added {
        line(Ink::Green, "+", format!("{unit} is new"));
    }
    for unit in &accepted.removed {
        line(Ink::Red, "-", format!("{unit} is no longer declared"));
    }
    for (unit, fields) in &accepted.restarted {
        line(
            Ink::Yellow,
            "~",
            format!("{unit} restarts: {} changed", listed(fields)),
        );
    }
    text
}

/// `a`, `a and b`, `a, b and c`
pub(crate) fn listed(words: &[String]) -> String {
    match words {
        [] => "nothing".into(),
        [one] => one.clone(),
        [head @ .., last] => format!("{} and {last}", head.join(", ")),
    }
}
