//! Publishing and showing events.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::{Child, Fleet};

const FLEET: &str = r#"
[daemons.web]
shell = "echo $EUD_SOCKET > socket; exec sleep 1000"
ready = { file = "socket" }
"#;

/// The events that a command tells, as it prints them for programs.
fn events(fleet: &Fleet, line: &str) -> Vec<Value> {
    let ran = fleet.eud(&format!("{line} --json"), 0);
    let lines = ran.out.lines();
    lines.map(|l| serde_json::from_str(l).unwrap()).collect()
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect()
}

#[test]
fn what_the_fleet_does_is_told_with_and_without_a_manager() {
    let fleet = Fleet::new(FLEET);
    fleet.eud("events", 4).says("no journal");
    fleet.eud("up", 0);
    fleet.eud("restart web", 0);
    fleet.eud("down", 0);
    let told = events(&fleet, "events --after 0 --subject web");
    let one_run = ["daemon.starting", "daemon.started", "daemon.ready"];
    let mut expected = one_run.to_vec();
    expected.extend(["daemon.exited", "daemon.stopped"]);
    let restarted = kinds(&told);
    assert_eq!(restarted[..3], one_run, "{restarted:?}");
    assert_eq!(restarted[restarted.len() - 2..], expected[3..]);
    let exits = events(&fleet, "events -t daemon.exited --after 0");
    assert_eq!(exits.len(), 2, "{exits:?}");
    assert_eq!(exits[0]["specversion"], "1.0");
    assert_eq!(exits[0]["data"]["class"], "stopped");
    let manager = events(&fleet, "events -t manager.* --after 0");
    assert_eq!(kinds(&manager), ["manager.started", "manager.stopping"]);
    fleet.eud("events -t manager.*", 0).says("manager.started");
}

#[test]
fn published_events_are_numbered_and_a_repetition_is_known() {
    let fleet = Fleet::new(FLEET);
    fleet.eud("emit a.b", 4).says("no manager");
    fleet.eud("up", 0);
    let line = "emit model.promoted model=llama v:=7 --id one --source ci --subject llama";
    let first = fleet.json(line, 0);
    assert_eq!(first[0]["duplicate"], false);
    let again = fleet.json(line, 0);
    assert_eq!(again[0]["duplicate"], true);
    assert_eq!(again[0]["seq"], first[0]["seq"]);
    let told = events(&fleet, "events -t model.*");
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["data"], json!({"model": "llama", "v": 7}));
    assert_eq!(told[0]["sequence"], first[0]["seq"].to_string());
    for (bad, why) in [
        ("emit daemon.ready", "are the manager's own"),
        ("emit a..b", "is empty"),
        ("emit a --source eud/x", "is the manager's own"),
    ] {
        fleet.eud(bad, 7).says(why);
    }
    fleet.eud("emit a x", 2).says("no `key=value`");
    fleet.eud("events -t a..b", 2).says("daemon.*");
    // The whole file, or what was before the line that is wrong.
    let lines = "{\"type\":\"line.one\"}\n\n{\"type\":\"line.two\",\"data\":[1]}\n";
    std::fs::write(fleet.path().join("lines"), lines).unwrap();
    fleet
        .eud("emit --lines lines", 0)
        .says("published 2 events");
    std::fs::write(
        fleet.path().join("lines"),
        "{\"type\":\"line.three\"}\n{\"type\":\"a b\"}\n",
    )
    .unwrap();
    fleet.eud("emit --lines lines", 2).says("cannot be in it");
    let told = events(&fleet, "events -t line.*");
    assert_eq!(kinds(&told), ["line.one", "line.two"]);
}

#[test]
fn a_daemon_publishes_with_nothing_but_its_socket() {
    let fleet = Fleet::new(FLEET);
    fleet.eud("up", 0);
    let socket = std::fs::read_to_string(fleet.path().join("socket")).unwrap();
    let mut stream = UnixStream::connect(socket.trim()).unwrap();
    let event = r#"{"type":"queue.drained","source":"web"}"#;
    let params = format!(r#"{{"events":[{event}]}}"#);
    let line = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"event.emit","params":{params}}}"#);
    stream.write_all(format!("{line}\n").as_bytes()).unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["result"][0]["duplicate"], false, "{answer}");
    assert_eq!(events(&fleet, "events -t queue.*").len(), 1);
}

#[test]
fn whoever_follows_misses_nothing_while_the_manager_is_replaced() {
    let fleet = Fleet::new(FLEET);
    fleet.eud("up", 0);
    let mut command = fleet.command("events -f -t count.* --after 0 --json");
    let mut child = Child(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let mut heard = |n: u32| {
        let line = lines.next().unwrap().unwrap();
        let event: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(event["data"]["n"], n, "{event}");
    };
    fleet.eud("emit count.up n:=0", 0);
    heard(0);
    fleet.eud("emit count.up n:=1", 0);
    heard(1);
    fleet.eud("down --keep-daemons", 0);
    fleet.eud("up", 0);
    for n in 2..5 {
        fleet.eud(&format!("emit count.up n:={n}"), 0);
        heard(n);
    }
}

#[test]
fn the_catalogue_has_a_schema_for_every_type() {
    let fleet = Fleet::new(FLEET);
    let types = fleet.json("events --types", 0);
    let exited = types
        .as_array()
        .unwrap()
        .iter()
        .find(|found| found["type"] == "daemon.exited")
        .unwrap();
    assert_eq!(exited["schema"]["properties"]["run"]["type"], "string");
    fleet
        .eud("events --types -t job.*", 0)
        .says("Times of a job passed unnoticed");
}
