//! Numbers in what others wrote: a command's output, a JSON document.
//!
//! Invariants: never NaN nor infinite; what is no number is an error that shows what was there, as
//! far as that is short.

/// Largest JSON document, in bytes.
pub const JSON_BYTES_MAX: usize = 1 << 20;

/// Characters of a foreign text that an error shows.
const SHOWN_MAX: usize = 60;

/// The first number in a text. Numbers stand alone: `depth: 512 items` has one, `v2` has none.
pub(crate) fn first(text: &[u8]) -> Result<f64, String> {
    let text = String::from_utf8_lossy(text);
    let apart = |c: char| c.is_whitespace() || ":=,;()[]{}\"'".contains(c);
    let number = text.split(apart).find_map(|word| {
        let word = word.strip_suffix('%').unwrap_or(word);
        // Words such as `inf` and `nan` would be numbers to the parser.
        let begins = word.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
        let ends = word.ends_with(|c: char| c.is_ascii_digit() || c == '.');
        let number: f64 = word.parse().ok().filter(|_| begins && ends)?;
        number.is_finite().then_some(number)
    });
    number.ok_or_else(|| match text.trim() {
        "" => "wrote nothing".to_owned(),
        other => format!("wrote no number: {}", shown(other)),
    })
}

/// The number at a place (RFC 6901) of a JSON document.
pub(crate) fn at(document: &[u8], pointer: &str) -> Result<f64, String> {
    let document: serde_json::Value = serde_json::from_slice(document)
        .map_err(|e| format!("is no JSON: {}", shown(&e.to_string())))?;
    let found = document
        .pointer(pointer)
        .ok_or_else(|| format!("has nothing at `{pointer}`"))?;
    let number = found.as_f64().filter(|number| number.is_finite());
    number.ok_or_else(|| {
        let place = if pointer.is_empty() { "/" } else { pointer };
        format!("has no number at `{place}`: {}", shown(&found.to_string()))
    })
}

fn shown(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_number_that_stands_alone_counts() {
        for (text, expected) in [
            ("512\n", 512.0),
            ("depth: 512 items, 3 old", 512.0),
            ("depth=7.25", 7.25),
            ("  -4e2", -400.0),
            ("v2 has (93%) full", 93.0),
            ("{\"depth\": 12}", 12.0),
            (".5", 0.5),
        ] {
            assert_eq!(first(text.as_bytes()), Ok(expected), "{text}");
        }
        for text in [
            "inf", "nan", "NaN", "-", "v2", "12px", "1e999", "0x10", "infinity",
        ] {
            let why = first(text.as_bytes()).unwrap_err();
            assert_eq!(why, format!("wrote no number: {text}"));
        }
        assert_eq!(first(b" \n").unwrap_err(), "wrote nothing");
        assert_eq!(first(b"\xff\xfe 3"), Ok(3.0));
        let long = first("x".repeat(500).as_bytes()).unwrap_err();
        assert!(long.chars().count() < 100, "{long}");
    }

    #[test]
    fn a_pointer_leads_to_a_number_or_the_error_says_what_is_there() {
        let document = br#"{"queues": [{"depth": 512, "name": "q"}], "a/b": 1.5, "": {"x": null}}"#;
        assert_eq!(at(document, "/queues/0/depth"), Ok(512.0));
        assert_eq!(at(document, "/a~1b"), Ok(1.5));
        assert_eq!(at(b"42", ""), Ok(42.0));
        for (pointer, expected) in [
            ("/queues/1/depth", "has nothing at `/queues/1/depth`"),
            ("/queues/0/name", "has no number at `/queues/0/name`: \"q\""),
            ("//x", "has no number at `//x`: null"),
        ] {
            assert_eq!(at(document, pointer).unwrap_err(), expected);
        }
        for broken in [&b"{\"depth\": "[..], b"", b"<html>", b"\xff", b"[NaN]"] {
            assert!(at(broken, "").unwrap_err().starts_with("is no JSON: "));
        }
        let deep = "[".repeat(100_000);
        assert!(
            at(deep.as_bytes(), "")
                .unwrap_err()
                .starts_with("is no JSON")
        );
    }
}
