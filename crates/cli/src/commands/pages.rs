//! `eud schema`, `eud completions`, `eud man`: texts made from descriptions in this program.

use std::io::Write;

use clap_complete::Shell;

use crate::args;
use crate::context;
use crate::error::Error;

/// `eud schema`
///
/// # Errors
/// When the output cannot be written.
pub(crate) fn schema() -> Result<(), Error> {
    context::print_json(&eud_config::schema())
}

/// `eud completions`
///
/// # Errors
/// When the output cannot be written.
pub(crate) fn completions(shell: Shell) -> Result<(), Error> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut args::command(), "eud", &mut text);
    std::io::stdout()
        .lock()
        .write_all(&text)
        .map_err(Error::Output)
}

/// `eud man`: one page, each command a section.
///
/// # Errors
/// When the output cannot be written.
pub(crate) fn man() -> Result<(), Error> {
    let mut text = Vec::new();
    render_man(&mut text).map_err(Error::Output)?;
    std::io::stdout()
        .lock()
        .write_all(&text)
        .map_err(Error::Output)
}

fn render_man(out: &mut Vec<u8>) -> std::io::Result<()> {
    let mut command = args::command();
    command.build();
    let page = clap_mangen::Man::new(command.clone());
    page.render_title(out)?;
    page.render_name_section(out)?;
    page.render_synopsis_section(out)?;
    page.render_options_section(out)?;
    writeln!(out, ".SH COMMANDS")?;
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        let usage = sub.clone().render_usage().to_string();
        writeln!(out, ".SS \"{}\"", roff(usage.trim_start_matches("Usage: ")))?;
        let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
        writeln!(out, "{}.", roff(&about))?;
        let common = Some("Common options");
        for arg in sub
            .get_arguments()
            .filter(|a| a.get_help_heading() != common && a.get_id() != "help")
        {
            writeln!(out, ".TP\n\\fB{}\\fR", roff(&arg.to_string()))?;
            writeln!(
                out,
                "{}",
                roff(&arg.get_help().map(ToString::to_string).unwrap_or_default())
            )?;
        }
        if let Some(after) = sub.get_after_help() {
            writeln!(out, ".PP\n.nf\n{}\n.fi", roff(&after.to_string()))?;
        }
    }
    writeln!(out, ".SH EXIT STATUS\n.nf\n{}\n.fi", roff(EXIT_CODES))?;
    writeln!(out, ".SH FILES\n.nf\n{}\n.fi", roff(FILES))?;
    writeln!(out, ".SH ENVIRONMENT\n.nf\n{}\n.fi", roff(ENVIRONMENT))
}

const EXIT_CODES: &str = "\
0  everything is as asked
1  the fleet or a daemon is not as asked
2  the command line is wrong
3  the fleet file is invalid or missing
4  no manager is running
5  no daemon, profile or selector of that name
6  the wait ran out
7  the manager refused
8  something inside, or the system, failed";

const FILES: &str = "\
eud.toml                        the fleet file
.eud/state.db                   what must be remembered
.eud/eud.sock                   the manager's control socket
.eud/manager.log                the manager's own log
.eud/daemons/NAME/log/current   a daemon's output
.eud/tasks/ID/                  a run of `eud run`";

const ENVIRONMENT: &str = "\
EUD_STATE    state directory, as --state
EUD_KEEPER   path of eud-keeper, when it is not beside eud
NO_COLOR     no colour, when not empty";

/// Text as roff takes it: no backslash, no leading dot or quote.
fn roff(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        if line.starts_with(['.', '\'']) {
            format!("\\&{line}")
        } else {
            line
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_names_every_command() {
        let mut text = Vec::new();
        render_man(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        for sub in args::command()
            .get_subcommands()
            .filter(|s| !s.is_hide_set())
        {
            let section = text
                .lines()
                .any(|l| l.starts_with(".SS") && l.contains(sub.get_name()));
            assert!(section, "{}", sub.get_name());
        }
        assert!(!text.contains("eud manager"));
    }
}
