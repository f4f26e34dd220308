//! Which process is whose.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;

use crate::support::eventually;
use crate::support::fleet::{Fleet, diarist};
use crate::support::processes::Stranger;

/// A process was known by a pattern of its command line: an editor on the script counted as the
/// daemon, and so did the shell that looked for it.
#[test]
fn a_stopped_daemon_is_stopped_although_others_have_its_words() {
    let fleet = Fleet::new("[daemons.a]\ncommand = [\"sh\", \"bin/work.sh\"]\n");
    fs::create_dir(fleet.path().join("bin")).unwrap();
    let script = fleet.path().join("bin/work.sh");
    fs::write(&script, "exec sleep 1000\n").unwrap();
    let path = script.to_str().unwrap();
    let mut strangers = [
        Stranger::new("tail", &["-f", path]),
        Stranger::new("bash", &["-c", "exec -a 'sh bin/work.sh' sleep 1000"]),
        Stranger::new("sh", &[path]),
    ];
    fleet.eud("up", 0);
    let command = fleet.process("a");
    fleet.eud("stop a", 0);
    let unit = fleet.unit("a");
    assert_eq!(
        (&unit["state"], unit["pid"].is_null()),
        (&"stopped".into(), true),
        "{unit}"
    );
    assert!(!command.is_alive());
    strangers.iter_mut().for_each(Stranger::lives);
    fleet.kill_manager();
    fleet.eud("up", 0);
    assert_eq!(fleet.unit("a")["state"], "stopped");
    fleet.eud("start a", 0);
    assert_eq!(
        fleet.runs("a").len(),
        2,
        "the pattern of another kept it from being started"
    );
    strangers.iter_mut().for_each(Stranger::lives);
    fleet.down();
    strangers.iter_mut().for_each(Stranger::lives);
}

/// A daemon whose command line did not match the pattern was started again every 30 seconds.
#[test]
fn a_daemon_that_becomes_another_program_is_started_once() {
    let text = diarist("a", "--every 20", "");
    let shell = text.replace(
        "command = [",
        "command = [\"bash\", \"-c\", \"exec -a something-else \\\"$@\\\"\", \"x\", ",
    );
    let fleet = Fleet::up(&shell);
    let command = fleet.process("a");
    let words = fs::read_to_string(format!("/proc/{}/cmdline", command.pid)).unwrap();
    assert!(words.starts_with("something-else"), "{words}");
    for _ in 0..3 {
        fleet.eud("up", 0);
        fleet.eud("reload", 0);
        fleet.kill_manager();
        fleet.eud("up", 0);
    }
    assert_eq!(fleet.process("a"), command);
    assert_eq!(fleet.diary("a").starts.len(), 1);
    fleet.down();
}

/// A number in a file was believed: whoever had that number was adopted, and killed by a stop.
#[test]
fn a_number_in_a_file_leads_to_no_adoption_and_no_signal() {
    let fleet = Fleet::up(&diarist("a", "", ""));
    let (command, keeper, run) = (fleet.process("a"), fleet.keeper("a"), fleet.run_dir("a"));
    fleet.kill_manager();
    keeper.kill();
    command.until_gone();
    let mut stranger = Stranger::new("sleep", &["1000"]);
    let noted = fs::read_to_string(run.join("live")).unwrap();
    let [old_command, old_keeper] = [command.pid, keeper.pid].map(|pid| format!(" {pid} "));
    let new = format!(" {} ", stranger.id());
    let forged = noted.replace(&old_command, &new).replace(&old_keeper, &new);
    assert_eq!(forged.matches(&new).count(), 2, "{forged}");
    fs::write(run.join("live"), forged).unwrap();
    fs::write(fleet.state().join("manager.pid"), stranger.id().to_string()).unwrap();
    fleet.eud("up", 0);
    assert_ne!(fleet.process("a").pid, stranger.id());
    stranger.lives();
    fleet.eud("stop a", 0);
    stranger.lives();
    fleet.down();
    stranger.lives();
    fleet.diary("a").was_alone();
}

/// When a look at the process failed, its PID file was deleted and a second copy was started.
#[test]
fn who_cannot_be_looked_at_is_unknown_and_gets_no_second_copy() {
    let fleet = Fleet::up(&diarist("a", "--every 20", ""));
    let (command, keeper) = (fleet.process("a"), fleet.keeper("a"));
    fleet.kill_manager();
    assert!(keeper.signal(Signal::STOP));
    fleet.run("up --wait 1s");
    let unit = fleet.until_state("a", "unknown");
    assert_eq!(fleet.status()["summary"]["unknown"], 1);
    fleet.run("start a --wait 0s");
    fleet.run("up --wait 0s");
    fleet.eud("reload", 0);
    assert!(command.is_alive(), "{unit}");
    assert!(keeper.signal(Signal::CONT));
    fleet.until_state("a", "up");
    assert_eq!(fleet.process("a"), command);
    let diary = fleet.diary("a");
    diary.was_alone();
    assert_eq!(diary.starts.len(), 1);
    fleet.down();
}

/// Stopping went by name, and took the daemons of others along.
#[test]
fn two_fleets_with_the_same_names_do_not_meet() {
    let text = ["a", "b"]
        .map(|name| diarist(name, "--family", "stop = { grace = \"200ms\" }"))
        .concat();
    let (one, other) = (Fleet::up(&text), Fleet::up(&text));
    let before: Vec<_> = ["a", "b"].map(|name| other.process(name)).into();
    one.eud("restart a", 0);
    one.keeper("b").kill();
    eventually("a new copy", || {
        (one.diary("b").starts.len() == 2).then_some(())
    });
    one.down();
    let after: Vec<_> = ["a", "b"].map(|name| other.process(name)).into();
    assert_eq!(before, after);
    for name in ["a", "b"] {
        let diary = other.diary(name);
        diary.was_alone();
        assert_eq!(diary.starts.len(), 1);
        assert!(diary.last().family.iter().all(|member| member.is_alive()));
    }
    other.down();
}

/// Two supervisors of the same daemons did not know of each other.
#[test]
fn of_many_managers_at_once_one_decides() {
    let fleet = Fleet::new(&["a", "b"].map(|name| diarist(name, "", "")).concat());
    let mut managers: Vec<_> = (0..6).map(|_| fleet.spawn_manager()).collect();
    eventually("both starts", || {
        let has_started = |name| !fleet.diary(name).starts.is_empty();
        (has_started("a") && has_started("b")).then_some(())
    });
    let deciding = fleet.manager().pid;
    for manager in managers
        .iter_mut()
        .filter(|manager| manager.id() != deciding)
    {
        assert!(manager.wait().unwrap().success());
    }
    fleet.until_state("a", "up");
    for name in ["a", "b"] {
        fleet.diary(name).was_alone();
        assert_eq!(fleet.diary(name).starts.len(), 1);
    }
    fleet.down();
    for manager in &mut managers {
        manager.wait().unwrap();
    }
}

/// A reload built everything anew beside the old: work was done twice, and two of them wrote the
/// same file.
#[test]
fn a_hundred_hangups_double_nothing() {
    let fleet = Fleet::up(
        &["a", "b"]
            .map(|name| diarist(name, "--every 20", ""))
            .concat(),
    );
    let before: Vec<_> = ["a", "b"].map(|name| fleet.process(name)).into();
    let manager = fleet.manager();
    let files = || {
        fs::read_dir(format!("/proc/{}/fd", manager.pid))
            .unwrap()
            .count()
    };
    let files_before = files();
    for _ in 0..100 {
        assert!(manager.signal(Signal::HUP));
    }
    let more = diarist("c", "", "");
    fleet.write(
        &(["a", "b"]
            .map(|name| diarist(name, "--every 20", ""))
            .concat()
            + &more),
    );
    fleet.eud("reload", 0);
    let after: Vec<_> = ["a", "b"].map(|name| fleet.process(name)).into();
    assert_eq!(before, after);
    // One daemon more is a connection to one keeper more.
    eventually("the files closed again", || {
        (files() <= files_before + 2).then_some(())
    });
    fleet.until_state("c", "up");
    for name in ["a", "b", "c"] {
        assert_eq!(fleet.diary(name).starts.len(), 1);
        assert_eq!(fleet.runs(name).len(), 1);
    }
    fleet.down();
}

/// The control socket was open to whoever could reach it.
#[test]
fn state_and_socket_are_for_their_owner_only() {
    let fleet = Fleet::up(&diarist("a", "", ""));
    let mode = |name: &str| {
        fs::metadata(fleet.state().join(name))
            .unwrap()
            .permissions()
            .mode()
    };
    assert_eq!(mode("") & 0o777, 0o700);
    for name in ["eud.sock", "state.db", "manager.lock", "manager.log"] {
        assert_eq!(mode(name) & 0o077, 0, "{name} is open to others");
    }
    fleet.down();
}
