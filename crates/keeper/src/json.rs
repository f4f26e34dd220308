//! Just enough JSON to write: flat objects, one per line.
//!
//! Invariants: what comes out is one line of valid JSON in UTF-8, whatever goes in.
//! Deliberately absent: reading JSON. The keeper is told what to do in plain words.

use std::fmt::Write;

/// A JSON object being written.
#[derive(Debug)]
pub(crate) struct Object(String);

impl Object {
    /// An empty object.
    pub(crate) fn new() -> Self {
        Self(String::from("{"))
    }

    /// `{"event":"…"`.
    pub(crate) fn event(name: &str) -> Self {
        Self::new().text("event", name)
    }

    /// A member that is a string.
    pub(crate) fn text(mut self, key: &str, value: &str) -> Self {
        self.key(key);
        push_string(&mut self.0, value);
        self
    }

    /// A member that is a string, or null.
    pub(crate) fn text_or_null(self, key: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.text(key, value),
            None => self.raw(key, "null"),
        }
    }

    /// A member that is a number.
    pub(crate) fn number(mut self, key: &str, value: impl Into<i128>) -> Self {
        self.key(key);
        // Writing to a `String` cannot fail.
        let _ = write!(self.0, "{}", value.into());
        self
    }

    /// A member that is a number, or null.
    pub(crate) fn number_or_null(self, key: &str, value: Option<impl Into<i128>>) -> Self {
        match value {
            Some(value) => self.number(key, value),
            None => self.raw(key, "null"),
        }
    }

    /// A member that is true or false.
    pub(crate) fn truth(self, key: &str, value: bool) -> Self {
        self.raw(key, if value { "true" } else { "false" })
    }

    /// A member that is JSON already.
    pub(crate) fn raw(mut self, key: &str, json: &str) -> Self {
        self.key(key);
        self.0.push_str(json);
        self
    }

    /// The finished object.
    pub(crate) fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }

    fn key(&mut self, key: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        push_string(&mut self.0, key);
        self.0.push(':');
    }
}

fn push_string(out: &mut String, value: &str) {
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_survives_a_strict_reader() {
        let nasty = "a\"b\\c\nd\te\u{1}\u{7f}\u{2028}ø🙂";
        let json = Object::event("x")
            .text("t", nasty)
            .truth("y", true)
            .number("n", -3_i64);
        let json = json
            .text_or_null("z", None)
            .number_or_null("w", Some(7_u64))
            .end();
        assert!(!json.contains('\n'));
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["t"], nasty);
        assert_eq!((&value["n"], &value["w"]), (&(-3).into(), &7.into()));
        assert!(value["z"].is_null() && value["y"] == true);
    }
}
