//! Small files: those that are replaced, and the exit record of a run.

use std::fs;
use std::io::{Seek, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use eud_core::record::{EndReason, ExitRecord};
use eud_keeper::{LaunchSpec, unpublished_record};
use eud_sys::fault::{self, Begin, Disk, Fault, Op, Survives};
use eud_tests::{VERSIONS, version};

use crate::{binaries, cuts};

/// What the scribe does to a file that it replaces.
fn replaced() -> Disk {
    let folder = cuts::folder();
    let mut command = Command::new(env!("CARGO_BIN_EXE_scribe"));
    command.arg(folder.path().join("file")).arg("replace");
    let watched = Some(folder.path());
    let started = fault::start(&mut command, Begin::AtMark, Fault::Nothing, watched);
    let (mut child, watch) = started.unwrap();
    assert!(child.wait().unwrap().success());
    watch.disk()
}

/// Power cuts after which the file is not what it was made last, nor what it was being made.
fn broken(disk: &Disk) -> Vec<String> {
    let mut broken = Vec::new();
    for (count, survives) in cuts::all(disk) {
        let is_done = |op: &&Op| matches!(op, Op::Mark(number) if number % 2 == 1);
        let done = disk.ops().iter().take(count).filter(is_done).count() as u64;
        let image = disk.cut(count, survives);
        let found = image.get("file");
        let is_right = match found {
            None => done == 0,
            // The last that was acknowledged, or the one that was under way.
            Some(bytes) => {
                let versions = done.saturating_sub(1)..(done + 1).min(VERSIONS);
                versions.clone().any(|number| version(number) == bytes)
            }
        };
        if !is_right {
            let len = found.map(<[u8]>::len);
            broken.push(format!("after {count} with {survives:?}: {len:?} bytes"));
        }
    }
    broken
}

#[test]
fn a_file_that_is_replaced_is_the_old_or_the_new_through_power_cuts() {
    assert_eq!(broken(&replaced()), Vec::<String>::new());
}

#[test]
fn a_file_that_is_not_waited_for_is_found_out() {
    for what in ["file.tmp", ""] {
        let weak = replaced().without_syncs(|path| path == Path::new(what));
        assert!(
            !broken(&weak).is_empty(),
            "nobody notices that `{what}` is not synced"
        );
    }
}

/// What a keeper does to the files of its run, and the record it left.
fn kept(args: &[&str]) -> (Disk, ExitRecord) {
    let home = cuts::folder();
    let folder = home.path().join("run");
    fs::create_dir_all(&folder).unwrap();
    let spec = LaunchSpec {
        unit: "web".into(),
        run: "power-cut".into(),
        generation: 7,
        lock: "../lock".into(),
        log: "../log".into(),
        args: args.iter().map(Into::into).collect(),
        env: vec![("EUD_RUN_ID".into(), "power-cut".into())],
        ..LaunchSpec::default()
    };
    let mut input = eud_sys::fd::nameless(c"spec").unwrap();
    input.write_all(&spec.encode().unwrap()).unwrap();
    input.rewind().unwrap();
    let mut command = Command::new(binaries::eud().with_file_name("eud-keeper"));
    command.args(["web", "power-cut"]).current_dir(&folder);
    command.env_clear().stdin(input).stdout(Stdio::null());
    let begin = Begin::AtCall("close_range");
    let started = fault::start(&mut command, begin, Fault::Nothing, Some(&folder));
    let (mut keeper, watch) = started.unwrap();
    assert!(keeper.wait().unwrap().success());
    let record = fs::read(folder.join("exit.json")).unwrap();
    (watch.disk(), serde_json::from_slice(&record).unwrap())
}

/// A record of several sectors.
fn long() -> (Disk, ExitRecord) {
    let missing = format!("/{}", "missing/".repeat(250));
    let (disk, record) = kept(&[&missing]);
    assert_eq!(record.reason, EndReason::SpawnFailed);
    (disk, record)
}

#[test]
fn an_exit_record_is_whole_or_unknown_through_power_cuts() {
    for (disk, record) in [kept(&["/bin/sh", "-c", "exit 3"]), long()] {
        let (mut whole, mut torn) = (0, 0);
        for (count, survives) in cuts::all(&disk) {
            let folder = cuts::folder();
            disk.cut(count, survives).write_to(folder.path()).unwrap();
            let named = fs::read(folder.path().join("exit.json")).ok();
            let text = named.or_else(|| {
                unpublished_record(folder.path())
                    .unwrap()
                    .map(String::into_bytes)
            });
            match text.map(|text| serde_json::from_slice::<ExitRecord>(&text)) {
                Some(Ok(found)) => {
                    assert_eq!(found, record, "after {count} with {survives:?}");
                    whole += 1;
                }
                Some(Err(_)) => torn += 1,
                None => {}
            }
        }
        eprintln!(
            "{:?}: {whole} whole, {torn} torn and known to be",
            record.reason
        );
        assert!(whole > 0 && torn > 0);
    }
}

#[test]
fn an_exit_record_is_on_the_disk_when_its_keeper_has_ended() {
    let is_torn = |disk: &Disk, record: &ExitRecord| {
        // Names are the file system's: with the record's own contents they come too.
        (0..100).any(|seed| {
            let image = disk.cut(disk.ops().len(), Survives::Some(seed));
            let found = image.get("exit.json").or(image.get("exit.json.tmp"));
            found.is_some_and(|text| serde_json::from_slice(text).ok().as_ref() != Some(record))
        })
    };
    let (disk, record) = long();
    assert!(!is_torn(&disk, &record));
    let weak = disk.without_syncs(|path| path.starts_with("exit.json"));
    assert!(
        is_torn(&weak, &record),
        "nobody notices that it is not synced"
    );
}
