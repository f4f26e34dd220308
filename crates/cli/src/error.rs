//! Everything that can go wrong in a command, and the exit code each has.
//!
//! Purpose: one error space, printed as `error: what`, then where or why, then what to do.
//! Invariants: every variant has one documented exit code; the text of a refusal never loses the
//! reason.
//! Deliberately absent: backtraces and error chains; a person reads these.

use std::io;
use std::path::PathBuf;

use eud_api::client::ClientError;
use eud_core::io::Refusal;

/// Exit codes, documented in `eud --help` and the manual page.
pub(crate) mod code {
    /// Everything is as asked.
    pub(crate) const OK: u8 = 0;
    /// The fleet or a daemon is not as asked.
    pub(crate) const NOT_AS_ASKED: u8 = 1;
    /// The command line is wrong.
    pub(crate) const USAGE: u8 = 2;
    /// The fleet file is invalid or missing.
    pub(crate) const INVALID: u8 = 3;
    /// No manager is running.
    pub(crate) const NO_MANAGER: u8 = 4;
    /// No daemon, profile or selector of that name.
    pub(crate) const UNKNOWN: u8 = 5;
    /// The wait ran out.
    pub(crate) const TIMED_OUT: u8 = 6;
    /// The manager refused.
    pub(crate) const REFUSED: u8 = 7;
    /// Something inside, or the system, failed.
    pub(crate) const INTERNAL: u8 = 8;
}

/// Why a command did not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The command line is well-formed but makes no sense.
    #[error("{what}")]
    Usage {
        /// What is wrong.
        what: String,
        /// What to do.
        help: String,
    },
    /// The fleet file has errors; `rendered` shows them all, with places.
    #[error("{rendered}")]
    Invalid {
        /// Diagnostics as shown to a person.
        rendered: String,
        /// The same for programs.
        diagnostics: serde_json::Value,
    },
    /// There is no fleet file.
    #[error("no fleet file found")]
    NoFleetFile {
        /// Where it was looked for.
        searched: String,
    },
    /// No manager answers.
    #[error("no manager is running")]
    NoManager {
        /// Its socket.
        socket: PathBuf,
        /// Why it does not answer, when there is more to say than that.
        why: Option<String>,
    },
    /// The manager ended while it was being started.
    #[error("the manager could not start")]
    ManagerDied {
        /// What it said last.
        last_lines: String,
        /// Its log.
        log: PathBuf,
    },
    /// No such daemon, profile or selector.
    #[error("nothing is called `{name}`")]
    Unknown {
        /// As given.
        name: String,
        /// A name that is close.
        suggestion: Option<String>,
    },
    /// No such task is kept.
    #[error("there is no task {id}")]
    NoTask {
        /// As given.
        id: u64,
    },
    /// The wait ran out.
    #[error("timed out: {what}")]
    TimedOut {
        /// What had not happened.
        what: String,
        /// What to do.
        help: String,
    },
    /// The manager refused.
    #[error("{}", refusal_text(.0))]
    Refused(Refusal),
    /// A file could not be used.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// `read`, `write`, …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Standard output could not be written.
    #[error("cannot write the output: {0}")]
    Output(io::Error),
    /// The manager answered with something else than agreed.
    #[error("the manager answered with an error: {0}")]
    Remote(String),
    /// Something that should not happen.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// Wraps an error of a file.
    pub(crate) fn file(action: &'static str, path: &std::path::Path, source: io::Error) -> Self {
        Self::File {
            action,
            path: path.to_owned(),
            source,
        }
    }

    /// The documented exit code.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage { .. } => code::USAGE,
            Self::Invalid { .. } | Self::NoFleetFile { .. } => code::INVALID,
            Self::NoManager { .. } => code::NO_MANAGER,
            Self::Unknown { .. } | Self::NoTask { .. } => code::UNKNOWN,
            Self::TimedOut { .. } => code::TIMED_OUT,
            Self::Refused(
                Refusal::UnknownUnit { .. }
                | Refusal::UnknownProfile { .. }
                | Refusal::Unknown { .. },
            ) => code::UNKNOWN,
            Self::Refused(_) => code::REFUSED,
            Self::ManagerDied { .. }
            | Self::File { .. }
            | Self::Output(_)
            | Self::Remote(_)
            | Self::Internal(_) => code::INTERNAL,
        }
    }

    /// Where or why, when the first line does not say it.
    fn detail(&self) -> Option<String> {
        match self {
            Self::NoFleetFile { searched } => Some(format!("looked for {searched}")),
            Self::NoManager { socket, why } => Some(match why {
                Some(why) => format!("{}: {why}", socket.display()),
                None => format!("nothing listens on {}", socket.display()),
            }),
            Self::ManagerDied { last_lines, log } => Some(format!(
                "it said last, in {}:\n{}",
                log.display(),
                last_lines.trim_end()
            )),
            _ => None,
        }
    }

    /// What to do.
    fn help(&self) -> Option<String> {
        match self {
            Self::Usage { help, .. } | Self::TimedOut { help, .. } => Some(help.clone()),
            Self::NoFleetFile { .. } => {
                Some("`eud init` writes a first one, `-f FILE` names another".into())
            }
            Self::NoManager { .. } => Some("`eud up` starts the manager and the fleet".into()),
            Self::Unknown { suggestion, .. } => Some(match suggestion {
                Some(name) => format!("did you mean `{name}`?"),
                None => "`eud status --all` lists every daemon".into(),
            }),
            Self::NoTask { .. } => Some("`eud task list` shows those that are kept".into()),
            Self::Refused(refusal) => refusal_help(refusal),
            Self::ManagerDied { log, .. } => Some(format!("read {}", log.display())),
            Self::Remote(_) => {
                Some("if client and manager differ in version: `eud upgrade`".into())
            }
            _ => None,
        }
    }

    /// The whole message for a person, ending in a newline.
    pub(crate) fn render(&self) -> String {
        let mut text = match self {
            Self::Invalid { rendered, .. } => return format!("{}\n", rendered.trim_end()),
            other => format!("error: {other}\n"),
        };
        for (label, part) in [("", self.detail()), ("help: ", self.help())] {
            for (index, line) in part.iter().flat_map(|p| p.lines()).enumerate() {
                let lead = if index == 0 { label } else { "" };
                text.push_str(&format!("  {lead}{line}\n"));
            }
        }
        text
    }

    /// The whole message for a program.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let mut error = serde_json::json!({
            "code": self.exit_code(),
            "message": self.to_string(),
            "detail": self.detail(),
            "help": self.help(),
        });
        match self {
            Self::Invalid { diagnostics, .. } => error["diagnostics"] = diagnostics.clone(),
            Self::Refused(refusal) => error["refusal"] = serde_json::json!(refusal),
            _ => {}
        }
        serde_json::json!({ "error": error })
    }
}

/// A refusal in words.
pub(crate) fn refusal_text(refusal: &Refusal) -> String {
    match refusal {
        Refusal::UnknownUnit { unit } => format!("no daemon is called `{unit}`"),
        Refusal::UnknownProfile { profile } => format!("no profile is called `{profile}`"),
        Refusal::Held { unit, reason } => format!("`{unit}` is held: {reason}"),
        Refusal::Disabled { unit } => format!("`{unit}` is disabled (`enabled = false`)"),
        Refusal::Conflict { unit, with } => {
            format!("`{unit}` conflicts with `{with}`, which runs or is wanted")
        }
        Refusal::NotRunning { unit, state } => {
            format!("`{unit}` is {state}, so it has no process to signal")
        }
        Refusal::NotAJob { unit } => format!("`{unit}` is a service: only jobs are triggered"),
        Refusal::ShuttingDown => "the manager is shutting down".into(),
        Refusal::BadEvent { why, .. } => why.clone(),
        Refusal::Unknown { what, name } => format!("there is no {what} `{name}`"),
        Refusal::Invalid { why } | Refusal::Full { why } => why.clone(),
    }
}

/// What to do about a refusal.
fn refusal_help(refusal: &Refusal) -> Option<String> {
    Some(match refusal {
        Refusal::UnknownUnit { .. } => "`eud status --all` lists every daemon".into(),
        Refusal::UnknownProfile { .. } => "`eud check` lists the profiles".into(),
        Refusal::Held { unit, .. } => format!("`eud release {unit}`"),
        Refusal::Disabled { .. } => "enable it in the fleet file, then `eud reload`".into(),
        Refusal::Conflict { with, .. } => format!("`eud stop {with}` first"),
        Refusal::NotRunning { unit, .. } => format!("`eud start {unit}`"),
        Refusal::NotAJob { unit } => format!("`eud start {unit}` or `eud restart {unit}`"),
        Refusal::ShuttingDown => "wait until it has ended, then `eud up`".into(),
        Refusal::Unknown { what, .. } if what == "task" => {
            "`eud task list` shows those that are kept".into()
        }
        Refusal::Unknown { what, .. } => match what.as_str() {
            "pool" => "`eud pool list` shows them".into(),
            "subscription" => "`eud subscriptions` shows them".into(),
            "dead letter" => "`eud dlq list` shows them".into(),
            "rule" => "`eud rule list` shows them".into(),
            "channel" => "`eud channels` shows them".into(),
            "message" => "`eud channels messages` shows them".into(),
            "approval" => "`eud approvals list --all` shows them".into(),
            _ => return None,
        },
        Refusal::Invalid { .. } | Refusal::Full { .. } => return None,
        Refusal::BadEvent { .. } => "correct it and publish it again; nothing was stored".into(),
    })
}

impl From<ClientError> for Error {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::NotRunning { socket, source } => {
                let plain = matches!(
                    source.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                );
                Self::NoManager {
                    socket,
                    why: (!plain).then(|| source.to_string()),
                }
            }
            ClientError::Closed { socket } => Self::NoManager {
                socket,
                why: Some("the connection was closed".into()),
            },
            ClientError::TimedOut { method, seconds } => Self::TimedOut {
                what: format!("the manager did not answer `{method}` within {seconds} s"),
                help: "`eud logs --manager` shows what it does".into(),
            },
            ClientError::Refused(refusal) => Self::Refused(refusal),
            ClientError::Invalid {
                rendered,
                diagnostics,
            } => Self::Invalid {
                rendered,
                diagnostics,
            },
            ClientError::Unknown {
                selector,
                suggestion,
            } => Self::Unknown {
                name: selector,
                suggestion,
            },
            other => Self::Remote(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_what_why_and_what_to_do() {
        let error = Error::NoManager {
            socket: "/x/eud.sock".into(),
            why: None,
        };
        assert_eq!(
            error.render(),
            "error: no manager is running\n  nothing listens on /x/eud.sock\n  \
             help: `eud up` starts the manager and the fleet\n"
        );
        assert_eq!(error.exit_code(), 4);
    }

    #[test]
    fn an_unknown_unit_is_code_5_and_other_refusals_7() {
        let unknown = Error::Refused(Refusal::UnknownUnit { unit: "x".into() });
        assert_eq!(unknown.exit_code(), 5);
        let held = Error::Refused(Refusal::Held {
            unit: "x".into(),
            reason: "why not".into(),
        });
        assert_eq!(held.exit_code(), 7);
        assert_eq!(held.to_json()["error"]["refusal"]["kind"], "held");
        assert!(held.render().contains("help: `eud release x`"));
    }
}
