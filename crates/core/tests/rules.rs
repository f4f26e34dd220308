//! Rules, scene by scene: conditions, windows, actions, ladders, approvals, limits, recovery.

#[expect(dead_code, reason = "other tests use the rest")]
mod scenario;

use std::collections::BTreeMap;

use eud_core::event::{Event, NewEvent};
use eud_core::fleet::{
    Action, Daemon, Fleet, Gate, Gauge, Handler, Job, Kind, Ladder, Level, Limit, Machine, Notice,
    Origin, Pool, Rate, Rule, Rung, Source, Subscription, TaskTemplate, Value, Webhook,
};
use eud_core::io::{BusRecovery, Command, Recovery, RuleCommand};
use eud_core::record::{TaskOrigin, Verdict};
use scenario::{Script, daemon, fleet};
use serde_json::json;

const MINUTE: u64 = 60_000;

/// A rule on `t.go` that emits `t.done`.
fn rule(change: impl FnOnce(&mut Rule)) -> Rule {
    let mut rule = Rule {
        name: "r".into(),
        on: vec!["t.go".into()],
        then: vec![emit("t.done")],
        ..Rule::default()
    };
    change(&mut rule);
    rule
}

fn emit(kind: &str) -> Action {
    Action::Emit {
        kind: kind.into(),
        subject: Some("{{ rule.key }}".into()),
        data: json!({ "of": ["{{ event.data.n }}"] }),
    }
}

fn with(rules: impl IntoIterator<Item = Rule>) -> Fleet {
    let mut fleet = fleet([daemon("a", &[]), daemon("b", &["a"])]);
    fleet.rules = rules.into_iter().collect();
    fleet
}

fn up(rules: impl IntoIterator<Item = Rule>) -> Script {
    up_with(with(rules))
}

fn up_with(fleet: Fleet) -> Script {
    let mut s = Script::up_with(fleet);
    for unit in ["a", "b"] {
        if s.core.generation(unit).is_some() {
            s.started(unit);
        }
    }
    s.told();
    s.events.clear();
    s
}

/// Somebody publishes.
fn publish(s: &mut Script, kind: &str, subject: &str) {
    publish_with(s, kind, subject, json!({ "n": 1 }));
}

fn publish_with(s: &mut Script, kind: &str, subject: &str, data: serde_json::Value) {
    s.command(Command::Emit(vec![NewEvent {
        source: "test".into(),
        kind: kind.into(),
        subject: Some(subject.into()),
        data,
        ..NewEvent::default()
    }]));
}

/// How often each sort of event was told about a subject since the last look, in order of names.
fn since(s: &mut Script) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for event in s.events.drain(..) {
        let subject = event.subject.as_deref().unwrap_or_default();
        *counts
            .entry(format!("{} {subject}", event.kind))
            .or_default() += 1;
    }
    counts
}

fn times(s: &mut Script, what: &str) -> usize {
    since(s).get(what).copied().unwrap_or(0)
}

fn last<'s>(s: &'s Script, kind: &str) -> &'s Event {
    let mut all = s.events.iter().rev();
    all.find(|event| event.kind == kind)
        .unwrap_or_else(|| panic!("no {kind}"))
}

fn wanted(s: &Script, unit: &str) -> String {
    let mut rows = s.core.status(s.now).daemons.into_iter();
    let row = rows.find(|row| row.name == unit);
    row.map_or("absent", |row| row.state.as_str()).to_owned()
}

fn crash(s: &mut Script, fleet: Fleet) {
    let bus = BusRecovery {
        last_seq: 1_000,
        ..BusRecovery::default()
    };
    s.crash_and_recover(
        fleet,
        Recovery {
            bus,
            ..Recovery::default()
        },
    );
    s.events.clear();
}

fn command(s: &mut Script, command: RuleCommand) {
    s.command(Command::Rule(command));
}

fn decide(s: &mut Script, id: u64, grant: bool) {
    let by = "ann".to_owned();
    command(s, RuleCommand::Approve { id, grant, by });
}

#[test]
fn what_is_meant_lets_it_act_and_the_texts_are_filled_in() {
    let mut s = up([rule(|rule| {
        rule.when = Some("event.data.n > 1".into());
    })]);
    publish(&mut s, "t.go", "x");
    publish(&mut s, "t.other", "x");
    assert_eq!(times(&mut s, "t.done x"), 0);
    publish_with(&mut s, "t.go", "x", json!({ "n": 2 }));
    let done = last(&s, "t.done");
    assert_eq!(done.source, "rule/r");
    assert_eq!(done.data, json!({ "of": ["2"] }));
    assert_eq!(done.extensions["euddepth"], "1");
    let fired = last(&s, "rule.fired");
    assert_eq!(fired.subject.as_deref(), Some("r"));
    assert_eq!(fired.data["actions"], json!(["emit t.done about x"]));
    assert_eq!(s.rules["r"].fired_total, 1);
}

#[test]
fn an_error_is_never_true_and_is_counted() {
    let mut s = up([rule(|rule| {
        rule.when = Some("event.data.absent > 1".into())
    })]);
    publish(&mut s, "t.go", "x");
    assert_eq!(times(&mut s, "rule.fired r"), 0);
    let view = &s.core.rules()[0];
    assert_eq!(view.errors_total, 1);
    let error = view.last_error.clone().unwrap();
    assert!(error.contains("when: "), "{error}");
    assert_eq!(s.rules["r"].errors_total, 1, "durable");
}

#[test]
fn actions_on_daemons_name_the_rule_as_the_cause() {
    let on = |name: &str, action| {
        let mut rule = rule(|_| {});
        rule.name = name.into();
        rule.on = vec![format!("t.{name}")];
        rule.then = vec![action];
        rule
    };
    let names = || vec!["{{ event.subject }}".to_owned()];
    let mut s = up([
        on("stop", Action::Stop { names: names() }),
        on("start", Action::Start { names: names() }),
        on("restart", Action::Restart { names: names() }),
        on(
            "hold",
            Action::Hold {
                names: names(),
                reason: "script is gone".into(),
            },
        ),
        on("release", Action::Release { names: names() }),
    ]);
    publish(&mut s, "t.stop", "b");
    s.expect(
        "stop b
         b up → stopping: stopped by hand",
    );
    s.stopped("b");
    assert_eq!(wanted(&s, "b"), "stopped");
    publish(&mut s, "t.start", "b");
    assert_eq!(last(&s, "daemon.starting").data["cause"], "rule `start`");
    s.started("b");
    s.told();
    publish(&mut s, "t.restart", "b");
    s.stopped("b");
    let cause = last(&s, "daemon.starting").data["cause"].to_string();
    assert!(cause.contains("rule `restart`"), "{cause}");
    s.started("b");
    publish(&mut s, "t.hold", "b");
    s.stopped("b");
    let held = s.intents.iter().find(|intent| intent.unit == "b").unwrap();
    assert_eq!(held.hold.as_deref(), Some("rule `hold`: script is gone"));
    publish(&mut s, "t.release", "b");
    assert_eq!(wanted(&s, "b"), "starting");
}

#[test]
fn an_event_cannot_make_an_action_reach_further_than_was_written() {
    let names = vec!["{{ event.subject }}".to_owned()];
    let mut s = up([rule(|rule| rule.then = vec![Action::Stop { names }])]);
    publish(&mut s, "t.go", "*");
    let failed = last(&s, "rule.failed");
    assert!(
        failed.data["why"]
            .as_str()
            .unwrap()
            .contains("not a pattern")
    );
    assert_eq!(wanted(&s, "a"), "up");
}

#[test]
fn the_error_of_one_action_is_told_and_does_not_stop_the_next() {
    let mut s = up([rule(|rule| {
        let missing = Action::Restart {
            names: vec!["nobody".into()],
        };
        let channel = Action::Notify(Notice {
            channel: "ops".into(),
            ..Notice::default()
        });
        let unfilled = Action::Start {
            names: vec!["{{ event.absent }}".into()],
        };
        rule.then = vec![missing, channel, unfilled, emit("t.done")];
    })]);
    publish(&mut s, "t.go", "x");
    let all = since(&mut s);
    assert_eq!(all["rule.failed r"], 3);
    assert_eq!(all["t.done x"], 1);
    assert_eq!(s.rules["r"].errors_total, 3);
}

#[test]
fn so_many_of_one_key_within_a_time() {
    let mut s = up([rule(|rule| {
        rule.count = 3;
        rule.within_ms = Some(10_000);
    })]);
    for subject in ["x", "y", "x", "y"] {
        publish(&mut s, "t.go", subject);
    }
    s.pass(10_001);
    publish(&mut s, "t.go", "x");
    publish(&mut s, "t.go", "x");
    assert_eq!(
        times(&mut s, "rule.fired r"),
        0,
        "the first two are too old"
    );
    publish(&mut s, "t.go", "x");
    assert_eq!(times(&mut s, "rule.fired r"), 1);
    publish(&mut s, "t.go", "x");
    assert_eq!(times(&mut s, "rule.fired r"), 0, "counting begins anew");
}

#[test]
fn one_after_the_other() {
    let mut s = up([rule(|rule| {
        rule.on.clear();
        rule.sequence = vec!["t.one".into(), "t.two".into(), "t.three".into()];
        rule.within_ms = Some(10_000);
        rule.unless = vec!["t.never".into()];
    })]);
    let mut go = |kinds: &[&str]| {
        for kind in kinds {
            publish(&mut s, kind, "x");
            s.pass(2_000);
        }
        times(&mut s, "rule.fired r")
    };
    assert_eq!(go(&["t.two", "t.three", "t.one"]), 0);
    assert_eq!(go(&["t.three", "t.two", "t.three"]), 1);
    assert_eq!(go(&["t.one", "t.two", "t.never", "t.three"]), 0);
    let late = ["t.one", "t.two", "t.x", "t.x", "t.x", "t.x", "t.three"];
    assert_eq!(go(&late), 0);
    assert_eq!(go(&["t.one", "t.two", "t.three"]), 1);
}

#[test]
fn it_waits_and_is_called_off() {
    let rules = || {
        [rule(|rule| {
            rule.for_ms = Some(2 * MINUTE);
            rule.unless = vec!["t.ok".into()];
        })]
    };
    let mut s = up(rules());
    publish(&mut s, "t.go", "x");
    publish(&mut s, "t.go", "y");
    s.pass(MINUTE);
    publish(&mut s, "t.go", "x");
    publish(&mut s, "t.ok", "y");
    s.pass(MINUTE);
    assert_eq!(last(&s, "rule.fired").data["key"], "x");
    assert_eq!(times(&mut s, "rule.fired r"), 1);
    publish(&mut s, "t.go", "x");
    assert_eq!(s.core.rules()[0].waits.len(), 1);
    crash(&mut s, with(rules()));
    // A clock that was set back a year does not stretch it.
    s.now.wall_ms -= 365 * 86_400_000;
    crash(&mut s, with(rules()));
    s.pass(2 * MINUTE);
    let data = last(&s, "t.done").data.clone();
    assert_eq!(data, json!({ "of": ["1"] }), "the event is at hand");
    assert_eq!(times(&mut s, "rule.fired r"), 1);
}

#[test]
fn it_cools_down_for_each_key() {
    let rules = || [rule(|rule| rule.cooldown_ms = MINUTE)];
    let mut s = up(rules());
    publish(&mut s, "t.go", "x");
    publish(&mut s, "t.go", "x");
    publish(&mut s, "t.go", "y");
    assert_eq!(times(&mut s, "rule.fired r"), 2);
    assert_eq!(s.rules["r"].passed_total, 1);
    s.pass(MINUTE - 1);
    crash(&mut s, with(rules()));
    publish(&mut s, "t.go", "x");
    assert_eq!(times(&mut s, "rule.fired r"), 0);
    s.pass(1);
    publish(&mut s, "t.go", "x");
    assert_eq!(times(&mut s, "rule.fired r"), 1);
    s.now.wall_ms -= 86_400_000;
    publish(&mut s, "t.go", "x");
    s.pass(MINUTE);
    publish(&mut s, "t.go", "x");
    assert_eq!(times(&mut s, "rule.fired r"), 1, "the clock was set back");
}

#[test]
fn once_for_each_key_until_it_is_reset() {
    let rules = || [rule(|rule| rule.once_per_key = true)];
    let mut s = up(rules());
    publish(&mut s, "t.go", "x");
    s.pass(30 * 86_400_000);
    crash(&mut s, with(rules()));
    publish(&mut s, "t.go", "x");
    assert_eq!(times(&mut s, "rule.fired r"), 0);
    command(&mut s, RuleCommand::Reset("r".into()));
    assert!(s.rules["r"].keys.is_empty(), "durable");
    publish(&mut s, "t.go", "x");
    assert_eq!(times(&mut s, "rule.fired r"), 1);
}

#[test]
fn more_than_its_limit_disables_it_until_a_person_enables_it() {
    let rules = || {
        [rule(|rule| {
            rule.limit = Rate {
                count: 3,
                per_ms: MINUTE,
            };
        })]
    };
    let mut s = up(rules());
    for _ in 0..5 {
        publish(&mut s, "t.go", "x");
    }
    let all = since(&mut s);
    assert_eq!((all["rule.fired r"], all["rule.disabled r"]), (3, 1));
    s.pass(10 * MINUTE);
    crash(&mut s, with(rules()));
    publish(&mut s, "t.go", "x");
    assert_eq!(times(&mut s, "rule.fired r"), 0);
    let view = &s.core.rules()[0];
    assert!(view.why_disabled.as_ref().unwrap().contains("3 in 1m"));
    let enable = |enabled| RuleCommand::Enable {
        name: "r".into(),
        enabled,
    };
    command(&mut s, enable(true));
    publish(&mut s, "t.go", "x");
    assert_eq!(times(&mut s, "rule.fired r"), 1);
    command(&mut s, enable(false));
    publish(&mut s, "t.go", "x");
    assert_eq!(last(&s, "rule.disabled").data["why"], "by hand");
    assert_eq!(times(&mut s, "rule.fired r"), 0);
}

#[test]
fn a_loop_is_cut_by_depth_and_counted() {
    let mut s = up([rule(|rule| {
        rule.then = vec![Action::Emit {
            kind: "t.go".into(),
            subject: None,
            data: serde_json::Value::Null,
        }];
    })]);
    publish(&mut s, "t.go", "x");
    assert_eq!(times(&mut s, "rule.fired r"), 8);
    assert_eq!(s.rules["r"].passed_total, 1);
    let mut others = ["p", "q"].map(|name| {
        rule(|rule| {
            rule.name = name.into();
            rule.on = vec!["rule.fired".into(), "t.go".into()];
        })
    });
    others[1].then = vec![emit("t.done")];
    let mut s = up(others);
    publish(&mut s, "t.go", "x");
    let all = since(&mut s);
    assert_eq!(all["rule.fired p"], 8, "each only hears of the other");
    assert_eq!(all["rule.fired q"], 8);
}

#[test]
fn a_loop_through_the_daemons_ends_at_the_limit() {
    let mut s = up([rule(|rule| {
        rule.on = vec!["daemon.started".into()];
        rule.when = Some("event.subject == 'b'".into());
        rule.then = vec![Action::Restart {
            names: vec!["b".into()],
        }];
        rule.limit = Rate {
            count: 4,
            per_ms: 3_600_000,
        };
    })]);
    for _ in 0..20 {
        s.pass(1_000);
        if wanted(&s, "b") == "starting" {
            s.started("b");
        }
        if wanted(&s, "b") == "stopping" {
            s.stopped("b");
        }
    }
    assert_eq!(s.rules["r"].fired_total, 4);
    assert_eq!(s.rules["r"].enabled, Some(false));
    assert_eq!(wanted(&s, "b"), "up");
}

fn climbing(change: impl FnOnce(&mut Ladder)) -> Rule {
    let rung = |kind: &str, times, cooldown_ms| Rung {
        then: vec![emit(kind)],
        cooldown_ms,
        times,
    };
    let mut ladder = Ladder {
        rungs: vec![rung("t.mild", 2, 0), rung("t.hard", 1, 10_000)],
        healthy: vec!["t.ok".into()],
        reset_ms: 60 * MINUTE,
    };
    change(&mut ladder);
    rule(|rule| {
        rule.then.clear();
        rule.ladder = Some(ladder);
    })
}

#[test]
fn a_ladder_goes_up_rests_ends_and_begins_anew() {
    let mut s = up([climbing(|_| {})]);
    let go = |s: &mut Script| {
        publish(s, "t.go", "x");
        let all = since(s);
        let told = |kind: &str| all.contains_key(kind);
        match () {
            () if told("t.mild x") => "mild",
            () if told("t.hard x") => "hard",
            () if told("rule.exhausted r") => "exhausted",
            () => "nothing",
        }
    };
    assert_eq!(
        [go(&mut s), go(&mut s), go(&mut s)],
        ["mild", "mild", "hard"]
    );
    assert_eq!(
        go(&mut s),
        "nothing",
        "what follows at once is put down to it"
    );
    crash(&mut s, with([climbing(|_| {})]));
    assert_eq!(go(&mut s), "nothing");
    s.pass(10_000);
    assert_eq!([go(&mut s), go(&mut s)], ["exhausted", "nothing"]);
    publish(&mut s, "t.ok", "y");
    assert_eq!(go(&mut s), "nothing", "another is well");
    publish(&mut s, "t.ok", "x");
    assert_eq!(go(&mut s), "mild");
    s.pass(59 * MINUTE);
    assert_eq!(go(&mut s), "mild");
    s.pass(59 * MINUTE);
    assert_eq!(go(&mut s), "hard", "there was no hour of quiet");
    s.pass(60 * MINUTE);
    assert_eq!(go(&mut s), "mild");
}

fn asking() -> Rule {
    rule(|rule| {
        rule.approve = true;
        rule.approve_within_ms = 60 * MINUTE;
        rule.then = vec![Action::Stop {
            names: vec!["{{ event.subject }}".into()],
        }];
    })
}

#[test]
fn it_asks_and_acts_when_a_person_agrees() {
    let mut s = up([asking()]);
    publish(&mut s, "t.go", "b");
    publish(&mut s, "t.go", "b");
    publish(&mut s, "t.go", "a");
    assert_eq!(times(&mut s, "approval.asked r"), 2, "one for each key");
    assert_eq!(s.approvals[&1].what, ["stop b"]);
    assert_eq!(wanted(&s, "b"), "up");
    crash(&mut s, with([asking()]));
    decide(&mut s, 1, true);
    assert_eq!(s.approvals[&1].outcome, Some(Verdict::Granted));
    assert_eq!(last(&s, "rule.fired").data["approval"], 1);
    assert_eq!(last(&s, "approval.granted").data["by"], "ann");
    let stopped = s.intents.iter().find(|intent| intent.unit == "b").unwrap();
    assert_eq!(stopped.desired, eud_core::record::Desired::Down);
    s.told();
    decide(&mut s, 1, true);
    let refused = s.told();
    assert!(refused.contains("was granted by ann at 2023-"), "{refused}");
    decide(&mut s, 2, false);
    assert_eq!(s.approvals[&2].outcome, Some(Verdict::Denied));
    decide(&mut s, 3, true);
    assert!(
        s.told()
            .contains("Unknown { what: \"approval\", name: \"3\" }")
    );
    assert_eq!(times(&mut s, "rule.fired r"), 1);
}

#[test]
fn nobody_decides_in_time() {
    let mut s = up([asking()]);
    publish(&mut s, "t.go", "b");
    s.pass(59 * MINUTE);
    s.now.wall_ms -= 86_400_000;
    crash(&mut s, with([asking()]));
    s.pass(60 * MINUTE);
    assert_eq!(times(&mut s, "approval.expired r"), 1);
    s.told();
    decide(&mut s, 1, true);
    assert!(s.told().contains("nobody decided"));
    publish(&mut s, "t.go", "b");
    assert_eq!(times(&mut s, "approval.asked r"), 1, "it asks again");
}

#[test]
fn what_is_done_is_what_was_asked_for() {
    let mut s = up([asking()]);
    publish(&mut s, "t.go", "b");
    let mut changed = asking();
    changed.then = vec![Action::Stop {
        names: vec!["*".into()],
    }];
    s.load(with([changed]));
    s.told();
    decide(&mut s, 1, true);
    assert!(s.told().contains("something else"));
    assert_eq!(wanted(&s, "b"), "up");
    s.load(with([]));
    assert_eq!(s.approvals[&1].outcome, Some(Verdict::Expired));
    assert!(!s.rules.contains_key("r"));
}

#[test]
fn a_task_knows_its_rule_and_a_job_its_event() {
    let mut fleet = with([rule(|rule| {
        rule.then = vec![
            Action::Task(TaskTemplate {
                pool: "p".into(),
                args: vec!["{{ event.data.n }}".into()],
                prompt: Some("look at {{ event.subject }}".into()),
                ..TaskTemplate::default()
            }),
            Action::Trigger {
                names: vec!["j".into()],
            },
        ];
    })]);
    let pool = Pool {
        name: "p".into(),
        template: Daemon {
            kind: Kind::Task,
            ..daemon("p", &[])
        },
        ..Pool::default()
    };
    let job = Daemon {
        kind: Kind::Job,
        job: Some(Job::default()),
        ..daemon("j", &[])
    };
    fleet.pools.insert("p".into(), pool);
    fleet.daemons.insert("j".into(), job);
    let mut s = up_with(fleet);
    publish(&mut s, "t.go", "x");
    let seq = last(&s, "t.go").seq;
    let task = s.tasks.values().next().unwrap();
    let origin = TaskOrigin::Rule {
        name: "r".into(),
        seq,
        depth: 1,
    };
    assert_eq!(task.origin, origin);
    assert_eq!(task.title, "look at x");
    let book = s.books.iter().find(|book| book.job == "j").unwrap();
    let fire = book.active.values().next().unwrap();
    assert_eq!((fire.events.clone(), fire.depth), (vec![seq], 1));
}

#[test]
fn a_gate_stays_closed_until_neither_keeps_it_so() {
    let on = |name: &str, action| {
        let mut rule = rule(|_| {});
        rule.name = name.into();
        rule.on = vec![format!("t.{name}")];
        rule.then = vec![action];
        rule
    };
    let gate = || "g".to_owned();
    let close = Action::CloseGate {
        gate: gate(),
        reason: "disk of {{ event.subject }}".into(),
    };
    let mut fleet = with([
        on("close", close),
        on("open", Action::OpenGate { gate: gate() }),
    ]);
    let gauge = Gauge {
        name: "q".into(),
        description: None,
        source: Source::Machine(Machine::Load),
        every_ms: 30_000,
        timeout_ms: 5_000,
        warn: None,
        over: Some(Limit {
            at: Value(10.0),
            clear: Value(10.0),
        }),
        under: None,
        frozen_ms: None,
        origin: Origin::default(),
    };
    fleet.gauges.insert("q".into(), gauge);
    let gate = Gate {
        name: "g".into(),
        gauge: "q".into(),
        closes_at: [Level::Over].into(),
        members: ["b".to_owned()].into(),
        origin: Origin::default(),
    };
    fleet.gates.insert("g".into(), gate);
    let mut s = up_with(fleet.clone());
    s.sampled("q", Ok(1.0));
    publish(&mut s, "t.close", "x");
    s.stopped("b");
    assert_eq!(wanted(&s, "b"), "paused");
    assert_eq!(
        s.gates["g"].held_reason.as_deref(),
        Some("rule `close`: disk of x")
    );
    crash(&mut s, fleet);
    assert_eq!(wanted(&s, "b"), "paused");
    s.pass(60_000);
    s.sampled("q", Ok(11.0));
    publish(&mut s, "t.open", "x");
    assert_eq!(wanted(&s, "b"), "paused", "its gauge keeps it closed");
    s.pass(60_000);
    s.sampled("q", Ok(1.0));
    assert_ne!(wanted(&s, "b"), "paused");
}

#[test]
fn a_webhook_is_delivered_like_a_subscriptions() {
    let mut fleet = with([rule(|rule| {
        rule.then = vec![Action::Webhook {
            outlet: "rule.r.1".into(),
        }];
    })]);
    let outlet = Subscription {
        name: "rule.r.1".into(),
        on: Vec::new(),
        handler: Handler::Webhook(Webhook {
            url: "http://localhost".into(),
            headers: BTreeMap::new(),
            secret: None,
        }),
        ..Subscription::default()
    };
    fleet.outlets.insert("rule.r.1".into(), outlet);
    let mut s = up_with(fleet);
    publish(&mut s, "t.go", "x");
    let seq = last(&s, "t.go").seq;
    s.expect(&format!("deliver event {seq} to rule.r.1"));
    assert!(s.core.bus().subscriptions.is_empty(), "it is none");
}

#[test]
fn a_dry_run_says_what_it_looked_at_and_changes_nothing() {
    let mut s = up([rule(|rule| {
        rule.when = Some("event.data.n > 1".into());
        rule.cooldown_ms = MINUTE;
    })]);
    let mut event = Event {
        kind: "t.go".into(),
        subject: Some("x".into()),
        data: json!({ "n": 2 }),
        ..Event::default()
    };
    let trial = s.core.try_rule("r", &event, s.now).unwrap();
    assert!(trial.acts);
    assert_eq!(
        trial.steps,
        ["on: t.go matches t.go", "when: true", "key: `x`"]
    );
    assert_eq!(trial.then, ["emit t.done about x"]);
    assert_eq!(s.core.rules()[0].fired_total, 0);
    publish_with(&mut s, "t.go", "x", json!({ "n": 2 }));
    let trial = s.core.try_rule("r", &event, s.now).unwrap();
    assert!(!trial.acts);
    assert_eq!(trial.steps.last().unwrap(), "cooldown: 1m to go");
    event.data = json!({ "n": "many" });
    let trial = s.core.try_rule("r", &event, s.now).unwrap();
    assert!(
        trial.steps[1].starts_with("when: no value"),
        "{:?}",
        trial.steps
    );
    assert!(s.core.try_rule("nobody", &event, s.now).is_none());
    command(&mut s, RuleCommand::Reset("nobody".into()));
    assert!(s.told().contains("Unknown { what: \"rule\""));
}

#[test]
fn memory_is_bounded_and_the_oldest_key_goes() {
    let mut s = up([rule(|rule| {
        rule.once_per_key = true;
        rule.limit.count = 10_000;
    })]);
    for n in 0..=1_000 {
        publish(&mut s, "t.go", &format!("k{n}"));
        s.pass(1);
    }
    assert_eq!(s.rules["r"].keys.len(), 1_000);
    assert!(!s.rules["r"].keys.contains_key("k0"));
}

#[test]
fn a_shutdown_is_not_worked_against() {
    let mut s = up([rule(|rule| {
        rule.on = vec!["daemon.stopped".into()];
        rule.then = vec![Action::Start {
            names: vec!["{{ event.subject }}".into()],
        }];
    })]);
    s.command(Command::Shutdown {
        keep_daemons: false,
    });
    s.stopped("b");
    s.stopped("a");
    assert_eq!(times(&mut s, "rule.fired r"), 0);
    assert!(s.core.is_over());
}

#[test]
fn a_count_goes_on_through_crash_and_reload_unless_it_changed() {
    let counting = |count| {
        rule(|rule| {
            rule.count = count;
            rule.cooldown_ms = MINUTE;
        })
    };
    let mut s = up([counting(3)]);
    publish(&mut s, "t.go", "x");
    publish(&mut s, "t.go", "x");
    crash(&mut s, with([counting(3)]));
    s.load(with([counting(3)]));
    publish(&mut s, "t.go", "x");
    assert_eq!(times(&mut s, "rule.fired r"), 1, "two were remembered");
    s.load(with([counting(1)]));
    publish(&mut s, "t.go", "x");
    assert_eq!(times(&mut s, "rule.fired r"), 0, "it still cools down");
}
