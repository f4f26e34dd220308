//! Samples of real sources, and sources that hang.

use std::io::{Read, Write};
use std::sync::mpsc;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn shell(script: &str) -> Source {
    Source::Command {
        argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
        cwd: "/".into(),
        env: BTreeMap::from([("DEPTH".into(), EnvValue::Plain("512".into()))]),
    }
}

// One test: children belong to the whole process, and tests of one process share them.
#[tokio::test]
async fn commands_give_their_first_number_or_the_reason_why_not() {
    let reaper = Reaper::default();
    let running = tokio::spawn(reaper.clone().run());
    let sampler = Sampler::default();
    let sample = async |script: &str, limit: Duration| {
        sampler.sample(&reaper, "depth", shell(script), limit).await
    };
    let long = 60 * SECOND;
    assert_eq!(sample("echo depth: $DEPTH", long).await, Ok(512.0));
    assert_eq!(sample("echo 7; seq 1 200000", long).await, Ok(7.0));
    for (script, expected) in [
        (
            "echo 5; echo broken pipe >&2; exit 3",
            "sh exited with code 3: broken pipe",
        ),
        ("echo none", "sh wrote no number: none"),
        (":", "sh wrote nothing"),
        ("kill -9 $$", "sh was killed by KILL"),
    ] {
        assert_eq!(sample(script, long).await, Err(expected.to_owned()));
    }
    // A command that hangs goes with all that it started.
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let script = format!("sleep 1000 & echo $! > {}; wait", file.display());
    let why = sample(&script, SECOND).await.unwrap_err();
    assert!(
        why.starts_with("sh did not end within ") && why.ends_with("was killed"),
        "{why}"
    );
    let pid: u32 = std::fs::read_to_string(file)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let deadline = Instant::now() + long;
    while eud_sys::process::stat(pid).is_ok_and(|stat| !stat.is_dead()) {
        assert!(Instant::now() < deadline, "its child is gone too");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let missing = Source::Command {
        argv: vec!["/no/such/program".into()],
        cwd: "/".into(),
        env: BTreeMap::new(),
    };
    let why = sampler
        .sample(&reaper, "depth", missing, long)
        .await
        .unwrap_err();
    assert!(why.starts_with("/no/such/program: No such file"), "{why}");
    running.abort();
}

/// Answers one request with these bytes, or never with none.
fn server(answer: Option<&'static str>) -> (String, mpsc::Sender<()>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/stats", listener.local_addr().unwrap());
    let (done, wait) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 1024];
        let _ = stream.read(&mut request).unwrap();
        if let Some(answer) = answer {
            let _ = write!(stream, "HTTP/1.0 200 OK\r\n\r\n{answer}");
            return;
        }
        let _: Result<(), _> = wait.recv();
    });
    (url, done)
}

#[tokio::test]
async fn http_gives_a_number_of_a_document() {
    let sampler = Sampler::default();
    let sample = async |answer: Option<&'static str>, limit: Duration| {
        let (url, _done) = server(answer);
        let pointer = "/queue/depth".to_owned();
        let source = Source::Http { url, pointer };
        sampler
            .sample(&Reaper::default(), "depth", source, limit)
            .await
    };
    let ok = sample(Some("{\"queue\": {\"depth\": 12.5}}"), 60 * SECOND).await;
    assert_eq!(ok, Ok(12.5));
    let torn = sample(Some("{\"queue\": {\"de"), 60 * SECOND)
        .await
        .unwrap_err();
    assert!(torn.contains("/stats: is no JSON: "), "{torn}");
    let other = sample(Some("{\"queue\": []}"), 60 * SECOND)
        .await
        .unwrap_err();
    assert!(
        other.ends_with("/stats: has nothing at `/queue/depth`"),
        "{other}"
    );
    let silent = sample(None, Duration::from_millis(200)).await.unwrap_err();
    assert!(
        silent.ends_with("/stats gave no answer within 200 ms"),
        "{silent}"
    );
}

#[tokio::test]
async fn what_hangs_costs_only_its_gauge() {
    let sampler = Sampler::default();
    let (release, held) = mpsc::channel::<()>();
    let soon = Deadline::after(Duration::from_millis(50));
    let stuck = sampler.blocking("stuck", "/mnt/far", soon, move || {
        let _: Result<(), _> = held.recv();
        Ok(1.0)
    });
    assert_eq!(
        stuck.await,
        Err("/mnt/far gave no answer within 50 ms".to_owned())
    );
    let again = sampler.blocking("stuck", "/mnt/far", Deadline::after(SECOND), || Ok(2.0));
    assert_eq!(
        again.await,
        Err("/mnt/far still does not answer".to_owned())
    );
    let other = sampler.blocking("other", "/", Deadline::after(60 * SECOND), || Ok(3.0));
    assert_eq!(other.await, Ok(3.0));
    release.send(()).unwrap();
    let deadline = Instant::now() + 60 * SECOND;
    loop {
        let after = Deadline::after(60 * SECOND);
        match sampler
            .blocking("stuck", "/mnt/far", after, || Ok(4.0))
            .await
        {
            Ok(value) => break assert_eq!(value, 4.0),
            Err(why) => assert!(Instant::now() < deadline, "{why}"),
        }
    }
}

#[tokio::test]
async fn only_so_many_hang_at_once() {
    let sampler = Sampler::default();
    let mut releases = Vec::new();
    for number in 0..SAMPLES_MAX {
        let (release, held) = mpsc::channel::<()>();
        releases.push(release);
        let soon = Deadline::after(Duration::ZERO);
        // The place is there at once, so that time is up only for the work.
        let place = sampler.places.clone().try_acquire_owned().unwrap();
        let name = format!("stuck{number}");
        std::thread::spawn(move || {
            let _place = (place, name, soon);
            let _: Result<(), _> = held.recv();
        });
    }
    let soon = Deadline::after(Duration::from_millis(20));
    let other = sampler.blocking("other", "/", soon, || Ok(3.0));
    assert_eq!(
        other.await,
        Err("64 other samples are under way".to_owned())
    );
    drop(releases);
    let later = Deadline::after(60 * SECOND);
    assert_eq!(
        sampler.blocking("other", "/", later, || Ok(3.0)).await,
        Ok(3.0)
    );
}
