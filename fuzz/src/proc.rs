//! Text of the kernel, in which a process may have written its own name.
//!
//! What is promised: any bytes are understood or not, without a panic; a name cannot pretend to be
//! the fields that follow it.

use eud_sys::process::Identity;
use eud_sys::{cgroup, net, process};

pub(crate) fn run(bytes: &[u8]) {
    let _ = process::parse_stat(7, bytes);
    let _ = net::inode_in(bytes);
    let text = String::from_utf8_lossy(bytes);
    for line in text.lines() {
        let _ = net::parse_line(line);
    }
    let _ = cgroup::parse_own(&text);
    let Some((numbers, name)) = bytes.split_first_chunk::<12>() else {
        return;
    };
    let (parent, start) = numbers.split_first_chunk::<4>().expect("it has twelve");
    let parent = u32::from_le_bytes(*parent);
    let start_ticks = u64::from_le_bytes(start.try_into().expect("it has eight"));
    let mut line = b"7 (".to_vec();
    line.extend_from_slice(name);
    let fields = "1 1 0 -1 4194304 1 0 0 0 1 2 3 4 20 0 1 0";
    line.extend_from_slice(format!(") S {parent} {fields} {start_ticks} 9 9\n").as_bytes());
    let stat = process::parse_stat(7, &line).expect("a stat is understood");
    assert_eq!(
        stat.identity,
        Identity {
            pid: 7,
            start_ticks
        }
    );
    assert_eq!((stat.parent, stat.state), (parent, b'S'));
}
