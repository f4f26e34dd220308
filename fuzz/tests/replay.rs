//! Every input that was ever worth keeping, through every target, with an ordinary compiler.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test may panic as the test may"
)]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use eud_fuzz::{TARGETS, Target};

/// Files below `corpus/TARGET` or `failures/TARGET`; none when there is no such folder.
fn inputs(kind: &str, target: &Target) -> Vec<PathBuf> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let entries = fs::read_dir(home.join(kind).join(target.name));
    let mut paths: Vec<PathBuf> = entries
        .into_iter()
        .flatten()
        .map(|e| e.unwrap().path())
        .collect();
    paths.sort();
    paths
}

/// Replays inputs and names those that break a promise.
fn broken(kind: &str, target: &Target) -> Vec<String> {
    let paths = inputs(kind, target);
    let breaks = |path: &&PathBuf| {
        let bytes = fs::read(path).unwrap();
        catch_unwind(AssertUnwindSafe(|| (target.run)(&bytes))).is_err()
    };
    let broken = paths.iter().filter(breaks);
    broken.map(|path| path.display().to_string()).collect()
}

fn replay(name: &str) {
    let target = eud_fuzz::target(name).unwrap();
    assert!(
        !inputs("corpus", &target).is_empty(),
        "{name} has no corpus"
    );
    // The empty input is one too.
    (target.run)(b"");
    let mut found = broken("corpus", &target);
    found.extend(broken("failures", &target));
    assert_eq!(found, [""; 0], "inputs that break a promise");
}

macro_rules! replays {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })*

        #[test]
        fn every_target_is_replayed() {
            let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(names, [$(stringify!($name)),*]);
        }
    };
}

replays! {
    fleet values rpc lines launch_spec keeper_says keeper_is_told exit_record log_records log_files
    log_round_trip log_watch progress http gauge env_file proc schedules select texts watch core
}
