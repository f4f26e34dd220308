//! The keeper: it ends, what it records is true, and nobody is left behind unknown.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use eud_core::record::{EndReason, ExitRecord};
use eud_keeper::{LaunchSpec, sweep, unpublished_record};
use eud_sys::fault::{self, Begin, Fault, Seen, Watch};
use eud_sys::process::signal_child;
use eud_sys::signal::Signal;

use crate::binaries;
use crate::cases::{PATIENCE, end_of, folder, from_each_on, one_by_one, thin};

const ENOSPC: i32 = 28;
const EMFILE: i32 = 24;
/// The first thing a keeper does of its own.
const BEGIN: Begin = Begin::AtCall("close_range");
/// How long a keeper may wait for something that stays wrong before it is put right.
const WRONG: Duration = Duration::from_millis(40);
/// So many calls of a story are failed, unless everything is to be tried.
const FAULTS_MAX: usize = 200;
/// Milliseconds the command has after TERM.
const GRACE_MS: u64 = 20;

/// A command and what is done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Story {
    /// It speaks and exits.
    Exits,
    /// It is asked to stop, does not listen, and is killed.
    IsStopped,
    /// It says so much that its log is rotated.
    Rotates,
}

impl Story {
    fn script(self) -> &'static str {
        match self {
            Self::Exits => {
                "echo up >> diary; echo 1; echo 2 >&2; echo 3; echo down >> diary; exit 3"
            }
            Self::IsStopped => "trap '' TERM; echo 1; echo up >> diary; exec sleep 1000",
            Self::Rotates => {
                "echo up >> diary; for i in 1 2 3 4 5 6; do echo $i; done; echo down >> diary; exit 3"
            }
        }
    }

    fn lines(self) -> usize {
        match self {
            Self::Exits => 3,
            Self::IsStopped => 1,
            Self::Rotates => 6,
        }
    }
}

/// One run and its keeper.
struct Kept {
    story: Story,
    fault: Fault,
    home: tempfile::TempDir,
    run: String,
    keeper: Child,
    watch: Watch,
    events: UnixStream,
}

impl Kept {
    fn start(story: Story, fault: Fault) -> Self {
        let home = folder();
        let run = format!("fault-{}", eud_sys::random::hex::<12>().unwrap());
        let folder = home.path().join("daemons/web/runs").join(&run);
        fs::create_dir_all(&folder).unwrap();
        let spec = LaunchSpec {
            unit: "web".into(),
            run: run.clone(),
            generation: 7,
            args: ["/bin/sh", "-c", story.script()].map(Into::into).into(),
            env: vec![("EUD_RUN_ID".into(), run.clone().into())],
            cwd: home.path().into(),
            grace_ms: GRACE_MS,
            log_max_size: if story == Story::Rotates {
                100
            } else {
                1 << 20
            },
            log_keep: 9,
            notify: story == Story::IsStopped,
            ..LaunchSpec::default()
        };
        let mut input = eud_sys::fd::nameless(c"spec").unwrap();
        input.write_all(&spec.encode().unwrap()).unwrap();
        input.rewind().unwrap();
        let (events, theirs) = UnixStream::pair().unwrap();
        events.set_nonblocking(true).unwrap();
        let program = binaries::eud().with_file_name("eud-keeper");
        let mut command = Command::new(program);
        command.args(["web", &run]).env_clear().current_dir(&folder);
        command.stdin(input).stdout(OwnedFd::from(theirs));
        command.stderr(File::create(home.path().join("said")).unwrap());
        let (keeper, watch) = fault::start(&mut command, BEGIN, fault, None).unwrap();
        // The descriptors that it was given are not to be held here.
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Self {
            story,
            fault,
            home,
            run,
            keeper,
            watch,
            events,
        }
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join("daemons/web/runs").join(&self.run)
    }

    fn diary(&self) -> String {
        fs::read_to_string(self.home.path().join("diary")).unwrap_or_default()
    }

    fn said(&self) -> String {
        fs::read_to_string(self.home.path().join("said")).unwrap()
    }

    fn context(&self) -> String {
        let failed: Vec<_> = self.watch.failed().into_iter().take(5).collect();
        let (story, fault) = (self.story, self.fault);
        format!("{story:?}, {fault:?}, {failed:?}, said {:?}", self.said())
    }

    /// Lets the story happen.
    fn live(&mut self) -> ExitStatus {
        if self.story == Story::IsStopped {
            self.stop();
        }
        if matches!(self.fault, Fault::From { .. }) {
            let begun = Instant::now();
            while self.keeper.try_wait().unwrap().is_none() && begun.elapsed() < WRONG {
                std::thread::sleep(Duration::from_micros(200));
            }
            self.watch.lift();
        }
        let status = end_of(&mut self.keeper);
        status.unwrap_or_else(|| panic!("hangs: {}, diary {:?}", self.context(), self.diary()))
    }

    fn stop(&mut self) {
        let begun = Instant::now();
        while self.diary().is_empty() && self.keeper.try_wait().unwrap().is_none() {
            if begun.elapsed() > WRONG {
                // With a fault that stays it may be up although it could not say so.
                self.watch.lift();
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        // It may have ended meanwhile; not collected, its number is nobody else's.
        let _ = signal_child(self.keeper.id(), Signal::TERM);
    }

    /// What a manager would do and find.
    fn check(&mut self, status: ExitStatus) -> &'static str {
        let context = self.context();
        assert!(matches!(status.code(), Some(0 | 1)), "{status}: {context}");
        assert!(!self.said().contains("panicked"), "{context}");
        if let Ok(lock) = File::open(self.home.path().join("daemons/web/lock")) {
            // A child that was just forked has it for a moment longer than its keeper.
            let begun = Instant::now();
            while lock.try_lock().is_err() {
                assert!(begun.elapsed() < PATIENCE, "the lock is held: {context}");
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        let swept = sweep(&self.folder(), &self.run).unwrap();
        assert!(swept.survivors.is_empty(), "{swept:?}: {context}");
        let named = fs::read(self.folder().join("exit.json")).ok();
        if status.code() == Some(0) {
            assert!(named.is_some(), "no record: {context}");
        }
        if named.is_some() {
            assert!(swept.killed.is_empty(), "ended with {swept:?}: {context}");
        }
        let text = named.or_else(|| {
            unpublished_record(&self.folder())
                .unwrap()
                .map(String::into_bytes)
        });
        let record = text.map(|text| match serde_json::from_slice::<ExitRecord>(&text) {
            Ok(record) => record,
            Err(error) => panic!("{error} in {text:?}: {context}"),
        });
        self.check_told(record.as_ref(), &context);
        self.check_log(record.as_ref(), &context);
        let Some(record) = record else {
            // Without memory or descriptors a keeper may not come to be. Once there is a command,
            // it is not given up.
            assert_eq!(self.diary(), "", "the command was lost: {context}");
            return "lost";
        };
        self.check_record(&record, &context)
    }

    fn check_record(&self, record: &ExitRecord, context: &str) -> &'static str {
        let context = format!("{record:?}, diary {:?}: {context}", self.diary());
        assert_eq!(record.run, self.run, "{context}");
        // Who could not read what it is to do knows no generation. The manager does.
        let is_unread = record.reason == EndReason::NeverStarted && record.generation == 0;
        assert!(record.generation == 7 || is_unread, "{context}");
        match record.reason {
            EndReason::NeverStarted | EndReason::SpawnFailed => {
                assert_eq!(self.diary(), "", "{context}");
                assert!(record.message.is_some(), "{context}");
                return "not started";
            }
            EndReason::Exited if self.story != Story::IsStopped => {
                assert_eq!((record.code, record.signal), (Some(3), None), "{context}");
                assert_eq!(self.diary(), "up\ndown\n", "{context}");
            }
            EndReason::StopKilled if self.story == Story::IsStopped => {
                assert_eq!((record.code, record.signal), (None, Some(9)), "{context}");
            }
            _ => panic!("wrong reason: {context}"),
        }
        if record.message.is_some() {
            "ended, log given up"
        } else {
            "ended"
        }
    }

    /// What was told is what is recorded.
    fn check_told(&mut self, record: Option<&ExitRecord>, context: &str) {
        let mut told = Vec::new();
        // Nobody is left at the other end, so this ends.
        let _ = self.events.read_to_end(&mut told);
        for line in told.split_inclusive(|byte| *byte == b'\n') {
            let Some(line) = line.strip_suffix(b"\n") else {
                continue;
            };
            let event: serde_json::Value = serde_json::from_slice(line).unwrap();
            if event["event"] == "ended" {
                let told: ExitRecord = serde_json::from_value(event["record"].clone()).unwrap();
                assert_eq!(Some(&told), record, "{context}");
            }
        }
    }

    /// Each line at most once and in order; all of them, unless the keeper was lost or says that it
    /// gave some up.
    fn check_log(&self, record: Option<&ExitRecord>, context: &str) {
        let lines = log_of(&self.home.path().join("daemons/web/log"));
        let is_in_order = |stream: &str| {
            let texts: Vec<_> = lines.iter().filter(|(of, _)| of == stream).collect();
            texts.is_sorted_by(|a, b| a.1 < b.1)
        };
        assert!(
            is_in_order("stdout") && is_in_order("stderr"),
            "{lines:?}: {context}"
        );
        let ran = record.is_some_and(|record| record.pid != 0 && record.message.is_none());
        if ran {
            assert_eq!(lines.len(), self.story.lines(), "{lines:?}: {context}");
        }
    }
}

/// Stream and text of each whole line.
fn log_of(folder: &Path) -> Vec<(String, u32)> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .collect();
    // Digits sort before `current`.
    names.sort();
    let texts = names.iter().map(|name| fs::read_to_string(name).unwrap());
    let mut lines = Vec::new();
    for text in texts {
        for line in text
            .split_inclusive('\n')
            .filter_map(|line| line.strip_suffix('\n'))
        {
            let words: Vec<_> = line.splitn(4, ' ').collect();
            lines.push((words[1].to_owned(), words[3].parse().unwrap()));
        }
    }
    lines
}

fn calls_of(story: Story) -> Vec<Seen> {
    let mut kept = Kept::start(story, Fault::Nothing);
    let status = kept.live();
    assert_eq!(status.code(), Some(0), "{}", kept.context());
    assert_eq!(kept.check(status), "ended");
    kept.watch.seen()
}

fn try_all(story: Story, faults: &[Fault]) {
    let mut outcomes = BTreeMap::<_, usize>::new();
    let mut broken = 0;
    for fault in faults {
        let outcome = catch_unwind(|| try_one(story, *fault)).unwrap_or_else(|_| {
            broken += 1;
            "broken"
        });
        *outcomes.entry(outcome).or_default() += 1;
    }
    eprintln!("{story:?}: {} faults: {outcomes:?}", faults.len());
    assert_eq!(broken, 0, "of {} faults", faults.len());
}

fn try_one(story: Story, fault: Fault) -> &'static str {
    let mut kept = Kept::start(story, fault);
    let status = kept.live();
    let outcome = kept.check(status);
    if kept.watch.failed().is_empty() {
        // What happens at the same time may happen in another order, or at once.
        return "nothing failed";
    }
    outcome
}

fn fail_every_call(story: Story) {
    try_all(story, &thin(one_by_one(&calls_of(story)), FAULTS_MAX));
}

#[test]
fn a_command_that_exits_with_any_call_failing() {
    fail_every_call(Story::Exits);
}

#[test]
fn a_stop_with_any_call_failing() {
    fail_every_call(Story::IsStopped);
}

#[test]
fn a_rotation_with_any_call_failing() {
    fail_every_call(Story::Rotates);
}

#[test]
fn a_disk_that_is_full_from_any_call_on() {
    for story in [Story::Exits, Story::Rotates] {
        try_all(story, &from_each_on(&calls_of(story), ENOSPC));
    }
}

#[test]
fn no_descriptors_from_any_call_on() {
    for story in [Story::Exits, Story::IsStopped] {
        try_all(story, &from_each_on(&calls_of(story), EMFILE));
    }
}
