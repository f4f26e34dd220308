//! The command line.
//!
//! Purpose: the one description from which parser, help, completions and the manual page are made.
//! Invariants: `eud --help` fits a screen and names every command that is not hidden; every command
//! has an example. `-f` is the fleet file everywhere but in `logs` and `events`, where it
//! follows.

mod events;
mod task;

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::styling;
use clap::{Arg, Args, ColorChoice, CommandFactory, Parser, Subcommand, ValueEnum, ValueHint};

use crate::render::time::parse_duration;

pub(crate) use events::{
    DeadArgs, DlqArgs, DlqCommand, EmitArgs, EventsArgs, SubscriptionsArgs, SubscriptionsCommand,
};
pub(crate) use task::{
    ListArgs, PoolArgs, PoolCommand, SubmitArgs, TaskArgs, TaskCommand, TaskLogsArgs, WhichArgs,
};

/// What `eud --help` says, below the first line.
const HELP: &str = "\
{name} {version}: keeps a fleet of daemons well

Run
  up           start the fleet, wait until ready    eud up --profile minimal
  down         stop the fleet and its manager       eud down --keep-daemons
  start        start daemons                        eud start rag-drain
  stop         stop them, and first what needs them eud stop 'tag:nightly'
  restart      stop and start them                  eud restart 'category:rag'
  trigger      run a job now                        eud trigger backup --wait
  kill         send a signal                        eud kill HUP nginx
  hold         stop them and keep them down         eud hold api -m 'key leaked'
  release      end a hold, or the pause of a job    eud release api
  reload       take over a changed fleet file       eud reload
  run          run a command once, under a keeper   eud run -- make dataset
  upgrade      replace manager, keep daemons        eud upgrade
Look
  status       is it well, and if not, why          eud status failing
  why          the chain of causes of one daemon    eud why rag-mc
  logs         output, merged by time               eud logs -f rag-drain
  show         everything known of one daemon       eud show rag-drain
  runs         its runs, how they ended             eud runs rag-drain
  graph        what needs what                      eud graph --format mermaid
  next         when jobs run next                   eud next backup -n 3
  gauges       sampled numbers, and what they pause eud gauges
Events and tasks
  emit         publish an event                     eud emit model.promoted v=7
  events       what happened, as it happens         eud events -f -t 'job.*'
  subscriptions  where events go, who is behind     eud subscriptions
  dlq          events nobody took; retry, drop      eud dlq retry --all
  task         submit, list, show, wait, cancel …   eud task list
  pool         list, pause and resume pools         eud pool pause agents
Set up
  init         write a first fleet file             eud init
  check        check the fleet file                 eud check
  schema       its JSON Schema, for editors         eud schema > s.json
  completions  for bash, zsh, fish and others       eud completions zsh
  man          the manual page                      eud man | man -l -

Options (before or after the command)
  -f, --file FILE     fleet file; default: eud.toml here or in a folder above
      --state DIR     state directory; default: EUD_STATE, .eud beside the file
      --system        the platform's state directory instead
      --color WHEN    auto, always, never; NO_COLOR is honoured
      --json          for programs
  -v, --verbose       absolute times
  -V, --version

Daemons are named by name, glob, category:, tag:, profile:, and !not.
Exit codes: 0 as asked, 1 not as asked, 2 usage, 3 fleet file invalid,
4 no manager, 5 unknown name, 6 timed out, 7 refused, 8 internal.
eud COMMAND --help says more.
";

/// Keeps a fleet of daemons well.
#[derive(Debug, Parser)]
#[command(name = "eud", version, help_template = HELP, disable_help_subcommand = true)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// Common options.
    #[command(flatten)]
    pub(crate) common: Common,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// Fleet file, given before the command.
    #[arg(short = 'f', long = "file", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,
    /// State directory; default: `.eud` beside the fleet file.
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    #[arg(help_heading = "Common options")]
    pub(crate) state: Option<PathBuf>,
    /// The platform's state directory instead.
    #[arg(
        long,
        global = true,
        conflicts_with = "state",
        help_heading = "Common options"
    )]
    pub(crate) system: bool,
    /// When to colour; NO_COLOR is honoured.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    #[arg(help_heading = "Common options")]
    pub(crate) color: When,
    /// Answer in JSON, for programs.
    #[arg(long, global = true, help_heading = "Common options")]
    pub(crate) json: bool,
    /// Absolute times.
    #[arg(short, long, global = true, help_heading = "Common options")]
    pub(crate) verbose: bool,
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// On a terminal without NO_COLOR.
    Auto,
    /// In any case.
    Always,
    /// In no case.
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the fleet and wait until it is ready
    #[command(after_help = "Example: eud up --profile minimal --wait 2m")]
    Up(UpArgs),
    /// Stop the fleet and its manager
    #[command(after_help = "Example: eud down --keep-daemons")]
    Down(DownArgs),
    /// Is the fleet well, and if not, why
    #[command(after_help = "\
Classes: failing, well, or a state: ready, up, running, scheduled, degraded,
starting, waiting, stopping, backoff, cool-down, failed, overdue, unknown,
paused, held, done, stopped.

Examples: eud status failing
          eud status 'category:rag'
          eud status --watch")]
    Status(StatusArgs),
    /// Start daemons and what they need
    #[command(after_help = "Example: eud start rag-drain 'category:monitoring'")]
    Start(ChangeArgs),
    /// Stop daemons, and first what needs them
    #[command(after_help = "Example: eud stop 'tag:nightly' '!db-backup'")]
    Stop(ChangeArgs),
    /// Stop and start daemons and what needs them
    #[command(after_help = "Example: eud restart 'rag-*'")]
    Restart(ChangeArgs),
    /// Run jobs now, whatever their schedules say
    #[command(after_help = "\
Exit codes with --wait: 0 when every run succeeded, 1 when one did not, 6 when
the wait ran out. Without it: 1 when nothing was brought about.

Examples: eud trigger nightly-backup
          eud trigger nightly-backup --wait
          eud trigger 'tag:nightly' --wait=10m")]
    Trigger(TriggerArgs),
    /// Send a signal to the daemons' commands
    #[command(after_help = "Example: eud kill HUP nginx")]
    Kill(KillArgs),
    /// Stop daemons and keep them down until released
    #[command(after_help = "Example: eud hold api -m 'key leaked, see #12'")]
    Hold(HoldArgs),
    /// End a hold, or the pause of a job
    #[command(after_help = "Example: eud release api")]
    Release(ChangeArgs),
    /// Show output, merged by time
    #[command(after_help = "\
Reads the files, so it works without a manager, also on rotated and compressed ones.

Examples: eud logs -f rag-drain
          eud logs --since 13:20 --grep 'timed? out'
          eud logs -n all api > api.log")]
    Logs(LogsArgs),
    /// Show a daemon's runs and how they ended
    #[command(after_help = "Example: eud runs rag-drain -n 50")]
    Runs(RunsArgs),
    /// Show everything known of one daemon
    #[command(after_help = "Example: eud show rag-drain")]
    Show(NameArgs),
    /// Tell the chain of causes of one daemon
    #[command(after_help = "Example: eud why rag-mc")]
    Why(NameArgs),
    /// Show what needs what
    #[command(after_help = "\
Examples: eud graph rag-mc
          eud graph --format dot | dot -Tsvg > fleet.svg")]
    Graph(GraphArgs),
    /// Tell when jobs run next, or when an expression comes true
    #[command(after_help = "\
Without an expression it is about the jobs of the fleet file; no manager is needed.

Examples: eud next
          eud next nightly-backup -n 3
          eud next --cron '30 2 * * 1-5' --tz Europe/Oslo
          eud next --calendar 'Mon..Fri 09:00' -n 3 --json")]
    Next(NextArgs),
    /// Show gauges and gates: values, limits, who is paused
    #[command(after_help = "Example: eud gauges --json")]
    Gauges,
    /// Publish an event
    #[command(after_help = "\
The event is on the disk when this returns.

Examples: eud emit model.promoted model=llama v:=7
          git diff --stat | eud emit review.asked --data '\"now\"'
          eud emit --lines events.jsonl")]
    Emit(EmitArgs),
    /// Show what happened
    #[command(after_help = "\
Examples: eud events -t 'daemon.*' --since 1h
          eud events -f --json
          eud events --types")]
    Events(EventsArgs),
    /// Show where events go, pause, resume and replay
    #[command(after_help = "Example: eud subscriptions pause index")]
    Subscriptions(SubscriptionsArgs),
    /// Show events that could not be delivered, try again, forget
    #[command(after_help = "Example: eud dlq show 7")]
    Dlq(DlqArgs),
    /// Submit tasks to pools, and see what becomes of them
    #[command(after_help = "Example: eud task submit --pool agents --prompt 'Fix the test' --wait")]
    Task(TaskArgs),
    /// Show, pause and resume pools of tasks
    #[command(after_help = "Example: eud pool list")]
    Pool(PoolArgs),
    /// Take over a changed fleet file
    #[command(
        after_help = "Says which daemons restart and which of their keys changed.\n\nExample: eud reload"
    )]
    Reload(WaitArgs),
    /// Check the fleet file
    #[command(after_help = "Example: eud check -f staging.toml")]
    Check,
    /// Write a first fleet file
    #[command(after_help = "Example: eud init && eud check && eud up")]
    Init(InitArgs),
    /// Print the JSON Schema of the fleet file
    #[command(after_help = "Example: eud schema > eud.schema.json")]
    Schema,
    /// Replace the manager by this program's; daemons keep their processes
    #[command(after_help = "Example: eud upgrade")]
    Upgrade(WaitArgs),
    /// Run a command once, under a keeper
    #[command(after_help = "\
The run has a folder, a log and an exit record like any other; no manager is
needed. Ctrl-C stops it and everything it started.

Examples: eud run -- make dataset
          eud run --detach --timeout 2h -- python train.py")]
    Run(RunArgs),
    /// Print completions for a shell
    #[command(after_help = "Example: eud completions zsh > ~/.zfunc/_eud")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    #[command(after_help = "Example: eud man | man -l -")]
    Man,
    /// Be the manager; `eud up` starts it
    #[command(hide = true)]
    Manager(ManagerArgs),
    /// Run the command of an interactive task in a window of tmux
    #[command(hide = true)]
    Pane(PaneArgs),
}

/// `eud up`
#[derive(Debug, Clone, Args)]
pub(crate) struct UpArgs {
    /// Profile to bring up; default: the fleet's own.
    #[arg(long, short, value_name = "PROFILE")]
    pub(crate) profile: Option<String>,
    /// Be the manager in this process, print what happens, and stop the fleet at the end.
    #[arg(long)]
    pub(crate) foreground: bool,
    /// How long to wait until everything is settled; 0s returns at once.
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// `--wait`
#[derive(Debug, Clone, Args)]
pub(crate) struct WaitArgs {
    /// How long to wait until everything is settled; 0s returns at once.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
    pub(crate) wait: Duration,
}

/// `eud down`
#[derive(Debug, Clone, Args)]
pub(crate) struct DownArgs {
    /// End the manager only; the daemons go on under their keepers.
    #[arg(long)]
    pub(crate) keep_daemons: bool,
    /// How long to wait until everything has ended.
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = parse_duration)]
    pub(crate) wait: Duration,
}

/// `eud status`
#[derive(Debug, Clone, Args)]
pub(crate) struct StatusArgs {
    /// Classes or selectors; default: the whole fleet on one screen.
    #[arg(value_name = "CLASS|DAEMON")]
    pub(crate) which: Vec<String>,
    /// Redraw whenever something changes.
    #[arg(long, short)]
    pub(crate) watch: bool,
    /// Every daemon, none folded.
    #[arg(long, short)]
    pub(crate) all: bool,
}

/// `eud start|stop|restart|release`
#[derive(Debug, Clone, Args)]
pub(crate) struct ChangeArgs {
    /// Selectors: name, glob, `category:`, `tag:`, `profile:`, `!not`.
    #[arg(value_name = "DAEMON", required = true)]
    pub(crate) names: Vec<String>,
    /// How long to wait.
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// `eud kill`
#[derive(Debug, Clone, Args)]
pub(crate) struct KillArgs {
    /// Signal, such as HUP or SIGUSR1.
    #[arg(value_name = "SIGNAL")]
    pub(crate) signal: String,
    /// Selectors.
    #[arg(value_name = "DAEMON", required = true)]
    pub(crate) names: Vec<String>,
}

/// `eud trigger`
#[derive(Debug, Clone, Args)]
pub(crate) struct TriggerArgs {
    /// Selectors of jobs.
    #[arg(value_name = "JOB", required = true)]
    pub(crate) names: Vec<String>,
    /// Wait for the end of the runs; with =DURATION for so long at most.
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "365d", value_parser = parse_duration)]
    pub(crate) wait: Option<Duration>,
}

/// `eud next`
#[derive(Debug, Clone, Args)]
pub(crate) struct NextArgs {
    /// Selectors of jobs; default: every job of the fleet.
    #[arg(value_name = "JOB", conflicts_with_all = ["cron", "calendar", "tz"])]
    pub(crate) names: Vec<String>,
    /// Cron expression: five fields, or six with seconds first, or as @daily.
    #[arg(long, value_name = "EXPRESSION", conflicts_with = "calendar")]
    pub(crate) cron: Option<String>,
    /// Calendar expression, as systemd has it.
    #[arg(long, value_name = "EXPRESSION")]
    pub(crate) calendar: Option<String>,
    /// Time zone in which it is meant; default: this machine's.
    #[arg(long, value_name = "ZONE")]
    pub(crate) tz: Option<String>,
    /// How many times; default 10, and for every job of the fleet 1.
    #[arg(short = 'n', long, value_name = "TIMES")]
    pub(crate) count: Option<usize>,
    /// Times later than this one, in RFC 3339; default: now.
    #[arg(long, value_name = "TIME")]
    pub(crate) after: Option<String>,
}

/// `eud hold`
#[derive(Debug, Clone, Args)]
pub(crate) struct HoldArgs {
    /// Selectors.
    #[arg(value_name = "DAEMON", required = true)]
    pub(crate) names: Vec<String>,
    /// Why; shown until the release.
    #[arg(long, short = 'm', value_name = "TEXT", default_value = "held by hand")]
    pub(crate) reason: String,
    /// How long to wait.
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// `eud logs`
#[derive(Debug, Clone, Args)]
pub(crate) struct LogsArgs {
    /// Selectors; default: every daemon.
    #[arg(value_name = "DAEMON")]
    pub(crate) names: Vec<String>,
    /// Go on as lines come.
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Last lines to show, or `all`. Default 100, and `all` with --since or --grep.
    #[arg(short = 'n', long, value_name = "LINES", value_parser = parse_lines)]
    pub(crate) lines: Option<Lines>,
    /// Only lines since then: `10m`, `13:20`, `2026-11-23`, RFC 3339.
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<String>,
    /// Only lines until then.
    #[arg(long, value_name = "WHEN")]
    pub(crate) until: Option<String>,
    /// Only lines that match this regular expression.
    #[arg(long, short, value_name = "REGEX")]
    pub(crate) grep: Option<String>,
    /// Only standard error.
    #[arg(long)]
    pub(crate) stderr: bool,
    /// Only the text, without time and name.
    #[arg(long)]
    pub(crate) raw: bool,
    /// The manager's own log instead.
    #[arg(long, conflicts_with = "names")]
    pub(crate) manager: bool,
}

/// How many lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lines {
    /// Every one.
    All,
    /// The last so many.
    Last(usize),
}

fn parse_lines(text: &str) -> Result<Lines, String> {
    match text {
        "all" => Ok(Lines::All),
        _ => text
            .parse()
            .map(Lines::Last)
            .map_err(|_| format!("`{text}` is no number, nor `all`")),
    }
}

/// `eud runs`
#[derive(Debug, Clone, Args)]
pub(crate) struct RunsArgs {
    /// The daemon.
    #[arg(value_name = "DAEMON")]
    pub(crate) name: String,
    /// Last runs to show.
    #[arg(short = 'n', long, value_name = "RUNS", default_value_t = 20)]
    pub(crate) limit: u32,
}

/// One name.
#[derive(Debug, Clone, Args)]
pub(crate) struct NameArgs {
    /// The daemon.
    #[arg(value_name = "DAEMON")]
    pub(crate) name: String,
}

/// `eud graph`
#[derive(Debug, Clone, Args)]
pub(crate) struct GraphArgs {
    /// Selectors; default: every daemon.
    #[arg(value_name = "DAEMON")]
    pub(crate) names: Vec<String>,
    /// How to write it.
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: GraphFormat,
    /// Also what daemons read, write and listen on.
    #[arg(long)]
    pub(crate) wiring: bool,
}

/// How to write a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    /// A tree of text.
    Text,
    /// Mermaid flowchart.
    Mermaid,
    /// Graphviz.
    Dot,
}

/// `eud init`
#[derive(Debug, Clone, Args)]
pub(crate) struct InitArgs {
    /// Overwrite a file that is there.
    #[arg(long)]
    pub(crate) force: bool,
}

/// `eud run`
#[derive(Debug, Clone, Args)]
pub(crate) struct RunArgs {
    /// Return at once; the run goes on.
    #[arg(long, short)]
    pub(crate) detach: bool,
    /// Stop it after this long.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) timeout: Option<Duration>,
    /// Time between the stop signal and the kill.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    pub(crate) grace: Duration,
    /// The command and its arguments.
    #[arg(value_name = "COMMAND", required = true, last = true)]
    pub(crate) command: Vec<String>,
}

/// Hidden `eud pane`
#[derive(Debug, Clone, Args)]
pub(crate) struct PaneArgs {
    /// The run's folder.
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
    /// In the window: process id of whoever made it.
    #[arg(long)]
    pub(crate) of: Option<u32>,
    /// Become the command.
    #[arg(long, requires = "of")]
    pub(crate) last: bool,
    /// The command and its arguments.
    #[arg(last = true)]
    pub(crate) command: Vec<std::ffi::OsString>,
}

/// Hidden `eud manager`
#[derive(Debug, Clone, Args)]
pub(crate) struct ManagerArgs {
    /// The fleet file.
    #[arg(long)]
    pub(crate) fleet: PathBuf,
    /// The state directory.
    #[arg(long)]
    pub(crate) dir: PathBuf,
    /// Profile to bring up.
    #[arg(long)]
    pub(crate) profile: Option<String>,
}

/// The parser with what derive cannot say: `-f FILE` after each command but `logs` and `events`.
pub(crate) fn command() -> clap::Command {
    let file = Arg::new("fleet-file")
        .long("file")
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .value_hint(ValueHint::FilePath)
        .help("Fleet file; default: eud.toml here or in a folder above")
        .help_heading("Common options");
    let mut command = Cli::command().styles(styles());
    let names: Vec<String> = names_of(&command);
    for name in names.iter().filter(|name| *name != "manager") {
        command = command.mut_subcommand(name, |c| with_file(c, &file));
    }
    command
}

fn names_of(command: &clap::Command) -> Vec<String> {
    let names = command.get_subcommands().map(|c| c.get_name().to_owned());
    names.collect()
}

/// With `-f` after it and after each command within it.
fn with_file(command: clap::Command, file: &Arg) -> clap::Command {
    let follows = matches!(command.get_name(), "logs" | "events");
    let inner = names_of(&command);
    let mut command = command.arg(match follows {
        true => file.clone(),
        false => file.clone().short('f'),
    });
    for name in inner {
        command = command.mut_subcommand(name, |c| with_file(c, file));
    }
    command
}

fn styles() -> styling::Styles {
    let bold = styling::Style::new().bold();
    styling::Styles::plain()
        .header(bold)
        .usage(bold)
        .error(styling::AnsiColor::Red.on_default())
}

/// Parses the command line.
///
/// # Errors
/// As clap has them; help and version are errors too.
pub(crate) fn parse(
    words: impl IntoIterator<Item = std::ffi::OsString>,
) -> Result<Cli, clap::Error> {
    use clap::FromArgMatches;
    let words: Vec<_> = words.into_iter().collect();
    let mut command = command();
    if plain_wanted(&words) {
        command = command.color(ColorChoice::Never);
    }
    let matches = command.try_get_matches_from_mut(words)?;
    let mut cli = Cli::from_arg_matches(&matches).map_err(|e| e.format(&mut command))?;
    // The last one given counts.
    let mut within = matches.subcommand();
    while let Some((_, matches)) = within {
        let after = matches.try_get_one::<PathBuf>("fleet-file");
        cli.common.file = after.ok().flatten().cloned().or(cli.common.file);
        within = matches.subcommand();
    }
    Ok(cli)
}

/// `--color` is needed before the command line is parsed, for the parser's own messages.
fn plain_wanted(words: &[std::ffi::OsString]) -> bool {
    words
        .windows(2)
        .any(|w| w[0] == "--color" && w[1] == "never")
        || words.iter().any(|w| w == "--color=never")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Cli, clap::Error> {
        parse(line.split_whitespace().map(Into::into))
    }

    #[test]
    fn the_description_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn help_names_every_command_and_fits_a_screen() {
        let help = command().render_help().to_string();
        for sub in command().get_subcommands().filter(|c| !c.is_hide_set()) {
            let line = help
                .lines()
                .find(|l| l.trim_start().split(' ').next() == Some(sub.get_name()));
            assert!(
                line.is_some_and(|l| l.contains("eud ")),
                "{} has no line",
                sub.get_name()
            );
            let own = sub.clone().render_help().to_string();
            assert!(own.contains("Example"), "{} has no example", sub.get_name());
            for inner in sub.get_subcommands() {
                let own = inner.clone().render_help().to_string();
                assert!(own.contains("Example"), "{} has none", inner.get_name());
            }
        }
        assert!(help.lines().count() <= 56, "{} lines", help.lines().count());
        for line in help.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn the_fleet_file_is_given_before_or_after_the_command() {
        for line in [
            "eud -f a.toml check",
            "eud check -f a.toml",
            "eud logs --file a.toml -f",
            "eud task list -f a.toml",
            "eud task -f a.toml list",
        ] {
            assert_eq!(
                parsed(line).unwrap().common.file,
                Some("a.toml".into()),
                "{line}"
            );
        }
        let Command::Logs(logs) = parsed("eud logs -f x").unwrap().command else {
            panic!("logs is logs");
        };
        assert!(logs.follow);
        assert_eq!(logs.names, ["x"]);
    }

    #[test]
    fn common_options_go_anywhere() {
        let cli = parsed("eud status --json --state /s --color never").unwrap();
        assert!(cli.common.json);
        assert_eq!(cli.common.state, Some("/s".into()));
        assert!(parsed("eud --json status").unwrap().common.json);
        let cli = parsed("eud task list failed,lost queued --state /s --json").unwrap();
        assert_eq!(cli.common.state, Some("/s".into()));
        let Command::Task(TaskArgs { command }) = cli.command else {
            panic!("task is task");
        };
        let TaskCommand::List(list) = command else {
            panic!("list is list");
        };
        assert_eq!(list.states.len(), 3);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "eud stop",
            "eud kill HUP",
            "eud up --wait 5",
            "eud logs -n few",
            "eud run make",
            "eud frobnicate",
            "eud logs --manager x",
            "eud task submit",
            "eud task submit --pool p --prompt a --prompt-file b",
            "eud task submit --pool p --delay 5m --at 18:00",
            "eud task submit --pool p --env A",
            "eud task cancel",
            "eud task cancel 1 --all",
            "eud task list asleep",
            "eud task show x",
        ] {
            assert_eq!(parsed(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn run_takes_the_command_as_it_is() {
        let Command::Run(run) = parsed("eud run --timeout 1m -- sh -c -x").unwrap().command else {
            panic!("run is run");
        };
        assert_eq!(run.command, ["sh", "-c", "-x"]);
        assert_eq!(run.timeout, Some(Duration::from_secs(60)));
    }
}
