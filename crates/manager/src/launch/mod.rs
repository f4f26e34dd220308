//! Starting runs.
//!
//! Purpose: from a decision to a keeper at work: the run's folder, its environment, its checks, its
//! process.
//! Invariants: a launch ends in exactly one of two ways: a keeper is running and a [`Link`] follows
//! it, or a record says why not and the core is told; launches hold up the engine no longer than
//! its own journal does, and slow ones (secrets, env files, other users) never hold up quick ones.
//! Deliberately absent: deciding whether or when to start.

mod environment;
mod fire;
mod pane;
mod spares;
mod task;
mod template;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc as sync_mpsc};

use eud_core::fleet::{Daemon, Probe, ProgressFrom};
use eud_core::io::{Input, RunEvent};
use eud_core::record::{EndReason, Fire, Generation};
use eud_keeper::LaunchSpec;
use eud_sys::rlimit::Limit;
use eud_sys::signal::Signal;
use tokio::sync::mpsc;

pub use environment::{ENV_FILE_BYTES_MAX, SECRET_BYTES_MAX, SECRET_COMMAND_LIMIT};
pub(crate) use environment::{
    Identity, Surroundings, parse_env_file, plain_environment, resolve, value_of,
};
pub use fire::FIRE_PATHS_MAX;
pub(crate) use fire::paths_of;
pub(crate) use spares::Spares;
pub use task::ARG_BYTES_MAX;
use task::Filled;
pub(crate) use task::TaskLaunch;

use crate::clock;
use crate::context::Context;
use crate::exit_file::{self, RunKey};
use crate::keeper_line::KeeperLine;
use crate::link::{Link, Request};
use crate::log_follow::Mark;
use crate::spec_file::SpecFile;
use crate::watch::folder::Folder;

/// Quick launches that happen at the same time.
const WORKERS: usize = 3;

/// Environments of live runs that are tested by commands.
pub(crate) type KnownSurroundings = Arc<Mutex<BTreeMap<Generation, Arc<Surroundings>>>>;

/// One run to start.
pub(crate) struct Job {
    pub(crate) key: RunKey,
    pub(crate) requests: mpsc::Receiver<Request>,
    /// What counts as its progress, if anybody wants to know.
    pub(crate) progress: Option<ProgressFrom>,
    pub(crate) plan: Plan,
}

/// What is to be started.
pub(crate) struct Plan {
    pub(crate) replica: u32,
    pub(crate) fleet: String,
    pub(crate) daemon: Arc<Daemon>,
    /// The fire it is a run of, if it is a job's.
    pub(crate) fire: Option<Fire>,
    /// The task it is a try of, if it is a task's, or why that is not known.
    pub(crate) task: Option<Result<Box<TaskLaunch>, String>>,
}

impl Job {
    /// Whether it may take long enough to be kept away from other launches.
    fn is_slow(&self) -> bool {
        let Plan {
            daemon, fire, task, ..
        } = &self.plan;
        let has_files = |fire: &Fire| !fire.is_about_nothing();
        let is_long =
            |task: &Result<Box<TaskLaunch>, String>| task.as_ref().is_ok_and(|task| task.is_slow());
        fire.as_ref().is_some_and(has_files)
            || task.as_ref().is_some_and(is_long)
            || environment::is_slow(daemon)
    }
}

/// The threads that launch.
pub(crate) struct Launcher {
    context: Arc<Context>,
    runtime: tokio::runtime::Handle,
    quick: sync_mpsc::Sender<Job>,
}

impl Launcher {
    /// Starts the threads. They end when this is dropped.
    pub(crate) fn start(context: Arc<Context>) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Handle::current();
        let (quick, jobs) = sync_mpsc::channel::<Job>();
        let jobs = Arc::new(Mutex::new(jobs));
        for n in 0..WORKERS {
            let (jobs, context, runtime) =
                (Arc::clone(&jobs), Arc::clone(&context), runtime.clone());
            std::thread::Builder::new()
                .name(format!("launch-{n}"))
                .spawn(move || {
                    loop {
                        // Held while waiting, so that one worker waits for a job and the others for
                        // their turn.
                        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
                        let Ok(job) = job else { return };
                        launch(&context, &runtime, job);
                        if context.spares.begins_refill() {
                            runtime.spawn(spares::refill(Arc::clone(&context)));
                        }
                    }
                })?;
        }
        Ok(Self {
            context,
            runtime,
            quick,
        })
    }

    /// Starts a run now, if that takes no longer than recording that it shall be: a keeper waits
    /// for it, and nothing must be read that may be far away or large. Else some time soon.
    pub(crate) fn launch_alone(&self, job: Job) {
        let is_quick = job.plan.daemon.ports.is_empty() && !job.is_slow();
        if is_quick && self.context.spares.any() {
            launch(&self.context, &self.runtime, job);
            self.refill();
        } else {
            self.launch(job);
        }
    }

    fn refill(&self) {
        if self.context.spares.begins_refill() {
            self.runtime
                .spawn(spares::refill(Arc::clone(&self.context)));
        }
    }

    /// Starts a run some time soon.
    pub(crate) fn launch(&self, job: Job) {
        if job.is_slow() {
            let (context, runtime) = (Arc::clone(&self.context), self.runtime.clone());
            self.runtime
                .spawn_blocking(move || launch(&context, &runtime, job));
        } else {
            // The workers live as long as `self`, and the queue holds at most one job for each
            // unit.
            let _ = self.quick.send(job);
        }
    }
}

fn launch(context: &Arc<Context>, runtime: &tokio::runtime::Handle, job: Job) {
    let compress = job.plan.daemon.log.compress;
    let (key, requests) = (job.key, job.requests);
    let mark = Mark::now(&context.layout, &key.unit);
    match prepare_and_spawn(context, &key, job.plan) {
        Ok(stream) => {
            let _entered = runtime.enter();
            let mut link = Link::new(Arc::clone(context), key, requests, compress, Some(mark));
            if let Some(from) = job.progress {
                link.watch_progress(from);
            }
            // Without a connection the link finds the keeper by its socket.
            let line = KeeperLine::of_spawned(stream).ok();
            runtime.spawn(link.follow(line, None));
        }
        Err(message) => {
            let record = exit_file::spawn_failed(&context.layout, &key, message.clone())
                .unwrap_or_else(|e| {
                    context
                        .diary
                        .error(&format!("{}: no exit record on disk: {e}", key.unit));
                    // Nobody was started in it, and without a record it would stay for ever.
                    let _ = fs::remove_dir_all(context.layout.run(&key.unit, &key.run));
                    exit_file::blank(&key, EndReason::SpawnFailed, message)
                });
            let (generation, unit) = (key.generation, key.unit);
            let event = RunEvent::Ended(record);
            let told = Input::Run {
                unit,
                generation,
                event,
            };
            let inputs = context.inputs.clone();
            // Not waited for here: this may be the engine's thread, which makes the room. It is
            // gone only when the manager is ending.
            runtime.spawn(async move { inputs.send(told).await });
        }
    }
}

fn prepare_and_spawn(
    context: &Context,
    key: &RunKey,
    plan: Plan,
) -> Result<std::os::unix::net::UnixStream, String> {
    let Plan {
        replica,
        fleet,
        daemon,
        fire,
        task,
    } = plan;
    let dir = context.layout.run(&key.unit, &key.run);
    create_folder(&dir).map_err(|e| format!("cannot create {}: {e}", dir.display()))?;
    let file = SpecFile {
        unit: key.unit.clone(),
        run: key.run.clone(),
        generation: key.generation,
        replica,
        created_at_ms: clock::now().wall_ms,
        daemon: (*daemon).clone(),
    };
    file.write(&dir)
        .map_err(|e| format!("cannot write in {}: {e}", dir.display()))?;
    let task = task.transpose()?;
    let Filled { daemon, stdin, env } = match &task {
        Some(task) => task::fill(&daemon, task, &context.layout, key)?,
        None => Filled::as_it_is(daemon),
    };
    if daemon.replicas <= 1 {
        check_ports(&daemon.ports)?;
    }
    let identity = Identity {
        fleet: &fleet,
        unit: &key.unit,
        run: &key.run,
        replica,
    };
    let mut found = resolve(&daemon, identity, &context.layout, &context.reaper)?;
    found.env.extend(env);
    if let Some(fire) = fire {
        let folder = Folder::new(&context.layout, &daemon.name);
        let database = context.layout.database();
        found
            .env
            .extend(fire::environment(&fire, &folder, &database, &dir)?);
    }
    let mut spec = spec_of(key, &daemon, &found, context)?;
    spec.stdin = stdin;
    if let Some(task) = &task {
        if task.interactive {
            pane::wrap(&mut spec, &context.keeper, &dir)?;
        }
        task::check_size(&spec, &task.row.pool)?;
    }
    if tests_by_command(&daemon) {
        let mut known = context
            .surroundings
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        known.insert(key.generation, Arc::new(found));
    }
    start_keeper(context, &dir, &spec)
}

fn start_keeper(
    context: &Context,
    dir: &Path,
    spec: &LaunchSpec,
) -> Result<std::os::unix::net::UnixStream, String> {
    let stderr = context
        .diary
        .file()
        .map_err(|e| format!("cannot open the manager's log: {e}"))?;
    if let Some(spare) = context.spares.take()
        && let Ok(keeper) = spare.commission(dir, spec, &stderr)
    {
        return Ok(keeper.socket);
    }
    let keeper = eud_keeper::spawn_keeper(&context.keeper, dir, spec, stderr)
        .map_err(|e| format!("cannot start {}: {e}", context.keeper.display()))?;
    context.reaper.keeper(keeper.pid);
    Ok(keeper.socket)
}

/// The run's folder must be new: a run is started once.
fn create_folder(dir: &Path) -> std::io::Result<()> {
    let create = || fs::DirBuilder::new().mode(0o700).create(dir);
    match (create(), dir.parent()) {
        (Err(e), Some(parent)) if e.kind() == std::io::ErrorKind::NotFound => {
            crate::files::create_private_dir(parent)?;
            create()
        }
        (created, _) => created,
    }
}

/// Whether any probe of it is a command.
pub(crate) fn tests_by_command(daemon: &Daemon) -> bool {
    let is = |probe: &Probe| matches!(probe, Probe::Exec(_));
    daemon.ready.as_ref().is_some_and(|r| is(&r.probe))
        || daemon.live.as_ref().is_some_and(|l| is(&l.probe))
}

fn check_ports(ports: &[u16]) -> Result<(), String> {
    for port in ports {
        // Where the table cannot be read, the command itself will say that the port is taken.
        let Ok(listeners) = eud_sys::net::listeners(*port) else {
            continue;
        };
        let Some(listener) = listeners.first() else {
            continue;
        };
        let who = match (listener.pids.first(), &listener.program) {
            (Some(pid), Some(program)) => format!("by pid {pid} ({program})"),
            (Some(pid), None) => format!("by pid {pid}"),
            (None, _) => "by a process of another user".to_owned(),
        };
        return Err(format!("port {port} is in use {who}"));
    }
    Ok(())
}

fn spec_of(
    key: &RunKey,
    daemon: &Daemon,
    found: &Surroundings,
    context: &Context,
) -> Result<LaunchSpec, String> {
    let exec = &daemon.exec;
    let mut rlimits: Vec<(String, Limit)> = exec
        .rlimits
        .iter()
        .map(|(name, limit)| {
            (
                name.clone(),
                Limit {
                    soft: limit.soft,
                    hard: limit.hard,
                },
            )
        })
        .collect();
    if let Some(nofile) = context
        .nofile
        .filter(|_| !exec.rlimits.contains_key("nofile"))
    {
        // The manager has raised its own; programs that use select(2) rely on the usual one.
        rlimits.push(("nofile".to_owned(), nofile));
    }
    Ok(LaunchSpec {
        unit: key.unit.clone(),
        run: key.run.clone(),
        generation: key.generation,
        args: exec.argv.iter().map(Into::into).collect(),
        env: found
            .env
            .iter()
            .map(|(k, v)| (k.into(), v.into()))
            .collect(),
        cwd: if exec.cwd.is_empty() {
            "/".into()
        } else {
            exec.cwd.clone().into()
        },
        uid: found.uid,
        gid: found.gid,
        groups: found.groups.clone(),
        umask: exec.umask.or(context.umask),
        nice: exec.nice,
        rlimits,
        stop_signal: Signal::parse(&daemon.stop.signal)
            .ok_or_else(|| format!("there is no signal `{}`", daemon.stop.signal))?,
        grace_ms: daemon.stop.grace_ms,
        stop_args: daemon
            .stop
            .command
            .iter()
            .flatten()
            .map(Into::into)
            .collect(),
        timeout_ms: daemon.timeout_ms,
        log_max_size: daemon.log.max_size,
        log_keep: daemon.log.keep,
        notify: daemon.wants_notify(),
        watchdog_ms: daemon.watchdog_ms(),
        ..LaunchSpec::default()
    })
}
