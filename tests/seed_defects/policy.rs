//! What is started, when, and what is left alone.

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::fleet::{Fleet, diarist};

const SOON: &str = "backoff = { initial = \"1ms\", max = \"1ms\" }";

/// The health loop started whatever was down: an operator's stop was undone within one tick.
#[test]
fn a_stop_by_hand_sticks_through_every_tick() {
    let live = "live = { exec = [\"sh\", \"-c\", \"echo x >> probes\"], every = \"100ms\" }";
    let crashing = diarist(
        "c",
        "--lines 2 --every 5 --code 1",
        &format!("restart = {{ limit = 0, {SOON} }}"),
    );
    let fleet = Fleet::new(&(diarist("a", "", "") + &diarist("b", "", live) + &crashing));
    fleet.eud("up --wait 0s", 0);
    fleet.until_state("a", "up");
    fleet.eud("stop a", 0);
    let probes = || {
        fs::read_to_string(fleet.path().join("probes"))
            .unwrap_or_default()
            .len()
            / 2
    };
    let before = (probes(), fleet.diary("c").starts.len());
    eventually("many ticks", || {
        (probes() > before.0 + 15 && fleet.diary("c").starts.len() > before.1 + 15).then_some(())
    });
    let unit = fleet.unit("a");
    assert_eq!(
        (&unit["state"], &unit["desired"]),
        (&"stopped".into(), &"down".into()),
        "{unit}"
    );
    assert_eq!(fleet.diary("a").starts.len(), 1, "the stop was undone");
    fleet.down();
}

/// Starting the smallest profile gave 122 daemons after two ticks.
#[test]
fn a_profile_starts_its_closure_and_nobody_else() {
    let mut text = "[profiles]\nminimal = [\"d0\"]\n".to_owned();
    for n in 0..12 {
        // d0 needs d1, d1 wants d2; nobody refers to the others.
        let rest = match n {
            0 => "needs = [\"d1\"]",
            1 => "wants = [\"d2\"]",
            _ => "",
        };
        text += &diarist(&format!("d{n}"), "", rest);
    }
    let fleet = Fleet::new(&text);
    fleet.eud("up --profile minimal", 0);
    fleet.eud("reload", 0);
    fleet.kill_manager();
    fleet.eud("up --profile minimal", 0);
    let started: Vec<usize> = (0..12)
        .filter(|n| !fleet.diary(&format!("d{n}")).starts.is_empty())
        .collect();
    assert_eq!(started, [0, 1, 2]);
    for n in started {
        assert_eq!(fleet.diary(&format!("d{n}")).starts.len(), 1);
    }
    assert_eq!(fleet.status()["summary"]["stopped"], 9);
    fleet.down();
}

/// Profiles named daemons that did not exist, and were found out when they were needed.
#[test]
fn a_profile_that_names_nobody_is_refused_when_it_is_written() {
    let fleet = Fleet::new(&(diarist("worker", "", "") + "[profiles]\nsmall = [\"wroker\"]\n"));
    let check = fleet.eud("check", 3);
    check
        .says("wroker")
        .says("did you mean `worker`")
        .says("eud.toml");
    fleet.eud("up", 3);
    assert!(fleet.diary("worker").starts.is_empty());
}

/// Degraded units were tried again after ten seconds instead of thirty minutes, because another
/// loop overwrote their state.
#[test]
fn a_cool_down_is_cut_short_by_nobody_but_a_person() {
    let restart = format!("restart = {{ limit = 3, cool_down = \"1h\", {SOON} }}");
    let fleet = Fleet::new(&diarist("a", "--lines 1 --every 1 --code 3", &restart));
    fleet.eud("up --wait 0s", 0);
    fleet.until_state("a", "cool-down");
    for _ in 0..3 {
        fleet.eud("reload", 0);
        fleet.run("up --wait 0s");
        fleet.kill_manager();
        fleet.run("up --wait 0s");
        let unit = fleet.unit("a");
        assert_eq!(unit["state"], "cool-down", "{unit}");
        assert!(unit["next_try_at"].is_string(), "{unit}");
    }
    assert_eq!(fleet.diary("a").starts.len(), 4);
    fleet.run("start a --wait 0s");
    eventually("a start by hand", || {
        (fleet.diary("a").starts.len() > 4).then_some(())
    });
    fleet.down();
}

/// There was neither a back-off nor an end to the trying.
#[test]
fn a_daemon_that_always_fails_is_held_and_says_so() {
    let restart = format!("restart = {{ limit = 3, then = \"hold\", {SOON} }}");
    let fleet = Fleet::new(&diarist("a", "--lines 1 --every 1 --code 3", &restart));
    fleet.run("up");
    let unit = fleet.until_state("a", "held");
    let reason = unit["reason"].as_str().unwrap();
    assert!(
        reason.contains("restarted 3 times") && reason.contains('3'),
        "{reason}"
    );
    assert_eq!(fleet.diary("a").starts.len(), 4);
    fleet.kill_manager();
    fleet.run("up");
    assert_eq!(fleet.unit("a")["state"], "held");
    assert_eq!(fleet.diary("a").starts.len(), 4);
    fleet.down();
}

/// Daemons that ran to completion were launched again each tick, and the restarts counted there
/// kept others from being restarted.
#[test]
fn what_runs_to_completion_is_done_and_never_a_restart() {
    let mut text = diarist(
        "after-them",
        "",
        "needs = [\"once-0\", \"once-1\", \"once-2\", \"once-3\"]",
    );
    for n in 0..4 {
        text += &diarist(
            &format!("once-{n}"),
            "--lines 3 --every 1 --code 0",
            "restart = \"on-failure\"",
        );
    }
    let fleet = Fleet::up(&text);
    for _ in 0..3 {
        fleet.eud("up", 0);
        fleet.eud("reload", 0);
        fleet.kill_manager();
        fleet.eud("up", 0);
    }
    for n in 0..4 {
        let unit = fleet.unit(&format!("once-{n}"));
        assert_eq!(
            (&unit["state"], &unit["restarts"]),
            (&"done".into(), &0.into()),
            "{unit}"
        );
        assert_eq!(fleet.diary(&format!("once-{n}")).starts.len(), 1);
    }
    // And one that fails is restarted as if nothing had been.
    let before = fleet.process("after-them");
    before.kill();
    eventually("its restart", || {
        (fleet.diary("after-them").starts.len() == 2).then_some(())
    });
    fleet.down();
}

/// Half of the daemons failed, and so all of them were restarted, every five minutes.
#[test]
fn a_storm_of_some_restarts_nobody_else() {
    let restart = format!("restart = {{ limit = 0, {SOON} }}");
    let mut text = String::new();
    for n in 0..10 {
        text += &diarist(&format!("well-{n}"), "", "");
        text += &diarist(
            &format!("ill-{n}"),
            "--lines 1 --every 20 --code 1",
            &restart,
        );
    }
    let fleet = Fleet::new(&text);
    fleet.eud("up --wait 0s", 0);
    eventually("a storm", || {
        (0..10)
            .all(|n| fleet.diary(&format!("ill-{n}")).starts.len() >= 5)
            .then_some(())
    });
    for n in 0..10 {
        fleet.until_state(&format!("well-{n}"), "up");
        assert_eq!(fleet.diary(&format!("well-{n}")).starts.len(), 1);
        assert_eq!(fleet.unit(&format!("well-{n}"))["restarts"], 0);
        fleet.diary(&format!("ill-{n}")).was_alone();
    }
    fleet.down();
}

/// Daemons were started one after the other, each waited for up to a minute: 46 minutes.
#[test]
fn a_slow_start_holds_up_only_who_needs_it() {
    let mut text = String::new();
    for n in 0..10 {
        let shell = format!("sleep 1; touch ready-{n}; exec sleep 1000");
        text +=
            &format!("[daemons.slow-{n}]\nshell = {shell:?}\nready = {{ file = \"ready-{n}\" }}\n");
    }
    text += "[daemons.never]\ncommand = [\"sleep\", \"1000\"]\nready = { file = \"never\" }\n";
    text += &diarist("needy", "", "needs = [\"never\"]");
    let fleet = Fleet::new(&text);
    let begun = Instant::now();
    fleet.eud("up --wait 0s", 0);
    for n in 0..10 {
        fleet.until_state(&format!("slow-{n}"), "ready");
    }
    let took = begun.elapsed();
    assert!(
        took < Duration::from_secs(6),
        "one after the other: {took:?}"
    );
    let needy = fleet.unit("needy");
    assert_eq!(
        (&needy["state"], &needy["blocked_on"]),
        (&"waiting".into(), &json!(["never"]))
    );
    fleet.down();
}

/// A check that hung stretched a pass over all daemons to a minute.
#[test]
fn a_probe_that_hangs_holds_up_nobody() {
    // It accepts, and never says a word.
    let mute = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = mute.local_addr().unwrap().port();
    let hung = format!("ready = {{ http = \"http://127.0.0.1:{port}/\", timeout = \"20s\" }}");
    let quick = "ready = { exec = [\"test\", \"-e\", \"go\"] }";
    let mut text: String = (0..5)
        .map(|n| diarist(&format!("hung-{n}"), "", &hung))
        .collect();
    text += &diarist("quick", "", quick);
    let fleet = Fleet::new(&text);
    fleet.eud("up --wait 0s", 0);
    for n in 0..5 {
        fleet.until_state(&format!("hung-{n}"), "up");
    }
    fs::write(fleet.path().join("go"), "").unwrap();
    let begun = Instant::now();
    fleet.until_state("quick", "ready");
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    let status: &Value = &fleet.status()["summary"];
    assert_eq!(
        (&status["ready"], &status["up"]),
        (&1.into(), &5.into()),
        "{status}"
    );
    fleet.down();
}

/// A server that listened on one family of addresses only was refused on the other.
#[test]
fn a_probe_of_a_name_finds_a_server_on_either_family() {
    let mut text = String::new();
    let mut servers = Vec::new();
    for address in ["127.0.0.1", "::1"] {
        let Ok(server) = TcpListener::bind((address, 0)) else {
            eprintln!("skipped: no {address} here");
            continue;
        };
        let port = server.local_addr().unwrap().port();
        let name = format!("d{}", servers.len());
        text += &diarist(
            &name,
            "",
            &format!("ready = {{ tcp = \"localhost:{port}\" }}"),
        );
        servers.push(server);
    }
    let fleet = Fleet::up(&text);
    for n in 0..servers.len() {
        assert_eq!(fleet.unit(&format!("d{n}"))["state"], "ready");
    }
    fleet.down();
}

/// One daemon that misbehaved kept the loop that served all of them busy.
#[test]
fn floods_of_output_of_forks_and_of_exits_hold_up_nobody() {
    let loud = "log = { max_size = \"1MB\", keep = 1 }";
    let shells = [
        "yes | head -c 100000000; exec sleep 1000",
        "yes | head -c 50000000 >&2; exec sleep 1000",
        "tr '\\\\0' '\\\\377' < /dev/zero | head -c 20000000; exec sleep 1000",
        "while :; do sleep 0 & done",
    ];
    let restart = format!("restart = {{ limit = 0, {SOON} }}");
    let mut text = diarist("well", "", &restart);
    for (n, shell) in shells.iter().enumerate() {
        text += &format!("[daemons.loud-{n}]\nshell = {shell:?}\nnice = 10\n{loud}\n");
    }
    text += &format!("[daemons.brief]\ncommand = [\"true\"]\n{restart}\n");
    let fleet = Fleet::new(&text);
    fleet.eud("up --wait 0s", 0);
    let manager = fleet.manager();
    for start in 1..=5 {
        let before = fleet.process("well");
        let begun = Instant::now();
        before.kill();
        eventually("its restart", || {
            (fleet.diary("well").starts.len() > start).then_some(())
        });
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "{:?}",
            begun.elapsed()
        );
        let asked = Instant::now();
        fleet.eud("status", 0);
        assert!(
            asked.elapsed() < Duration::from_secs(2),
            "{:?}",
            asked.elapsed()
        );
    }
    assert_eq!(fleet.manager(), manager);
    fleet.eud("stop loud-0 loud-1 loud-2 loud-3 brief", 0);
    fleet.diary("well").was_alone();
    fleet.down();
}
