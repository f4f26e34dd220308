//! One GET over plain HTTP/1.1.
//!
//! Invariants: of a test only the status line is read, and at most [`HEAD_BYTES_MAX`] of it; a body
//! is read whole or not at all, and only up to a limit; no redirect is followed; the connection is
//! closed afterwards.
//! Deliberately absent: TLS.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{connect, words};

/// Most bytes read before a status line must have come.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// A URL in its parts.
#[derive(Debug, PartialEq, Eq)]
struct Url<'a> {
    /// `host[:port]` as given.
    authority: &'a str,
    address: String,
    target: String,
}

/// Passes when the answer's status is 200 to 399.
///
/// # Errors
/// In words.
pub(super) async fn get(text: &str) -> Result<(), String> {
    let (_, _, status) = ask(text, "HTTP/1.1").await?;
    match status {
        200..=399 => Ok(()),
        status => Err(format!("{text} answered {status}")),
    }
}

/// The body of an answer with a status from 200 to 299.
///
/// # Errors
/// In words; also when it is longer than `bytes_max`, or ends before its end.
pub(crate) async fn body(text: &str, bytes_max: usize) -> Result<Vec<u8>, String> {
    // To this version nothing is answered in chunks of unknown number.
    let (mut stream, mut answer, status) = ask(text, "HTTP/1.0").await?;
    if !(200..=299).contains(&status) {
        return Err(format!("{text} answered {status}"));
    }
    let mut is_over = false;
    loop {
        match body_of(&answer, is_over, bytes_max) {
            Body::Whole(bytes) => return Ok(bytes),
            Body::More => {}
            Body::TooLong => return Err(format!("{text} sent more than {bytes_max} bytes")),
            Body::Torn => return Err(format!("{text} closed the connection before the end")),
        }
        match stream.read_buf(&mut answer).await {
            Ok(count) => is_over = count == 0,
            Err(e) => return Err(format!("{text}: {}", words(&e))),
        }
    }
}

/// What the bytes of an answer are worth.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// There is more to come.
    More,
    Whole(Vec<u8>),
    TooLong,
    Torn,
}

/// The body in an answer, all of which is there if `is_over`.
pub(crate) fn body_of(answer: &[u8], is_over: bool, bytes_max: usize) -> Body {
    let Some(head) = head_of(answer) else {
        return match (answer.len() > HEAD_BYTES_MAX, is_over) {
            (true, _) => Body::TooLong,
            (_, true) => Body::Torn,
            _ => Body::More,
        };
    };
    let there = answer.get(head.end..).unwrap_or_default();
    let length = head.length.filter(|_| !head.is_chunked);
    if length.unwrap_or(there.len()) > bytes_max {
        return Body::TooLong;
    }
    let whole = match length {
        Some(length) => there.get(..length).map(<[u8]>::to_vec),
        None if !is_over => return Body::More,
        None if head.is_chunked => unchunk(there),
        None => Some(there.to_vec()),
    };
    match whole {
        Some(bytes) => Body::Whole(bytes),
        None if is_over => Body::Torn,
        None => Body::More,
    }
}

/// Asks, and reads until there is a status.
async fn ask(text: &str, version: &str) -> Result<(TcpStream, Vec<u8>, u16), String> {
    let url = parse(text)?;
    let mut stream = connect(&url.address).await?;
    let request = format!(
        "GET {} {version}\r\nHost: {}\r\nUser-Agent: eud\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        url.target, url.authority
    );
    stream
        .write_all(request.as_bytes())
        .await
        .map_err(|e| format!("{text}: {}", words(&e)))?;
    let mut head = Vec::new();
    loop {
        match final_status(&head) {
            Some(Ok(status)) => return Ok((stream, head, status)),
            Some(Err(())) => return Err(format!("{text} does not speak HTTP")),
            None if head.len() > HEAD_BYTES_MAX => {
                return Err(format!(
                    "{text} sent no status within {HEAD_BYTES_MAX} bytes"
                ));
            }
            None => {}
        }
        match stream.read_buf(&mut head).await {
            Ok(0) => return Err(format!("{text} closed the connection without an answer")),
            Ok(_) => {}
            Err(e) => return Err(format!("{text}: {}", words(&e))),
        }
    }
}

/// What a head says of the body.
#[derive(Debug, Default, PartialEq, Eq)]
struct Head {
    /// Where the body begins.
    end: usize,
    length: Option<usize>,
    is_chunked: bool,
}

/// The head of the final answer; `None` while it is not whole.
fn head_of(answer: &[u8]) -> Option<Head> {
    let mut head = Head::default();
    let mut is_interim = None;
    let mut at = 0;
    while let Some(length) = answer.get(at..)?.iter().position(|byte| *byte == b'\n') {
        let line = answer.get(at..at + length)?;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        at += length + 1;
        if is_interim.is_none() {
            is_interim = Some(status_of(line).is_some_and(|status| status < 200));
        } else if line.is_empty() {
            if is_interim == Some(false) {
                head.end = at;
                return Some(head);
            }
            (head, is_interim) = (Head::default(), None);
        } else if let Some((name, value)) = header(line) {
            match name.as_str() {
                "content-length" => head.length = value.parse().ok(),
                "transfer-encoding" => head.is_chunked = value.eq_ignore_ascii_case("chunked"),
                _ => {}
            }
        }
    }
    None
}

/// Name, in small letters, and value.
fn header(line: &[u8]) -> Option<(String, &str)> {
    let (name, value) = std::str::from_utf8(line).ok()?.split_once(':')?;
    Some((name.trim().to_ascii_lowercase(), value.trim()))
}

/// A body from its chunks (RFC 9112 §7.1); `None` when it is not whole.
fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let line = std::str::from_utf8(rest.get(..end)?).ok()?;
        let size = line.split(';').next()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        rest = rest.get(end + 1..)?;
        if size == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size..)?;
        rest = rest
            .strip_prefix(b"\r")
            .unwrap_or(rest)
            .strip_prefix(b"\n")?;
    }
}

/// Status of the first answer that is not an interim one (1xx); `None` while it is not there. Lines
/// end with a newline; a carriage return before it is not theirs.
pub(crate) fn final_status(head: &[u8]) -> Option<Result<u16, ()>> {
    // What follows the last newline is not whole yet.
    let whole = &head[..head.iter().rposition(|byte| *byte == b'\n')?];
    let mut lines = whole
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    loop {
        let Some(status) = status_of(lines.next()?) else {
            return Some(Err(()));
        };
        if !(100..200).contains(&status) {
            return Some(Ok(status));
        }
        lines.find(|line| line.is_empty())?;
    }
}

/// Three digits after the version, of which the first is one of the five classes.
fn status_of(line: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split(' ');
    if !words.next()?.starts_with("HTTP/1.") {
        return None;
    }
    let status = words.next()?;
    let is_status = status.len() == 3 && status.bytes().all(|byte| byte.is_ascii_digit());
    status
        .parse()
        .ok()
        .filter(|status| is_status && *status >= 100)
}

/// `host:port` of a URL.
pub(super) fn address(text: &str) -> Result<String, String> {
    Ok(parse(text)?.address)
}

fn parse(text: &str) -> Result<Url<'_>, String> {
    let lower = text.get(..8).unwrap_or(text).to_ascii_lowercase();
    if lower.starts_with("https://") {
        return Err("https probes are not supported; use exec with curl".to_owned());
    }
    if !lower.starts_with("http://") {
        return Err(format!("`{text}` is no http:// URL"));
    }
    let rest = &text[7..];
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    let authority = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let target = target.split('#').next().unwrap_or_default();
    let bad = |c: char| c.is_control() || c == ' ';
    if authority.is_empty() || authority.contains(bad) || target.contains(bad) {
        return Err(format!("`{text}` is no usable URL"));
    }
    let has_port = authority
        .rsplit_once(':')
        .is_some_and(|(host, _)| !host.starts_with('[') || host.ends_with(']'));
    Ok(Url {
        authority,
        address: if has_port {
            authority.to_owned()
        } else {
            format!("{authority}:80")
        },
        target: if target.starts_with('/') {
            target.to_owned()
        } else {
            format!("/{target}")
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::time::Duration;

    #[test]
    fn urls_are_taken_apart() {
        for (text, address, target) in [
            ("http://h", "h:80", "/"),
            ("http://h:8080/a/b?x=1#frag", "h:8080", "/a/b?x=1"),
            ("HTTP://[::1]/x", "[::1]:80", "/x"),
            ("http://[::1]:9?q", "[::1]:9", "/?q"),
            ("http://user:pw@h/x", "h:80", "/x"),
        ] {
            let url = parse(text).unwrap();
            assert_eq!(
                (url.address.as_str(), url.target.as_str()),
                (address, target),
                "{text}"
            );
        }
        for text in [
            "",
            "ftp://h",
            "http://",
            "http:///x",
            "http://h/a b",
            "http://h/a\r\nX: y",
            "http://é",
        ] {
            let parsed = parse(text);
            assert!(parsed.is_err() || text.contains('é'), "{text}: {parsed:?}");
        }
        assert!(parse("https://h").unwrap_err().contains("use exec"));
    }

    #[test]
    fn statuses_are_read_from_the_final_answer() {
        assert_eq!(final_status(b"HTTP/1.1 200"), None);
        assert_eq!(final_status(b"HTTP/1.1 200 OK\r\n"), Some(Ok(200)));
        assert_eq!(final_status(b"HTTP/1.0 503 \n"), Some(Ok(503)));
        assert_eq!(
            final_status(b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 404 No\r\n"),
            Some(Ok(404))
        );
        assert_eq!(final_status(b"HTTP/1.1 100 Continue\r\n\r\n"), None);
        // However much of it is there, and whatever its lines end with.
        for head in [
            &b"HTTP/1.0 503\nA: b\r\n\r\n"[..],
            b"HTTP/1.1 100\n\nHTTP/1.0 503 x\n\n",
        ] {
            assert_eq!(final_status(head), Some(Ok(503)));
        }
        for head in [&b"HTTP/1.1 7\n"[..], b"HTTP/1.1 +200\n", b"HTTP/1.1 099\n"] {
            assert_eq!(final_status(head), Some(Err(())));
        }
        assert_eq!(final_status(b"SSH-2.0-OpenSSH\r\n"), Some(Err(())));
        assert_eq!(final_status(b"\xff\xff\r\n"), Some(Err(())));
    }

    /// A server that answers one request with these bytes: its port, and the request.
    fn server(bytes: &'static [u8]) -> (u16, std::thread::JoinHandle<String>) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let n = stream.read(&mut request).unwrap();
            stream.write_all(bytes).unwrap();
            String::from_utf8_lossy(&request[..n]).into_owned()
        });
        (port, server)
    }

    async fn fetch(bytes: &'static [u8]) -> Result<String, String> {
        let (port, server) = server(bytes);
        let url = format!("http://127.0.0.1:{port}/depth");
        let fetched = tokio::time::timeout(Duration::from_secs(5), body(&url, 100));
        let fetched = fetched.await.unwrap();
        let request = server.join().unwrap();
        assert!(request.starts_with("GET /depth HTTP/1.0\r\n"), "{request}");
        fetched.map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[tokio::test]
    async fn a_body_is_read_whole_or_not_at_all() {
        for whole in [
            &b"HTTP/1.0 200 OK\r\n\r\n{\"depth\": 5}"[..],
            b"HTTP/1.1 200 OK\ncontent-length: 12\n\n{\"depth\": 5}and more",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
              8;x=y\r\n{\"depth\"\r\n4\r\n: 5}\r\n0\r\n\r\n",
            b"HTTP/1.1 103 Early\r\nContent-Length: 1\r\n\r\nHTTP/1.1 200\r\n\r\n{\"depth\": 5}",
        ] {
            let shown = String::from_utf8_lossy(whole);
            assert_eq!(
                fetch(whole).await,
                Ok("{\"depth\": 5}".to_owned()),
                "{shown}"
            );
        }
        for (answer, expected) in [
            (&b"HTTP/1.0 404 No\r\n\r\n{}"[..], "answered 404"),
            (b"HTTP/1.0 302 Found\r\n\r\n{}", "answered 302"),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{",
                "before the end",
            ),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n{",
                "more than 100 bytes",
            ),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{",
                "before the end",
            ),
            (b"HTTP/1.1 200 OK\r\nA: b\r\n", "before the end"),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n{",
                "more than 100 bytes",
            ),
            (b"SSH-2.0\r\n", "does not speak HTTP"),
        ] {
            let why = fetch(answer).await.unwrap_err();
            assert!(why.ends_with(expected), "{why}");
        }
        let endless: &'static [u8] =
            Vec::leak([b"HTTP/1.0 200 OK\r\n\r\n".to_vec(), vec![b' '; 60_000]].concat());
        let why = fetch(endless).await.unwrap_err();
        assert!(why.ends_with("more than 100 bytes"), "{why}");
    }

    async fn answer(bytes: &'static [u8]) -> Result<(), String> {
        let (port, server) = server(bytes);
        let tested = tokio::time::timeout(
            Duration::from_secs(5),
            get(&format!("http://localhost:{port}/ready")),
        )
        .await
        .unwrap();
        let request = server.join().unwrap();
        assert!(request.starts_with("GET /ready HTTP/1.1\r\n"), "{request}");
        assert!(
            request.contains(&format!("Host: localhost:{port}\r\n")),
            "{request}"
        );
        tested
    }

    #[tokio::test]
    async fn a_server_is_judged_by_its_status() {
        assert_eq!(answer(b"HTTP/1.1 204 No Content\r\n\r\n").await, Ok(()));
        assert_eq!(
            answer(b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n").await,
            Ok(())
        );
        assert!(
            answer(b"HTTP/1.1 500 Oops\r\n\r\n")
                .await
                .unwrap_err()
                .ends_with("answered 500")
        );
        assert!(answer(b"").await.unwrap_err().contains("without an answer"));
        assert!(
            answer(b"hello\r\n")
                .await
                .unwrap_err()
                .contains("does not speak HTTP")
        );
    }
}
