//! The store: what [`eud_store::Store::apply`] acknowledged.

use std::path::Path;
use std::process::Command;

use eud_store::Store;
use eud_sys::fault::{self, Begin, Disk, Fault, Image, Op, Survives};
use eud_tests::{Deed, Presence, Step, steps};

use crate::cuts;

const DATABASE: &str = "state.db";

/// What the scribe does to its files with these steps, after `before`.
fn watched(name: &str, before: Option<&str>) -> Disk {
    let folder = cuts::folder();
    let scribe = |name: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_scribe"));
        command.arg(folder.path().join(DATABASE)).arg(name);
        command.stdout(std::process::Stdio::null());
        let watched = Some(folder.path());
        let started = fault::start(&mut command, Begin::AtMark, Fault::Nothing, watched);
        let (mut child, watch) = started.unwrap();
        assert!(child.wait().unwrap().success());
        watch.disk()
    };
    if let Some(before) = before {
        scribe(before);
    }
    let disk = scribe(name);
    agrees(&disk, folder.path());
    disk
}

/// What was kept is what there is. The file that SQLite maps into memory is not looked at.
fn agrees(disk: &Disk, folder: &Path) {
    let image = disk.cut(disk.ops().len(), Survives::Everything);
    let mut found = 0;
    for (path, bytes) in image.files() {
        if !path.to_string_lossy().ends_with("-shm") {
            assert!(
                std::fs::read(folder.join(path)).unwrap() == bytes,
                "{path:?}"
            );
            found += 1;
        }
    }
    assert!(found > 0);
}

/// Which deeds had been begun, which acknowledged, and how many of these were waited for.
fn progress(disk: &Disk, count: usize, name: &str) -> (Vec<Deed>, Vec<Deed>, usize) {
    let marks = disk.ops().iter().take(count).filter_map(|op| match op {
        Op::Mark(number) => Some(*number),
        _ => None,
    });
    let (mut begun, mut acknowledged, mut synced) = (Vec::new(), Vec::new(), 0);
    for mark in marks {
        let step = usize::try_from(mark / 2).unwrap();
        let is_done = mark % 2 == 1;
        match steps(name).get(step) {
            Some(Step::Do(deed)) if is_done => acknowledged.push(*deed),
            Some(Step::Do(deed)) => begun.push(*deed),
            Some(Step::Sync) if is_done => synced = acknowledged.len(),
            _ => {}
        }
    }
    (begun, acknowledged, synced)
}

/// Opens what is left.
///
/// # Errors
/// Says what is not as promised.
fn check(
    image: &Image,
    (begun, acknowledged, synced): (&[Deed], &[Deed], usize),
    dead: bool,
) -> Result<(), String> {
    let folder = cuts::folder();
    image.write_to(folder.path()).unwrap();
    let database = folder.path().join(DATABASE);
    let store = Store::open(&database).map_err(|error| error.to_string())?;
    let journal = store.recovery().map_err(|error| error.to_string())?;
    drop(store);
    let found: String = rusqlite::Connection::open(&database)
        .unwrap()
        .query_row("pragma integrity_check", [], |row| row.get(0))
        .unwrap();
    if found != "ok" {
        return Err(found);
    }
    // What comes later makes durable what came before.
    let durable = |(place, deed): (usize, &Deed)| dead || place < synced || !deed.may_be_lost();
    let places = 0..acknowledged.len();
    let last_durable = places.zip(acknowledged).rposition(durable);
    let mut was_absent = None;
    for (place, deed) in begun.iter().enumerate() {
        match deed.presence(&journal) {
            Presence::Half => return Err(format!("half of {deed:?} is there")),
            Presence::Absent if last_durable.is_some_and(|last| place <= last) => {
                return Err(format!("{deed:?} is lost"));
            }
            Presence::Absent => was_absent = Some(*deed),
            Presence::Whole => {
                if let Some(earlier) = was_absent {
                    return Err(format!("{deed:?} is there without {earlier:?}"));
                }
            }
        }
    }
    Ok(())
}

/// Everything that is not as promised; how many power cuts there were.
fn cut_everywhere(disk: &Disk, name: &str) -> (Vec<String>, usize) {
    let cuts = cuts::all(disk);
    let mut broken = Vec::new();
    for (count, survives) in &cuts {
        let (begun, acknowledged, synced) = progress(disk, *count, name);
        let image = disk.cut(*count, *survives);
        let dead = *survives == Survives::Everything;
        if let Err(why) = check(&image, (&begun, &acknowledged, synced), dead) {
            broken.push(format!("{name}: after {count} with {survives:?}: {why}"));
        }
    }
    (broken, cuts.len())
}

fn holds(name: &str, before: Option<&str>) {
    let disk = watched(name, before);
    let (broken, count) = cut_everywhere(&disk, name);
    eprintln!(
        "{name}: {} operations, {count} power cuts",
        disk.ops().len()
    );
    assert_eq!(broken, Vec::<String>::new());
}

#[test]
fn a_new_database_through_power_cuts() {
    holds("new", None);
}

#[test]
fn an_existing_database_through_power_cuts() {
    holds("again", Some("new"));
}

#[test]
fn a_database_that_writes_its_log_back_through_power_cuts() {
    holds("wide", None);
}

#[test]
fn a_store_that_does_not_wait_for_the_disk_is_found_out() {
    let disk = watched("again", Some("new"));
    for (what, lost) in [("state.db-wal", "is lost"), ("state.db", "")] {
        let weak = disk.without_syncs(|path| path == Path::new(what));
        let (broken, _) = cut_everywhere(&weak, "again");
        let is_found = broken.iter().any(|why| why.ends_with(lost));
        assert!(
            is_found,
            "nobody notices that {what} is not synced: {broken:?}"
        );
    }
    let disk = watched("new", None);
    for what in ["state.db.new", ""] {
        let weak = disk.without_syncs(|path| path == Path::new(what));
        let (broken, _) = cut_everywhere(&weak, "new");
        assert!(
            !broken.is_empty(),
            "nobody notices that `{what}` is not synced"
        );
    }
}
