//! Tests of expressions.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::check::{FUNCTIONS, METHODS};
use super::{Program, Scope};

fn variables() -> Map<String, Value> {
    let event = json!({
        "type": "file.created",
        "subject": "docs/a.md",
        "data": {
            "size": 20, "ratio": 0.5, "big": u64::MAX, "none": null, "ok": true,
            "tags": ["b", "a"],
            "by": { "z": 1, "a": 2, "m": 3, "k": 4, "b": 5, "y": 6 },
        },
    });
    Map::from_iter([("event".to_owned(), event)])
}

fn compile(source: &str) -> Program {
    Program::compile(source, &["event"]).unwrap_or_else(|fault| panic!("{source}: {fault:?}"))
}

#[test]
fn values() {
    for (source, expected) in [
        ("event.data.size > 10", json!(true)),
        ("event.data.size > 10.5", json!(true)),
        ("event.type == 'file.created' && event.data.ok", json!(true)),
        ("event.subject.startsWith(\"docs/\")", json!(true)),
        ("event.subject.endsWith('.md')", json!(true)),
        ("'a' in event.data.tags", json!(true)),
        ("'z' in event.data.by", json!(true)),
        ("has(event.data.nothing)", json!(false)),
        ("has(event.data.size)", json!(true)),
        ("event.data.none == null", json!(true)),
        ("event.data.tags == ['b', 'a']", json!(true)),
        ("['b', 'a'] == event.data.tags", json!(true)),
        (
            "event.data.by == {'z': 1, 'a': 2, 'm': 3, 'k': 4, 'b': 5, 'y': 6}",
            json!(true),
        ),
        ("{'z': 1} == event.data.by", json!(false)),
        ("event.data.tags", json!(["b", "a"])),
        (
            "event.data.by",
            json!({ "z": 1, "a": 2, "m": 3, "k": 4, "b": 5, "y": 6 }),
        ),
        ("event.data.size + 1", json!(21)),
        ("size(event.data.tags)", json!(2)),
        ("event.subject + '!'", json!("docs/a.md!")),
        ("event.data.tags.exists(t, t == 'a')", json!(true)),
        (
            "event.data.by.map(k, k)",
            json!(["a", "b", "k", "m", "y", "z"]),
        ),
        ("string(event.data.size)", json!("20")),
        ("event.data.ratio * 2.0", json!(1.0)),
        ("event.data.ok ? 1 : 2", json!(1)),
    ] {
        assert_eq!(compile(source).eval(&variables()), Ok(expected), "{source}");
    }
}

#[test]
fn an_error_is_never_true() {
    for source in [
        "event.data.nothing",
        "event.data.nothing > 1",
        "event.data.tags > 1",
        "event.data.size / 0 == 1",
        "event.data.size % 0 == 1",
        "9223372036854775807 + event.data.size > 0",
        "event.data.tags[7] == 'a'",
        "int(event.subject) == 1",
        "-(-9223372036854775807 - 1) == 1",
        "event.data.ratio / 0.0",
        "b'bytes'",
    ] {
        let (program, variables) = (compile(source), variables());
        let scope = Scope::new(&variables);
        assert!(program.eval_in(&scope).is_err(), "{source}");
        assert!(program.holds(&scope).is_err(), "{source}");
    }
    let (variables, program) = (variables(), compile("event.data.size"));
    let said = program.holds(&Scope::new(&variables));
    assert_eq!(
        said,
        Err("it is a number, neither true nor false".to_owned())
    );
}

#[test]
fn errors_are_words_and_always_the_same() {
    for (source, expected) in [
        (
            "event.data.nothing",
            "there is no key `nothing`; `has(…)` tells whether there is one",
        ),
        ("'a' + event", "add is not possible with a text and a map"),
        ("event.data.tags[7]", "there is no element 7"),
        ("event.data.size / 0", "division by zero"),
        (
            "event.data.size + 'a'",
            "add is not possible with a whole number and a text",
        ),
        ("int(event.subject)", "`int` is not possible here"),
    ] {
        let said = compile(source).eval(&variables());
        assert_eq!(said, Err(expected.to_owned()), "{source}");
    }
}

#[test]
fn faults_have_places() {
    for (source, offset, part) in [
        ("", 0, "empty"),
        ("evnt.data.size > 1", 0, "did you mean `event`"),
        (
            "event.data.x == 'ü' && sise(event) > 1",
            24,
            "no function `sise`",
        ),
        (
            "event.subject.startWith('a')",
            14,
            "did you mean `startsWith`",
        ),
        ("1 + x", 4, "no variable `x`"),
        ("event.a ==\n  == 1", 13, ""),
        ("{'a': 1}.map(k, k)", 0, "may not loop"),
        ("event.data >", 12, ""),
    ] {
        let fault = Program::compile(source, &["event"]).unwrap_err();
        assert!(fault.why.contains(part), "{source}: {fault:?}");
        assert_eq!(fault.offset, offset, "{source}: {fault:?}");
        assert!(source.is_char_boundary(fault.offset), "{source}: {fault:?}");
    }
}

#[test]
fn every_function_that_is_let_through_is_there() {
    let functions = FUNCTIONS.map(|name| format!("{name}(event.subject)"));
    let methods = METHODS.map(|name| match name {
        "size" => "event.subject.size()".to_owned(),
        name => format!("event.subject.{name}('a')"),
    });
    for source in functions.into_iter().chain(methods) {
        if let Err(why) = compile(&source).eval(&variables()) {
            assert!(!why.contains("Undeclared"), "{source}: {why}");
        }
    }
}

/// On a stack as small as a worker's.
fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(1 << 20);
    thread.spawn(work).unwrap().join().unwrap();
}

#[test]
fn deep_and_long_ones_are_refused_or_evaluated() {
    on_a_small_stack(|| {
        for source in [
            "(".repeat(2_000),
            format!("{}1{}", "(".repeat(40), ")".repeat(40)),
            format!("{}1{}", "[".repeat(40), "]".repeat(40)),
            format!("{}1{}", "(".repeat(1_000), ")".repeat(1_000)),
            format!("1{}", " + 1".repeat(190)),
            format!("1{}", " + 1".repeat(1_000)),
            format!("true{}", " && true".repeat(90)),
            format!("event{}", ".a".repeat(190)),
            format!("event{}", ".a".repeat(1_500)),
            format!("{}true", "!".repeat(199)),
            format!("{}1", "-".repeat(199)),
            format!("{}2", "true ? 1 : ".repeat(40)),
            format!("{}2", "true ? 1 : ".repeat(300)),
            format!("[1].map(x, {}1{}", "[1].map(y, ".repeat(20), ")".repeat(21)),
            "\u{0}\u{1}ü'\"\\".to_owned(),
            "'".repeat(3_000),
            "9".repeat(3_000),
            "0x".to_owned(),
            "1e999999".to_owned(),
        ] {
            if let Ok(program) = Program::compile(&source, &["event"]) {
                let _ = program.eval(&variables());
            }
        }
    });
}

#[test]
fn work_is_bounded_beforehand() {
    let many: Vec<u32> = (0..100_000).collect();
    let variables = Map::from_iter([("event".to_owned(), json!({ "data": many }))]);
    let once = compile("event.data.exists(x, x == 99999)");
    assert_eq!(once.eval(&variables), Ok(json!(true)));
    let twice = compile("event.data.exists(x, event.data.exists(y, x + y < 0))");
    assert!(twice.eval(&variables).unwrap_err().contains("steps"));
    let list = |first: String| {
        let mut list = vec![Value::from(first)];
        list.resize(500, Value::Null);
        Map::from_iter([("event".to_owned(), Value::Array(list))])
    };
    let copies = compile("size(event.map(a, size(event.filter(b, size(event[0] + 'x') < 0))))");
    assert_eq!(copies.eval(&list("x".to_owned())), Ok(json!(500)));
    let said = copies.eval(&list("x".repeat(200_000)));
    assert!(said.unwrap_err().contains("steps"));
}

const PIECES: [&str; 40] = [
    "event",
    ".data",
    ".size",
    ".tags",
    ".by",
    "[0]",
    "[",
    "]",
    "(",
    ")",
    "{",
    "}",
    ":",
    ",",
    "?",
    " + ",
    " - ",
    "-",
    "!",
    " == ",
    " && ",
    " || ",
    " in ",
    " < ",
    "'a'",
    "\"b",
    "\\",
    "1",
    "0x",
    "2.5",
    "7u",
    "true",
    "null",
    ".map(x, ",
    ".exists(x, ",
    "has(",
    "size(",
    "x",
    "ü",
    "\n",
];

proptest! {
    /// No text breaks it, and what it says is in the text.
    #[test]
    fn any_pieces_are_an_expression_or_refused(
        pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..24)
    ) {
        let source = pieces.concat();
        match Program::compile(&source, &["event"]) {
            Ok(program) => {
                let found = program.eval(&variables());
                prop_assert_ne!(&found, &Err("the evaluation broke off".to_owned()));
                prop_assert_eq!(program.eval(&variables()), found);
            }
            Err(fault) => {
                prop_assert!(source.is_char_boundary(fault.offset));
                prop_assert_ne!(fault.why, "it cannot be parsed");
            }
        }
    }
}
