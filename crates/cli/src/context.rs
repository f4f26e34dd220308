//! Where the fleet is and how to show it.
//!
//! Purpose: what every command needs before it does anything: fleet file, state directory, output.
//! Invariants: nothing is created or changed here; output that nobody reads any more ends the
//! command quietly.
//! Deliberately absent: reading the fleet file, unless a command asks for it.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use eud_api::client::Client;
use eud_core::view::Status;
use eud_manager::Layout;

use crate::args::{Common, When};
use crate::error::Error;
use crate::render::Screen;
use crate::render::time::Clock;

/// Columns when the output is no terminal.
const WIDTH_WITHOUT_TERMINAL: usize = 100;

/// What every command needs.
#[derive(Debug)]
pub(crate) struct Context {
    /// Options of every command.
    pub(crate) common: Common,
    /// Whether standard output is a terminal.
    pub(crate) terminal: bool,
}

impl Context {
    /// From the command line.
    pub(crate) fn new(common: Common) -> Self {
        Self {
            common,
            terminal: io::stdout().is_terminal(),
        }
    }

    /// The fleet file: the one asked for, or the one in this folder or above.
    ///
    /// # Errors
    /// [`Error::NoFleetFile`] when there is none.
    pub(crate) fn fleet_file(&self) -> Result<PathBuf, Error> {
        let here = std::env::current_dir().map_err(|e| Error::file("read", Path::new("."), e))?;
        if let Some(file) = &self.common.file {
            let path = std::path::absolute(file).map_err(|e| Error::file("read", file, e))?;
            return match path.try_exists() {
                Ok(true) => Ok(path),
                _ => Err(Error::NoFleetFile {
                    searched: path.display().to_string(),
                }),
            };
        }
        eud_config::find(&here).ok_or_else(|| Error::NoFleetFile {
            searched: format!("eud.toml in {} and the folders above", here.display()),
        })
    }

    /// Where the state is: `--state`, `EUD_STATE`, the platform's, or `.eud` beside the fleet file.
    ///
    /// # Errors
    /// When it can only be known from a fleet file and there is none.
    pub(crate) fn layout(&self) -> Result<Layout, Error> {
        let asked = self.common.state.clone();
        let given = asked.or_else(|| std::env::var_os("EUD_STATE").map(PathBuf::from));
        let root = match given {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ if self.common.system => system_state_dir(),
            _ => match self.fleet_file()?.parent() {
                Some(folder) => folder.join(".eud"),
                None => PathBuf::from(".eud"),
            },
        };
        let root = std::path::absolute(&root).map_err(|e| Error::file("use", &root, e))?;
        Ok(Layout::new(root))
    }

    /// A connection to the manager.
    ///
    /// # Errors
    /// [`Error::NoManager`] when none answers.
    pub(crate) fn client(&self) -> Result<Client, Error> {
        Ok(Client::connect(&self.layout()?.socket())?)
    }

    /// The terminal as it is now.
    pub(crate) fn screen(&self) -> Screen {
        let size = self.terminal.then(terminal_size::terminal_size).flatten();
        let asked = std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok());
        let width = size
            .map(|(w, _)| usize::from(w.0))
            .filter(|w| *w > 0)
            .or(asked);
        Screen {
            color: self.color(),
            width: width.unwrap_or(WIDTH_WITHOUT_TERMINAL).clamp(20, 400),
            height: size.map(|(_, h)| usize::from(h.0)).filter(|h| *h > 0),
            verbose: self.common.verbose,
            clock: Clock::system(),
        }
    }

    /// Whether to colour standard output.
    pub(crate) fn color(&self) -> bool {
        self.color_of(self.terminal)
    }

    /// Whether to colour an output that is, or is not, a terminal.
    pub(crate) fn color_of(&self, terminal: bool) -> bool {
        let set = |name| std::env::var_os(name).is_some_and(|v| !v.is_empty());
        match self.common.color {
            When::Always => true,
            When::Never => false,
            When::Auto => {
                terminal
                    && !set("NO_COLOR")
                    && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
            }
        }
    }

    /// Whether to show progress that redraws itself.
    pub(crate) fn live(&self) -> bool {
        self.terminal
            && !self.common.json
            && std::env::var_os("TERM").is_some_and(|term| term != "dumb")
    }
}

/// `$XDG_STATE_HOME/eud`, `/var/lib/eud` for root, `~/Library/Application Support/eud` on macOS.
fn system_state_dir() -> PathBuf {
    let home = || std::env::var_os("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from);
    if eud_sys::socket::own_uid() == 0 {
        return PathBuf::from("/var/lib/eud");
    }
    if cfg!(target_os = "macos") {
        return home().join("Library/Application Support/eud");
    }
    let state = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|p| p.is_absolute());
    state
        .unwrap_or_else(|| home().join(".local/state"))
        .join("eud")
}

/// The status, from the manager.
///
/// # Errors
/// As the client's.
pub(crate) fn status(client: &mut Client) -> Result<Status, Error> {
    Ok(client.call("fleet.status", &serde_json::json!({}))?)
}

/// Writes to standard output.
///
/// # Errors
/// [`Error::Output`], which for a reader that went away is not shown.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(Error::Output)
}

/// Writes a value as JSON, indented, with a newline.
///
/// # Errors
/// As [`print`].
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Error::Internal(e.to_string()))?;
    print(&format!("{text}\n"))
}
