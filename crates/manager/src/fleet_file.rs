//! Reading the fleet file.

use std::path::Path;

use eud_core::fleet::Fleet;

/// Columns of rendered diagnostics: they are read in a terminal, but not written by one.
const WIDTH: usize = 80;

/// A fleet, and what should be said about it.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    pub(crate) fleet: Fleet,
    /// One line each.
    pub(crate) warnings: Vec<String>,
}

/// Why a fleet file cannot be used.
#[derive(Debug, Clone)]
pub(crate) struct Invalid {
    /// Diagnostics as JSON.
    pub(crate) diagnostics: serde_json::Value,
    /// For people.
    pub(crate) rendered: String,
}

impl Invalid {
    /// Not the file's fault.
    pub(crate) fn fault(why: &str) -> Self {
        let rendered = format!("the fleet file could not be checked: {why}");
        Self {
            diagnostics: serde_json::Value::Array(Vec::new()),
            rendered,
        }
    }
}

/// Loads and checks. Blocks.
pub(crate) fn load(path: &Path) -> Result<Loaded, Invalid> {
    match eud_config::load(path, &|name| std::env::var(name).ok()) {
        Ok(loaded) => {
            let warnings = loaded.warnings.iter();
            let warnings = warnings.map(|w| {
                format!(
                    "{}:{}: {}",
                    loaded.sources.shown(&w.place.file),
                    w.place.line,
                    w.message
                )
            });
            Ok(Loaded {
                warnings: warnings.collect(),
                fleet: loaded.fleet,
            })
        }
        Err(invalid) => Err(Invalid {
            diagnostics: serde_json::to_value(&invalid.diagnostics).unwrap_or_default(),
            rendered: eud_config::render(&invalid.diagnostics, &invalid.sources, false, WIDTH),
        }),
    }
}
