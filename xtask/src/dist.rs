//! `cargo xtask dist`: what is distributed, into `target/dist-out`.
//!
//! Invariants: the keeper is static and not position-independent, because there is one per daemon
//! and those two save about half of its memory, and with musl where the compiler has that, because
//! glibc asks the processor at each start what it can do: in a virtual machine each such question
//! goes to the host, 0.3 ms in all; both are optimised as a whole, which makes `eud` smaller and
//! every command of it quicker to start.

use std::fs;
use std::path::Path;

use crate::{Failure, cmd};

const KEEPER_FLAGS: &str = "-C target-feature=+crt-static -C relocation-model=static";

/// Builds and copies.
pub(crate) fn run(_: &[String]) -> Result<(), Failure> {
    let triple = keeper_triple(&host()?)?;
    let out = cmd::target("dist-out");
    fs::create_dir_all(&out).map_err(|e| format!("{}: {e}", out.display()))?;
    let keeper = [
        "build",
        "--profile",
        "dist",
        "-p",
        "eud-keeper",
        "--bin",
        "eud-keeper-alone",
    ];
    // With --target the flags reach the keeper only, not build scripts and macros.
    let mut build = cmd::cargo(&keeper);
    cmd::run(
        build
            .args(["--target", &triple])
            .env("RUSTFLAGS", KEEPER_FLAGS),
    )?;
    cmd::run(&mut cmd::cargo(&[
        "build",
        "--profile",
        "dist",
        "-p",
        "eudaemon",
        "--bin",
        "eud",
    ]))?;
    let built = [
        (
            "eud-keeper",
            cmd::target(&triple).join("dist/eud-keeper-alone"),
        ),
        ("eud", cmd::target("dist").join("eud")),
    ];
    for (name, from) in built {
        let to = out.join(name);
        // Put in the place of a program that may be running, which cannot be written to.
        let new = out.join(format!("{name}.new"));
        let bytes = fs::copy(&from, &new).map_err(|e| format!("{}: {e}", from.display()))?;
        fs::rename(&new, &to).map_err(|e| format!("{}: {e}", to.display()))?;
        cmd::say(&format!("{:>9} kB  {}", bytes / 1000, to.display()));
    }
    Ok(())
}

/// What the keeper is built for: this machine, with musl if the compiler has it.
fn keeper_triple(host: &str) -> Result<String, Failure> {
    let musl = host.replace("-linux-gnu", "-linux-musl");
    let words = ["--print", "target-libdir", "--target", &musl];
    let libraries = cmd::output(&mut cmd::command("rustc", &words))?;
    if Path::new(libraries.trim()).is_dir() {
        return Ok(musl);
    }
    cmd::say(&format!(
        "the keeper is linked with glibc and starts slower: `rustup target add {musl}` was not run"
    ));
    Ok(host.to_owned())
}

/// Target triple of this machine.
fn host() -> Result<String, Failure> {
    let text = cmd::output(&mut cmd::command("rustc", &["-vV"]))?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned)
        .ok_or("rustc -vV names no host".to_owned())
}
