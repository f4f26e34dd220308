//! What the store promises of channels: memory and messages come back as they were.

use eud_core::fleet::Severity;
use eud_core::io::{ChannelPersist, Persist};
use eud_core::record::{ChannelRow, Message, MessageRow};
use eud_store::Store;

fn message(id: u64, title: &str) -> MessageRow {
    MessageRow {
        id,
        channel: "ops".into(),
        message: Message {
            title: title.into(),
            body: "é\n\"'\u{1}".into(),
            severity: Severity::Critical,
            key: "k".into(),
            at_ms: 5,
            event: 7,
        },
        urgent: true,
        delivery: Some(3),
        task: Some(9),
        ..MessageRow::default()
    }
}

fn put(row: &MessageRow) -> Persist {
    Persist::Channel(ChannelPersist::Message(Box::new(row.clone())))
}

#[test]
fn channels_and_messages_are_read_back_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let mut store = Store::open(&path).unwrap();
    let mut channel = ChannelRow {
        name: "ops".into(),
        sent_total: 4,
        last_message: 12,
        ..ChannelRow::default()
    };
    channel.seen.insert("k".into(), 5);
    let (first, second) = (message(2, "a"), message(10, "b"));
    let changed = message(10, "c");
    let row = ChannelPersist::Channel(Box::new(channel.clone()));
    let batch = [
        put(&second),
        put(&first),
        put(&changed),
        Persist::Channel(row),
    ];
    store.apply(&batch).unwrap();
    drop(store);
    let mut store = Store::open(&path).unwrap();
    let found = store.recovery().unwrap().channels;
    assert_eq!(found.channels, [channel]);
    assert_eq!(found.messages, [first, changed]);
    let gone = [
        Persist::Channel(ChannelPersist::ForgetMessage(2)),
        Persist::Channel(ChannelPersist::ForgetChannel("ops".into())),
    ];
    store.apply(&gone).unwrap();
    let found = store.recovery().unwrap().channels;
    assert!(found.channels.is_empty());
    assert_eq!(found.messages.len(), 1);
}
