//! `eud why`: the chain of causes in sentences.

use eud_core::view::Explanation;

use super::Screen;
use super::ink::Ink;
use super::layout::one_line;

/// Sentences, the first flush, each cause deeper than what it causes; then log lines and what to
/// do.
pub(crate) fn render(why: &Explanation, logs: &[(String, Vec<String>)], screen: &Screen) -> String {
    let mut text = String::new();
    for (depth, sentence) in why.sentences.iter().enumerate() {
        let indent = "  ".repeat(depth.min(6));
        for line in wrap(
            &one_line(sentence),
            screen.width.saturating_sub(indent.len()).max(20),
        ) {
            text.push_str(&format!("{indent}{line}\n"));
        }
    }
    for (unit, lines) in logs.iter().filter(|(_, lines)| !lines.is_empty()) {
        text.push_str(&format!(
            "\n{} said last:\n",
            Ink::Bold.paint(screen.color, unit)
        ));
        for line in lines {
            text.push_str(&format!(
                "  {}\n",
                super::layout::cut_end(line, screen.width - 2)
            ));
        }
    }
    let fix = why
        .fix_first
        .as_ref()
        .map(|unit| format!("Fix first: {unit}."));
    let parts: Vec<&str> = fix
        .iter()
        .map(String::as_str)
        .chain(why.next.iter().map(String::as_str))
        .collect();
    if !parts.is_empty() {
        let last = parts.join("   ");
        text.push_str(&format!("\n{}\n", Ink::Bold.paint(screen.color, &last)));
    }
    text
}

/// Words in lines of at most `room` columns; a word longer than that has a line of its own.
pub(crate) fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if super::layout::width(line) + 1 + super::layout::width(word) <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
