//! A real manager with real keepers in a folder of its own.

#![expect(dead_code, reason = "each test file uses its part of this")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on says where"
)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use eud_sys::process::{self, Identity};
use eud_sys::signal::Signal;
use serde_json::{Value, json};

/// How long anything may take. Generous: the machine may be busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A fleet in a temporary folder.
pub(crate) struct World {
    dir: tempfile::TempDir,
    state: PathBuf,
    manager: Option<Child>,
    /// Extra variables of the manager's environment.
    pub(crate) env: Vec<(String, String)>,
}

/// One connection to the control socket.
pub(crate) struct Wire {
    reader: BufReader<UnixStream>,
}

impl World {
    /// Writes the fleet file; starts nothing.
    pub(crate) fn new(fleet: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join(".eud");
        let world = Self {
            dir,
            state,
            manager: None,
            env: Vec::new(),
        };
        world.write_fleet(fleet);
        world
    }

    /// As [`World::new`], with the manager up.
    pub(crate) fn up(fleet: &str) -> Self {
        let mut world = Self::new(fleet);
        world.start();
        world
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Another place for the state; before the first start.
    pub(crate) fn set_state(&mut self, path: &Path) {
        self.state = path.to_owned();
    }

    pub(crate) fn state(&self) -> &Path {
        &self.state
    }

    pub(crate) fn write_fleet(&self, fleet: &str) {
        fs::write(self.dir.path().join("eud.toml"), fleet).unwrap();
    }

    fn command(&self) -> Command {
        let examples = std::env::current_exe().unwrap();
        let examples = examples
            .parent()
            .unwrap()
            .parent()
            .unwrap()
            .join("examples");
        let mut command = Command::new(examples.join("manager"));
        command
            .arg(&self.state)
            .arg(self.dir.path().join("eud.toml"));
        command
            .env("EUD_KEEPER", examples.join("keeper"))
            .stdin(Stdio::null());
        command.envs(self.env.iter().map(|(k, v)| (k, v)));
        command
    }

    /// Starts the manager and waits until it answers.
    pub(crate) fn start(&mut self) {
        assert!(self.manager.is_none(), "it is running already");
        let mut child = self
            .command()
            .spawn()
            .expect("the examples of this crate are built");
        let deadline = Instant::now() + PATIENCE;
        while !self.answers() {
            assert!(
                child.try_wait().unwrap().is_none(),
                "the manager ended at once"
            );
            assert!(Instant::now() < deadline, "the manager does not answer");
            std::thread::sleep(Duration::from_millis(2));
        }
        self.manager = Some(child);
    }

    /// Starts the manager and kills it so much later, whatever it is at.
    pub(crate) fn start_and_kill_after(&self, pause: Duration) {
        let mut child = self
            .command()
            .spawn()
            .expect("the examples of this crate are built");
        std::thread::sleep(pause);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Runs a manager that is expected to refuse; gives its words.
    pub(crate) fn start_refused(&self) -> String {
        let output = self.command().stderr(Stdio::piped()).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    }

    pub(crate) fn manager_pid(&self) -> u32 {
        self.manager.as_ref().unwrap().id()
    }

    /// Kills the manager as a power cut would.
    pub(crate) fn kill_manager(&mut self) {
        let mut child = self.manager.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Waits for the manager's own end.
    pub(crate) fn manager_ended(&mut self) -> ExitStatus {
        let mut child = self.manager.take().unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the manager does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// A connection proves nothing: a keeper that the manager before was about to start holds its
    /// socket for a moment longer.
    fn answers(&self) -> bool {
        let Some(stream) = self.try_connect() else {
            return false;
        };
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut reader = BufReader::new(stream);
        let ping = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n";
        let mut answer = String::new();
        reader.get_mut().write_all(ping).is_ok()
            && reader.read_line(&mut answer).is_ok_and(|bytes| bytes > 0)
    }

    fn try_connect(&self) -> Option<UnixStream> {
        eud_sys::socket::connect(&self.state.join("eud.sock")).ok()
    }

    pub(crate) fn wire(&self) -> Wire {
        let stream = self.try_connect().expect("the manager listens");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Wire {
            reader: BufReader::new(stream),
        }
    }

    /// Calls a method; its result, or its error.
    pub(crate) fn call(&self, method: &str, params: Value) -> Result<Value, Value> {
        self.wire().call(method, params)
    }

    /// Calls a method that must succeed.
    pub(crate) fn ok(&self, method: &str, params: Value) -> Value {
        self.call(method, params)
            .unwrap_or_else(|e| panic!("{method}: {e}"))
    }

    pub(crate) fn status(&self) -> Value {
        self.ok("fleet.status", json!({}))
    }

    /// One unit's row of the status.
    pub(crate) fn unit(&self, name: &str) -> Value {
        let status = self.status();
        let found = status["daemons"]
            .as_array()
            .unwrap()
            .iter()
            .find(|d| d["name"] == name);
        found
            .cloned()
            .unwrap_or_else(|| panic!("no unit {name}: {status}"))
    }

    /// Waits until a unit is as it should be.
    pub(crate) fn until(&self, name: &str, what: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let unit = self.unit(name);
            if what(&unit) {
                return unit;
            }
            assert!(Instant::now() < deadline, "still {unit}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn until_state(&self, name: &str, state: &str) -> Value {
        self.until(name, |unit| unit["state"] == state)
    }

    /// Process id of a unit's command.
    pub(crate) fn pid(&self, name: &str) -> u32 {
        let pid = self.until(name, |unit| unit["pid"].is_u64())["pid"]
            .as_u64()
            .unwrap();
        u32::try_from(pid).unwrap()
    }

    pub(crate) fn identity(&self, name: &str) -> Identity {
        process::identity(self.pid(name)).unwrap()
    }

    /// Folder of a unit's present run.
    pub(crate) fn run_dir(&self, name: &str) -> PathBuf {
        let run = self.until(name, |unit| unit["run"].is_string());
        self.state
            .join("daemons")
            .join(name)
            .join("runs")
            .join(run["run"].as_str().unwrap())
    }

    /// Identity of the keeper of a run.
    pub(crate) fn keeper_of(&self, run_dir: &Path) -> Identity {
        until_some(|| eud_keeper::noted(run_dir).ok()??.keeper)
    }

    /// The manager's log.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.state.join("manager.log")).unwrap_or_default()
    }

    /// Text of a unit's log.
    pub(crate) fn output(&self, name: &str) -> String {
        let path = self.state.join("daemons").join(name).join("log/current");
        fs::read_to_string(path).unwrap_or_default()
    }

    /// Shuts down in good order.
    pub(crate) fn shut_down(&mut self) -> ExitStatus {
        self.ok("fleet.shutdown", json!({}));
        self.manager_ended()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(mut manager) = self.manager.take() {
            let _ = manager.kill();
            let _ = manager.wait();
        }
        // A failed test must not leave its daemons behind.
        let units = ["daemons", "tasks"].map(|all| fs::read_dir(self.state.join(all)));
        for unit in units.into_iter().flatten().flatten().flatten() {
            for run in fs::read_dir(unit.path().join("runs"))
                .into_iter()
                .flatten()
                .flatten()
            {
                if run.path().join("exit.json").exists() {
                    continue;
                }
                let noted = eud_keeper::noted(&run.path()).ok().flatten();
                if let Some(keeper) = noted.and_then(|noted| noted.keeper) {
                    let _ = process::signal(keeper, Signal::KILL);
                }
                let _ = eud_keeper::sweep(&run.path(), &run.file_name().to_string_lossy());
            }
        }
    }
}

impl Wire {
    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.reader.get_mut().write_all(bytes).unwrap();
    }

    /// Sends as much as the other side takes.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) {
        let _ = self.reader.get_mut().write_all(bytes);
    }

    pub(crate) fn close_write(&self) {
        self.reader
            .get_ref()
            .shutdown(std::net::Shutdown::Write)
            .unwrap();
    }

    /// The next line; `None` when the connection is closed.
    pub(crate) fn line(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line}: {e}"))),
        }
    }

    pub(crate) fn call(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        self.send(format!("{request}\n").as_bytes());
        let mut answer = self.line().expect("an answer");
        assert_eq!(answer["id"], 1);
        match answer.get("error") {
            Some(error) => Err(error.clone()),
            None => Ok(answer["result"].take()),
        }
    }
}

/// Waits until something is there.
pub(crate) fn until_some<T>(mut what: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = what() {
            return found;
        }
        assert!(Instant::now() < deadline, "it does not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until something is so.
pub(crate) fn until(mut what: impl FnMut() -> bool) {
    until_some(|| what().then_some(()));
}

/// Waits until a process is gone.
pub(crate) fn until_gone(identity: Identity) {
    until(|| !process::is_alive(identity));
}

pub(crate) fn kill(identity: Identity) {
    assert!(process::signal(identity, Signal::KILL).unwrap());
}
