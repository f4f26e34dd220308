//! `eud logs`: output of the daemons, merged by time.
//!
//! Purpose: choose units and lines, and write them as people or programs want them.
//! Invariants: files only, no manager; what is written has been flushed before waiting.
//! Deliberately absent: interpretation of the text.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufWriter, Write};
use std::time::{Duration, Instant};

use eud_manager::Layout;
use eud_sys::rlimit;
use jiff::Timestamp;
use regex::bytes::Regex;

use crate::args::{Lines, LogsArgs};
use crate::context::Context;
use crate::error::Error;
use crate::logs::cri::Stream;
use crate::logs::{Line, Merge, Start, UnitReader, units_with_logs};
use crate::render::Screen;
use crate::render::ink::Ink;
use crate::render::layout::{cut_middle, width};
use crate::render::time::parse_moment;
use crate::selection;

/// Lines shown unless asked otherwise.
const LINES_DEFAULT: usize = 100;
/// How often a followed file is looked at.
const FOLLOW_EVERY: Duration = Duration::from_millis(100);
/// How often new units are looked for.
const RESCAN_EVERY: Duration = Duration::from_secs(1);
/// Columns a name may take.
const NAME_MAX: usize = 24;
/// Hues that tell units apart.
const NAME_INKS: [Ink; 5] = [Ink::Cyan, Ink::Green, Ink::Yellow, Ink::Magenta, Ink::Blue];

/// Shows logs.
///
/// # Errors
/// When names are unknown, a log cannot be read, or a pattern or time makes no sense.
pub(crate) fn run(context: &Context, args: &LogsArgs) -> Result<(), Error> {
    let layout = context.layout()?;
    let folders = Folders::new(context, &layout, args)?;
    shown(context, args, &folders, &|| false)
}

/// Shows the log of a task's unit. Following ends when it is over.
///
/// # Errors
/// As [`run`].
pub(crate) fn of_task(
    context: &Context,
    args: &LogsArgs,
    unit: &str,
    over: &dyn Fn() -> bool,
) -> Result<(), Error> {
    let folders = Folders {
        layout: context.layout()?,
        chosen: Some(vec![unit.to_owned()]),
        manager: false,
    };
    shown(context, args, &folders, over)
}

fn shown(
    context: &Context,
    args: &LogsArgs,
    folders: &Folders,
    over: &dyn Fn() -> bool,
) -> Result<(), Error> {
    // Each unit's log takes a descriptor. Without more of them, fewer units can be read; that is
    // then said.
    if let Ok(limit) = rlimit::get("nofile") {
        let _ = rlimit::set(
            "nofile",
            rlimit::Limit {
                soft: limit.hard,
                hard: limit.hard,
            },
        );
    }
    let screen = context.screen();
    let filter = Filter::new(args, &screen)?;
    let mut view = View::new(context, args, screen);
    let mut units = Vec::new();
    let mut merge = Merge::default();
    for (unit, folder) in folders.now() {
        let reader =
            UnitReader::open(&folder, filter.start).map_err(|e| Error::file("read", &folder, e))?;
        merge.add(reader);
        units.push(unit);
    }
    if units.is_empty() && !args.follow && !context.common.json {
        // Silence is no error, and no output either.
        let _ = writeln!(
            io::stderr(),
            "no output yet in {}",
            folders.layout.daemons().display()
        );
    }
    view.names(&units);
    history(&mut merge, &filter, &mut view, &units, args.follow)?;
    if args.follow {
        follow(merge, &filter, &mut view, units, folders, over)
    } else {
        Ok(())
    }
}

/// Which lines.
struct Filter {
    start: Start,
    since_ns: Option<i64>,
    until_ns: Option<i64>,
    last: Option<usize>,
    grep: Option<Regex>,
    stderr: bool,
}

impl Filter {
    fn new(args: &LogsArgs, screen: &Screen) -> Result<Self, Error> {
        let moment = |text: &Option<String>| {
            let at = text
                .as_ref()
                .map(|t| parse_moment(t, &screen.clock))
                .transpose();
            let usage = |what| Error::Usage {
                what,
                help: "`eud logs --help` has examples".into(),
            };
            let at = at.map_err(usage)?;
            Ok::<_, Error>(at.map(|at| i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX)))
        };
        let grep = args
            .grep
            .as_deref()
            .map(Regex::new)
            .transpose()
            .map_err(|e| Error::Usage {
                what: format!("--grep is no regular expression: {e}"),
                help: "put a \\ before characters that have a meaning, such as ( [ . *".into(),
            })?;
        let (since_ns, until_ns) = (moment(&args.since)?, moment(&args.until)?);
        let last = match args.lines {
            Some(Lines::All) => None,
            Some(Lines::Last(count)) => Some(count),
            None if since_ns.is_some() || until_ns.is_some() || grep.is_some() => None,
            None => Some(LINES_DEFAULT),
        };
        let plain = grep.is_none() && !args.stderr && until_ns.is_none();
        let start = match (since_ns, last) {
            (Some(since), _) => Start::Since(since),
            (None, Some(count)) if plain => Start::Last(count),
            _ => Start::Oldest,
        };
        Ok(Self {
            start,
            since_ns,
            until_ns,
            last,
            grep,
            stderr: args.stderr,
        })
    }

    fn takes(&self, line: &Line) -> bool {
        (!self.stderr || line.stream == Stream::Stderr)
            && self.since_ns.is_none_or(|since| line.at_ns >= since)
            && self.until_ns.is_none_or(|until| line.at_ns <= until)
            && self
                .grep
                .as_ref()
                .is_none_or(|grep| grep.is_match(&line.text))
    }
}

/// Which folders are read, now and later.
struct Folders {
    layout: Layout,
    /// `None`: every one there is.
    chosen: Option<Vec<String>>,
    manager: bool,
}

impl Folders {
    fn new(context: &Context, layout: &Layout, args: &LogsArgs) -> Result<Self, Error> {
        let known = units_with_logs(&layout.daemons());
        let chosen = match args.names.as_slice() {
            [] => None,
            names => Some(selection::units(context, layout, names, &known)?),
        };
        Ok(Self {
            layout: layout.clone(),
            chosen,
            manager: args.manager,
        })
    }

    fn now(&self) -> Vec<(String, std::path::PathBuf)> {
        if self.manager {
            return vec![("manager".into(), self.layout.root().to_owned())];
        }
        let units = match &self.chosen {
            Some(units) => units.clone(),
            None => units_with_logs(&self.layout.daemons()),
        };
        units
            .into_iter()
            .map(|unit| (unit.clone(), self.layout.logs(&unit)))
            .collect()
    }
}

/// Writes what there is.
fn history(
    merge: &mut Merge,
    filter: &Filter,
    view: &mut View,
    units: &[String],
    follow: bool,
) -> Result<(), Error> {
    let mut last: VecDeque<(usize, Line)> = VecDeque::new();
    let mut take = |view: &mut View, unit: usize, line: Line| {
        if !filter.takes(&line) {
            return Ok(());
        }
        match filter.last {
            None => view.write(&units[unit], &line),
            Some(count) => {
                last.push_back((unit, line));
                if last.len() > count {
                    last.pop_front();
                }
                Ok(())
            }
        }
    };
    merge.refill().map_err(unreadable)?;
    while let Some((unit, line)) = merge.next_line().map_err(unreadable)? {
        take(view, unit, line)?;
    }
    if !follow {
        for (unit, line) in merge.finish() {
            take(view, unit, line)?;
        }
    }
    for (unit, line) in last {
        view.write(&units[unit], &line)?;
    }
    view.flush()
}

/// Writes what comes, until it is over, the reader goes away or the user interrupts.
fn follow(
    mut merge: Merge,
    filter: &Filter,
    view: &mut View,
    mut units: Vec<String>,
    folders: &Folders,
    over: &dyn Fn() -> bool,
) -> Result<(), Error> {
    let mut rescan_at = Instant::now() + RESCAN_EVERY;
    loop {
        std::thread::sleep(FOLLOW_EVERY);
        // Asked before the last look, so that what was written until then is seen.
        let last = over();
        if Instant::now() >= rescan_at {
            rescan_at = Instant::now() + RESCAN_EVERY;
            for (unit, folder) in folders.now() {
                if !units.contains(&unit) {
                    let reader = UnitReader::open(&folder, Start::Oldest)
                        .map_err(|e| Error::file("read", &folder, e))?;
                    merge.add(reader);
                    units.push(unit);
                    view.names(&units);
                }
            }
        }
        merge.refill().map_err(unreadable)?;
        while let Some((unit, line)) = merge.next_line().map_err(unreadable)? {
            if filter.takes(&line) {
                view.write(&units[unit], &line)?;
            }
        }
        if last {
            for (unit, line) in merge.finish() {
                if filter.takes(&line) {
                    view.write(&units[unit], &line)?;
                }
            }
            return view.flush();
        }
        view.flush()?;
    }
}

fn unreadable(error: io::Error) -> Error {
    Error::Internal(format!("a log cannot be read: {error}"))
}

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Person,
    Raw,
    Json,
}

/// Writes lines.
struct View {
    out: BufWriter<io::Stdout>,
    form: Form,
    screen: Screen,
    /// Painted and padded name of each unit; empty when there is only one.
    names: BTreeMap<String, String>,
    /// The last second shown, with its text: lines come many to a second.
    second: (i64, String),
}

impl View {
    fn new(context: &Context, args: &LogsArgs, screen: Screen) -> Self {
        let form = match (context.common.json, args.raw) {
            (true, _) => Form::Json,
            (_, true) => Form::Raw,
            _ => Form::Person,
        };
        let out = BufWriter::with_capacity(64 << 10, io::stdout());
        Self {
            out,
            form,
            screen,
            names: BTreeMap::new(),
            second: (i64::MIN, String::new()),
        }
    }

    fn names(&mut self, units: &[String]) {
        if units.len() < 2 {
            return;
        }
        let short: Vec<String> = units.iter().map(|u| cut_middle(u, NAME_MAX)).collect();
        let widest = short.iter().map(|s| width(s)).max().unwrap_or(0);
        for (index, (unit, short)) in units.iter().zip(&short).enumerate() {
            let painted = NAME_INKS[index % NAME_INKS.len()].paint(self.screen.color, short);
            let pad = " ".repeat(widest - width(short));
            self.names.insert(unit.clone(), format!("{painted}{pad} "));
        }
    }

    fn write(&mut self, unit: &str, line: &Line) -> Result<(), Error> {
        let written = match self.form {
            Form::Raw => self
                .out
                .write_all(&line.text)
                .and_then(|()| self.out.write_all(b"\n")),
            Form::Json => writeln!(self.out, "{}", json(unit, line)),
            Form::Person => self.write_for_person(unit, line),
        };
        written.map_err(Error::Output)
    }

    fn write_for_person(&mut self, unit: &str, line: &Line) -> io::Result<()> {
        let (second, nanos) = (
            line.at_ns.div_euclid(1_000_000_000),
            line.at_ns.rem_euclid(1_000_000_000),
        );
        if self.second.0 != second {
            let at = Timestamp::from_second(second).unwrap_or_default();
            let text = match self.screen.verbose {
                true => self.screen.clock.absolute(at),
                false => self.screen.clock.time_of_day(at),
            };
            self.second = (second, text);
        }
        let time = format!("{}.{:03}", self.second.1, nanos / 1_000_000);
        let name = self.names.get(unit).map_or("", String::as_str);
        let bar = match line.stream {
            Stream::Stdout => Ink::Dim.paint(self.screen.color, "│"),
            Stream::Stderr => Ink::Red.paint(self.screen.color, "┃"),
        };
        write!(
            self.out,
            "{} {name}{bar} ",
            Ink::Dim.paint(self.screen.color, &time)
        )?;
        // A carriage return would overwrite time and name.
        self.out
            .write_all(line.text.strip_suffix(b"\r").unwrap_or(&line.text))?;
        let reset: &[u8] = if self.screen.color && line.text.contains(&0x1b) {
            b"\x1b[0m\n"
        } else {
            b"\n"
        };
        self.out.write_all(reset)
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.out.flush().map_err(Error::Output)
    }
}

fn json(unit: &str, line: &Line) -> serde_json::Value {
    let at = Timestamp::from_nanosecond(i128::from(line.at_ns)).unwrap_or_default();
    serde_json::json!({
        "time": at.to_string(),
        "daemon": unit,
        "stream": line.stream.as_str(),
        "text": String::from_utf8_lossy(&line.text),
    })
}
