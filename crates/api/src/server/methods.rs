//! What each method does.
//!
//! Invariants: parameters are checked before anything is asked of the manager; every error of the
//! manager has its code, but for its end, which is no answer: the connection is closed.

use eud_core::words::rfc3339;
use eud_manager::{CommandError, Handle, Request};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::protocol::{
    FleetInvalid, HoldParams, Info, NameParams, NamesParams, Pong, RUNS_DEFAULT, RpcError,
    RunsParams, Shown, ShutdownParams, SignalParams, UnknownSelector, UpParams, VERSION, code,
};
use crate::server::rpc;

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

type Outcome = Result<Value, Failure>;

/// Carries out a call.
pub(super) async fn call(handle: &Handle, method: &str, params: Value) -> Outcome {
    match method {
        "ping" => {
            none(params)?;
            encode(&Pong {
                pong: true,
                timestamp: rfc3339(eud_sys::clock::wall_ms()),
            })
        }
        "manager.info" => {
            none(params)?;
            info(handle).await
        }
        "fleet.status" => {
            none(params)?;
            encode(&handle.status().await.map_err(failed)?)
        }
        "fleet.up" => {
            let UpParams { profile } = read(params)?;
            command(handle, Request::Up { profile }).await
        }
        "fleet.reload" => {
            none(params)?;
            encode(&handle.reload().await.map_err(failed)?)
        }
        "fleet.shutdown" => {
            let ShutdownParams { keep_daemons } = read(params)?;
            command(handle, Request::Shutdown { keep_daemons }).await
        }
        "daemon.start" => command(handle, Request::Start(names(params)?)).await,
        "daemon.stop" => command(handle, Request::Stop(names(params)?)).await,
        "daemon.restart" => command(handle, Request::Restart(names(params)?)).await,
        "daemon.release" => command(handle, Request::Release(names(params)?)).await,
        "daemon.hold" => {
            let HoldParams { names, reason } = read(params)?;
            command(handle, Request::Hold(named(names)?, reason)).await
        }
        "daemon.signal" => {
            let SignalParams { names, signal } = read(params)?;
            command(handle, Request::Signal(named(names)?, signal)).await
        }
        "daemon.show" => show(handle, &read::<NameParams>(params)?.name).await,
        "daemon.runs" => {
            let RunsParams { name, limit } = read(params)?;
            let limit = limit.unwrap_or(RUNS_DEFAULT).min(RUNS_MAX);
            encode(&handle.runs(&name, limit).await.map_err(failed)?)
        }
        "daemon.why" => {
            let NameParams { name } = read(params)?;
            encode(&handle.why(&name).await.map_err(failed)?)
        }
        _ => Err(rpc::error(
            code::METHOD_NOT_FOUND,
            &format!("there is no method `{method}`"),
        )
        .into()),
    }
}

async fn command(handle: &Handle, request: Request) -> Outcome {
    encode(&handle.command(request).await.map_err(failed)?)
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

/// Checks that there are no parameters.
pub(super) fn none(params: Value) -> Result<(), RpcError> {
    match params {
        Value::Null => Ok(()),
        Value::Object(map) if map.is_empty() => Ok(()),
        _ => Err(rpc::error(
            code::INVALID_PARAMS,
            "this method takes no parameters",
        )),
    }
}

fn read<T: DeserializeOwned>(params: Value) -> Result<T, RpcError> {
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

fn encode(value: &impl Serialize) -> Outcome {
    let encoded = serde_json::to_value(value);
    encoded.map_err(|e| rpc::error(code::INTERNAL, &e.to_string()).into())
}

/// An error of the manager as it travels.
fn failed(error: CommandError) -> Failure {
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
        assert!(none(Value::Null).is_ok() && none(json!({})).is_ok());
        assert_eq!(
            none(json!({"a": 1})).unwrap_err().code,
            code::INVALID_PARAMS
        );
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
