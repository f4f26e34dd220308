//! Filling in tasks: what is one argument, where a prompt goes, and what is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use eud_core::fleet::{Exec, Keep, Kind};

use super::*;

struct Place {
    _dir: tempfile::TempDir,
    layout: Layout,
    key: RunKey,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let key = RunKey {
            unit: "agents#7".into(),
            run: "r1".into(),
            generation: 3,
        };
        fs::create_dir_all(layout.run(&key.unit, &key.run)).unwrap();
        Self {
            _dir: dir,
            layout,
            key,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.layout.run(&self.key.unit, &self.key.run).join(name)
    }
}

fn pool(argv: &[&str]) -> Daemon {
    Daemon {
        name: "agents".into(),
        kind: Kind::Task,
        exec: Exec {
            argv: argv.iter().map(|arg| (*arg).to_owned()).collect(),
            cwd: "/pool".into(),
            ..Exec::default()
        },
        timeout_ms: Some(5_000),
        ..Daemon::default()
    }
}

fn task(spec: TaskSpec, prompt: PromptVia) -> TaskLaunch {
    TaskLaunch {
        row: TaskRow {
            id: 7,
            pool: "agents".into(),
            attempts: 2,
            ..TaskRow::default()
        },
        spec,
        prompt,
        work_dir: WorkDir::Shared,
        event: None,
        interactive: false,
    }
}

fn prompted(prompt: &str) -> TaskSpec {
    TaskSpec {
        prompt: Some(prompt.into()),
        ..TaskSpec::default()
    }
}

fn with_args(args: &[&str]) -> TaskSpec {
    TaskSpec {
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        ..TaskSpec::default()
    }
}

fn argv(pool: &Daemon, task: &TaskLaunch) -> Result<Vec<String>, String> {
    let place = Place::new();
    let filled = fill(pool, task, &place.layout, &place.key)?;
    Ok(filled.daemon.exec.argv.clone())
}

#[test]
fn arguments_are_never_split_and_never_templates() {
    let nasty = [
        "two words",
        "",
        "$(rm -rf /); `x` | y",
        "{{ task.id }}",
        "{% raw",
        "--flag",
        "a\nb\n",
        "é\u{1f600}",
    ];
    let task = task(with_args(&nasty), PromptVia::Argv);
    let last = argv(&pool(&["prog", "-x"]), &task).unwrap();
    assert_eq!(last[..2], ["prog", "-x"]);
    assert_eq!(last[2..], nasty);
    for place in ["{{ task.args }}", "{{task.args}}"] {
        let placed = argv(&pool(&["prog", place, "end"]), &task).unwrap();
        assert_eq!(placed[1..=nasty.len()], nasty);
        assert_eq!(placed.last().unwrap(), "end");
    }
}

#[test]
fn a_prompt_is_one_argument_whatever_it_contains() {
    let prompt = "do it --priority 7; {{ task.id }}\n'\"$HOME {% x %}\n";
    let pool = pool(&[
        "claude",
        "-p",
        "{{ task.prompt }}",
        "{{ task.pool }}-{{ task.id }}\n",
    ]);
    let filled = argv(&pool, &task(prompted(prompt), PromptVia::Argv)).unwrap();
    assert_eq!(filled, ["claude", "-p", prompt, "agents-7\n"]);
}

#[test]
fn a_prompt_nobody_asks_for_goes_to_standard_input() {
    let place = Place::new();
    let prompt = "é\n".repeat(600_000);
    let task = task(prompted(&prompt), PromptVia::Argv);
    assert!(task.is_slow());
    let filled = fill(&pool(&["prog"]), &task, &place.layout, &place.key).unwrap();
    assert_eq!(filled.daemon.exec.argv, ["prog"]);
    let path = place.file(filled.stdin.unwrap().to_str().unwrap());
    assert!(fs::read_to_string(&path).unwrap() == prompt);
    let mode = fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_prompt_in_a_file_is_named_by_argument_and_variable() {
    for (via, argument) in [
        (PromptVia::File, "x"),
        // Whoever asks for the file gets one.
        (PromptVia::Argv, "{{ task.prompt_file }}"),
    ] {
        let place = Place::new();
        let task = task(prompted("the prompt"), via);
        let filled = fill(&pool(&["prog", argument]), &task, &place.layout, &place.key).unwrap();
        let path = place.file("prompt.txt");
        assert_eq!(fs::read_to_string(&path).unwrap(), "the prompt");
        assert_eq!(filled.env["EUD_PROMPT_FILE"], path.to_str().unwrap());
        assert_eq!(filled.stdin, None);
        if via == PromptVia::Argv {
            assert_eq!(filled.daemon.exec.argv[1], path.to_str().unwrap());
        }
    }
}

#[test]
fn a_prompt_and_an_input_do_not_both_go_to_standard_input() {
    let both = TaskSpec {
        stdin: Some("input".into()),
        ..prompted("prompt")
    };
    for (via, argument) in [
        (PromptVia::Stdin, "{{ task.prompt }}"),
        (PromptVia::Argv, "x"),
    ] {
        let task = task(both.clone(), via);
        let why = argv(&pool(&["prog", argument]), &task).unwrap_err();
        assert!(why.contains("pool `agents`"), "{why}");
    }
    let place = Place::new();
    let task = task(both, PromptVia::File);
    let filled = fill(&pool(&["prog"]), &task, &place.layout, &place.key).unwrap();
    assert_eq!(fs::read_to_string(place.file("stdin")).unwrap(), "input");
    assert_eq!(filled.stdin, Some("stdin".into()));
}

#[test]
fn what_a_task_has_not_is_an_error_that_names_it() {
    let none = task(TaskSpec::default(), PromptVia::Argv);
    for (template, words) in [
        ("{{ task.prompt }}", ["argument 1", "task.prompt"]),
        ("{{ task.key }}", ["argument 1", "task.key"]),
        ("{{ task.dir }}/x", ["argument 1", "task.dir"]),
        ("{{ task.promt }}", ["argument 1", "task.promt"]),
        ("{{ nothing }}", ["argument 1", "nothing"]),
        ("{{ task.id", ["argument 1", "expected"]),
        (
            "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}",
            ["argument 1", "too many steps"],
        ),
    ] {
        let why = argv(&pool(&["prog", template]), &none).unwrap_err();
        for word in words {
            assert!(why.contains(word), "no `{word}` in `{why}`");
        }
    }
    // A key may be asked for with care.
    let template = "{{ task.key | default('none') }}";
    assert_eq!(argv(&pool(&["p", template]), &none).unwrap()[1], "none");
}

#[test]
fn variables_and_folder_are_filled_in_and_the_tasks_own_come_over_them() {
    let place = Place::new();
    let mut pool = pool(&["prog"]);
    pool.exec.cwd = "/srv/{{ task.key }}".into();
    let env = [
        ("A", EnvValue::Plain("{{ task.id }}".into())),
        ("B", EnvValue::Plain("pool".into())),
        ("SECRET", EnvValue::File("/run/{{ task.id }}".into())),
    ];
    pool.exec.env = env.map(|(name, value)| (name.to_owned(), value)).into();
    let mut task = task(TaskSpec::default(), PromptVia::Argv);
    task.row.key = Some("k".into());
    task.row.timeout_ms = Some(9);
    task.spec.env = BTreeMap::from([("B".into(), "{{ own }}".into())]);
    let filled = fill(&pool, &task, &place.layout, &place.key).unwrap();
    let exec = &filled.daemon.exec;
    assert_eq!(exec.cwd, "/srv/k");
    assert_eq!(exec.env["A"], EnvValue::Plain("7".into()));
    assert_eq!(exec.env["B"], EnvValue::Plain("{{ own }}".into()));
    assert_eq!(
        exec.env["SECRET"],
        EnvValue::File("/run/{{ task.id }}".into())
    );
    assert_eq!(filled.daemon.timeout_ms, Some(9));
    let told = filled.env.iter().map(|(k, v)| (k.as_str(), v.as_str()));
    let expected = [
        ("EUD_TASK_ATTEMPT", "2"),
        ("EUD_TASK_ID", "7"),
        ("EUD_TASK_KEY", "k"),
        ("EUD_TASK_POOL", "agents"),
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    task.spec.cwd = Some("/mine".into());
    let filled = fill(&pool, &task, &place.layout, &place.key).unwrap();
    assert_eq!(filled.daemon.exec.cwd, "/mine");
    task.spec.cwd = Some("mine".into());
    assert!(argv(&pool, &task).unwrap_err().contains("absolute"));
}

#[test]
fn a_folder_of_its_own_is_made_and_stays_for_the_next_try() {
    let place = Place::new();
    let mut task = task(TaskSpec::default(), PromptVia::Argv);
    task.work_dir = WorkDir::Own { keep: Keep::Always };
    let mut pool = pool(&["prog", "{{ task.dir }}"]);
    pool.exec.cwd = "{{ task.dir }}".into();
    let work = place.layout.work("agents#7");
    for _ in 0..2 {
        let filled = fill(&pool, &task, &place.layout, &place.key).unwrap();
        let text = work.to_str().unwrap();
        assert_eq!(filled.daemon.exec.cwd, text);
        assert_eq!(filled.daemon.exec.argv[1], text);
        assert_eq!(filled.env["EUD_TASK_DIR"], text);
        fs::write(work.join("kept"), "").unwrap();
    }
    assert!(work.join("kept").exists());
}

#[test]
fn what_the_kernel_would_not_take_is_refused_with_advice() {
    let with = |args: &[usize], env: usize| LaunchSpec {
        args: args.iter().map(|n| "x".repeat(*n).into()).collect(),
        env: vec![("A".into(), "x".repeat(env).into())],
        rlimits: vec![(
            "stack".into(),
            eud_sys::rlimit::Limit {
                soft: Some(4 << 20),
                hard: None,
            },
        )],
        ..LaunchSpec::default()
    };
    let check = |args: &[usize], env| check_size(&with(args, env), "agents");
    assert_eq!(check(&[ARG_BYTES_MAX], ARG_BYTES_MAX - 2), Ok(()));
    for (args, env, word) in [
        (vec![1, ARG_BYTES_MAX + 1], 1, "argument 1"),
        (vec![1], ARG_BYTES_MAX - 1, "variable A"),
        (vec![100_000; 11], 1, "arguments and variables"),
    ] {
        let why = check(&args, env).unwrap_err();
        assert!(
            why.contains(word) && why.contains("prompt = \"stdin\""),
            "{why}"
        );
    }
}

/// The limit is the kernel's, not a guess: what is allowed here can be executed, one byte more
/// cannot.
#[test]
fn the_longest_argument_is_the_kernels() {
    let run = |bytes: usize| {
        std::process::Command::new("true")
            .arg("x".repeat(bytes))
            .status()
    };
    assert!(run(ARG_BYTES_MAX).unwrap().success());
    assert!(run(ARG_BYTES_MAX + 1).is_err());
}
