//! Finding functions in formatted Rust source.
//!
//! Invariants: the source is formatted by rustfmt, so a function's body ends with the first `}` at
//! the indentation of its `fn`. That is all the parsing that is needed.

/// A function.
pub(super) struct Function {
    pub(super) name: String,
    /// Line of its `fn`, from 1.
    pub(super) line: usize,
    /// Lines from `fn` to the closing brace.
    pub(super) lines: usize,
}

/// Functions with more than `max` lines.
pub(super) fn longer_than(text: &str, max: usize) -> Vec<Function> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(name) = name_of(line) else { continue };
        let indent = &line[..line.len() - line.trim_start().len()];
        let closing = format!("{indent}}}");
        let rest = &lines[at..];
        // A declaration without a body ends before any closing brace does.
        let end = rest.iter().position(|l| {
            *l == closing
                || (l.starts_with(indent) && l.ends_with(';') && l[indent.len()..].starts_with(')'))
        });
        let lines = end.map_or(1, |end| end + 1);
        let is_one_line = line.ends_with('}') || line.ends_with(';');
        if lines > max && !is_one_line {
            found.push(Function {
                name: name.to_owned(),
                line: at + 1,
                lines,
            });
        }
    }
    found
}

/// Name of the function that a line declares.
fn name_of(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    loop {
        if let Some(after) = rest.strip_prefix("fn ") {
            let end = after.find(|c: char| !c.is_alphanumeric() && c != '_')?;
            return Some(&after[..end]);
        }
        let (word, after) = rest.split_once(' ')?;
        let is_qualifier = matches!(word, "const" | "async" | "unsafe" | "extern" | "\"C\"")
            || word.starts_with("pub");
        if !is_qualifier {
            return None;
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::{longer_than, name_of};

    #[test]
    fn functions_are_recognised_by_their_first_line() {
        assert_eq!(
            name_of("    pub(crate) const unsafe fn a_b<T>(x: T) {"),
            Some("a_b")
        );
        assert_eq!(name_of("// fn a()"), None);
        assert_eq!(name_of("let fn_name = 3;"), None);
    }

    #[test]
    fn nested_blocks_do_not_end_a_function() {
        let text = "fn a() {\n    if x {\n        y();\n    }\n}\nfn b() {}\n";
        let found = longer_than(text, 4);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].name.as_str(), found[0].line, found[0].lines),
            ("a", 1, 5)
        );
    }
}
