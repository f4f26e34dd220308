//! Subscriptions with real handlers: every event arrives at least once, or is a dead letter.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use support::{World, until, until_some};

/// Publishes events of a type with these payloads; their numbers.
fn emit(world: &World, kind: &str, data: impl IntoIterator<Item = Value>) -> Vec<u64> {
    let event = |data| json!({"specversion": "1.0", "type": kind, "source": "test", "data": data});
    let events: Vec<Value> = data.into_iter().map(event).collect();
    let receipts = world.ok("event.emit", json!({ "events": events }));
    let receipts = receipts.as_array().unwrap().iter();
    receipts.map(|r| r["seq"].as_u64().unwrap()).collect()
}

fn emit_one(world: &World, kind: &str, data: Value) -> u64 {
    emit(world, kind, [data])[0]
}

fn subscription(world: &World, name: &str) -> Value {
    let bus = world.ok("subscription.list", json!({}));
    let all = bus["subscriptions"].as_array().unwrap();
    let found = all.iter().find(|one| one["name"] == name);
    found.cloned().unwrap_or_else(|| panic!("no {name}: {bus}"))
}

/// Waits until nothing is left to be delivered to it; what it is then.
fn until_idle(world: &World, name: &str) -> Value {
    until_some(|| {
        let one = subscription(world, name);
        let left = ["behind", "delivering", "waiting"].map(|key| one[key].as_u64().unwrap());
        (left == [0, 0, 0]).then_some(one)
    })
}

fn dead_letters(world: &World) -> Vec<Value> {
    let dead = world.ok("dlq.list", json!({}));
    dead.as_array().unwrap().clone()
}

/// Lines of a file in the fleet's folder; none when there is no such file.
fn lines(world: &World, name: &str) -> Vec<String> {
    let text = fs::read_to_string(world.path().join(name)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn numbers(world: &World, name: &str) -> Vec<u64> {
    let lines = lines(world, name);
    lines.iter().map(|line| line.parse().unwrap()).collect()
}

#[test]
fn a_handler_gets_the_event_and_need_not_read_it() {
    let world = World::up(
        r#"
        [subscriptions.reads]
        on = "file.*"
        exec = ["sh", "-c", '''
            cat > event
            echo "$EUD_EVENT_SEQ $EUD_EVENT_ID $EUD_EVENT_TYPE $EUD_EVENT_SUBJECT" > env
        ''']
        [subscriptions.ignores]
        on = "file.*"
        exec = "true"
        "#,
    );
    let big = "é\n".repeat(50_000);
    let event = json!({
        "specversion": "1.0", "type": "file.new", "source": "test", "id": "e1",
        "subject": "a b", "data": {"text": big},
    });
    let receipt = world.ok("event.emit", json!({"events": [event]}));
    for name in ["reads", "ignores"] {
        let one = until_idle(&world, name);
        assert_eq!(
            (&one["delivered_total"], &one["dead_total"]),
            (&json!(1), &json!(0)),
            "{one}"
        );
    }
    let text = fs::read_to_string(world.path().join("event")).unwrap();
    assert_eq!(text.matches('\n').count(), 1, "it is one line");
    let read: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(read["data"]["text"], big.as_str());
    assert_eq!(
        (&read["id"], &read["specversion"]),
        (&json!("e1"), &json!("1.0"))
    );
    let seq = &receipt[0]["seq"];
    assert_eq!(lines(&world, "env"), [format!("{seq} e1 file.new a b")]);
}

#[test]
fn a_poisoned_event_is_a_dead_letter_with_its_story_and_blocks_nobody() {
    let mut world = World::up(
        r#"
        [subscriptions.picky]
        on = "n"
        exec = ["sh", "-c", '''
            grep -q '"data":13[,}]' && test ! -e mended && { echo no >&2; exit 7; }
            echo $EUD_EVENT_SEQ >> got
        ''']
        retries = { limit = 2, backoff = { initial = "10ms" } }
        "#,
    );
    let seqs = emit(&world, "n", (10..16).map(Value::from));
    let poisoned = seqs[3];
    let others: Vec<u64> = seqs
        .iter()
        .copied()
        .filter(|seq| *seq != poisoned)
        .collect();
    let dead = until_some(|| dead_letters(&world).pop());
    assert_eq!(dead["delivery"]["seq"], poisoned);
    assert_eq!(dead["delivery"]["attempts"], 3, "{dead}");
    let story = dead["delivery"]["errors"].as_array().unwrap();
    assert_eq!(story.len(), 3, "{dead}");
    assert!(story[0]["why"].as_str().unwrap().contains('7'), "{dead}");
    until(|| numbers(&world, "got") == others);
    // It is there for the next manager, and tried again when somebody says so.
    world.kill_manager();
    world.start();
    let shown = world.ok("dlq.show", json!({"id": dead["id"]}));
    assert_eq!(shown["dead_letter"], dead);
    assert_eq!(shown["event"]["data"], 13);
    fs::write(world.path().join("mended"), "").unwrap();
    let missing = world.call("dlq.retry", json!({"ids": [dead["id"], 99]}));
    assert_eq!(missing.unwrap_err()["data"]["kind"], "unknown");
    world.ok("dlq.retry", json!({"ids": [dead["id"]]}));
    until(|| numbers(&world, "got").last() == Some(&poisoned));
    assert!(dead_letters(&world).is_empty());
    let gone = world
        .call("dlq.show", json!({"id": dead["id"]}))
        .unwrap_err();
    assert_eq!(gone["data"]["kind"], "unknown");
}

#[test]
fn dead_letters_are_listed_by_subscription_and_dropped() {
    let world = World::up(
        r#"
        [subscriptions.a]
        on = "n"
        exec = "false"
        retries = 0
        [subscriptions.b]
        on = "n"
        exec = "false"
        retries = 0
        "#,
    );
    emit(&world, "n", (0..3).map(Value::from));
    until(|| dead_letters(&world).len() == 6);
    let of = |params| {
        let dead = world.ok("dlq.list", params);
        let ids = dead.as_array().unwrap().iter();
        ids.map(|one| one["id"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    let all = of(json!({}));
    assert!(all.is_sorted_by(|a, b| a > b), "newest first: {all:?}");
    let a = of(json!({"subscription": "a"}));
    assert_eq!(a.len(), 3);
    let next = of(json!({"subscription": "a", "before": a[0], "limit": 1}));
    assert_eq!(next, [a[1]]);
    assert_eq!(world.ok("dlq.drop", json!({"ids": a}))["count"], 3);
    assert_eq!(of(json!({})).len(), 3);
    world.ok("dlq.drop", json!({"all": true}));
    assert!(of(json!({})).is_empty());
}

#[test]
fn order_is_kept_for_each_key_and_a_slow_one_slows_nobody() {
    let world = World::up(
        r#"
        [subscriptions.keyed]
        on = "n"
        exec = ["sh", "-c", '''
            key=$(($EUD_EVENT_SEQ % 3)); sleep 0.0$(($EUD_EVENT_SEQ % 5))
            echo $EUD_EVENT_SEQ >> key.$key
        ''']
        ordered_by = "string(int(event.sequence) % 3)"
        concurrency = 6
        [subscriptions.stuck]
        on = "n"
        exec = ["sh", "-c", "until test -e go; do sleep 0.01; done; echo $EUD_EVENT_SEQ >> stuck"]
        [subscriptions.quick]
        on = "n"
        exec = ["sh", "-c", "echo $EUD_EVENT_SEQ >> quick"]
        "#,
    );
    let seqs = emit(&world, "n", (0..30).map(Value::from));
    until(|| numbers(&world, "quick") == seqs);
    until(|| subscription(&world, "keyed")["delivered_total"] == 30);
    for key in 0..3 {
        let of_key = seqs.iter().copied().filter(|seq| seq % 3 == key);
        let expected: Vec<u64> = of_key.collect();
        assert_eq!(numbers(&world, &format!("key.{key}")), expected);
    }
    let stuck = subscription(&world, "stuck");
    assert_eq!(
        (
            &stuck["delivering"],
            &stuck["waiting"],
            &stuck["delivered_total"]
        ),
        (&json!(1), &json!(29), &json!(0)),
        "{stuck}"
    );
    fs::write(world.path().join("go"), "").unwrap();
    until(|| numbers(&world, "stuck") == seqs);
}

#[test]
fn a_paused_one_is_behind_and_catches_up_and_a_replay_delivers_again() {
    let mut world = World::up(
        r#"
        [subscriptions.s]
        on = "n"
        exec = ["sh", "-c", "echo $EUD_EVENT_SEQ >> got"]
        concurrency = 4
        "#,
    );
    world.ok("subscription.pause", json!({"name": "s"}));
    let seqs = emit(&world, "n", (0..5).map(Value::from));
    until(|| subscription(&world, "s")["behind"].as_u64().unwrap() >= 5);
    world.kill_manager();
    world.start();
    let paused = subscription(&world, "s");
    assert_eq!(paused["paused"], true, "{paused}");
    assert!(lines(&world, "got").is_empty());
    world.ok("subscription.resume", json!({"name": "s"}));
    let sorted = || {
        let mut got = numbers(&world, "got");
        got.sort_unstable();
        got
    };
    until(|| sorted() == seqs);
    until_idle(&world, "s");
    world.ok(
        "subscription.replay",
        json!({"name": "s", "after": seqs[2]}),
    );
    let mut expected = [seqs.clone(), seqs[3..].to_vec()].concat();
    expected.sort_unstable();
    until(|| sorted() == expected);
    let future = json!({"name": "s", "after": 1_000_000});
    assert!(world.call("subscription.replay", future).is_err());
    let nobody = world.call("subscription.pause", json!({"name": "t"}));
    assert_eq!(nobody.unwrap_err()["data"]["kind"], "unknown");
}

#[test]
fn a_job_that_events_fire_is_told_all_of_them() {
    let world = World::up(
        r#"
        [daemons.index]
        kind = "job"
        command = ["sh", "-c", '''
            cat "$EUD_EVENTS" >> told; echo $EUD_TRIGGER >> triggers
            until test -e go; do sleep 0.01; done
        ''']
        [subscriptions.index]
        on = "file.*"
        filter = "event.data.size > 1"
        job = "index"
        "#,
    );
    world.ok("fleet.up", json!({}));
    world.until("index", |unit| unit["desired"] == "up");
    let first = emit_one(&world, "file.new", json!({"size": 2}));
    until(|| lines(&world, "told").len() == 1);
    // While it runs, those that come are for the next run, together.
    let more = emit(
        &world,
        "file.new",
        (1..5).map(|size| json!({ "size": size })),
    );
    until_idle(&world, "index");
    fs::write(world.path().join("go"), "").unwrap();
    until(|| lines(&world, "told").len() == 4);
    let told: Vec<u64> = lines(&world, "told")
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|event| event["sequence"].as_str().unwrap().parse().unwrap())
        .collect();
    assert_eq!(told, [vec![first], more[1..].to_vec()].concat());
    let triggers = lines(&world, "triggers");
    assert!(triggers.iter().all(|line| line == "event"), "{triggers:?}");
}

/// The agent daemon before lost the events that were being handled when it died.
#[test]
fn a_manager_killed_again_and_again_loses_no_event_and_handles_none_twice() {
    const KILLS: u64 = 50;
    const EACH: u64 = 20;
    let mut world = World::up(
        r#"
        [subscriptions.note]
        on = "n"
        exec = ["sh", "-c", "echo $EUD_EVENT_SEQ >> got"]
        concurrency = 4
        "#,
    );
    let publish = |world: &World, round: u64| {
        let event = |n: u64| {
            let id = (round * EACH + n).to_string();
            json!({"specversion": "1.0", "type": "n", "source": "test", "id": id})
        };
        let events: Vec<Value> = (0..EACH).map(event).collect();
        let receipts = world.ok("event.emit", json!({ "events": events }));
        let receipts = receipts.as_array().unwrap().iter();
        receipts
            .map(|r| r["seq"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    let mut published = Vec::new();
    for round in 0..KILLS {
        let seqs = publish(&world, round);
        // Each manager dies at another place of its work.
        let so_far = (round * EACH + round % EACH) as usize;
        until(|| numbers_so_far(&world, "got") >= so_far);
        world.kill_manager();
        world.start();
        assert_eq!(publish(&world, round), seqs, "they are known");
        published.extend(seqs);
    }
    let one = until_idle(&world, "note");
    assert_eq!(
        (&one["delivered_total"], &one["dead_total"]),
        (&json!(KILLS * EACH), &json!(0)),
        "{one}"
    );
    // None twice: a handler is a run, which outlives its manager.
    let mut got = numbers(&world, "got");
    got.sort_unstable();
    assert_eq!(got, published);
}

/// How many lines there are; the last may be in the middle of being written.
fn numbers_so_far(world: &World, name: &str) -> usize {
    let text = fs::read_to_string(world.path().join(name)).unwrap_or_default();
    text.matches('\n').count()
}

/// A request that a webhook made.
#[derive(Debug, Clone)]
struct Hooked {
    /// Names in lower case.
    headers: BTreeMap<String, String>,
    body: String,
}

/// Listens for webhooks; `answer` says what is answered to the request after so many others.
fn hook(
    answer: impl Fn(usize, &Hooked) -> String + Send + 'static,
) -> (String, Arc<Mutex<Vec<Hooked>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&seen);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let Some(hooked) = hooked(&stream) else {
                continue;
            };
            let mut seen = told.lock().unwrap();
            let text = answer(seen.len(), &hooked);
            seen.push(hooked);
            drop(seen);
            let head = format!("Connection: close\r\nContent-Length: {}", text.len() - 4);
            let (status, body) = text.split_at(4);
            let _ = write!(stream, "HTTP/1.1 {status}x\r\n{head}\r\n\r\n{body}");
        }
    });
    (url, seen)
}

fn hooked(stream: &TcpStream) -> Option<Hooked> {
    let mut reader = BufReader::new(stream);
    let mut headers = BTreeMap::new();
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    assert_eq!(line, "POST /hook HTTP/1.1\r\n");
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let mut body = vec![0; headers["content-length"].parse().unwrap()];
    reader.read_exact(&mut body).ok()?;
    let body = String::from_utf8(body).unwrap();
    Some(Hooked { headers, body })
}

/// All that the files of a folder hold.
fn everything_in(folder: &Path, all: &mut Vec<u8>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            everything_in(&path, all);
        } else if path.is_file() {
            all.extend(fs::read(path).unwrap_or_default());
        }
    }
}

#[test]
fn a_webhook_is_signed_tried_again_and_gives_no_secret_away() {
    let (url, seen) = hook(|n, hooked| match n {
        0 => format!("500 not now, {}", hooked.headers["authorization"]),
        _ => "200 ".to_owned(),
    });
    let world = World::new(&format!(
        r#"
        [subscriptions.hook]
        on = "n"
        retries = {{ limit = 2, backoff = {{ initial = "10ms" }} }}
        [subscriptions.hook.webhook]
        url = "{url}"
        secret = {{ file = "key" }}
        headers = {{ Authorization = {{ file = "token" }}, X-Name = "plain" }}
        "#
    ));
    fs::write(world.path().join("key"), "hunter2-key\n").unwrap();
    fs::write(world.path().join("token"), "hunter2-token\n").unwrap();
    let mut world = world;
    world.start();
    world.ok("subscription.list", json!({}));
    let seq = emit_one(&world, "n", json!({"ü": 1}));
    let waits = until_some(|| {
        let one = subscription(&world, "hook");
        (one["delivered_total"] == 1).then_some(one)
    });
    assert_eq!(waits["dead_total"], 0);
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 2);
    for hooked in &seen {
        let event: Value = serde_json::from_str(&hooked.body).unwrap();
        assert_eq!(event["sequence"], seq.to_string());
        let header = |name: &str| hooked.headers[name].as_str();
        assert!(header("content-type").starts_with("application/cloudevents+json"));
        assert_eq!(
            (header("authorization"), header("x-name")),
            ("hunter2-token", "plain")
        );
        assert_eq!(header("webhook-id"), event["id"]);
        let mut signer = Hmac::<sha2::Sha256>::new_from_slice(b"hunter2-key").unwrap();
        let (id, time) = (header("webhook-id"), header("webhook-timestamp"));
        signer.update(format!("{id}.{time}.{}", hooked.body).as_bytes());
        let signature = STANDARD.encode(signer.finalize().into_bytes());
        assert_eq!(header("webhook-signature"), format!("v1,{signature}"));
    }
    let mut all = Vec::new();
    everything_in(world.state(), &mut all);
    let all = String::from_utf8_lossy(&all);
    assert!(all.contains("hook"), "it is not the state");
    assert!(!all.contains("hunter2"));
}

#[test]
fn a_webhook_that_never_succeeds_is_a_dead_letter_that_says_why() {
    let (url, _) = hook(|_, hooked| format!("403 bad {}", hooked.headers["x-key"]));
    let world = World::new("[pools.p]\ncommand = \"true\"\n");
    fs::write(world.path().join("token"), "hunter2-token").unwrap();
    let mut world = world;
    world.start();
    let token = world.path().join("token");
    let add = |name: &str, url: &str| {
        let webhook = json!({"url": url, "headers": {"X-Key": {"file": token}}});
        json!({"name": name, "on": ["n"], "webhook": webhook, "retries": 0, "timeout_ms": 300})
    };
    // It takes connections, and nobody reads from them.
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}/", deaf.local_addr().unwrap());
    world.ok("subscription.add", add("refused", &url));
    world.ok("subscription.add", add("silent", &silent));
    world.kill_manager();
    world.start();
    assert_eq!(subscription(&world, "refused")["at_run_time"], true);
    emit_one(&world, "n", json!(1));
    until(|| dead_letters(&world).len() == 2);
    for dead in dead_letters(&world) {
        let why = dead["delivery"]["errors"][0]["why"].as_str().unwrap();
        match dead["delivery"]["outlet"].as_str().unwrap() {
            "subscription.refused" => assert_eq!(why, "HTTP 403: bad ***"),
            _ => assert_eq!(why, "no answer within 300 ms"),
        }
        assert!(!dead.to_string().contains("hunter2"), "{dead}");
    }
    world.ok("subscription.remove", json!({"name": "silent"}));
    let bus = world.ok("subscription.list", json!({}));
    assert_eq!(bus["subscriptions"].as_array().unwrap().len(), 1, "{bus}");
}
