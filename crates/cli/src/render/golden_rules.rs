//! Screens with rules and approvals as they shall look; see [`super::golden`].

use eud_core::record::{ApprovalRow, Verdict};
use eud_core::view::{RuleTrial, RuleView};

use super::golden::{check, fits};
use super::{Screen, rules};

/// 2026-11-23 14:02:14 UTC, as the fixed screen has it.
const NOW_MS: i64 = 1_795_442_534_000;

fn rule(name: &str, on: &str) -> RuleView {
    RuleView {
        name: name.into(),
        on: on.into(),
        enabled: true,
        ..RuleView::default()
    }
}

fn rules_of_all_sorts() -> Vec<RuleView> {
    let mut fired = rule("missing-script", "daemon.exited");
    fired.description = Some("A script that is gone needs a person.".into());
    fired.when = Some("event.data.code == 127".into());
    fired.then = vec!["message on ops".into(), "hold {{ event.subject }}".into()];
    (fired.fired_total, fired.passed_total) = (12, 340);
    fired.last_fired_ms = Some(NOW_MS - 240_000);
    (fired.errors_total, fired.last_error) = (2, Some("`event.data.code` is not there".into()));
    let mut waits = rule("degraded", "daemon.degraded, 5 within 10m");
    waits.waits = vec![("web".into(), NOW_MS + 90_000)];
    let mut asks = rule("deploy", "model.promoted");
    asks.approvals = 2;
    let mut off = rule("storm", "*");
    off.enabled = false;
    off.why_disabled = Some("it acted more than 60 times within 1m".into());
    vec![fired, waits, asks, off]
}

#[test]
fn golden_rules() {
    for columns in [80, 120] {
        let text = rules::list(&rules_of_all_sorts(), &Screen::fixed(columns));
        fits(&text, columns);
        check(&format!("rules-{columns}.txt"), &text);
    }
}

#[test]
fn golden_rule() {
    let all = rules_of_all_sorts();
    let pages: String = all[..2]
        .iter()
        .map(|r| rules::show(r, &Screen::fixed(80)))
        .collect();
    fits(&pages, 80);
    check("rule-show.txt", &pages);
}

#[test]
fn golden_rule_trial() {
    let trial = RuleTrial {
        rule: "missing-script".into(),
        acts: true,
        steps: vec![
            "on: daemon.exited matches daemon.*".into(),
            "when: true".into(),
            "cooldown: none goes on for `web`".into(),
        ],
        then: vec!["send to ops: \"web: no script\"".into(), "hold web".into()],
    };
    let mut text = rules::trial(&trial, &Screen::fixed(80));
    text.push_str(&rules::trial(
        &RuleTrial {
            acts: false,
            steps: vec!["when: false".into()],
            ..trial
        },
        &Screen::fixed(80),
    ));
    fits(&text, 80);
    check("rule-test.txt", &text);
}

#[test]
fn golden_approvals() {
    let row = |id: u64, outcome: Option<Verdict>| ApprovalRow {
        id,
        rule: "deploy".into(),
        key: "models/llama".into(),
        seq: 3_900,
        what: vec!["restart web".into(), "send to ops: \"a new model\"".into()],
        at_ms: NOW_MS - 600_000,
        expires_ms: NOW_MS + 7_200_000,
        outcome,
        by: outcome
            .filter(|verdict| *verdict != Verdict::Expired)
            .map(|_| ("ada".into(), NOW_MS)),
        ..ApprovalRow::default()
    };
    let rows = [
        row(9, None),
        row(8, Some(Verdict::Granted)),
        row(7, Some(Verdict::Denied)),
        row(6, Some(Verdict::Expired)),
    ];
    let text = rules::approvals(&rows, &Screen::fixed(80));
    fits(&text, 80);
    check("approvals.txt", &text);
}
