//! `eud check`, and the reading of the fleet file for every command that needs it.

use std::io::IsTerminal;
use std::path::Path;

use eud_config::Loaded;
use eud_core::fleet::{Fleet, Kind};
use eud_core::select::nearest;
use serde_json::json;

use crate::context::{self, Context};
use crate::error::{Error, code};
use crate::render::status::plural;

/// `eud check`
///
/// # Errors
/// [`Error::Invalid`] with every diagnostic.
pub(crate) fn run(context: &Context) -> Result<u8, Error> {
    let path = context.fleet_file()?;
    let loaded = match load_whole(context, &path) {
        Ok(loaded) => loaded,
        // Who asks for JSON wants it where results are.
        Err(Error::Invalid { diagnostics, .. }) if context.common.json => {
            context::print_json(&json!({
                "ok": false, "file": path, "diagnostics": diagnostics,
            }))?;
            return Ok(code::INVALID);
        }
        Err(error) => return Err(error),
    };
    let fleet = &loaded.fleet;
    if context.common.json {
        context::print_json(&json!({
            "ok": true, "file": path, "files": loaded.files, "fleet": fleet.name,
            "diagnostics": loaded.warnings,
            "daemons": fleet.daemons.keys().collect::<Vec<_>>(), "profiles": loaded.profiles,
            "jobs": jobs(fleet), "gauges": fleet.gauges.keys().collect::<Vec<_>>(),
            "gates": fleet.gates.keys().collect::<Vec<_>>(),
        }))?;
        return Ok(code::OK);
    }
    let screen = context.screen();
    let mut text = String::new();
    if !loaded.warnings.is_empty() {
        text = eud_config::render(
            &loaded.warnings,
            &loaded.sources,
            screen.color,
            screen.width,
        );
        text.push('\n');
    }
    text.push_str(&format!(
        "{} is valid: {}, {}\n",
        name_of(&path),
        counts(&loaded).join(", "),
        match loaded.warnings.len() {
            0 => "no warnings".to_owned(),
            n => format!("{n} {}", plural(n, "warning", "warnings")),
        },
    ));
    for (profile, members) in &loaded.profiles {
        let own = if fleet.profile.as_ref() == Some(profile) {
            " (default)"
        } else {
            ""
        };
        let word = plural(members.len(), "daemon", "daemons");
        text.push_str(&format!("  {profile}{own}: {} {word}\n", members.len()));
    }
    context::print(&text)?;
    Ok(code::OK)
}

/// Names of the jobs.
fn jobs(fleet: &Fleet) -> Vec<&String> {
    let daemons = fleet.daemons.iter();
    let jobs = daemons.filter(|(_, daemon)| daemon.kind == Kind::Job);
    jobs.map(|(name, _)| name).collect()
}

/// `12 daemons, 3 of them jobs`, `2 profiles`, `1 gauge`: what there is at all.
fn counts(loaded: &Loaded) -> Vec<String> {
    let fleet = &loaded.fleet;
    let daemons = fleet.daemons.len();
    let jobs = match jobs(fleet).len() {
        0 => String::new(),
        1 => " (1 job)".to_owned(),
        n => format!(" ({n} jobs)"),
    };
    let word = plural(daemons, "daemon", "daemons");
    let mut counts = vec![format!("{daemons} {word}{jobs}")];
    let mut count = |n: usize, one: &'static str, many: &'static str| {
        counts.push(format!("{n} {}", plural(n, one, many)));
    };
    count(loaded.profiles.len(), "profile", "profiles");
    if !fleet.gauges.is_empty() {
        count(fleet.gauges.len(), "gauge", "gauges");
    }
    if !fleet.gates.is_empty() {
        count(fleet.gates.len(), "gate", "gates");
    }
    if !fleet.subscriptions.is_empty() {
        count(fleet.subscriptions.len(), "subscription", "subscriptions");
    }
    let pools = fleet.pools.values().filter(|pool| !pool.implicit).count();
    if pools > 0 {
        count(pools, "pool", "pools");
    }
    if !fleet.rules.is_empty() {
        count(fleet.rules.len(), "rule", "rules");
    }
    if !fleet.channels.is_empty() {
        count(fleet.channels.len(), "channel", "channels");
    }
    counts
}

/// Reads and checks a fleet file.
///
/// # Errors
/// [`Error::Invalid`] with every diagnostic.
pub(crate) fn load(context: &Context, path: &Path) -> Result<Fleet, Error> {
    load_whole(context, path).map(|loaded| loaded.fleet)
}

fn load_whole(context: &Context, path: &Path) -> Result<Loaded, Error> {
    eud_config::load(path, &|name| std::env::var(name).ok()).map_err(|invalid| {
        let color = context.color_of(std::io::stderr().is_terminal());
        let width = context.screen().width;
        let shown = eud_config::render(&invalid.diagnostics, &invalid.sources, color, width);
        let summary = eud_config::summary(&invalid.diagnostics);
        let rendered = format!(
            "{}\n{summary} in {}; nothing was changed",
            shown.trim_end(),
            name_of(path)
        );
        Error::Invalid {
            rendered,
            diagnostics: json!(invalid.diagnostics),
        }
    })
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// A profile that the fleet does not have.
pub(crate) fn unknown_profile(fleet: &Fleet, profile: &str) -> Error {
    let suggestion = nearest(profile, fleet.profiles.keys().map(String::as_str));
    Error::Unknown {
        name: format!("profile:{profile}"),
        suggestion,
    }
}
