//! What the output of a task says of its progress.
//!
//! What is promised: any bytes give a progress; its texts are one line without control characters,
//! and bounded; more output never takes back steps, tokens that a message used, or time.

use eud_manager::fuzz as manager;
use serde_json::Value;

const TEXT_CHARS_MAX: usize = 200;
const RESULT_CHARS_MAX: usize = 2_000;

pub(crate) fn run(bytes: &[u8]) {
    for is_json in [false, true] {
        let progress = manager::progress(bytes, is_json);
        for (text, chars_max) in [
            (&progress.text, TEXT_CHARS_MAX),
            (&progress.result, RESULT_CHARS_MAX),
        ] {
            let Some(text) = text else { continue };
            assert!(
                !text.is_empty() && text.chars().count() <= chars_max,
                "{text:?}"
            );
            assert!(!text.contains(char::is_control), "{text:?}");
        }
        let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
        let expected = lines
            .iter()
            .filter(|line| !is_json || is_object(line))
            .count();
        assert_eq!(progress.steps, expected as u64);
        assert_eq!(progress.at_ms.is_some(), expected > 0);
        let but_the_last = lines.len().saturating_sub(1);
        let before = manager::progress(&lines[..but_the_last].join(&b'\n'), is_json);
        assert!(before.steps <= progress.steps.max(1));
        assert!(progress.result.is_some() || before.result.is_none());
    }
}

fn is_object(line: &[u8]) -> bool {
    let text = String::from_utf8_lossy(line);
    serde_json::from_str::<Value>(&text).is_ok_and(|value| value.is_object())
}
