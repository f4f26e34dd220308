//! `${VAR}`, `${VAR:-default}` and `~/`.
//!
//! Purpose: expand references to the environment in strings of the fleet file.
//! Invariants: `$${` stands for `${`; a lone `$` stands for itself; a [`Trouble`] names variables,
//! never their values.

use std::ops::Range;

/// Looks up a variable of the environment.
pub(crate) type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What is wrong with a reference, and where in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) why: String,
    pub(crate) hint: String,
    pub(crate) range: Range<usize>,
}

/// A text with its variables filled in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Expanded {
    pub(crate) text: String,
    /// Variables whose values are in it.
    pub(crate) variables: Vec<String>,
    pub(crate) troubles: Vec<Trouble>,
}

/// Longest text after expansion, in bytes: Linux passes no longer word to a program.
const EXPANDED_BYTES_MAX: usize = 128 << 10;

/// Expands all references in a text.
pub(crate) fn expand(text: &str, env: Env<'_>) -> Expanded {
    let mut done = Expanded::default();
    if !text.contains('$') {
        text.clone_into(&mut done.text);
        return done;
    }
    let mut at = 0;
    while let Some(found) = text.get(at..).and_then(|rest| rest.find('$')) {
        let dollar = at + found;
        done.text.push_str(text.get(at..dollar).unwrap_or_default());
        let rest = text.get(dollar..).unwrap_or_default();
        if done.text.len() > EXPANDED_BYTES_MAX {
            let why = "with its variables filled in it is longer than 128 KiB".into();
            let hint = "no program can receive it".into();
            done.troubles.push(Trouble {
                why,
                hint,
                range: dollar..dollar + 1,
            });
            return done;
        }
        at = if rest.starts_with("$${") {
            done.text.push_str("${");
            dollar + 3
        } else if rest.starts_with("${") {
            reference(rest, dollar, env, &mut done)
        } else {
            done.text.push('$');
            dollar + 1
        };
    }
    done.text.push_str(text.get(at..).unwrap_or_default());
    done
}

/// Expands the reference at the start of `rest`; returns where the text goes on.
fn reference(rest: &str, at: usize, env: Env<'_>, done: &mut Expanded) -> usize {
    let mut trouble = |why: String, hint: String, length: usize| {
        done.troubles.push(Trouble {
            why,
            hint,
            range: at..at + length,
        });
    };
    let Some(end) = rest.find('}') else {
        trouble(
            "`${` has no `}`".into(),
            "write `$${` for a literal `${`".into(),
            2,
        );
        return at + rest.len();
    };
    let inner = rest.get(2..end).unwrap_or_default();
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let valid = name.starts_with(first) && name.chars().all(|c| first(c) || c.is_ascii_digit());
    if !valid {
        let why = "this is not a reference to a variable".into();
        let hint = "write `${VAR}` or `${VAR:-default}`; `$${` is a literal `${`".into();
        trouble(why, hint, end + 1);
        return at + end + 1;
    }
    if default.is_some_and(|default| default.contains("${")) {
        let why = "the default of a variable cannot contain another reference".into();
        trouble(why, "write the default as plain text".into(), end + 1);
        return at + end + 1;
    }
    match (env(name), default) {
        (Some(value), Some(default)) if value.is_empty() => done.text.push_str(default),
        (Some(value), _) => {
            done.text.push_str(&value);
            done.variables.push(name.to_owned());
        }
        (None, Some(default)) => done.text.push_str(default),
        (None, None) => trouble(
            format!("variable `{name}` is not set"),
            format!("set it, or give a default: `${{{name}:-…}}`"),
            end + 1,
        ),
    }
    at + end + 1
}

/// Whether a variable's name says that its value is secret.
pub(crate) fn looks_secret(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    [
        "TOKEN",
        "SECRET",
        "PASSWORD",
        "PASSWD",
        "API_KEY",
        "APIKEY",
        "PRIVATE_KEY",
        "CREDENTIAL",
    ]
    .iter()
    .any(|word| upper.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "A" => Some("1".into()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn references() {
        for (text, expected) in [
            ("x${A}y", "x1y"),
            ("${B:-z}", "z"),
            ("${EMPTY:-z}", "z"),
            ("${EMPTY}", ""),
            ("${B:-}", ""),
            ("$${A}", "${A}"),
            ("$A $ 5$", "$A $ 5$"),
            ("ü${A}ü", "ü1ü"),
        ] {
            let done = expand(text, &env);
            assert_eq!(
                (done.text.as_str(), done.troubles.len()),
                (expected, 0),
                "{text}"
            );
        }
    }

    #[test]
    fn troubles_name_the_place() {
        for (text, range) in [
            ("a ${B}", 2..6),
            ("${", 0..2),
            ("${}", 0..3),
            ("${A-b}", 0..6),
            ("${1}", 0..4),
            ("${B:-${A}}", 0..9),
        ] {
            let done = expand(text, &env);
            assert_eq!(
                done.troubles.first().map(|t| t.range.clone()),
                Some(range),
                "{text}"
            );
        }
    }
}
