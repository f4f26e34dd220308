//! What commands and servers answer to gauges.
//!
//! What is promised: any bytes give a finite number or the reason why not, in words that are short;
//! a body is whole or there is none, never more than the limit, and what is whole stays so.

use eud_manager::fuzz as manager;

/// Largest body, in bytes.
const BYTES_MAX: usize = 256;
/// Longest reason, in characters.
const REASON_MAX: usize = 400;

pub(crate) fn run(bytes: &[u8]) {
    let (pointer, text) = match bytes.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&bytes[..at.min(64)], &bytes[at + 1..]),
        None => (&bytes[..0], bytes),
    };
    let pointer = String::from_utf8_lossy(pointer);
    for number in manager::gauge_numbers(text, &pointer) {
        match number {
            Ok(number) => assert!(number.is_finite(), "{number}"),
            Err(why) => assert!(why.chars().count() <= REASON_MAX, "{why}"),
        }
    }
    let mut whole = None;
    for end in 0..=bytes.len().min(512) {
        let now = manager::http_body(&bytes[..end], false, BYTES_MAX);
        if let Ok(Some(body)) = &now {
            assert!(body.len() <= BYTES_MAX, "{} bytes", body.len());
        }
        assert!(
            whole.is_none() || whole.as_ref() == Some(&now),
            "{whole:?} became {now:?} at byte {end}"
        );
        whole = Some(now).filter(|now| !matches!(now, Ok(None)));
    }
    let last = manager::http_body(bytes, true, BYTES_MAX);
    assert!(last != Ok(None), "there is nothing to wait for");
}
