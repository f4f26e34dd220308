//! Keepers that are started before there is a run.

use std::path::Path;

use eud_keeper::Spare;
use eud_sys::process;
use eud_sys::reap::{self, Ending, Next};

use crate::harness::{Bench, program, until};

fn collect(pid: u32) -> Ending {
    let mut ending = None;
    until("it has ended", || {
        if let Ok(Next::Reaped(reaped)) = reap::next() {
            assert_eq!(reaped.pid, pid);
            ending = Some(reaped.ending);
        }
        ending.is_some()
    });
    ending.unwrap()
}

/// What a command finds: environment, folder, limits, mask, signals, descriptors.
const LOOK: &str = "env | sort; pwd; umask; ulimit -a; grep -E '^(Sig[^Q]|Cpus|NoNew)' /proc/self/status; \
                    ls /proc/self/fd; cut -d' ' -f 5-8 /proc/self/stat | wc -w";

#[test]
fn a_command_finds_what_it_finds_under_a_new_keeper() {
    let new = Bench::new();
    let mut kept = new.sh(LOOK);
    kept.ended();
    let spared = Bench::new();
    let (run, folder) = spared.new_run();
    let spec = spared.spec(&run, &["sh", "-c", LOOK]);
    let spare = Spare::start(program()).unwrap();
    let record = spared.commission(spare, folder, &spec).ended();
    assert_eq!((record.code, record.generation), (Some(0), 7));
    let told = |bench: &Bench, run: &str| -> Vec<String> {
        let plain = |text: String| {
            let text = text.replace(run, "RUN");
            text.replace(bench.path().to_str().unwrap(), "FOLDER")
        };
        bench.log_texts().into_iter().map(plain).collect()
    };
    assert_eq!(told(&spared, &run), told(&new, &kept.run));
}

#[test]
fn a_spare_keeper_with_a_run_looks_like_any_other() {
    let bench = Bench::new();
    let (run, folder) = bench.new_run();
    let spare = Spare::start(program()).unwrap();
    let spec = bench.spec(&run, &["sleep", "1000"]);
    let mut kept = bench.commission(spare, folder.clone(), &spec);
    kept.started();
    let words = process::command_line(kept.pid).unwrap();
    let shown: Vec<_> = words.iter().filter_map(|word| word.to_str()).collect();
    assert_eq!(
        shown.get(1..3),
        Some(["web", run.as_str()].as_slice()),
        "{words:?}"
    );
    let cwd = std::fs::read_link(format!("/proc/{}/cwd", kept.pid)).unwrap();
    assert_eq!(cwd, folder);
    kept.ask("kill\n");
    kept.ended();
}

#[test]
fn a_spare_keeper_ends_with_whoever_started_it() {
    let spare = Spare::start(program()).unwrap();
    let pid = spare.pid;
    drop(spare);
    assert_eq!(collect(pid), Ending::Exited(0));
}

#[test]
fn a_spare_keeper_that_is_gone_begins_nothing() {
    let bench = Bench::new();
    let (run, folder) = bench.new_run();
    let spare = Spare::start(program()).unwrap();
    process::signal_child(spare.pid, eud_sys::signal::Signal::KILL).unwrap();
    collect(spare.pid);
    let spec = bench.spec(&run, &["true"]);
    let stderr = std::fs::File::open("/dev/null").unwrap();
    spare.commission(&folder, &spec, &stderr).unwrap_err();
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    assert!(!Path::new(&bench.path().join("daemons/web/log")).exists());
}
