//! The shell around the core.
//!
//! Purpose: everything that touches the world on behalf of a fleet: keepers, probes, the journal,
//! the state directory, signals. One engine thread feeds the core and carries out its effects;
//! everything else is a task that tells the engine what happened.
//! Invariants: intent before effect (an effect is carried out only after what the core persisted
//! with it is on disk); the manager can be killed at any instant and the next one goes on; nothing
//! that a daemon, a keeper, a file or a client says can stop it; every queue, line, file and wait
//! is bounded.
//! Deliberately absent: decisions (they are the core's), any socket for clients (that is
//! `eud-api`'s), terminal output.

mod channels;
mod clock;
mod compressor;
mod context;
mod deliver;
mod diary;
mod effects;
mod engine;
mod error;
mod exit_file;
mod files;
mod fleet_file;
mod follow;
#[doc(hidden)]
pub mod fuzz;
mod gauge;
mod handle;
mod history;
mod keeper_line;
mod launch;
mod layout;
pub mod lines;
mod link;
mod log_follow;
mod log_watch;
mod manager;
mod measure;
mod notify;
mod probe;
mod problems;
mod progress;
mod reaper;
mod recovery;
mod refusal;
mod spec_file;
mod state_dir;
mod state_files;
mod watch;
mod wire;

pub use deliver::{ANSWER_BYTES_MAX, POSTS_EACH_MAX, POSTS_MAX, check_webhook};
pub use diary::{FILE_BYTES_MAX as MANAGER_LOG_BYTES_MAX, FILES_KEPT as MANAGER_LOGS_KEPT};
pub use effects::Observer;
pub use engine::{ASKS_MAX, ExitOutcome, INPUTS_MAX};
pub use error::{CommandError, ManagerError};
pub use eud_store::{DeadFilter, EventFilter, TaskFilter};
pub use follow::{FOLLOW_PAGE_MAX, Follower};
pub use gauge::{GAUGE_ENTRIES_MAX, GAUGE_JSON_BYTES_MAX, SAMPLES_MAX};
pub use handle::{Handle, Info, Request, Shown};
pub use history::RUN_FOLDERS_KEPT;
pub use launch::{
    ARG_BYTES_MAX, ENV_FILE_BYTES_MAX, FIRE_PATHS_MAX, SECRET_BYTES_MAX, SECRET_COMMAND_LIMIT,
};
pub use layout::Layout;
pub use manager::{Manager, Options, SUBSCRIBER_LAG_MAX};
pub use measure::MEASURES_MAX;
pub use progress::PROGRESS_LINE_BYTES_MAX;
pub use watch::{WATCH_BATCH_BYTES_MAX, WATCH_BATCH_PATHS_MAX, WATCH_BATCHES_MAX, WATCH_PATHS_MAX};

/// Time between two heartbeats, in milliseconds. The only thing that wakes an idle manager.
pub const HEARTBEAT_MS: u64 = 10_000;
