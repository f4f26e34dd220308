//! How other parts of the program talk to a running manager.
//!
//! Purpose: requests and answers of the engine, for the control socket and whatever comes after it.
//! Invariants: a handle never blocks the engine; a request the engine cannot take any more ends
//! with [`CommandError::Ending`]; an acknowledged command is durable.

use std::path::PathBuf;
use std::sync::Arc;

use eud_core::event::{Event, NewEvent, Seq};
use eud_core::fleet::{Daemon, Fleet, Unit};
use eud_core::io::{Accepted, BusCommand, ChannelCommand, Refusal, RuleCommand, TaskCommand};
use eud_core::record::{ApprovalRow, DeadLetterRow, RunId, RunRow, TaskId, TaskRow, TaskSpec};
use eud_core::view::{
    BusView, ChannelView, DaemonView, Explanation, MessageView, PoolView, RuleTrial, RuleView,
    Status, Transition,
};
use eud_store::{DeadFilter, EventFilter, Reader, Store, TaskFilter};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::error::CommandError;
use crate::fleet_file;
use crate::follow::Follower;
use crate::layout::Layout;
use crate::problems::{Problems, Subject};

/// Runs shown by [`Handle::show`].
const RUNS_SHOWN: u32 = 5;

/// What a person or a program wants, with selectors instead of units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Start the profile and what it needs.
    Up {
        /// Profile; the fleet's own when absent.
        profile: Option<String>,
    },
    /// Start by hand.
    Start(Vec<String>),
    /// Stop by hand.
    Stop(Vec<String>),
    /// Stop and start.
    Restart(Vec<String>),
    /// Send a signal; its name with or without `SIG`.
    Signal(Vec<String>, String),
    /// Stop and refuse to start.
    Hold(Vec<String>, String),
    /// End a hold, or the pause of a job.
    Release(Vec<String>),
    /// Fire jobs now.
    Trigger(Vec<String>),
    /// Publish events, all or none.
    Emit(Vec<NewEvent>),
    /// Something about tasks.
    Task(TaskCommand),
    /// Something about subscriptions and dead letters.
    Bus(BusCommand),
    /// Something about rules and approvals.
    Rule(RuleCommand),
    /// Something about channels and their messages.
    Channel(ChannelCommand),
    /// End the manager.
    Shutdown {
        /// Leave the daemons running under their keepers.
        keep_daemons: bool,
    },
}

/// Facts about the manager that do not change while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Process id.
    pub pid: u32,
    /// Version of the program.
    pub version: String,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// Where everything is.
    pub layout: Layout,
    /// The fleet file, absolute.
    pub fleet_path: PathBuf,
    /// Runs in the foreground.
    pub foreground: bool,
}

/// Answer to [`Handle::show`].
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// What it is.
    pub view: DaemonView,
    /// What the fleet file says.
    pub daemon: Daemon,
    /// What the run in progress was started with, when that differs.
    pub launched: Option<Daemon>,
    /// Run in progress or last run.
    pub run: Option<RunId>,
    /// Last runs, newest first.
    pub runs: Vec<RunRow>,
}

/// What the engine answers besides the core's inputs.
#[derive(Debug)]
pub(crate) enum Ask {
    Command(Request, oneshot::Sender<Result<Accepted, CommandError>>),
    Load(Box<Fleet>, oneshot::Sender<Result<Accepted, CommandError>>),
    Status(oneshot::Sender<Status>),
    Show(String, u32, oneshot::Sender<Result<Shown, CommandError>>),
    Why(String, oneshot::Sender<Result<Explanation, CommandError>>),
    Runs(
        String,
        u32,
        oneshot::Sender<Result<Vec<RunRow>, CommandError>>,
    ),
    Pools(oneshot::Sender<Vec<PoolView>>),
    Bus(oneshot::Sender<BusView>),
    Rules(oneshot::Sender<Vec<RuleView>>),
    TryRule(String, Box<Event>, oneshot::Sender<Option<RuleTrial>>),
    Approvals(oneshot::Sender<Vec<ApprovalRow>>),
    Channels(oneshot::Sender<Vec<ChannelView>>),
    Messages(oneshot::Sender<Vec<MessageView>>),
    Tasks(
        TaskFilter,
        oneshot::Sender<Result<Vec<TaskRow>, CommandError>>,
    ),
    Task(
        TaskId,
        oneshot::Sender<Result<(TaskRow, TaskSpec), CommandError>>,
    ),
}

/// Cloneable way to a running manager.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(crate) asks: mpsc::Sender<Ask>,
    pub(crate) transitions: broadcast::Sender<Transition>,
    pub(crate) info: Arc<Info>,
    pub(crate) problems: Problems,
    pub(crate) durable: watch::Receiver<Seq>,
}

impl Handle {
    /// Carries out a command. Durable when it returns `Ok`; the work goes on afterwards.
    ///
    /// # Errors
    /// When a selector is unknown, the core refuses, or it cannot be recorded.
    pub async fn command(&self, request: Request) -> Result<Accepted, CommandError> {
        self.ask(|reply| Ask::Command(request, reply)).await?
    }

    /// Ends the manager. With `keep_daemons` the daemons go on under their keepers and the next
    /// manager takes them back with their process ids unchanged.
    ///
    /// # Errors
    /// As [`Handle::command`].
    pub async fn shutdown(&self, keep_daemons: bool) -> Result<Accepted, CommandError> {
        self.command(Request::Shutdown { keep_daemons }).await
    }

    /// Reads the fleet file anew.
    ///
    /// # Errors
    /// [`CommandError::FleetInvalid`] when the file has errors; then nothing changes.
    pub async fn reload(&self) -> Result<Accepted, CommandError> {
        let path = self.info.fleet_path.clone();
        let loaded = tokio::task::spawn_blocking(move || fleet_file::load(&path)).await;
        let loaded = loaded.map_err(|_| CommandError::Ending)?;
        let loaded = loaded.map_err(|invalid| CommandError::FleetInvalid {
            diagnostics: invalid.diagnostics,
            rendered: invalid.rendered,
        })?;
        // A file that is being rewritten is empty for a moment. Whoever wants nothing to run says
        // so with `eud down`.
        if loaded.fleet.daemons.is_empty() && loaded.fleet.pools.is_empty() {
            return Err(CommandError::FleetInvalid {
                diagnostics: serde_json::Value::Array(Vec::new()),
                rendered: format!(
                    "{} declares no daemon; nothing was changed. To stop everything: eud down",
                    self.info.fleet_path.display()
                ),
            });
        }
        let mut accepted = self
            .ask(|reply| Ask::Load(Box::new(loaded.fleet), reply))
            .await??;
        accepted.warnings.extend(loaded.warnings);
        self.problems.clear(Subject::Fleet);
        Ok(accepted)
    }

    /// The whole status.
    ///
    /// # Errors
    /// [`CommandError::Ending`] only.
    pub async fn status(&self) -> Result<Status, CommandError> {
        self.ask(Ask::Status).await
    }

    /// Everything about one unit.
    ///
    /// # Errors
    /// When the name means no unit, or several.
    pub async fn show(&self, name: &str) -> Result<Shown, CommandError> {
        self.ask(|reply| Ask::Show(name.into(), RUNS_SHOWN, reply))
            .await?
    }

    /// Why a unit is what it is.
    ///
    /// # Errors
    /// As [`Handle::show`].
    pub async fn why(&self, name: &str) -> Result<Explanation, CommandError> {
        self.ask(|reply| Ask::Why(name.into(), reply)).await?
    }

    /// Runs of a unit, newest first.
    ///
    /// # Errors
    /// As [`Handle::show`], and when the journal cannot be read.
    pub async fn runs(&self, name: &str, limit: u32) -> Result<Vec<RunRow>, CommandError> {
        self.ask(|reply| Ask::Runs(name.into(), limit, reply))
            .await?
    }

    /// Pools and their queues.
    ///
    /// # Errors
    /// [`CommandError::Ending`] only.
    pub async fn pools(&self) -> Result<Vec<PoolView>, CommandError> {
        self.ask(Ask::Pools).await
    }

    /// Tasks that match, newest first.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn tasks(&self, filter: TaskFilter) -> Result<Vec<TaskRow>, CommandError> {
        self.ask(|reply| Ask::Tasks(filter, reply)).await?
    }

    /// A task, and what it is to do.
    ///
    /// # Errors
    /// As [`Handle::tasks`], and when it is not kept.
    pub async fn task(&self, id: TaskId) -> Result<(TaskRow, TaskSpec), CommandError> {
        self.ask(|reply| Ask::Task(id, reply)).await?
    }

    /// Subscriptions and how far they are.
    ///
    /// # Errors
    /// [`CommandError::Ending`] only.
    pub async fn bus(&self) -> Result<BusView, CommandError> {
        self.ask(Ask::Bus).await
    }

    /// Rules, in the order of the fleet file.
    ///
    /// # Errors
    /// [`CommandError::Ending`] only.
    pub async fn rules(&self) -> Result<Vec<RuleView>, CommandError> {
        self.ask(Ask::Rules).await
    }

    /// What a rule would do about an event, if it came now. Nothing is changed.
    ///
    /// # Errors
    /// When there is no such rule.
    pub async fn try_rule(&self, name: &str, event: Event) -> Result<RuleTrial, CommandError> {
        let event = Box::new(event);
        let asked = |reply| Ask::TryRule(name.to_owned(), event, reply);
        self.ask(asked).await?.ok_or_else(|| {
            let refusal = Refusal::Unknown {
                what: "rule".to_owned(),
                name: name.to_owned(),
            };
            let message = crate::refusal::words(&refusal);
            CommandError::Refused { refusal, message }
        })
    }

    /// Requests for approval that are kept, oldest first: those that wait, and the last ones that
    /// were decided.
    ///
    /// # Errors
    /// [`CommandError::Ending`] only.
    pub async fn approvals(&self) -> Result<Vec<ApprovalRow>, CommandError> {
        self.ask(Ask::Approvals).await
    }

    /// Channels and what waits for them.
    ///
    /// # Errors
    /// [`CommandError::Ending`] only.
    pub async fn channels(&self) -> Result<Vec<ChannelView>, CommandError> {
        self.ask(Ask::Channels).await
    }

    /// Messages that are not sent, oldest first.
    ///
    /// # Errors
    /// [`CommandError::Ending`] only.
    pub async fn messages(&self) -> Result<Vec<MessageView>, CommandError> {
        self.ask(Ask::Messages).await
    }

    /// Dead letters that match, newest first.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn dead_letters(
        &self,
        filter: DeadFilter,
    ) -> Result<Vec<DeadLetterRow>, CommandError> {
        self.read(move |journal| journal.dead_letters_of(&filter))
            .await
    }

    /// A dead letter, and its event if it is kept.
    ///
    /// # Errors
    /// As [`Handle::dead_letters`], and when there is none of this number.
    pub async fn dead_letter(
        &self,
        id: u64,
    ) -> Result<(DeadLetterRow, Option<Arc<Event>>), CommandError> {
        let found = self.read(move |journal| {
            let dead = journal.dead_letter(id)?;
            let event = match &dead {
                Some(dead) => journal.event(dead.delivery.seq)?,
                None => None,
            };
            Ok(dead.map(|dead| (dead, event)))
        });
        found.await?.ok_or_else(|| {
            let refusal = Refusal::Unknown {
                what: "dead letter".to_owned(),
                name: id.to_string(),
            };
            let message = crate::refusal::words(&refusal);
            CommandError::Refused { refusal, message }
        })
    }

    /// Reads the journal with a connection of its own, so that the engine is not kept.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> eud_store::Result<T> + Send + 'static,
    ) -> Result<T, CommandError> {
        let path = self.info.layout.database();
        let reading = tokio::task::spawn_blocking(move || {
            let reader = Store::open_read_only(&path)?;
            read(&reader)
        });
        let read = reading.await.map_err(|_| CommandError::Ending)?;
        read.map_err(|error| CommandError::Storage(error.to_string()))
    }

    /// Every transition from now on. A receiver that falls behind is told how many it missed.
    pub fn subscribe(&self) -> broadcast::Receiver<Transition> {
        self.transitions.subscribe()
    }

    /// Tells of events as they reach the disk, from the one after `after` on, or from now on.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn follow(
        &self,
        filter: EventFilter,
        after: Option<Seq>,
    ) -> Result<Follower, CommandError> {
        Follower::new(&self.info.layout, self.durable.clone(), filter, after)
    }

    /// What does not change.
    pub fn info(&self) -> &Info {
        &self.info
    }

    async fn ask<T>(
        &self,
        make: impl FnOnce(oneshot::Sender<T>) -> Ask,
    ) -> Result<T, CommandError> {
        let (reply, answer) = oneshot::channel();
        self.asks
            .send(make(reply))
            .await
            .map_err(|_| CommandError::Ending)?;
        answer.await.map_err(|_| CommandError::Ending)
    }
}

/// The one unit a name means.
pub(crate) fn one_unit(fleet: &Fleet, name: &str) -> Result<Unit, CommandError> {
    let mut units =
        eud_core::select::units(fleet, &[name.to_owned()]).map_err(CommandError::Selector)?;
    match units.len() {
        1 => Ok(units.remove(0)),
        count => Err(CommandError::NotOne {
            name: name.into(),
            count,
            example: units.into_iter().next(),
        }),
    }
}
