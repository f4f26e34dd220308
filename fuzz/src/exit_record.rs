//! Exit records, and the notes in a run's folder.
//!
//! What is promised: any bytes are a record or an error in words; a record that is read is the one
//! that was written, by keeper or manager; its end can be told in words.

use arbitrary::{Result, Unstructured};
use eud_core::fleet::Daemon;
use eud_core::record::ExitRecord;
use eud_core::words;
use eud_keeper::fuzz as keeper;
use eud_manager::fuzz as manager;
use eud_sys::process::Identity;

use crate::scratch;

pub(crate) fn run(bytes: &[u8]) {
    if let Ok(record) = serde_json::from_slice::<ExitRecord>(bytes) {
        let again = serde_json::to_vec(&record).expect("it can be written");
        let read = manager::exit_record(&again, &record.unit, &record.run);
        assert_eq!(read, Ok(record.clone()));
        assert!(!words::ending(&record).is_empty());
        let other = manager::exit_record(bytes, &record.unit, "another run");
        assert!(record.run == "another run" || other.is_err());
    } else {
        assert!(manager::exit_record(bytes, "a", "r").is_err());
    }
    if let Ok(daemon) = serde_json::from_slice::<Daemon>(bytes) {
        let again = serde_json::to_vec(&daemon).expect("it can be written");
        assert_eq!(serde_json::from_slice::<Daemon>(&again).ok(), Some(daemon));
    }
    // A tenth of the inputs pays for the files.
    if bytes.first().is_some_and(|byte| byte % 10 == 0) {
        notes(bytes);
    }
    // Too few bytes are no record.
    let _ = written(&mut Unstructured::new(bytes));
}

fn notes(bytes: &[u8]) {
    let dir = scratch();
    let path = dir.path().join("live");
    std::fs::write(&path, bytes).expect("a file can be written");
    let (Some(noted), _) = keeper::notes(dir.path()) else {
        return;
    };
    let mut text = format!("boot {}\n", noted.boot_id);
    for (name, process) in [("keeper", noted.keeper), ("command", noted.command)] {
        if let Some(Identity { pid, start_ticks }) = process {
            text.push_str(&format!("{name} {pid} {start_ticks}\n"));
        }
    }
    if let Some(cgroup) = &noted.cgroup {
        text.push_str(&format!("cgroup {}\n", cgroup.display()));
    }
    std::fs::write(&path, text).expect("a file can be written");
    assert_eq!(keeper::notes(dir.path()).0, Some(noted));
}

fn written(u: &mut Unstructured<'_>) -> Result<()> {
    let numbers: [i64; 6] = u.arbitrary()?;
    let (unit, run, message): (String, String, String) =
        (u.arbitrary()?, u.arbitrary()?, u.arbitrary()?);
    let (json, told) = keeper::record(&unit, &run, &message, numbers);
    let record = manager::exit_record(json.as_bytes(), &unit, &run).expect("a record was written");
    assert_eq!(record.message.clone().unwrap_or_default(), message);
    assert_eq!(
        (record.started_at_ms, record.ended_at_ms),
        (numbers[4], numbers[5])
    );
    let heard = manager::keeper_line(told.as_bytes());
    assert_eq!(heard, Ok(("ended", record.message)));
    Ok(())
}
