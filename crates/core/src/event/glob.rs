//! Patterns of event types.
//!
//! A pattern is a type in which `*` stands for any text without a dot, and a last `.*` or a lone
//! `*` for any rest: `daemon.*` means `daemon.ready` and `daemon.log.full`, `*.failed` means
//! `task.failed`. Nothing else is special.

/// Whether a type is meant by a pattern.
pub fn matches(pattern: &str, kind: &str) -> bool {
    if pattern == "*" {
        return true;
    }
    if let Some(prefix) = pattern.strip_suffix(".*") {
        let mut parts = kind.split('.');
        let fits = prefix
            .split('.')
            .all(|piece| parts.next().is_some_and(|part| piece_fits(piece, part)));
        return fits && parts.next().is_some();
    }
    let (mut pieces, mut parts) = (pattern.split('.'), kind.split('.'));
    loop {
        match (pieces.next(), parts.next()) {
            (None, None) => return true,
            (Some(piece), Some(part)) if piece_fits(piece, part) => {}
            _ => return false,
        }
    }
}

/// One piece between dots, with any number of `*`.
fn piece_fits(piece: &str, part: &str) -> bool {
    let Some((first, rest)) = piece.split_once('*') else {
        return piece == part;
    };
    let Some(mut left) = part.strip_prefix(first) else {
        return false;
    };
    let mut texts: Vec<&str> = rest.split('*').collect();
    let Some(last) = texts.pop() else {
        return true;
    };
    for text in texts {
        let Some(at) = left.find(text) else {
            return false;
        };
        left = &left[at + text.len()..];
    }
    left.ends_with(last)
}

/// Checks a pattern.
///
/// # Errors
/// In words, when it could never mean a type.
pub fn parse(pattern: &str) -> Result<(), String> {
    if pattern.is_empty() {
        return Err("a pattern of event types is not empty; `*` means all".to_owned());
    }
    if let Some(bad) = pattern
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || "._-*".contains(*c)))
    {
        return Err(format!(
            "`{bad}` cannot be in an event type; a pattern has letters, digits, `.`, `_`, `-` and `*`"
        ));
    }
    if pattern.split('.').any(str::is_empty) {
        return Err("there is nothing between two dots".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_say() {
        let table = [
            ("*", "a", true),
            ("*", "a.b.c", true),
            ("a.*", "a.b", true),
            ("a.*", "a.b.c", true),
            ("a.*", "a", false),
            ("a.*", "ab.c", false),
            ("*.failed", "task.failed", true),
            ("*.failed", "a.task.failed", false),
            ("a.b", "a.b", true),
            ("a.b", "a.b.c", false),
            ("a.b*", "a.bc", true),
            ("a.*c", "a.bc", true),
            ("a.*c", "a.cb", false),
            ("a.x*y*z", "a.x1y2z", true),
            ("a.x*y*z", "a.xz", false),
            ("*.*", "a", false),
            ("*.*", "a.b", true),
        ];
        for (pattern, kind, expected) in table {
            assert_eq!(matches(pattern, kind), expected, "{pattern} {kind}");
        }
        for bad in ["", "a b", "src/**/*.ts", "a..b", ".a", "a."] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        for good in ["*", "a.*", "*.failed", "a-b_c.D"] {
            assert!(parse(good).is_ok(), "{good}");
        }
    }
}
