//! What the tests need that cargo cannot bring: a few Debian packages.
//!
//! Invariants: nothing is installed that is there already, nothing without root, and no server is
//! started by its installation.

use crate::cmd;

/// Program that shows a package is there, and the package.
const PACKAGES: [(&str, &str); 5] = [
    ("python3", "python3"),
    ("redis-server", "redis-server"),
    ("nginx", "nginx"),
    ("pg_isready", "postgresql"),
    ("tmux", "tmux"),
];

/// Installs what is missing, if it can; says so if it cannot.
pub(super) fn install_servers() {
    let is_there = |program: &str| {
        cmd::is_installed(program) || std::path::Path::new("/usr/sbin").join(program).is_file()
    };
    let missing: Vec<&str> = PACKAGES
        .iter()
        .filter(|(program, _)| !is_there(program))
        .map(|(_, name)| *name)
        .collect();
    if missing.is_empty() {
        return;
    }
    let list = missing.join(" ");
    if !rustix::process::getuid().is_root() || !cmd::is_installed("apt-get") {
        cmd::say(&format!(
            "not installed: {list}; tests that need them say so and are skipped"
        ));
        return;
    }
    cmd::say(&format!("installing {list}"));
    let mut install = vec!["install", "-y", "-q", "--no-install-recommends"];
    install.extend(&missing);
    for args in [vec!["update", "-q"], install] {
        let mut command = cmd::command("apt-get", &args);
        // RUNLEVEL=1 is how Debian is told not to start what it installs.
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("RUNLEVEL", "1");
        if let Err(failure) = cmd::run(&mut command) {
            cmd::say(&format!("{failure}; going on without"));
        }
    }
}
