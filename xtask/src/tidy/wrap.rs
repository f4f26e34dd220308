//! `cargo xtask tidy --wrap`: breaks comments that are too wide.
//!
//! Invariants: only comment lines change, and only from an overlong line to the end of its
//! paragraph; tables, lists, headings and code in comments are never joined with what follows.

/// The text with every comment line within `max` columns, where a space allows it.
pub(super) fn wrap(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len() + 256);
    // What did not fit on the line before, with the prefix of its comment.
    let mut carried: Option<(String, String)> = None;
    let mut is_code = false;
    for line in text.lines() {
        let split = prefix(line);
        let mut current = line.to_owned();
        if let Some((lead, rest)) = carried.take() {
            let continues = split.as_ref().is_some_and(|(p, body)| {
                *p == lead && !body.is_empty() && !is_block_start(body) && !body.starts_with("```")
            });
            if continues {
                let body = split.as_ref().map_or("", |(_, body)| body);
                current = format!("{lead}{rest} {body}");
            } else {
                push_wrapped(&mut out, &lead, &rest, max);
            }
        }
        if let Some((_, body)) = &split
            && body.starts_with("```")
        {
            is_code = !is_code;
        }
        match prefix(&current) {
            Some((lead, body)) if !is_code && !body.starts_with('|') => {
                let (head, rest) = fit(&lead, &body, max);
                out.push_str(&head);
                carried = rest.map(|rest| (lead, rest));
            }
            _ => out.push_str(&current),
        }
        out.push('\n');
    }
    if let Some((lead, rest)) = carried {
        push_wrapped(&mut out, &lead, &rest, max);
    }
    out
}

/// Indentation and comment mark of a comment line, and its text.
fn prefix(line: &str) -> Option<(String, String)> {
    let indent = line.len() - line.trim_start().len();
    let mark = ["//! ", "/// ", "// "]
        .into_iter()
        .find(|m| line[indent..].starts_with(m))?;
    let (lead, body) = line.split_at(indent + mark.len());
    Some((lead.to_owned(), body.to_owned()))
}

/// Whether a comment's text begins something of its own.
fn is_block_start(body: &str) -> bool {
    let is_numbered = body
        .split_once(". ")
        .is_some_and(|(n, _)| n.parse::<u32>().is_ok());
    let words = [
        "- ",
        "* ",
        "|",
        "# ",
        "Purpose:",
        "Invariant",
        "Deliberately absent",
        "SAFETY",
    ];
    is_numbered || body.starts_with(' ') || words.iter().any(|word| body.starts_with(word))
}

/// The line as far as it fits, and the rest.
fn fit(lead: &str, body: &str, max: usize) -> (String, Option<String>) {
    let whole = format!("{lead}{body}");
    if whole.chars().count() <= max {
        return (whole, None);
    }
    let room = max.saturating_sub(lead.chars().count());
    let end = body
        .char_indices()
        .nth(room + 1)
        .map_or(body.len(), |(at, _)| at);
    match body[..end].rfind(' ').filter(|at| *at > 0) {
        Some(at) => (
            format!("{lead}{}", &body[..at]),
            Some(body[at + 1..].to_owned()),
        ),
        None => (whole, None),
    }
}

fn push_wrapped(out: &mut String, lead: &str, rest: &str, max: usize) {
    let mut rest = Some(rest.to_owned());
    while let Some(body) = rest.take() {
        let (head, next) = fit(lead, &body, max);
        out.push_str(&head);
        out.push('\n');
        rest = next;
    }
}

#[cfg(test)]
mod tests {
    use super::wrap;

    #[test]
    fn a_paragraph_flows_and_its_neighbours_stay() {
        let text = "//! Purpose: one two three four\n//! five\n//! Invariants: six\nlet a = 1;\n";
        let wrapped =
            "//! Purpose: one two\n//! three four five\n//! Invariants: six\nlet a = 1;\n";
        assert_eq!(wrap(text, 20), wrapped);
    }

    #[test]
    fn code_tables_and_other_lines_are_left_alone() {
        let text = "/// | a | b | c | d | e | f |\n/// ```\n/// let very_long = code_in_docs();\n\
                    /// ```\nlet s = \"a very long string indeed\";\n";
        assert_eq!(wrap(text, 20), text);
    }

    #[test]
    fn a_rest_without_a_paragraph_gets_lines_of_its_own() {
        assert_eq!(
            wrap("    // aa bb cc dd\nx();\n", 12),
            "    // aa bb\n    // cc dd\nx();\n"
        );
        assert_eq!(wrap("// aa bb cc", 8), "// aa bb\n// cc\n");
    }
}
