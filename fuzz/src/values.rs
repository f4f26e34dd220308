//! Values written as text.
//!
//! What is promised: no text panics; a value that is accepted means the same when it is written in
//! its simplest form, and is accepted by whoever uses it later.

use eud_config::fuzz as config;
use eud_core::words;
use eud_manager::fuzz as manager;
use eud_sys::signal::Signal;

pub(crate) fn run(bytes: &[u8]) {
    if let Some(number) = bytes.first_chunk() {
        shown(u64::from_le_bytes(*number));
    }
    let text = String::from_utf8_lossy(bytes);
    amounts(&text);
    addresses(&text);
    names(&text);
    expansion(&text);
}

fn amounts(text: &str) {
    let padded = format!(" {text}\t");
    assert_eq!(config::duration(text), config::duration(&padded));
    if let Some(ms) = config::duration(text) {
        assert_eq!(config::duration(&format!("{ms}ms")), Some(ms), "{text:?}");
    }
    assert_eq!(config::size(text), config::size(&padded));
    if let Some(size) = config::size(text) {
        assert_eq!(config::size(&format!("{size}B")), Some(size), "{text:?}");
    }
    if let Some(mask) = config::umask(text) {
        assert!(mask <= 0o777);
        assert_eq!(config::umask(&format!("{mask:o}")), Some(mask));
    }
}

fn addresses(text: &str) {
    if let Some(address) = config::host_port(text) {
        let (_, port) = address.rsplit_once(':').expect("it has a port");
        assert!(port.parse::<u16>().is_ok_and(|port| port > 0), "{address}");
        let url = format!("http://{address}/");
        assert!(config::http_url(&url).is_some(), "{url}");
    }
    if let Some(url) = config::http_url(text) {
        let probed = manager::http_host_port(&url);
        assert!(
            probed
                .as_ref()
                .is_ok_and(|(host, port)| !host.is_empty() && *port > 0),
            "{url:?} is accepted and cannot be probed: {probed:?}"
        );
    }
    // Not every text is accepted, but none may panic.
    let _ = manager::http_host_port(text);
}

fn names(text: &str) {
    if let Some(name) = config::name(text) {
        let path = std::path::Path::new("/x").join(&name);
        assert_eq!(
            path.file_name().and_then(|n| n.to_str()),
            Some(name.as_str())
        );
        assert_eq!(path.parent(), Some(std::path::Path::new("/x")));
        assert_eq!(eud_core::fleet::daemon_of(&name), name);
    }
    if let Some(signal) = config::signal(text) {
        let known = Signal::parse(&signal).expect("what the fleet file may say is known");
        assert_eq!(known.name(), Some(signal.as_str()));
    }
    if let Some(signal) = Signal::parse(text) {
        assert_eq!(Signal::from_number(signal.number()), Some(signal));
    }
    if let Some(variable) = config::variable(text) {
        assert!(!variable.is_empty() && !variable.contains(['=', '\0']));
    }
    let _ = (config::account(text), config::resource(text));
}

fn expansion(text: &str) {
    let env = |name: &str| match name {
        "A" => Some("${A}".to_owned()),
        "E" => Some(String::new()),
        _ => None,
    };
    let (expanded, troubles) = config::expand(text, &env);
    for trouble in &troubles {
        assert!(
            text.get(trouble.clone()).is_some(),
            "{trouble:?} of {text:?}"
        );
    }
    if !text.contains('$') {
        assert_eq!(expanded, text);
        assert!(troubles.is_empty());
    }
    let escaped = text.replace("${", "$${");
    if !escaped.contains("$$$") {
        assert_eq!(
            config::expand(&escaped, &env),
            (text.to_owned(), Vec::new())
        );
    }
}

fn shown(number: u64) {
    assert!(!words::duration(number).is_empty());
    assert!(!words::rfc3339(number.cast_signed()).is_empty());
    assert!(!words::signal((number as u32).cast_signed()).is_empty());
}
