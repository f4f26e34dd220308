//! What each method does.
//!
//! Invariants: parameters are checked before anything is asked of the manager; every error of the
//! manager has its code, but for its end, which is no answer: the connection is closed.

use eud_core::event::{Event, NewEvent};
use eud_core::record::TaskId;
use eud_core::words::rfc3339;
use eud_manager::{CommandError, DeadFilter, Handle, Request, TaskFilter};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::protocol::{
    FleetInvalid, FollowParams, HoldParams, Info, NameParams, NamesParams, Pong, RUNS_DEFAULT,
    RpcError, RunsParams, Shown, ShutdownParams, SignalParams, Subscribed, UnknownSelector,
    UpParams, VERSION, code,
};
use crate::server::{bus, channels, events, rpc, rules, tasks};

/// Most runs that are given at once.
const RUNS_MAX: u32 = 1_000;

/// Why a call has no result.
#[derive(Debug)]
pub(super) enum Failure {
    /// To be told.
    Error(RpcError),
    /// The manager has ended: nobody can answer any more.
    Ended,
}

impl From<RpcError> for Failure {
    fn from(error: RpcError) -> Self {
        Self::Error(error)
    }
}

pub(super) type Outcome = Result<Value, Failure>;

/// A call that is understood: method and parameters are right, as far as they can be without a
/// manager.
#[derive(Debug)]
pub(super) enum Asked {
    Ping,
    Info,
    Status,
    Reload,
    Subscribe,
    Command(Request),
    Show(String),
    Runs(RunsParams),
    Why(String),
    Emit(Vec<NewEvent>),
    Follow(FollowParams),
    Pools,
    Tasks(TaskFilter),
    Task(TaskId),
    Bus,
    Channels,
    Messages,
    DeadLetters(DeadFilter),
    DeadLetter(u64),
    Rules,
    TryRule(String, Box<Event>),
    Approvals,
}

/// Reads method and parameters.
///
/// # Errors
/// As they are to be told.
pub(super) fn understand(method: &str, params: Value) -> Result<Asked, RpcError> {
    let asked = match method {
        "ping" => none(params, Asked::Ping)?,
        "manager.info" => none(params, Asked::Info)?,
        "fleet.status" => none(params, Asked::Status)?,
        "fleet.reload" => none(params, Asked::Reload)?,
        "events.subscribe" => none(params, Asked::Subscribe)?,
        "event.emit" => Asked::Emit(events::read(read(params)?)?),
        "event.follow" => {
            let params: FollowParams = read(params)?;
            events::check(&params)?;
            Asked::Follow(params)
        }
        "daemon.show" => Asked::Show(read::<NameParams>(params)?.name),
        "daemon.runs" => Asked::Runs(read(params)?),
        "daemon.why" => Asked::Why(read::<NameParams>(params)?.name),
        _ if method.starts_with("task.") || method.starts_with("pool.") => {
            return tasks::understand(method, params).unwrap_or_else(|| Err(no_method(method)));
        }
        _ if method.starts_with("channel.") || method.starts_with("message.") => {
            return channels::understand(method, params).unwrap_or_else(|| Err(no_method(method)));
        }
        _ if method.starts_with("subscription.") || method.starts_with("dlq.") => {
            return bus::understand(method, params).unwrap_or_else(|| Err(no_method(method)));
        }
        _ if method.starts_with("rule.") || method.starts_with("approval.") => {
            return rules::understand(method, params).unwrap_or_else(|| Err(no_method(method)));
        }
        _ => Asked::Command(command(method, params)?),
    };
    Ok(asked)
}

fn command(method: &str, params: Value) -> Result<Request, RpcError> {
    let request = match method {
        "fleet.up" => {
            let UpParams { profile } = read(params)?;
            Request::Up { profile }
        }
        "fleet.shutdown" => {
            let ShutdownParams { keep_daemons } = read(params)?;
            Request::Shutdown { keep_daemons }
        }
        "daemon.start" => Request::Start(names(params)?),
        "daemon.stop" => Request::Stop(names(params)?),
        "daemon.restart" => Request::Restart(names(params)?),
        "daemon.release" => Request::Release(names(params)?),
        "daemon.trigger" => Request::Trigger(names(params)?),
        "daemon.hold" => {
            let HoldParams { names, reason } = read(params)?;
            Request::Hold(named(names)?, reason)
        }
        "daemon.signal" => {
            let SignalParams { names, signal } = read(params)?;
            Request::Signal(named(names)?, signal)
        }
        _ => return Err(no_method(method)),
    };
    Ok(request)
}

fn no_method(method: &str) -> RpcError {
    let why = format!("there is no method `{method}`");
    rpc::error(code::METHOD_NOT_FOUND, &why)
}

/// Carries out a call, but for a subscription, which is the connection's.
pub(super) async fn carry_out(handle: &Handle, asked: Asked) -> Outcome {
    match asked {
        Asked::Ping => encode(&Pong {
            pong: true,
            timestamp: rfc3339(eud_sys::clock::wall_ms()),
        }),
        Asked::Info => info(handle).await,
        Asked::Status => encode(&handle.status().await.map_err(failed)?),
        Asked::Reload => encode(&handle.reload().await.map_err(failed)?),
        Asked::Subscribe => encode(&Subscribed { subscribed: true }),
        Asked::Command(request) => encode(&handle.command(request).await.map_err(failed)?),
        Asked::Show(name) => show(handle, &name).await,
        Asked::Runs(RunsParams { name, limit }) => {
            let limit = limit.unwrap_or(RUNS_DEFAULT).min(RUNS_MAX);
            encode(&handle.runs(&name, limit).await.map_err(failed)?)
        }
        Asked::Why(name) => encode(&handle.why(&name).await.map_err(failed)?),
        Asked::Emit(events) => events::emit(handle, events).await,
        // The connection's.
        Asked::Follow(_) => Err(rpc::error(code::INTERNAL, "only a connection follows").into()),
        Asked::Pools => tasks::pools(handle).await,
        Asked::Tasks(filter) => tasks::list(handle, filter).await,
        Asked::Task(id) => tasks::show(handle, id).await,
        Asked::Channels => channels::list(handle).await,
        Asked::Messages => channels::messages(handle).await,
        Asked::Bus => bus::list(handle).await,
        Asked::DeadLetters(filter) => bus::dead_letters(handle, filter).await,
        Asked::DeadLetter(id) => bus::dead_letter(handle, id).await,
        Asked::Rules => rules::list(handle).await,
        Asked::TryRule(name, event) => rules::try_out(handle, &name, *event).await,
        Asked::Approvals => rules::approvals(handle).await,
    }
}

async fn info(handle: &Handle) -> Outcome {
    let status = handle.status().await.map_err(failed)?;
    let info = handle.info();
    encode(&Info {
        pid: info.pid,
        version: info.version.clone(),
        protocol: VERSION,
        started_at: info.started_at.clone(),
        state_dir: info.layout.root().to_string_lossy().into_owned(),
        fleet_file: info.fleet_path.to_string_lossy().into_owned(),
        fleet: status.fleet,
        foreground: info.foreground,
    })
}

async fn show(handle: &Handle, name: &str) -> Outcome {
    let shown = handle.show(name).await.map_err(failed)?;
    let layout = &handle.info().layout;
    let unit = &shown.view.name;
    let text = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    encode(&Shown {
        run_dir: shown.run.as_ref().map(|run| text(layout.run(unit, run))),
        log: text(layout.log(unit)),
        daemon: shown.daemon,
        launched: shown.launched,
        run: shown.run,
        runs: shown.runs,
        view: shown.view,
    })
}

/// `asked`, when there are no parameters.
pub(super) fn none(params: Value, asked: Asked) -> Result<Asked, RpcError> {
    match params {
        Value::Null => Ok(asked),
        Value::Object(map) if map.is_empty() => Ok(asked),
        _ => Err(rpc::error(
            code::INVALID_PARAMS,
            "this method takes no parameters",
        )),
    }
}

pub(super) fn read<T: DeserializeOwned>(params: Value) -> Result<T, RpcError> {
    let params = match params {
        Value::Null => Value::Object(serde_json::Map::new()),
        Value::Object(_) => params,
        _ => return Err(rpc::error(code::INVALID_PARAMS, "parameters are an object")),
    };
    serde_json::from_value(params).map_err(|e| rpc::error(code::INVALID_PARAMS, &e.to_string()))
}

fn names(params: Value) -> Result<Vec<String>, RpcError> {
    named(read::<NamesParams>(params)?.names)
}

fn named(names: Vec<String>) -> Result<Vec<String>, RpcError> {
    if names.is_empty() {
        return Err(rpc::error(
            code::INVALID_PARAMS,
            "`names` must name at least one daemon",
        ));
    }
    Ok(names)
}

pub(super) fn encode(value: &impl Serialize) -> Outcome {
    let encoded = serde_json::to_value(value);
    encoded.map_err(|e| rpc::error(code::INTERNAL, &e.to_string()).into())
}

/// An error of the manager as it travels.
pub(super) fn failed(error: CommandError) -> Failure {
    let message = error.to_string();
    let (code, data) = match error {
        CommandError::Refused { refusal, .. } => (code::REFUSED, encode(&refusal).ok()),
        CommandError::FleetInvalid {
            diagnostics,
            rendered,
        } => (
            code::FLEET_INVALID,
            encode(&FleetInvalid {
                diagnostics,
                rendered,
            })
            .ok(),
        ),
        CommandError::Selector(unknown) => {
            let data = UnknownSelector {
                term: unknown.term,
                suggestion: unknown.suggestion,
            };
            (code::UNKNOWN_SELECTOR, encode(&data).ok())
        }
        CommandError::NotOne { name, example, .. } => {
            let data = UnknownSelector {
                term: name,
                suggestion: example,
            };
            (code::UNKNOWN_SELECTOR, encode(&data).ok())
        }
        CommandError::Storage(_) => (code::STORAGE, None),
        CommandError::Invalid(_) => (code::INVALID_PARAMS, None),
        CommandError::Ending => return Failure::Ended,
    };
    Failure::Error(RpcError {
        code,
        message,
        data,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parameters_are_checked() {
        assert!(matches!(understand("ping", json!({})), Ok(Asked::Ping)));
        let wrong = |method, params| understand(method, params).unwrap_err().code;
        assert_eq!(wrong("ping", json!({"a": 1})), code::INVALID_PARAMS);
        assert_eq!(wrong("pong", Value::Null), code::METHOD_NOT_FOUND);
        assert_eq!(read::<UpParams>(Value::Null).unwrap(), UpParams::default());
        for bad in [json!({"profil": "x"}), json!({"profile": 1}), json!(["x"])] {
            assert_eq!(
                read::<UpParams>(bad).unwrap_err().code,
                code::INVALID_PARAMS
            );
        }
        for bad in [
            json!({}),
            json!({"names": []}),
            json!({"names": "a"}),
            json!({"names": [1]}),
        ] {
            assert_eq!(names(bad).unwrap_err().code, code::INVALID_PARAMS);
        }
        assert_eq!(names(json!({"names": ["a"]})).unwrap(), ["a"]);
    }

    #[test]
    fn errors_have_their_codes_and_data() {
        let held = eud_core::io::Refusal::Held {
            unit: "a".into(),
            reason: "r".into(),
        };
        let Failure::Error(error) = failed(CommandError::Refused {
            refusal: held,
            message: "held".into(),
        }) else {
            panic!("not an error")
        };
        assert_eq!(
            (error.code, error.message.as_str()),
            (code::REFUSED, "held")
        );
        assert_eq!(
            error.data.unwrap(),
            json!({"kind": "held", "unit": "a", "reason": "r"})
        );
        let full = CommandError::Storage("disk full".into());
        let Failure::Error(error) = failed(full) else {
            panic!("not an error")
        };
        assert_eq!(
            (error.code, error.message.as_str()),
            (code::STORAGE, "disk full")
        );
    }
}
