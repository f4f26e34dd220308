//! Reading sd_notify(3) messages.
//!
//! Purpose: from the text a daemon sent to the items the core knows.
//! Invariants: any text is accepted; what is not understood is skipped; at most [`ITEMS_MAX`] items
//! a message.
//! Deliberately absent: `MAINPID`, `FDSTORE` and the like, which would move trust to the daemon.

use eud_core::io::Notify;

/// Items read of one message; the rest is ignored.
const ITEMS_MAX: usize = 16;

/// Longest status kept, in characters.
const STATUS_CHARS_MAX: usize = 500;

/// Items of one message, in order.
pub(crate) fn parse(message: &str) -> Vec<Notify> {
    message.lines().filter_map(item).take(ITEMS_MAX).collect()
}

fn item(line: &str) -> Option<Notify> {
    let (key, value) = line.split_once('=')?;
    match (key, value) {
        ("READY", "1") => Some(Notify::Ready),
        ("WATCHDOG", "1") => Some(Notify::Watchdog),
        ("STOPPING", "1") => Some(Notify::Stopping),
        ("RELOADING", "1") => Some(Notify::Reloading),
        ("STATUS", text) => Some(Notify::Status(
            text.chars()
                .filter(|c| !c.is_control())
                .take(STATUS_CHARS_MAX)
                .collect(),
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_items_are_read_in_order_and_the_rest_is_skipped() {
        let items =
            parse("STATUS=loading\u{1b}[31m 3/7\nFOO=1\nREADY=1\nREADY=0\n\nnonsense\nWATCHDOG=1");
        assert_eq!(
            items,
            [
                Notify::Status("loading[31m 3/7".into()),
                Notify::Ready,
                Notify::Watchdog
            ]
        );
    }

    #[test]
    fn a_flood_is_cut() {
        assert_eq!(parse(&"WATCHDOG=1\n".repeat(1_000)).len(), ITEMS_MAX);
        let Notify::Status(text) = parse(&format!("STATUS={}", "é".repeat(9_000))).remove(0)
        else {
            panic!("a status was sent");
        };
        assert_eq!(text.chars().count(), STATUS_CHARS_MAX);
    }
}
