//! What cannot be done is said in words, and costs nothing that runs.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod support;

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use eud_sys::process;
use serde_json::{Value, json};
use support::{World, until};

const ONE: &str = "[daemons.a]\ncommand = \"sleep 1000\"\n";

#[test]
fn a_second_manager_is_refused_and_names_the_first() {
    let world = World::up(ONE);
    let words = world.start_refused();
    assert!(
        words.contains(&format!("pid {}", world.manager_pid())),
        "{words}"
    );
    assert_eq!(world.ok("ping", json!({}))["pong"], true);
}

#[test]
fn a_bad_reload_changes_nothing() {
    let mut world = World::up(ONE);
    let before = world.identity("a");
    for bad in [
        "[daemons.a]\ncommand = \"x\"\nneeds = [\"nobody\"]\n",
        "[[[",
        "x = 1\n",
    ] {
        world.write_fleet(bad);
        let error = world.call("fleet.reload", json!({})).unwrap_err();
        assert_eq!(error["code"], 2, "{error}");
        assert!(!error["data"]["diagnostics"].as_array().unwrap().is_empty());
        assert!(
            error["data"]["rendered"]
                .as_str()
                .unwrap()
                .contains("eud.toml"),
            "{error}"
        );
        assert_eq!(world.identity("a"), before);
    }
    // A manager that starts now goes on with the fleet it knew, because something is running.
    world.kill_manager();
    world.start();
    assert_eq!(world.identity("a"), before);
    let problems = world.status()["problems"].clone();
    assert!(
        problems[0].as_str().unwrap().contains("as last loaded"),
        "{problems}"
    );
    world.write_fleet(ONE);
    world.ok("fleet.reload", json!({}));
    assert_eq!(world.status()["problems"], json!([]));
    // Without anything running there is nothing to go on with.
    world.shut_down();
    world.write_fleet("[[[");
    assert!(world.start_refused().contains("eud.toml"));
}

#[test]
fn a_file_that_is_being_rewritten_empties_no_fleet() {
    let world = World::up(ONE);
    let before = world.identity("a");
    for empty in ["", "# soon\n", "[fleet]\nname = \"x\"\n"] {
        world.write_fleet(empty);
        let error = world.call("fleet.reload", json!({})).unwrap_err();
        assert_eq!(error["code"], 2, "{error}");
        let words = error["data"]["rendered"].as_str().unwrap();
        assert!(words.contains("eud down"), "{words}");
        assert_eq!(world.identity("a"), before);
    }
}

#[test]
fn a_changed_daemon_is_restarted_by_the_next_manager_and_says_why() {
    let mut world = World::up(ONE);
    let before = world.pid("a");
    world.kill_manager();
    world.write_fleet("[daemons.a]\ncommand = \"sleep 1001\"\n");
    world.start();
    world.until("a", |a| a["pid"].is_u64() && a["pid"] != json!(before));
    let runs = world.ok("daemon.runs", json!({"name": "a"}));
    assert!(
        runs[0]["cause"].as_str().unwrap().contains("command"),
        "{runs}"
    );
}

/// Failures of a launch: what the fleet file says, and what the reason must contain.
fn launch_fails(fleet: &str, words: &[&str]) {
    let world = World::up(fleet);
    let unit = world.until("a", |unit| unit["last_exit"].is_object());
    assert_eq!(unit["last_exit"]["reason"], "spawn-failed", "{unit}");
    let message = unit["last_exit"]["message"].as_str().unwrap();
    for word in words {
        assert!(message.contains(word), "no `{word}` in `{message}`");
    }
    let run = unit["last_exit"]["run"].as_str().unwrap();
    let record = world
        .state()
        .join("daemons/a/runs")
        .join(run)
        .join("exit.json");
    let record: Value = serde_json::from_slice(&fs::read(record).unwrap()).unwrap();
    assert_eq!(
        record["reason"], "spawn-failed",
        "a record like any other: {record}"
    );
}

#[test]
fn a_port_in_use_names_its_holder() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let fleet =
        format!("[daemons.a]\ncommand = \"sleep 1000\"\nrestart = \"never\"\nports = [{port}]\n");
    let pid = format!("pid {}", std::process::id());
    launch_fails(&fleet, &[&format!("port {port} is in use by"), &pid]);
}

#[test]
fn an_unknown_user_is_named() {
    launch_fails(
        "[daemons.a]\ncommand = \"sleep 1\"\nrestart = \"never\"\nuser = \"no-such-user-here\"\n",
        &["no-such-user-here"],
    );
}

#[test]
fn a_missing_folder_is_named() {
    launch_fails(
        "[daemons.a]\ncommand = \"sleep 1\"\nrestart = \"never\"\ncwd = \"/no/such/folder\"\n",
        &["/no/such/folder"],
    );
}

#[test]
fn a_missing_program_is_named() {
    launch_fails(
        "[daemons.a]\ncommand = \"no-such-program-here\"\nrestart = \"never\"\n",
        &["no-such-program-here"],
    );
}

#[test]
fn secrets_reach_the_command_and_nothing_else() {
    let mut world = World::new(
        r#"
        [daemons.a]
        shell = """
        test "$FROM_FILE" = "$(cat token)" && test "$FROM_ENV" = "$(cat other)" \
            && test "$FROM_COMMAND" = "$(cat third)" && exec sleep 1000"""
        restart = "never"
        env.FROM_FILE = { file = "token" }
        env.FROM_ENV = { env = "SECRET_SOURCE" }
        env.FROM_COMMAND = { command = ["cat", "third"] }
        ready = { exec = ["sh", "-c", "test \"$FROM_COMMAND\" = \"$(cat third)\""] }
        "#,
    );
    let third = world.path().join("third");
    world.write_fleet(
        &fs::read_to_string(world.path().join("eud.toml"))
            .unwrap()
            .replace(
                "[\"cat\", \"third\"] }",
                &format!("[\"cat\", {:?}] }}", third),
            ),
    );
    for (name, secret) in [("token", "alpha"), ("other", "beta"), ("third", "gamma")] {
        fs::write(world.path().join(name), format!("{secret}\n")).unwrap();
    }
    world.env.push(("SECRET_SOURCE".into(), "beta".into()));
    world.start();
    world.until_state("a", "ready");
    world.kill_manager();
    world.start();
    world.until_state("a", "ready");
    world.ok("daemon.show", json!({"name": "a"}));
    let mut files = vec![world.state().to_owned()];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
        } else if let Ok(bytes) = fs::read(&path) {
            let text = String::from_utf8_lossy(&bytes);
            for secret in ["alpha", "beta", "gamma"] {
                assert!(!text.contains(secret), "`{secret}` in {}", path.display());
            }
        }
    }
}

#[test]
fn a_secret_that_cannot_be_had_is_named_without_its_value() {
    launch_fails(
        "[daemons.a]\ncommand = \"sleep 1\"\nrestart = \"never\"\n\
         env = { TOKEN = { command = [\"sh\", \"-c\", \"echo hunter2; exit 3\"] } }\n",
        &["TOKEN", "exited with code 3"],
    );
}

/// A small file system, if this user may mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m", "none"])
            .arg(dir.path())
            .status();
        mounted
            .is_ok_and(|status| status.success())
            .then_some(Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_refuses_commands_and_loses_nothing() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("this user may not mount: not tested");
        return;
    };
    let mut world = World::new(
        "[daemons.a]\ncommand = \"sleep 1000\"\n[daemons.b]\ncommand = \"sleep 1000\"\n",
    );
    world.set_state(&disk.0.path().join("state"));
    world.start();
    let (a, b) = (world.identity("a"), world.identity("b"));
    world.until_state("b", "up");
    let ballast = disk.0.path().join("ballast");
    let fill = |ballast: &std::path::Path| {
        use std::io::Write;
        let mut file = fs::File::options()
            .create(true)
            .append(true)
            .open(ballast)
            .unwrap();
        for size in [1 << 20, 4096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    };
    fill(&ballast);
    // The log may still have had room in its last page: until nothing fits, commands are simply
    // durable.
    let mut refused = None;
    for n in 0..10_000 {
        let reason = format!("{n} {}", "x".repeat(400));
        match world.call("daemon.hold", json!({"names": ["b"], "reason": reason})) {
            Ok(_) => {}
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    let refused = refused.expect("the disk is full");
    assert_eq!(refused["code"], 4, "{refused}");
    assert!(
        refused["message"].as_str().unwrap().contains("full"),
        "{refused}"
    );
    let problems = world.status()["problems"].clone();
    assert!(problems.to_string().contains("full"), "{problems}");
    assert!(process::is_alive(a));
    let stopped = world
        .call("daemon.stop", json!({"names": ["a"]}))
        .unwrap_err();
    assert_eq!(stopped["code"], 4, "{stopped}");
    assert!(process::is_alive(a), "what is not recorded is not done");
    fs::remove_file(&ballast).unwrap();
    until(|| !world.status()["problems"].to_string().contains("state.db"));
    world.ok("daemon.stop", json!({"names": ["a"]}));
    world.until_state("a", "stopped");
    support::until_gone(a);
    world.until_state("b", "held");
    support::until_gone(b);
}
