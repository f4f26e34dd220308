//! The keeper: all it leaves of a run.
//!
//! A power cut ends every command with its keeper, so little has to survive it. What is found
//! afterwards must be true; and a record is on the disk before its keeper ends.

use std::fs;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use eud_core::record::{EndReason, ExitRecord};
use eud_keeper::{LaunchSpec, noted, unpublished_record};
use eud_sys::fault::{self, Begin, Disk, Fault, Image, Survives};

use crate::{binaries, cuts};

/// The first thing a keeper does of its own.
const BEGIN: Begin = Begin::AtCall("close_range");
const RUN: &str = "run-1";
/// Of the images, so many are gone on with.
const GONE_ON_WITH: usize = 40;

/// What a keeper did to its files, and the record it left.
struct Kept {
    disk: Disk,
    record: ExitRecord,
}

fn run_folder(state: &Path, run: &str) -> PathBuf {
    state.join("daemons/web/runs").join(run)
}

/// A keeper about to keep a run of this script.
fn keeper(state: &Path, run: &str, script: &str) -> Command {
    let folder = run_folder(state, run);
    fs::create_dir_all(&folder).unwrap();
    let spec = LaunchSpec {
        unit: "web".into(),
        run: run.into(),
        generation: 7,
        args: ["/bin/sh", "-c", script].map(Into::into).into(),
        env: vec![("EUD_RUN_ID".into(), run.into())],
        log_max_size: 150,
        log_keep: 2,
        ..LaunchSpec::default()
    };
    let mut input = eud_sys::fd::nameless(c"spec").unwrap();
    input.write_all(&spec.encode().unwrap()).unwrap();
    input.rewind().unwrap();
    let mut command = Command::new(binaries::eud().with_file_name("eud-keeper"));
    command.args(["web", run]).env_clear().current_dir(folder);
    command
        .stdin(input)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn record_of(bytes: &[u8]) -> Option<ExitRecord> {
    serde_json::from_slice(bytes).ok()
}

/// A run to its end, watched.
fn watched(script: &str) -> Kept {
    let state = cuts::folder();
    let mut command = keeper(state.path(), RUN, script);
    let watched = Some(state.path());
    let (mut keeper, watch) = fault::start(&mut command, BEGIN, Fault::Nothing, watched).unwrap();
    assert!(keeper.wait().unwrap().success());
    let disk = watch.disk();
    let left = disk.cut(disk.ops().len(), Survives::Everything);
    for (path, bytes) in left.files() {
        assert!(
            fs::read(state.path().join(path)).unwrap() == bytes,
            "{path:?} is not what was kept"
        );
    }
    let record = fs::read(run_folder(state.path(), RUN).join("exit.json")).unwrap();
    let record = record_of(&record).unwrap();
    Kept { disk, record }
}

/// Looks at what is left, as a manager after the reboot.
///
/// # Errors
/// Says what is not true.
fn look(image: &Image, truth: &ExitRecord) -> Result<Option<ExitRecord>, String> {
    let state = cuts::folder();
    image.write_to(state.path()).unwrap();
    let folder = run_folder(state.path(), RUN);
    fs::create_dir_all(&folder).unwrap();
    let named = fs::read(folder.join("exit.json")).ok();
    let unnamed = unpublished_record(&folder).unwrap();
    let found: Vec<_> = [named, unnamed.map(String::into_bytes)]
        .into_iter()
        .flatten()
        .filter_map(|bytes| record_of(&bytes))
        .collect();
    if let Some(wrong) = found.iter().find(|record| *record != truth) {
        return Err(format!("{wrong:?} is not what happened"));
    }
    let boot_id = eud_sys::process::boot_id().unwrap();
    match noted(&folder).map_err(|error| error.to_string())? {
        Some(noted) if noted.boot_id != boot_id => {
            return Err(format!("{noted:?} may be taken for one of another boot"));
        }
        Some(noted) if noted.command.is_some_and(|it| it.pid != truth.pid) => {
            return Err(format!("{noted:?} names a stranger"));
        }
        _ => {}
    }
    Ok(found.into_iter().next())
}

/// Everything that is not as promised; how many power cuts there were.
fn cut_everywhere(disk: &Disk, truth: &ExitRecord) -> (Vec<String>, usize) {
    let journaled = disk.with_journal();
    let mut broken = Vec::new();
    let mut tried = 0;
    for (disk, keeps_names) in [(disk, false), (&journaled, true)] {
        for (count, survives) in cuts::all(disk) {
            let has_ended = count == disk.ops().len();
            let what = match look(&disk.cut(count, survives), truth) {
                Ok(None) if has_ended && keeps_names => "the record is lost".to_owned(),
                Ok(_) => continue,
                Err(why) => why,
            };
            broken.push(format!("after {count} with {survives:?}: {what}"));
        }
        tried += cuts::all(disk).len();
    }
    (broken, tried)
}

const EXITS: &str = "echo 1; echo 2 >&2; exit 3";
const ROTATES: &str = "for i in 1 2 3 4 5 6; do echo $i; done; kill -9 $$";

#[test]
fn what_a_keeper_leaves_is_true_through_power_cuts() {
    for script in [EXITS, ROTATES] {
        let Kept { disk, record } = watched(script);
        let (broken, count) = cut_everywhere(&disk, &record);
        let operations = disk.ops().len();
        eprintln!("{script}: {operations} operations, {count} power cuts");
        assert_eq!(broken, Vec::<String>::new());
    }
}

#[test]
fn a_keeper_that_ends_before_its_record_is_on_the_disk_is_found_out() {
    let Kept { disk, record } = watched(EXITS);
    let weak = disk.without_syncs(|path| path.to_string_lossy().contains("exit.json"));
    assert!(weak.ops().len() < disk.ops().len());
    let (broken, _) = cut_everywhere(&weak, &record);
    let is_lost = |why: &String| why.ends_with("the record is lost");
    assert!(broken.iter().any(is_lost), "{broken:?}");
    // And one whose record is another run's.
    let other = ExitRecord {
        code: Some(4),
        ..record
    };
    let (broken, _) = cut_everywhere(&disk, &other);
    let is_wrong = |why: &String| why.ends_with("is not what happened");
    assert!(broken.iter().any(is_wrong), "{broken:?}");
}

#[test]
fn the_next_run_goes_on_after_a_power_cut() {
    let Kept { disk, .. } = watched(ROTATES);
    let cuts = cuts::all(&disk);
    let step = (cuts.len() / GONE_ON_WITH).max(1);
    for (count, survives) in cuts.into_iter().step_by(step) {
        let state = cuts::folder();
        let image = disk.cut(count, survives);
        image.write_to(state.path()).unwrap();
        let mut next = keeper(state.path(), "run-2", "echo next; exit 4");
        assert!(next.status().unwrap().success());
        let record = fs::read(run_folder(state.path(), "run-2").join("exit.json")).unwrap();
        let record = record_of(&record).unwrap();
        assert_eq!((record.reason, record.code), (EndReason::Exited, Some(4)));
        let log = fs::read(state.path().join("daemons/web/log/current")).unwrap();
        let log = log.strip_suffix(b"\n").unwrap();
        let last = log.rsplit(|byte| *byte == b'\n').next().unwrap();
        assert!(
            last.len() == 44 && last.ends_with(b"Z stdout F next"),
            "after {count} with {survives:?}: {:?}",
            String::from_utf8_lossy(log)
        );
    }
}
