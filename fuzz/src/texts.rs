//! Expressions and templates.
//!
//! What is promised: any text is an expression or a template, or is refused with a place in it; an
//! evaluation ends, and gives the same again; a template that was checked knows its filters.
//!
//! The first line of an input is an expression, the second one the variables as JSON, the rest a
//! template.

use eud_core::expr::{Fault, Program};
use eud_core::template::{EVENT, Template};
use serde_json::{Map, Value};

pub(crate) fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.splitn(3, '\n');
    let mut next = || parts.next().unwrap_or_default();
    let (source, data, template) = (next(), next(), next());
    let data = serde_json::from_str(data).unwrap_or(Value::Null);
    let variables = Map::from_iter([("event".to_owned(), data)]);
    match Program::compile(source, &["event"]) {
        Ok(program) => {
            let found = program.eval(&variables);
            assert_eq!(program.eval(&variables), found);
        }
        Err(fault) => is_in(source, &fault),
    }
    match Template::parse(template) {
        Ok(parsed) => {
            if let Err(fault) = parsed.check(&[EVENT]) {
                is_in(template, &fault);
            }
            let variables = Value::Object(variables);
            let found = parsed.fill(&variables);
            assert_eq!(parsed.fill(&variables), found);
        }
        Err(fault) => is_in(template, &fault),
    }
}

fn is_in(source: &str, fault: &Fault) {
    assert!(
        source.is_char_boundary(fault.offset),
        "{source:?}: {fault:?}"
    );
    assert!(!fault.why.is_empty(), "{source:?}");
}
