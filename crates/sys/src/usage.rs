//! What processes and the machine use, as the kernel tells.
//!
//! Invariants: a number that cannot be had is an error, never zero.
//! Deliberately absent: sums over a run; who belongs to it is the caller's to know.

use std::fs;
use std::io;
use std::path::Path;

/// CPU time of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// Of its own, in milliseconds.
    pub own_ms: u64,
    /// Of the children that it has collected, with theirs, in milliseconds.
    pub collected_ms: u64,
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// CPU time of a process.
///
/// # Errors
/// When there is no such process.
pub fn cpu_time(pid: u32) -> io::Result<CpuTime> {
    let text = fs::read(format!("/proc/{pid}/stat"))?;
    // SAFETY: takes a number and gives one.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    let per_second = u64::try_from(per_second).unwrap_or(100).max(1);
    parse_cpu_time(&text, per_second).ok_or_else(|| invalid("an odd /proc/<pid>/stat"))
}

fn parse_cpu_time(stat: &[u8], ticks_per_second: u64) -> Option<CpuTime> {
    let after_name = stat.iter().rposition(|b| *b == b')')?;
    let rest = std::str::from_utf8(stat.get(after_name + 1..)?).ok()?;
    // The first field after the name is the third; `utime` is the 14th.
    let mut fields = rest.split_ascii_whitespace().skip(14 - 3);
    let mut ms = || {
        // The times of children are signed, for no reason that anybody remembers.
        let ticks: i64 = fields.next()?.parse().ok()?;
        let ticks = u64::try_from(ticks).unwrap_or(0);
        Some(ticks.saturating_mul(1000) / ticks_per_second)
    };
    let (user, system, children_user, children_system) = (ms()?, ms()?, ms()?, ms()?);
    Some(CpuTime {
        own_ms: user + system,
        collected_ms: children_user + children_system,
    })
}

/// Bytes of a process's pages that are in memory; pages that it shares count in full.
///
/// # Errors
/// When there is no such process.
pub fn resident_bytes(pid: u32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let pages: Option<u64> = text
        .split_ascii_whitespace()
        .nth(1)
        .and_then(|n| n.parse().ok());
    let pages = pages.ok_or_else(|| invalid("an odd /proc/<pid>/statm"))?;
    Ok(pages.saturating_mul(rustix::param::page_size() as u64))
}

/// Bytes of a process's pages that are in memory; of a page shared by n processes, an n-th. Dearer
/// than [`resident_bytes`].
///
/// # Errors
/// When there is no such process, or it is another user's.
pub fn proportional_bytes(pid: u32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kb = line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<u64>().ok());
    let kb = kb.ok_or_else(|| invalid("an odd /proc/<pid>/smaps_rollup"))?;
    Ok(kb.saturating_mul(1024))
}

/// Bytes that a process has read so far, from whatever it was.
///
/// # Errors
/// When there is no such process, it is another user's, or the kernel does not count.
pub fn bytes_read(pid: u32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/io"))?;
    let count = text.lines().find_map(|line| line.strip_prefix("rchar: "));
    count
        .and_then(|count| count.parse().ok())
        .ok_or_else(|| invalid("an odd /proc/<pid>/io"))
}

/// Percent of the space of the file system at `path` that is in use, of what may be used at all; as
/// df(1) counts, not rounded. Blocks while the file system does not answer.
///
/// # Errors
/// Those of statvfs(3); `InvalidData` for a file system without size.
pub fn disk_used_percent(path: &Path) -> io::Result<f64> {
    let stat = rustix::fs::statvfs(path)?;
    let used = stat.f_blocks.saturating_sub(stat.f_bfree);
    let all = used.saturating_add(stat.f_bavail);
    if all == 0 {
        return Err(invalid("this file system has no size"));
    }
    #[expect(clippy::cast_precision_loss, reason = "a percentage")]
    Ok(used as f64 * 100.0 / all as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_whatever_the_name() {
        let stat = b"7 (a) b (c)) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 -1 30 20 0 1 0 99 0 0";
        let time = parse_cpu_time(stat, 100).unwrap();
        assert_eq!((time.own_ms, time.collected_ms), (2_000, 300));
        assert_eq!(parse_cpu_time(b"7 (x) S 1 2", 100), None);
        assert_eq!(parse_cpu_time(b"", 100), None);
    }

    #[test]
    fn this_process_uses_something() {
        let me = std::process::id();
        let resident = resident_bytes(me).unwrap();
        assert!(resident > 100_000, "{resident}");
        let proportional = proportional_bytes(me).unwrap();
        assert!((1..resident * 2).contains(&proportional), "{proportional}");
        let before = cpu_time(me).unwrap();
        let mut sum = 0_u64;
        while cpu_time(me).unwrap().own_ms < before.own_ms + 20 {
            sum = sum.wrapping_mul(31).wrapping_add(7);
        }
        assert!(bytes_read(me).unwrap() > 0, "{sum}");
        assert!(resident_bytes(u32::MAX).is_err());
    }

    #[test]
    fn a_disk_is_used_in_part() {
        let percent = disk_used_percent(Path::new("/")).unwrap();
        assert!((0.0..=100.0).contains(&percent), "{percent}");
        assert!(disk_used_percent(Path::new("/no/such/place")).is_err());
        let empty = disk_used_percent(Path::new("/proc")).unwrap_err();
        assert_eq!(empty.to_string(), "this file system has no size");
    }
}
