//! As much HTTP/1.1 as the factory needs, on `std::net`.
//!
//! Invariants: one request per connection; heads are at most 8 kB, bodies 64 kB; a peer that stalls
//! costs one of eight workers for two seconds at most.
//! Deliberately absent: TLS, keep-alive, chunked bodies. It serves loopback.

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::Failure;

const WORKERS: usize = 8;
const HEAD_BYTES_MAX: u64 = 8 * 1024;
const BODY_BYTES_MAX: usize = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(2);

/// What was asked.
pub(crate) struct Request {
    /// `GET`, `POST`.
    pub(crate) method: String,
    /// Path without the query.
    pub(crate) path: String,
    /// What follows `?`.
    pub(crate) query: String,
    /// Token of `Authorization: Bearer`.
    pub(crate) token: Option<String>,
    /// Body, UTF-8 or nothing.
    pub(crate) body: String,
}

/// What is answered.
pub(crate) struct Reply {
    /// Status code.
    pub(crate) status: u16,
    /// Body.
    pub(crate) body: String,
}

impl Reply {
    /// 200 with a body.
    pub(crate) fn ok(body: impl Into<String>) -> Self {
        Self {
            status: 200,
            body: body.into(),
        }
    }

    /// Any status with a body.
    pub(crate) fn status(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            body: body.into(),
        }
    }
}

/// Answers requests for ever. Returns only when the address cannot be had.
pub(crate) fn serve(
    addr: &str,
    answer: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> Result<Infallible, Failure> {
    let listener = TcpListener::bind(addr).map_err(|e| format!("cannot listen on {addr}: {e}"))?;
    crate::say::news(&format!("listening on {addr}"));
    let (listener, answer) = (Arc::new(listener), Arc::new(answer));
    for _ in 1..WORKERS {
        let (listener, answer) = (Arc::clone(&listener), Arc::clone(&answer));
        thread::spawn(move || work(&listener, answer.as_ref()));
    }
    work(&listener, answer.as_ref())
}

fn work(listener: &TcpListener, answer: &impl Fn(&Request) -> Reply) -> ! {
    loop {
        match listener.accept() {
            // A peer that breaks off is its own affair.
            Ok((stream, _)) => drop(converse(&stream, answer)),
            // Out of file descriptors, most likely: let some be closed.
            Err(_) => thread::sleep(PATIENCE),
        }
    }
}

fn converse(stream: &TcpStream, answer: &impl Fn(&Request) -> Reply) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let reply = match read_request(stream)? {
        Some(request) => answer(&request),
        None => Reply::status(400, "cannot read the request\n"),
    };
    let head = format!(
        "HTTP/1.1 {} {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        reply.status,
        reason(reply.status),
        reply.body.len()
    );
    let mut out = stream;
    out.write_all(head.as_bytes())?;
    out.write_all(reply.body.as_bytes())
}

fn read_request(stream: &TcpStream) -> std::io::Result<Option<Request>> {
    let mut reader = BufReader::new(stream);
    let mut head = (&mut reader).take(HEAD_BYTES_MAX);
    let mut line = String::new();
    head.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Ok(None);
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        token: None,
        body: String::new(),
    };
    let mut length = 0_usize;
    loop {
        let mut line = String::new();
        if head.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap_or(usize::MAX),
            "authorization" => {
                request.token = value.trim().strip_prefix("Bearer ").map(str::to_owned);
            }
            _ => {}
        }
    }
    if length > BODY_BYTES_MAX {
        return Ok(None);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let Ok(body) = String::from_utf8(body) else {
        return Ok(None);
    };
    request.body = body;
    Ok(Some(request))
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        429 => "Too Many Requests",
        _ => "Service Unavailable",
    }
}

/// Asks another daemon. `Err` says what kept it from answering at all.
pub(crate) fn call(
    method: &str,
    addr: &str,
    target: &str,
    token: Option<&str>,
    body: &str,
) -> Result<Reply, Failure> {
    let socket: SocketAddr = addr
        .parse()
        .map_err(|e| format!("{addr} is no address: {e}"))?;
    let talk = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&socket, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE * 5))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let bearer = token
            .map(|t| format!("authorization: Bearer {t}\r\n"))
            .unwrap_or_default();
        let head = format!(
            "{method} {target} HTTP/1.1\r\nhost: {addr}\r\n{bearer}content-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.as_bytes())?;
        let mut answer = String::new();
        stream
            .take(HEAD_BYTES_MAX + BODY_BYTES_MAX as u64)
            .read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = talk().map_err(|e| format!("{addr}: {e}"))?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or(format!("{addr}: half an answer"))?;
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
    let status = status.ok_or(format!("{addr}: not HTTP"))?;
    Ok(Reply {
        status,
        body: body.to_owned(),
    })
}

/// Value of a key in a query such as `by=drain@1&id=3`.
pub(crate) fn query<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.split('&')
        .find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::query;

    #[test]
    fn a_query_key_is_found_whole() {
        assert_eq!(query("by=drain@1&id=3", "id"), Some("3"));
        assert_eq!(query("by=drain@1&id=3", "b"), None);
        assert_eq!(query("", "id"), None);
    }
}
