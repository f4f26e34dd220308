//! Numbers of the machine.
//!
//! Invariants: where the kernel has no such number, an error says so; it is never zero.

use std::fs;
use std::io;
use std::path::Path;

use eud_core::fleet::Machine;
use eud_sys::{nvml, usage};

/// For people.
pub(super) fn name(machine: &Machine) -> String {
    match machine {
        Machine::Disk { path } => format!("the file system of {path}"),
        Machine::Gpu { index } | Machine::GpuMemory { index } => format!("GPU {index}"),
        _ => "the kernel".to_owned(),
    }
}

/// Reads one.
pub(super) fn read(machine: &Machine) -> Result<f64, String> {
    match machine {
        Machine::Disk { path } => {
            usage::disk_used_percent(Path::new(path)).map_err(|e| format!("{path}: {e}"))
        }
        Machine::Memory => {
            let text = kernel("/proc/meminfo")?;
            let (total, free) = (meminfo(&text, "MemTotal")?, meminfo(&text, "MemAvailable")?);
            Ok(percent(total - free, total))
        }
        Machine::Swap => {
            let text = kernel("/proc/meminfo")?;
            let (total, free) = (meminfo(&text, "SwapTotal")?, meminfo(&text, "SwapFree")?);
            if total <= 0.0 {
                return Err("this machine has no swap".to_owned());
            }
            Ok(percent(total - free, total))
        }
        Machine::Load => first_number(&kernel("/proc/loadavg")?, "/proc/loadavg"),
        Machine::CpuPressure => pressure("cpu"),
        Machine::MemoryPressure => pressure("memory"),
        Machine::IoPressure => pressure("io"),
        Machine::OpenFiles => open_files(&kernel("/proc/sys/fs/file-nr")?),
        Machine::Gpu { index } => nvml::ask(|nvml| nvml.busy_percent(*index)),
        Machine::GpuMemory { index } => nvml::ask(|nvml| nvml.memory_percent(*index)),
    }
}

fn kernel(path: &str) -> Result<String, String> {
    fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))
}

fn percent(part: f64, whole: f64) -> f64 {
    (part * 100.0 / whole).clamp(0.0, 100.0)
}

fn odd(path: &str) -> String {
    format!("{path} cannot be understood")
}

fn first_number(text: &str, path: &str) -> Result<f64, String> {
    let word = text.split_ascii_whitespace().next();
    word.and_then(|word| word.parse().ok())
        .ok_or_else(|| odd(path))
}

/// A line of `/proc/meminfo`, in kB.
fn meminfo(text: &str, name: &str) -> Result<f64, String> {
    let rest = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let rest = rest.ok_or_else(|| format!("/proc/meminfo has no {name}"))?;
    first_number(rest, "/proc/meminfo")
}

fn pressure(what: &str) -> Result<f64, String> {
    let path = format!("/proc/pressure/{what}");
    match fs::read_to_string(&path) {
        Ok(text) => parse_pressure(&text).ok_or_else(|| odd(&path)),
        // The file may be there and say `not supported`, when it was turned off at boot.
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::Unsupported
            ) =>
        {
            Err(format!("this kernel has no {path}"))
        }
        Err(e) => Err(format!("{path}: {e}")),
    }
}

fn parse_pressure(text: &str) -> Option<f64> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let number = some
        .split(' ')
        .find_map(|item| item.strip_prefix("avg10="))?;
    number.parse().ok()
}

fn open_files(text: &str) -> Result<f64, String> {
    let mut numbers = text.split_ascii_whitespace().map(str::parse::<f64>);
    match (numbers.next(), numbers.nth(1)) {
        (Some(Ok(open)), Some(Ok(limit))) if limit > 0.0 => Ok(percent(open, limit)),
        _ => Err(odd("/proc/sys/fs/file-nr")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_texts_are_understood() {
        let text = "MemTotal:  16000 kB\nMemFree: 1 kB\nMemAvailable:    4000 kB\n";
        assert_eq!(meminfo(text, "MemTotal"), Ok(16_000.0));
        assert_eq!(meminfo(text, "MemAvailable"), Ok(4_000.0));
        assert_eq!(
            meminfo(text, "Mem").unwrap_err(),
            "/proc/meminfo has no Mem"
        );
        let text = "some avg10=1.25 avg60=0.10 avg300=0.00 total=1\nfull avg10=0.50 total=2\n";
        assert_eq!(parse_pressure(text), Some(1.25));
        assert_eq!(parse_pressure("full avg10=0.50\n"), None);
        assert_eq!(open_files("250\t0\t1000\n"), Ok(25.0));
        assert!(open_files("250 0 0").is_err());
        assert!(open_files("").is_err());
    }

    #[test]
    fn this_machine_has_its_numbers_or_says_which_it_has_not() {
        let disk = Machine::Disk { path: "/".into() };
        for machine in [disk, Machine::Memory, Machine::Load, Machine::OpenFiles] {
            let number = read(&machine).unwrap_or_else(|why| panic!("{machine:?}: {why}"));
            assert!(number >= 0.0, "{machine:?}: {number}");
        }
        for (machine, missing) in [
            (Machine::Swap, "this machine has no swap"),
            (
                Machine::CpuPressure,
                "this kernel has no /proc/pressure/cpu",
            ),
            (Machine::Gpu { index: 0 }, "NVML"),
            (Machine::GpuMemory { index: 0 }, "NVML"),
        ] {
            if let Err(why) = read(&machine) {
                assert!(why.contains(missing), "{machine:?}: {why}");
            }
        }
    }
}
