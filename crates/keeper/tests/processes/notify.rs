//! Messages by the sd_notify protocol.

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use eud_keeper::LaunchSpec;

use crate::harness::{Bench, Kept, is_root, next_event, skipped};

/// Says where it may be told something, and stays.
const TELL_ADDRESS: &str =
    "echo address $NOTIFY_SOCKET; echo watchdog $WATCHDOG_USEC; exec sleep 1000";

fn notify(spec: &mut LaunchSpec) {
    spec.notify = true;
    spec.watchdog_ms = Some(1_500);
}

fn address_of(kept: &Kept) -> String {
    kept.said("address ")
}

fn send(address: &str, message: &[u8]) -> std::io::Result<usize> {
    let socket = UnixDatagram::unbound()?;
    match address.strip_prefix('@') {
        Some(name) => {
            socket.send_to_addr(message, &SocketAddr::from_abstract_name(name.as_bytes())?)
        }
        None => socket.send_to(message, address),
    }
}

/// Sends as another user: credentials are those of the thread.
fn send_as(uid: u32, address: &str, message: &'static [u8]) -> std::io::Result<usize> {
    let address = address.to_owned();
    let as_other = move || {
        let uid = rustix::process::Uid::from_raw(uid);
        rustix::thread::set_thread_res_uid(uid, uid, uid)?;
        send(&address, message)
    };
    std::thread::spawn(as_other).join().unwrap()
}

#[track_caller]
fn message(kept: &mut Kept) -> String {
    kept.wait_for("notify")["message"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn messages_are_passed_on_and_what_matters_is_remembered() {
    let bench = Bench::new();
    let mut kept = bench.start_with(&["sh", "-c", TELL_ADDRESS], notify);
    let address = address_of(&kept);
    assert_eq!(kept.said("watchdog "), "1500000");
    assert_eq!(address, kept.folder.join("notify.sock").to_str().unwrap());
    assert_eq!(
        fs::metadata(&address).unwrap().permissions().mode() & 0o777,
        0o600
    );

    send(&address, b"STATUS=loading 3 \"models\"\nMAINPID=1").unwrap();
    assert_eq!(message(&mut kept), "STATUS=loading 3 \"models\"\nMAINPID=1");
    let hello = next_event(&mut kept.connect()).unwrap();
    assert_eq!(
        (&hello["ready"], &hello["status"]),
        (&false.into(), &"loading 3 \"models\"".into())
    );

    send(&address, b"READY=1\n").unwrap();
    assert_eq!(message(&mut kept), "READY=1\n");
    send(&address, b"WATCHDOG=1").unwrap();
    assert_eq!(message(&mut kept), "WATCHDOG=1");
    let hello = next_event(&mut kept.connect()).unwrap();
    assert_eq!(hello["ready"], true);
    // MAINPID is not obeyed.
    let noted = eud_keeper::noted(&kept.folder).unwrap().unwrap();
    assert_eq!(hello["pid"], noted.command.unwrap().pid);
    kept.ask("stop\n");
    kept.ended();
}

#[test]
fn garbage_is_passed_on_as_text_or_dropped() {
    let bench = Bench::new();
    let mut kept = bench.start_with(&["sh", "-c", TELL_ADDRESS], notify);
    let address = address_of(&kept);
    send(&address, &[b'x'; 5_000]).unwrap();
    send(&address, b"").unwrap();
    send(&address, b"\xff\0=\n").unwrap();
    send(&address, b"READY=1").unwrap();
    assert_eq!(message(&mut kept), "");
    assert_eq!(message(&mut kept), "\u{fffd}\0=\n");
    assert_eq!(message(&mut kept), "READY=1");
    kept.ask("stop\n");
    kept.ended();
}

#[test]
fn a_long_path_gives_an_abstract_address() {
    let bench = Bench::new();
    let (run, folder) = bench.new_run();
    let deep = folder.join("d".repeat(100));
    fs::create_dir(&deep).unwrap();
    let mut spec = bench.spec(&run, &["sh", "-c", TELL_ADDRESS]);
    notify(&mut spec);
    (spec.lock, spec.log) = ("../../../lock".into(), "../../../log".into());
    let mut kept = bench.start_in(deep, &spec);
    let address = address_of(&kept);
    assert!(address.starts_with('@'), "{address}");
    send(&address, b"READY=1").unwrap();
    assert_eq!(message(&mut kept), "READY=1");
    kept.ask("stop\n");
    kept.ended();
}

#[test]
fn strangers_are_not_heard() {
    if !is_root() {
        return skipped("only root can be somebody else");
    }
    let (own, stranger) = (4_000_001, 4_000_002);
    let bench = Bench::new();
    fs::set_permissions(bench.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut kept = bench.start_with(&["sh", "-c", TELL_ADDRESS], |spec| {
        notify(spec);
        (spec.uid, spec.gid) = (Some(own), Some(own));
    });
    let address = address_of(&kept);
    assert!(
        address.starts_with('@'),
        "its user could not reach a file: {address}"
    );
    send_as(stranger, &address, b"READY=1").unwrap();
    send_as(own, &address, b"STATUS=own").unwrap();
    assert_eq!(message(&mut kept), "STATUS=own");
    assert_eq!(next_event(&mut kept.connect()).unwrap()["ready"], false);
    send_as(0, &address, b"READY=1").unwrap();
    assert_eq!(message(&mut kept), "READY=1");
    kept.ask("stop\n");
    kept.ended();
}

#[test]
fn without_notify_there_is_no_socket() {
    let bench = Bench::new();
    let script = "echo ${NOTIFY_SOCKET-none} ${WATCHDOG_USEC-none}";
    bench.record_of(&["sh", "-c", script]);
    assert_eq!(bench.log_texts(), ["none none"]);
}
