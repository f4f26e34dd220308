//! The control socket, as bytes and lines.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::{Value, json};

use super::PATIENCE;

/// One connection.
pub(crate) struct Wire(BufReader<UnixStream>);

impl Wire {
    /// To the manager of a state directory, however long its path is.
    pub(crate) fn to(state: &Path) -> io::Result<Self> {
        let folder = File::open(state)?;
        let socket = format!("/proc/self/fd/{}/eud.sock", folder.as_raw_fd());
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Process id of who listens.
    pub(crate) fn peer(&self) -> u32 {
        let peer = rustix::net::sockopt::socket_peercred(self.0.get_ref()).unwrap();
        u32::try_from(peer.pid.as_raw_nonzero().get()).unwrap()
    }

    /// Sends bytes as they are. The other side may have heard enough.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.get_mut().write_all(bytes)
    }

    pub(crate) fn close_write(&self) {
        let _ = self.0.get_ref().shutdown(std::net::Shutdown::Write);
    }

    /// The next line; `None` when the connection is closed.
    pub(crate) fn line(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line}: {e}"))),
        }
    }

    /// The answer to a line.
    pub(crate) fn ask(&mut self, line: &[u8]) -> Option<Value> {
        self.send(line).and_then(|()| self.send(b"\n")).ok()?;
        self.line()
    }

    /// Calls a method: its result, or its error. `None`: the manager went away.
    pub(crate) fn try_call(
        &mut self,
        method: &str,
        params: &Value,
    ) -> Option<Result<Value, Value>> {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let mut answer = self.ask(request.to_string().as_bytes())?;
        assert_eq!(answer["id"], 1, "{answer}");
        Some(match answer.get("error") {
            Some(error) => Err(error.clone()),
            None => Ok(answer["result"].take()),
        })
    }

    /// Calls a method that is to be answered.
    #[track_caller]
    pub(crate) fn call(&mut self, method: &str, params: &Value) -> Result<Value, Value> {
        self.try_call(method, params)
            .unwrap_or_else(|| panic!("no answer to {method}"))
    }
}
