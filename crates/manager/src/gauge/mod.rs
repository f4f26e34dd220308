//! Sampling gauges.
//!
//! Purpose: read a number from a source once, and say in words why that cannot be done.
//! Invariants: a sample ends within its time limit, as far as the one who asked is concerned; what
//! cannot be interrupted (a file system that does not answer) goes on in a thread of its own and
//! costs only its gauge, which has at most one such thread; all of them together are at most
//! [`SAMPLES_MAX`]; everything that is read is bounded; nothing that is sampled is changed.
//! Deliberately absent: when to sample, and what a value means.

mod files;
mod machine;
mod number;
mod sqlite;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use eud_core::fleet::{EnvValue, Source};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::launch::{self, Surroundings};
use crate::probe;
use crate::reaper::Reaper;

pub use files::ENTRIES_MAX as GAUGE_ENTRIES_MAX;
pub use number::JSON_BYTES_MAX as GAUGE_JSON_BYTES_MAX;
pub(crate) use number::{at as number_at, first as first_number};

/// Samples that may be under way at the same time; others wait.
pub const SAMPLES_MAX: usize = 64;

/// Samples under way.
#[derive(Debug, Clone)]
pub(crate) struct Sampler {
    places: Arc<Semaphore>,
    /// Gauges whose thread has not come back.
    busy: Arc<Mutex<BTreeSet<String>>>,
}

impl Default for Sampler {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(SAMPLES_MAX)),
            busy: Arc::default(),
        }
    }
}

/// Takes a gauge's name out of those whose thread has not come back.
struct Busy {
    name: String,
    all: Arc<Mutex<BTreeSet<String>>>,
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&self.name);
    }
}

/// Until when a sample may go on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    at: Instant,
    limit: Duration,
}

impl Deadline {
    pub(crate) fn after(limit: Duration) -> Self {
        let at = Instant::now() + limit;
        Self { at, limit }
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.at
    }

    fn left(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    fn words(&self, what: &str) -> String {
        format!("{what} gave no answer within {} ms", self.limit.as_millis())
    }
}

impl Sampler {
    /// Samples once.
    ///
    /// # Errors
    /// In words.
    pub(crate) async fn sample(
        &self,
        reaper: &Reaper,
        gauge: &str,
        source: Source,
        limit: Duration,
    ) -> Result<f64, String> {
        let deadline = Deadline::after(limit);
        match source {
            Source::Command { argv, cwd, env } => {
                let _place = self.place(deadline).await?;
                command(reaper, &argv, cwd, env, deadline).await
            }
            Source::Http { url, pointer } => {
                let _place = self.place(deadline).await?;
                let body = probe::http_body(&url, number::JSON_BYTES_MAX);
                let body = timeout(deadline.left(), body).await;
                let body = body.map_err(|_| deadline.words(&url))??;
                number::at(&body, &pointer).map_err(|why| format!("{url}: {why}"))
            }
            Source::Files { globs, measure } => {
                let what = globs.first().cloned().unwrap_or_default();
                let work = move || files::measure(&globs, measure, deadline);
                self.blocking(gauge, &what, deadline, work).await
            }
            Source::Sqlite { db, query } => {
                let what = db.clone();
                let work = move || sqlite::ask(Path::new(&db), &query, deadline);
                self.blocking(gauge, &what, deadline, work).await
            }
            Source::Machine(machine) => {
                let what = machine::name(&machine);
                let work = move || machine::read(&machine);
                self.blocking(gauge, &what, deadline, work).await
            }
        }
    }

    async fn place(&self, deadline: Deadline) -> Result<tokio::sync::OwnedSemaphorePermit, String> {
        let waiting = timeout(deadline.left(), Arc::clone(&self.places).acquire_owned());
        match waiting.await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(format!("{SAMPLES_MAX} other samples are under way")),
        }
    }

    /// Carries out what may block on a thread that may take as long as it wants.
    async fn blocking(
        &self,
        gauge: &str,
        what: &str,
        deadline: Deadline,
        work: impl FnOnce() -> Result<f64, String> + Send + 'static,
    ) -> Result<f64, String> {
        let is_new = {
            let mut all = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
            all.insert(gauge.to_owned())
        };
        if !is_new {
            return Err(format!("{what} still does not answer"));
        }
        let busy = Busy {
            name: gauge.to_owned(),
            all: Arc::clone(&self.busy),
        };
        let place = self.place(deadline).await?;
        let thread = tokio::task::spawn_blocking(move || {
            let (_busy, _place) = (busy, place);
            work()
        });
        match timeout(deadline.left() + GRACE, thread).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(fault)) => Err(format!("{what}: {fault}")),
            Err(_) => Err(deadline.words(what)),
        }
    }
}

/// How long past its limit work that minds its deadline may take to notice.
const GRACE: Duration = Duration::from_millis(500);

/// The first number on a command's standard output.
async fn command(
    reaper: &Reaper,
    argv: &[String],
    cwd: String,
    env: BTreeMap<String, EnvValue>,
    deadline: Deadline,
) -> Result<f64, String> {
    let reaper = reaper.clone();
    let resolved = tokio::task::spawn_blocking({
        let reaper = reaper.clone();
        move || launch::plain_environment(&env, &reaper)
    });
    let env = resolved.await.map_err(|fault| fault.to_string())??;
    let surroundings = Arc::new(Surroundings {
        env,
        uid: None,
        gid: None,
        groups: Vec::new(),
    });
    let around = probe::Surrounded {
        reaper,
        cwd,
        surroundings,
    };
    let output = probe::output(argv, around, deadline.left()).await?;
    let program = argv.first().map_or("", String::as_str);
    number::first(&output).map_err(|why| format!("{program} {why}"))
}

#[cfg(test)]
mod tests;
