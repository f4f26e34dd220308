//! The desktop's notifications.
//!
//! Invariants: what a message says is never an option of the command.

use std::sync::Arc;
use std::time::Duration;

use eud_core::fleet::Severity;
use eud_core::message::together;
use eud_core::record::Message;

use crate::launch::{Surroundings, plain_environment};
use crate::probe::{self, Surrounded};
use crate::reaper::Reaper;

/// The command that knows how.
const PROGRAM: &str = "notify-send";

pub(super) async fn send(
    reaper: &Reaper,
    messages: &[Message],
    limit: Duration,
) -> Result<(), String> {
    let argv = argv(PROGRAM, &together(messages));
    let env = plain_environment(&std::collections::BTreeMap::new(), reaper)?;
    run(argv, env, reaper, limit).await
}

async fn run(
    argv: Vec<String>,
    env: std::collections::BTreeMap<String, String>,
    reaper: &Reaper,
    limit: Duration,
) -> Result<(), String> {
    let around = Surrounded {
        reaper: reaper.clone(),
        cwd: "/".to_owned(),
        surroundings: Arc::new(Surroundings {
            env,
            uid: None,
            gid: None,
            groups: Vec::new(),
        }),
    };
    let program = argv.first().cloned().unwrap_or_default();
    let outcome = probe::output(&argv, around, limit).await;
    outcome.map(drop).map_err(|why| {
        // Its own complaints begin in another way.
        if why.starts_with(&format!("{program}: No such file")) {
            return format!(
                "`{PROGRAM}` is not installed: install it (Debian: libnotify-bin; Fedora, Arch: \
                 libnotify), or use another channel"
            );
        }
        why
    })
}

fn argv(program: &str, message: &Message) -> Vec<String> {
    let urgency = match message.severity {
        Severity::Info => "low",
        Severity::Warning | Severity::Error => "normal",
        Severity::Critical => "critical",
    };
    let urgency = format!("--urgency={urgency}");
    // The body is markup there.
    let body = message.body.replace('&', "&amp;").replace('<', "&lt;");
    let (title, body) = (message.title.replace('\0', " "), body.replace('\0', " "));
    [program, "--app-name=eud", &urgency, "--", &title, &body]
        .map(str::to_owned)
        .to_vec()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn message(title: &str, body: &str) -> Message {
        Message {
            title: title.into(),
            body: body.into(),
            severity: Severity::Critical,
            ..Message::default()
        }
    }

    /// What stands in for the command writes its arguments, one a line.
    async fn sent(script: &str, message: &Message) -> (Result<(), String>, String) {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("stand-in");
        let out = dir.path().join("out");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&program, mode).unwrap();
        let reaper = Reaper::default();
        let reaping = tokio::spawn(reaper.clone().run());
        let argv = argv(program.to_str().unwrap(), message);
        let env = [("OUT".to_owned(), out.to_str().unwrap().to_owned())];
        let limit = Duration::from_secs(20);
        let outcome = run(argv, env.into(), &reaper, limit).await;
        reaping.abort();
        (outcome, std::fs::read_to_string(out).unwrap_or_default())
    }

    #[tokio::test]
    async fn title_and_body_are_no_options_and_no_markup() {
        let message = message("--help", "a <b> & c");
        let script = r#"printf '%s\n' "$@" > "$OUT""#;
        let (outcome, told) = sent(script, &message).await;
        assert_eq!(outcome, Ok(()));
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(
            lines,
            [
                "--app-name=eud",
                "--urgency=critical",
                "--",
                "--help",
                "a &lt;b> &amp; c"
            ]
        );
        let script = "echo 'no desktop here' >&2; exit 1";
        let (outcome, _) = sent(script, &message).await;
        let why = outcome.unwrap_err();
        assert!(
            why.ends_with("exited with code 1: no desktop here"),
            "{why}"
        );
        let script = "echo 'Could not connect: No such file or directory' >&2; exit 1";
        let (outcome, _) = sent(script, &message).await;
        assert!(outcome.unwrap_err().contains("Could not connect"));
    }

    #[tokio::test]
    async fn a_missing_command_is_said_in_words() {
        let argv = argv("/nonexistent/stand-in", &message("a", "b"));
        let limit = Duration::from_secs(20);
        let missing = run(argv, [].into(), &Reaper::default(), limit).await;
        assert!(missing.unwrap_err().contains("libnotify-bin"));
    }
}
