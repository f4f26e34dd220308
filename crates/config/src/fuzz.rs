//! Entries for the fuzzer: the grammars of single values, which are reached through a fleet file
//! otherwise.
//!
//! Invariant: nothing here but calls of [`crate::values`] and [`crate::expand`]; a refused text is
//! `None`.

use std::ops::Range;

use crate::{expand, values};

/// A duration in milliseconds.
pub fn duration(text: &str) -> Option<u64> {
    values::duration(text).ok()
}

/// A size in bytes.
pub fn size(text: &str) -> Option<u64> {
    values::size(text).ok()
}

/// Name of a signal without `SIG`.
pub fn signal(text: &str) -> Option<String> {
    values::signal(text).ok()
}

/// A URL that can be probed.
pub fn http_url(text: &str) -> Option<String> {
    values::http_url(text).ok()
}

/// `host:port`.
pub fn host_port(text: &str) -> Option<String> {
    values::host_port(text).ok()
}

/// A file mode creation mask.
pub fn umask(text: &str) -> Option<u32> {
    values::umask(text).ok()
}

/// A user or group.
pub fn account(text: &str) -> Option<String> {
    values::account(text).ok()
}

/// A resource.
pub fn resource(text: &str) -> Option<String> {
    values::resource(text).ok()
}

/// Name of a daemon or profile.
pub fn name(text: &str) -> Option<String> {
    values::name(text).ok()
}

/// Name of an environment variable.
pub fn variable(text: &str) -> Option<String> {
    values::variable(text).ok()
}

/// The text with its variables filled in, and the places of what is wrong in it.
pub fn expand(text: &str, env: &dyn Fn(&str) -> Option<String>) -> (String, Vec<Range<usize>>) {
    let done = expand::expand(text, env);
    let ranges = done.troubles.into_iter().map(|trouble| trouble.range);
    (done.text, ranges.collect())
}
