//! Testing daemons.
//!
//! Purpose: carry out one test and say in words why it failed.
//! Invariants: a test ends within its time limit; what it started is gone afterwards; what it reads
//! is bounded.
//! Deliberately absent: how often, how many failures count, and what follows. `log` and `notify`
//! are not asked for: a daemon says those by itself.

mod exec;
mod http;

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use eud_core::fleet::Probe;
use tokio::net::TcpStream;
use tokio::time::timeout;

pub(crate) use exec::{Surrounded, output};
pub(crate) use http::final_status as http_status;
pub(crate) use http::{Body as HttpBody, body as http_body, body_of as http_body_of};

/// Tests once.
///
/// # Errors
/// In words.
pub(crate) async fn test(
    probe: &Probe,
    limit: Duration,
    exec: Option<Surrounded>,
) -> Result<(), String> {
    let tested = async {
        match probe {
            Probe::Http(url) => http::get(url).await,
            Probe::Tcp(address) => tcp(address).await,
            Probe::File { path, max_age_ms } => file(Path::new(path), *max_age_ms),
            Probe::Exec(argv) => exec::run(argv, exec, limit).await,
            Probe::Log(_) | Probe::Notify { .. } => Err("this probe is not asked for".to_owned()),
        }
    };
    // A command gets its limit from `exec::run`, which must also end it.
    let slack = if matches!(probe, Probe::Exec(_)) {
        exec::SLACK
    } else {
        Duration::ZERO
    };
    match timeout(limit + slack, tested).await {
        Ok(result) => result,
        Err(_) => Err(timed_out(probe, limit)),
    }
}

fn timed_out(probe: &Probe, limit: Duration) -> String {
    let ms = limit.as_millis();
    match probe {
        Probe::Http(url) => format!("{url} gave no answer within {ms} ms"),
        Probe::Tcp(address) => format!("{address} accepted no connection within {ms} ms"),
        _ => format!("no answer within {ms} ms"),
    }
}

async fn tcp(address: &str) -> Result<(), String> {
    connect(address).await.map(drop)
}

/// Connects to `host:port`, trying every address of the host, both loopbacks for `localhost`.
async fn connect(address: &str) -> Result<TcpStream, String> {
    let (host, port) = split_host_port(address)
        .ok_or_else(|| format!("`{address}` is no address of the form host:port"))?;
    let candidates: Vec<(String, u16)> = if host == "localhost" {
        vec![("127.0.0.1".into(), port), ("::1".into(), port)]
    } else {
        vec![(host.to_owned(), port)]
    };
    let mut first = None;
    for (host, port) in candidates {
        match TcpStream::connect((host.as_str(), port)).await {
            Ok(stream) => return Ok(stream),
            Err(e) => {
                first.get_or_insert(e);
            }
        }
    }
    let why = first.as_ref().map_or("no address".to_owned(), words);
    Err(format!("{address}: {why}"))
}

/// `host:port`, with an IPv6 host in brackets.
fn split_host_port(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let host = match bracketed {
        Some(host) => host,
        None if host.contains(':') || host.is_empty() => return None,
        None => host,
    };
    Some((host, port.parse().ok()?))
}

/// Host and port that the probe of a URL connects to.
pub(crate) fn http_host_port(url: &str) -> Result<(String, u16), String> {
    let address = http::address(url)?;
    let split = split_host_port(&address).map(|(host, port)| (host.to_owned(), port));
    split.ok_or_else(|| format!("`{address}` is no address of the form host:port"))
}

fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset".to_owned(),
        io::ErrorKind::TimedOut => "connect timed out".to_owned(),
        _ => error.to_string(),
    }
}

fn file(path: &Path, max_age_ms: Option<u64>) -> Result<(), String> {
    let shown = path.display();
    let meta = match std::fs::metadata(path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(format!("{shown} does not exist"));
        }
        Err(e) => return Err(format!("{shown}: {e}")),
    };
    let Some(max_age_ms) = max_age_ms else {
        return Ok(());
    };
    let changed = meta.modified().map_err(|e| format!("{shown}: {e}"))?;
    // A time in the future is no older than anything.
    let age = SystemTime::now()
        .duration_since(changed)
        .unwrap_or_default();
    if age > Duration::from_millis(max_age_ms) {
        let age = eud_core::words::duration(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        let limit = eud_core::words::duration(max_age_ms);
        return Err(format!(
            "{shown} was last written {age} ago, more than {limit}"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    #[test]
    fn addresses_are_split() {
        assert_eq!(split_host_port("localhost:80"), Some(("localhost", 80)));
        assert_eq!(split_host_port("[::1]:443"), Some(("::1", 443)));
        for bad in ["", ":80", "host", "host:", "host:99999", "::1:80", "a:b:80"] {
            assert_eq!(split_host_port(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_file_must_exist_and_be_fresh_enough() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("beat");
        assert!(file(&path, None).unwrap_err().contains("does not exist"));
        std::fs::write(&path, "").unwrap();
        assert_eq!(file(&path, Some(60_000)), Ok(()));
        let opened = std::fs::File::options().write(true).open(&path).unwrap();
        opened
            .set_modified(UNIX_EPOCH + Duration::from_secs(1))
            .unwrap();
        assert_eq!(file(&path, None), Ok(()));
        assert!(
            file(&path, Some(60_000))
                .unwrap_err()
                .contains("more than 1m")
        );
    }

    #[tokio::test]
    async fn tcp_says_what_happens() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let probe = Probe::Tcp(format!("localhost:{port}"));
        assert_eq!(test(&probe, Duration::from_secs(5), None).await, Ok(()));
        drop(listener);
        let why = test(&probe, Duration::from_secs(5), None)
            .await
            .unwrap_err();
        assert!(why.ends_with("connection refused"), "{why}");
    }

    #[tokio::test]
    async fn localhost_is_also_ipv6() {
        let Ok(listener) = std::net::TcpListener::bind("[::1]:0") else {
            return;
        };
        let port = listener.local_addr().unwrap().port();
        let probe = Probe::Tcp(format!("localhost:{port}"));
        assert_eq!(test(&probe, Duration::from_secs(5), None).await, Ok(()));
    }
}
