//! The keeper's protocol, in both directions.
//!
//! What is promised: what one side says the other understands, text by text; whatever else comes in
//! is an error value or ignored; how the bytes are cut makes no difference.

use arbitrary::{Result, Unstructured};
use eud_keeper::{LaunchSpec, fuzz as keeper};
use eud_manager::fuzz as manager;
use eud_sys::rlimit::Limit;
use eud_sys::signal::Signal;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

pub(crate) fn launch_spec(bytes: &[u8]) {
    if let Ok(spec) = LaunchSpec::decode(bytes) {
        let again = spec.encode().expect("what was understood can be said");
        assert_eq!(
            LaunchSpec::decode(&again).expect("and understood again"),
            spec
        );
    }
    if let Ok(spec) = made_up(&mut Unstructured::new(bytes))
        && let Ok(encoded) = spec.encode()
    {
        assert_eq!(
            LaunchSpec::decode(&encoded).expect("what was said is understood"),
            spec
        );
    }
}

fn made_up(u: &mut Unstructured<'_>) -> Result<LaunchSpec> {
    let word = |u: &mut Unstructured<'_>| Ok(OsString::from_vec(u.arbitrary()?));
    let words = |u: &mut Unstructured<'_>| -> Result<Vec<OsString>> {
        (0..u.int_in_range(0..=3)?).map(|_| word(u)).collect()
    };
    let mut spec = LaunchSpec {
        unit: u.arbitrary()?,
        run: u.arbitrary()?,
        generation: u.arbitrary()?,
        args: words(u)?,
        stop_args: words(u)?,
        cwd: word(u)?.into(),
        lock: word(u)?.into(),
        uid: u.arbitrary()?,
        gid: u.arbitrary()?,
        groups: u.arbitrary()?,
        umask: u.arbitrary()?,
        nice: u.arbitrary()?,
        grace_ms: u.arbitrary()?,
        timeout_ms: u.arbitrary()?,
        notify: u.arbitrary()?,
        cgroup: u.arbitrary()?,
        stop_signal: Signal::from_number(u.int_in_range(1..=64)?).unwrap_or(Signal::TERM),
        ..LaunchSpec::default()
    };
    for _ in 0..u.int_in_range(0..=3)? {
        spec.env.push((word(u)?, word(u)?));
    }
    if u.arbitrary()? {
        let limit = Limit {
            soft: u.arbitrary()?,
            hard: u.arbitrary()?,
        };
        spec.rlimits.push(("nofile".to_owned(), limit));
    }
    Ok(spec)
}

pub(crate) fn says(bytes: &[u8]) {
    for line in bytes.split(|byte| *byte == b'\n') {
        // Sense or nonsense, but no panic.
        let _ = manager::keeper_line(line);
    }
    let text = String::from_utf8_lossy(bytes).into_owned();
    for (event, key) in [
        ("notify", "message"),
        ("rotated", "file"),
        ("log-blocked", "error"),
    ] {
        let line = keeper::event(event, key, &text);
        assert!(!line.contains('\n'), "{line:?}");
        let heard = manager::keeper_line(line.as_bytes());
        assert_eq!(heard, Ok((event, Some(text.clone()))), "{line}");
    }
    let spec = LaunchSpec {
        unit: text.clone(),
        run: text.clone(),
        ..LaunchSpec::default()
    };
    let hello = keeper::hello(&spec);
    assert_eq!(
        manager::keeper_line(hello.as_bytes()),
        Ok(("hello", Some(text)))
    );
}

/// The first bytes say where the rest is cut.
pub(crate) fn is_told(bytes: &[u8]) {
    const LINE_MAX: usize = 4096;
    let Some((cuts, bytes)) = bytes.split_first_chunk::<2>() else {
        return;
    };
    let mut pieces = Vec::new();
    let mut rest = bytes;
    for cut in cuts {
        let (piece, later) = rest.split_at(rest.len() * usize::from(*cut) / 256);
        pieces.push(piece);
        rest = later;
    }
    pieces.push(rest);
    let (mut expected, mut is_lost) = (Vec::new(), false);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        // The newline counts.
        is_lost = line.len() > LINE_MAX;
        if is_lost {
            break;
        }
        if line.ends_with(b"\n") {
            expected.extend(understood(line));
        }
    }
    let found = keeper::requests(&pieces).expect("sockets can be had");
    assert_eq!(found, (expected, is_lost));
}

fn understood(line: &[u8]) -> Option<String> {
    let line = std::str::from_utf8(line).ok()?;
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    match words.as_slice() {
        ["stop"] => Some("stop".to_owned()),
        ["kill"] => Some("kill".to_owned()),
        ["signal", name] => {
            let signal = Signal::parse(name)?;
            let line = manager::signal_line(name);
            assert!(line.ends_with(&format!("{name}\n")));
            Some(format!("signal {}", signal.number()))
        }
        _ => None,
    }
}
