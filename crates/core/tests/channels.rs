//! Channels, scene by scene: what is dropped, what waits, tries, recovery, commands.

#[expect(dead_code, reason = "other tests use the rest")]
mod scenario;

use std::collections::BTreeMap;

use eud_core::event::NewEvent;
use eud_core::fleet::{
    Channel, Daemon, Email, Fleet, Handler, Kind, Notice, Origin, Pool, Quiet, Retry, Severity,
    Subscription, Tls, Via, Webhook,
};
use eud_core::io::{ChannelCommand, Command, Fate, Input, Numbers, RecoveredRun, Recovery};
use eud_core::view::{ChannelView, MessageState};
use scenario::{Script, daemon, fleet};
use serde_json::json;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

fn channel(name: &str) -> Channel {
    Channel {
        name: name.into(),
        via: Via::Desktop,
        min_severity: Severity::Info,
        group_ms: 0,
        dedup_ms: 0,
        quiet: None,
        timeout_ms: 30_000,
        retry: Retry {
            limit: 1,
            backoff_initial_ms: 10_000,
            ..Retry::default()
        },
        origin: Origin::default(),
    }
}

/// Events `note.<severity>` are messages on the channel `ops`, with the subject as title.
fn noisy(change: impl FnOnce(&mut Channel)) -> Fleet {
    let mut ops = channel("ops");
    change(&mut ops);
    let mut fleet = fleet([]);
    for severity in [
        Severity::Info,
        Severity::Warning,
        Severity::Error,
        Severity::Critical,
    ] {
        let name = severity.as_str().to_owned();
        let notice = Notice {
            channel: "ops".into(),
            title: Some("{{ event.subject }}".into()),
            severity,
            ..Notice::default()
        };
        let subscription = Subscription {
            name: name.clone(),
            on: vec![format!("note.{name}")],
            handler: Handler::Notify(notice),
            ..Subscription::default()
        };
        fleet.subscriptions.insert(name, subscription);
    }
    fleet.channels.insert("ops".into(), ops);
    fleet
}

fn with(change: impl FnOnce(&mut Channel)) -> Script {
    let mut s = Script::up_with(noisy(change));
    s.told();
    s
}

fn note(s: &mut Script, severity: &str, subject: &str) {
    let event = NewEvent {
        source: "test".into(),
        kind: format!("note.{severity}"),
        subject: Some(subject.into()),
        data: json!({"n": 1}),
        ..NewEvent::default()
    };
    s.command(Command::Emit(vec![event]));
}

fn view(s: &Script) -> ChannelView {
    s.core.channels(s.now).remove(0)
}

fn crash(s: &mut Script, fleet: Fleet) {
    s.crash_and_recover(fleet, Recovery::default());
}

/// At this time of 2026-01-10, UTC.
fn at(s: &mut Script, hour: i64, minute: i64) {
    s.now.wall_ms = 1_768_003_200_000 + (hour * 60 + minute) * 60_000;
    s.give(Input::Tick);
}

fn night(channel: &mut Channel) {
    channel.quiet = Some(Quiet {
        from_min: 22 * 60,
        to_min: 7 * 60,
        zone: None,
    });
}

#[test]
fn a_message_is_durable_until_it_is_sent() {
    let mut s = with(|_| {});
    note(&mut s, "warning", "disk");
    s.expect("send on ops: disk");
    let row = &s.messages[&1];
    assert_eq!(row.message.body, "{\n  \"n\": 1\n}");
    assert_eq!(row.message.severity, Severity::Warning);
    assert_eq!(view(&s).waiting, 1);
    s.sent(Ok(()));
    assert!(s.messages.is_empty());
    assert_eq!((view(&s).sent_total, view(&s).waiting), (1, 0));
    // A late answer counts for nothing.
    s.sent(Ok(()));
    assert_eq!(view(&s).sent_total, 1);
}

#[test]
fn one_at_a_time_in_order() {
    let mut s = with(|_| {});
    for subject in ["a", "b", "c"] {
        note(&mut s, "info", subject);
    }
    s.expect("send on ops: a");
    s.sent(Ok(()));
    s.expect("send on ops: b");
    s.sent(Ok(()));
    s.expect("send on ops: c");
}

#[test]
fn what_is_too_mild_or_a_repetition_is_dropped_and_counted() {
    let mut s = with(|ops| {
        ops.min_severity = Severity::Warning;
        ops.dedup_ms = 10 * MINUTE;
    });
    note(&mut s, "info", "a");
    s.expect("");
    note(&mut s, "warning", "b");
    s.expect("send on ops: b");
    s.sent(Ok(()));
    note(&mut s, "error", "b");
    s.expect("");
    assert_eq!(view(&s).dropped_total, 2);
    // A repetition does not make the silence longer.
    s.pass(10 * MINUTE);
    note(&mut s, "warning", "b");
    s.expect("send on ops: b");
}

#[test]
fn repetitions_are_known_after_a_crash() {
    let change = |ops: &mut Channel| ops.dedup_ms = 10 * MINUTE;
    let mut s = with(change);
    note(&mut s, "warning", "b");
    s.sent(Ok(()));
    s.told();
    crash(&mut s, noisy(change));
    note(&mut s, "warning", "b");
    s.expect("");
    assert_eq!((view(&s).sent_total, view(&s).dropped_total), (1, 1));
}

#[test]
fn keys_are_remembered_up_to_a_bound() {
    let mut s = with(|ops| ops.dedup_ms = HOUR);
    for n in 0..300 {
        note(&mut s, "info", &format!("k{n}"));
        s.pass(1);
    }
    assert_eq!(s.channels["ops"].seen.len(), 256);
    assert!(s.channels["ops"].seen.contains_key("k299"));
    note(&mut s, "info", &"x".repeat(180).repeat(2));
    assert!(s.channels["ops"].seen.keys().all(|key| key.len() <= 200));
}

#[test]
fn quiet_hours_hold_back_all_but_critical_ones() {
    let mut s = with(night);
    at(&mut s, 23, 0);
    note(&mut s, "error", "later");
    s.expect("");
    assert!(view(&s).quiet_until_ms.is_some());
    note(&mut s, "critical", "now");
    s.expect("send on ops: now");
    s.sent(Ok(()));
    s.pass(8 * HOUR - 1);
    s.expect("");
    s.pass(1);
    s.expect("send on ops: later");
    assert_eq!(view(&s).quiet_until_ms, None);
}

#[test]
fn tries_wait_for_the_end_of_quiet_hours_too() {
    let mut s = with(night);
    at(&mut s, 21, 59);
    note(&mut s, "error", "a");
    s.pass(59_000);
    s.sent(Err("refused"));
    s.told();
    s.pass(9 * HOUR);
    s.expect("");
    s.pass(1_000);
    s.expect("send on ops: a");
}

#[test]
fn a_clock_that_is_set_ends_quiet_hours() {
    let mut s = with(night);
    at(&mut s, 23, 0);
    note(&mut s, "error", "a");
    s.expect("");
    at(&mut s, 12, 0);
    s.expect("send on ops: a");
}

#[test]
fn messages_are_collected_and_sent_as_one() {
    let mut s = with(|ops| ops.group_ms = MINUTE);
    note(&mut s, "info", "a");
    s.pass(30_000);
    note(&mut s, "error", "b");
    note(&mut s, "critical", "fire");
    s.expect("send on ops: fire");
    s.sent(Ok(()));
    s.pass(29_999);
    s.expect("");
    s.pass(1);
    s.expect("send on ops: a, b");
    s.sent(Ok(()));
    assert!(s.messages.is_empty());
    assert_eq!(view(&s).sent_total, 3);
}

#[test]
fn what_fails_is_tried_again_and_lets_others_pass() {
    let mut s = with(|_| {});
    note(&mut s, "info", "a");
    s.sent(Err("no route"));
    note(&mut s, "info", "b");
    s.expect(
        "send on ops: a
         send on ops: b",
    );
    assert_eq!(view(&s).last_error.as_deref(), Some("no route"));
    s.sent(Ok(()));
    assert_eq!(view(&s).last_error, None);
    s.pass(8_000);
    s.expect("");
    s.pass(4_000);
    s.expect("send on ops: a");
}

#[test]
fn after_the_last_try_it_is_given_up_and_told_and_kept() {
    let mut s = with(|_| {});
    note(&mut s, "info", "a");
    s.sent(Err("no route"));
    s.pass(20_000);
    s.sent(Err("still no route"));
    s.expect(
        "send on ops: a
         send on ops: a
         event channel.failed of ops",
    );
    s.pass(HOUR);
    s.expect("");
    let messages = s.core.messages();
    assert_eq!(messages[0].state, MessageState::Failed);
    assert_eq!(messages[0].row.attempts, 2);
    assert_eq!(messages[0].row.errors[1].why, "still no route");
    assert_eq!((view(&s).failed, view(&s).waiting), (1, 0));

    let retry = ChannelCommand::Retry(Numbers::These(vec![1]));
    s.command(Command::Channel(retry.clone()));
    s.expect("send on ops: a");
    s.sent(Ok(()));
    assert!(s.messages.is_empty());
    s.command(Command::Channel(retry));
    assert!(s.told().contains("refused Unknown"));
}

#[test]
fn messages_that_were_given_up_survive_and_can_be_dropped() {
    let mut s = with(|ops| ops.retry.limit = 0);
    note(&mut s, "info", "a");
    s.sent(Err("x"));
    crash(&mut s, noisy(|_| {}));
    s.told();
    assert_eq!(view(&s).failed, 1);
    s.command(Command::Channel(ChannelCommand::Drop(Numbers::All)));
    assert!(s.messages.is_empty() && s.core.messages().is_empty());
}

#[test]
fn its_own_failure_is_not_told_on_a_channel_but_on_another() {
    let mut fleet = noisy(|ops| ops.retry.limit = 0);
    fleet.channels.insert("other".into(), channel("other"));
    for to in ["ops", "other"] {
        let notice = Notice {
            channel: to.into(),
            ..Notice::default()
        };
        let subscription = Subscription {
            name: format!("failures-{to}"),
            on: vec!["channel.*".into()],
            handler: Handler::Notify(notice),
            ..Subscription::default()
        };
        fleet
            .subscriptions
            .insert(subscription.name.clone(), subscription);
    }
    let mut s = Script::up_with(fleet);
    s.told();
    note(&mut s, "info", "a");
    s.sent(Err("x"));
    s.expect(
        "send on ops: a
         event channel.failed of ops
         send on other: channel.failed ops",
    );
    assert_eq!(view(&s).dropped_total, 1);
}

#[test]
fn two_channels_that_fail_do_not_tell_of_one_another_for_ever() {
    let mut fleet = noisy(|ops| ops.retry.limit = 0);
    let mut other = channel("other");
    other.retry.limit = 0;
    fleet.channels.insert("other".into(), other);
    for to in ["ops", "other"] {
        let notice = Notice {
            channel: to.into(),
            ..Notice::default()
        };
        let subscription = Subscription {
            name: format!("failures-{to}"),
            on: vec!["channel.failed".into()],
            handler: Handler::Notify(notice),
            ..Subscription::default()
        };
        fleet
            .subscriptions
            .insert(subscription.name.clone(), subscription);
    }
    let mut s = Script::up_with(fleet);
    s.told();
    note(&mut s, "info", "a");
    for _ in 0..20 {
        s.sent(Err("x"));
    }
    let sent = s.told().matches("send on").count();
    assert_eq!(sent, 8, "as many as handlers may lead to one another");
}

#[test]
fn too_many_are_dropped_counted_and_told_once() {
    let mut s = with(night);
    at(&mut s, 23, 0);
    for n in 0..1_010 {
        note(&mut s, "error", &format!("m{n}"));
    }
    s.expect("event channel.full of ops");
    assert_eq!((view(&s).waiting, view(&s).dropped_total), (1_000, 10));
    let test = ChannelCommand::Test("ops".into());
    s.command(Command::Channel(test));
    assert!(s.told().starts_with("refused Full"));
}

#[test]
fn what_was_being_sent_when_the_manager_died_is_sent_again() {
    let mut s = with(|ops| ops.group_ms = MINUTE);
    note(&mut s, "info", "a");
    note(&mut s, "info", "b");
    s.pass(MINUTE);
    s.expect("send on ops: a, b");
    note(&mut s, "info", "c");
    crash(&mut s, noisy(|ops| ops.group_ms = MINUTE));
    s.expect("send on ops: a, b");
    s.sent(Ok(()));
    s.pass(MINUTE);
    s.expect("send on ops: c");
}

#[test]
fn tries_are_counted_through_a_crash() {
    let mut s = with(|_| {});
    note(&mut s, "info", "a");
    s.sent(Err("x"));
    s.told();
    crash(&mut s, noisy(|_| {}));
    s.expect("");
    s.pass(12_000);
    s.expect("send on ops: a");
    s.sent(Err("x"));
    s.expect("event channel.failed of ops");
}

#[test]
fn messages_of_a_channel_that_goes_are_given_up() {
    let mut s = with(night);
    at(&mut s, 23, 0);
    note(&mut s, "info", "a");
    let mut fleet = noisy(|_| {});
    fleet.channels.clear();
    s.load(fleet.clone());
    s.expect("event channel.failed of ops");
    assert!(s.channels.is_empty());
    s.command(Command::Channel(ChannelCommand::Retry(Numbers::All)));
    assert_eq!(s.core.messages()[0].state, MessageState::Failed);
    crash(&mut s, fleet);
    assert_eq!(s.core.messages().len(), 1);
}

#[test]
fn a_test_message_is_sent_at_once() {
    let mut s = with(|ops| {
        night(ops);
        ops.group_ms = HOUR;
        ops.min_severity = Severity::Critical;
    });
    at(&mut s, 23, 0);
    s.command(Command::Channel(ChannelCommand::Test("ops".into())));
    s.expect("send on ops: Test of channel ops");
    s.command(Command::Channel(ChannelCommand::Test("opps".into())));
    assert!(s.told().contains("refused Unknown"));
}

#[test]
fn what_waits_can_be_dropped_but_not_what_is_being_sent() {
    let mut s = with(|_| {});
    note(&mut s, "info", "a");
    note(&mut s, "info", "b");
    let drop = |id| Command::Channel(ChannelCommand::Drop(Numbers::These(vec![id])));
    s.command(drop(1));
    assert!(s.told().contains("refused Invalid"));
    s.command(drop(2));
    s.sent(Ok(()));
    s.expect("");
    assert!(s.messages.is_empty());
}

#[test]
fn a_template_that_cannot_be_filled_in_is_a_dead_letter_at_once() {
    let mut fleet = noisy(|_| {});
    let subscription = fleet.subscriptions.get_mut("info").unwrap();
    let Handler::Notify(notice) = &mut subscription.handler else {
        panic!()
    };
    notice.body = Some("{{ event.data.missing }}".into());
    let mut s = Script::up_with(fleet);
    note(&mut s, "info", "a");
    note(&mut s, "warning", "b");
    assert!(s.told().ends_with("send on ops: b"));
    assert_eq!(s.core.bus().dead_letters, 1);
}

#[test]
fn a_command_is_a_task_with_the_message_on_its_input() {
    let mut fleet = noisy(|ops| {
        let pool = "channel.ops".into();
        ops.via = Via::Exec { pool };
        ops.retry.limit = 1;
    });
    let pool = Pool {
        name: "channel.ops".into(),
        template: Daemon {
            kind: Kind::Task,
            ..daemon("channel.ops", &[])
        },
        implicit: true,
        ..Pool::default()
    };
    fleet.pools.insert(pool.name.clone(), pool);
    let mut s = Script::up_with(fleet.clone());
    s.told();
    note(&mut s, "info", "a");
    s.started("channel.ops#1");
    let told = s.told();
    assert!(told.contains("launch channel.ops#1"), "{told}");
    s.exits("channel.ops#1", 3);
    assert!(view(&s).last_error.unwrap().contains("code 3"));
    s.pass(12_000);
    s.started("channel.ops#2");
    s.told();
    // The task of a manager that died goes on, and its end counts.
    let found = RecoveredRun {
        run: s.tasks[&2].run.clone().unwrap(),
        unit: "channel.ops#2".into(),
        generation: 2,
        fate: Fate::Live {
            pid: Some(7),
            started_at_ms: s.now.wall_ms,
            ready_seen: false,
            changed: Vec::new(),
        },
    };
    let recovery = Recovery {
        runs: vec![found],
        ..Recovery::default()
    };
    s.crash_and_recover(fleet, recovery);
    assert_eq!(s.told(), "");
    assert_eq!(view(&s).waiting, 1);
    s.exits("channel.ops#2", 0);
    assert_eq!(view(&s).sent_total, 1);
    assert!(s.messages.is_empty());
}

#[test]
fn what_is_shown_of_a_channel_has_no_secrets() {
    let shown = |via| {
        let mut s = with(|ops| ops.via = via);
        s.told();
        view(&s).via
    };
    let webhook = Webhook {
        url: "https://user:pw@hooks.example.org:8443/T0/secret?key=1".into(),
        headers: BTreeMap::new(),
        secret: None,
    };
    assert_eq!(
        shown(Via::Webhook(webhook)),
        "webhook https://hooks.example.org:8443"
    );
    let email = Email {
        host: "h".into(),
        port: 587,
        tls: Tls::Starttls,
        user: None,
        password: None,
        from: "a@example.org".into(),
        to: vec!["b@example.org".into(), "c@example.org".into()],
    };
    assert_eq!(
        shown(Via::Email(email)),
        "email to b@example.org, c@example.org"
    );
}
