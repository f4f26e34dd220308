//! Who listens on a TCP port of this machine.
//!
//! Deliberately absent: other network namespaces than this process's own.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;

use crate::process;

/// A listening TCP socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Where it listens.
    pub address: SocketAddr,
    /// Processes that hold it, sorted; empty when they may not be seen by this user.
    pub pids: Vec<u32>,
    /// Name of the first one's program, for people.
    pub program: Option<String>,
}

/// All sockets that listen on `port`, IPv4 and IPv6.
pub fn listeners(port: u16) -> io::Result<Vec<Listener>> {
    all_listeners_where(|address| address.port() == port)
}

/// All listening TCP sockets.
pub fn all_listeners() -> io::Result<Vec<Listener>> {
    all_listeners_where(|_| true)
}

fn all_listeners_where(wanted: impl Fn(&SocketAddr) -> bool) -> io::Result<Vec<Listener>> {
    let mut sockets = BTreeMap::new();
    for file in ["/proc/net/tcp", "/proc/net/tcp6"] {
        // A machine without IPv6 has no such file.
        let text = fs::read_to_string(file).unwrap_or_default();
        sockets.extend(
            text.lines()
                .skip(1)
                .filter_map(parse_line)
                .filter(|(_, at)| wanted(at)),
        );
    }
    if sockets.is_empty() {
        return Ok(Vec::new());
    }
    let mut holders = holders_of(&sockets)?;
    let listener = |(inode, address)| {
        let pids = holders.remove(&inode).unwrap_or_default();
        let program = pids.first().and_then(|pid| program_of(*pid));
        Listener {
            address,
            pids,
            program,
        }
    };
    Ok(sockets.into_iter().map(listener).collect())
}

/// One line of `/proc/net/tcp{,6}`: the socket's inode and address, if it listens.
pub fn parse_line(line: &str) -> Option<(u64, SocketAddr)> {
    const LISTEN: &str = "0A";
    let mut fields = line.split_ascii_whitespace();
    let local = fields.nth(1)?;
    if fields.nth(1)? != LISTEN {
        return None;
    }
    let inode = fields.nth(5)?.parse().ok()?;
    let (address, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some((inode, SocketAddr::new(parse_address(address)?, port)))
}

/// Addresses are printed as 32-bit words of the machine's byte order.
fn parse_address(hex: &str) -> Option<IpAddr> {
    let word = |n: usize| {
        let text = hex.get(n * 8..n * 8 + 8)?;
        u32::from_str_radix(text, 16).ok().map(u32::to_ne_bytes)
    };
    match hex.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let bytes: [u8; 16] = [word(0)?, word(1)?, word(2)?, word(3)?]
                .concat()
                .try_into()
                .ok()?;
            Some(IpAddr::V6(Ipv6Addr::from(bytes)))
        }
        _ => None,
    }
}

fn holders_of(sockets: &BTreeMap<u64, SocketAddr>) -> io::Result<BTreeMap<u64, Vec<u32>>> {
    let mut holders: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
    let mut pids = process::all()?;
    pids.sort_unstable();
    for pid in pids {
        // Processes of other users, and those that have just ended, cannot be looked into.
        let Ok(fds) = fs::read_dir(format!("/proc/{pid}/fd")) else {
            continue;
        };
        for link in fds.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok()) {
            let inode = inode_in(link.as_os_str().as_bytes());
            if let Some(inode) = inode.filter(|inode| sockets.contains_key(inode)) {
                holders.entry(inode).or_default().push(pid);
            }
        }
    }
    for pids in holders.values_mut() {
        pids.dedup();
    }
    Ok(holders)
}

/// The inode in `socket:[4711]`.
pub fn inode_in(link: &[u8]) -> Option<u64> {
    let number = link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(number).ok()?.parse().ok()
}

fn program_of(pid: u32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/comm"))
        .ok()
        .map(|name| name.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn finds_this_process_behind_its_own_port() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(socket) = TcpListener::bind(address) else {
                continue;
            };
            let at = socket.local_addr().unwrap();
            let found = listeners(at.port()).unwrap();
            let ours = found.iter().find(|l| l.address == at).unwrap();
            assert_eq!(ours.pids, [std::process::id()]);
            assert!(ours.program.is_some());
        }
    }

    #[test]
    fn a_port_nobody_listens_on() {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        assert!(
            listeners(port)
                .unwrap()
                .iter()
                .all(|l| !l.pids.contains(&std::process::id()))
        );
    }

    #[test]
    fn connections_are_not_listeners() {
        let line = "0: 0100007F:1F90 00000000:0000 01 00000000:00000000 00:00000000 0 0 0 42 1";
        assert_eq!(parse_line(line), None);
        let line = line.replace(" 01 ", " 0A ");
        assert_eq!(
            parse_line(&line),
            Some((42, "127.0.0.1:8080".parse().unwrap()))
        );
    }
}
