//! A blocking client of the control socket.
//!
//! Purpose: what a command needs to ask the manager something: connect, call, read notifications.
//! Invariants: one request in flight per connection, so an answer is always to the last request;
//! every read has a time limit; a line longer than [`LINE_BYTES_MAX`] ends the connection instead
//! of the memory.
//! Deliberately absent: tokio and threads. `eud status` is to cost a few milliseconds.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use eud_core::io::Refusal;
use eud_core::view::Transition;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use crate::protocol::{self, FleetInvalid, RpcError, UnknownSelector, code};

/// Longest line that is accepted from the manager, in bytes: a status of some 100,000 daemons.
pub const LINE_BYTES_MAX: usize = 64 << 20;

/// How long an answer may take unless told otherwise.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nothing answers on the socket: start a manager with `eud up`.
    #[error("cannot connect to {}: {source}", socket.display())]
    NotRunning {
        /// The socket.
        socket: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The manager closed the connection before it answered.
    #[error("the manager closed the connection on {}", socket.display())]
    Closed {
        /// The socket.
        socket: PathBuf,
    },
    /// No answer within the limit.
    #[error("no answer to `{method}` within {seconds} s")]
    TimedOut {
        /// What was asked.
        method: String,
        /// The limit.
        seconds: u64,
    },
    /// Reading or writing failed.
    #[error("the connection on {} failed: {source}", socket.display())]
    Io {
        /// The socket.
        socket: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The answer is not what was agreed; client and manager may differ in version.
    #[error("the answer to `{method}` cannot be read: {why}")]
    Protocol {
        /// What was asked.
        method: String,
        /// What is wrong with the answer.
        why: String,
    },
    /// The core refused: error 1.
    #[error("refused: {0:?}")]
    Refused(Refusal),
    /// The fleet file is invalid: error 2. The running fleet is unchanged.
    #[error("{rendered}")]
    Invalid {
        /// Diagnostics for people.
        rendered: String,
        /// Diagnostics for programs.
        diagnostics: Value,
    },
    /// Nothing matches a selector: error 3.
    #[error("nothing matches `{selector}`")]
    Unknown {
        /// As given.
        selector: String,
        /// A name that is close.
        suggestion: Option<String>,
    },
    /// `state.db` could not be written: error 4. Nothing was changed.
    #[error("the manager could not write its state: {0}")]
    Storage(String),
    /// Any other error of the manager.
    #[error("{message} (error {code})")]
    Other {
        /// JSON-RPC error code.
        code: i64,
        /// In words.
        message: String,
    },
}

/// A line as it comes: an answer to a request, or a notification, which has a method.
#[derive(Deserialize)]
#[serde(bound = "T: Deserialize<'de>")]
struct Answer<T> {
    id: Option<u64>,
    result: Option<T>,
    error: Option<RpcError>,
    method: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Notification {
    method: String,
    #[serde(default)]
    params: Value,
}

/// Something the manager said unasked.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// A unit changed its state.
    Transition(Transition),
    /// Notices were dropped because this client read too slowly: ask for the status anew.
    Lagged,
    /// An event, as a CloudEvent in JSON, to one who follows them with `event.follow`.
    Event(Value),
    /// Nothing was said within the limit.
    Quiet,
}

/// A connection to a manager.
#[derive(Debug)]
pub struct Client {
    socket: PathBuf,
    reader: BufReader<UnixStream>,
    next_id: u64,
    line: Vec<u8>,
}

impl Client {
    /// Connects to the manager that listens on `socket`.
    ///
    /// # Errors
    /// [`ClientError::NotRunning`] when nothing listens there.
    pub fn connect(socket: &Path) -> Result<Self, ClientError> {
        let failed = |source| ClientError::NotRunning {
            socket: socket.to_owned(),
            source,
        };
        let stream = eud_sys::socket::connect(socket).map_err(failed)?;
        stream
            .set_write_timeout(Some(ANSWER_TIMEOUT))
            .map_err(failed)?;
        Ok(Self {
            socket: socket.to_owned(),
            reader: BufReader::with_capacity(64 << 10, stream),
            next_id: 1,
            line: Vec::new(),
        })
    }

    /// Calls a method and waits up to [`ANSWER_TIMEOUT`] for its result.
    ///
    /// # Errors
    /// The manager's own errors as their variants; the rest when the connection or the answer is
    /// bad.
    pub fn call<T: DeserializeOwned>(
        &mut self,
        method: &str,
        params: &Value,
    ) -> Result<T, ClientError> {
        self.call_within(method, params, ANSWER_TIMEOUT)
    }

    /// Calls a method and waits up to `limit` for its result.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn call_within<T: DeserializeOwned>(
        &mut self,
        method: &str,
        params: &Value,
        limit: Duration,
    ) -> Result<T, ClientError> {
        let id = self.next_id;
        self.next_id += 1;
        let request = serde_json::json!({
            "jsonrpc": "2.0", "id": id, "method": method, "params": params,
        });
        let text = format!("{request}\n");
        self.reader
            .get_mut()
            .write_all(text.as_bytes())
            .map_err(|e| self.io(method, e, limit))?;
        loop {
            self.read_line(method, limit)?;
            let answer: Answer<T> = parse(method, &self.line)?;
            // An error about a line that could not be read has no id; it can only be this
            // request's.
            if answer.method.is_none() && answer.id.is_none_or(|answered| answered == id) {
                return finish(method, answer);
            }
        }
    }

    /// Asks for notifications on this connection; read them with [`Client::notice`].
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn subscribe(&mut self) -> Result<(), ClientError> {
        self.call::<Value>("events.subscribe", &serde_json::json!({}))
            .map(|_| ())
    }

    /// Waits up to `limit` for the next notification.
    ///
    /// # Errors
    /// When the connection is closed or broken. Silence is [`Notice::Quiet`], not an error.
    pub fn notice(&mut self, limit: Duration) -> Result<Notice, ClientError> {
        const METHOD: &str = "events.subscribe";
        loop {
            match self.read_line(METHOD, limit) {
                Ok(()) => {}
                Err(ClientError::TimedOut { .. }) => return Ok(Notice::Quiet),
                Err(error) => return Err(error),
            }
            let Ok(notification) = serde_json::from_slice::<Notification>(&self.line) else {
                continue;
            };
            match notification.method.as_str() {
                protocol::NOTE_TRANSITION => {
                    let transition = serde_json::from_value(notification.params);
                    return transition
                        .map(Notice::Transition)
                        .map_err(|e| ClientError::Protocol {
                            method: METHOD.into(),
                            why: e.to_string(),
                        });
                }
                protocol::NOTE_EVENT => return Ok(Notice::Event(notification.params)),
                protocol::NOTE_LAGGED => return Ok(Notice::Lagged),
                // A newer manager may say more than this client knows.
                _ => {}
            }
        }
    }

    /// Reads one line into `self.line`. After a time-out in the middle of a line the part already
    /// read is kept, so that the next call goes on where this one ended.
    fn read_line(&mut self, method: &str, limit: Duration) -> Result<(), ClientError> {
        if self.line.last() == Some(&b'\n') {
            self.line.clear();
        }
        let limit = limit.max(Duration::from_millis(1));
        let set = self.reader.get_ref().set_read_timeout(Some(limit));
        set.map_err(|e| self.io(method, e, limit))?;
        let room = (LINE_BYTES_MAX - self.line.len()) as u64;
        let result = (&mut self.reader)
            .take(room)
            .read_until(b'\n', &mut self.line);
        match result {
            Err(error) => Err(self.io(method, error, limit)),
            Ok(_) if self.line.last() == Some(&b'\n') => Ok(()),
            Ok(_) if self.line.len() >= LINE_BYTES_MAX => Err(ClientError::Protocol {
                method: method.into(),
                why: format!("a line is longer than {LINE_BYTES_MAX} bytes"),
            }),
            Ok(_) => Err(ClientError::Closed {
                socket: self.socket.clone(),
            }),
        }
    }

    fn io(&self, method: &str, source: io::Error, limit: Duration) -> ClientError {
        match source.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ClientError::TimedOut {
                method: method.into(),
                seconds: limit.as_secs(),
            },
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => ClientError::Closed {
                socket: self.socket.clone(),
            },
            _ => ClientError::Io {
                socket: self.socket.clone(),
                source,
            },
        }
    }
}

fn parse<'a, T: Deserialize<'a>>(method: &str, line: &'a [u8]) -> Result<T, ClientError> {
    serde_json::from_slice(line).map_err(|e| ClientError::Protocol {
        method: method.into(),
        why: e.to_string(),
    })
}

/// Turns an answer into its result or its error.
fn finish<T: DeserializeOwned>(method: &str, answer: Answer<T>) -> Result<T, ClientError> {
    match (answer.error, answer.result) {
        (Some(error), _) => Err(remote(error)),
        (None, Some(result)) => Ok(result),
        // `null` is a result too, of methods that have nothing to say.
        (None, None) => parse(method, b"null"),
    }
}

fn remote(error: RpcError) -> ClientError {
    let RpcError {
        code,
        message,
        data,
    } = error;
    let data = data.unwrap_or(Value::Null);
    match code {
        code::REFUSED => match serde_json::from_value(data) {
            Ok(refusal) => ClientError::Refused(refusal),
            Err(_) => ClientError::Other { code, message },
        },
        code::FLEET_INVALID => match serde_json::from_value::<FleetInvalid>(data) {
            Ok(FleetInvalid {
                rendered,
                diagnostics,
            }) => ClientError::Invalid {
                rendered,
                diagnostics,
            },
            Err(_) => ClientError::Invalid {
                rendered: message,
                diagnostics: Value::Null,
            },
        },
        code::UNKNOWN_SELECTOR => match serde_json::from_value::<UnknownSelector>(data) {
            Ok(UnknownSelector { term, suggestion }) => ClientError::Unknown {
                selector: term,
                suggestion,
            },
            Err(_) => ClientError::Other { code, message },
        },
        code::STORAGE => ClientError::Storage(message),
        _ => ClientError::Other { code, message },
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;

    /// Serves one connection with canned lines: one per request read, then those of `unasked`.
    fn serve(answers: Vec<String>, unasked: Vec<String>) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("eud.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream);
            for answer in answers {
                let mut request = String::new();
                if reader.read_line(&mut request).unwrap() == 0 {
                    return;
                }
                reader.get_mut().write_all(answer.as_bytes()).unwrap();
            }
            for line in unasked {
                reader.get_mut().write_all(line.as_bytes()).unwrap();
            }
        });
        (folder, socket)
    }

    fn call(answer: &str) -> Result<Value, ClientError> {
        let (_folder, socket) = serve(vec![answer.to_owned()], vec![]);
        Client::connect(&socket).unwrap().call("ping", &Value::Null)
    }

    #[test]
    fn a_result_comes_back_after_notifications_and_answers_to_others() {
        let answer = concat!(
            r#"{"jsonrpc":"2.0","method":"transition","params":{}}"#,
            "\n",
            r#"{"jsonrpc":"2.0","id":7,"result":"old"}"#,
            "\n",
            r#"{"jsonrpc":"2.0","id":1,"result":{"a":1}}"#,
            "\n"
        );
        assert_eq!(call(answer).unwrap(), serde_json::json!({ "a": 1 }));
    }

    #[test]
    fn nothing_listening_is_not_running() {
        let folder = tempfile::tempdir().unwrap();
        let error = Client::connect(&folder.path().join("eud.sock")).unwrap_err();
        assert!(matches!(error, ClientError::NotRunning { .. }));
    }

    #[test]
    fn a_closed_connection_is_said_to_be_closed() {
        assert!(matches!(call(""), Err(ClientError::Closed { .. })));
        assert!(matches!(
            call(r#"{"id":1,"resu"#),
            Err(ClientError::Closed { .. })
        ));
    }

    #[test]
    fn rubbish_is_a_protocol_error() {
        assert!(matches!(call("hello\n"), Err(ClientError::Protocol { .. })));
    }

    #[test]
    fn errors_keep_their_meaning() {
        let refused = concat!(
            r#"{"id":1,"error":{"code":1,"message":"held","#,
            r#""data":{"kind":"held","unit":"a","reason":"b"}}}"#,
            "\n"
        );
        let Err(ClientError::Refused(Refusal::Held { unit, reason })) = call(refused) else {
            panic!("a hold is a refusal");
        };
        assert_eq!((unit.as_str(), reason.as_str()), ("a", "b"));

        let unknown = "{\"id\":null,\"error\":{\"code\":3,\"message\":\"m\",\
            \"data\":{\"term\":\"x\",\"suggestion\":null}}}\n";
        assert!(matches!(
            call(unknown),
            Err(ClientError::Unknown { selector, .. }) if selector == "x"
        ));
        assert!(matches!(
            call("{\"id\":1,\"error\":{\"code\":-32601,\"message\":\"no\"}}\n"),
            Err(ClientError::Other { code: -32601, .. })
        ));
    }

    #[test]
    fn silence_is_quiet_and_half_a_line_is_kept_for_later() {
        let (first, rest) = (
            r#"{"method":"transition","params":{"at_ms":5,"unit":"a","from":"starting","#,
            concat!(r#""to":"ready","reason":null,"run":null}}"#, "\n"),
        );
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("eud.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let mut client = Client::connect(&socket).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(first.as_bytes()).unwrap();
        assert_eq!(
            client.notice(Duration::from_millis(20)).unwrap(),
            Notice::Quiet
        );
        stream.write_all(rest.as_bytes()).unwrap();
        let Notice::Transition(transition) = client.notice(ANSWER_TIMEOUT).unwrap() else {
            panic!("a whole line is a transition");
        };
        assert_eq!(transition.unit, "a");
    }
}
