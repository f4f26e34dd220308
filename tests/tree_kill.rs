//! What a command started ends with it, however the end comes, and nobody else does.

use std::process::{Child, Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::binaries;
use crate::support::diary::{Diary, Start};
use crate::support::eventually;
use crate::support::fleet::{Fleet, diarist};
use crate::support::processes::{Process, Stranger};

/// Leader, child and grandchild.
fn family(restart: &str, more: &str) -> String {
    let rest = format!("stop = {{ grace = \"300ms\" }}\nrestart = {restart}");
    diarist("a", &format!("--family --every 20 {more}"), &rest)
}

/// The whole tree of the latest start, once all of it is there.
#[track_caller]
fn tree(fleet: &Fleet) -> Vec<Process> {
    eventually("the whole family", || {
        let diary = fleet.diary("a");
        let start = diary.starts.last()?;
        (start.family.len() == 2).then(|| everybody(start))
    })
}

fn everybody(start: &Start) -> Vec<Process> {
    [start.process]
        .into_iter()
        .chain(start.family.iter().copied())
        .collect()
}

#[track_caller]
fn nobody_lives(tree: &[Process]) {
    let left: Vec<_> = tree.iter().filter(|one| one.is_alive()).collect();
    assert!(left.is_empty(), "survivors: {left:?}");
}

/// A family that looks like the daemon's: same program, words, folder, user and unit. It ends with
/// the test.
struct Bystander {
    child: Child,
    family: Vec<Process>,
}

impl Bystander {
    fn of(fleet: &Fleet) -> Self {
        let folder = fleet.path().join("diary-of-a-bystander");
        let mut command = Command::new(binaries::diarist());
        command
            .args(["--family", "--every", "20", "--diary"])
            .arg(&folder);
        command
            .current_dir(fleet.path())
            .env("EUD_UNIT", "a")
            .env("EUD_DAEMON", "a");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let family = eventually("the bystander's family", || {
            let diary = Diary::read(&folder, "a");
            let start = diary.starts.last()?;
            (start.family.len() == 2).then(|| everybody(start))
        });
        Self { child, family }
    }

    #[track_caller]
    fn lives(&self) {
        let killed: Vec<_> = self.family.iter().filter(|one| !one.is_alive()).collect();
        assert!(killed.is_empty(), "strangers were killed: {killed:?}");
        let diary = Diary::read(&self.folder(), "a");
        assert_eq!(diary.last().terms, 0, "a stranger was signalled");
    }

    fn folder(&self) -> std::path::PathBuf {
        let cwd = std::fs::read_link(format!("/proc/{}/cwd", self.child.id())).unwrap();
        cwd.join("diary-of-a-bystander")
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        for one in &self.family {
            one.signal(Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// The end of a run in the journal, once it is there.
#[track_caller]
fn end_of_run(fleet: &Fleet, number: usize) -> Value {
    eventually("the end of the run", || {
        let exit = fleet.runs("a").get(number)?["exit"].clone();
        exit.is_object().then_some(exit)
    })
}

#[test]
fn a_stop_ends_those_who_do_not_listen_and_those_who_left_the_session() {
    let fleet = Fleet::up(&family("\"always\"", ""));
    let bystander = Bystander::of(&fleet);
    let tree = tree(&fleet);
    fleet.eud("stop a", 0);
    nobody_lives(&tree);
    let start = fleet.diary("a");
    let start = start.last();
    assert_eq!(
        (start.terms, start.code),
        (1, Some(0)),
        "asked once: {start:?}"
    );
    let exit = end_of_run(&fleet, 0);
    assert_eq!(
        (exit["code"].as_i64(), exit["signal"].as_i64()),
        (Some(0), None),
        "{exit}"
    );
    bystander.lives();
    fleet.down();
}

#[test]
fn down_ends_the_same() {
    let fleet = Fleet::up(&family("\"always\"", ""));
    let bystander = Bystander::of(&fleet);
    let tree = tree(&fleet);
    fleet.eud("down", 0);
    nobody_lives(&tree);
    bystander.lives();
}

#[test]
fn a_keeper_ends_them_without_a_manager() {
    let fleet = Fleet::up(&family("\"always\"", ""));
    let bystander = Bystander::of(&fleet);
    let tree = tree(&fleet);
    let keeper = fleet.keeper("a");
    fleet.kill_manager();
    assert!(keeper.signal(Signal::TERM));
    keeper.until_gone();
    nobody_lives(&tree);
    fleet.eud("up", 0);
    let exit = end_of_run(&fleet, 0);
    assert_eq!(
        (&exit["reason"], &exit["code"]),
        (&"stop-killed".into(), &0.into()),
        "{exit}"
    );
    let diary = fleet.diary("a");
    diary.was_alone();
    diary.agrees_with_runs(&fleet.runs("a"));
    bystander.lives();
    fleet.down();
}

#[test]
fn a_crash_of_the_leader_ends_the_rest_before_it_is_recorded() {
    let fleet = Fleet::new(&family("\"never\"", "--lines 5 --code 7"));
    let bystander = Bystander::of(&fleet);
    fleet.eud("up --wait 0s", 0);
    let tree = tree(&fleet);
    let exit = end_of_run(&fleet, 0);
    nobody_lives(&tree);
    assert_eq!(
        (exit["code"].as_i64(), exit["reason"].as_str()),
        (Some(7), Some("exited"))
    );
    fleet.diary("a").agrees_with_log(&fleet.folder_of("a"));
    bystander.lives();
    fleet.down();
}

#[test]
fn a_leader_that_crashes_again_and_again_never_meets_its_former_family() {
    let restart = "{ limit = 0, backoff = { initial = \"1ms\", max = \"1ms\" } }";
    let fleet = Fleet::new(&family(restart, "--lines 2 --code 5"));
    fleet.eud("up --wait 0s", 0);
    eventually("some starts", || {
        (fleet.diary("a").starts.len() > 5).then_some(())
    });
    fleet.eud("stop a", 0);
    let diary = fleet.diary("a");
    diary.was_alone();
    for start in &diary.starts {
        nobody_lives(&everybody(start));
    }
    diary.agrees_with_runs(&fleet.runs("a"));
    fleet.down();
}

#[test]
fn a_killed_keeper_takes_its_tree_along_and_is_replaced_by_exactly_one() {
    let fleet = Fleet::up(&family("\"always\"", ""));
    let bystander = Bystander::of(&fleet);
    let first = tree(&fleet);
    fleet.keeper("a").kill();
    lost_and_replaced(&fleet, &first, 0);
    // The same while no manager looks.
    let second = tree(&fleet);
    let keeper = fleet.keeper("a");
    fleet.kill_manager();
    keeper.kill();
    fleet.eud("up", 0);
    lost_and_replaced(&fleet, &second, 1);
    bystander.lives();
    fleet.down();
}

#[track_caller]
fn lost_and_replaced(fleet: &Fleet, tree: &[Process], number: usize) {
    let exit = end_of_run(fleet, number);
    nobody_lives(tree);
    assert_eq!(
        (&exit["reason"], &exit["code"]),
        (&"keeper-lost".into(), &Value::Null),
        "{exit}"
    );
    eventually("the new copy", || {
        (fleet.diary("a").starts.len() == number + 2).then_some(())
    });
    let diary = fleet.diary("a");
    diary.was_alone();
    assert!(diary.last().process.is_alive());
    eventually("its record", || {
        (fleet.runs("a").len() == number + 2).then_some(())
    });
    fleet.until_state("a", "up");
    diary.agrees_with_runs(&fleet.runs("a"));
}

#[test]
fn everybody_killed_at_once_is_a_loss_and_leads_to_one_new_copy() {
    let fleet = Fleet::up(&family("\"always\"", ""));
    let first = tree(&fleet);
    let keeper = fleet.keeper("a");
    for one in [fleet.manager(), keeper].iter().chain(&first) {
        // The command may have died with its keeper.
        one.signal(Signal::KILL);
    }
    fleet.eud("up", 0);
    lost_and_replaced(&fleet, &first, 0);
    fleet.down();
}

#[test]
fn who_got_the_number_of_a_dead_command_is_not_signalled() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can choose process ids");
        return;
    }
    let fleet = Fleet::up(&family("\"always\"", ""));
    let first = tree(&fleet);
    let keeper = fleet.keeper("a");
    fleet.kill_manager();
    keeper.kill();
    for one in &first {
        one.signal(Signal::KILL);
        one.until_gone();
    }
    let mut strangers: Vec<Stranger> = Vec::new();
    for dead in [keeper, first[0]] {
        strangers.extend(start_with_number(dead.pid));
    }
    fleet.eud("up", 0);
    lost_and_replaced(&fleet, &first, 0);
    fleet.eud("stop a", 0);
    strangers.iter_mut().for_each(Stranger::lives);
}

/// A process with this number, if nobody is quicker.
fn start_with_number(pid: u32) -> Option<Stranger> {
    for _ in 0..200 {
        std::fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).ok()?;
        let stranger = Stranger::new("sleep", &["1000"]);
        if stranger.id() == pid {
            return Some(stranger);
        }
    }
    eprintln!("skipped for pid {pid}: somebody else has it");
    None
}
