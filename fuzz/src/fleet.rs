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
use eud_core::fleet::Fleet;
use eud_core::io::{Command, Input, Now};
use eud_core::select;

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
    has(b"include")
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
