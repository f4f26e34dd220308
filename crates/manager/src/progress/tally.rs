//! Adding up what lines say.
//!
//! Invariants: any bytes give a progress, never a panic; texts are one line without control
//! characters, of at most [`TEXT_CHARS_MAX`] and [`RESULT_CHARS_MAX`] characters.

use std::collections::VecDeque;

use eud_core::fleet::ProgressFrom;
use eud_core::record::TaskProgress;

use super::agent::{self, Said, Usage};
use crate::log_follow::OutputLine;

/// Longest text of what it is doing, in characters.
const TEXT_CHARS_MAX: usize = 200;

/// Longest part of a result that is kept, in characters.
const RESULT_CHARS_MAX: usize = 2_000;

/// Messages whose usage may still be corrected.
const MESSAGES_MAX: usize = 32;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    progress: TaskProgress,
    /// Usage of messages that were told last: an agent tells a message again with each of its
    /// parts.
    messages: VecDeque<(String, Usage)>,
    /// Usage of those before.
    earlier: Usage,
}

impl Tally {
    /// All there is by now.
    pub(crate) fn progress(&self) -> &TaskProgress {
        &self.progress
    }

    /// Takes one line over.
    pub(crate) fn line(&mut self, from: ProgressFrom, line: OutputLine<'_>) {
        match from {
            ProgressFrom::Output => {
                let text = one_line(&String::from_utf8_lossy(line.text), TEXT_CHARS_MAX);
                self.step(line.time);
                self.progress.text = text.or(self.progress.text.take());
            }
            ProgressFrom::Json => self.json(line),
        }
    }

    fn step(&mut self, time: &str) {
        self.progress.steps += 1;
        let at = time.parse::<jiff::Timestamp>();
        // A line that was cut off has no time of its own.
        self.progress.at_ms = at
            .ok()
            .map(jiff::Timestamp::as_millisecond)
            .or(self.progress.at_ms);
    }

    fn json(&mut self, line: OutputLine<'_>) {
        if !line.text.trim_ascii_start().starts_with(b"{") {
            return;
        }
        let said = if line.is_cut {
            // It was an object when it was whole.
            Some(Vec::new())
        } else {
            agent::read(line.text)
        };
        let Some(said) = said else { return };
        self.step(line.time);
        for one in said {
            self.take(one);
        }
    }

    fn take(&mut self, said: Said) {
        let progress = &mut self.progress;
        match said {
            Said::Text(text) => {
                let text = one_line(&text, TEXT_CHARS_MAX);
                progress.text = text.or(progress.text.take());
            }
            Said::Result(text) => {
                let result = first_chars(&text, RESULT_CHARS_MAX);
                if !result.is_empty() {
                    progress.result = Some(result);
                }
            }
            Said::Message { id, usage } => self.message(id, usage),
            // What a whole run used cannot be less than what its parts did.
            Said::Total(usage) => {
                progress.tokens_in = progress.tokens_in.max(usage.tokens_in);
                progress.tokens_out = progress.tokens_out.max(usage.tokens_out);
            }
            Said::Now(usage) => {
                progress.tokens_in = usage.tokens_in.or(progress.tokens_in);
                progress.tokens_out = usage.tokens_out.or(progress.tokens_out);
            }
            Said::Cost(micros) => progress.cost_micros = Some(micros),
        }
    }

    fn message(&mut self, id: String, usage: Usage) {
        match self.messages.iter_mut().find(|(known, _)| *known == id) {
            Some((_, known)) => *known = known.max(usage),
            None => self.messages.push_back((id, usage)),
        }
        if self.messages.len() > MESSAGES_MAX
            && let Some((_, usage)) = self.messages.pop_front()
        {
            self.earlier = self.earlier.plus(usage);
        }
        let all = self.messages.iter().map(|(_, usage)| *usage);
        let sum = all.fold(self.earlier, Usage::plus);
        self.progress.tokens_in = self.progress.tokens_in.max(sum.tokens_in);
        self.progress.tokens_out = self.progress.tokens_out.max(sum.tokens_out);
    }
}

/// The last line that says something, without what only a terminal understands.
fn one_line(text: &str, chars_max: usize) -> Option<String> {
    let plain = without_escapes(text);
    // A bar of progress is written over itself.
    let parts = plain.rsplit(['\n', '\r']);
    let last = parts.map(str::trim).find(|part| !part.is_empty())?;
    Some(first_chars(last, chars_max))
}

fn first_chars(text: &str, chars_max: usize) -> String {
    let text = text.trim();
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    match text.char_indices().nth(chars_max) {
        None => text.chars().map(shown).collect(),
        Some(_) => {
            let kept = text.chars().take(chars_max - 1).map(shown);
            kept.chain(['…']).collect()
        }
    }
}

/// Leaves out escape sequences: ESC `[` … letter, and ESC with one more character.
fn without_escapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            out.push(c);
        } else if chars.next() == Some('[') {
            let _ = chars.find(|c| ('@'..='~').contains(c));
        }
    }
    out
}
