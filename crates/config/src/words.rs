//! Splitting a command into words, without a shell.
//!
//! Purpose: `command = "node drain.js --name 'a b'"` means the words a shell would pass, and
//! nothing else a shell does. Words are split before variables are expanded, so a value with spaces
//! stays one word.
//! Deliberately absent: comments, globs, operators. An operator outside quotes is a word like any
//! other, and [`Word::operator`] says so, because it is rarely meant.

use std::ops::Range;

/// A word of a command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) parts: Vec<Part>,
    /// Where it is in the string.
    pub(crate) range: Range<usize>,
    /// It is not quoted and a shell would not pass it as it is.
    pub(crate) operator: bool,
}

/// A piece of a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// From single quotes or after a backslash: taken as it is.
    Literal(String),
    /// May contain `${VAR}`, which is expanded. Starts at this byte of the string.
    Open(String, usize),
}

/// A quote without its end: where it begins.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unbalanced(pub(crate) usize);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quote {
    None,
    Single(usize),
    Double(usize),
}

struct Splitter<'t> {
    text: &'t str,
    /// `{{ … }}` is one piece.
    templates: bool,
    at: usize,
    word: Option<Word>,
    words: Vec<Word>,
}

/// Words of a command.
pub(crate) fn split(text: &str) -> Result<Vec<Word>, Unbalanced> {
    split_by(text, false)
}

/// Words of a command in which a template such as `{{ task.prompt }}` stands unbroken.
pub(crate) fn split_templates(text: &str) -> Result<Vec<Word>, Unbalanced> {
    split_by(text, true)
}

fn split_by(text: &str, templates: bool) -> Result<Vec<Word>, Unbalanced> {
    let mut splitter = Splitter {
        text,
        templates,
        at: 0,
        word: None,
        words: Vec::new(),
    };
    let mut quote = Quote::None;
    while let Some(c) = splitter.rest().chars().next() {
        quote = match quote {
            Quote::None => splitter.plain(c),
            Quote::Single(from) => splitter.single(c, from),
            Quote::Double(from) => splitter.double(c, from),
        };
    }
    match quote {
        Quote::None => {
            splitter.end_word();
            Ok(splitter.words)
        }
        Quote::Single(from) | Quote::Double(from) => Err(Unbalanced(from)),
    }
}

impl Splitter<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn plain(&mut self, c: char) -> Quote {
        let from = self.at;
        match c {
            ' ' | '\t' | '\n' | '\r' => {
                self.end_word();
                self.at += c.len_utf8();
            }
            '\'' | '"' => {
                self.word();
                self.at += 1;
                return if c == '\'' {
                    Quote::Single(from)
                } else {
                    Quote::Double(from)
                };
            }
            '\\' => self.escape(|_| true),
            _ => self.open(c),
        }
        Quote::None
    }

    fn single(&mut self, c: char, from: usize) -> Quote {
        self.at += c.len_utf8();
        if c == '\'' {
            return Quote::None;
        }
        self.literal(c);
        Quote::Single(from)
    }

    fn double(&mut self, c: char, from: usize) -> Quote {
        match c {
            '"' => {
                self.at += 1;
                return Quote::None;
            }
            '\\' => self.escape(|c| matches!(c, '"' | '\\' | '$' | '`')),
            _ => self.open(c),
        }
        Quote::Double(from)
    }

    /// A backslash takes the meaning from the next character, if it `has` one here.
    fn escape(&mut self, has: impl Fn(char) -> bool) {
        let next = self.rest().chars().nth(1);
        self.word();
        self.at += 1;
        match next {
            Some('\n') => self.at += 1,
            Some(c) if has(c) => {
                self.at += c.len_utf8();
                self.literal(c);
            }
            _ => self.literal('\\'),
        }
    }

    /// A character in which `${VAR}` counts. A reference is taken whole, so that its default may
    /// hold spaces.
    fn open(&mut self, c: char) {
        let rest = self.rest();
        let length = if rest.starts_with("$${") {
            3
        } else if rest.starts_with("${") {
            rest.find('}').map_or(2, |end| end + 1)
        } else if self.templates && rest.starts_with("{{") {
            rest.find("}}").map_or(2, |end| end + 2)
        } else {
            c.len_utf8()
        };
        let from = self.at;
        let piece = rest.get(..length).unwrap_or_default().to_owned();
        self.word();
        self.at += length;
        match self.word().parts.last_mut() {
            Some(Part::Open(text, start)) if *start + text.len() == from => text.push_str(&piece),
            _ => self.word().parts.push(Part::Open(piece, from)),
        }
    }

    fn literal(&mut self, c: char) {
        match self.word().parts.last_mut() {
            Some(Part::Literal(text)) => text.push(c),
            _ => self.word().parts.push(Part::Literal(c.to_string())),
        }
    }

    fn word(&mut self) -> &mut Word {
        let at = self.at;
        self.word.get_or_insert_with(|| Word {
            range: at..at,
            ..Word::default()
        })
    }

    fn end_word(&mut self) {
        if let Some(mut word) = self.word.take() {
            word.range.end = self.at;
            let written = self.text.get(word.range.clone()).unwrap_or_default();
            word.operator = is_operator(written);
            self.words.push(word);
        }
    }
}

/// What a shell would act upon instead of passing it on.
fn is_operator(word: &str) -> bool {
    let redirection = word.trim_start_matches(|c: char| c.is_ascii_digit());
    matches!(word, "|" | "||" | "&&" | ";" | "&" | "|&")
        || redirection.starts_with(['>', '<'])
        || word.starts_with("$(")
        || word.starts_with('`')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let flat = |part: &Part| match part {
            Part::Literal(text) => format!("[{text}]"),
            Part::Open(text, _) => text.clone(),
        };
        match split(text) {
            Ok(words) => words
                .iter()
                .map(|w| w.parts.iter().map(flat).collect())
                .collect(),
            Err(Unbalanced(at)) => vec![format!("unbalanced at {at}")],
        }
    }

    #[test]
    fn words_are_those_of_a_shell() {
        for (text, expected) in [
            ("a  b\tc", vec!["a", "b", "c"]),
            ("a 'b c' \"d e\"", vec!["a", "[b c]", "d e"]),
            ("a\\ b", vec!["a[ ]b"]),
            ("''", vec![""]),
            ("x\"\\\"y\\n\"", vec!["x[\"]y[\\]n"]),
            ("${A:-b c} d", vec!["${A:-b c}", "d"]),
            ("'${A}' \\${B}", vec!["[${A}]", "[$]{B}"]),
            ("# a", vec!["#", "a"]),
            ("a 'b", vec!["unbalanced at 2"]),
            ("a \"b\\\"", vec!["unbalanced at 2"]),
            ("a\\", vec!["a[\\]"]),
            ("", vec![]),
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
    }

    #[test]
    fn templates_are_not_broken() {
        let words = |text| -> Vec<String> {
            let words = split_templates(text).unwrap();
            let range = |word: &Word| text[word.range.clone()].to_owned();
            words.iter().map(range).collect()
        };
        assert_eq!(words("a {{ b | c('d e') }}x"), ["a", "{{ b | c('d e') }}x"]);
        assert_eq!(words("a {{ b"), ["a", "{{", "b"]);
    }

    #[test]
    fn operators_count_only_outside_quotes() {
        let operators = |text| split(text).unwrap().iter().filter(|w| w.operator).count();
        assert_eq!(operators("a | b 2>&1 && c > d ; $(e)"), 6);
        assert_eq!(operators("a '|' \"&&\" x>y"), 0);
    }
}
