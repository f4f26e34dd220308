//! The control socket against friends, strangers and vandals.

mod support;

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};
use support::{World, until};

const ONE: &str = "[daemons.a]\ncommand = \"sleep 1000\"\n";

fn error_code(answer: &Value) -> i64 {
    answer["error"]["code"]
        .as_i64()
        .unwrap_or_else(|| panic!("no error: {answer}"))
}

#[test]
fn every_method_answers() {
    let world = World::up(ONE);
    world.until_state("a", "up");
    assert_eq!(world.ok("ping", json!({}))["pong"], true);
    let info = world.ok("manager.info", json!({}));
    assert_eq!(info["pid"], world.manager_pid());
    assert_eq!(info["state_dir"], world.state().to_str().unwrap());
    let shown = world.ok("daemon.show", json!({"name": "a"}));
    assert_eq!(shown["view"]["state"], "up");
    assert_eq!(shown["run_dir"], world.run_dir("a").to_str().unwrap());
    assert_eq!(shown["daemon"]["exec"]["argv"], json!(["sleep", "1000"]));
    assert_eq!(shown["launched"], Value::Null);
    assert_eq!(
        world.ok("daemon.runs", json!({"name": "a"}))[0]["run"],
        shown["run"]
    );
    assert!(
        !world.ok("daemon.why", json!({"name": "a"}))["sentences"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    assert_eq!(world.ok("rule.list", json!({})), json!([]));
    assert_eq!(world.ok("approval.list", json!({})), json!([]));
    let refused = world
        .call("approval.decide", json!({"id": 7, "grant": true}))
        .unwrap_err();
    assert_eq!(refused["message"], "there is no approval `7`");
    let event = json!({"name": "r", "event": {"type": "t.go"}});
    let refused = world.call("rule.test", event).unwrap_err();
    assert_eq!(refused["message"], "there is no rule `r`");
    world.ok("fleet.up", json!({}));
    world.ok("fleet.reload", json!({}));
    let before = world.pid("a");
    world.ok("daemon.restart", json!({"names": ["a"]}));
    world.until("a", |a| a["state"] == "up" && a["pid"] != json!(before));
    world.ok(
        "daemon.hold",
        json!({"names": ["*"], "reason": "disk swap"}),
    );
    let held = world.until_state("a", "held");
    assert_eq!(held["reason"], "disk swap");
    let refused = world
        .call("daemon.start", json!({"names": ["a"]}))
        .unwrap_err();
    assert_eq!(
        (refused["code"].as_i64(), &refused["data"]["kind"]),
        (Some(1), &json!("held"))
    );
    let refused = world
        .call("daemon.signal", json!({"names": ["a"], "signal": "HUP"}))
        .unwrap_err();
    assert_eq!(refused["data"]["kind"], "not-running");
    world.ok("daemon.release", json!({"names": ["a"]}));
    world.until_state("a", "up");
    world.ok(
        "daemon.signal",
        json!({"names": ["a"], "signal": "SIGKILL"}),
    );
    world.until("a", |a| a["last_exit"]["signal"] == 9);
    world.ok("daemon.stop", json!({"names": ["a"]}));
    world.until_state("a", "stopped");
    world.ok("daemon.start", json!({"names": ["a"]}));
    world.until_state("a", "up");
}

#[test]
fn the_socket_is_private_and_a_stale_file_is_replaced() {
    let mut world = World::up(ONE);
    let path = world.state().join("eud.sock");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    world.kill_manager();
    assert!(path.exists(), "left behind by the killed one");
    world.start();
    assert_eq!(world.ok("ping", json!({}))["pong"], true);
}

#[test]
fn wrong_lines_get_the_right_errors_and_the_connection_lives() {
    let world = World::up(ONE);
    let mut wire = world.wire();
    for (line, code) in [
        ("null", -32600),
        ("[]", -32600),
        ("{", -32700),
        ("\u{0}\u{1}\u{2}", -32700),
        ("", -32700),
        (r#"{"jsonrpc":"2.0","method":"no.such","id":1}"#, -32601),
        (
            r#"{"jsonrpc":"2.0","method":"daemon.stop","params":{"names":"a"},"id":1}"#,
            -32602,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"daemon.stop","params":{"names":[]},"id":1}"#,
            -32602,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"daemon.stop","params":[["a"]],"id":1}"#,
            -32602,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"daemon.stop","params":{"names":["a"],"x":1},"id":1}"#,
            -32602,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"daemon.signal","params":{"names":["a"],"signal":"WHAT"},"id":1}"#,
            -32602,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"fleet.up","params":{"profile":"nope"},"id":1}"#,
            1,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"daemon.stop","params":{"names":["b"]},"id":1}"#,
            3,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"daemon.stop","params":{"names":["tag:x"]},"id":1}"#,
            3,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"daemon.show","params":{"name":"b*"},"id":1}"#,
            3,
        ),
    ] {
        wire.send(format!("{line}\n").as_bytes());
        let answer = wire.line().expect("an answer");
        assert_eq!(error_code(&answer), code, "{line}: {answer}");
    }
    wire.send(b"\xff\xfe\x80\n");
    assert_eq!(error_code(&wire.line().unwrap()), -32700);
    assert_eq!(wire.call("ping", json!({})).unwrap()["pong"], true);
    assert_eq!(
        world.until_state("a", "up")["state"],
        "up",
        "nothing of it stopped anything"
    );
}

#[test]
fn half_a_line_and_ten_megabytes_are_answered_and_closed() {
    let world = World::up(ONE);
    let mut wire = world.wire();
    wire.send(br#"{"jsonrpc":"2.0","method":"pi"#);
    wire.close_write();
    assert_eq!(error_code(&wire.line().unwrap()), -32700);
    assert_eq!(wire.line(), None);

    let mut wire = world.wire();
    wire.send(br#"{"jsonrpc":"2.0","method":"ping","id":5}"#);
    wire.close_write();
    assert_eq!(
        wire.line().unwrap()["id"],
        5,
        "a last line may lack its newline"
    );

    let mut wire = world.wire();
    wire.try_send(&vec![b'x'; 10 << 20]);
    assert_eq!(error_code(&wire.line().unwrap()), -32700);
    assert_eq!(wire.line(), None);
    assert_eq!(world.ok("ping", json!({}))["pong"], true);
}

#[test]
fn batches_and_notifications_are_answered_as_the_specification_says() {
    let world = World::up(ONE);
    let mut wire = world.wire();
    wire.send(br#"[{"jsonrpc":"2.0","method":"ping","id":"x"},"#);
    wire.send(br#"{"jsonrpc":"2.0","method":"ping"},7,"#);
    wire.send(br#"{"jsonrpc":"2.0","method":"no","id":null}]"#);
    wire.send(b"\n");
    let answer = wire.line().unwrap();
    let answers = answer.as_array().unwrap();
    assert_eq!(answers.len(), 3, "{answer}");
    assert_eq!(answers[0]["id"], "x");
    assert_eq!(error_code(&answers[1]), -32600);
    assert_eq!(
        (error_code(&answers[2]), &answers[2]["id"]),
        (-32601, &Value::Null)
    );
    // Only notifications: no answer at all, so the next line is that of the next call.
    wire.send(
        b"[{\"jsonrpc\":\"2.0\",\"method\":\"ping\"}]\n{\"jsonrpc\":\"2.0\",\"method\":\"no\"}\n",
    );
    assert_eq!(wire.call("ping", json!({})).unwrap()["pong"], true);
    // Several requests at once are answered in their order.
    for id in 1..=50 {
        wire.send(
            format!("{{\"jsonrpc\":\"2.0\",\"method\":\"fleet.status\",\"id\":{id}}}\n").as_bytes(),
        );
    }
    for id in 1..=50 {
        assert_eq!(wire.line().unwrap()["id"], id);
    }
}

#[test]
fn a_subscriber_is_told_every_transition() {
    let mut world = World::up(ONE);
    world.until_state("a", "up");
    let mut wire = world.wire();
    assert_eq!(
        wire.call("events.subscribe", json!({})).unwrap()["subscribed"],
        true
    );
    world.ok("daemon.stop", json!({"names": ["a"]}));
    let mut seen = Vec::new();
    while seen.last() != Some(&"stopped".to_owned()) {
        let note = wire.line().expect("a notification");
        assert_eq!(
            (&note["method"], note.get("id")),
            (&json!("transition"), None)
        );
        seen.push(note["params"]["to"].as_str().unwrap().to_owned());
    }
    assert_eq!(seen, ["stopping", "stopped"]);
    world.ok("daemon.start", json!({"names": ["a"]}));
    world.until_state("a", "up");
    assert_eq!(world.shut_down().code(), Some(0));
    let rest: Vec<_> = std::iter::from_fn(|| wire.line())
        .map(|n| n["params"]["to"].clone())
        .collect();
    assert_eq!(
        rest,
        ["starting", "up", "stopping", "stopped"],
        "to the very end"
    );
}

#[test]
fn a_subscriber_that_does_not_read_is_dropped_and_nobody_else_notices() {
    let world = World::up("[daemons.a]\nshell = \"exit 0\"\nrestart = \"never\"\n");
    world.until_state("a", "done");
    let mut slow = world.wire();
    slow.call("events.subscribe", json!({})).unwrap();
    // More than the socket's buffer and the queue behind it hold.
    let transitions = || world.log().matches(" state a ").count();
    let before = transitions();
    let mut fast = world.wire();
    while transitions() < before + 2_000 {
        fast.call(
            "daemon.hold",
            json!({"names": ["a"], "reason": "x".repeat(1_500)}),
        )
        .unwrap();
        fast.call("daemon.release", json!({"names": ["a"]}))
            .unwrap();
    }
    let mut received = Vec::new();
    while let Some(line) = slow.line() {
        received.push(line);
    }
    assert!(
        received.len() < 2_000,
        "it cannot have been told everything"
    );
    // Where it was too slow even for that, its connection was closed without the last word.
    if let Some(last) = received.last().filter(|line| line["method"] == "lagged") {
        assert!(last["params"]["missed"].as_u64().unwrap() > 0);
    }
    assert_eq!(fast.call("ping", json!({})).unwrap()["pong"], true);
}

#[test]
fn connections_are_counted() {
    let world = World::up(ONE);
    let path = world.state().join("eud.sock");
    let held: Vec<UnixStream> = (0..256)
        .map(|_| UnixStream::connect(&path).unwrap())
        .collect();
    let mut one_too_many = UnixStream::connect(&path).unwrap();
    let mut refusal = String::new();
    one_too_many.read_to_string(&mut refusal).unwrap();
    let refusal: Value = serde_json::from_str(&refusal).unwrap();
    let message = refusal["error"]["message"].as_str().unwrap();
    assert!(message.contains("256 connections"), "{refusal}");
    drop(held);
    until(|| {
        let mut wire = world.wire();
        wire.try_send(b"{\"jsonrpc\":\"2.0\",\"method\":\"ping\",\"id\":1}\n");
        wire.line()
            .is_some_and(|answer| answer["result"]["pong"] == true)
    });
}
