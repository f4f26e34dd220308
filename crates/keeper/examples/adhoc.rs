use eud_keeper::{LaunchSpec, Spare, spawn_keeper};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::time::{Duration, Instant};
fn main() {
    let program = Path::new("/work/main/target/dist-out/eud-keeper");
    let root = std::path::PathBuf::from(std::env::args().nth(1).unwrap());
    for mode in ["spawn", "spare"] {
        let (mut begun_v, mut ended_v, mut hello_v) = (vec![], vec![], vec![]);
        for n in 0..100 {
            let run = format!("r-{mode}-{n}-{}", std::process::id());
            let dir = root.join("daemons/web/runs").join(&run);
            std::fs::create_dir_all(&dir).unwrap();
            let spec = LaunchSpec {
                unit: "web".into(),
                run: run.clone(),
                generation: 1,
                args: vec!["/bin/sleep".into(), "1000".into()],
                env: vec![],
                cwd: "/".into(),
                ..LaunchSpec::default()
            };
            let spare = (mode == "spare").then(|| Spare::start(program).unwrap());
            std::thread::sleep(Duration::from_millis(5));
            let t = Instant::now();
            let started = match spare {
                Some(s) => s
                    .commission(&dir, &spec, &std::fs::File::open("/dev/null").unwrap())
                    .unwrap(),
                None => spawn_keeper(program, &dir, &spec, std::process::Stdio::inherit()).unwrap(),
            };
            let mut r = BufReader::new(started.socket);
            let mut s = String::new();
            loop {
                s.clear();
                r.read_line(&mut s).unwrap();
                if s.contains("\"hello\"") {
                    hello_v.push(t.elapsed());
                }
                if s.contains("\"started\"") {
                    break;
                }
            }
            begun_v.push(t.elapsed());
            let pid: i32 = s
                .split("\"pid\":")
                .nth(1)
                .unwrap()
                .split(|c: char| !c.is_ascii_digit())
                .next()
                .unwrap()
                .parse()
                .unwrap();
            std::thread::sleep(Duration::from_millis(3));
            let t = Instant::now();
            rustix_kill(pid);
            loop {
                s.clear();
                r.read_line(&mut s).unwrap();
                if s.contains("\"ended\"") {
                    break;
                }
            }
            ended_v.push(t.elapsed());
            let _ = r.get_mut().write_all(b"");
            loop {
                match eud_sys::reap::next() {
                    Ok(eud_sys::reap::Next::AllAlive) => {}
                    _ => break,
                }
            }
        }
        begun_v.sort();
        ended_v.sort();
        hello_v.sort();
        println!(
            "{mode}: hello {:?} started {:?}, ended told {:?}",
            hello_v[50], begun_v[50], ended_v[50]
        );
    }
}
fn rustix_kill(pid: i32) {
    std::process::Command::new("true").status().ok();
    eud_sys::process::signal(
        eud_sys::process::identity(pid as u32).unwrap(),
        eud_sys::signal::Signal::KILL,
    )
    .unwrap();
}
