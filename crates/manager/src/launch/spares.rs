//! Keepers that wait for a run.
//!
//! Invariants: at most [`SPARES`] wait; one is started only when nothing was launched for a while,
//! so that it is in nobody's way; after one could not be started, none is until the next launch.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use eud_keeper::Spare;

use crate::context::Context;
use crate::reaper::Reaper;

/// How many wait. A few daemons that die together come back at once; more share the processors
/// anyway. Each takes as much memory as any keeper.
const SPARES: usize = 2;

/// How long nothing must have been launched before one is started.
const QUIET: Duration = Duration::from_millis(20);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Spares(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    waiting: Vec<Spare>,
    /// Somebody sees to it that there are enough.
    is_refilling: bool,
    /// How many launches there were.
    launches: u64,
}

impl Spares {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One for a run that begins now, if there is one.
    pub(super) fn take(&self) -> Option<Spare> {
        let mut state = self.state();
        state.launches += 1;
        // The one that waited longest: it has surely come as far as it can.
        (!state.waiting.is_empty()).then(|| state.waiting.remove(0))
    }

    /// Whether there is one.
    pub(super) fn any(&self) -> bool {
        !self.state().waiting.is_empty()
    }

    /// Whether whoever asks is to call [`refill`].
    pub(super) fn begins_refill(&self) -> bool {
        let mut state = self.state();
        let is_wanted = state.waiting.len() < SPARES;
        is_wanted && !std::mem::replace(&mut state.is_refilling, true)
    }

    /// Starts one. False when there are enough, or it cannot be started.
    fn add(&self, program: &Path, reaper: &Reaper) -> bool {
        // Not under the lock: a launch that finds none must not wait for this one.
        let started = Spare::start(program);
        let mut state = self.state();
        // Why a keeper cannot be started is told when a run needs one.
        let Ok(spare) = started else {
            return false;
        };
        reaper.keeper(spare.pid);
        state.waiting.push(spare);
        state.waiting.len() < SPARES
    }
}

/// Waits until nothing is launched for a while, and starts what is wanting.
pub(super) async fn refill(context: Arc<Context>) {
    let launches = || context.spares.state().launches;
    let mut seen = launches();
    loop {
        tokio::time::sleep(QUIET).await;
        let now = launches();
        if std::mem::replace(&mut seen, now) == now {
            break;
        }
    }
    let filling = Arc::clone(&context);
    let filled =
        tokio::task::spawn_blocking(
            move || {
                while filling.spares.add(&filling.keeper, &filling.reaper) {}
            },
        );
    // It fails only when the manager is ending.
    let _ = filled.await;
    context.spares.state().is_refilling = false;
}
