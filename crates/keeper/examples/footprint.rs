//! Measures what a keeper costs: memory, start, restart, log throughput. Prints figures, checks
//! none.
//!
//! `cargo run --release -p eud-keeper --example footprint -- PATH-OF-EUD-KEEPER [COUNT]`
#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use eud_keeper::{LaunchSpec, Started, spawn_keeper};
use eud_sys::reap::{self, Next, Reaped};

/// Lines of the flood, each of 100 bytes.
const LINES: usize = 300_000;
/// Figures are medians of this many repetitions.
const REPEATS: usize = 7;
const RESTARTS: usize = 100;
/// Writes lines while it lives.
const CHATTER: &str =
    "i=0; while :; do echo line $i of output as a daemon writes it; i=$((i+1)); sleep 0.1; done";

fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let program = args
        .next()
        .ok_or_else(|| io::Error::other("which eud-keeper?"))?;
    if program == "--flood" {
        return flood();
    }
    let count = args.next().and_then(|n| n.parse().ok()).unwrap_or(100);
    let program = fs::canonicalize(program)?;
    let mut bench = Bench {
        program,
        state: tempfile::tempdir()?,
        runs: 0,
    };
    bench.memory(count)?;
    bench.start_cost(count)?;
    for cgroup in [false, true] {
        bench.restart(cgroup)?;
    }
    for max_size in [1_000_000_000, 5_000_000] {
        bench.throughput(max_size)?;
    }
    Ok(())
}

/// What the measured command does: one write per line, and its time to standard error.
fn flood() -> io::Result<()> {
    let mut line = [b'x'; 100];
    line[99] = b'\n';
    let mut out = fs::File::options().write(true).open("/proc/self/fd/1")?;
    let begun = Instant::now();
    for _ in 0..LINES {
        out.write_all(&line)?;
    }
    writeln!(io::stderr(), "writer_us={}", begun.elapsed().as_micros())
}

struct Bench {
    program: PathBuf,
    state: tempfile::TempDir,
    runs: usize,
}

struct Kept {
    pid: u32,
    events: BufReader<UnixStream>,
}

impl Kept {
    /// Reads events until the named one.
    fn wait_for(&mut self, event: &str) -> io::Result<String> {
        let start = format!("{{\"event\":\"{event}\"");
        let mut line = String::new();
        while !line.starts_with(&start) {
            line.clear();
            if self.events.read_line(&mut line)? == 0 {
                return Err(io::Error::other(format!(
                    "the keeper left before `{event}`"
                )));
            }
        }
        Ok(line)
    }

    fn ask(&mut self, request: &str) -> io::Result<()> {
        self.events.get_mut().write_all(request.as_bytes())
    }

    fn collect(self) -> io::Result<Reaped> {
        loop {
            match reap::this(self.pid)? {
                Next::Reaped(reaped) => return Ok(reaped),
                Next::AllAlive => std::thread::sleep(Duration::from_micros(50)),
                Next::NoChildren => return Err(io::Error::other("somebody collected it")),
            }
        }
    }
}

impl Bench {
    fn start(
        &mut self,
        unit: usize,
        args: &[&str],
        change: impl Fn(&mut LaunchSpec),
    ) -> io::Result<Kept> {
        self.runs += 1;
        let run = format!("bench-{}-{}", std::process::id(), self.runs);
        let folder = self
            .state
            .path()
            .join(format!("daemons/d{unit}/runs/{run}"));
        fs::create_dir_all(&folder)?;
        let path = ("PATH".into(), "/usr/bin:/bin".into());
        let mut spec = LaunchSpec {
            unit: format!("d{unit}"),
            run: run.clone(),
            args: args.iter().map(Into::into).collect(),
            env: vec![path, ("EUD_RUN_ID".into(), run.into())],
            ..LaunchSpec::default()
        };
        change(&mut spec);
        let Started { pid, socket } =
            spawn_keeper(&self.program, &folder, &spec, Stdio::inherit())?;
        Ok(Kept {
            pid,
            events: BufReader::new(socket),
        })
    }

    fn memory(&mut self, count: usize) -> io::Result<()> {
        let mut all = Vec::new();
        for unit in 0..count {
            let change = |spec: &mut LaunchSpec| spec.log_max_size = 1_000;
            all.push(self.start(unit, &["sh", "-c", CHATTER], change)?);
        }
        for kept in &mut all {
            kept.wait_for("rotated")?;
        }
        let mut total = 0;
        for kept in &all {
            total += pss_kb(kept.pid)?;
        }
        let each = total as f64 / count as f64;
        println!("memory   {each:8.1} kB PSS each; {count} alive, logging and rotating");
        stop_all(all)
    }

    fn start_cost(&mut self, count: usize) -> io::Result<()> {
        let mut floors = Vec::new();
        let mut with = [Vec::new(), Vec::new()];
        for _ in 0..REPEATS {
            floors.push(posix_spawn_floor_ms(2 * count)?);
            for cgroup in [false, true] {
                let (ms, all) = self.start_many(count, cgroup)?;
                with[usize::from(cgroup)].push(ms);
                stop_all(all)?;
            }
        }
        let floor = percentile(&mut floors, 50);
        println!("floor    {floor:8.1} ms for {} bare processes", 2 * count);
        for (group, times) in ["no cgroup", "a cgroup each"].iter().zip(&mut with) {
            let ms = percentile(times, 50);
            let times_floor = ms / floor;
            println!(
                "start    {ms:8.1} ms for {count} keepers with commands, {group}: {times_floor:.2} x"
            );
        }
        Ok(())
    }

    /// Milliseconds until `count` keepers and their commands execute.
    fn start_many(&mut self, count: usize, cgroup: bool) -> io::Result<(f64, Vec<Kept>)> {
        let begun = Instant::now();
        let mut all = Vec::new();
        for unit in 0..count {
            all.push(self.start(unit, &["sleep", "1000"], |spec| spec.cgroup = cgroup)?);
        }
        for kept in &mut all {
            kept.wait_for("started")?;
        }
        Ok((ms_since(begun), all))
    }

    fn restart(&mut self, cgroup: bool) -> io::Result<()> {
        let (mut ends, mut restarts) = (Vec::new(), Vec::new());
        let change = |spec: &mut LaunchSpec| spec.cgroup = cgroup;
        let mut kept = self.start(0, &["sleep", "1000"], change)?;
        kept.wait_for("started")?;
        for _ in 0..RESTARTS {
            let begun = Instant::now();
            kept.ask("signal KILL\n")?;
            kept.wait_for("ended")?;
            ends.push(ms_since(begun));
            let mut next = self.start(0, &["sleep", "1000"], change)?;
            next.wait_for("started")?;
            restarts.push(ms_since(begun));
            std::mem::replace(&mut kept, next).collect()?;
        }
        stop_all(vec![kept])?;
        let group = if cgroup { "a cgroup" } else { "no cgroup" };
        for (what, times) in [("end", &mut ends), ("restart", &mut restarts)] {
            let (mid, high) = (percentile(times, 50), percentile(times, 95));
            println!("{what:8} {mid:8.2} ms after the kill, {group}; 95 % within {high:.2} ms");
        }
        Ok(())
    }

    fn throughput(&mut self, max_size: u64) -> io::Result<()> {
        let me = std::env::current_exe()?;
        let me = me.to_str().ok_or(io::ErrorKind::InvalidInput)?;
        let (mut writer, mut keeper) = (Vec::new(), Vec::new());
        for _ in 0..REPEATS {
            let change = |spec: &mut LaunchSpec| spec.log_max_size = max_size;
            let unit = self.runs;
            let mut kept = self.start(unit, &[me, "--flood"], change)?;
            let ended = kept.wait_for("ended")?;
            let all = kept.collect()?.usage;
            let command = number_after(&ended, "\"cpu_user_us\":")
                + number_after(&ended, "\"cpu_system_us\":");
            keeper.push((all.cpu_user_us + all.cpu_system_us) as f64 / 1e3 - command / 1e3);
            let folder = self.state.path().join(format!("daemons/d{unit}/log"));
            let text = fs::read_to_string(folder.join("current"))?;
            writer.push(number_after(&text, "writer_us=") / 1e3);
            fs::remove_dir_all(folder)?;
        }
        let (writer, keeper) = (percentile(&mut writer, 50), percentile(&mut keeper, 50));
        let mb = max_size / 1_000_000;
        println!("log      {writer:8.1} ms of the writer for 30 MB in lines of 100 bytes");
        println!("log      {keeper:8.1} ms CPU of the keeper, rotating at {mb} MB");
        Ok(())
    }
}

/// Milliseconds until `count` processes execute that are started with nothing around them.
fn posix_spawn_floor_ms(count: usize) -> io::Result<f64> {
    let begun = Instant::now();
    let mut all: Vec<Child> = Vec::new();
    for _ in 0..count {
        all.push(
            Command::new("/usr/bin/sleep")
                .arg("1000")
                .stdin(Stdio::null())
                .spawn()?,
        );
    }
    let ms = ms_since(begun);
    for child in &mut all {
        child.kill()?;
        child.wait()?;
    }
    Ok(ms)
}

fn stop_all(mut all: Vec<Kept>) -> io::Result<()> {
    for kept in &mut all {
        kept.ask("kill\n")?;
    }
    for mut kept in all {
        kept.wait_for("ended")?;
        kept.collect()?;
    }
    Ok(())
}

fn pss_kb(pid: u32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kb = line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse().ok());
    kb.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn ms_since(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e3
}

fn number_after(text: &str, key: &str) -> f64 {
    let rest = text.split(key).nth(1).unwrap_or_default();
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    rest[..end].parse().unwrap_or(f64::NAN)
}

fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() - 1) * percent / 100]
}
