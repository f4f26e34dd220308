//! Tasks with real processes: nothing of what they say is lost, nor is any of them.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on says where"
)]

mod support;

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use eud_sys::process::{self, Identity};
use eud_sys::signal::Signal;
use serde_json::{Value, json};
use support::{PATIENCE, World, until, until_gone, until_some};

/// Submits one task; its id.
fn submit(world: &World, task: Value) -> u64 {
    let accepted = world.ok("task.submit", json!({ "tasks": [task] }));
    accepted["tasks"][0].as_u64().expect("an id")
}

fn show(world: &World, id: u64) -> Value {
    world.ok("task.show", json!({ "id": id }))
}

/// Waits until a task is as it should be; its row.
fn until_task(world: &World, id: u64, what: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut shown = show(world, id);
        if what(&shown["task"]) {
            return shown["task"].take();
        }
        assert!(Instant::now() < deadline, "still {shown}\n{}", world.log());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

fn until_state(world: &World, id: u64, state: &str) -> Value {
    until_task(world, id, |task| task["state"] == state)
}

fn until_over(world: &World, id: u64) -> Value {
    until_task(world, id, |task| task["ended_ms"].is_i64())
}

fn folder(world: &World, pool: &str, id: u64) -> PathBuf {
    world.state().join("tasks").join(format!("{pool}#{id}"))
}

/// Texts of the lines a task wrote.
fn output(world: &World, pool: &str, id: u64) -> Vec<String> {
    let log = fs::read_to_string(folder(world, pool, id).join("log/current")).unwrap();
    let text = |line: &str| line.splitn(4, ' ').nth(3).unwrap_or_default().to_owned();
    log.lines().map(text).collect()
}

/// The process whose id is in a file.
fn process_in(world: &World, name: &str) -> Identity {
    let path = world.path().join(name);
    let pid = until_some(|| fs::read_to_string(&path).ok()?.trim().parse().ok());
    process::identity(pid).unwrap()
}

#[test]
fn a_prompt_of_a_megabyte_arrives_whole() {
    let world = World::up(
        r#"
        [pools.in]
        command = ["sh", "-c", "cat > in"]
        prompt = "stdin"
        [pools.unasked]
        command = ["sh", "-c", "cat > unasked"]
        [pools.file]
        command = ["cp", "{{ task.prompt_file }}", "file"]
        prompt = "file"
        "#,
    );
    let prompt = "é\u{1f600} \"quoted\" {{ task.id }}\t\\ $(x)\n".repeat(30_000);
    assert!(prompt.len() > 1_000_000);
    for pool in ["in", "unasked", "file"] {
        let id = submit(&world, json!({"pool": pool, "prompt": prompt}));
        let task = until_over(&world, id);
        assert_eq!(task["state"], "succeeded", "{task}");
        let arrived = fs::read_to_string(world.path().join(pool)).unwrap();
        assert!(arrived == prompt, "{pool}: {} bytes", arrived.len());
        assert!(show(&world, id)["spec"]["prompt"].as_str() == Some(&prompt));
    }
}

#[test]
fn what_cannot_be_launched_fails_its_task_with_the_reason_and_no_other() {
    let world = World::up(
        r#"
        [pools.agents]
        command = ["sh", "-c", "printf %s \"$1\" > prompt", "sh", "{{ task.prompt }}"]
        [pools.missing]
        command = "no-such-program"
        [pools.dir]
        command = "true"
        "#,
    );
    let long = submit(
        &world,
        json!({"pool": "agents", "prompt": "x".repeat(200_000)}),
    );
    let none = submit(&world, json!({"pool": "agents"}));
    let missing = submit(&world, json!({"pool": "missing"}));
    let nowhere = submit(&world, json!({"pool": "dir", "cwd": "/no/such/folder"}));
    let fine = submit(&world, json!({"pool": "agents", "prompt": "a b; c"}));
    for (id, words) in [
        (long, ["200000 bytes", "prompt = \"stdin\""]),
        (none, ["task.prompt", "not defined"]),
        (missing, ["no-such-program", "PATH"]),
        (nowhere, ["/no/such/folder", "does not exist"]),
    ] {
        let task = until_over(&world, id);
        assert_eq!(task["state"], "failed", "{task}");
        let reason = task["reason"].as_str().unwrap();
        for word in words {
            assert!(reason.contains(word), "no `{word}` in `{reason}`");
        }
    }
    assert_eq!(until_over(&world, fine)["state"], "succeeded");
    let prompt = fs::read_to_string(world.path().join("prompt")).unwrap();
    assert_eq!(prompt, "a b; c");
}

/// Flags of the client leaked into the prompt of the agent daemon before.
#[test]
fn arguments_arrive_as_they_were_given() {
    let world = World::up(
        r#"
        [pools.say]
        command = ["sh", "-c", '''
            for a in "$@"; do printf '<%s>\n' "$a"; done
            echo $EUD_TASK_ID $EUD_TASK_POOL $EUD_TASK_ATTEMPT $EUD_TASK_KEY $A
        ''', "sh"]
        env = { A = "{{ task.key }}!" }
        "#,
    );
    let args = ["do a thing --priority 7", "", "$HOME `x` *", "--", "é"];
    let id = submit(&world, json!({"pool": "say", "args": args, "key": "k"}));
    assert_eq!(until_over(&world, id)["state"], "succeeded");
    let mut expected: Vec<String> = args.iter().map(|arg| format!("<{arg}>")).collect();
    expected.push(format!("{id} say 1 k k!"));
    assert_eq!(output(&world, "say", id), expected);
}

/// The agent daemon before lost its tasks with its process.
#[test]
fn a_task_outlives_its_manager_and_runs_once() {
    let mut world = World::up(
        r#"
        [pools.once]
        command = ["sh", "-c", '''
            echo $$ >> runs; echo $$ > pid.$1
            until test -e go; do sleep 0.01; done
            echo the last line; exit 7
        ''', "sh"]
        concurrency = 2
        delivery = "at-most-once"
        "#,
    );
    let first = submit(&world, json!({"pool": "once", "args": ["1"]}));
    let second = submit(&world, json!({"pool": "once", "args": ["2"]}));
    let third = submit(&world, json!({"pool": "once", "args": ["3"]}));
    let (one, two) = (process_in(&world, "pid.1"), process_in(&world, "pid.2"));
    for _ in 0..3 {
        world.kill_manager();
        assert!(process::is_alive(one) && process::is_alive(two));
        world.start();
        assert_eq!(until_state(&world, third, "queued")["attempts"], 0);
        assert_eq!(show(&world, first)["task"]["state"], "running");
    }
    // These end while nobody looks.
    world.kill_manager();
    fs::write(world.path().join("go"), "").unwrap();
    until_gone(one);
    until_gone(two);
    world.start();
    for id in [first, second, third] {
        let task = until_over(&world, id);
        assert_eq!(
            (&task["state"], &task["code"]),
            (&json!("failed"), &json!(7)),
            "{task}"
        );
        assert_eq!(task["attempts"], 1);
        assert_eq!(task["progress"]["text"], "the last line", "{task}");
        assert_eq!(task["progress"]["steps"], 1);
    }
    let runs = fs::read_to_string(world.path().join("runs")).unwrap();
    assert_eq!(runs.lines().count(), 3, "{runs}");
}

/// The agent daemon before lost what was written between its last look and the end.
#[test]
fn the_last_lines_of_a_task_are_told_with_its_end() {
    let world = World::up(
        r#"
        [pools.talk]
        command = ["sh", "-c", "seq 1 2000; echo '{\"text\":\"ü done\",\"tokens_out\":5,\"result\":\"42\"}'; exit 3"]
        progress = "json"
        [pools.lines]
        command = ["sh", "-c", "seq 1 2000"]
        concurrency = 4
        "#,
    );
    let id = submit(&world, json!({"pool": "talk"}));
    let progress = until_over(&world, id)["progress"].clone();
    assert_eq!(progress["text"], "ü done");
    assert_eq!(
        (&progress["tokens_out"], &progress["result"]),
        (&json!(5), &json!("42"))
    );
    for _ in 0..5 {
        let id = submit(&world, json!({"pool": "lines"}));
        let progress = until_over(&world, id)["progress"].clone();
        assert_eq!(
            (&progress["steps"], &progress["text"]),
            (&json!(2000), &json!("2000"))
        );
        assert_eq!(progress["leftovers"], 0);
    }
}

/// In the agent daemon before, whoever trapped the signal and exited 0 was `completed`.
#[test]
fn cancelled_and_timed_out_are_never_succeeded() {
    let world = World::up(
        r#"
        [pools.polite]
        command = ["sh", "-c", "trap 'exit 0' TERM; echo $$ > pid.$EUD_TASK_ID; while :; do sleep 0.01; done"]
        [pools.deaf]
        command = ["sh", "-c", "trap '' TERM; echo $$ > pid.$EUD_TASK_ID; while :; do sleep 0.01; done"]
        stop = { grace = "100ms" }
        "#,
    );
    for pool in ["polite", "deaf"] {
        let running = submit(&world, json!({ "pool": pool }));
        let queued = submit(&world, json!({ "pool": pool }));
        let command = process_in(&world, &format!("pid.{running}"));
        world.ok(
            "task.cancel",
            json!({"ids": [running, queued], "by": "a test"}),
        );
        for id in [running, queued] {
            let task = until_over(&world, id);
            assert_eq!(task["state"], "cancelled", "{task}");
            assert!(
                task["reason"].as_str().unwrap().contains("a test"),
                "{task}"
            );
        }
        assert!(
            !process::is_alive(command),
            "its place is free when it is gone"
        );
        let late = submit(&world, json!({"pool": pool, "timeout_ms": 300}));
        let task = until_over(&world, late);
        assert_eq!(task["state"], "timed-out", "{task}");
    }
}

#[test]
fn what_a_task_leaves_behind_is_ended_and_counted() {
    let world = World::up(
        r#"
        [pools.messy]
        command = ["sh", "-c", "setsid sleep 1000 & echo $! > left; sleep 1001 & exit 0"]
        "#,
    );
    let id = submit(&world, json!({"pool": "messy"}));
    let task = until_over(&world, id);
    assert_eq!(task["state"], "succeeded", "{task}");
    assert_eq!(task["progress"]["leftovers"], 2, "{task}");
    let pid: u32 = fs::read_to_string(world.path().join("left"))
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    assert!(process::identity(pid).is_err(), "pid {pid} is left");
}

#[test]
fn a_folder_of_its_own_goes_with_success_and_everything_with_the_task() {
    let world = World::up(
        r#"
        [pools.own]
        command = ["sh", "-c", '''
            test "$PWD" = "$EUD_TASK_DIR" || exit 9
            echo here; touch here; ln -s / root; mkdir no; touch no/x; chmod 500 no
            exit $1
        ''', "sh"]
        work_dir = "own"
        keep_max = 1
        "#,
    );
    let well = submit(&world, json!({"pool": "own", "args": ["0"]}));
    assert_eq!(until_over(&world, well)["state"], "succeeded");
    until(|| !folder(&world, "own", well).join("work").exists());
    assert!(folder(&world, "own", well).join("log/current").exists());
    let badly = submit(&world, json!({"pool": "own", "args": ["1"]}));
    assert_eq!(until_over(&world, badly)["code"], 1);
    let work = show(&world, badly)["work_dir"].as_str().unwrap().to_owned();
    assert!(PathBuf::from(&work).join("here").exists());
    // The first is one too many.
    until(|| !folder(&world, "own", well).exists());
    let error = world.call("task.show", json!({ "id": well })).unwrap_err();
    assert_eq!(error["data"]["kind"], "unknown", "{error}");
}

#[test]
fn secrets_and_prompts_are_in_no_file_but_the_one_they_go_to() {
    let world = World::new("");
    fs::write(world.path().join("token"), "hunter2\n").unwrap();
    fs::write(world.path().join("prompt"), "my prompt\n").unwrap();
    world.write_fleet(
        r#"
        [pools.p]
        command = ["sh", "-c", "test $TOKEN = $(cat token) && test \"$P\" = \"$(cat prompt)\""]
        env = { TOKEN = { file = "token" }, P = "{{ task.prompt }}" }
        "#,
    );
    let mut world = world;
    world.start();
    let id = submit(&world, json!({"pool": "p", "prompt": "my prompt"}));
    let task = until_over(&world, id);
    assert_eq!(task["state"], "succeeded", "{task}");
    let run = show(&world, id)["run_dir"].as_str().unwrap().to_owned();
    for entry in fs::read_dir(run).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        assert!(
            !text.contains("hunter2") && !text.contains("my prompt"),
            "{text}"
        );
    }
}

/// A reload of the agent daemon before doubled its workers, and lost the running ones.
#[test]
fn a_reload_doubles_nothing() {
    let world = World::up(
        r#"
        [pools.one]
        command = ["sh", "-c", "echo $$ > pid.$EUD_TASK_ID; until test -e go; do sleep 0.01; done"]
        "#,
    );
    let first = submit(&world, json!({"pool": "one"}));
    let second = submit(&world, json!({"pool": "one"}));
    let command = process_in(&world, &format!("pid.{first}"));
    let manager = process::identity(world.manager_pid()).unwrap();
    for round in 1..=3 {
        process::signal(manager, Signal::HUP).unwrap();
        until(|| world.log().matches("reloaded the fleet file").count() == round);
    }
    assert_eq!(show(&world, second)["task"]["state"], "queued");
    assert!(process::is_alive(command));
    fs::write(world.path().join("go"), "").unwrap();
    for id in [first, second] {
        let task = until_over(&world, id);
        assert_eq!(
            (&task["state"], &task["attempts"]),
            (&json!("succeeded"), &json!(1))
        );
    }
}

#[test]
fn pools_are_paused_and_tasks_are_listed() {
    let mut world = World::up(
        r#"
        [pools.p]
        command = "true"
        [pools.q]
        command = "false"
        "#,
    );
    world.ok("pool.pause", json!({"name": "p", "reason": "maintenance"}));
    let ids: Vec<u64> = (0..3)
        .map(|_| submit(&world, json!({"pool": "p"})))
        .collect();
    let failed = submit(&world, json!({"pool": "q", "token": "t"}));
    assert_eq!(submit(&world, json!({"pool": "q", "token": "t"})), failed);
    assert_eq!(until_over(&world, failed)["state"], "failed");
    // Neither pause nor queue goes with the manager.
    world.kill_manager();
    world.start();
    let pools = world.ok("pool.list", json!({}));
    let p = pools
        .as_array()
        .unwrap()
        .iter()
        .find(|pool| pool["name"] == "p")
        .unwrap();
    assert_eq!(
        (&p["paused"], &p["tasks"]["queued"]),
        (&json!(true), &json!(3)),
        "{p}"
    );
    let list = |params| {
        let rows = world.ok("task.list", params);
        let ids = rows
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["id"].as_u64().unwrap());
        ids.collect::<Vec<_>>()
    };
    let newest: Vec<u64> = ids.iter().rev().copied().collect();
    assert_eq!(list(json!({"pool": "p"})), newest);
    assert_eq!(list(json!({"states": ["failed", "lost"]})), [failed]);
    assert_eq!(
        list(json!({"pool": "p", "before": ids[2], "limit": 1})),
        [ids[1]]
    );
    world.ok("pool.resume", json!({"name": "p"}));
    for id in ids {
        assert_eq!(until_over(&world, id)["state"], "succeeded");
    }
    let again = world.ok("task.retry", json!({"all": true}));
    assert_eq!(again["tasks"], json!([failed]));
}

#[test]
fn what_makes_no_sense_is_refused_in_words_and_queues_nothing() {
    let world = World::up("[pools.p]\ncommand = \"true\"\n");
    let good = json!({"pool": "p"});
    let nobody = json!({"tasks": [good, {"pool": "nobody"}]});
    let error = world.call("task.submit", nobody).unwrap_err();
    assert_eq!(error["code"], 1, "{error}");
    assert!(
        error["message"].as_str().unwrap().contains("nobody"),
        "{error}"
    );
    let nul = json!({"tasks": [good, {"pool": "p", "args": ["a\0b"]}]});
    let error = world.call("task.submit", nul).unwrap_err();
    assert_eq!(error["code"], -32602, "{error}");
    assert!(
        error["message"].as_str().unwrap().contains("task 1"),
        "{error}"
    );
    for (method, params) in [
        ("task.cancel", json!({"ids": [77]})),
        ("task.retry", json!({"ids": [77]})),
        ("task.show", json!({"id": 77})),
        ("pool.pause", json!({"name": "nobody"})),
        ("pool.resume", json!({"name": "nobody"})),
    ] {
        let error = world.call(method, params).unwrap_err();
        assert_eq!(error["code"], 1, "{method}: {error}");
    }
    assert_eq!(world.ok("task.list", json!({})), json!([]));
}

/// One line `null` killed the agent daemon before.
#[test]
fn a_line_that_is_null_is_answered_with_an_error_and_nothing_else() {
    let world = World::up("[pools.p]\ncommand = \"true\"\n");
    let mut wire = world.wire();
    wire.send(b"null\n");
    let answer = wire.line().unwrap();
    assert_eq!(
        (&answer["error"]["code"], &answer["id"]),
        (&json!(-32600), &Value::Null)
    );
    // The next line is the answer to the next request.
    assert_eq!(wire.call("ping", json!({})).unwrap()["pong"], true);
    let id = submit(&world, json!({"pool": "p"}));
    assert_eq!(until_over(&world, id)["state"], "succeeded");
}

#[test]
fn a_manager_killed_again_and_again_loses_no_task_and_doubles_none() {
    const TASKS: usize = 60;
    let mut world = World::up(
        r#"
        [pools.once]
        command = ["sh", "-c", "echo $EUD_TASK_ID >> once; sleep 0.02; exit $1", "sh"]
        concurrency = 3
        delivery = "at-most-once"
        [pools.least]
        command = ["sh", "-c", "echo $EUD_TASK_ID >> least; sleep 0.02", "sh"]
        concurrency = 3
        "#,
    );
    let some = |pool: &str| {
        let of = |n: usize| json!({"pool": pool, "args": [(n % 2).to_string()]});
        let tasks: Vec<Value> = (0..TASKS).map(of).collect();
        world.ok("task.submit", json!({ "tasks": tasks }));
    };
    some("once");
    some("least");
    let left = |world: &World| {
        let states = json!({"states": ["queued", "delayed", "running"], "limit": 1000});
        world.ok("task.list", states).as_array().unwrap().len()
    };
    // Each manager lives until some more tasks are over.
    while left(&world) > 0 {
        let before = left(&world);
        until(|| left(&world) < before.saturating_sub(5) || left(&world) == 0);
        world.kill_manager();
        world.start();
    }
    for (pool, state) in [("once", "failed"), ("least", "succeeded")] {
        let rows = world.ok("task.list", json!({"pool": pool, "limit": 1000}));
        let rows = rows.as_array().unwrap();
        assert_eq!(rows.len(), TASKS);
        let ran = fs::read_to_string(world.path().join(pool)).unwrap();
        for row in rows {
            let id = row["id"].to_string();
            let times = ran.lines().filter(|line| **line == id).count();
            // A try that was recorded and never started is another attempt, and no other run.
            assert_eq!(times, 1, "{row}");
            // The second of them exits 1.
            let is_even = row["id"].as_u64().unwrap() % 2 == 0;
            let expected = if is_even { state } else { "succeeded" };
            assert_eq!(row["state"], expected, "{row}");
        }
    }
}

#[test]
fn a_lost_database_costs_no_manager_and_no_number() {
    let mut world = World::up(
        r#"
        [pools.p]
        command = ["sh", "-c", "echo $$ > pid.$EUD_TASK_ID; sleep 1000"]
        "#,
    );
    let lost = submit(&world, json!({"pool": "p"}));
    let command = process_in(&world, &format!("pid.{lost}"));
    world.kill_manager();
    for name in ["state.db", "state.db-wal", "state.db-shm"] {
        let _ = fs::remove_file(world.state().join(name));
    }
    world.start();
    // Nobody knows any more what it was for.
    until_gone(command);
    let next = submit(&world, json!({"pool": "p"}));
    assert!(next > lost, "{next}");
    until_state(&world, next, "running");
    world.ok("task.cancel", json!({"all": true}));
    assert_eq!(until_over(&world, next)["state"], "cancelled");
    // What is left of it goes with the next start.
    world.kill_manager();
    world.start();
    until(|| !folder(&world, "p", lost).exists());
    assert!(folder(&world, "p", next).exists());
}

#[test]
fn a_task_of_which_nobody_knows_how_it_ended_is_lost_or_tried_again_as_its_pool_says() {
    let world = World::up(
        r#"
        [pools.once]
        command = ["sh", "-c", "echo $$ > pid.$EUD_TASK_POOL; sleep 1000"]
        delivery = "at-most-once"
        retries = 3
        [pools.least]
        command = ["sh", "-c", '''
            test $EUD_TASK_ATTEMPT = 1 || exit 0
            echo $$ > pid.$EUD_TASK_POOL; sleep 1000
        ''']
        retries = { limit = 1, backoff = { initial = "10ms" } }
        "#,
    );
    for (pool, state, attempts) in [("once", "lost", 1), ("least", "succeeded", 2)] {
        let id = submit(&world, json!({ "pool": pool }));
        let command = process_in(&world, &format!("pid.{pool}"));
        let run = show(&world, id)["run_dir"].as_str().unwrap().to_owned();
        support::kill(world.keeper_of(&PathBuf::from(run)));
        let task = until_over(&world, id);
        assert_eq!(
            (&task["state"], &task["attempts"]),
            (&json!(state), &json!(attempts)),
            "{task}"
        );
        assert!(!process::is_alive(command));
    }
}
