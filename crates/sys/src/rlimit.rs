//! Resource limits by the names `ulimit` and `/etc/security/limits.conf` use.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const NAMES: [(&str, Resource); 16] = [
    ("as", Resource::As),
    ("core", Resource::Core),
    ("cpu", Resource::Cpu),
    ("data", Resource::Data),
    ("fsize", Resource::Fsize),
    ("locks", Resource::Locks),
    ("memlock", Resource::Memlock),
    ("msgqueue", Resource::Msgqueue),
    ("nice", Resource::Nice),
    ("nofile", Resource::Nofile),
    ("nproc", Resource::Nproc),
    ("rss", Resource::Rss),
    ("rtprio", Resource::Rtprio),
    ("rttime", Resource::Rttime),
    ("sigpending", Resource::Sigpending),
    ("stack", Resource::Stack),
];

/// A limit of this process. `None` is unlimited. Units are the kernel's: bytes, seconds or a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Limit that applies.
    pub soft: Option<u64>,
    /// Highest value the soft limit may be raised to.
    pub hard: Option<u64>,
}

/// All names that are known, sorted.
pub fn names() -> impl Iterator<Item = &'static str> {
    NAMES.iter().map(|(name, _)| *name)
}

/// Whether `name` is a known limit.
pub fn is_known(name: &str) -> bool {
    resource(name).is_some()
}

/// Sets a limit of this process and of those it will start.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] for an unknown name; `PermissionDenied` when a hard limit would
/// rise.
pub fn set(name: &str, limit: Limit) -> io::Result<()> {
    let resource = resource(name).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(setrlimit(
        resource,
        Rlimit {
            current: limit.soft,
            maximum: limit.hard,
        },
    )?)
}

/// The limit of this process.
pub fn get(name: &str) -> io::Result<Limit> {
    let resource = resource(name).ok_or(io::ErrorKind::InvalidInput)?;
    let limit = getrlimit(resource);
    Ok(Limit {
        soft: limit.current,
        hard: limit.maximum,
    })
}

fn resource(name: &str) -> Option<Resource> {
    NAMES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, resource)| *resource)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_is_set_can_be_read_back() {
        let before = get("nofile").unwrap();
        let limit = Limit {
            soft: before.hard.map(|h| h - 1).or(Some(512)),
            hard: before.hard,
        };
        set("nofile", limit).unwrap();
        assert_eq!(get("nofile").unwrap(), limit);
        assert_eq!(
            get("files").unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
        assert!(names().is_sorted());
    }
}
