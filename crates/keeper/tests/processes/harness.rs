//! A state folder, keepers in it, and ways to wait for things.

use std::cell::Cell;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use eud_core::record::ExitRecord;
use eud_keeper::{LaunchSpec, Spare, Started, spawn_keeper};
use eud_sys::process::{self, Identity};
use eud_sys::reap::{self, Next};
use eud_sys::signal::Signal;
use serde_json::Value;

/// Long enough for a loaded machine; a test that waits this long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `condition` holds.
#[track_caller]
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::yield_now();
    }
}

/// Says on the terminal that a test could not do its work here.
pub(crate) fn skipped(why: &str) {
    eprintln!("SKIPPED: {why}");
}

pub(crate) fn is_root() -> bool {
    eud_sys::socket::own_uid() == 0
}

/// The keeper of this build.
pub(crate) fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_eud-keeper-alone"))
}

/// One daemon's folder.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
    runs: Cell<u32>,
}

/// A run and its keeper.
pub(crate) struct Kept {
    pub(crate) pid: u32,
    pub(crate) run: String,
    pub(crate) folder: PathBuf,
    pub(crate) unit_folder: PathBuf,
    pub(crate) events: BufReader<UnixStream>,
    is_collected: bool,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            runs: Cell::new(0),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A run's id and folder.
    pub(crate) fn new_run(&self) -> (String, PathBuf) {
        self.runs.set(self.runs.get() + 1);
        let random = eud_sys::random::hex::<8>().unwrap();
        let run = format!("test-{random}-{}", self.runs.get());
        let folder = self.path().join("daemons/web/runs").join(&run);
        fs::create_dir_all(&folder).unwrap();
        (run, folder)
    }

    pub(crate) fn spec(&self, run: &str, args: &[&str]) -> LaunchSpec {
        LaunchSpec {
            unit: "web".into(),
            run: run.into(),
            generation: 7,
            args: args.iter().map(Into::into).collect(),
            env: vec![
                ("PATH".into(), "/usr/bin:/bin".into()),
                ("EUD_RUN_ID".into(), run.into()),
            ],
            cwd: self.path().into(),
            ..LaunchSpec::default()
        }
    }

    /// Starts a command with a changed spec.
    pub(crate) fn start_with(&self, args: &[&str], change: impl Fn(&mut LaunchSpec)) -> Kept {
        let (run, folder) = self.new_run();
        let mut spec = self.spec(&run, args);
        change(&mut spec);
        self.start_in(folder, &spec)
    }

    /// Starts a command.
    pub(crate) fn start(&self, args: &[&str]) -> Kept {
        self.start_with(args, |_| {})
    }

    /// Starts a shell script.
    pub(crate) fn sh(&self, script: &str) -> Kept {
        self.start(&["sh", "-c", script])
    }

    pub(crate) fn start_in(&self, folder: PathBuf, spec: &LaunchSpec) -> Kept {
        let started = spawn_keeper(program(), &folder, spec, Stdio::inherit()).unwrap();
        self.kept(started, folder, spec)
    }

    /// Gives the run to a keeper that waits for one.
    pub(crate) fn commission(&self, spare: Spare, folder: PathBuf, spec: &LaunchSpec) -> Kept {
        let stderr = fs::File::create(self.path().join("complaints")).unwrap();
        let started = spare.commission(&folder, spec, &stderr).unwrap();
        self.kept(started, folder, spec)
    }

    fn kept(&self, Started { pid, socket }: Started, folder: PathBuf, spec: &LaunchSpec) -> Kept {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let unit_folder = self.path().join("daemons/web");
        let events = BufReader::new(socket);
        Kept {
            pid,
            run: spec.run.clone(),
            folder,
            unit_folder,
            events,
            is_collected: false,
        }
    }

    /// Runs a command to its end.
    pub(crate) fn record_of(&self, args: &[&str]) -> ExitRecord {
        self.start(args).ended()
    }

    /// All records of the log, rotated files first: stream and tag, text.
    pub(crate) fn log(&self) -> Vec<(String, String)> {
        let folder = self.path().join("daemons/web/log");
        let mut names: Vec<_> = fs::read_dir(&folder)
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        // Digits sort before `current`.
        names.sort();
        names
            .iter()
            .flat_map(|name| records(&folder.join(name)))
            .collect()
    }

    /// Texts of all records of standard output: a shell comments on signals on the other one.
    pub(crate) fn stdout(&self) -> Vec<String> {
        self.log()
            .into_iter()
            .filter(|(head, _)| head.starts_with("stdout"))
            .map(|(_, text)| text)
            .collect()
    }

    /// Texts of all records.
    pub(crate) fn log_texts(&self) -> Vec<String> {
        self.log().into_iter().map(|(_, text)| text).collect()
    }
}

/// The records of a log file: stream and tag, text. Checks the form of each.
pub(crate) fn records(path: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| {
            let mut parts = line.splitn(4, ' ');
            let time = parts.next().unwrap();
            assert!(
                time.len() == 30 && time.ends_with('Z') && &time[10..11] == "T",
                "{line}"
            );
            let head = format!("{} {}", parts.next().unwrap(), parts.next().unwrap());
            (head, parts.next().unwrap().to_owned())
        })
        .collect()
}

impl Kept {
    /// The next event; `None` when the keeper has closed the connection.
    pub(crate) fn next_event(&mut self) -> Option<Value> {
        next_event(&mut self.events)
    }

    /// Reads events until the named one.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, event: &str) -> Value {
        loop {
            let value = self.next_event().unwrap_or_else(|| panic!("no `{event}`"));
            if value["event"] == event {
                return value;
            }
        }
    }

    /// Waits until the command executes; its process.
    #[track_caller]
    pub(crate) fn started(&mut self) -> Identity {
        let event = self.wait_for("started");
        let number = |key: &str| event[key].as_u64().unwrap();
        Identity {
            pid: number("pid") as u32,
            start_ticks: number("start_ticks"),
        }
    }

    pub(crate) fn ask(&mut self, line: &str) {
        self.events.get_mut().write_all(line.as_bytes()).unwrap();
    }

    /// Waits for the end; the record, which must be that in the file.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> ExitRecord {
        let told = self.wait_for("ended");
        let record: ExitRecord = serde_json::from_value(told["record"].clone()).unwrap();
        assert_eq!(self.record_on_disk(), record);
        assert_eq!(
            (record.run.as_str(), record.unit.as_str()),
            (self.run.as_str(), "web")
        );
        assert_eq!(record.generation, 7);
        self.collect();
        record
    }

    #[track_caller]
    pub(crate) fn record_on_disk(&self) -> ExitRecord {
        serde_json::from_slice(&fs::read(self.folder.join("exit.json")).unwrap()).unwrap()
    }

    /// Waits until the keeper is gone; how it ended.
    #[track_caller]
    pub(crate) fn collect(&mut self) -> reap::Ending {
        let mut ending = None;
        until("the keeper ends", || match reap::this(self.pid).unwrap() {
            Next::Reaped(reaped) => {
                ending = Some(reaped.ending);
                true
            }
            Next::AllAlive => false,
            Next::NoChildren => panic!("somebody else collected it"),
        });
        self.is_collected = true;
        ending.unwrap()
    }

    /// Kills the keeper itself, and nothing else.
    pub(crate) fn lose_keeper(&mut self) {
        process::signal_child(self.pid, Signal::KILL).unwrap();
        self.collect();
    }

    /// Waits for the first record of the log that begins with `start`; the rest of it.
    #[track_caller]
    pub(crate) fn said(&self, start: &str) -> String {
        let current = self.unit_folder.join("log/current");
        let mut found = None;
        until(&format!("it says `{start}`"), || {
            let text = fs::read_to_string(&current).unwrap_or_default();
            let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
            let said = whole.lines().filter_map(|line| line.get(40..));
            found = said
                .filter_map(|text| text.strip_prefix(start))
                .map(str::to_owned)
                .next();
            found.is_some()
        });
        found.unwrap()
    }

    /// Waits for a record `start PID`; that process.
    #[track_caller]
    pub(crate) fn said_pid(&self, start: &str) -> Identity {
        process::identity(self.said(start).trim().parse().unwrap()).unwrap()
    }

    /// A further connection, as a second manager would make it.
    pub(crate) fn connect(&self) -> BufReader<UnixStream> {
        let path = self.folder.join("control.sock");
        let socket = eud_sys::socket::connect(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        BufReader::new(socket)
    }
}

impl Drop for Kept {
    /// A failed test leaves nothing behind.
    fn drop(&mut self) {
        if self.is_collected {
            return;
        }
        let _ = process::signal_child(self.pid, Signal::KILL);
        while matches!(reap::this(self.pid), Ok(Next::AllAlive)) {
            std::thread::yield_now();
        }
        let _ = eud_keeper::sweep(&self.folder, &self.run);
    }
}

pub(crate) fn next_event(events: &mut BufReader<UnixStream>) -> Option<Value> {
    let mut line = String::new();
    match events.read_line(&mut line) {
        Ok(0) => None,
        Ok(_) => Some(serde_json::from_str(&line).unwrap()),
        // Requests that were still unread when the keeper left.
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
        Err(error) => panic!("{error}"),
    }
}
