//! How runs are brought to an end.

use eud_core::record::EndReason;
use eud_keeper::LaunchSpec;
use eud_sys::process::{self, is_alive};
use eud_sys::signal::Signal;

use crate::harness::{Bench, until};

/// Longer than any test may take: who needs the grace to be over fails.
const FOR_EVER_MS: u64 = 3_600_000;

fn grace(ms: u64) -> impl Fn(&mut LaunchSpec) {
    move |spec| spec.grace_ms = ms
}

/// Leader that dies of TERM; a child in its group and a grandchild in a session of its own that do
/// not.
const STUBBORN_TREE: &str = "
    sh -c 'trap \"\" TERM; echo child $$; while :; do sleep 1000; done' &
    setsid sh -c 'trap \"\" TERM; echo grandchild $$; while :; do sleep 1000; done' &
    echo leader $$
    sleep 1000";

#[test]
fn the_whole_tree_is_gone_and_nobody_else() {
    for cgroup in [false, true] {
        let (bench, neighbour) = (Bench::new(), Bench::new());
        let mut other = neighbour.start(&["sleep", "1000"]);
        let other_command = other.started();
        let mut bystander = std::process::Command::new("sleep")
            .arg("1000")
            .spawn()
            .unwrap();
        let mut kept = bench.start_with(&["sh", "-c", STUBBORN_TREE], |spec| {
            spec.grace_ms = 200;
            spec.cgroup = cgroup;
        });
        let tree = ["child ", "grandchild ", "leader "].map(|who| kept.said_pid(who));
        let all = process::descendants(kept.pid).unwrap();
        assert!(tree.iter().all(|id| all.contains(id)), "{all:?}");

        kept.ask("stop\n");
        let record = kept.ended();
        assert_eq!(
            (record.reason, record.signal),
            (EndReason::StopKilled, Some(15))
        );
        assert!(all.iter().all(|id| !is_alive(*id)), "somebody has survived");
        assert!(is_alive(other_command) && bystander.try_wait().unwrap().is_none());

        bystander.kill().unwrap();
        bystander.wait().unwrap();
        other.ask("kill\n");
        assert_eq!(other.ended().reason, EndReason::StopKilled);
    }
}

#[test]
fn who_goes_when_asked_is_not_waited_for_any_longer() {
    let bench = Bench::new();
    let script = "trap 'exit 7' TERM; echo up; while :; do sleep 0.01; done";
    let mut kept = bench.start_with(&["sh", "-c", script], grace(FOR_EVER_MS));
    kept.said("up");
    kept.ask("stop\n");
    let record = kept.ended();
    assert_eq!(
        (record.reason, record.code, record.signal),
        (EndReason::Stopped, Some(7), None)
    );
}

#[test]
fn the_stop_signal_is_the_one_that_was_chosen_and_reaches_all() {
    let bench = Bench::new();
    let script = "
        sh -c 'trap \"echo child asked; exit\" USR2; echo ready; while :; do sleep 0.01; done' &
        child=$!
        trap 'echo leader asked; wait $child; exit 6' USR2; while :; do sleep 0.01; done";
    let mut kept = bench.start_with(&["sh", "-c", script], |spec| {
        (spec.stop_signal, spec.grace_ms) = (Signal::parse("USR2").unwrap(), FOR_EVER_MS);
    });
    kept.said("ready");
    kept.ask("stop\n");
    let record = kept.ended();
    assert_eq!((record.reason, record.code), (EndReason::Stopped, Some(6)));
    let mut said = bench.stdout();
    said.sort();
    assert_eq!(said, ["child asked", "leader asked", "ready"]);
}

#[test]
fn asking_twice_signals_once() {
    let bench = Bench::new();
    let script = "trap 'echo TERM' TERM; echo up; while :; do sleep 0.01; done";
    let mut kept = bench.start_with(&["sh", "-c", script], grace(FOR_EVER_MS));
    kept.said("up");
    kept.ask("stop\nstop\n");
    kept.said("TERM");
    kept.ask("stop\n");
    // An answer to something asked later shows that the last stop has been dealt with.
    kept.ask("watch\nsignal USR1\n");
    let record = kept.ended();
    assert_eq!(
        (record.reason, record.signal),
        (EndReason::Stopped, Some(10))
    );
    assert_eq!(bench.stdout(), ["up", "TERM"]);
}

#[test]
fn the_keeper_can_be_asked_by_a_signal() {
    for signal in [Signal::TERM, Signal::INT, Signal::QUIT] {
        let bench = Bench::new();
        let mut kept = bench.start_with(&["sleep", "1000"], grace(FOR_EVER_MS));
        kept.started();
        process::signal_child(kept.pid, signal).unwrap();
        assert_eq!(kept.ended().reason, EndReason::Stopped);
    }
}

#[test]
fn no_other_signal_ends_the_keeper() {
    let bench = Bench::new();
    let mut kept = bench.start(&["sleep", "1000"]);
    let command = kept.started();
    for signal in [
        "HUP", "PIPE", "USR1", "USR2", "ALRM", "CHLD", "CONT", "WINCH", "TSTP",
    ] {
        process::signal_child(kept.pid, Signal::parse(signal).unwrap()).unwrap();
    }
    let mut second = kept.connect();
    let hello = crate::harness::next_event(&mut second).unwrap();
    assert_eq!(
        (&hello["pid"], &hello["stopping"]),
        (&command.pid.into(), &false.into())
    );
    kept.ask("stop\n");
    assert_eq!(kept.ended().reason, EndReason::Stopped);
}

#[test]
fn kill_does_not_ask() {
    let bench = Bench::new();
    let script = "trap 'echo asked' TERM; echo up; while :; do sleep 0.01; done";
    let mut kept = bench.start_with(&["sh", "-c", script], grace(FOR_EVER_MS));
    kept.said("up");
    kept.ask("kill\n");
    let record = kept.ended();
    assert_eq!(
        (record.reason, record.signal),
        (EndReason::StopKilled, Some(9))
    );
    assert_eq!(bench.stdout(), ["up"]);
}

#[test]
fn kill_after_stop_ends_the_grace() {
    let bench = Bench::new();
    let script = "trap 'echo asked' TERM; echo up; while :; do sleep 0.01; done";
    let mut kept = bench.start_with(&["sh", "-c", script], grace(FOR_EVER_MS));
    kept.said("up");
    kept.ask("stop\n");
    kept.said("asked");
    kept.ask("kill\n");
    assert_eq!(kept.ended().reason, EndReason::StopKilled);
}

#[test]
fn a_suspended_command_hears_of_it() {
    let bench = Bench::new();
    let mut kept = bench.start_with(&["sleep", "1000"], grace(FOR_EVER_MS));
    let command = kept.started();
    process::signal(command, Signal::parse("STOP").unwrap()).unwrap();
    until("it is suspended", || {
        process::stat(command.pid).unwrap().state == b'T'
    });
    kept.ask("stop\n");
    assert_eq!(kept.ended().reason, EndReason::Stopped);
}

#[test]
fn those_the_leader_leaves_behind_are_asked_then_killed() {
    let bench = Bench::new();
    let script = "
        sh -c 'trap \"echo asked\" TERM; echo left $$; while :; do sleep 0.01; done' &
        until [ -e go ]; do sleep 0.01; done; exit 3";
    let mut kept = bench.start_with(&["sh", "-c", script], grace(200));
    let left = kept.said_pid("left ");
    std::fs::write(bench.path().join("go"), b"").unwrap();
    let record = kept.ended();
    assert_eq!((record.reason, record.code), (EndReason::Exited, Some(3)));
    assert!(!is_alive(left));
    assert!(bench.stdout().contains(&"asked".to_owned()));
}

#[test]
fn a_storm_of_forks_is_ended() {
    for cgroup in [false, true] {
        let bench = Bench::new();
        // Each generation leaves the session and outlives its parent.
        let script = "
            trap '' TERM INT HUP
            echo up
            f() { n=$1; while [ $n -gt 0 ]; do setsid sh -c 'trap \"\" TERM; sleep 1000' & n=$((n-1)); done; }
            while :; do f 3; sleep 0.005; done";
        let mut kept = bench.start_with(&["sh", "-c", script], |spec| {
            spec.cgroup = cgroup;
            spec.grace_ms = 50;
        });
        kept.said("up");
        until("there are many", || {
            process::descendants(kept.pid).unwrap().len() > 20
        });
        kept.ask("stop\n");
        assert_eq!(kept.ended().reason, EndReason::StopKilled);
        let item = format!("EUD_RUN_ID={}", kept.run);
        let left: Vec<_> = process::all()
            .unwrap()
            .into_iter()
            .filter(|pid| process::environment_has(*pid, item.as_bytes()).unwrap_or(false))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn a_stop_command_is_run_instead_of_the_signal() {
    let bench = Bench::new();
    let script = "trap 'echo TERM' TERM; trap 'echo asked; exit 4' USR1; echo up; while :; do sleep 0.01; done";
    let mut kept = bench.start_with(&["sh", "-c", script], |spec| {
        spec.grace_ms = FOR_EVER_MS;
        let stop = "echo stopping $EUD_RUN_ID; kill -USR1 $EUD_PID";
        spec.stop_args = ["sh", "-c", stop].map(Into::into).to_vec();
    });
    let run = kept.run.clone();
    kept.said("up");
    kept.ask("stop\n");
    let record = kept.ended();
    assert_eq!((record.reason, record.code), (EndReason::Stopped, Some(4)));
    let mut said = bench.stdout();
    said.sort();
    assert_eq!(
        said,
        ["asked".to_owned(), format!("stopping {run}"), "up".into()]
    );
}

#[test]
fn a_stop_command_that_fails_is_replaced_by_the_signal() {
    for stop in [&["false"][..], &["/no/such/program"]] {
        let bench = Bench::new();
        let mut kept = bench.start_with(&["sleep", "1000"], |spec| {
            spec.grace_ms = FOR_EVER_MS;
            spec.stop_args = stop.iter().map(Into::into).collect();
        });
        kept.started();
        kept.ask("stop\n");
        let record = kept.ended();
        assert_eq!(
            (record.reason, record.signal),
            (EndReason::Stopped, Some(15))
        );
    }
}

#[test]
fn a_stop_command_that_hangs_does_not_hinder() {
    let bench = Bench::new();
    let script = "trap '' TERM; echo up; while :; do sleep 1000; done";
    let mut kept = bench.start_with(&["sh", "-c", script], |spec| {
        spec.grace_ms = 100;
        spec.stop_args = [
            "sh",
            "-c",
            "trap '' TERM; echo hanging $$; while :; do sleep 1000; done",
        ]
        .map(Into::into)
        .to_vec();
    });
    kept.said("up");
    kept.ask("stop\n");
    let hanging = kept.said_pid("hanging ");
    assert_eq!(kept.ended().reason, EndReason::StopKilled);
    assert!(!is_alive(hanging));
}

#[test]
fn a_signal_reaches_the_command_only() {
    let bench = Bench::new();
    // The leader listens before there is a child to say that all are ready.
    let script = "
        trap 'echo leader USR1; exit 0' USR1
        sh -c 'trap \"echo child USR1\" USR1; echo ready; while :; do sleep 0.01; done' &
        while :; do sleep 0.01; done";
    let mut kept = bench.start_with(&["sh", "-c", script], grace(100));
    kept.said("ready");
    kept.ask("signal SIGUSR1\n");
    assert_eq!(kept.ended().reason, EndReason::Exited);
    assert_eq!(bench.stdout(), ["ready", "leader USR1"]);
}
