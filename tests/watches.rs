//! Watched paths: changes lead to runs, none is lost, and nobody runs in circles.
//!
//! What a job was handed is known from what it wrote down itself.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::support::fleet::{Fleet, diarist};
use crate::support::{Dice, binaries, eventually};

/// A job that writes down its paths and what else it is told.
const CLERK: &str = r#"
[daemons.clerk]
kind = "job"
shell = '''
cat "$EUD_PATHS" >> paths
printf '%s %s %s %s\n' "$EUD_TRIGGER" "$EUD_FIRE_TIME" "$EUD_ATTEMPT" "${EUD_PATHS_TRUNCATED:-whole}" >> told
'''
watch = { paths = ["in"], debounce = "50ms", debounce_max = "500ms", loop_limit = 0 }
overlap = "queue-one"
"#;

fn touch(fleet: &Fleet, name: &str) {
    let path = fleet.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, b"x").unwrap();
}

/// Names of files below `in` that the clerk was handed, one for each time.
fn handed(fleet: &Fleet) -> Vec<String> {
    let text = fs::read_to_string(fleet.path().join("paths")).unwrap_or_default();
    let root = fleet.path().join("in");
    let below = |line: &str| {
        let path = PathBuf::from(line);
        path.strip_prefix(&root).unwrap().display().to_string()
    };
    text.lines().map(below).collect()
}

/// Waits until the clerk was handed all of these.
fn until_handed(fleet: &Fleet, names: &BTreeSet<String>) -> Vec<String> {
    let all = || {
        let handed = handed(fleet);
        let seen: BTreeSet<String> = handed.iter().cloned().collect();
        (seen == *names).then_some(handed)
    };
    eventually(&format!("{} paths", names.len()), all)
}

#[test]
fn changed_paths_reach_the_job() {
    let fleet = Fleet::new(CLERK);
    touch(&fleet, "in/old");
    fleet.eud("up", 0);
    until_watched(&fleet, "clerk");
    let names: BTreeSet<String> = ["a", "b/c", "d e"].map(str::to_owned).into();
    for name in &names {
        touch(&fleet, &format!("in/{name}"));
    }
    touch(&fleet, "in/new\nline");
    until_handed(&fleet, &names);
    let whole = eventually("paths with any names", || {
        let run = fleet.runs("clerk").pop()?;
        let runs = fleet.folder_of("clerk").join("runs");
        let text = fs::read_to_string(runs.join(run["run"].as_str()?).join("paths0")).ok()?;
        text.contains("new\nline\0").then_some(text)
    });
    assert!(whole.ends_with('\0'));
    let told = fs::read_to_string(fleet.path().join("told")).unwrap();
    let words: Vec<&str> = told.lines().next().unwrap().split(' ').collect();
    assert_eq!((words[0], words[2], words[3]), ("watch", "0", "whole"));
    assert!(words[1].ends_with('Z'), "{told}");
    // Nobody will ask for the changes again.
    let kept = || fs::read_dir(fleet.folder_of("clerk").join("watch")).unwrap();
    eventually("no batch is left", || (kept().count() == 1).then_some(()));
}

/// Waits until what is there counts as known.
fn until_watched(fleet: &Fleet, name: &str) {
    let known = fleet.folder_of(name).join("watch/known");
    eventually("the first look", || known.exists().then_some(()));
}

#[test]
fn a_watch_storm_becomes_few_runs_and_no_path_is_missed() {
    const FILES: usize = 20_000;
    let fleet = Fleet::up(CLERK);
    until_watched(&fleet, "clerk");
    let mut names = BTreeSet::new();
    for n in 0..FILES {
        let name = format!("{}/{n}", n % 50);
        let path = fleet.path().join("in").join(&name);
        if n < 50 {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
        }
        fs::write(path, b"x").unwrap();
        names.insert(name);
    }
    let handed = until_handed(&fleet, &names);
    let runs = fleet.runs("clerk").len();
    assert!(runs < 60, "{runs} runs");
    // A path comes again only when its file was caught half written.
    assert!(handed.len() < 2 * FILES, "{}", handed.len());
}

#[test]
fn a_job_that_writes_what_it_watches_is_paused_and_named() {
    let circle = |out: &str| {
        format!(
            "[daemons.circle]\nkind = \"job\"\nshell = \"date +%N > {out}\"\n\
             watch = {{ paths = [\"in\"], debounce = \"20ms\", loop_limit = 3 }}\n"
        )
    };
    let fleet = Fleet::up(&circle("in/out"));
    until_watched(&fleet, "circle");
    touch(&fleet, "in/begin");
    let unit = fleet.until_state("circle", "paused");
    let why = unit.to_string();
    assert!(why.contains("trigger itself"), "{why}");
    assert!(why.contains("in/out"), "{why}");
    fleet.eud("why circle", 0).says("trigger itself");
    let runs = fleet.runs("circle").len();
    assert!((3..=6).contains(&runs), "{runs} runs");
    // It is released once it writes elsewhere.
    fleet.write(&circle("out"));
    fleet.eud("reload", 0);
    fleet.eud("release circle", 0);
    touch(&fleet, "in/again");
    eventually("it runs again", || {
        fleet.path().join("out").exists().then_some(())
    });
}

#[test]
fn a_service_restarts_when_what_it_watches_changes() {
    let rest = r#"watch = { paths = ["conf"], action = "restart", debounce = "20ms" }"#;
    let fleet = Fleet::new(&diarist("web", "", rest));
    touch(&fleet, "conf");
    fleet.eud("up", 0);
    let first = fleet.process("web");
    until_watched(&fleet, "web");
    fs::write(fleet.path().join("conf.tmp"), b"other").unwrap();
    fs::rename(fleet.path().join("conf.tmp"), fleet.path().join("conf")).unwrap();
    fleet.until("web", |unit| {
        unit["state"] == "up" && unit["pid"].as_u64() != Some(u64::from(first.pid))
    });
    let runs = fleet.runs("web");
    assert_eq!(runs.len(), 2);
    let cause = runs[1]["cause"].as_str().unwrap();
    assert!(cause.contains("conf` changed"), "{cause}");
}

#[test]
fn no_change_is_lost_when_the_manager_dies_at_any_moment() {
    let seed = std::process::id().into();
    let mut dice = Dice(seed);
    let fleet = Fleet::up(CLERK);
    until_watched(&fleet, "clerk");
    let mut names = BTreeSet::new();
    for round in 0..12 {
        for n in 0..dice.below(20) + 1 {
            let name = format!("{round}/{n}");
            touch(&fleet, &format!("in/{name}"));
            names.insert(name);
        }
        // Somewhere between the change and the end of its run.
        std::thread::sleep(std::time::Duration::from_millis(dice.below(120)));
        fleet.kill_manager().until_gone();
        // While nobody looks.
        let name = format!("{round}/meanwhile");
        touch(&fleet, &format!("in/{name}"));
        names.insert(name);
        fleet.eud("up", 0);
    }
    let handed = until_handed(&fleet, &names);
    // A run whose end the manager did not see is not run again.
    let often = handed.len() - names.len();
    assert_eq!(often, 0, "seed {seed}: {handed:?}");
}

#[test]
fn what_changes_while_the_manager_is_gone_is_handed_over_by_the_next() {
    let fleet = Fleet::new(CLERK);
    for name in ["in/same", "in/changed", "in/gone"] {
        touch(&fleet, name);
    }
    fleet.eud("up", 0);
    until_watched(&fleet, "clerk");
    fleet.down();
    fs::write(fleet.path().join("in/changed"), b"other").unwrap();
    fs::remove_file(fleet.path().join("in/gone")).unwrap();
    touch(&fleet, "in/new");
    fleet.eud("up", 0);
    let names = ["changed", "gone", "new"].map(str::to_owned);
    until_handed(&fleet, &names.into());
}

#[test]
fn without_inotify_the_fleet_says_so_and_polls() {
    let fleet = Fleet::new(&CLERK.replace("debounce =", r#"poll = "100ms", debounce ="#));
    for n in 0..30 {
        touch(&fleet, &format!("in/{n}/f"));
    }
    let limit = "/proc/sys/user/max_inotify_watches";
    let script = format!("echo 10 > {limit} && exec \"$0\" \"$@\"");
    let up = Command::new("unshare")
        .args(["-Ur", "sh", "-c", &script])
        .arg(binaries::eud())
        .arg("--state")
        .arg(fleet.state())
        .arg("up")
        .current_dir(fleet.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&up.stderr);
    if said.contains("unshare") || said.contains("max_inotify_watches") {
        eprintln!("not tested: no user namespace can be made here: {said}");
        return;
    }
    assert!(up.status.success(), "{said}");
    fleet.until("clerk", |unit| {
        let problem = unit["watch_problem"].as_str().unwrap_or_default();
        problem.starts_with("polling every 100ms") && problem.contains("max_user_watches")
    });
    until_watched(&fleet, "clerk");
    fs::write(fleet.path().join("in/29/f"), b"other").unwrap();
    until_handed(&fleet, &["29/f".to_owned()].into());
}
