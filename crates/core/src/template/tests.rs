//! Tests of templates.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{EVENT, SOURCE_BYTES_MAX, TASK, Template};

fn variables() -> Value {
    json!({
        "task": { "id": 7, "prompt": "say <b> & \"x\"\n", "args": ["a", "b c"], "key": null },
        "event": { "type": "file.created", "data": { "size": 20, "by": { "z": 1, "a": 2.5 } } },
    })
}

fn fill(source: &str) -> Result<String, String> {
    let template = Template::parse(source).unwrap_or_else(|fault| panic!("{source}: {fault:?}"));
    template.fill(&variables())
}

#[test]
fn texts() {
    for (source, expected) in [
        ("plain { } % text\n", "plain { } % text\n"),
        ("{{ task.prompt }}", "say <b> & \"x\"\n"),
        ("{{ task.id }}\n", "7\n"),
        ("[{{ task.key }}]", "[]"),
        ("{{ task.args }}", "[\"a\",\"b c\"]"),
        ("{{ event.data.by }}", "{\"a\":2.5,\"z\":1}"),
        ("{{ event.data.by | tojson }}", "{\"a\": 2.5, \"z\": 1}"),
        ("{{ event.data.size + 1 }}", "21"),
        ("{% if event.data.size > 10 %}big{% endif %}", "big"),
        ("{{ event.data.nothing | default('-') }}", "-"),
        ("{% for a in task.args %}{{ a }};{% endfor %}", "a;b c;"),
        ("{{ event.type | upper }}", "FILE.CREATED"),
        ("{# a remark #}x", "x"),
        ("$5 {{ '{{' }} }}", "$5 {{ }}"),
    ] {
        assert_eq!(fill(source), Ok(expected.to_owned()), "{source}");
    }
}

#[test]
fn what_is_not_defined_is_an_error() {
    assert_eq!(
        fill("{{ event.data.nothing }}"),
        Err("`event.data.nothing` is not defined".into())
    );
    assert!(fill("{{ other }}").is_err());
    assert!(fill("{{ event.data.nothing.more }}").is_err());
    assert!(fill("{{ 1 / 0 }}").is_err());
    assert!(fill("{{ event.type | nosuch }}").is_err());
}

#[test]
fn faults_have_places() {
    for (source, offset, part) in [
        ("{{ task.promt }}", 3, "did you mean `task.prompt`?"),
        ("{{ task.args }} {{ tsk.id }}", 19, "did you mean `task`?"),
        ("ü {{ event.type | uper }}", 0, "filter"),
        ("{{ nosuch() }}", 3, "no variable `nosuch`"),
        ("{% if %}", 0, "unexpected"),
        ("{{ task.id", 0, "unexpected end of input"),
        ("{% include 'x' %}", 0, "unknown statement include"),
        (
            "{% macro x() %}{% endmacro %}",
            0,
            "unknown statement macro",
        ),
        ("{% endfor %}", 0, "unknown statement endfor"),
    ] {
        let parsed = Template::parse(source);
        let fault = parsed.and_then(|template| template.check(&[TASK, EVENT]));
        let fault = fault.unwrap_err();
        assert!(fault.why.contains(part), "{source}: {fault:?}");
        assert!(offset == 0 || fault.offset == offset, "{source}: {fault:?}");
        assert!(source.is_char_boundary(fault.offset), "{source}: {fault:?}");
    }
    for source in [
        "{{ task.prompt }} {{ event.data.any.thing }} {{ event['type'] }}",
        "{% for i in range(3) %}{{ loop.index }}{% endfor %}",
        "{% set x = 1 %}{{ x }}",
        "{% for a in task.args %}{{ a }}{% endfor %}",
    ] {
        let checked = Template::parse(source).and_then(|template| template.check(&[TASK, EVENT]));
        assert_eq!(checked, Ok(()), "{source}");
    }
}

#[test]
fn work_is_bounded() {
    let bomb =
        "{% for a in range(9999) %}{% for b in range(9999) %}xxxxxxxx{% endfor %}{% endfor %}";
    assert_eq!(fill(bomb), Err("it takes too many steps".into()));
    assert!(fill("{{ 'x' * 999999999 }}").is_err());
    let long = "x".repeat(SOURCE_BYTES_MAX + 1);
    assert!(Template::parse(&long).is_err());
    // A prompt of 1 MB fits.
    let prompt = json!({ "task": { "prompt": "p".repeat(1 << 20) } });
    let filled = Template::parse("{{ task.prompt }}").unwrap().fill(&prompt);
    assert_eq!(filled.map(|text| text.len()), Ok(1 << 20));
}

#[test]
fn deep_ones_are_refused_or_filled_in() {
    let thread = std::thread::Builder::new().stack_size(1 << 20);
    let work = || {
        for source in [
            format!("{{{{ {}1{} }}}}", "(".repeat(24), ")".repeat(24)),
            format!("{{{{ {}1{} }}}}", "(".repeat(400), ")".repeat(400)),
            format!("{{{{ {}1{} }}}}", "[".repeat(24), "]".repeat(24)),
            format!("{{{{ {}1{} }}}}", "task[".repeat(24), "]".repeat(24)),
            format!("{{{{ {}1 }}}}", "not ".repeat(60)),
            format!("{{{{ {}1 }}}}", "not ".repeat(9_000)),
            format!("{{{{ {}1 }}}}", "not\n".repeat(9_000)),
            format!("{{{{ {}1 }}}}", "-".repeat(60)),
            format!("{{{{ 1{} }}}}", " + 1".repeat(60)),
            format!("{{{{ task{} }}}}", ".a".repeat(60)),
            format!("{{{{ 1{} }}}}", " ** 1".repeat(30)),
            format!("{{{{ 1{} }}}}", " and 1".repeat(9_000)),
            format!("{{{{ 1{} }}}}", " if 1 else 2".repeat(60)),
            format!("{{{{ 1{} }}}}", " if 1 else 2".repeat(9_000)),
            "{% if 1 %}".repeat(490),
            format!("{}x{}", "{% if 1 %}".repeat(24), "{% endif %}".repeat(24)),
            format!(
                "{}x{}",
                "{%- if 1 -%}".repeat(240),
                "{% endif %}".repeat(240)
            ),
            format!("{{% if 0 %}}{}x{{% endif %}}", "{% elif 0 %}".repeat(400)),
            "{".repeat(9_000),
            "{{{%}}%}{#".repeat(40),
            "{{ \"\u{0}ü".to_owned(),
        ] {
            if let Ok(template) = Template::parse(&source) {
                let _ = template.check(&[TASK]);
                let _ = template.fill(&variables());
            }
        }
    };
    thread.spawn(work).unwrap().join().unwrap();
}

const PIECES: [&str; 40] = [
    "{{ ",
    " }}",
    "{% ",
    " %}",
    "{# ",
    " #}",
    "event",
    ".data",
    ".size",
    ".by",
    "task.args",
    "[0]",
    "[",
    "]",
    "(",
    ")",
    "{",
    "}",
    ":",
    ",",
    " | ",
    "upper",
    "default('')",
    "tojson",
    " + ",
    " ~ ",
    " * ",
    "9999999999",
    "-",
    " not ",
    " if ",
    " else ",
    "for x in ",
    "endfor",
    "if ",
    "endif",
    "set x = ",
    "'a'",
    "\"",
    "ü",
];

proptest! {
    /// No text breaks it, and what it says is in the text.
    #[test]
    fn any_pieces_are_a_template_or_refused(
        pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..24)
    ) {
        let source = pieces.concat();
        match Template::parse(&source) {
            Ok(template) => {
                let _ = template.check(&[TASK, EVENT]);
                let found = template.fill(&variables());
                prop_assert_ne!(&found, &Err("filling in broke off".to_owned()));
                prop_assert_eq!(template.fill(&variables()), found);
            }
            Err(fault) => {
                prop_assert!(source.is_char_boundary(fault.offset));
                prop_assert_ne!(fault.why, "it cannot be parsed");
            }
        }
    }
}
