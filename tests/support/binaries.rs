//! Where the programs under test are.
//!
//! Purpose: fresh binaries, the same ones for the whole test run, whoever builds meanwhile.
//! Invariants: what is tested was built from the sources as they were when the run began;
//! `EUD_TESTS_BIN` names a folder with other ones (a release, a distribution), which are taken as
//! they are.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

const NAMES: [&str; 2] = ["eud", "eud-keeper"];
/// Copies of earlier test runs are removed when they are this old.
const OLD: Duration = Duration::from_secs(3600);

/// Path of `eud`; `eud-keeper` is beside it.
pub(crate) fn eud() -> &'static Path {
    static EUD: OnceLock<PathBuf> = OnceLock::new();
    EUD.get_or_init(|| match std::env::var_os("EUD_TESTS_BIN") {
        Some(folder) => std::path::absolute(Path::new(&folder).join("eud")).unwrap(),
        None => copied(),
    })
}

/// Path of the diarist: beside the programs under test, if there is one.
pub(crate) fn diarist() -> &'static str {
    static DIARIST: OnceLock<String> = OnceLock::new();
    DIARIST.get_or_init(|| {
        let given =
            std::env::var_os("EUD_TESTS_BIN").map(|folder| Path::new(&folder).join("diarist"));
        let given = given.filter(|path| path.is_file());
        let given = given.and_then(|path| {
            std::path::absolute(path)
                .unwrap()
                .into_os_string()
                .into_string()
                .ok()
        });
        given.unwrap_or_else(|| env!("CARGO_BIN_EXE_diarist").to_owned())
    })
}

/// A copy that no build replaces under a running manager. The first process of a test run decides
/// which.
fn copied() -> PathBuf {
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let lock = File::create(tmp.join("binaries.lock")).unwrap();
    lock.lock().unwrap();
    let run = std::env::var("NEXTEST_RUN_ID").unwrap_or_else(|_| std::process::id().to_string());
    let noted = tmp.join(format!("binaries-of-run-{run}"));
    if let Ok(name) = fs::read_to_string(&noted) {
        return tmp.join(name).join("eud");
    }
    let built = built();
    let age = |name: &str| {
        let modified = fs::metadata(built.join(name))
            .and_then(|meta| meta.modified())
            .unwrap();
        modified
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_nanos()
    };
    let [eud, keeper] = NAMES.map(age);
    let name = format!("binaries-{eud:x}-{keeper:x}");
    let folder = tmp.join(&name);
    fs::create_dir_all(&folder).unwrap();
    if !folder.join("complete").exists() {
        for name in NAMES {
            fs::copy(built.join(name), folder.join(name)).unwrap();
        }
    }
    // Written anew, so that what is in use does not look old.
    let _ = fs::remove_file(folder.join("complete"));
    File::create(folder.join("complete")).unwrap();
    remove_old(tmp);
    fs::write(noted, name).unwrap();
    folder.join("eud")
}

fn remove_old(tmp: &Path) {
    for entry in fs::read_dir(tmp).unwrap().flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with("binaries-");
        let modified = entry.metadata().and_then(|meta| meta.modified());
        if is_ours && modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > OLD)) {
            let _ = fs::remove_dir_all(entry.path());
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The folder of the profile these tests were built with, its programs up to date.
fn built() -> PathBuf {
    // <target>/<profile>/deps/<this test>
    let this = std::env::current_exe().unwrap();
    let folder = this.ancestors().nth(2).unwrap().to_owned();
    if NAMES.iter().all(|name| is_fresh(&folder, name)) {
        return folder;
    }
    let profile = match folder.file_name().and_then(|name| name.to_str()).unwrap() {
        "debug" => "dev",
        other => other,
    };
    let target = folder.parent().unwrap();
    let output = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
        .args(["build", "--quiet", "--package", "eudaemon", "--bins"])
        .args(["--profile", profile, "--target-dir"])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "`cargo build -p eudaemon` failed; set EUD_TESTS_BIN to a folder with eud and eud-keeper to \
         test those:\n{said}"
    );
    folder
}

/// Whether a program is newer than every source that cargo says it is made of.
fn is_fresh(folder: &Path, name: &str) -> bool {
    let modified = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).ok();
    let Some(built_at) = modified(&folder.join(name)) else {
        return false;
    };
    let Ok(sources) = fs::read_to_string(folder.join(format!("{name}.d"))) else {
        return false;
    };
    let (_, sources) = sources.split_once(": ").unwrap_or_default();
    let mut sources = sources.split_whitespace().peekable();
    let is_older = |at: Option<SystemTime>| at.is_some_and(|at| at <= built_at);
    sources.peek().is_some() && sources.all(|path| is_older(modified(Path::new(path))))
}
