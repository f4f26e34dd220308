//! Where the system gives no more, and where there is more than anybody wants.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use eud_core::fleet::Watch;
use eud_core::io::Batch;

use super::{Place, Told, told};
use crate::watch::folder::Folder;
use crate::watch::pending::PENDING_MAX;
use crate::watch::records::Record;

/// Set in a test that runs where the limits are its own.
const INSIDE: &str = "EUD_TEST_LIMITS";

/// Runs a test again with limits of its own, and says whether this is it.
fn is_limited(test: &str, limit: &str, value: u32) -> bool {
    is_inside(test, &format!("echo {value} > /proc/sys/user/{limit}"))
}

/// Runs a test again in namespaces of its own after this script, and says whether this is it.
/// Neither where the system does not allow that.
fn is_inside(test: &str, script: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let namespace = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["-Urm", "sh", "-c", script]);
        command
    };
    if !namespace(script)
        .status()
        .is_ok_and(|status| status.success())
    {
        eprintln!("not tested: no user namespace can be made here");
        return false;
    }
    let mut command = namespace(&format!("{script}; exec \"$0\" \"$@\""));
    command.arg(std::env::current_exe().unwrap());
    let name = format!("watch::tests::limits::{test}");
    command.args(["--exact", &name, "--nocapture"]);
    command.env(INSIDE, "1");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let ran = String::from_utf8_lossy(&output.stdout);
    assert!(ran.contains("1 passed"), "{ran}");
    false
}

#[test]
fn without_watches_the_disk_is_looked_at_and_that_is_said() {
    let name = "without_watches_the_disk_is_looked_at_and_that_is_said";
    if !is_limited(name, "max_inotify_watches", 30) {
        return;
    }
    let mut place = Place::new();
    for n in 0..40 {
        place.write(&format!("{n}/f"), "x");
    }
    let problem = place.begin(place.spec()).unwrap();
    assert!(problem.starts_with("polling every 50ms: "), "{problem}");
    assert!(
        problem.contains("fs.inotify.max_user_watches = "),
        "{problem}"
    );
    place.write("39/f", "changed");
    assert_eq!(place.told(), told(&[("39/f", "m")]));
    fs::rename(place.path("38"), place.path("new")).unwrap();
    assert_eq!(place.told(), told(&[("new/f", "r 38/f")]));
    fs::remove_dir_all(place.path("new")).unwrap();
    assert_eq!(place.told(), told(&[("new/f", "d")]));
    // Once there are watches again, they are used.
    fs::write("/proc/sys/user/max_inotify_watches", "1000").unwrap();
    assert_eq!(place.problem(), None);
    place.write("0/f", "changed");
    assert_eq!(place.told(), told(&[("0/f", "m")]));
}

#[test]
fn without_inotify_at_all_a_root_that_comes_and_goes_is_seen() {
    let name = "without_inotify_at_all_a_root_that_comes_and_goes_is_seen";
    if !is_limited(name, "max_inotify_instances", 0) {
        return;
    }
    let mut place = Place::new();
    let problem = place.begin(place.spec_of(&["w/r"])).unwrap();
    assert!(problem.contains("max_user_instances"), "{problem}");
    assert!(problem.contains("r` does not exist"), "{problem}");
    place.write("r/f", "x");
    assert!(!place.problem().unwrap().contains("does not exist"));
    assert_eq!(place.told(), told(&[("r/f", "c")]));
    fs::rename(place.path("r"), place.path("s")).unwrap();
    assert!(place.problem().unwrap().contains("does not exist"));
    fs::rename(place.path("s"), place.path("r")).unwrap();
    place.problem();
    place.write("r/f", "changed");
    assert_eq!(place.told(), told(&[("r/f", "m")]));
}

#[test]
fn an_unmounted_root_is_a_problem_until_it_is_mounted_again() {
    let name = "an_unmounted_root_is_a_problem_until_it_is_mounted_again";
    if !is_inside(name, "mount -t tmpfs none /mnt") {
        return;
    }
    let mut place = Place::new();
    let root = place.path("m");
    let run = |program: &str, args: &[&str]| {
        let status = Command::new(program).args(args).arg(&root).status();
        assert!(status.unwrap().success(), "{program} {args:?}");
    };
    fs::create_dir(&root).unwrap();
    run("mount", &["--bind", "/mnt"]);
    for file in ["same", "changed", "gone"] {
        place.write(&format!("m/{file}"), "x");
    }
    let poll_ms = 1_000_000;
    let spec = place.spec_of(&["w/m"]);
    place.begin(Watch { poll_ms, ..spec });
    run("umount", &[]);
    let problem = place.problem().unwrap();
    assert!(problem.contains("is it mounted?"), "{problem}");
    fs::write("/mnt/changed", "other").unwrap();
    fs::remove_file("/mnt/gone").unwrap();
    fs::write("/mnt/new", "x").unwrap();
    run("mount", &["--bind", "/mnt"]);
    assert_eq!(place.problem(), None);
    let expected = [("m/changed", "m"), ("m/gone", "d"), ("m/new", "c")];
    assert_eq!(place.told(), told(&expected));
    place.write("m/same", "changed");
    assert_eq!(place.told(), told(&[("m/same", "m")]));
}

#[test]
fn after_events_were_lost_nothing_is_missed() {
    let queue = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let queue: usize = queue.trim().parse().unwrap();
    if queue > 100_000 {
        eprintln!("not tested: the queue holds {queue} events");
        return;
    }
    let mut place = Place::in_memory(1);
    place.write("old", "x");
    place.write("gone", "x");
    fs::create_dir(place.path("many")).unwrap();
    place.begin(place.spec());
    // The engine takes nothing: the thread waits with its second batch, and reads no events.
    let folder = Folder::new(&place.layout, "a");
    for n in 0..2 {
        place.write(&format!("first-{n}"), "x");
        super::eventually("a batch", || (folder.list().len() > n).then_some(()));
    }
    for n in 0..queue {
        place.write(&format!("many/{n}"), "x");
    }
    place.write("old", "changed");
    fs::remove_file(place.path("gone")).unwrap();
    let mut all = Told::new();
    while all.len() < queue + 4 {
        all.extend(place.told());
    }
    assert_eq!((all["old"].as_str(), all["gone"].as_str()), ("m", "d"));
    assert_eq!(all.len(), queue + 4);
}

/// Of this process, in kB.
fn resident(key: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let number = line
        .unwrap()
        .trim_start_matches(':')
        .trim()
        .split(' ')
        .next();
    number.unwrap().parse().unwrap()
}

/// Names in a batch, without keeping what else is said of them.
fn names(place: &Place, batch: &Batch, into: &mut BTreeSet<u32>) {
    let folder = Folder::new(&place.layout, "a");
    let (_, mut records) = folder.open(&batch.id).unwrap();
    loop {
        match records.next().unwrap() {
            Some(Record::There(_, _, path)) => {
                let name = path.rsplit(|byte| *byte == b'/').next().unwrap();
                into.insert(std::str::from_utf8(name).unwrap().parse().unwrap());
            }
            Some(Record::End) => return,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_burst_becomes_bounded_batches_and_nothing_is_missed() {
    const FILES: u32 = 100_000;
    let mut place = Place::in_memory(1_000);
    let spec = place.spec();
    place.begin(Watch {
        debounce_ms: 500,
        ..spec
    });
    for folder in 0..100 {
        fs::create_dir(place.path(&folder.to_string())).unwrap();
    }
    let before = resident("VmRSS");
    let root = place.path("");
    let writer = std::thread::spawn(move || {
        let begun = Instant::now();
        for n in 0..FILES {
            fs::File::create(root.join(format!("{}/{n}", n % 100))).unwrap();
        }
        (begun, Instant::now())
    });
    let mut found = BTreeSet::new();
    let mut batches = Vec::new();
    while found.len() < FILES as usize {
        let batch = place.batch();
        assert!(batch.count <= PENDING_MAX as u64);
        batches.push(batch.count);
        names(&place, &batch, &mut found);
        place.drop_batch(&batch);
    }
    let told = Instant::now();
    let (begun, written) = writer.join().unwrap();
    let (after, most) = (resident("VmRSS"), resident("VmHWM"));
    eprintln!(
        "{FILES} files in {:?}, told {:?} later in batches of {batches:?}; \
         resident {before} kB before, {after} kB after, at most {most} kB",
        written - begun,
        told.saturating_duration_since(written),
    );
    // Every change of one file ten times more than it is worth.
    assert!(most - before < 100_000, "{before} kB, then {most} kB");
    // The last state counts: all of them are removed again.
    fs::remove_dir_all(place.path("7")).unwrap();
    let mut gone = 0;
    while gone < 1_000 {
        let batch = place.batch();
        gone += batch.count;
    }
    assert_eq!(gone, 1_000);
}

#[test]
fn batches_nobody_takes_do_not_pile_up() {
    let mut place = Place::new();
    place.begin(place.spec());
    let mut batches = Vec::new();
    for n in 0..crate::WATCH_BATCHES_MAX {
        place.write(&format!("{n}"), "x");
        batches.push(place.batch());
    }
    let problem = place.problem().unwrap();
    assert!(problem.contains("wait to be taken"), "{problem}");
    place.write("more", "x");
    place.write("more", "changed");
    place.drop_batch(&batches[0]);
    assert_eq!(place.told(), told(&[("more", "c")]));
}

#[test]
fn while_nothing_changes_nothing_wakes() {
    let mut place = Place::new();
    for n in 0..50 {
        place.write(&format!("{n}/f"), "x");
    }
    place.begin(place.spec());
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let status = tasks
        .map(|task| task.unwrap().path())
        .find(|task| fs::read_to_string(task.join("comm")).unwrap() == "watch\n")
        .unwrap()
        .join("status");
    let switches = || {
        let text = fs::read_to_string(&status).unwrap();
        let line = text.lines().find(|line| line.starts_with("voluntary"));
        line.unwrap().to_owned()
    };
    // It does what is left to do, and rests once. Then there is a time in which it is not woken;
    // reading is no change.
    super::eventually("half a second without waking", || {
        let before = switches();
        for n in 0..50 {
            fs::read(place.path(&format!("{n}/f"))).unwrap();
        }
        std::thread::sleep(Duration::from_millis(500));
        (before == switches()).then_some(())
    });
    assert!(place.inputs.try_recv().is_err());
}
