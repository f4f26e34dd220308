//! A manager with its socket and nothing else: for the tests of this crate.
//!
//! `manager STATE-DIR FLEET-FILE [PROFILE]`; `EUD_KEEPER` says where the keeper is.

use std::process::ExitCode;

use eud_manager::Options;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [state_dir, fleet_path, rest @ ..] = args.as_slice() else {
        eprintln!("usage: manager STATE-DIR FLEET-FILE [PROFILE]");
        return ExitCode::from(2);
    };
    let options = Options {
        state_dir: state_dir.into(),
        fleet_path: fleet_path.into(),
        profile: rest.first().cloned(),
        version: "test".into(),
        ..Options::default()
    };
    match eud_api::server::run(options) {
        Ok(outcome) => ExitCode::from(outcome.code()),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(70)
        }
    }
}
