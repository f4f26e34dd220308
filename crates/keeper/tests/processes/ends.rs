//! How commands begin and end, and what is on record about it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;

use eud_core::record::{EndReason, ExitRecord};
use eud_sys::process;
use eud_sys::rlimit::Limit;
use eud_sys::signal::Signal;

use crate::harness::{Bench, is_root, skipped};

#[test]
fn exit_codes_are_exact() {
    let bench = Bench::new();
    for code in [0, 1, 2, 42, 126, 127, 255] {
        let record = bench.record_of(&["sh", "-c", &format!("exit {code}")]);
        assert_eq!(
            (record.reason, record.code),
            (EndReason::Exited, Some(code))
        );
        assert_eq!(
            (record.signal, record.core, record.message),
            (None, false, None)
        );
        assert!(record.pid > 0 && record.started_at_ms > 0 && record.max_rss_kb > 0);
        assert!(record.ended_at_ms >= record.started_at_ms);
    }
}

#[test]
fn signals_and_cores_are_exact() {
    for signal in ["KILL", "TERM", "SEGV", "HUP"] {
        // The kernel decides where and whether a core is written: ask it the same way.
        let script = format!("ulimit -c unlimited; kill -{signal} $$");
        let bench = Bench::new();
        let direct = std::process::Command::new("sh")
            .args(["-c", &script])
            .current_dir(bench.path())
            .status()
            .unwrap();
        let record = bench.record_of(&["sh", "-c", &script]);
        assert_eq!(
            (record.reason, record.code),
            (EndReason::Exited, None),
            "{signal}"
        );
        assert_eq!(record.signal, Some(Signal::parse(signal).unwrap().number()));
        assert_eq!(record.core, direct.core_dumped(), "{signal}");
    }
}

#[test]
fn a_command_that_somebody_else_kills_has_ended_by_itself() {
    let bench = Bench::new();
    let mut kept = bench.start(&["sleep", "1000"]);
    let command = kept.started();
    process::signal(command, Signal::KILL).unwrap();
    let record = kept.ended();
    assert_eq!(
        (record.reason, record.signal, record.pid),
        (EndReason::Exited, Some(9), command.pid)
    );
}

#[test]
fn cpu_time_of_the_tree_is_counted() {
    let bench = Bench::new();
    let script = "sh -c 'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done'";
    let record = bench.record_of(&["sh", "-c", script]);
    assert!(
        record.cpu_user_us + record.cpu_system_us > 5_000,
        "{record:?}"
    );
}

/// A file in the bench's folder.
fn file(bench: &Bench, name: &str, contents: &str, mode: u32) -> String {
    let path: PathBuf = bench.path().join(name);
    fs::write(&path, contents).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[track_caller]
fn assert_failed(record: &ExitRecord, code: i32, message: &str) {
    assert_eq!(
        (record.reason, record.code),
        (EndReason::SpawnFailed, Some(code))
    );
    assert_eq!(record.message.as_deref(), Some(message));
    assert_eq!(
        (record.pid, record.signal, record.started_at_ms),
        (0, None, 0)
    );
}

#[test]
fn what_cannot_be_executed_is_named() {
    let bench = Bench::new();
    let plain = file(&bench, "plain.sh", "#!/bin/sh\n", 0o644);
    let orphan = file(&bench, "orphan.sh", "#! /no/such/sh -e\n", 0o755);
    let windows = file(&bench, "windows.sh", "#!/bin/sh\r\nexit 0\r\n", 0o755);
    let text = file(&bench, "text", "exit 0\n", 0o755);
    let folder = bench.path().to_str().unwrap().to_owned();
    let link = bench.path().join("link");
    std::os::unix::fs::symlink("/no/such/target", &link).unwrap();
    let link = link.to_str().unwrap();
    for (program, code, message) in [
        (
            "/no/such/program",
            127,
            "/no/such/program does not exist".to_owned(),
        ),
        ("bin/a.sh", 127, "bin/a.sh does not exist".to_owned()),
        (
            "no-such-program",
            127,
            "no-such-program is not in PATH (/usr/bin:/bin)".to_owned(),
        ),
        ("", 127, "the command is empty".to_owned()),
        (
            link,
            127,
            format!("{link} is a link to /no/such/target, which does not exist"),
        ),
        (
            &orphan,
            127,
            format!("interpreter of {orphan}: /no/such/sh does not exist"),
        ),
        (
            &windows,
            127,
            format!(
                "interpreter of {windows}: its #! line ends in CR LF, so /bin/sh\\r is looked for"
            ),
        ),
        (&plain, 126, format!("{plain}: not executable")),
        (&folder, 126, format!("{folder}: a directory")),
        (
            &text,
            126,
            format!("{text}: not a program, and its first line is no #! line"),
        ),
    ] {
        assert_failed(&bench.record_of(&[program, "arg"]), code, &message);
    }
}

#[test]
fn a_program_is_looked_up_in_the_path_of_its_own_environment() {
    let bench = Bench::new();
    let folder = bench.path().join("my bin");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("tool"), "#!/bin/sh\nexit 5\n").unwrap();
    fs::set_permissions(folder.join("tool"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("/no/such:{}:/bin", folder.display());
    let mut kept = bench.start_with(&["tool"], |spec| spec.env[0].1 = path.clone().into());
    assert_eq!(kept.ended().code, Some(5));
    // Relative to the working directory of the command.
    let mut kept = bench.start(&["my bin/tool"]);
    assert_eq!(kept.ended().code, Some(5));
}

#[test]
fn a_missing_cwd_is_named() {
    let bench = Bench::new();
    let mut kept = bench.start_with(&["true"], |spec| spec.cwd = "/no/such/folder".into());
    assert_failed(&kept.ended(), 126, "cwd /no/such/folder does not exist");
    let mut kept = bench.start_with(&["true"], |spec| spec.cwd = "/dev/null".into());
    assert_failed(&kept.ended(), 126, "cwd /dev/null: Not a directory");
}

#[test]
fn limits_that_cannot_be_set_are_named() {
    let bench = Bench::new();
    let limit = Limit {
        soft: Some(1),
        hard: Some(1),
    };
    let change = |name: &'static str| {
        move |spec: &mut eud_keeper::LaunchSpec| spec.rlimits = vec![(name.into(), limit)]
    };
    let record = bench.start_with(&["true"], change("files")).ended();
    assert_eq!(record.reason, EndReason::SpawnFailed);
    assert!(record.message.unwrap().starts_with("rlimit files: "));
}

#[test]
fn a_failed_start_is_not_called_started() {
    let bench = Bench::new();
    let mut kept = bench.start(&["/no/such/program"]);
    assert_eq!(kept.next_event().unwrap()["event"], "hello");
    assert_eq!(kept.next_event().unwrap()["event"], "ended");
    assert!(kept.next_event().is_none());
}

#[test]
fn the_command_finds_exactly_what_it_was_promised() {
    let bench = Bench::new();
    let script = r#"
        pwd; umask; ulimit -n; nice
        for n in 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
            [ -L /proc/$$/fd/$n ] && echo leaked $n
        done
        # By the shell itself: while it starts another program it blocks signals.
        while read -r key value; do
            case $key in SigBlk:|SigIgn:) echo $key $value;; esac
        done < /proc/$$/status
        read -r a b c d e sid rest < /proc/$$/stat; echo pgrp $e sid $sid me $$
        readlink /proc/$$/fd/0
        tr '\0' '\n' < /proc/$$/environ | sort
    "#;
    let mut kept = bench.start_with(&["sh", "-c", script], |spec| {
        spec.env.push(("TWO LINES".into(), "a=b\nc".into()));
        spec.umask = Some(0o027);
        spec.nice = Some(3);
        spec.rlimits = vec![(
            "nofile".into(),
            Limit {
                soft: Some(99),
                hard: Some(100),
            },
        )];
    });
    let run = kept.run.clone();
    let pid = kept.ended().pid;
    let expected = [
        bench.path().to_str().unwrap().to_owned(),
        "0027".into(),
        "99".into(),
        "3".into(),
        "SigBlk: 0000000000000000".into(),
        "SigIgn: 0000000000000000".into(),
        format!("pgrp {pid} sid {pid} me {pid}"),
        "/dev/null".into(),
        format!("EUD_RUN_ID={run}"),
        "PATH=/usr/bin:/bin".into(),
        "TWO LINES=a=b".into(),
        "c".into(),
    ];
    let mut said = bench.log_texts();
    // `sort` may put the second line of the variable anywhere.
    said[8..].sort();
    let mut expected = expected.to_vec();
    expected[8..].sort();
    assert_eq!(said, expected);
}

#[test]
fn the_keeper_s_own_environment_does_not_leak() {
    let bench = Bench::new();
    let mut kept = bench.start_with(&["env"], |spec| {
        spec.env = vec![("ONLY".into(), "1".into())]
    });
    kept.ended();
    assert_eq!(bench.log_texts(), ["ONLY=1"]);
}

#[test]
fn the_keeper_forgets_the_environment_it_passed_on() {
    let bench = Bench::new();
    let secret = "s3cr3t-of-this-test";
    let mut kept = bench.start_with(&["sleep", "1000"], |spec| {
        spec.env.push(("TOKEN".into(), secret.into()));
    });
    kept.started();
    let open: Vec<_> = fs::read_dir(format!("/proc/{}/fd", kept.pid))
        .unwrap()
        .filter_map(|fd| fs::read_link(fd.unwrap().path()).ok())
        .collect();
    assert!(
        open.iter()
            .all(|file| !file.to_string_lossy().contains("memfd")),
        "{open:?}"
    );
    for entry in fs::read_dir(&kept.folder).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap_or_default();
        assert!(
            !bytes
                .windows(secret.len())
                .any(|part| part == secret.as_bytes())
        );
    }
    kept.ask("stop\n");
    kept.ended();
}

#[test]
fn user_and_groups_are_taken_over() {
    if !is_root() {
        return skipped("only root can change the user");
    }
    let bench = Bench::new();
    fs::set_permissions(bench.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let script = "id -u; id -g; id -G; grep -E '^(Uid|Gid)' /proc/self/status";
    let mut kept = bench.start_with(&["sh", "-c", script], |spec| {
        (spec.uid, spec.gid) = (Some(4_000_001), Some(4_000_002));
        spec.groups = vec![4_000_003, 4_000_004];
    });
    kept.ended();
    let all = |n: u32| [n; 4].map(|n| n.to_string()).join("\t");
    let expected = [
        "4000001".to_owned(),
        "4000002".into(),
        "4000002 4000003 4000004".into(),
        format!("Uid:\t{}", all(4_000_001)),
        format!("Gid:\t{}", all(4_000_002)),
    ];
    assert_eq!(bench.log_texts(), expected);
}

#[test]
fn a_keeper_whose_folder_was_deleted_ends_all_the_same() {
    let bench = Bench::new();
    let mut kept = bench.start(&["sleep", "1000"]);
    kept.started();
    std::fs::remove_dir_all(bench.path()).unwrap();
    kept.ask("stop\n");
    assert_eq!(kept.collect(), eud_sys::reap::Ending::Exited(0));
}

#[test]
fn time_is_up() {
    let bench = Bench::new();
    let mut kept = bench.start_with(&["sleep", "1000"], |spec| spec.timeout_ms = Some(50));
    let record = kept.ended();
    assert_eq!(
        (record.reason, record.signal),
        (EndReason::Timeout, Some(15))
    );
    assert!(record.ended_at_ms - record.started_at_ms >= 50);
}

#[test]
fn time_is_up_and_it_does_not_listen() {
    let bench = Bench::new();
    let script = "trap '' TERM; while :; do sleep 1000; done";
    let mut kept = bench.start_with(&["sh", "-c", script], |spec| {
        spec.timeout_ms = Some(100);
        spec.grace_ms = 100;
    });
    let record = kept.ended();
    assert_eq!(
        (record.reason, record.signal),
        (EndReason::Timeout, Some(9))
    );
}

#[test]
fn the_record_s_files_are_all_that_is_left_of_a_run() {
    let bench = Bench::new();
    let mut kept = bench.start(&["true"]);
    kept.ended();
    let mut names: Vec<_> = fs::read_dir(&kept.folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["exit.json", "live"]);
    let noted = eud_keeper::noted(&kept.folder).unwrap().unwrap();
    assert_eq!(noted.command.unwrap().pid, kept.record_on_disk().pid);
    assert_eq!(noted.boot_id, process::boot_id().unwrap());
}
