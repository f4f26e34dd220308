//! Good fleet files and the models they become: `tests/good/*.toml` and `*.json` beside each.
//! `EUD_BLESS=1` rewrites the expectations.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test may panic as the test may"
)]

use std::fs;
use std::path::{Path, PathBuf};

use eud_config::{Code, Loaded, find, load, render, starter};
use eud_core::fleet::{EnvValue, Fleet};

fn env(name: &str) -> Option<String> {
    match name {
        "HOME" => Some("/home/ada".to_owned()),
        "TZ" => Some("America/Lima".to_owned()),
        _ => None,
    }
}

fn good(path: &Path) -> Loaded {
    match load(path, &env) {
        Ok(loaded) => loaded,
        Err(invalid) => panic!(
            "{}",
            render(&invalid.diagnostics, &invalid.sources, false, 100)
        ),
    }
}

/// Loads a text as the only file of a folder.
fn text(text: &str) -> Loaded {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("eud.toml");
    fs::write(&path, text).unwrap();
    good(&path)
}

#[test]
fn good_files_become_the_expected_models() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/good");
    let bless = std::env::var_os("EUD_BLESS").is_some();
    let mut names: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    names.retain(|path| path.extension().is_some_and(|ext| ext == "toml"));
    assert!(names.len() >= 4);
    for path in names {
        let loaded = good(&path);
        let warnings = render(&loaded.warnings, &loaded.sources, false, 80);
        let json = serde_json::to_string_pretty(&loaded.fleet).unwrap();
        let json = json.replace(folder.to_str().unwrap(), "/fleet");
        let actual = format!("{json}\n");
        assert_eq!(
            serde_json::from_str::<Fleet>(&json).unwrap().daemons.len(),
            loaded.fleet.daemons.len()
        );
        let expected_path = path.with_extension("json");
        if bless {
            fs::write(&expected_path, &actual).unwrap();
        }
        assert_eq!(
            actual,
            fs::read_to_string(&expected_path).unwrap(),
            "{}",
            path.display()
        );
        assert_eq!(warnings, "", "{}", path.display());
    }
}

#[test]
fn profiles_hold_their_terms_and_close_over_needs() {
    let loaded = text(
        "[profiles]\nsmall = [\"b\"]\nboth = [\"profile:small\", \"c\"]\n\
         [daemons.a]\ncommand = \"a\"\n[daemons.b]\ncommand = \"b\"\nneeds = [\"a\"]\n\
         [daemons.c]\ncommand = \"c\"\n",
    );
    assert_eq!(loaded.fleet.profiles["both"], ["profile:small", "c"]);
    let members: Vec<&String> = loaded.profiles["both"].iter().collect();
    assert_eq!(members, ["a", "b", "c"]);
}

#[test]
fn files_are_listed_and_paths_belong_to_the_file_that_gives_them() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("sub")).unwrap();
    fs::write(
        folder.path().join("eud.toml"),
        "include = [\"sub/*.toml\", \"sub/a.toml\"]\n[defaults]\nenv = { S = { file = \"s\" } }\n",
    )
    .unwrap();
    fs::write(
        folder.path().join("sub/a.toml"),
        "include = \"b.toml\"\n[daemons.a]\ncommand = \"./bin/a bin/b\"\nenv_file = \"x.env\"\n",
    )
    .unwrap();
    fs::write(
        folder.path().join("sub/b.toml"),
        "[daemons.b]\ncommand = \"b\"\ncwd = \"w\"\n",
    )
    .unwrap();
    let loaded = good(&folder.path().join("eud.toml"));
    let at = |path: &str| folder.path().join(path);
    assert_eq!(
        loaded.files,
        [at("eud.toml"), at("sub/a.toml"), at("sub/b.toml")]
    );
    let shown = |path: &str| at(path).to_str().unwrap().to_owned();
    let (a, b) = (&loaded.fleet.daemons["a"], &loaded.fleet.daemons["b"]);
    assert_eq!(a.exec.argv, [shown("sub/bin/a"), "bin/b".to_owned()]);
    assert_eq!(a.exec.env_files, [shown("sub/x.env")]);
    assert_eq!(a.exec.env["S"], EnvValue::File(shown("s")));
    assert_eq!(a.exec.cwd, folder.path().to_str().unwrap());
    assert_eq!(b.exec.cwd, shown("sub/w"));
    assert_eq!(
        (a.origin.file.as_str(), a.origin.line),
        (shown("sub/a.toml").as_str(), 2)
    );
}

#[test]
fn a_relative_path_to_the_fleet_file_gives_absolute_paths() {
    // Tests run in the folder of the package.
    let loaded = good(Path::new("tests/good/minimal.toml"));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/good");
    assert_eq!(
        loaded.fleet.daemons["hello"].exec.cwd,
        folder.to_str().unwrap()
    );
    assert_eq!(loaded.fleet.name, "good");
    assert_eq!(loaded.files, [folder.join("minimal.toml")]);
}

#[test]
fn the_fleet_file_is_found_in_the_nearest_folder_above() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("a/b/c");
    fs::create_dir_all(&deep).unwrap();
    fs::write(folder.path().join("a/eud.toml"), "").unwrap();
    // A folder of that name is not a fleet file.
    fs::create_dir(folder.path().join("a/b/eud.toml")).unwrap();
    assert_eq!(find(&deep), Some(folder.path().join("a/eud.toml")));
    assert_eq!(
        find(&folder.path().join("a")),
        Some(folder.path().join("a/eud.toml"))
    );
}

#[test]
fn the_starter_is_accepted_whatever_the_name() {
    for name in [
        "factory",
        "",
        "a \"b\" \\ ${X} $${Y}",
        "名前",
        "two\nlines\u{1b}[31m",
    ] {
        let loaded = text(&starter(name));
        assert!(loaded.warnings.is_empty(), "{name}: {:?}", loaded.warnings);
        assert!(loaded.fleet.daemons.contains_key("hello"));
    }
    assert_eq!(
        text(&starter("a \"b\" \\ ${X}")).fleet.name,
        "a \"b\" \\ ${X}"
    );
}

/// What the starter shows in comments must hold too.
#[test]
fn the_starter_without_its_comment_signs_is_accepted() {
    let mut lines = Vec::new();
    for line in starter("x").lines() {
        let code = line.strip_prefix("# ").filter(|rest| {
            rest.starts_with('[')
                || rest
                    .split_once(" = ")
                    .is_some_and(|(key, _)| !key.contains(' '))
        });
        lines.push(code.unwrap_or(line).to_owned());
    }
    let mut whole = lines.join("\n");
    // The commented sections come after the example; keys of [fleet] and [defaults] stay where they
    // are.
    whole = whole.replace("include = [\"conf.d/*.toml\"]", "include = []");
    let loaded = text(&whole);
    let web = &loaded.fleet.daemons["web"];
    assert_eq!(web.restart.limit, 10);
    assert!(web.ready.is_some() && web.live.is_some());
    assert_eq!(loaded.fleet.profile.as_deref(), Some("standard"));
    let codes: Vec<Code> = loaded.warnings.iter().map(|warning| warning.code).collect();
    // `full` excludes `hello`, which `web` needs: worth a warning, and shown as such.
    assert_eq!(codes, [Code::Contradiction]);
}

#[test]
fn a_large_fleet_loads_quickly() {
    use std::fmt::Write;
    let mut file = String::from("[defaults]\nrestart = { limit = 3 }\nlog = { keep = 2 }\n");
    for i in 0..5_000 {
        let needs = if i == 0 {
            String::new()
        } else {
            format!("needs = [\"d{}\"]\n", i - 1)
        };
        write!(
            file,
            "[daemons.d{i}]\ncommand = \"x --n {i}\"\nports = [{}]\n{needs}",
            i + 1
        )
        .unwrap();
    }
    let start = std::time::Instant::now();
    let loaded = text(&file);
    assert_eq!(loaded.fleet.daemons.len(), 5_000);
    // About 0.3 s here without optimisation; the bound only excludes what grows with the square.
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}
