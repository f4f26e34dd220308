//! 30 MB of 100-byte lines, one write each: what the writer waits and what the keeper works.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::Setting;
use super::eud::Eud;
use super::report::{Figure, median};
use super::rig::{Rig, ms};
use crate::{Failure, processes};

const LINES: u64 = 300_000;
const LINES_TEXT: &str = "300000";
const WRITER_S_MAX: f64 = 0.2;
const CPU_S_MAX: f64 = 0.2;

pub(super) fn run(setting: &Setting) -> Result<Vec<Figure>, Failure> {
    let repeats = if setting.quick { 3 } else { 10 };
    let (mut writer, mut cpu, mut floor) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..repeats {
        floor.push(through_cat_s()?);
        let (writer_s, cpu_s) = through_keeper_s(setting)?;
        writer.push(writer_s);
        cpu.push(cpu_s);
    }
    let cat = format!("through a pipe to `cat > file` {:.2} s", median(floor));
    Ok(vec![
        Figure::promised(
            "30 MB of log, writer's time",
            median(writer),
            "s",
            WRITER_S_MAX,
        )
        .note(cat),
        Figure::promised("30 MB of log, keeper's CPU", median(cpu), "s", CPU_S_MAX).note(format!(
            "timestamps and rotation on, every line counted; median of {repeats}"
        )),
    ])
}

/// Writer's seconds and the keeper's CPU seconds. Fails when a line is missing or doubled.
fn through_keeper_s(setting: &Setting) -> Result<(f64, f64), Failure> {
    let rig = Rig::new("logs", 0)?;
    let command = rig.command(&["write", "writer", LINES_TEXT]);
    let file = format!(
        "[daemons.writer]\ncommand = {command:?}\nlog = {{ max_size = \"10MB\", keep = 20 }}\n"
    );
    let eud = Eud::with_file(setting, &rig, &file)?;
    eud.up()?;
    let took = rig.wait_for(2)?;
    let (_, keepers) = eud.processes()?;
    let keeper = *keepers.first().ok_or("no keeper")?;
    eud.settle();
    let cpu = processes::cpu_ns(keeper).ok_or("the keeper's CPU time is unreadable")?;
    eud.down()?;
    let logged = lines_below(&rig.dir().join("state/daemons/writer/log"))?;
    if logged != LINES {
        return Err(format!("{logged} lines logged of {LINES}"));
    }
    Ok((between_s(&took), ms(cpu) / 1e3))
}

/// The floor: the same writer into a pipe that somebody else empties into a file.
fn through_cat_s() -> Result<f64, Failure> {
    let rig = Rig::new("logs-floor", 0)?;
    let words = rig.command(&["write", "writer", LINES_TEXT]);
    let (mut writer, mut cat) = piped(&words, &rig.dir().join("out"))?;
    let took = rig.wait_for(2);
    // The writer idles when it is done, so it must be told to go.
    let _ = writer.kill();
    let _ = writer.wait();
    let _ = cat.wait();
    Ok(between_s(&took?))
}

fn piped(words: &[String], to: &Path) -> Result<(Child, Child), Failure> {
    let file = File::create(to).map_err(|e| format!("{}: {e}", to.display()))?;
    let (program, args) = words.split_first().ok_or("no command")?;
    let mut writer = Command::new(program);
    let mut writer = writer
        .args(args)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| e.to_string())?;
    let pipe = writer.stdout.take().ok_or("no pipe")?;
    let cat = Command::new("cat")
        .stdin(pipe)
        .stdout(file)
        .spawn()
        .map_err(|e| e.to_string())?;
    Ok((writer, cat))
}

/// Seconds between the two stamps of a writer.
fn between_s(stamps: &[super::rig::Stamp]) -> f64 {
    match stamps {
        [begin, end, ..] => ms(end.at_ns.saturating_sub(begin.at_ns)) / 1e3,
        _ => f64::NAN,
    }
}

/// Lines of every file in a folder.
fn lines_below(dir: &Path) -> Result<u64, Failure> {
    let entries = fs::read_dir(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let mut sum = 0;
    for entry in entries.flatten() {
        let bytes = fs::read(entry.path()).map_err(|e| format!("{:?}: {e}", entry.path()))?;
        sum += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
    }
    Ok(sum)
}
