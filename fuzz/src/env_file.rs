//! Env files and sd_notify(3) messages.
//!
//! What is promised: any text gives variables that a command can be given, or the line that is
//! wrong; of a message only known items, a bounded number of them, fit for a terminal.

use eud_core::io::Notify;
use eud_manager::fuzz as manager;

pub(crate) fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match manager::env_file(&text) {
        Ok(variables) => {
            for (name, value) in &variables {
                assert!(
                    !name.is_empty() && !name.contains(['=', '\0', ' ']),
                    "{name:?}"
                );
                let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
                let quoted = quoted.replace('\n', "\\n");
                // A bare carriage return would be taken for a part of the line's end.
                if value.contains('\r') {
                    continue;
                }
                let again = manager::env_file(&format!("export {name} = \"{quoted}\" \n"));
                assert_eq!(again, Ok(vec![(name.clone(), value.clone())]));
            }
        }
        Err((line, why)) => {
            assert!((1..=text.lines().count()).contains(&line));
            assert!(!why.is_empty());
        }
    }
    let items = manager::notify_items(&text);
    assert!(items.len() <= 16);
    for item in items {
        if let Notify::Status(status) = item {
            assert!(!status.chars().any(char::is_control), "{status:?}");
        }
    }
}
