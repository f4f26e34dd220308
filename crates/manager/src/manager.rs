//! A manager from its start to its end.
//!
//! Purpose: take the state directory, find out what is, load the fleet, start the engine and what
//! feeds it.
//! Invariants: nothing is started before the fate of every earlier run is known; a fleet file with
//! errors never costs a running daemon its manager.

use std::path::PathBuf;
use std::sync::Arc;

use eud_core::Core;
use eud_core::fleet::{Daemon, Fleet, Unit};
use eud_core::io::{Accepted, Command, Input};
use eud_store::Store;
use eud_sys::rlimit::{self, Limit};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::clock;
use crate::compressor::Compressor;
use crate::context::Context;
use crate::diary::Diary;
use crate::effects::{Hands, Observer};
use crate::engine::{ASKS_MAX, Engine, ExitOutcome, INPUTS_MAX};
use crate::error::{CommandError, ManagerError};
use crate::files;
use crate::fleet_file;
use crate::handle::{Handle, Info};
use crate::history;
use crate::launch::{Launcher, Spares};
use crate::layout::Layout;
use crate::problems::{Problems, Subject};
use crate::reaper::Reaper;
use crate::recovery::{self, Findings};
use crate::state_dir::{self, Taken};
use crate::state_files;

/// Transitions that a subscriber may be behind.
pub const SUBSCRIBER_LAG_MAX: usize = 1_024;

/// How to run a manager.
#[derive(Default)]
pub struct Options {
    /// The state directory, absolute.
    pub state_dir: PathBuf,
    /// The fleet file, absolute.
    pub fleet_path: PathBuf,
    /// Profile to bring up; else the one brought up last, or the fleet's own.
    pub profile: Option<String>,
    /// Runs in the foreground of a terminal.
    pub foreground: bool,
    /// Inherit orphans and collect them, as process 1 must.
    pub as_pid1: bool,
    /// `eud-keeper`; else `EUD_KEEPER`, else beside the running program.
    pub keeper: Option<PathBuf>,
    /// Version of the program, as shown.
    pub version: String,
    /// Told of every transition, on the engine's thread. Must be quick.
    pub observer: Option<Observer>,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("state_dir", &self.state_dir)
            .field("fleet_path", &self.fleet_path)
            .field("profile", &self.profile)
            .field("foreground", &self.foreground)
            .finish_non_exhaustive()
    }
}

/// A running manager.
pub struct Manager {
    handle: Handle,
    ended: oneshot::Receiver<ExitOutcome>,
    tasks: JoinSet<()>,
    diary: Arc<Diary>,
    /// What the first `up` answered.
    up: oneshot::Receiver<Result<Accepted, CommandError>>,
    // Last, so that the directory is free only when everything above is gone.
    _taken: Taken,
}

impl Manager {
    /// Starts one, within a tokio runtime. When it returns, earlier runs have been taken back and
    /// the engine is at work.
    ///
    /// # Errors
    /// When another manager has the state directory, the database cannot be used, or the fleet file
    /// has errors while nothing is running.
    pub async fn start(options: Options) -> Result<Self, ManagerError> {
        let layout = Layout::new(&options.state_dir);
        let keeper = keeper_path(options.keeper.clone())?;
        let taken = state_dir::take(&layout)?;
        let diary = Arc::new(Diary::open(&layout.manager_log())?);
        let problems = Problems::default();
        let mut store = Store::open(&layout.database())?;
        let mut findings = recovery::look(&layout, &store).await?;
        let fleet = choose_fleet(&options, &store, &findings, &problems, &diary).await?;
        let started = clock::now();
        findings.compare(&fleet);
        findings.catch_up(&layout, &fleet);
        store.apply(&findings.assume_wanted(&fleet, started.wall_ms))?;
        note_start(&diary, &options.version, &findings);
        if options.as_pid1 {
            eud_sys::reap::become_subreaper().map_err(system("inherit orphans"))?;
        }
        let (inputs, inputs_out) = mpsc::channel(INPUTS_MAX);
        let (asks, asks_out) = mpsc::channel(ASKS_MAX);
        let (transitions, _) = broadcast::channel(SUBSCRIBER_LAG_MAX);
        let (durable, durable_out) = watch::channel(findings.recovery.bus.last_seq);
        let info = Arc::new(info_of(&options, &layout, started.wall_ms));
        let handle = Handle {
            asks,
            transitions: transitions.clone(),
            info: Arc::clone(&info),
            problems: problems.clone(),
            durable: durable_out,
        };
        let context = Arc::new(context(layout, &diary, inputs, keeper, &problems)?);
        let launcher = Launcher::start(Arc::clone(&context)).map_err(system("start a thread"))?;
        let hands = Hands::new(
            Arc::clone(&context),
            launcher,
            transitions,
            options.observer,
            durable,
        );
        let mut engine = Engine {
            core: Core::new(seed().map_err(system("get random numbers"))?),
            store,
            hands,
            inputs: inputs_out,
            asks: asks_out,
            info,
            problems,
            waiting: None,
            sync_at: None,
            out: Vec::new(),
            fleet: None,
            outcome: ExitOutcome::default(),
        };
        let left = Left::of(&fleet, &mut findings);
        let up = begin(&mut engine, fleet, findings, options.profile);
        let changed = Arc::clone(&engine.hands.changed);
        let mut tasks = JoinSet::new();
        let begun_ms = started.mono_ms;
        spawn_tasks(&mut tasks, &handle, &context, changed, left, begun_ms)?;
        let ended = run_engine(engine).map_err(system("start a thread"))?;
        Ok(Self {
            handle,
            ended,
            tasks,
            diary,
            up,
            _taken: taken,
        })
    }

    /// A way to talk to it.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// What the first bringing up of the profile answered: warnings, and what stays down. May be
    /// asked once.
    ///
    /// # Errors
    /// When the core refused the profile.
    pub async fn brought_up(&mut self) -> Result<Accepted, CommandError> {
        (&mut self.up).await.map_err(|_| CommandError::Ending)?
    }

    /// Waits for its end.
    pub async fn ended(mut self) -> ExitOutcome {
        let crash = |_| ExitOutcome {
            crashed: true,
            kept_daemons: true,
            ..ExitOutcome::default()
        };
        let outcome = (&mut self.ended).await.unwrap_or_else(crash);
        if outcome.crashed {
            self.diary
                .error("the engine failed; please report this. The daemons go on");
        }
        self.diary.note(if outcome.kept_daemons {
            "manager ended; the daemons go on"
        } else {
            "manager ended"
        });
        self.tasks.shutdown().await;
        // A pid that is gone must not be offered to people.
        let _ = std::fs::remove_file(self.handle.info().layout.manager_pid());
        outcome
    }
}

/// Feeds the core its first inputs.
fn begin(
    engine: &mut Engine,
    fleet: Fleet,
    mut findings: Findings,
    profile: Option<String>,
) -> oneshot::Receiver<Result<Accepted, CommandError>> {
    engine.handle(Input::Load {
        fleet: Box::new(fleet.clone()),
        ticket: None,
    });
    let adopted = std::mem::take(&mut findings.adopted);
    let recovered = findings.recovery.profile.clone();
    engine.handle(Input::Recover(Box::new(findings.recovery)));
    for one in adopted {
        engine.hands.adopt(one, &fleet);
    }
    let (answer, up) = oneshot::channel();
    let ticket = engine.hands.ticket(answer);
    let known = |name: &String| fleet.profiles.contains_key(name);
    let profile = profile.or_else(|| recovered.filter(known));
    engine.handle(Input::Command {
        ticket,
        command: Command::Up { profile },
    });
    engine.fleet = Some(Box::new(fleet));
    up
}

fn note_start(diary: &Diary, version: &str, findings: &Findings) {
    diary.note(&format!(
        "manager {version} started, pid {}",
        std::process::id()
    ));
    for note in &findings.notes {
        diary.note(note);
    }
}

fn info_of(options: &Options, layout: &Layout, started_ms: i64) -> Info {
    Info {
        pid: std::process::id(),
        version: options.version.clone(),
        started_at: clock::rfc3339(started_ms),
        layout: layout.clone(),
        fleet_path: options.fleet_path.clone(),
        foreground: options.foreground,
    }
}

fn system(what: &'static str) -> impl Fn(std::io::Error) -> ManagerError {
    move |source| ManagerError::System { what, source }
}

fn context(
    layout: Layout,
    diary: &Arc<Diary>,
    inputs: mpsc::Sender<Input>,
    keeper: PathBuf,
    problems: &Problems,
) -> Result<Context, ManagerError> {
    Ok(Context {
        layout,
        diary: Arc::clone(diary),
        inputs,
        reaper: Reaper::default(),
        compressor: Compressor::start(Arc::clone(diary), problems.clone())
            .map_err(system("start a thread"))?,
        keeper,
        spares: Spares::default(),
        surroundings: Arc::default(),
        post: Arc::default(),
        boot_id: eud_sys::process::boot_id().map_err(system("read the boot id"))?,
        nofile: raise_open_files(),
        umask: own_umask(),
    })
}

/// The engine gets a thread of its own: it may block on the database.
fn run_engine(engine: Engine) -> std::io::Result<oneshot::Receiver<ExitOutcome>> {
    let runtime = tokio::runtime::Handle::current();
    let (tell, ended) = oneshot::channel();
    std::thread::Builder::new()
        .name("engine".into())
        .spawn(move || {
            let outcome = runtime.block_on(engine.run());
            // Whoever waited may have gone.
            let _ = tell.send(outcome);
        })?;
    Ok(ended)
}

fn spawn_tasks(
    tasks: &mut JoinSet<()>,
    handle: &Handle,
    context: &Arc<Context>,
    changed: Arc<tokio::sync::Notify>,
    left: Left,
    started_mono_ms: u64,
) -> Result<(), ManagerError> {
    let reaper = context.reaper.clone();
    let diary = Arc::clone(&context.diary);
    tasks.spawn(async move {
        if let Err(e) = reaper.run().await {
            diary.error(&format!("cannot collect children: {e}"));
        }
    });
    let (inputs, diary) = (context.inputs.clone(), Arc::clone(&context.diary));
    tasks.spawn(async move {
        if let Err(e) = clock::watch_steps(inputs).await {
            // It is noticed at the next heartbeat then.
            diary.note(&format!(
                "the system does not tell when its clock is set: {e}"
            ));
        }
    });
    tasks.spawn(state_files::beat(handle.clone(), started_mono_ms));
    tasks.spawn(state_files::publish(handle.clone(), changed));
    let system = |source| ManagerError::System {
        what: "listen to signals",
        source,
    };
    let terminate = signal(SignalKind::terminate()).map_err(system)?;
    let interrupt = signal(SignalKind::interrupt()).map_err(system)?;
    let hangup = signal(SignalKind::hangup()).map_err(system)?;
    let diary = Arc::clone(&context.diary);
    for stop in [terminate, interrupt] {
        tasks.spawn(shut_down_on(stop, handle.clone(), Arc::clone(&diary)));
    }
    tasks.spawn(reload_on(hangup, handle.clone(), diary));
    // Their default is to end the process. They are caught, not ignored, because what is ignored
    // stays so in the commands of probes.
    for kind in [
        SignalKind::user_defined1(),
        SignalKind::user_defined2(),
        SignalKind::alarm(),
    ] {
        let mut meaningless = signal(kind).map_err(system)?;
        tasks.spawn(async move { while meaningless.recv().await.is_some() {} });
    }
    tasks.spawn(keep_tidy(Arc::clone(context), left, handle.subscribe()));
    Ok(())
}

async fn shut_down_on(mut stop: tokio::signal::unix::Signal, handle: Handle, diary: Arc<Diary>) {
    while stop.recv().await.is_some() {
        diary.note("asked by a signal to shut down");
        while let Err(CommandError::Storage(why)) = handle.shutdown(false).await {
            diary.error(&format!("cannot shut down in good order: {why}"));
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    }
}

async fn reload_on(mut hangup: tokio::signal::unix::Signal, handle: Handle, diary: Arc<Diary>) {
    while hangup.recv().await.is_some() {
        match handle.reload().await {
            Ok(accepted) => diary.note(&format!(
                "reloaded the fleet file: {} added, {} removed, {} restarted",
                accepted.added.len(),
                accepted.removed.len(),
                accepted.restarted.len()
            )),
            Err(CommandError::FleetInvalid { rendered, .. }) => {
                diary.error(&format!(
                    "the fleet file has errors; nothing changed: {rendered}"
                ));
            }
            Err(e) => diary.error(&format!("cannot reload the fleet file: {e}")),
        }
    }
}

/// What earlier managers left to be done.
struct Left {
    /// Units whose rotated logs are to be packed.
    unpacked: Vec<Unit>,
    /// Units of tasks that are not kept any longer.
    forgotten: Vec<Unit>,
}

impl Left {
    fn of(fleet: &Fleet, findings: &mut Findings) -> Self {
        let packs = |daemon: &&Daemon| daemon.log.compress;
        let unpacked = fleet.daemons.values().filter(packs);
        Self {
            unpacked: unpacked.flat_map(Daemon::units).collect(),
            forgotten: std::mem::take(&mut findings.forgotten),
        }
    }
}

/// Removes folders of old runs when a unit has ended, and does what earlier managers left to be
/// done.
async fn keep_tidy(
    context: Arc<Context>,
    left: Left,
    mut transitions: broadcast::Receiver<eud_core::view::Transition>,
) {
    let at_start = Arc::clone(&context);
    let all = tokio::task::spawn_blocking(move || {
        for unit in left.forgotten {
            // It is tried again by the next manager.
            let _ = files::remove_tree(&at_start.layout.unit(&unit));
        }
        history::prune_all(&at_start.layout)
    });
    // Folders that stay a little longer harm nobody.
    let _ = all.await;
    for unit in left.unpacked {
        context.compressor.compress_all(&context.layout.logs(&unit));
    }
    loop {
        match transitions.recv().await {
            Ok(transition) if !transition.to.may_be_alive() => {
                let context = Arc::clone(&context);
                let prune = move || history::prune(&context.layout, &transition.unit);
                let _ = tokio::task::spawn_blocking(prune).await;
            }
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

/// The fleet file; or, while something is running that needs care, the last good fleet.
async fn choose_fleet(
    options: &Options,
    store: &Store,
    findings: &Findings,
    problems: &Problems,
    diary: &Diary,
) -> Result<Fleet, ManagerError> {
    let path = options.fleet_path.clone();
    let loaded = tokio::task::spawn_blocking(move || fleet_file::load(&path)).await;
    let invalid = match loaded {
        Ok(Ok(loaded)) => {
            for warning in &loaded.warnings {
                diary.note(warning);
            }
            return Ok(loaded.fleet);
        }
        Ok(Err(invalid)) => invalid,
        Err(e) => fleet_file::Invalid::fault(&e.to_string()),
    };
    let last = if findings.any_alive() {
        store.last_fleet()?
    } else {
        None
    };
    let Some(fleet) = last else {
        let fleet_file::Invalid {
            diagnostics,
            rendered,
        } = invalid;
        return Err(ManagerError::FleetInvalid {
            diagnostics,
            rendered,
        });
    };
    let text = format!(
        "{} has errors; the fleet as last loaded goes on. See `eud check`",
        options.fleet_path.display()
    );
    diary.error(&format!("{text}: {}", invalid.rendered));
    problems.set(Subject::Fleet, text);
    Ok(fleet)
}

fn keeper_path(given: Option<PathBuf>) -> Result<PathBuf, ManagerError> {
    let path = match given.or_else(|| std::env::var_os("EUD_KEEPER").map(PathBuf::from)) {
        Some(path) => path,
        None => std::env::current_exe()
            .map_err(|source| ManagerError::System {
                what: "find the running program",
                source,
            })?
            .with_file_name("eud-keeper"),
    };
    let path = std::path::absolute(&path).unwrap_or(path);
    if path.is_file() {
        Ok(path)
    } else {
        Err(ManagerError::NoKeeper { path })
    }
}

/// Each live keeper takes a descriptor. Gives the limit as it was, when it was raised.
fn raise_open_files() -> Option<Limit> {
    let before = rlimit::get("nofile").ok()?;
    let wanted = Limit {
        soft: before.hard,
        hard: before.hard,
    };
    (wanted != before && rlimit::set("nofile", wanted).is_ok()).then_some(before)
}

/// The mask this process was started with. Read, because setting it is the only other way to learn
/// it, and other threads would see that.
fn own_umask() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("Umask:"))?;
    u32::from_str_radix(line.trim(), 8).ok()
}

fn seed() -> std::io::Result<u64> {
    Ok(u64::from_ne_bytes(eud_sys::random::bytes::<8>()?))
}
