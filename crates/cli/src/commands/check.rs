//! `eud check`, and the reading of the fleet file for every command that needs it.

use std::io::IsTerminal;
use std::path::Path;

use eud_config::Loaded;
use eud_core::fleet::Fleet;
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
    let (daemons, profiles) = (fleet.daemons.len(), loaded.profiles.len());
    text.push_str(&format!(
        "{} is valid: {daemons} {}, {profiles} {}, {}\n",
        name_of(&path),
        plural(daemons, "daemon", "daemons"),
        plural(profiles, "profile", "profiles"),
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
