//! What daemons print, and where it goes.

use std::fs;

use crate::support::eventually;
use crate::support::fleet::{Fleet, Ran, diarist};
use crate::support::log;

/// A letter of two bytes that came in two pieces was garbled.
#[test]
fn text_that_comes_in_pieces_is_whole() {
    let shell = "printf 'caf\\303'; sleep 0.2; printf '\\251 \\360\\237'; sleep 0.2; printf '\\230\\200\\n'";
    let fleet = Fleet::new(&format!(
        "[daemons.a]\nshell = {shell:?}\nrestart = \"never\"\n"
    ));
    fleet.eud("up", 0);
    fleet.until_state("a", "done");
    assert_eq!(log::texts(&fleet.folder_of("a")), ["café 😀"]);
    assert_eq!(fleet.eud("logs a --raw", 0).out, "café 😀\n");
    fleet.down();
}

/// A line longer than a buffer was cut in the middle of a letter.
#[test]
fn a_very_long_line_is_whole() {
    let shell = "i=0; while [ $i -lt 40000 ]; do printf 'größe'; i=$((i+1)); done; echo; echo next";
    let fleet = Fleet::new(&format!(
        "[daemons.a]\nshell = {shell:?}\nrestart = \"never\"\n"
    ));
    fleet.eud("up", 0);
    fleet.until_state("a", "done");
    let long = "größe".repeat(40_000);
    assert!(log::texts(&fleet.folder_of("a")) == [long.as_str(), "next"]);
    assert!(fleet.eud("logs a --raw -n all", 0).out == format!("{long}\nnext\n"));
    fleet.down();
}

/// A message on standard error that came in two chunks was graded as two messages.
#[test]
fn pieces_of_a_line_stay_one_line_of_their_stream() {
    let shell = "printf 'ERR' >&2; printf 'in'; sleep 0.2; printf 'OR: x\\n' >&2; printf 'fo\\n'";
    let fleet = Fleet::new(&format!(
        "[daemons.a]\nshell = {shell:?}\nrestart = \"never\"\n"
    ));
    fleet.eud("up", 0);
    fleet.until_state("a", "done");
    let lines = log::read(&fleet.folder_of("a"));
    let mut found: Vec<(&str, &[u8])> = lines
        .iter()
        .map(|line| (line.stream.as_str(), line.text.as_slice()))
        .collect();
    found.sort_unstable();
    assert_eq!(
        found,
        [("stderr", &b"ERROR: x"[..]), ("stdout", &b"info"[..])]
    );
    assert_eq!(fleet.eud("logs a --raw --stderr", 0).out, "ERROR: x\n");
    fleet.down();
}

/// Rotation renamed the log and went on writing to the renamed file, which grew without a limit.
#[test]
fn a_rotated_log_is_written_no_further() {
    const MAX: u64 = 4_096;
    let log = format!("log = {{ max_size = \"{MAX}B\", keep = 1000 }}");
    let fleet = Fleet::new(&diarist("a", "--every 0 --lines 2000 --width 40", &log));
    fleet.eud("up", 0);
    eventually("all lines", || {
        (fleet.diary("a").count_lines() == 2_000).then_some(())
    });
    fleet.down();
    let folder = fleet.folder_of("a").join("log");
    assert!(folder.join("current").exists());
    let sizes: Vec<u64> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .collect();
    assert!(sizes.len() > 20, "hardly rotated: {sizes:?}");
    assert!(sizes.iter().all(|size| *size <= MAX + 1_024), "{sizes:?}");
    fleet.diary("a").agrees_with_log(&fleet.folder_of("a"));
}

/// Logs were kept for ever.
#[test]
fn only_as_many_logs_are_kept_as_asked() {
    let log = "log = { max_size = \"4KiB\", keep = 3 }";
    let args = "--every 0 --lines 2000 --width 40 --stderr-each 0";
    let fleet = Fleet::new(&diarist("a", args, log));
    fleet.eud("up", 0);
    eventually("all lines", || {
        (fleet.diary("a").count_lines() == 2_000).then_some(())
    });
    fleet.down();
    let names = fs::read_dir(fleet.folder_of("a").join("log"))
        .unwrap()
        .count();
    assert_eq!(names, 4, "3 and the current one");
    // What is kept is the end, without a gap.
    let texts = log::texts(&fleet.folder_of("a"));
    let numbers: Vec<u64> = texts
        .iter()
        .map(|text| text.split(' ').nth(2).unwrap().parse().unwrap())
        .collect();
    let expected: Vec<u64> = (numbers[0]..=2_000).collect();
    assert_eq!(numbers, expected);
}

/// Who was taken back had its standard error connected to nobody.
#[test]
fn a_daemon_that_was_taken_back_is_logged_on_both_streams_and_ends_with_its_code() {
    let args = "--every 10 --stderr-each 2 --lines 300 --code 42";
    let fleet = Fleet::new(&diarist("a", args, "restart = \"never\""));
    fleet.eud("up --wait 0s", 0);
    for _ in 0..3 {
        let before = fleet.diary("a").count_lines();
        eventually("more lines", || {
            (fleet.diary("a").count_lines() > before + 20).then_some(())
        });
        fleet.kill_manager();
        fleet.eud("up --wait 0s", 0);
    }
    let unit = fleet.until_state("a", "failed");
    assert_eq!(unit["last_exit"]["code"], 42, "{unit}");
    fleet.diary("a").agrees_with_log(&fleet.folder_of("a"));
    fleet.diary("a").agrees_with_runs(&fleet.runs("a"));
    fleet.down();
}

/// Options after the command were taken for the supervisor's own, or ended up in the task.
#[test]
fn words_of_a_command_are_passed_on_as_they_are() {
    let words = [
        "do a thing",
        "--priority",
        "7",
        "--json",
        "-v",
        "--",
        "--state",
        "",
        "a\nb",
        "$HOME",
    ];
    let fleet = Fleet::new("");
    let run = fleet
        .command("run --")
        .args(["printf", "%s|"])
        .args(words)
        .output()
        .unwrap();
    let ran = Ran::of("run", &run);
    // Output goes line by line; the last one is completed.
    assert_eq!(
        (ran.code, ran.out),
        (0, words.map(|word| format!("{word}|")).concat() + "\n")
    );
    let declared = ["printf", "%s|"]
        .into_iter()
        .chain(words)
        .collect::<Vec<_>>();
    fleet.write(&format!(
        "[daemons.a]\ncommand = {declared:?}\nrestart = \"never\"\n"
    ));
    fleet.eud("up", 0);
    fleet.until_state("a", "done");
    let expected: Vec<String> = words
        .map(|word| format!("{word}|"))
        .concat()
        .lines()
        .map(str::to_owned)
        .collect();
    assert_eq!(log::texts(&fleet.folder_of("a")), expected);
    fleet.down();
}
