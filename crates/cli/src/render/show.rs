//! `eud show`: everything known of one daemon.

use eud_api::protocol::Shown;
use eud_core::fleet::{Daemon, EnvValue, Kind, Live, OnNeedLost, Probe, Ready, RestartMode};
use eud_core::record::RunRow;
use eud_core::view::{DaemonView, JobView};

use super::Screen;
use super::ink::{Ink, glyph_of, ink_of};
use super::layout::{one_line, width};
use super::status::last_exit;
use super::time::parse;
use super::{jobs, runs, why};
use eud_core::words::duration;

/// Columns of the labels.
const LABEL: usize = 12;

/// Labelled facts, a heading for each group; groups without facts are left out.
pub(crate) fn render(shown: &Shown, screen: &Screen) -> String {
    let mut page = Page::new(screen);
    let view = &shown.view;
    let state = format!("{} {}", glyph_of(view.state), view.state);
    let since = view.since.as_deref().and_then(parse);
    page.headline(&view.name, ink_of(view.state), &state, since);
    if let Some(description) = &shown.daemon.description {
        page.line(description);
    }
    page.group("Now", &now(&shown.view, screen));
    page.group("Command", &command(&shown.daemon));
    page.group("Triggers", &jobs::facts(&shown.daemon));
    page.group("Policy", &policy(&shown.daemon));
    page.group("Guards", &guards(shown));
    page.group("Place in the fleet", &place(&shown.daemon));
    if let Some(launched) = &shown.launched {
        let changed = launched.changes_needing_restart(&shown.daemon).join(", ");
        let fact = format!("{changed}; `eud restart {}` takes it over", shown.view.name);
        page.group("Changed since it was started", &[("keys", fact)]);
    }
    let mut files = vec![("log", shown.log.clone())];
    files.extend(shown.run_dir.iter().map(|dir| ("run", dir.clone())));
    page.group("Files", &files);
    page.runs(&shown.runs);
    page.text
}

/// A page of labelled facts.
pub(super) struct Page<'a> {
    text: String,
    screen: &'a Screen,
}

impl<'a> Page<'a> {
    pub(super) fn new(screen: &'a Screen) -> Self {
        Self {
            text: String::new(),
            screen,
        }
    }

    /// The whole page.
    pub(super) fn finish(self) -> String {
        self.text
    }

    pub(super) fn headline(
        &mut self,
        name: &str,
        ink: Ink,
        state: &str,
        since: Option<jiff::Timestamp>,
    ) {
        let since = since.map(|at| format!(" since {}", self.screen.clock.absolute(at)));
        self.text.push_str(&format!(
            "{}   {}{}\n",
            Ink::Bold.paint(self.screen.color, name),
            ink.paint(self.screen.color, state),
            since.unwrap_or_default(),
        ));
    }

    /// A line of its own.
    pub(super) fn line(&mut self, words: &str) {
        self.text.push_str(&format!("{}\n", one_line(words)));
    }

    /// The last runs, if there are any.
    pub(super) fn runs(&mut self, rows: &[RunRow]) {
        if !rows.is_empty() {
            self.heading("Last runs");
            self.text.push_str(&runs::render(rows, self.screen));
        }
    }

    fn heading(&mut self, title: &str) {
        self.text.push_str(&format!(
            "\n{}\n",
            Ink::Bold.paint(self.screen.color, title)
        ));
    }

    pub(super) fn group(&mut self, title: &str, facts: &[(&'static str, String)]) {
        if facts.is_empty() {
            return;
        }
        self.heading(title);
        for (label, fact) in facts {
            let pad = " ".repeat(LABEL.saturating_sub(width(label)));
            let room = self.screen.width.saturating_sub(LABEL + 4).max(20);
            let lead = format!(" {}{pad}  ", Ink::Dim.paint(self.screen.color, label));
            for (at, line) in why::wrap(&one_line(fact), room).iter().enumerate() {
                let lead = if at == 0 {
                    lead.clone()
                } else {
                    " ".repeat(LABEL + 3)
                };
                self.text.push_str(&format!("{lead}{line}\n"));
            }
        }
    }
}

/// Labels and what there is to say.
pub(super) type Facts = Vec<(&'static str, String)>;

fn now(view: &DaemonView, screen: &Screen) -> Facts {
    let mut facts = Facts::new();
    let wanted = match view.desired {
        eud_core::record::Desired::Up => "up",
        eud_core::record::Desired::Down => "down",
    };
    facts.push(("wanted", wanted.into()));
    facts.extend(view.reason.iter().map(|r| ("why", r.clone())));
    facts.extend(view.status_text.iter().map(|t| ("says", t.clone())));
    facts.extend(view.pid.map(|pid| ("pid", pid.to_string())));
    if let Some(at) = view.started_at.as_deref().and_then(parse) {
        let age = super::time::span(screen.clock.seconds_since(at));
        facts.push((
            "started",
            format!("{} ({age} ago)", screen.clock.absolute(at)),
        ));
    }
    match &view.job {
        Some(job) => job_now(job, screen, &mut facts),
        None => facts.push(("restarts", view.restarts.to_string())),
    }
    let problem = view.watch_problem.iter();
    facts.extend(problem.map(|problem| ("watching", problem.clone())));
    if let Some(at) = view.next_try_at.as_deref().and_then(parse) {
        let wait = super::time::span(-screen.clock.seconds_since(at));
        facts.push((
            "next try",
            format!("{} (in {wait})", screen.clock.absolute(at)),
        ));
    }
    if let Some(exit) = &view.last_exit {
        let message = exit
            .message
            .as_deref()
            .map(|m| format!(": {m}"))
            .unwrap_or_default();
        facts.push(("last exit", format!("{}{message}", last_exit(exit, screen))));
    }
    if !view.blocked_on.is_empty() {
        facts.push(("waits for", view.blocked_on.join(", ")));
    }
    facts
}

/// What is the case with a job.
fn job_now(job: &JobView, screen: &Screen, facts: &mut Facts) {
    let moment = |at: &Option<String>| {
        let at = at.as_deref().and_then(parse)?;
        let seconds = screen.clock.seconds_since(at);
        let (ago, wait) = (super::time::span(seconds), super::time::span(-seconds));
        let distance = if seconds < 0.0 {
            format!("in {wait}")
        } else {
            format!("{ago} ago")
        };
        Some(format!("{} ({distance})", screen.clock.absolute(at)))
    };
    if let Some(trigger) = &job.trigger {
        let again = match job.attempt {
            0 => String::new(),
            n => format!(", try {}", n + 1),
        };
        facts.push(("fired by", format!("{trigger}{again}")));
    }
    facts.extend(moment(&job.next_fire_at).map(|at| ("next", at)));
    let never = "never".to_owned();
    facts.push(("succeeded", moment(&job.last_success_at).unwrap_or(never)));
    facts.extend(moment(&job.overdue_at).map(|at| ("overdue", at)));
    if job.pending > 0 {
        facts.push(("pending", job.pending.to_string()));
    }
    let failures = match job.failures {
        0 => String::new(),
        n => format!(", the last {n} failed"),
    };
    let (fires, skipped) = (job.fires, job.skipped);
    facts.push(("fires", format!("{fires}, {skipped} skipped{failures}")));
}

/// Limits on what a run may do, how they work, and which are broken.
fn guards(shown: &Shown) -> Facts {
    let mut facts: Facts = shown
        .daemon
        .guards
        .iter()
        .map(|guard| (guard.what.as_str(), jobs::guard(guard)))
        .collect();
    if facts.is_empty() {
        return facts;
    }
    let how = shown.view.guarded_by.iter();
    facts.extend(how.map(|how| ("enforced by", how.clone())));
    let broken = shown.view.guards.iter();
    facts.extend(broken.map(|words| ("broken", words.clone())));
    facts
}

fn command(daemon: &Daemon) -> Facts {
    let exec = &daemon.exec;
    let mut facts = vec![("runs", shell_line(&exec.argv)), ("in", exec.cwd.clone())];
    for (name, value) in &exec.env {
        facts.push(("env", format!("{name}={}", env_value(value))));
    }
    facts.extend(exec.env_files.iter().map(|f| ("env file", f.clone())));
    if exec.clear_env {
        facts.push(("env", "nothing else".into()));
    }
    facts.extend(exec.user.iter().map(|u| ("user", u.clone())));
    facts.extend(exec.group.iter().map(|g| ("group", g.clone())));
    facts.extend(exec.umask.map(|u| ("umask", format!("{u:04o}"))));
    facts.extend(exec.nice.map(|n| ("nice", n.to_string())));
    for (name, limit) in &exec.rlimits {
        let of = |l: Option<u64>| l.map_or("unlimited".into(), |n| n.to_string());
        facts.push((
            "limit",
            format!("{name} {} (hard {})", of(limit.soft), of(limit.hard)),
        ));
    }
    facts
}

/// Secrets are told by where they come from, never by what they are.
fn env_value(value: &EnvValue) -> String {
    match value {
        EnvValue::Plain(text) => text.clone(),
        EnvValue::Env(name) => format!("*** (from the variable {name})"),
        EnvValue::File(path) => format!("*** (from {path})"),
        EnvValue::Command(argv) => format!("*** (from `{}`)", shell_line(argv)),
    }
}

/// Arguments as one could type them.
pub(crate) fn shell_line(argv: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    let quoted = argv.iter().map(|arg| {
        if !arg.is_empty() && arg.chars().all(plain) {
            arg.clone()
        } else {
            format!("'{}'", arg.replace('\'', r"'\''"))
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

fn policy(daemon: &Daemon) -> Facts {
    let mut facts = Facts::new();
    let restart = &daemon.restart;
    let mode = match restart.mode {
        RestartMode::Always => "after every exit",
        RestartMode::OnFailure => "after failures",
        RestartMode::Never => "never",
    };
    let mut words = mode.to_owned();
    if restart.mode != RestartMode::Never {
        words.push_str(&format!(
            ", at once, then after {} up to {}",
            duration(restart.backoff_initial_ms),
            duration(restart.backoff_max_ms),
        ));
        if restart.limit > 0 {
            let window = duration(restart.limit_window_ms);
            words.push_str(&format!("; at most {} in {window}", restart.limit));
        }
    }
    if daemon.kind == Kind::Service {
        facts.push(("restarts", words));
    }
    if !restart.alarm_exits.is_empty() {
        let codes: Vec<String> = restart.alarm_exits.iter().map(i32::to_string).collect();
        facts.push(("alarm exits", codes.join(", ")));
    }
    let stop = &daemon.stop;
    let how = match &stop.command {
        Some(argv) => format!("by `{}`", shell_line(argv)),
        None => format!("by SIG{}", stop.signal),
    };
    facts.push((
        "stops",
        format!("{how}, killed after {}", duration(stop.grace_ms)),
    ));
    facts.extend(daemon.ready.as_ref().map(|r| ("ready when", ready(r))));
    facts.extend(daemon.live.as_ref().map(|l| ("alive while", live(l))));
    facts.extend(daemon.timeout_ms.map(|t| ("timeout", duration(t))));
    let packed = if daemon.log.compress {
        ", compressed"
    } else {
        ""
    };
    let size = daemon.log.max_size / 1_000_000;
    facts.push((
        "log",
        format!("{} files of {size} MB{packed}", daemon.log.keep + 1),
    ));
    facts
}

fn ready(ready: &Ready) -> String {
    let within = ready
        .within_ms
        .map(|ms| format!(", within {}", duration(ms)));
    format!("{}{}", probe(&ready.probe), within.unwrap_or_default())
}

fn live(live: &Live) -> String {
    let every = duration(live.every_ms);
    format!(
        "{}, every {every}, {} failures restart it",
        probe(&live.probe),
        live.failures
    )
}

fn probe(probe: &Probe) -> String {
    match probe {
        Probe::Http(url) => format!("GET {url} answers"),
        Probe::Tcp(address) => format!("{address} accepts"),
        Probe::Exec(argv) => format!("`{}` exits 0", shell_line(argv)),
        Probe::Log(pattern) => format!("a line matches /{pattern}/"),
        Probe::File {
            path,
            max_age_ms: None,
        } => format!("{path} exists"),
        Probe::File {
            path,
            max_age_ms: Some(age),
        } => {
            format!("{path} is younger than {}", duration(*age))
        }
        Probe::Notify { watchdog_ms: None } => "it says READY=1".into(),
        Probe::Notify {
            watchdog_ms: Some(ms),
        } => {
            format!("it says READY=1, and WATCHDOG=1 every {}", duration(*ms))
        }
    }
}

fn place(daemon: &Daemon) -> Facts {
    let mut facts = Facts::new();
    facts.extend(daemon.category.iter().map(|c| ("category", c.clone())));
    let tags: Vec<String> = daemon.tags.iter().cloned().collect();
    let ports: Vec<String> = daemon.ports.iter().map(u16::to_string).collect();
    let lists = [
        ("tags", &tags),
        ("needs", &daemon.needs),
        ("wants", &daemon.wants),
        ("after", &daemon.after),
        ("conflicts", &daemon.conflicts),
        ("ports", &ports),
        ("reads", &daemon.reads),
        ("writes", &daemon.writes),
    ];
    for (label, list) in lists {
        if !list.is_empty() {
            facts.push((label, list.join(", ")));
        }
    }
    if daemon.on_need_lost == OnNeedLost::Restart {
        facts.push(("need lost", "it is stopped and waits".into()));
    }
    if let Some(deprecated) = &daemon.deprecated {
        let instead = deprecated
            .use_instead
            .as_ref()
            .map(|d| format!("; use {d}"));
        facts.push(("deprecated", format!("yes{}", instead.unwrap_or_default())));
    }
    facts.push((
        "declared in",
        format!("{}:{}", daemon.origin.file, daemon.origin.line),
    ));
    facts
}
