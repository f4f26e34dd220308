//! A task's command in a window of tmux.
//!
//! Invariants: what is executed is `eud pane`, which the keeper knows as the command, so that its
//! tree, its end and its output are the task's; what cannot have a window is not launched.
//! Deliberately absent: tmux itself, which `eud pane` speaks to.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use eud_keeper::LaunchSpec;

/// Puts a command into a window. `keeper` has `eud` beside it.
///
/// # Errors
/// In words: what is missing, and what to do.
pub(super) fn wrap(spec: &mut LaunchSpec, keeper: &Path, dir: &Path) -> Result<(), String> {
    if spec.stdin.is_some() {
        return Err(
            "an interactive task reads from its window, and this one has a standard input: hand \
             its prompt over another way (`prompt = \"file\"`, or `{{ task.prompt }}` in the \
             command), or leave `interactive` out"
                .to_owned(),
        );
    }
    if spec.uid.is_some() {
        return Err(
            "a window of tmux belongs to whoever runs the manager: leave out `user`, or \
             `interactive`"
                .to_owned(),
        );
    }
    let path = spec.env.iter().find(|(name, _)| name == "PATH");
    if !path.is_some_and(|(_, path)| is_in(path, "tmux")) {
        return Err(
            "tmux was not found in PATH: install it, or leave out `interactive`".to_owned(),
        );
    }
    let eud = keeper.with_file_name("eud");
    if !is_program(&eud) {
        return Err(format!(
            "eud was not found at {}, where interactive tasks need it: install it beside eud-keeper",
            eud.display()
        ));
    }
    let before: [OsString; 5] = [
        eud.into(),
        "pane".into(),
        "--dir".into(),
        dir.into(),
        "--".into(),
    ];
    spec.args.splice(0..0, before);
    Ok(())
}

fn is_in(path: &OsStr, program: &str) -> bool {
    std::env::split_paths(path).any(|folder| is_program(&folder.join(program)))
}

fn is_program(path: &Path) -> bool {
    let is = |meta: std::fs::Metadata| meta.is_file() && meta.permissions().mode() & 0o111 != 0;
    path.metadata().is_ok_and(is)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_have_a_window_is_refused_with_advice() {
        let dir = tempfile::tempdir().unwrap();
        let program = |name: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, "").unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        };
        let keeper = dir.path().join("eud-keeper");
        let spec = || LaunchSpec {
            args: vec!["agent".into(), "--".into()],
            env: vec![("PATH".into(), dir.path().into())],
            ..LaunchSpec::default()
        };
        let refused = |mut spec: LaunchSpec| wrap(&mut spec, &keeper, Path::new("/r")).unwrap_err();
        assert!(refused(spec()).contains("tmux was not found"));
        program("tmux");
        assert!(refused(spec()).contains("eud was not found"));
        program("eud");
        let mut reads = spec();
        reads.stdin = Some("stdin".into());
        assert!(refused(reads).contains("standard input"));
        let mut other = spec();
        other.uid = Some(1);
        assert!(refused(other).contains("`user`"));
        let mut fine = spec();
        wrap(&mut fine, &keeper, Path::new("/r")).unwrap();
        assert_eq!(fine.args[0], dir.path().join("eud"));
        assert_eq!(fine.args[1..], ["pane", "--dir", "/r", "--", "agent", "--"]);
    }
}
