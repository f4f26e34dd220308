//! Screens with channels and messages as they shall look; see [`super::golden`].

use eud_core::fleet::Severity;
use eud_core::record::{AttemptError, Message, MessageRow};
use eud_core::view::{ChannelView, MessageState, MessageView};

use super::golden::{check, fits};
use super::{Screen, channels};

/// 2026-11-23 14:02:14 UTC, as the fixed screen has it.
const NOW_MS: i64 = 1_795_442_534_000;

#[test]
fn golden_channels() {
    let channel = |name: &str, via: &str| ChannelView {
        name: name.into(),
        via: via.into(),
        sent_total: 1_204,
        dropped_total: 33,
        ..ChannelView::default()
    };
    let mut failing = channel("ops", "email to ada@example.org, ben@example.org");
    (failing.waiting, failing.failed) = (4, 2);
    failing.last_error = Some("the server said 451\u{1b}[31m\ntry later".into());
    let mut quiet = channel("hook", "webhook https://example.org/hook");
    quiet.quiet_until_ms = Some(NOW_MS + 3 * 3_600_000);
    let all = [channel("desk", "desktop"), failing, quiet];
    let text = channels::list(&all, &Screen::fixed(80));
    fits(&text, 80);
    check("channels.txt", &text);
    let text = channels::list(&all[..1], &Screen::fixed(80));
    assert!(!text.contains("not sent"), "{text}");
}

#[test]
fn golden_messages() {
    let message = |id: u64, state: MessageState, severity: Severity, title: &str| MessageView {
        state,
        row: MessageRow {
            id,
            channel: "ops".into(),
            message: Message {
                title: title.into(),
                severity,
                at_ms: NOW_MS - 300_000,
                ..Message::default()
            },
            ..MessageRow::default()
        },
    };
    let mut failed = message(
        3,
        MessageState::Failed,
        Severity::Error,
        "web\u{1b}[2J is down",
    );
    failed.row.attempts = 6;
    failed.row.errors = vec![AttemptError {
        at_ms: NOW_MS,
        why: "connection refused by mail.example.org:587".into(),
    }];
    let all = [
        failed,
        message(
            4,
            MessageState::Sending,
            Severity::Critical,
            "the disk is full",
        ),
        message(
            5,
            MessageState::Waiting,
            Severity::Warning,
            "job.overdue: nightly-backup",
        ),
        message(6, MessageState::Waiting, Severity::Info, "model.promoted"),
    ];
    let text = channels::messages(&all, &Screen::fixed(80));
    fits(&text, 80);
    check("messages.txt", &text);
}
