//! Lines of a log.
//!
//! What is promised: any line is a record or shown as it is; nothing of its text is lost when parts
//! are joined; times mean what RFC 3339 says.

use crate::logs::cri::{Joiner, Record, Stream, parse, time_of};

pub(crate) fn run(bytes: &[u8]) {
    let mut joiner = Joiner::default();
    let (mut written, mut read) = (0, 0);
    for line in bytes.split(|byte| *byte == b'\n') {
        match parse(line) {
            Some(record) => {
                is_true(line, &record);
                written += record.text.len();
            }
            None => written += line.len(),
        }
        read += joiner.feed(line).map_or(0, |line| line.text.len());
    }
    read += joiner
        .finish()
        .iter()
        .map(|line| line.text.len())
        .sum::<usize>();
    assert_eq!(read, written, "text is lost or made up");
}

fn is_true(line: &[u8], record: &Record<'_>) {
    assert_eq!(time_of(line), Some(record.at_ns));
    let at = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    let at = std::str::from_utf8(at).expect("a time is text");
    let meant: jiff::Timestamp = at.parse().expect("RFC 3339");
    assert_eq!(i128::from(record.at_ns), meant.as_nanosecond(), "{at}");
    let stamp = format!(
        "{:.9}",
        jiff::Timestamp::from_nanosecond(record.at_ns.into()).unwrap()
    );
    let stream = match record.stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
    };
    assert_eq!(record.stream.as_str(), stream);
    let tag = if record.partial { "P" } else { "F" };
    let mut again = format!("{stamp} {stream} {tag} ").into_bytes();
    again.extend_from_slice(record.text);
    assert_eq!(parse(&again).as_ref(), Some(record));
}
