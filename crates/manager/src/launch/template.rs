//! Templates of a pool's command, filled in.
//!
//! Invariants: a value is put in as it is and never read as a template; a name without a value is
//! an error, and names the argument or variable that asks for it.

use eud_core::template::Template;
use serde_json::{Map, Value, json};

/// See the module.
pub(super) struct Templates(Value);

impl Templates {
    /// Templates over `task`, which has these fields.
    pub(super) fn over_task(fields: Map<String, Value>) -> Self {
        Self(json!({ "task": fields }))
    }

    /// Fills one in. `what` names it in a complaint.
    ///
    /// # Errors
    /// In words, when it cannot be read, or asks for what there is not.
    pub(super) fn fill(&self, what: &str, template: &str) -> Result<String, String> {
        let filled = match Template::parse(template) {
            Ok(parsed) => parsed.fill(&self.0),
            Err(fault) => Err(fault.why),
        };
        filled.map_err(|why| format!("{what} (`{}`) cannot be filled in: {why}", start(template)))
    }
}

/// Whether a template uses a field of `task`, or `task` as a whole. One that cannot be read uses
/// nothing.
pub(super) fn uses(template: &str, field: &str) -> bool {
    Template::parse(template).is_ok_and(|parsed| {
        let used = parsed.variables();
        used.contains("task") || used.contains(field)
    })
}

/// The beginning of a template, for people.
fn start(template: &str) -> String {
    const SHOWN: usize = 60;
    let mut shown: String = template.chars().take(SHOWN).collect();
    if shown.len() < template.len() {
        shown.push('…');
    }
    shown
}
