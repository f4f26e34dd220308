//! When the keeper is killed, when there are two, and when it must not start.

use std::fs;

use eud_core::record::{EndReason, ExitRecord};
use eud_keeper::sweep;
use eud_sys::process::{self, is_alive};
use eud_sys::reap::Ending;
use eud_sys::signal::Signal;

use crate::harness::{Bench, skipped, until};

/// A child in the leader's group, and a grandchild in a session of its own.
const TREE: &str = "
    sh -c 'trap \"\" TERM HUP; echo child $$; while :; do sleep 1000; done' &
    setsid sh -c 'trap \"\" TERM HUP; echo grandchild $$; while :; do sleep 1000; done' &
    wait";

#[test]
fn the_command_dies_with_its_keeper_and_the_rest_is_swept() {
    for cgroup in [false, true] {
        let bench = Bench::new();
        let mut kept = bench.start_with(&["sh", "-c", TREE], |spec| spec.cgroup = cgroup);
        let leader = kept.started();
        let rest = ["child ", "grandchild "].map(|who| kept.said_pid(who));
        kept.lose_keeper();
        until("the command dies", || !is_alive(leader));
        assert!(
            rest.iter().all(|id| is_alive(*id)),
            "only the command has the death signal"
        );
        assert!(!kept.folder.join("exit.json").exists());
        assert_eq!(eud_keeper::unpublished_record(&kept.folder).unwrap(), None);

        let report = sweep(&kept.folder, &kept.run).unwrap();
        assert!(report.is_clean(), "{report:?}");
        assert!(
            rest.iter()
                .all(|id| report.killed.contains(&id.pid) && !is_alive(*id))
        );
        assert_eq!(sweep(&kept.folder, &kept.run).unwrap().killed, [0; 0]);
    }
}

#[test]
fn who_erased_its_environment_is_found_by_its_group() {
    let bench = Bench::new();
    let script = "setsid env -i sh -c 'echo hidden $$; while :; do /bin/sleep 1000; done' & wait";
    let mut kept = bench.start(&["sh", "-c", script]);
    kept.started();
    let noted = eud_keeper::noted(&kept.folder).unwrap().unwrap();
    let Some(group) = noted.cgroup else {
        kept.ask("kill\n");
        kept.ended();
        return skipped("no control group can be had here");
    };
    let hidden = kept.said_pid("hidden ");
    kept.lose_keeper();
    let report = sweep(&kept.folder, &kept.run).unwrap();
    assert!(
        report.is_clean() && report.killed.contains(&hidden.pid),
        "{report:?}"
    );
    assert!(!is_alive(hidden));
    assert!(!group.exists());
}

#[test]
fn a_sweep_leaves_strangers_alone() {
    let bench = Bench::new();
    let (run, folder) = bench.new_run();
    // A group that is noted but is not of this run must not be touched either.
    fs::write(folder.join("live"), "boot b\ncgroup /sys/fs/cgroup\n").unwrap();
    let sleeper = |name: &str, value: String| {
        std::process::Command::new("sleep")
            .arg("1000")
            .env(name, value)
            .spawn()
            .unwrap()
    };
    let mut strangers = [
        sleeper("EUD_RUN_ID", format!("{run}x")),
        sleeper("EUD_RUN_ID", run[..run.len() - 1].to_owned()),
        sleeper("X_EUD_RUN_ID", run.clone()),
        sleeper("X", format!("EUD_RUN_ID={run}")),
    ];
    let mut ours = sleeper("EUD_RUN_ID", run.clone());
    let report = sweep(&folder, &run).unwrap();
    assert_eq!((report.killed, report.survivors), (vec![ours.id()], vec![]));
    assert_eq!(ours.wait().unwrap().to_string(), "signal: 9 (SIGKILL)");
    for stranger in &mut strangers {
        assert!(stranger.try_wait().unwrap().is_none());
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }
}

#[test]
fn what_cannot_be_noted_does_not_begin() {
    let bench = Bench::new();
    let (run, folder) = bench.new_run();
    std::fs::create_dir(folder.join("live")).unwrap();
    let mut kept = bench.start_in(folder, &bench.spec(&run, &["touch", "started"]));
    let record = kept.ended();
    assert_eq!(record.reason, EndReason::NeverStarted);
    let why = record.message.unwrap();
    assert!(why.starts_with("live: "), "{why}");
    assert!(!bench.path().join("started").exists());
}

#[test]
fn a_second_keeper_refuses() {
    let bench = Bench::new();
    let mut first = bench.start(&["sleep", "1000"]);
    let command = first.started();
    let mut second = bench.start(&["touch", "started"]);
    let record = second.ended();
    assert_eq!(record.reason, EndReason::NeverStarted);
    assert_eq!(
        record.message.as_deref(),
        Some("another keeper holds the lock")
    );
    assert!(is_alive(command) && !bench.path().join("started").exists());
    first.ask("stop\n");
    assert_eq!(first.ended().reason, EndReason::Stopped);
    // Released: a third one may.
    assert_eq!(bench.record_of(&["true"]).code, Some(0));
}

#[test]
fn the_lock_is_free_as_soon_as_the_end_is_told() {
    let bench = Bench::new();
    for _ in 0..20 {
        let mut kept = bench.start(&["true"]);
        kept.wait_for("ended");
        let mut next = bench.start(&["true"]);
        assert_eq!(next.ended().reason, EndReason::Exited);
        kept.collect();
    }
}

#[test]
fn a_second_keeper_does_not_touch_a_record_that_is_there() {
    let bench = Bench::new();
    let mut first = bench.start(&["sleep", "1000"]);
    first.started();
    let (run, folder) = bench.new_run();
    fs::write(folder.join("exit.json"), "given up").unwrap();
    let mut second = bench.start_in(folder.clone(), &bench.spec(&run, &["true"]));
    assert!(second.next_event().is_none());
    assert_eq!(second.collect(), Ending::Exited(0));
    assert_eq!(
        fs::read_to_string(folder.join("exit.json")).unwrap(),
        "given up"
    );
    first.ask("kill\n");
    first.ended();
}

#[test]
fn a_run_that_was_given_up_does_not_start() {
    let bench = Bench::new();
    let (run, folder) = bench.new_run();
    fs::write(folder.join("exit.json"), "given up").unwrap();
    let mut kept = bench.start_in(folder.clone(), &bench.spec(&run, &["touch", "started"]));
    assert!(kept.next_event().is_none());
    assert_eq!(kept.collect(), Ending::Exited(0));
    assert!(!bench.path().join("started").exists());
    assert_eq!(
        fs::read_to_string(folder.join("exit.json")).unwrap(),
        "given up"
    );
}

#[test]
fn a_spec_that_cannot_be_read_is_on_record() {
    let bench = Bench::new();
    let (run, folder) = bench.new_run();
    let mut input = eud_sys::fd::nameless(c"t").unwrap();
    std::io::Write::write_all(&mut input, b"unit=web\0uid=nobody\0").unwrap();
    let status = std::process::Command::new(crate::harness::program())
        .args(["web", &run])
        .current_dir(&folder)
        .stdin(input)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let record: ExitRecord =
        serde_json::from_slice(&fs::read(folder.join("exit.json")).unwrap()).unwrap();
    assert_eq!((record.reason, record.run), (EndReason::NeverStarted, run));
    assert!(record.message.unwrap().contains("`uid`"));
}

#[test]
fn a_keeper_that_cannot_begin_says_why() {
    let bench = Bench::new();
    let mut kept = bench.start_with(&["true"], |spec| spec.lock = "/no/such/folder/lock".into());
    assert_eq!(kept.collect(), Ending::Exited(0));
    let record = kept.record_on_disk();
    assert_eq!(record.reason, EndReason::NeverStarted);
    assert!(record.message.unwrap().contains("/no/such/folder/lock"));
}

#[test]
fn by_hand_it_explains_itself() {
    let output = std::process::Command::new(crate::harness::program())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("usage: eud-keeper UNIT RUN-ID")
    );
}

#[test]
fn a_keeper_without_a_manager_does_its_work() {
    let bench = Bench::new();
    let mut kept = bench.sh("until [ -e go ]; do sleep 0.01; done; echo done; exit 9");
    kept.started();
    // The manager dies: its end of the connection is closed.
    let (ours, _) = std::os::unix::net::UnixStream::pair().unwrap();
    kept.events = std::io::BufReader::new(ours);
    fs::write(bench.path().join("go"), b"").unwrap();
    assert_eq!(kept.collect(), Ending::Exited(0));
    assert_eq!(kept.record_on_disk().code, Some(9));
    assert_eq!(bench.log_texts(), ["done"]);
}

#[test]
fn the_command_is_proven_by_what_was_noted() {
    let bench = Bench::new();
    let mut kept = bench.start(&["sleep", "1000"]);
    let command = kept.started();
    let noted = eud_keeper::noted(&kept.folder).unwrap().unwrap();
    assert_eq!(noted.command, Some(command));
    assert_eq!(noted.keeper.unwrap().pid, kept.pid);
    assert!(process::signal(command, Signal::KILL).unwrap());
    assert_eq!(kept.ended().signal, Some(9));
}
