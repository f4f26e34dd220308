//! What HTTP servers answer to probes.
//!
//! What is promised: any bytes give a status, a refusal or a wish for more; once given, a verdict
//! does not change with what follows, so that it does not depend on how the bytes arrive.

use eud_manager::fuzz as manager;

pub(crate) fn run(bytes: &[u8]) {
    let mut verdict = None;
    for end in 0..=bytes.len().min(512) {
        let now = manager::http_status(&bytes[..end]);
        if let Some(Ok(status)) = now {
            assert!((200..=999).contains(&status), "{status} is no final status");
        }
        assert!(
            verdict.is_none() || verdict == now,
            "{verdict:?} became {now:?} at byte {end}"
        );
        verdict = now;
    }
    let url = String::from_utf8_lossy(bytes);
    if let Ok((host, _)) = manager::http_host_port(&url) {
        assert!(!host.is_empty());
    }
}
