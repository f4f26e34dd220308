//! The serving half of the control socket.
//!
//! Purpose: answer whoever may ask, on `eud.sock` in the state directory.
//! Invariants: the socket has mode 0600 and only its owner's and root's processes are answered; a
//! socket file left behind is replaced only by the manager that holds `manager.lock`; no line can
//! stop the server; every request is answered once, in order, with its id as it came; at most
//! [`CONNECTIONS_MAX`] connections, lines of [`crate::protocol::LINE_BYTES_MAX`] bytes and batches
//! of [`BATCH_MAX`] calls; a client that does not read is dropped after [`WRITE_LIMIT_MS`]. Idle
//! connections are welcome.
//! Deliberately absent: decisions, and any knowledge of files but the socket.

mod bus;
mod channels;
mod connection;
mod events;
#[doc(hidden)]
pub mod fuzz;
mod methods;
mod rpc;
mod rules;
mod tasks;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use eud_manager::{ExitOutcome, Handle, Manager, ManagerError, Options};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Connections at one time. A further one is told so and closed.
pub const CONNECTIONS_MAX: usize = 256;

/// Calls in one batch. A larger one is an invalid request.
pub const BATCH_MAX: usize = 100;

/// How long a client may take to read what it asked for, in milliseconds.
pub const WRITE_LIMIT_MS: u64 = 10_000;

/// How long connections may take to get their last answers when the manager ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// Threads for tasks; the engine has its own.
const WORKER_THREADS: usize = 2;

/// Most threads that read files, resolve secrets and the like.
const BLOCKING_THREADS_MAX: usize = 64;

/// Why a manager with its socket cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The manager.
    #[error(transparent)]
    Manager(#[from] ManagerError),
    /// The socket.
    #[error("cannot listen on {}: {source}; check that nothing but a socket is there", path.display())]
    Listen {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Threads.
    #[error("cannot start threads: {source}")]
    Runtime {
        /// Why.
        source: io::Error,
    },
}

/// Runs a manager with its socket, to its end. Blocks.
///
/// # Errors
/// When it cannot start; once it runs, it ends only when asked.
pub fn run(options: Options) -> Result<ExitOutcome, ServerError> {
    run_then(options, |_| ())
}

/// As [`run`], and calls `ready` once the socket answers.
///
/// # Errors
/// As [`run`].
pub fn run_then(options: Options, ready: impl FnOnce(&Handle)) -> Result<ExitOutcome, ServerError> {
    eud_sys::heap::share_one();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .enable_all()
        .build()
        .map_err(|source| ServerError::Runtime { source })?;
    let outcome = runtime.block_on(async {
        let manager = Manager::start(options).await?;
        let server = Server::bind(&manager)?;
        ready(&manager.handle());
        let outcome = manager.ended().await;
        server.farewell().await;
        Ok(outcome)
    });
    // A secret's command or a slow disk must not keep an ended manager.
    runtime.shutdown_background();
    outcome
}

/// A listening socket and its connections.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    ending: watch::Sender<bool>,
    accepting: tokio::task::JoinHandle<JoinSet<()>>,
}

impl Server {
    /// Listens. That a manager is given proves that its state directory's lock is held.
    ///
    /// # Errors
    /// When the socket cannot be created.
    pub fn bind(manager: &Manager) -> Result<Self, ServerError> {
        let handle = manager.handle();
        let path = handle.info().layout.socket();
        let listener = listen(&path).map_err(|source| ServerError::Listen {
            path: path.clone(),
            source,
        })?;
        let (ending, told) = watch::channel(false);
        let accepting = tokio::spawn(accept(listener, handle, told));
        Ok(Self {
            path,
            ending,
            accepting,
        })
    }

    /// Lets every connection finish what it is at, and closes.
    pub async fn farewell(self) {
        // New connections are refused from here on: nobody would answer.
        let _ = fs::remove_file(&self.path);
        self.ending.send_replace(true);
        let finish = async {
            if let Ok(mut connections) = self.accepting.await {
                while connections.join_next().await.is_some() {}
            }
        };
        // Whoever has not read its answer by then is not waiting for it.
        let _ = tokio::time::timeout(FAREWELL, finish).await;
    }
}

fn listen(path: &std::path::Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::FileTypeExt;
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.file_type().is_socket() => fs::remove_file(path)?,
        // Anything else was not left by a manager: binding will say that it is in the way.
        Ok(_) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let listener = eud_sys::socket::listen(path)?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// Accepts until the manager ends; gives back the connections that are still at work.
async fn accept(
    listener: UnixListener,
    handle: Handle,
    mut ending: watch::Receiver<bool>,
) -> JoinSet<()> {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = connection::over(&mut ending) => return connections,
            accepted = listener.accept() => accepted,
        };
        // Those that are done need not be kept.
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, most likely: someone will close one.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        if !is_welcome(&stream) {
            continue;
        }
        match Arc::clone(&room).try_acquire_owned() {
            Ok(place) => {
                let (handle, ending) = (handle.clone(), ending.clone());
                connections.spawn(async move {
                    connection::converse(stream, handle, ending).await;
                    drop(place);
                });
            }
            Err(_) => connection::turn_away(&stream),
        }
    }
}

/// Root, and the user the manager runs as.
fn is_welcome(stream: &UnixStream) -> bool {
    use std::os::fd::AsFd;
    eud_sys::socket::peer(stream.as_fd())
        .is_ok_and(|peer| peer.uid == 0 || peer.uid == eud_sys::socket::own_uid())
}
