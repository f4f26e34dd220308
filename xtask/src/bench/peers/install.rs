//! `cargo xtask bench --install`: gets the other supervisors.
//!
//! Invariants: what distributions have comes from there, without starting a service of it; the rest
//! goes into `target/peers`, in the versions named here, so that two machines measure the same.
//! What cannot be had is said, and is missing from the tables.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{Failure, cmd};

const APT: [&str; 3] = ["runit", "s6", "daemontools"];
const APT_FOR_OTHERS: [&str; 2] = ["python3-venv", "npm"];
const PIP: [&str; 2] = ["supervisor==4.3.0", "circus==0.19.0"];
const NPM: [&str; 1] = ["pm2@7.0.4"];
const CARGO: [(&str, &str); 1] = [("horust", "0.1.14")];

/// Asked by packages before they start a service; 101 forbids it (invoke-rc.d(8)).
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs what is missing.
///
/// # Errors
/// Names everything that could not be installed, after the rest was.
pub(crate) fn all() -> Result<(), Failure> {
    let peers = cmd::target("peers");
    fs::create_dir_all(&peers).map_err(|e| format!("{}: {e}", peers.display()))?;
    let done = [
        ("packages", packages()),
        ("pip", pip(&peers.join("venv"))),
        ("npm", npm(&peers.join("npm"))),
        ("cargo", crates(&peers.join("cargo"))),
    ];
    let wrong: Vec<String> = done
        .into_iter()
        .filter_map(|(what, result)| Some(format!("{what}: {}", result.err()?)))
        .collect();
    if wrong.is_empty() {
        return Ok(());
    }
    Err(wrong.join("\n"))
}

fn packages() -> Result<(), Failure> {
    let is_there = |program: &str| Path::new("/usr/bin").join(program).exists();
    if ["chpst", "s6-svscan", "svscan", "npm"]
        .into_iter()
        .all(is_there)
    {
        return Ok(());
    }
    // The machine's own answer to that question, if it has one, stays.
    let is_ours = !Path::new(POLICY).exists();
    if is_ours {
        let script = "#!/bin/sh\nexit 101\n";
        fs::write(POLICY, script).map_err(|e| format!("{POLICY}: {e}"))?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(POLICY, mode).map_err(|e| format!("{POLICY}: {e}"))?;
    }
    let mut install = cmd::command(
        "apt-get",
        &["install", "-y", "-q", "--no-install-recommends"],
    );
    install.args(APT).args(APT_FOR_OTHERS);
    let result = cmd::run(install.env("DEBIAN_FRONTEND", "noninteractive"));
    if is_ours {
        fs::remove_file(POLICY).map_err(|e| format!("{POLICY}: {e}"))?;
    }
    result
}

fn pip(venv: &Path) -> Result<(), Failure> {
    let folder = venv.display().to_string();
    cmd::run(&mut cmd::command("python3", &["-m", "venv", &folder]))?;
    cmd::run(
        Command::new(venv.join("bin/pip"))
            .args(["install", "-q"])
            .args(PIP),
    )
}

fn npm(folder: &Path) -> Result<(), Failure> {
    let folder = folder.display().to_string();
    let mut install = cmd::command("npm", &["install", "--silent", "--prefix", &folder]);
    cmd::run(install.args(NPM))
}

fn crates(folder: &Path) -> Result<(), Failure> {
    for (name, version) in CARGO {
        let root = folder.display().to_string();
        let words = [
            "install",
            "-q",
            "--locked",
            name,
            "--version",
            version,
            "--root",
            &root,
        ];
        cmd::run(&mut cmd::cargo(&words))?;
    }
    Ok(())
}
