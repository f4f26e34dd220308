//! Gauges and gates, scene by scene.

#[expect(dead_code, reason = "other tests use the rest")]
mod scenario;

use std::collections::BTreeSet;

use eud_core::fleet::{
    Condition, Fleet, Gate, Gauge, GaugeTrigger, Job, Kind, Level, Limit, Machine, Origin, Source,
    Value,
};
use eud_core::io::{Command, Recovery};
use eud_core::record::GateRow;
use eud_core::view::{GaugeView, State};

use scenario::{Script, daemon, fleet};

fn limit(at: f64, clear: f64) -> Option<Limit> {
    let (at, clear) = (Value(at), Value(clear));
    Some(Limit { at, clear })
}

fn gauge(name: &str) -> Gauge {
    Gauge {
        name: name.into(),
        description: None,
        source: Source::Machine(Machine::Load),
        every_ms: 30_000,
        timeout_ms: 5_000,
        warn: None,
        over: limit(500.0, 400.0),
        under: None,
        frozen_ms: None,
        origin: Origin::default(),
    }
}

fn gate(name: &str, members: &[&str]) -> Gate {
    Gate {
        name: name.into(),
        gauge: "depth".into(),
        closes_at: BTreeSet::from([Level::Over]),
        members: members.iter().map(|&member| member.to_owned()).collect(),
        origin: Origin::default(),
    }
}

/// Two producers behind a gate, and a consumer.
fn queue() -> Fleet {
    let daemons = ["drain", "mail", "web"].map(|name| daemon(name, &[]));
    let mut fleet = fleet(daemons);
    fleet.gauges.insert("depth".into(), gauge("depth"));
    let gate = gate("ingest", &["mail", "web"]);
    fleet.gates.insert("ingest".into(), gate);
    fleet
}

fn queue_up() -> Script {
    let mut s = Script::up_with(queue());
    for unit in ["drain", "mail", "web"] {
        s.started(unit);
    }
    s.told();
    s
}

fn view(s: &Script, name: &str) -> GaugeView {
    let status = s.core.status(s.now);
    let found = status.gauges.into_iter().find(|gauge| gauge.name == name);
    found.unwrap_or_else(|| panic!("no gauge {name}"))
}

fn is_closed(s: &Script) -> bool {
    s.core.status(s.now).gates[0].closed
}

#[test]
fn a_gauge_is_sampled_at_its_beat_once_something_is_up_and_not_before() {
    let mut s = Script::new();
    s.load(queue());
    s.give(eud_core::io::Input::Recover(Box::default()));
    s.told();
    s.pass(300_000);
    s.expect("");
    s.command(Command::Up { profile: None });
    assert!(s.told().contains("sample depth"));
    for unit in ["drain", "mail", "web"] {
        s.started(unit);
    }
    s.told();
    s.sampled("depth", Ok(12.0));
    s.expect("gauge depth unknown -> ok: 12");
    s.pass(29_999);
    s.expect("");
    s.pass(1);
    s.expect("sample depth");
    s.pass(2_000);
    s.sampled("depth", Ok(13.0));
    s.pass(27_999);
    s.expect("");
    s.pass(1);
    s.expect("sample depth");
    assert_eq!(view(&s, "depth").value, Some(13.0));
}

#[test]
fn nothing_is_sampled_while_nothing_is_up_nor_while_shutting_down() {
    let mut s = queue_up();
    s.sampled("depth", Ok(1.0));
    let all = ["drain", "mail", "web"].map(str::to_owned).to_vec();
    s.command(Command::Stop(all.clone()));
    assert_eq!(view(&s, "depth").level, Level::Unknown);
    assert_eq!(
        view(&s, "depth").reason.as_deref(),
        Some("not sampled while nothing is up")
    );
    for unit in &all {
        s.stopped(unit);
    }
    s.told();
    s.pass(600_000);
    s.expect("");
    s.command(Command::Start(vec!["drain".into()]));
    assert!(s.told().contains("sample depth"));
    s.started("drain");
    s.command(Command::Shutdown {
        keep_daemons: false,
    });
    s.told();
    s.pass(8_000);
    s.expect("");
}

#[test]
fn an_error_is_unknown_with_its_reason_and_never_zero() {
    let mut s = queue_up();
    s.sampled("depth", Err("cannot open /q.db: no such file"));
    let gauge = view(&s, "depth");
    assert_eq!((gauge.value, gauge.level), (None, Level::Unknown));
    assert_eq!(
        gauge.reason.as_deref(),
        Some("cannot open /q.db: no such file")
    );
    s.pass(30_000);
    s.sampled("depth", Ok(f64::NAN));
    assert_eq!(
        view(&s, "depth").reason.as_deref(),
        Some("the value is not a finite number")
    );
    s.pass(30_000);
    s.sampled("depth", Ok(0.0));
    assert_eq!(view(&s, "depth").value, Some(0.0));
}

#[test]
fn an_answer_that_never_comes_is_unknown_and_one_that_comes_late_is_ignored() {
    let mut s = queue_up();
    s.sampled("depth", Ok(1.0));
    s.pass(30_000);
    let late = s.asked["depth"];
    s.told();
    s.pass(10_000);
    s.expect("gauge depth ok -> unknown: the sample gave no answer within 10s");
    s.pass(20_000);
    s.expect("sample depth");
    s.give(eud_core::io::Input::Sampled {
        gauge: "depth".into(),
        number: late,
        outcome: Ok(9_999.0),
    });
    s.expect("");
    s.sampled("depth", Ok(2.0));
    s.expect("gauge depth unknown -> ok: 2");
}

#[test]
fn a_thousand_gauges_are_not_sampled_at_once() {
    let mut fleet = queue();
    for number in 0..1_000 {
        let name = format!("g{number:03}");
        fleet.gauges.insert(name.clone(), gauge(&name));
    }
    let mut s = Script::up_with(fleet);
    let mut most = 0;
    for _ in 0..1_100 {
        most = most.max(s.told().matches("sample ").count());
        s.pass(10);
    }
    assert!(most <= 2, "{most} in one moment");
    assert_eq!(s.asked.len(), 1_001);
}

#[test]
fn a_gate_closes_at_its_level_and_opens_beyond_clear() {
    let mut s = queue_up();
    s.sampled("depth", Ok(499.0));
    assert!(!is_closed(&s));
    s.pass(30_000);
    s.told();
    s.sampled("depth", Ok(512.0));
    let told = s.told();
    assert!(
        told.starts_with(
            "gauge depth ok -> over: 512, at or above 500\n\
             gate ingest closed: `depth` is over (512, at or above 500)"
        ),
        "{told}"
    );
    assert!(s.gates["ingest"].closed_ms.is_some(), "durable at once");
    s.pass(30_000);
    s.sampled("depth", Ok(400.0));
    assert!(is_closed(&s));
    s.pass(30_000);
    s.told();
    s.sampled("depth", Ok(399.0));
    let told = s.told();
    assert!(told.contains("gate ingest opened after 1m"), "{told}");
    assert_eq!(s.gates["ingest"].closed_ms, None);
}

#[test]
fn a_gate_stays_as_it_was_while_its_gauge_is_unknown() {
    let mut s = queue_up();
    s.sampled("depth", Err("locked"));
    assert!(!is_closed(&s), "the unknown closes nothing");
    s.pass(30_000);
    s.sampled("depth", Ok(512.0));
    s.pass(30_000);
    s.sampled("depth", Err("locked"));
    assert!(is_closed(&s), "the unknown opens nothing");
    s.pass(30_000);
    s.sampled("depth", Ok(450.0));
    assert_eq!(view(&s, "depth").level, Level::Ok, "anew from the value");
    assert!(is_closed(&s), "450 is not beyond clear, which is 400");
    s.pass(30_000);
    s.sampled("depth", Ok(30.0));
    assert!(!is_closed(&s));
}

#[test]
fn a_new_manager_neither_opens_nor_closes_a_gate_by_itself() {
    let mut s = queue_up();
    s.sampled("depth", Ok(512.0));
    s.crash_and_recover(queue(), Recovery::default());
    assert!(is_closed(&s));
    s.sampled("depth", Err("locked"));
    assert!(is_closed(&s));
    s.pass(30_000);
    s.sampled("depth", Ok(450.0));
    assert!(is_closed(&s));
    s.pass(30_000);
    s.sampled("depth", Ok(399.0));
    assert!(!is_closed(&s));
    s.crash_and_recover(queue(), Recovery::default());
    assert!(!is_closed(&s));
}

#[test]
fn a_gate_closed_by_a_standstill_stays_closed_until_something_moves() {
    let mut fleet = queue();
    if let Some(gauge) = fleet.gauges.get_mut("depth") {
        (gauge.over, gauge.frozen_ms) = (None, Some(60_000));
    }
    if let Some(gate) = fleet.gates.get_mut("ingest") {
        gate.closes_at = BTreeSet::from([Level::Frozen]);
    }
    let mut s = Script::up_with(fleet.clone());
    for _ in 0..3 {
        s.sampled("depth", Ok(946.0));
        s.pass(30_000);
    }
    assert_eq!(view(&s, "depth").level, Level::Frozen);
    assert_eq!(
        view(&s, "depth").reason.as_deref(),
        Some("946, unchanged for 1m")
    );
    s.crash_and_recover(fleet, Recovery::default());
    s.sampled("depth", Ok(946.0));
    assert_eq!(
        view(&s, "depth").level,
        Level::Ok,
        "for how long, who knows"
    );
    assert!(is_closed(&s));
    s.pass(30_000);
    s.sampled("depth", Ok(945.0));
    assert!(!is_closed(&s));
}

#[test]
fn a_gate_whose_gauge_or_declaration_disappears_is_open() {
    let mut s = queue_up();
    s.sampled("depth", Ok(512.0));
    let mut edited = queue();
    edited.gauges.insert("other".into(), gauge("other"));
    if let Some(gate) = edited.gates.get_mut("ingest") {
        gate.gauge = "other".into();
    }
    s.told();
    s.load(edited);
    assert!(!is_closed(&s));
    assert!(s.told().contains("gate ingest opened"));
    s.load(queue());
    s.sampled("depth", Ok(512.0));
    let mut edited = queue();
    edited.gates.clear();
    s.load(edited.clone());
    assert!(s.gates.is_empty(), "forgotten");
    let row = GateRow {
        gate: "ingest".into(),
        ..GateRow::default()
    };
    s.gates.insert("ingest".into(), row);
    s.crash_and_recover(edited, Recovery::default());
    assert!(s.gates.is_empty(), "forgotten at recovery too");
}

#[test]
fn a_reload_keeps_the_value_and_judges_it_by_the_new_limits() {
    let mut s = queue_up();
    s.sampled("depth", Ok(300.0));
    let mut edited = queue();
    if let Some(gauge) = edited.gauges.get_mut("depth") {
        gauge.over = limit(250.0, 200.0);
    }
    s.load(edited.clone());
    assert_eq!(view(&s, "depth").level, Level::Over);
    assert!(is_closed(&s));
    if let Some(gauge) = edited.gauges.get_mut("depth") {
        gauge.source = Source::Machine(Machine::Memory);
    }
    s.told();
    s.load(edited);
    assert_eq!(view(&s, "depth").level, Level::Unknown);
    assert!(is_closed(&s));
    assert!(s.told().contains("sample depth"), "at once");
}

fn triggered(again_ms: Option<u64>) -> Fleet {
    let mut fleet = queue();
    fleet.gates.clear();
    fleet.daemons.clear();
    let mut job = daemon("prune", &[]);
    job.kind = Kind::Job;
    job.job = Some(Job {
        gauges: vec![GaugeTrigger {
            gauge: "depth".into(),
            level: Level::Over,
            again_ms,
        }],
        ..Job::default()
    });
    fleet.daemons.insert("prune".into(), job);
    fleet
}

/// How often it fired since the last look.
fn fires(s: &mut Script) -> usize {
    let count = s.told().matches("prune fired").count();
    if count > 0 {
        s.started("prune");
        s.exits("prune", 0);
        s.told();
    }
    count
}

#[test]
fn a_job_fires_when_the_gauge_comes_to_the_level_and_not_while_it_stays() {
    let mut s = Script::up_with(triggered(None));
    s.sampled("depth", Ok(10.0));
    assert_eq!(fires(&mut s), 0);
    for (outcome, expected) in [
        (Ok(512.0), 1),
        (Ok(600.0), 0),
        (Err("locked"), 0),
        (Ok(601.0), 0),
        (Ok(10.0), 0),
        (Err("locked"), 0),
        (Ok(512.0), 1),
    ] {
        s.pass(30_000);
        s.sampled("depth", outcome);
        assert_eq!(fires(&mut s), expected, "{outcome:?}");
    }
}

#[test]
fn a_job_fires_when_a_sample_fails_and_not_before_the_first() {
    let mut fleet = triggered(None);
    for job in fleet.daemons.values_mut().filter_map(|d| d.job.as_mut()) {
        job.gauges[0].level = Level::Unknown;
    }
    let mut s = Script::up_with(fleet);
    assert_eq!(fires(&mut s), 0);
    for (outcome, expected) in [
        (Err("locked"), 1),
        (Err("locked"), 0),
        (Ok(5.0), 0),
        (Err("gone"), 1),
    ] {
        s.sampled("depth", outcome);
        assert_eq!(fires(&mut s), expected, "{outcome:?}");
        s.pass(30_000);
    }
}

#[test]
fn a_job_fires_again_while_the_level_is_known_to_last() {
    let mut s = Script::up_with(triggered(Some(45_000)));
    s.sampled("depth", Ok(512.0));
    assert_eq!(fires(&mut s), 1);
    s.pass(30_000);
    s.sampled("depth", Ok(513.0));
    s.pass(14_999);
    assert_eq!(fires(&mut s), 0);
    s.pass(1);
    assert_eq!(fires(&mut s), 1);
    s.pass(15_000);
    s.sampled("depth", Err("locked"));
    s.pass(30_000);
    assert_eq!(fires(&mut s), 0, "nobody knows whether it lasts");
    s.sampled("depth", Ok(514.0));
    s.pass(1);
    assert_eq!(fires(&mut s), 1);
}

#[test]
fn members_of_a_closed_gate_are_paused_and_go_on_by_themselves() {
    let mut s = queue_up();
    s.sampled("depth", Ok(512.0));
    s.expect(
        "gauge depth unknown -> over: 512, at or above 500
         gate ingest closed: `depth` is over (512, at or above 500)
         stop mail
         stop web
         mail up → stopping: gate `ingest` is closed: `depth` is over (512, at or above 500)
         web up → stopping: gate `ingest` is closed: `depth` is over (512, at or above 500)",
    );
    s.stopped("mail");
    s.stopped("web");
    s.expect(
        "mail stopping → paused: gate `ingest` is closed: `depth` is over (512, at or above 500)
         web stopping → paused: gate `ingest` is closed: `depth` is over (512, at or above 500)",
    );
    s.pass(30_000);
    s.told();
    s.sampled("depth", Ok(12.0));
    s.expect(
        "gauge depth over -> ok: 12
         gate ingest opened after 30s
         launch mail
         launch web
         mail paused → starting: its keeper is starting the command
         web paused → starting: its keeper is starting the command",
    );
}

#[test]
fn a_start_by_hand_does_not_go_past_a_closed_gate_and_is_remembered() {
    let mut s = queue_up();
    s.command(Command::Stop(vec!["web".into()]));
    s.stopped("web");
    s.sampled("depth", Ok(512.0));
    s.command(Command::Start(vec!["web".into()]));
    assert_eq!(s.core.state("web"), Some(State::Paused));
    s.pass(8_000);
    s.sampled("depth", Ok(12.0));
    s.pass(22_000);
    s.sampled("depth", Ok(12.0));
    assert_eq!(s.core.state("web"), Some(State::Starting));
}

#[test]
fn a_fire_waits_for_its_conditions_and_the_unknown_does_not_hold() {
    let mut fleet = triggered(None);
    let prune = fleet.daemons.get_mut("prune").expect("declared");
    let condition = Condition {
        gauge: "depth".into(),
        below: Some(Value(100.0)),
        above: None,
    };
    if let Some(job) = &mut prune.job {
        job.gauges.clear();
        job.only_when = vec![condition];
    }
    let mut s = Script::up_with(fleet);
    s.command(Command::Trigger(vec!["prune".into()]));
    for outcome in [Err("locked"), Ok(100.0)] {
        s.sampled("depth", outcome);
        assert_eq!(s.core.generation("prune"), None, "{outcome:?}");
        s.pass(30_000);
    }
    s.sampled("depth", Ok(99.0));
    assert!(s.core.generation("prune").is_some());
}
