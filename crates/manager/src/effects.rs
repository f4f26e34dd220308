//! Carrying out what the core wants.
//!
//! Purpose: from an effect to a launch, a line to a keeper, a test, an answer.
//! Invariants: nothing here waits; every effect on a run carries its generation and is dropped when
//! the run is another one by now; persisting has happened before.

mod task;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use eud_core::Core;
use eud_core::event::Seq;
use eud_core::fleet::{Daemon, Fleet, Guard, Probe, Source, Unit, daemon_of, task_of};
use eud_core::happened::Happened;
use eud_core::io::{Accepted, Command, Effect, Input, Persist, Reply, RunEvent, Ticket, Which};
use eud_core::record::{Fire, Generation, RunId};
use eud_core::view::Transition;
use eud_store::Store;
use eud_sys::signal::Signal;
use tokio::sync::{Notify, broadcast, mpsc, oneshot, watch};

use crate::channels;
use crate::context::Context;
use crate::deliver;
use crate::error::CommandError;
use crate::exit_file::RunKey;
use crate::gauge::Sampler;
use crate::launch::{self, Job, Launcher, Plan, Surroundings};
use crate::link::{self, Link, REQUESTS_MAX};
use crate::measure::{self, Measurer};
use crate::probe;
use crate::recovery::Adopted;
use crate::watch::Watches;
use crate::wire::Asked;

/// Told of every transition, on the engine's thread. Must be quick.
pub type Observer = Box<dyn FnMut(&Transition) + Send>;

type Answer = oneshot::Sender<Result<Accepted, CommandError>>;

/// The present run of a unit.
#[derive(Debug)]
struct Run {
    generation: Generation,
    requests: mpsc::Sender<link::Request>,
    /// What it was started with; unknown when an adopted run's `spec.json` cannot be read.
    daemon: Option<Arc<Daemon>>,
    /// Its identity, and what its guards have seen of it.
    run: RunId,
    measured: Arc<measure::Memory>,
}

/// The hands of the engine.
pub(crate) struct Hands {
    pub(crate) context: Arc<Context>,
    pub(crate) launcher: Launcher,
    pub(crate) transitions: broadcast::Sender<Transition>,
    pub(crate) observer: Option<Observer>,
    /// Wakes whoever writes `state.json`.
    pub(crate) changed: Arc<Notify>,
    runtime: tokio::runtime::Handle,
    /// How many runs the present batch starts.
    pub(crate) launches: usize,
    /// The newest event that was recorded, and the newest that is surely on the disk.
    newest: Seq,
    durable: watch::Sender<Seq>,
    watches: Watches,
    sampler: Sampler,
    measurer: Measurer,
    runs: BTreeMap<Unit, Run>,
    answers: BTreeMap<Ticket, Answer>,
    next_ticket: Ticket,
}

impl Hands {
    pub(crate) fn new(
        context: Arc<Context>,
        launcher: Launcher,
        transitions: broadcast::Sender<Transition>,
        observer: Option<Observer>,
        durable: watch::Sender<Seq>,
    ) -> Self {
        let newest = *durable.borrow();
        let watches = Watches::new(
            context.layout.clone(),
            context.inputs.clone(),
            Arc::clone(&context.diary),
        );
        Self {
            watches,
            context,
            launcher,
            transitions,
            observer,
            changed: Arc::new(Notify::new()),
            runtime: tokio::runtime::Handle::current(),
            launches: 0,
            newest,
            durable,
            sampler: Sampler::default(),
            measurer: Measurer::default(),
            runs: BTreeMap::new(),
            answers: BTreeMap::new(),
            next_ticket: 1,
        }
    }

    /// A ticket for someone who waits.
    pub(crate) fn ticket(&mut self, answer: Answer) -> Ticket {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.answers.insert(ticket, answer);
        ticket
    }

    /// Tells everyone who waits that it cannot be recorded.
    pub(crate) fn fail_answers(&mut self, why: &str) {
        for (_, answer) in std::mem::take(&mut self.answers) {
            // Whoever asked may have gone.
            let _ = answer.send(Err(CommandError::Storage(why.to_owned())));
        }
    }

    /// Goes on with a run of an earlier manager.
    pub(crate) fn adopt(&mut self, adopted: Adopted, fleet: &Fleet) {
        let (sender, requests) = mpsc::channel(REQUESTS_MAX);
        let key = adopted.key;
        let daemon = adopted.daemon.map(Arc::new);
        let run = Run {
            generation: key.generation,
            requests: sender,
            daemon,
            run: key.run.clone(),
            measured: Arc::default(),
        };
        self.runs.insert(key.unit.clone(), run);
        let template = match task_of(&key.unit) {
            Some((pool, _)) => fleet.pools.get(pool).map(|pool| &pool.template),
            None => fleet.daemons.get(daemon_of(&key.unit)),
        };
        let compress = template.is_some_and(|daemon| daemon.log.compress);
        let progress = task::progress_of(fleet, &key.unit);
        let mut link = Link::new(Arc::clone(&self.context), key, requests, compress, None);
        if let Some(from) = progress {
            link.watch_progress(from);
        }
        self.runtime.spawn(link.follow(adopted.line, adopted.hello));
    }

    /// Everything recorded is on the disk: those who follow events may see them.
    pub(crate) fn tell_followers(&self) {
        let newest = self.newest;
        self.durable
            .send_if_modified(|told| std::mem::replace(told, newest) != newest);
    }

    /// What the present run of a unit was started with.
    pub(crate) fn launched(&self, unit: &str) -> Option<&Arc<Daemon>> {
        self.runs.get(unit)?.daemon.as_ref()
    }

    /// Takes note of an input before the core does.
    pub(crate) fn before(&mut self, input: &Input) {
        if let Input::Command {
            command: Command::Shutdown { .. },
            ..
        } = input
        {
            self.watches.hush();
        }
        let Input::Run {
            unit,
            generation,
            event: RunEvent::Ended(_),
        } = input
        else {
            return;
        };
        if self
            .runs
            .get(unit)
            .is_some_and(|run| run.generation == *generation)
        {
            self.runs.remove(unit);
        }
        self.context
            .surroundings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(generation);
    }

    /// Carries out one effect. True when the manager shall exit.
    pub(crate) fn perform(&mut self, core: &Core, store: &Store, effect: Effect) -> bool {
        match effect {
            Effect::Persist(Persist::Book(book)) => self.watches.taken(&book),
            // Done already.
            Effect::Persist(_) => {}
            Effect::Launch {
                unit,
                generation,
                run,
                replica,
                fire,
            } => {
                let key = RunKey {
                    unit,
                    run,
                    generation,
                };
                self.launch(core, store, key, replica, fire);
            }
            Effect::Stop { unit, generation } => {
                self.ask(&unit, generation, link::Request::Ask(Asked::Stop));
            }
            Effect::KillKeeper { unit, generation } => {
                self.ask(&unit, generation, link::Request::KillKeeper);
            }
            Effect::Signal {
                unit,
                generation,
                signal,
            } => {
                self.ask(&unit, generation, link::Request::Ask(Asked::Signal(signal)));
            }
            Effect::WatchLog {
                unit,
                generation,
                pattern,
            } => {
                self.ask(&unit, generation, link::Request::WatchLog(pattern));
            }
            Effect::Probe {
                unit,
                generation,
                which,
                probe,
                timeout_ms,
            } => {
                let limit = Duration::from_millis(timeout_ms);
                self.probe(core, unit, generation, which, probe, limit);
            }
            Effect::Watch {
                daemon,
                watch,
                keep,
            } => self.watches.watch(&daemon, watch, keep),
            Effect::DropBatches { daemon, batches } => {
                self.watches.drop_batches(&daemon, batches);
            }
            Effect::Sample { .. } | Effect::Measure { .. } => self.observe(core, effect),
            Effect::Stored(event) => self.newest = event.seq,
            Effect::Task(effect) => self.task_effect(effect),
            Effect::Channel(effect) => channels::perform(&self.context, &self.runtime, effect),
            Effect::Bus(effect) => deliver::perform(&self.context, &self.runtime, store, effect),
            Effect::Happened(happened) => self.happened(&happened),
            Effect::Reply { ticket, reply } => self.reply(ticket, reply),
            Effect::Transition(transition) => self.transition(transition),
            Effect::Exit => return true,
        }
        false
    }

    fn launch(
        &mut self,
        core: &Core,
        store: &Store,
        key: RunKey,
        replica: u32,
        fire: Option<Fire>,
    ) {
        let Some(daemon) = core.daemon(&key.unit).cloned() else {
            self.context
                .diary
                .error(&format!("{}: asked to start, but not declared", key.unit));
            return;
        };
        let (sender, requests) = mpsc::channel(REQUESTS_MAX);
        let started_with = Some(Arc::clone(&daemon));
        let run = Run {
            generation: key.generation,
            requests: sender,
            daemon: started_with,
            run: key.run.clone(),
            measured: Arc::default(),
        };
        self.runs.insert(key.unit.clone(), run);
        let job = Job {
            progress: task::progress_of(core.fleet(), &key.unit),
            plan: Plan {
                replica,
                fleet: core.fleet().name.clone(),
                daemon,
                fire,
                task: task::task_of_launch(core.fleet(), store, &key.unit),
            },
            key,
            requests,
        };
        if self.launches == 1 {
            self.launcher.launch_alone(job);
        } else {
            self.launcher.launch(job);
        }
    }

    fn ask(&self, unit: &str, generation: Generation, request: link::Request) {
        let Some(run) = self
            .runs
            .get(unit)
            .filter(|run| run.generation == generation)
        else {
            return;
        };
        if run.requests.try_send(request).is_err() {
            // Its task is done and the end on its way, or 64 requests wait for a keeper that does
            // not answer.
            self.context
                .diary
                .error(&format!("{unit}: its keeper takes no more requests"));
        }
    }

    /// Looks at the world for the core.
    fn observe(&self, core: &Core, effect: Effect) {
        match effect {
            Effect::Sample {
                gauge,
                number,
                source,
                timeout_ms,
            } => self.sample(gauge, number, source, Duration::from_millis(timeout_ms)),
            Effect::Measure {
                unit,
                generation,
                guards,
            } => self.measure(core, unit, generation, guards),
            _ => {}
        }
    }

    fn sample(&self, gauge: String, number: u64, source: Source, limit: Duration) {
        let (sampler, context) = (self.sampler.clone(), Arc::clone(&self.context));
        self.runtime.spawn(async move {
            let outcome = sampler.sample(&context.reaper, &gauge, source, limit).await;
            let answer = Input::Sampled {
                gauge,
                number,
                outcome,
            };
            // The engine is gone only when the manager is ending.
            let _ = context.inputs.send(answer).await;
        });
    }

    fn measure(&self, core: &Core, unit: Unit, generation: Generation, guards: Vec<Guard>) {
        let run = self
            .runs
            .get(&unit)
            .filter(|run| run.generation == generation);
        let Some(run) = run else { return };
        let (measurer, context) = (self.measurer.clone(), Arc::clone(&self.context));
        let subject = measure::Subject {
            layout: context.layout.clone(),
            key: RunKey {
                unit: unit.clone(),
                run: run.run.clone(),
                generation,
            },
            boot_id: context.boot_id.clone(),
            age_ms: core.uptime_ms(&unit, crate::clock::now()).unwrap_or(0),
            memory: Arc::clone(&run.measured),
        };
        self.runtime.spawn(async move {
            let usage = measurer.measure(subject, guards).await;
            let answer = Input::Measured {
                unit,
                generation,
                usage,
            };
            // As above.
            let _ = context.inputs.send(answer).await;
        });
    }

    fn reply(&mut self, ticket: Ticket, reply: Reply) {
        let Some(answer) = self.answers.remove(&ticket) else {
            return;
        };
        let result = match reply {
            Reply::Accepted(accepted) => Ok(accepted),
            Reply::Refused(refusal) => {
                let message = crate::refusal::words(&refusal);
                Err(CommandError::Refused { refusal, message })
            }
        };
        // Whoever asked may have gone.
        let _ = answer.send(result);
    }

    fn happened(&mut self, happened: &Happened) {
        self.context.diary.happened(happened);
        self.changed.notify_one();
    }

    fn transition(&mut self, transition: Transition) {
        self.context.diary.transition(&transition);
        if let Some(observer) = &mut self.observer {
            observer(&transition);
        }
        // Without subscribers there is nobody to tell.
        let _ = self.transitions.send(transition);
        self.changed.notify_one();
    }

    fn probe(
        &self,
        core: &Core,
        unit: Unit,
        generation: Generation,
        which: Which,
        probe: Probe,
        limit: Duration,
    ) {
        let context = Arc::clone(&self.context);
        let daemon = self.launched(&unit).or_else(|| core.daemon(&unit)).cloned();
        let daemon = daemon.filter(|_| matches!(probe, Probe::Exec(_)));
        let fleet = core.fleet().name.clone();
        let run = core
            .view(&unit, crate::clock::now())
            .and_then(|view| view.run)
            .unwrap_or_default();
        self.runtime.spawn(async move {
            let outcome = match surrounded(&context, daemon, fleet, &unit, run, generation).await {
                Ok(exec) => probe::test(&probe, limit, exec).await,
                Err(why) => Err(why),
            };
            let answer = Input::Probed {
                unit,
                generation,
                which,
                outcome,
            };
            // The engine is gone only when the manager is ending.
            let _ = context.inputs.send(answer).await;
        });
    }
}

/// Where a testing command runs: as the daemon does. Resolved anew for an adopted run, once.
async fn surrounded(
    context: &Arc<Context>,
    daemon: Option<Arc<Daemon>>,
    fleet: String,
    unit: &str,
    run: String,
    generation: Generation,
) -> Result<Option<probe::Surrounded>, String> {
    let Some(daemon) = daemon else {
        return Ok(None);
    };
    let cached: Option<Arc<Surroundings>> = {
        let known = context
            .surroundings
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        known.get(&generation).cloned()
    };
    let surroundings = match cached {
        Some(found) => found,
        None => {
            let (context, daemon, unit) =
                (Arc::clone(context), Arc::clone(&daemon), unit.to_owned());
            let replica = unit
                .strip_prefix(daemon_of(&unit))
                .and_then(|r| r.strip_prefix('@'));
            let replica = replica.and_then(|n| n.parse().ok()).unwrap_or(0);
            let resolved = tokio::task::spawn_blocking(move || {
                let identity = launch::Identity {
                    fleet: &fleet,
                    unit: &unit,
                    run: &run,
                    replica,
                };
                let found = launch::resolve(&daemon, identity, &context.layout, &context.reaper)?;
                let found = Arc::new(found);
                let mut known = context
                    .surroundings
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                known.insert(generation, Arc::clone(&found));
                Ok::<_, String>(found)
            });
            resolved.await.map_err(|e| e.to_string())??
        }
    };
    let (reaper, cwd) = (context.reaper.clone(), daemon.exec.cwd.clone());
    Ok(Some(probe::Surrounded {
        reaper,
        cwd,
        surroundings,
    }))
}

/// A signal's name as the keeper wants it.
///
/// # Errors
/// [`CommandError::Invalid`] when there is no such signal.
pub(crate) fn signal_name(text: &str) -> Result<String, CommandError> {
    let signal = Signal::parse(text)
        .ok_or_else(|| CommandError::Invalid(format!("there is no signal `{text}`")))?;
    let name = signal.to_string();
    Ok(name.strip_prefix("SIG").unwrap_or(&name).to_owned())
}
