//! The examples do what their pages say: the demonstration runs, and three real servers come up,
//! are killed, recover, and go away.
//!
//! Invariants: ports and folders are the test's own; where a server is not installed, that is said
//! and the rest is tested.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::fleet::{self, Fleet};
use crate::processes::{self, TempDir};
use crate::{Failure, cmd, demo};

const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Both examples.
pub(super) fn run(_: &[String]) -> Result<(), Failure> {
    demo::run(&["--seconds".to_owned(), "1".to_owned()])?;
    servers()
}

fn servers() -> Result<(), Failure> {
    let dir = TempDir::new("eud-servers")?;
    let folder = cmd::root().join("examples/servers");
    let mut setup = cmd::command(folder.join("setup.sh"), &[] as &[&str]);
    setup.env("SERVERS_DATA", dir.path().join("data"));
    for (name, port) in ["REDIS", "POSTGRES", "NGINX"]
        .iter()
        .zip(demo::free_ports()?)
    {
        setup.env(format!("SERVERS_{name}_PORT"), port.to_string());
    }
    let output = cmd::capture(&mut setup)?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() && said.contains("is not installed") {
        cmd::say(&format!("examples/servers is not tested: {}", said.trim()));
        return Ok(());
    }
    if !output.status.success() {
        return Err(format!("examples/servers/setup.sh: {said}"));
    }
    let eud = cmd::target("debug").join("eud");
    let mut fleet = Fleet::new(eud, folder.join("eud.toml"), dir.path().join("state"));
    for (name, value) in exports(&String::from_utf8_lossy(&output.stdout)) {
        fleet.env(&name, value);
    }
    play(&fleet)?;
    // The manager has let go of everything when `eud down` returns, and is about to exit.
    let place = dir.path().display().to_string();
    let gone = || processes::that_name(&place).is_empty().then_some(());
    let patience = Duration::from_secs(2);
    processes::wait_for("the end", patience, Duration::from_millis(10), gone).map_err(|_| {
        let left = processes::that_name(&place);
        format!("examples/servers left processes behind: {left:?}")
    })
}

fn play(fleet: &Fleet) -> Result<(), Failure> {
    cmd::run(&mut fleet.eud(&["up"]))?;
    for name in ["redis", "postgres", "nginx"] {
        let daemon = fleet.daemon(name)?;
        if daemon["state"] != "ready" {
            return Err(format!("{name} is not ready after eud up: {daemon}"));
        }
        let pid = fleet::pid(&daemon["pid"]).ok_or(format!("{name} has no pid"))?;
        processes::signal(pid, Signal::KILL)?;
        let is_back = |now: &Value| now["state"] == "ready" && now["pid"] != daemon["pid"];
        let ask = || fleet.daemon(name).ok().filter(is_back);
        processes::wait_for(&format!("{name} after kill -9"), PATIENCE, LOOK_EVERY, ask)?;
    }
    cmd::run(&mut fleet.eud(&["status"]))?;
    cmd::run(&mut fleet.eud(&["down"]))
}

/// Variables of lines such as `export A='b' C=d`.
fn exports(text: &str) -> Vec<(String, String)> {
    let words = text
        .lines()
        .filter_map(|line| line.strip_prefix("export "))
        .flat_map(|rest| {
            rest.split(' ').filter_map(|word| {
                let (name, value) = word.split_once('=')?;
                Some((name.to_owned(), value.trim_matches('\'').to_owned()))
            })
        });
    words.collect()
}

#[cfg(test)]
mod tests {
    use super::exports;

    #[test]
    fn exports_are_read() {
        let found = exports("setup\nexport A='/x/y' B=3\nexport C=d\n");
        let expected = [("A", "/x/y"), ("B", "3"), ("C", "d")];
        assert_eq!(
            found,
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }
}
