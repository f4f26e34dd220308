//! Measurements of real processes.

use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::*;

/// A run's folder as its keeper leaves it; the keeper is a shell with children.
struct Run {
    _dir: tempfile::TempDir,
    subject: Subject,
    keeper: Child,
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ =
            eud_sys::process::signal_child_group(self.keeper.id(), eud_sys::signal::Signal::KILL);
        let _ = self.keeper.wait();
    }
}

impl Run {
    fn of(script: &str) -> Self {
        use std::os::unix::process::CommandExt;
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let key = RunKey {
            unit: "hog".into(),
            run: "r1".into(),
            generation: 1,
        };
        let run_dir = layout.run(&key.unit, &key.run);
        fs::create_dir_all(&run_dir).unwrap();
        fs::create_dir_all(layout.logs(&key.unit)).unwrap();
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("echo; {script}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0);
        let mut keeper = command.spawn().unwrap();
        // A shell that still loads its libraries reads, as a keeper does that hears its daemon.
        let mut line = [0];
        let mut stdout = keeper.stdout.take().unwrap();
        std::io::Read::read_exact(&mut stdout, &mut line).unwrap();
        let who = process::identity(keeper.id()).unwrap();
        let boot_id = process::boot_id().unwrap();
        let note = format!("boot {boot_id}\nkeeper {} {}\n", who.pid, who.start_ticks);
        fs::write(run_dir.join("live"), note).unwrap();
        let subject = Subject {
            layout,
            key,
            boot_id,
            age_ms: 3_600_000,
            memory: Arc::default(),
        };
        Self {
            _dir: dir,
            subject,
            keeper,
        }
    }

    async fn measure(&self, what: Guarded) -> Usage {
        let guard = Guard {
            what,
            for_ms: 0,
            action: GuardAction::Event,
        };
        Measurer::default()
            .measure(self.subject.clone(), vec![guard])
            .await
    }

    /// Measures until it is so.
    async fn until(&self, what: Guarded, is_so: impl Fn(&Usage) -> bool) -> Usage {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let usage = self.measure(what.clone()).await;
            if is_so(&usage) {
                return usage;
            }
            assert!(Instant::now() < deadline, "still {usage:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn memory_is_that_of_the_whole_tree() {
    // Two shells deep; each holds some 20 MB of its own in a variable.
    let run = Run::of(
        "export HOG='x=$(yes | head -c 20000000); sleep 1000'
         sh -c \"$HOG\" & sh -c 'sh -c \"$HOG\"; :' & wait",
    );
    let max_bytes = 30_000_000;
    let usage = run
        .until(Guarded::Memory { max_bytes }, |usage| {
            usage
                .memory_bytes
                .as_ref()
                .is_some_and(|bytes| bytes.as_ref().is_ok_and(|b| *b > 40_000_000))
        })
        .await;
    let bytes = usage.memory_bytes.unwrap().unwrap();
    assert!(bytes < 200_000_000, "{bytes}");
    assert_eq!(usage.how.as_deref(), Some("polling"));
    assert_eq!(usage.cpu_ms, None, "not asked for");
}

#[tokio::test]
async fn cpu_time_includes_children_that_ended() {
    // Short-lived children do the work; each is collected by the shell.
    let run = Run::of("while :; do sh -c 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done'; done");
    let above = |ms: u64| {
        move |usage: &Usage| {
            usage
                .cpu_ms
                .as_ref()
                .is_some_and(|cpu| cpu.as_ref().is_ok_and(|c| *c > ms))
        }
    };
    let max_percent = 100;
    let first = run.until(Guarded::Cpu { max_percent }, above(50)).await;
    let first = first.cpu_ms.unwrap().unwrap();
    run.until(Guarded::Cpu { max_percent }, above(first + 300))
        .await;
}

#[tokio::test]
async fn silence_ends_with_a_line_or_with_a_part_of_one() {
    let run = Run::of("while read line; do :; done");
    let max_ms = 1;
    let silence = Guarded::Silence { max_ms };
    let usage = run.measure(silence.clone()).await;
    assert_eq!(
        usage.silent_ms,
        Some(Ok(3_600_000)),
        "nothing since its start"
    );
    let log = run.subject.layout.log("hog");
    fs::write(&log, "line").unwrap();
    let file = fs::File::options().write(true).open(&log).unwrap();
    let old = SystemTime::now() - Duration::from_secs(600);
    file.set_modified(old).unwrap();
    let usage = run.measure(silence.clone()).await;
    let silent = usage.silent_ms.unwrap().unwrap();
    assert!((600_000..700_000).contains(&silent), "{silent}");
    // The keeper reads something; the file is as it was.
    use std::io::Write;
    run.keeper
        .stdin
        .as_ref()
        .unwrap()
        .write_all(b"part\n")
        .unwrap();
    let heard = |usage: &Usage| {
        usage
            .silent_ms
            .as_ref()
            .is_some_and(|s| s.as_ref().is_ok_and(|s| *s < 60_000))
    };
    run.until(silence.clone(), heard).await;
    let later = SystemTime::now() + Duration::from_secs(600);
    file.set_modified(later).unwrap();
    let usage = run.measure(silence).await;
    assert_eq!(
        usage.silent_ms,
        Some(Ok(0)),
        "a time in the future is no age"
    );
}

#[tokio::test]
async fn output_is_counted_and_a_heartbeat_has_an_age() {
    let run = Run::of("while read line; do :; done");
    let max_bytes_per_s = 1;
    let rate = Guarded::LogRate { max_bytes_per_s };
    let before = run.measure(rate.clone()).await.log_bytes.unwrap().unwrap();
    use std::io::Write;
    run.keeper
        .stdin
        .as_ref()
        .unwrap()
        .write_all(&[b'\n'; 5_000])
        .unwrap();
    let more = |usage: &Usage| {
        let bytes = usage
            .log_bytes
            .as_ref()
            .map(|b| b.as_ref().map_or(0, |b| *b));
        bytes.is_some_and(|bytes| bytes >= before + 5_000)
    };
    run.until(rate, more).await;

    let path = run.subject.layout.root().join("beat");
    let heartbeat = Guarded::Heartbeat {
        path: path.to_str().unwrap().to_owned(),
        max_age_ms: 1,
    };
    let age = async || {
        run.measure(heartbeat.clone())
            .await
            .heartbeat_age_ms
            .unwrap()
    };
    assert_eq!(age().await, Ok(3_600_000), "never, so since its start");
    fs::write(&path, "").unwrap();
    assert!(age().await.unwrap() < 60_000);
    let old = SystemTime::now() - Duration::from_secs(36_000);
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(old)
        .unwrap();
    assert_eq!(
        age().await,
        Ok(3_600_000),
        "it was written before the start"
    );
}

#[tokio::test]
async fn a_keeper_that_is_not_there_is_unknown_and_never_zero() {
    let mut run = Run::of("sleep 1000");
    run.subject.boot_id = "another".into();
    let max_bytes = 1;
    let usage = run.measure(Guarded::Memory { max_bytes }).await;
    let unknown = Some(Err("its keeper cannot be found".to_owned()));
    assert_eq!(usage.memory_bytes, unknown);
    let usage = run.measure(Guarded::Silence { max_ms: 1 }).await;
    assert_eq!(usage.silent_ms, unknown);
    run.subject.key.run = "none".into();
    let usage = run.measure(Guarded::Cpu { max_percent: 1 }).await;
    assert_eq!(usage.cpu_ms, unknown);
}
