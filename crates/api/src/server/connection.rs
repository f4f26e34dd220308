//! One client's connection.
//!
//! Invariants: answers come in the order of the requests; a transition that a subscriber was
//! promised is delivered, or the connection is closed with a `lagged` notification.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use eud_core::event::Event;
use eud_core::view::Transition;
use eud_manager::lines::{Line, Lines};
use eud_manager::{Follower, Handle};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::protocol::{
    FollowParams, Following, LINE_BYTES_MAX, NOTE_EVENT, NOTE_LAGGED, NOTE_TRANSITION, code,
};
use crate::server::methods::{Asked, Failure};
use crate::server::rpc::{self, Call, Incoming};
use crate::server::{CONNECTIONS_MAX, WRITE_LIMIT_MS, events, methods};

/// How long the rest of a line that is too long is read on, so that the client gets to see why.
const DRAIN: Duration = Duration::from_secs(1);

struct Connection {
    handle: Handle,
    writer: OwnedWriteHalf,
    subscription: Option<Receiver<Transition>>,
    follower: Option<Follower>,
}

/// Talks until the client goes, or the manager ends.
pub(super) async fn converse(
    stream: UnixStream,
    handle: Handle,
    mut ending: watch::Receiver<bool>,
) {
    let (reader, writer) = stream.into_split();
    let mut lines = Lines::new(reader, LINE_BYTES_MAX);
    let mut connection = Connection {
        handle,
        writer,
        subscription: None,
        follower: None,
    };
    loop {
        let going_on = tokio::select! {
            line = lines.next() => connection.on_line(line).await,
            told = next(&mut connection.subscription) => connection.on_transition(told).await,
            events = followed(&mut connection.follower) => connection.on_events(events).await,
            () = over(&mut ending) => {
                connection.drain_subscription().await;
                return;
            }
        };
        match going_on {
            Ok(true) => {}
            // Nothing can be said to a client that does not read.
            Ok(false) | Err(_) => return finish(connection, lines).await,
        }
    }
}

/// Says that there is no room, without waiting.
pub(super) fn turn_away(stream: &UnixStream) {
    let why = format!("there are {CONNECTIONS_MAX} connections already; close some");
    let mut line = rpc::failure(None, &rpc::error(code::INTERNAL, &why));
    line.push('\n');
    // A client that cannot take one line finds the connection closed.
    let _ = eud_sys::socket::send_now(stream.as_fd(), line.as_bytes());
}

/// Closes our half and lets the client finish its sentence, so that it finds the answer, not a
/// reset.
async fn finish(mut connection: Connection, lines: Lines<OwnedReadHalf>) {
    let _ = connection.writer.shutdown().await;
    let mut stream = lines.into_inner();
    let _ = timeout(DRAIN, tokio::io::copy(&mut stream, &mut tokio::io::sink())).await;
}

/// Waits for the manager's end.
pub(super) async fn over(ending: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, which is the end too.
    let _ = ending.wait_for(|ending| *ending).await;
}

/// For ever, when there is no subscription.
async fn next(subscription: &mut Option<Receiver<Transition>>) -> Result<Transition, RecvError> {
    match subscription {
        Some(subscription) => subscription.recv().await,
        None => std::future::pending().await,
    }
}

/// For ever, when nothing is followed.
async fn followed(follower: &mut Option<Follower>) -> io::Result<Vec<Arc<Event>>> {
    match follower {
        Some(follower) => follower.next().await,
        None => std::future::pending().await,
    }
}

impl Connection {
    /// False when the connection is over.
    async fn on_line(&mut self, line: io::Result<Line>) -> io::Result<bool> {
        match line? {
            Line::Whole(line) => {
                self.on_message(&line).await?;
                Ok(true)
            }
            Line::TooLong => {
                let why = format!("a line has at most {LINE_BYTES_MAX} bytes");
                self.write(rpc::failure(None, &rpc::error(code::PARSE, &why)))
                    .await?;
                Ok(false)
            }
            // The last line of a client that closed its half may lack its newline.
            Line::End(rest) if rest.iter().any(|byte| !byte.is_ascii_whitespace()) => {
                self.on_message(&rest).await?;
                Ok(false)
            }
            // A client that closed its half may still listen.
            Line::End(_) => {
                while self.subscription.is_some() || self.follower.is_some() {
                    let going_on = tokio::select! {
                        told = next(&mut self.subscription) => self.on_transition(told).await?,
                        events = followed(&mut self.follower) => self.on_events(events).await?,
                    };
                    if !going_on {
                        break;
                    }
                }
                Ok(false)
            }
        }
    }

    async fn on_message(&mut self, line: &[u8]) -> io::Result<()> {
        match rpc::read(line) {
            Incoming::One(call) => match self.on_call(call).await? {
                Some(answer) => self.write(answer).await,
                None => Ok(()),
            },
            Incoming::Batch(calls) => {
                let mut answers = Vec::new();
                for call in calls {
                    answers.extend(self.on_call(call).await?);
                }
                // A batch of notifications is not answered at all.
                if answers.is_empty() {
                    return Ok(());
                }
                self.write(format!("[{}]", answers.join(","))).await
            }
        }
    }

    /// An error means that nobody can answer any more.
    async fn on_call(&mut self, call: Result<Call, String>) -> io::Result<Option<String>> {
        let Call { id, method, params } = match call {
            Ok(call) => call,
            Err(answer) => return Ok(Some(answer)),
        };
        let result = match methods::understand(&method, params) {
            Ok(asked) => {
                if matches!(asked, Asked::Subscribe) {
                    // Before the answer, so that nothing falls between the two.
                    self.subscription
                        .get_or_insert_with(|| self.handle.subscribe());
                }
                let outcome = match asked {
                    Asked::Follow(params) => self.follow(params),
                    asked => methods::carry_out(&self.handle, asked).await,
                };
                match outcome {
                    Ok(value) => Ok(value),
                    Err(Failure::Error(error)) => Err(error),
                    Err(Failure::Ended) => return Err(io::ErrorKind::BrokenPipe.into()),
                }
            }
            Err(error) => Err(error),
        };
        Ok(id.map(|id| rpc::answer(&id, &result)))
    }

    fn follow(&mut self, params: FollowParams) -> Result<Value, Failure> {
        let follower = events::follow(&self.handle, params)?;
        let after = follower.after();
        self.follower = Some(follower);
        Ok(json!(Following { after }))
    }

    /// False when the connection is over.
    async fn on_events(&mut self, events: io::Result<Vec<Arc<Event>>>) -> io::Result<bool> {
        let mut lines = String::new();
        for event in events? {
            if !lines.is_empty() {
                lines.push('\n');
            }
            lines.push_str(&rpc::notification(NOTE_EVENT, event.to_cloudevent()));
        }
        self.write(lines).await?;
        Ok(true)
    }

    /// False when the connection is over.
    async fn on_transition(&mut self, told: Result<Transition, RecvError>) -> io::Result<bool> {
        match told {
            Ok(transition) => {
                self.write(rpc::notification(NOTE_TRANSITION, &transition))
                    .await?;
                Ok(true)
            }
            Err(RecvError::Lagged(missed)) => {
                self.write(rpc::notification(NOTE_LAGGED, json!({ "missed": missed })))
                    .await?;
                Ok(false)
            }
            Err(RecvError::Closed) => Ok(false),
        }
    }

    /// Delivers what is waiting when the manager ends.
    async fn drain_subscription(&mut self) {
        if let Some(mut follower) = self.follower.take() {
            // Ends with an error, once everything is told.
            while let Ok(events) = follower.next().await {
                if self.on_events(Ok(events)).await.is_err() {
                    return;
                }
            }
        }
        let Some(mut subscription) = self.subscription.take() else {
            return;
        };
        loop {
            let written = match subscription.try_recv() {
                Ok(transition) => {
                    self.write(rpc::notification(NOTE_TRANSITION, &transition))
                        .await
                }
                Err(TryRecvError::Lagged(_)) => continue,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            };
            if written.is_err() {
                return;
            }
        }
    }

    async fn write(&mut self, mut line: String) -> io::Result<()> {
        line.push('\n');
        let limit = Duration::from_millis(WRITE_LIMIT_MS);
        match timeout(limit, self.writer.write_all(line.as_bytes())).await {
            Ok(written) => written,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}
