//! Templates of a pool's command, filled in.
//!
//! Invariants: a value is put in as it is and never read as a template; a name without a value is
//! an error; a template that never ends is one too.

use std::collections::BTreeMap;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior, Value};

/// Most steps that filling in one template may take.
const STEPS_MAX: u64 = 1_000_000;

/// Longest part of a complaint that is shown, in characters: it may quote what was put in.
const COMPLAINT_CHARS_MAX: usize = 300;

/// See the module.
pub(super) struct Templates {
    env: Environment<'static>,
    context: Value,
}

impl Templates {
    /// Templates over `task`, which has these fields.
    ///
    /// # Errors
    /// None that can come up; the syntax is fixed.
    pub(super) fn over_task(fields: BTreeMap<String, Value>) -> Result<Self, String> {
        let mut env = Environment::new();
        env.set_undefined_behavior(UndefinedBehavior::Strict);
        env.set_fuel(Some(STEPS_MAX));
        // An argument that ends in a newline is one that does.
        let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build();
        env.set_syntax(syntax.map_err(|e| e.to_string())?);
        let context = BTreeMap::from([("task".to_owned(), Value::from(fields))]);
        Ok(Self {
            env,
            context: Value::from(context),
        })
    }

    /// Fills one in. `what` names it in a complaint.
    ///
    /// # Errors
    /// In words, when it cannot be read, or asks for what there is not.
    pub(super) fn fill(&self, what: &str, template: &str) -> Result<String, String> {
        if !is_template(template) {
            return Ok(template.to_owned());
        }
        let filled = self
            .env
            .template_from_str(template)
            .and_then(|parsed| parsed.render(&self.context));
        filled.map_err(|error| {
            let why = error.to_string();
            let why = why.strip_suffix(" (in <string>:1)").unwrap_or(&why);
            let why: String = why.chars().take(COMPLAINT_CHARS_MAX).collect();
            format!("{what} (`{}`) cannot be filled in: {why}", start(template))
        })
    }

    /// Whether it uses a field of `task`, or `task` as a whole. One that cannot be read uses
    /// nothing.
    pub(super) fn uses(&self, template: &str, field: &str) -> bool {
        is_template(template)
            && self.env.template_from_str(template).is_ok_and(|parsed| {
                let used = parsed.undeclared_variables(true);
                used.contains("task") || used.contains(field)
            })
    }
}

fn is_template(text: &str) -> bool {
    ["{{", "{%", "{#"].iter().any(|mark| text.contains(mark))
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
