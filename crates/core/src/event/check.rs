//! What an event must be like to be stored.

use super::{
    DATA_BYTES_MAX, EXTENSIONS_MAX, FUTURE_MS_MAX, NAME_BYTES_MAX, NewEvent, OWN_SOURCE, OWN_TYPES,
};
use crate::record::WallMs;
use crate::words;

/// Attributes of CloudEvents, and of ours, that no extension may be called.
const TAKEN: [&str; 12] = [
    "specversion",
    "id",
    "source",
    "type",
    "subject",
    "time",
    "data",
    "datacontenttype",
    "dataschema",
    "sequence",
    "eudstored",
    "database64",
];

impl NewEvent {
    /// Checks everything but the payload's schema.
    ///
    /// # Errors
    /// In words: which attribute is wrong, and why.
    pub fn check(&self, now_ms: WallMs) -> Result<(), String> {
        check_type(&self.kind)?;
        check_text("source", &self.source, 1)?;
        if self.source.starts_with(OWN_SOURCE) {
            return Err(format!(
                "source `{}`: `{OWN_SOURCE}…` is the manager's own; name whoever tells it",
                self.source
            ));
        }
        if let Some(id) = &self.id {
            check_text("id", id, 1)?;
        }
        if let Some(subject) = &self.subject {
            check_text("subject", subject, 1)?;
        }
        if let Some(schema) = &self.dataschema {
            check_text("dataschema", schema, 1)?;
        }
        self.check_extensions()?;
        if let Some(time) = self.time_ms.filter(|time| *time > now_ms + FUTURE_MS_MAX) {
            return Err(format!(
                "time {} is more than a day in the future",
                words::rfc3339(time)
            ));
        }
        // Measured last: it is the dearest.
        let bytes = self.data.to_string().len();
        if bytes > DATA_BYTES_MAX {
            return Err(format!(
                "data has {bytes} bytes, at most {DATA_BYTES_MAX}; put it in a file and tell its path"
            ));
        }
        Ok(())
    }

    fn check_extensions(&self) -> Result<(), String> {
        if self.extensions.len() > EXTENSIONS_MAX {
            return Err(format!("more than {EXTENSIONS_MAX} extension attributes"));
        }
        for (name, value) in &self.extensions {
            let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
            if name.is_empty() || name.len() > 20 || !name.chars().all(fits) {
                return Err(format!(
                    "extension attribute `{name}`: its name has 1 to 20 lower-case letters and digits"
                ));
            }
            if TAKEN.contains(&name.as_str()) {
                return Err(format!("`{name}` is no extension attribute"));
            }
            check_text(name, value, 0)?;
        }
        Ok(())
    }
}

/// Checks a type that others may publish.
///
/// # Errors
/// In words: what is wrong with it.
pub fn check_type(kind: &str) -> Result<(), String> {
    check_text("type", kind, 1)?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if let Some(bad) = kind.chars().find(|c| !fits(*c)) {
        return Err(format!(
            "type `{kind}`: `{bad}` cannot be in it; a type has letters, digits, `.`, `_` and `-`"
        ));
    }
    if kind.split('.').any(str::is_empty) {
        return Err(format!("type `{kind}`: a part of it is empty"));
    }
    if let Some(own) = OWN_TYPES.iter().find(|own| kind.starts_with(**own)) {
        return Err(format!(
            "type `{kind}`: `{own}*` are the manager's own; choose another beginning"
        ));
    }
    Ok(())
}

fn check_text(attribute: &str, text: &str, bytes_min: usize) -> Result<(), String> {
    if text.len() < bytes_min {
        return Err(format!("{attribute} is empty"));
    }
    if text.len() > NAME_BYTES_MAX {
        let bytes = text.len();
        return Err(format!(
            "{attribute} has {bytes} bytes, at most {NAME_BYTES_MAX}"
        ));
    }
    if text.chars().any(char::is_control) {
        return Err(format!("{attribute} has a control character in it"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn event(kind: &str) -> NewEvent {
        NewEvent {
            source: "test".into(),
            kind: kind.into(),
            ..NewEvent::default()
        }
    }

    #[test]
    fn what_is_refused_says_which_attribute_and_why() {
        assert_eq!(event("model.promoted").check(0), Ok(()));
        let table: [(&str, NewEvent); 9] = [
            ("type is empty", event("")),
            ("type `a b`: ` ` cannot", event("a b")),
            ("type `a..b`: a part", event("a..b")),
            ("`daemon.*` are the manager's own", event("daemon.ready")),
            (
                "source is empty",
                NewEvent {
                    source: String::new(),
                    ..event("a")
                },
            ),
            (
                "is the manager's own",
                NewEvent {
                    source: "eud/x".into(),
                    ..event("a")
                },
            ),
            (
                "more than a day in the future",
                NewEvent {
                    time_ms: Some(FUTURE_MS_MAX + 1),
                    ..event("a")
                },
            ),
            (
                "data has 262147 bytes",
                NewEvent {
                    data: Value::String("x".repeat(DATA_BYTES_MAX + 1)),
                    ..event("a")
                },
            ),
            (
                "`id` is no extension",
                NewEvent {
                    extensions: [("id".into(), "1".into())].into(),
                    ..event("a")
                },
            ),
        ];
        for (expected, event) in table {
            let why = event.check(0).unwrap_err();
            assert!(why.contains(expected), "{why}");
        }
        let id = Some("a\nb".into());
        assert!(NewEvent { id, ..event("a") }.check(0).is_err());
    }
}
