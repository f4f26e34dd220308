//! What the store promises of rules: memory is read back whole, key by key; what waits keeps its
//! event; no number of a request is used twice.

use std::sync::Arc;

use eud_core::event::Event;
use eud_core::io::{BusPersist, Persist, RulePersist};
use eud_core::record::{ApprovalRow, GateRow, RuleKey, RuleRow, Verdict};
use eud_store::Store;

fn event(seq: u64) -> Event {
    Event {
        seq,
        id: seq.to_string(),
        source: "test".into(),
        kind: "count.up".into(),
        stored_ms: 1_000,
        data: serde_json::json!({ "n": seq }),
        ..Event::default()
    }
}

fn rule(item: RulePersist) -> Persist {
    Persist::Rule(item)
}

fn key(name: &str, memory: Option<RuleKey>) -> Persist {
    rule(RulePersist::Key {
        rule: "r".into(),
        key: name.into(),
        memory: memory.map(Box::new),
    })
}

fn approval(id: u64, seq: u64, outcome: Option<Verdict>) -> ApprovalRow {
    ApprovalRow {
        id,
        rule: "r".into(),
        seq,
        event: outcome.is_none().then(|| Box::new(event(seq))),
        what: vec!["restart a".into()],
        expires_ms: 9_000,
        outcome,
        by: outcome.map(|_| ("ann".to_owned(), 5)),
        ..ApprovalRow::default()
    }
}

fn asked(row: &ApprovalRow) -> Persist {
    rule(RulePersist::Approval(Box::new(row.clone())))
}

#[test]
fn memory_is_read_back_whole_and_key_by_key() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let mut row = RuleRow {
        name: "r".into(),
        enabled: Some(false),
        why_disabled: Some("too often".into()),
        fired_total: 7,
        recent_ms: vec![1, 2],
        ..RuleRow::default()
    };
    let waits = RuleKey {
        hits_ms: vec![3],
        waits: Some((8, 4)),
        event: Some(Box::new(event(4))),
        rung: Some((1, 2, 3)),
        ..RuleKey::default()
    };
    let fired = RuleKey {
        fired_ms: Some(9),
        ..RuleKey::default()
    };
    let mut store = Store::open(&path).unwrap();
    let batch = [
        rule(RulePersist::Put(Box::new(row.clone()))),
        key("a", Some(waits.clone())),
        key("b", Some(fired.clone())),
        key("c", Some(fired.clone())),
    ];
    store.apply(&batch).unwrap();
    row.fired_total = 8;
    let again = rule(RulePersist::Put(Box::new(row.clone())));
    store.apply(&[again, key("c", None)]).unwrap();
    drop(store);
    row.keys = [("a".to_owned(), waits), ("b".to_owned(), fired)].into();
    assert_eq!(
        Store::open_read_only(&path).unwrap().rules().unwrap(),
        [row.clone()]
    );
    let mut store = Store::open(&path).unwrap();
    assert_eq!(store.recovery().unwrap().rules.rules, [row]);
    store
        .apply(&[rule(RulePersist::Forget("r".into()))])
        .unwrap();
    assert_eq!(store.rules().unwrap(), []);
}

#[test]
fn a_rule_that_only_remembers_keys_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&dir.path().join("state.db")).unwrap();
    store.apply(&[key("a", Some(RuleKey::default()))]).unwrap();
    let rules = store.rules().unwrap();
    assert_eq!(rules[0].name, "r");
    assert!(rules[0].keys.contains_key("a"));
}

#[test]
fn what_waits_keeps_its_event_until_it_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&dir.path().join("state.db")).unwrap();
    let events = (1..=4).map(|seq| {
        let event = Arc::new(event(seq));
        Persist::Bus(BusPersist::Event {
            event,
            content: None,
        })
    });
    store.apply(&events.collect::<Vec<_>>()).unwrap();
    let waits = RuleKey {
        waits: Some((8, 1)),
        ..RuleKey::default()
    };
    let open = approval(1, 2, None);
    store.apply(&[key("a", Some(waits)), asked(&open)]).unwrap();
    let prune = || {
        Persist::Bus(BusPersist::Prune {
            before_ms: 5_000,
            keep_max: 100,
            upto: 3,
        })
    };
    let kept = |store: &Store| {
        let is_kept = |seq: &u64| store.event(*seq).unwrap().is_some();
        (1..=4).filter(is_kept).collect::<Vec<u64>>()
    };
    store.apply(&[prune()]).unwrap();
    assert_eq!(kept(&store), [1, 2, 4]);
    let decided = approval(1, 2, Some(Verdict::Denied));
    let over = [key("a", Some(RuleKey::default())), asked(&decided), prune()];
    store.apply(&over).unwrap();
    assert_eq!(kept(&store), [4]);
}

#[test]
fn no_number_of_a_request_is_used_twice() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let mut store = Store::open(&path).unwrap();
    let open = approval(3, 1, None);
    store.apply(&[asked(&open)]).unwrap();
    assert_eq!(store.approvals().unwrap(), [open]);
    let granted = approval(3, 1, Some(Verdict::Granted));
    store.apply(&[asked(&granted)]).unwrap();
    assert_eq!(store.approvals().unwrap(), [granted]);
    store
        .apply(&[rule(RulePersist::ForgetApproval(3))])
        .unwrap();
    drop(store);
    let recovery = Store::open(&path).unwrap().recovery().unwrap().rules;
    assert_eq!(recovery.approvals, []);
    assert_eq!(recovery.last_approval, 3);
}

#[test]
fn a_gate_remembers_who_keeps_it_closed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let row = GateRow {
        gate: "g".into(),
        held_ms: Some(5),
        held_reason: Some("rule `r`".into()),
        ..GateRow::default()
    };
    let mut store = Store::open(&path).unwrap();
    store.apply(&[Persist::Gate(row.clone())]).unwrap();
    drop(store);
    let store = Store::open(&path).unwrap();
    assert_eq!(store.recovery().unwrap().gates, [row]);
}
