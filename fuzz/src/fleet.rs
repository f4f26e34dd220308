//! Fleet files.
//!
//! What is promised: any files give a fleet or errors, never both and never neither; diagnostics
//! lie within their files and can be shown on any terminal; a fleet that is accepted keeps the
//! promises of `eud_core::fleet`, reads the same again, survives the way to a client, and can be
//! run.
//!
//! An input is one file, or several: a line `#=== name` begins another one, which may be included.

use std::fs;
use std::path::Path;

use eud_config::{Diagnostic, Loaded, Place, Severity, Sources, load, render};
use eud_core::Core;
use eud_core::event;
use eud_core::expr::Program;
use eud_core::fleet::{Action, Fleet, Handler, Kind, Via, When};
use eud_core::io::{Command, Input, Now};
use eud_core::schedule::Schedule;
use eud_core::select;
use eud_core::template::Template;
use jiff::tz::TimeZone;

use crate::scratch;

const SEPARATOR: &str = "#=== ";
const FILES_MAX: usize = 4;

pub(crate) fn run(bytes: &[u8]) {
    if looks_around(bytes) {
        return;
    }
    let folder = scratch();
    write(folder.path(), bytes);
    let path = folder.path().join("eud.toml");
    match load(&path, &env) {
        Ok(loaded) => {
            is_in_place(&loaded.warnings, &loaded.sources);
            assert!(
                loaded
                    .warnings
                    .iter()
                    .all(|w| w.severity == Severity::Warning)
            );
            accepted(&path, &loaded);
        }
        Err(invalid) => {
            let errors = invalid.diagnostics.iter();
            assert!(errors.clone().any(|d| d.severity == Severity::Error));
            is_in_place(&invalid.diagnostics, &invalid.sources);
            printable(&invalid.to_string());
        }
    }
}

/// Includes of files that are not the input's own would make the result depend on the machine.
fn looks_around(bytes: &[u8]) -> bool {
    let has = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    (has(b"include") || has(b"schema_file"))
        && [&b".."[..], b"\"/", b"'/", b"\\", b"~", b"$"]
            .iter()
            .any(|n| has(n))
}

fn write(folder: &Path, bytes: &[u8]) {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) if text.contains(SEPARATOR) => text,
        _ => {
            fs::write(folder.join("eud.toml"), bytes).expect("a file can be written");
            return;
        }
    };
    let mut parts = text.split(SEPARATOR);
    let main = parts.next().unwrap_or_default();
    fs::write(folder.join("eud.toml"), main).expect("a file can be written");
    for part in parts.take(FILES_MAX) {
        let (name, text) = part.split_once('\n').unwrap_or((part, ""));
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '.';
        if name.len() < 20 && name.ends_with(".toml") && name.chars().all(is_plain) {
            fs::write(folder.join(name), text).expect("a file can be written");
        }
    }
}

fn env(name: &str) -> Option<String> {
    match name {
        "HOME" => Some("/home/ada".into()),
        "TZ" => Some("UTC".into()),
        "A" => Some("a b\u{1b}[31m".into()),
        _ => None,
    }
}

fn is_in_place(diagnostics: &[Diagnostic], sources: &Sources) {
    for diagnostic in diagnostics {
        assert!(!diagnostic.message.is_empty());
        for place in diagnostic.related.iter().chain([&diagnostic.place]) {
            is_within(place, sources);
        }
    }
    for width in [0, 40, 80, usize::MAX] {
        printable(&render(diagnostics, sources, false, width));
    }
    let json = serde_json::to_string(diagnostics).expect("it can be written");
    let again: Vec<Diagnostic> = serde_json::from_str(&json).expect("and read");
    assert_eq!(again, diagnostics);
}

fn is_within(place: &Place, sources: &Sources) {
    let text = sources
        .text(&place.file)
        .expect("a diagnostic names a file that was read");
    let span = place.span;
    assert!(
        text.get(span.start..span.end).is_some(),
        "{place:?} in {text:?}"
    );
    if place.line > 0 {
        let before = text.get(..span.start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        assert_eq!(place.line, before.matches('\n').count() + 1, "{place:?}");
        assert_eq!(
            place.column,
            before[line_start..].chars().count() + 1,
            "{place:?}"
        );
    }
}

fn printable(text: &str) {
    assert!(
        !text.chars().any(|c| c.is_control() && c != '\n'),
        "{text:?}"
    );
}

fn accepted(path: &Path, loaded: &Loaded) {
    let fleet = &loaded.fleet;
    promises(fleet);
    let again = load(path, &env).expect("what was accepted is accepted again");
    assert_eq!(&again.fleet, fleet);
    let json = serde_json::to_string(fleet).expect("it can be written");
    let told: Fleet = serde_json::from_str(&json).expect("and read");
    assert_eq!(&told, fleet);
    let units: usize = fleet.daemons.values().map(|d| d.replicas as usize).sum();
    if units <= 64 {
        comes_up(fleet);
    }
}

fn promises(fleet: &Fleet) {
    for (name, daemon) in &fleet.daemons {
        assert_eq!(name, &daemon.name);
        assert!(!name.is_empty() && name.len() <= 64 && !name.contains(['@', '/', '\0']));
        assert!(
            daemon
                .exec
                .argv
                .first()
                .is_some_and(|program| !program.is_empty())
        );
        assert!(daemon.exec.argv.iter().all(|word| !word.contains('\0')));
        assert!(Path::new(&daemon.exec.cwd).is_absolute());
        assert!((1..=256).contains(&daemon.replicas));
        assert!(daemon.restart.backoff_initial_ms <= daemon.restart.backoff_max_ms);
        assert!(daemon.restart.backoff_factor_percent >= 100);
        assert!(daemon.restart.backoff_jitter_percent <= 100);
        let named = [
            &daemon.needs,
            &daemon.wants,
            &daemon.after,
            &daemon.conflicts,
        ];
        for other in named.into_iter().flatten() {
            assert!(fleet.daemons.contains_key(other) && other != name);
        }
    }
    for name in fleet.profiles.keys() {
        assert!(select::profile_units(fleet, Some(name)).is_ok());
    }
    assert!(select::profile_units(fleet, fleet.profile.as_deref()).is_ok());
    promises_of_triggers(fleet);
    promises_of_the_bus(fleet);
    promises_of_rules(fleet);
}

/// What `eud_core::fleet` says of events, subscriptions and pools.
fn promises_of_the_bus(fleet: &Fleet) {
    for subscription in fleet.subscriptions.values() {
        assert!(!subscription.on.is_empty() && subscription.concurrency > 0);
        assert!(
            subscription
                .on
                .iter()
                .all(|on| event::parse_glob(on).is_ok())
        );
        for source in subscription.filter.iter().chain(&subscription.ordered_by) {
            Program::compile(source, &["event"]).expect("it was parsed");
        }
        assert!(subscription.retry.backoff_initial_ms <= subscription.retry.backoff_max_ms);
        match &subscription.handler {
            Handler::Job { job } => assert_eq!(fleet.daemons[job].kind, Kind::Job),
            Handler::Task(task) => {
                let prompt = task.args.iter().chain(&task.prompt).chain(&task.key);
                prompt.for_each(|text| drop(Template::parse(text).expect("it was parsed")));
                assert!(!fleet.pools[&task.pool].implicit);
            }
            Handler::Exec { pool } => assert!(fleet.pools[pool].implicit),
            Handler::Webhook(hook) => assert!(hook.url.starts_with("http")),
            Handler::Notify(notice) => assert!(fleet.channels.contains_key(&notice.channel)),
        }
    }
    for (name, pool) in &fleet.pools {
        assert_eq!((name, name), (&pool.name, &pool.template.name));
        assert_eq!(pool.template.kind, Kind::Task);
        assert!(!pool.template.exec.argv.is_empty() && pool.concurrency > 0);
        assert!(!name.contains(['#', '@', '/']));
        assert!(pool.gates.iter().all(|gate| fleet.gates.contains_key(gate)));
    }
}

/// What `eud_core::fleet` says of rules and channels.
fn promises_of_rules(fleet: &Fleet) {
    let parses = |text: &String| drop(Template::parse(text).expect("it was parsed"));
    for rule in &fleet.rules {
        assert!(rule.on.is_empty() != rule.sequence.is_empty());
        assert!(rule.count > 0 && rule.limit.count > 0);
        assert!((rule.count == 1 && rule.sequence.is_empty()) || rule.within_ms.is_some());
        let healthy = rule.ladder.iter().flat_map(|ladder| &ladder.healthy);
        let patterns = rule.on.iter().chain(&rule.sequence).chain(&rule.unless);
        assert!(
            patterns
                .chain(healthy)
                .all(|on| event::parse_glob(on).is_ok())
        );
        for source in rule.when.iter().chain(&rule.key) {
            Program::compile(source, &["event"]).expect("it was parsed");
        }
        let rungs = rule.ladder.iter().flat_map(|ladder| &ladder.rungs);
        let climbed = rungs.flat_map(|rung| &rung.then);
        let actions: Vec<&Action> = rule.then.iter().chain(climbed).collect();
        assert!(!actions.is_empty());
        for action in actions {
            match action {
                Action::Task(task) => {
                    let texts = task.args.iter().chain(&task.prompt).chain(&task.key);
                    texts.for_each(parses);
                    assert!(!fleet.pools[&task.pool].implicit);
                }
                Action::Emit { kind, .. } => assert!(event::check_type(kind).is_ok()),
                Action::Webhook { outlet } => assert!(fleet.outlets.contains_key(outlet)),
                Action::Exec { pool } => {
                    assert!(fleet.pools[pool].implicit && fleet.outlets.contains_key(pool));
                }
                Action::Notify(notice) => assert!(fleet.channels.contains_key(&notice.channel)),
                Action::CloseGate { gate, .. } | Action::OpenGate { gate } => {
                    assert!(fleet.gates.contains_key(gate));
                }
                Action::Start { names }
                | Action::Stop { names }
                | Action::Restart { names }
                | Action::Hold { names, .. }
                | Action::Release { names }
                | Action::Trigger { names } => {
                    assert!(!names.is_empty());
                    names.iter().for_each(parses);
                }
            }
        }
    }
    for (name, channel) in &fleet.channels {
        assert_eq!(name, &channel.name);
        assert!(channel.retry.backoff_initial_ms <= channel.retry.backoff_max_ms);
        let quiet = channel.quiet.iter();
        quiet.for_each(|quiet| assert!(quiet.from_min < 1_440 && quiet.to_min < 1_440));
        match &channel.via {
            Via::Exec { pool } => assert!(fleet.pools[pool].implicit),
            Via::Email(email) => assert!(!email.to.is_empty() && email.port > 0),
            Via::Desktop | Via::Webhook(_) => {}
        }
    }
}

/// What `eud_core::fleet` says of jobs, gauges and gates.
fn promises_of_triggers(fleet: &Fleet) {
    let at_least_a_second = |ms: u64| assert!(ms >= 1_000);
    for daemon in fleet.daemons.values() {
        assert_eq!(daemon.job.is_some(), daemon.kind == Kind::Job);
        let job = daemon.job.iter();
        for when in job.clone().flat_map(|job| &job.schedules) {
            let zone = |name: &Option<String>| match name {
                Some(name) => TimeZone::get(name).expect("a zone that was known is known"),
                None => TimeZone::UTC,
            };
            match when {
                When::Cron { expr, zone: name } => {
                    Schedule::cron(expr, zone(name)).expect("it was parsed");
                }
                When::Calendar { expr, zone: name } => {
                    Schedule::calendar(expr, zone(name)).expect("it was parsed");
                }
                When::Every { every_ms, .. } => at_least_a_second(*every_ms),
                When::At { .. } | When::AfterBoot { .. } | When::AfterUp { .. } => {}
            }
        }
        for job in job {
            let triggers = job.gauges.iter().map(|trigger| &trigger.gauge);
            let conditions = job.only_when.iter().map(|condition| &condition.gauge);
            for gauge in triggers.chain(conditions) {
                assert!(fleet.gauges.contains_key(gauge));
            }
        }
        if let Some(watch) = &daemon.watch {
            assert!(!watch.paths.is_empty() && !watch.events.is_empty());
            assert!(watch.debounce_ms <= watch.debounce_max_ms);
            for path in &watch.paths {
                assert!(Path::new(path).is_absolute() && path != "/");
            }
        }
    }
    for (name, gauge) in &fleet.gauges {
        assert_eq!(name, &gauge.name);
        for limit in [gauge.warn, gauge.over].iter().flatten() {
            assert!(limit.clear.0 <= limit.at.0);
        }
        assert!(gauge.under.is_none_or(|limit| limit.clear.0 >= limit.at.0));
    }
    for (name, gate) in &fleet.gates {
        assert_eq!(name, &gate.name);
        assert!(fleet.gauges.contains_key(&gate.gauge));
        assert!(!gate.members.is_empty() && !gate.closes_at.is_empty());
        let known = |member: &String| fleet.daemons.contains_key(member);
        assert!(gate.members.iter().all(known));
    }
}

/// The core takes it, is brought up, and counts right.
fn comes_up(fleet: &Fleet) {
    let mut core = Core::new(1);
    let mut effects = Vec::new();
    let mut now = Now {
        mono_ms: 1_000,
        wall_ms: 1_795_000_000_000,
    };
    let load = Input::Load {
        fleet: Box::new(fleet.clone()),
        ticket: None,
    };
    core.handle(load, now, &mut effects);
    core.handle(Input::Recover(Box::default()), now, &mut effects);
    let profiles = fleet.profiles.keys().take(3).cloned().map(Some);
    for (ticket, profile) in [None].into_iter().chain(profiles).enumerate() {
        let command = Command::Up { profile };
        let ticket = ticket as u64;
        core.handle(Input::Command { ticket, command }, now, &mut effects);
        now.mono_ms += 100_000;
        core.handle(Input::Tick, now, &mut effects);
        let status = core.status(now);
        assert_eq!(
            status.summary.counts.values().sum::<usize>(),
            status.summary.total
        );
        assert_eq!(status.summary.total, status.daemons.len());
    }
}
