//! The manager's own events: what each effect that tells something says.

use serde_json::{Value, json};

use super::Said;
use crate::fleet::{Level, task_of};
use crate::happened::{Happened, TaskStep, What};
use crate::io::{Effect, Now, Persist};
use crate::view::{State, Transition};

/// What an effect says, if it says something that others may want to know.
pub(super) fn of(told: &Effect, now: Now) -> Option<Said> {
    match told {
        // A task tells of its runs itself.
        Effect::Persist(Persist::RunIntent(row)) if task_of(&row.unit).is_some() => None,
        Effect::Persist(Persist::RunEnded { record, .. }) if task_of(&record.unit).is_some() => {
            None
        }
        Effect::Transition(transition) => of_transition(transition),
        // Tasks of handlers, rules' commands and channels tell nothing, or a handler of `task.*`
        // would never come to rest; what they do not achieve becomes a dead letter, or
        // `channel.failed`.
        Effect::Happened(Happened {
            what: What::Task { pool, .. },
            ..
        }) if is_hushed(pool) => None,
        Effect::Happened(happened) => {
            let (kind, subject) = kind_of(&happened.what);
            let mut data = serde_json::to_value(&happened.what).ok()?;
            if let Value::Object(fields) = &mut data {
                fields.remove("type");
                if matches!(happened.what, What::Task { .. }) {
                    fields.remove("step");
                }
            }
            Some(Said {
                depth: depth_of(&happened.what),
                kind,
                subject: Some(subject.to_owned()),
                time_ms: happened.at_ms,
                data,
            })
        }
        Effect::Persist(Persist::RunIntent(row)) => Some(Said {
            depth: 0,
            kind: "daemon.starting",
            subject: Some(row.unit.clone()),
            time_ms: now.wall_ms,
            data: json!({ "run": row.run, "generation": row.generation, "cause": row.cause }),
        }),
        Effect::Persist(Persist::RunEnded { record, class }) => Some(Said {
            depth: 0,
            kind: "daemon.exited",
            subject: Some(record.unit.clone()),
            time_ms: record.ended_at_ms,
            data: json!({
                "run": record.run,
                "generation": record.generation,
                "reason": record.reason,
                "code": record.code,
                "signal": record.signal,
                "message": record.message,
                "class": class,
            }),
        }),
        _ => None,
    }
}

/// Pools of handlers and channels.
fn is_hushed(pool: &str) -> bool {
    let outlets = [
        super::subscription::OUTLET,
        super::subscription::OF_RULE,
        crate::engine::channel::OUTLET,
    ];
    outlets.iter().any(|outlet| pool.starts_with(outlet))
}

fn of_transition(transition: &Transition) -> Option<Said> {
    let kind = match transition.to {
        State::Up | State::Running => "daemon.started",
        State::Ready => "daemon.ready",
        State::Degraded => "daemon.degraded",
        State::Backoff => "daemon.backing-off",
        State::CoolDown => "daemon.crash-looping",
        State::Held => "daemon.held",
        State::Failed => "daemon.failed",
        State::Done => "daemon.done",
        State::Stopped => "daemon.stopped",
        State::Paused => "daemon.paused",
        State::Unknown => "daemon.unknown",
        // These pass by themselves, or are told by the job.
        State::Waiting | State::Starting | State::Stopping | State::Scheduled | State::Overdue => {
            return None;
        }
    };
    Some(Said {
        depth: 0,
        kind,
        subject: Some(transition.unit.clone()),
        time_ms: transition.at_ms,
        data: json!({
            "from": transition.from,
            "reason": transition.reason,
            "run": transition.run,
        }),
    })
}

/// Type and subject.
fn kind_of(what: &What) -> (&'static str, &str) {
    match what {
        What::JobFired { job, .. } => ("job.fired", job),
        What::JobSkipped { job, .. } => ("job.skipped", job),
        What::JobMissed { job, .. } => ("job.missed", job),
        What::JobOverdue { job, .. } => ("job.overdue", job),
        What::JobEnded { job, .. } => ("job.ended", job),
        What::JobPaused { job, .. } => ("job.paused", job),
        What::GaugeLevel { gauge, to, .. } => (gauge_kind(*to), gauge),
        What::GateClosed { gate, .. } => ("gate.closed", gate),
        What::GateOpened { gate, .. } => ("gate.opened", gate),
        What::Guard { unit, broken, .. } if *broken => ("guard.broken", unit),
        What::Guard { unit, .. } => ("guard.kept", unit),
        What::Task { step, unit, .. } => (task_kind(*step), unit),
        What::PoolRests { pool, .. } => ("pool.rests", pool),
        What::PoolResumed { pool, .. } => ("pool.resumed", pool),
        What::Watching { daemon, problem } if problem.is_some() => ("watch.problem", daemon),
        What::Watching { daemon, .. } => ("watch.restored", daemon),
    }
}

fn depth_of(what: &What) -> u32 {
    match what {
        What::Task { depth, .. } | What::JobFired { depth, .. } | What::JobEnded { depth, .. } => {
            *depth
        }
        _ => 0,
    }
}

fn task_kind(step: TaskStep) -> &'static str {
    match step {
        TaskStep::Queued => "task.queued",
        TaskStep::Started => "task.started",
        TaskStep::Retrying => "task.retrying",
        TaskStep::Stalling => "task.stalling",
        TaskStep::Succeeded => "task.succeeded",
        TaskStep::Failed => "task.failed",
        TaskStep::TimedOut => "task.timed-out",
        TaskStep::Cancelled => "task.cancelled",
        TaskStep::Lost => "task.lost",
    }
}

fn gauge_kind(level: Level) -> &'static str {
    match level {
        Level::Unknown => "gauge.unknown",
        Level::Ok => "gauge.ok",
        Level::Warn => "gauge.warn",
        Level::Under => "gauge.under",
        Level::Frozen => "gauge.frozen",
        Level::Over => "gauge.over",
    }
}
