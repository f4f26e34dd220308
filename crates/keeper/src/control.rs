//! The control socket: what the manager is told, and what it asks.
//!
//! Form: out, one JSON object per line; in, one plain line per request: `stop`, `kill`, `signal
//! NAME`, `watch`. Whatever else comes in is ignored; a line of more than [`LINE_MAX`] bytes ends
//! its connection.
//! Invariants: nobody at the other end, be it slow, dead, mad or a stranger, can block the keeper,
//! end it, or make it hold more than [`QUEUE_MAX`] bytes for them.
//! Deliberately absent: answers. What a request leads to is told to everybody as an event.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use eud_sys::fd::{Interest, is_hung_up, read_now, wait};
use eud_sys::signal::Signal;
use eud_sys::socket;

use crate::json::Object;

/// Connections held at once. One more takes the place of the oldest.
pub(crate) const PEERS_MAX: usize = 4;
/// Longest request, in bytes.
const LINE_MAX: usize = 4096;
/// Most bytes that wait for one connection; one that is slower is closed, and may connect anew.
const QUEUE_MAX: usize = 64 * 1024;
/// Most requests taken from one connection at a time, in bytes.
const READ_BYTES: usize = 1024;

/// What somebody asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    Stop,
    Kill,
    Signal(Signal),
}

/// The listening socket and those connected to it.
#[derive(Debug)]
pub(crate) struct Control {
    listener: Option<UnixListener>,
    peers: Vec<Peer>,
}

#[derive(Debug)]
struct Peer {
    socket: UnixStream,
    line: Vec<u8>,
    queue: Vec<u8>,
    watches: bool,
    /// There may be output that it was not told of. Without this, what is written while a `watch`
    /// is on its way would never be told.
    has_news: bool,
    is_lost: bool,
}

impl Control {
    /// Listens at `path`.
    pub(crate) fn listen(path: &Path) -> io::Result<Self> {
        let listener = socket::listen(path)?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener: Some(listener),
            peers: Vec::new(),
        })
    }

    /// Without a listener, for a keeper that has only bad news to tell.
    pub(crate) fn deaf() -> Self {
        Self {
            listener: None,
            peers: Vec::new(),
        }
    }

    /// Adds a connection and greets it.
    pub(crate) fn add(&mut self, socket: UnixStream, hello: &str) {
        if socket.set_nonblocking(true).is_err() {
            return;
        }
        if self.peers.len() >= PEERS_MAX {
            self.peers.retain(|peer| !is_hung_up(peer.socket.as_fd()));
        }
        if self.peers.len() >= PEERS_MAX {
            self.peers.remove(0);
        }
        let mut peer = Peer {
            socket,
            line: Vec::new(),
            queue: Vec::new(),
            watches: false,
            has_news: true,
            is_lost: false,
        };
        peer.tell(hello);
        self.peers.push(peer);
    }

    /// Accepts who is waiting, if they are of this user or root.
    pub(crate) fn accept(&mut self, hello: impl Fn() -> String) {
        // At most a few at a time: there are other things to do.
        for _ in 0..PEERS_MAX {
            let Some(Ok((socket, _))) = self.listener.as_ref().map(UnixListener::accept) else {
                return;
            };
            let uid = socket::peer(socket.as_fd()).map(|who| who.uid);
            if uid.is_ok_and(|uid| uid == 0 || uid == socket::own_uid()) {
                self.add(socket, &hello());
            }
        }
    }

    /// Where connections arrive.
    pub(crate) fn listener(&self) -> Option<BorrowedFd<'_>> {
        self.listener.as_ref().map(AsFd::as_fd)
    }

    /// The connections, and what each is waited for.
    pub(crate) fn peers(&self) -> impl Iterator<Item = (BorrowedFd<'_>, Interest)> {
        self.peers.iter().map(|peer| {
            let interest = if peer.queue.is_empty() {
                Interest::Read
            } else {
                Interest::ReadWrite
            };
            (peer.socket.as_fd(), interest)
        })
    }

    /// Reads and writes at the connection in this place of [`Control::peers`]; hands requests over.
    pub(crate) fn serve(&mut self, place: usize, mut take: impl FnMut(Request)) {
        if let Some(peer) = self.peers.get_mut(place) {
            peer.send();
            peer.receive(&mut take);
        }
    }

    /// Forgets connections that are lost. Places change.
    pub(crate) fn forget_lost(&mut self) {
        self.peers.retain(|peer| !peer.is_lost);
    }

    /// Tells everybody.
    pub(crate) fn tell(&mut self, event: &str) {
        for peer in &mut self.peers {
            peer.tell(event);
        }
    }

    /// Tells those who watch, once, that there is new output; the others when they watch.
    pub(crate) fn tell_output(&mut self) {
        for peer in &mut self.peers {
            peer.has_news = true;
            peer.tell_news();
        }
    }

    /// Sends what still waits, for at most `patience_ms` all together.
    pub(crate) fn flush(&mut self, patience_ms: u64) {
        let until_ms = eud_sys::clock::boot_ms().saturating_add(patience_ms);
        for peer in &mut self.peers {
            while !peer.queue.is_empty() && !peer.is_lost {
                let left_ms = until_ms.saturating_sub(eud_sys::clock::boot_ms());
                if !wait(peer.socket.as_fd(), Interest::Write, Some(left_ms)).unwrap_or(false) {
                    break;
                }
                peer.send();
            }
        }
    }
}

impl Peer {
    fn tell(&mut self, event: &str) {
        if self.is_lost || self.queue.len() + event.len() + 1 > QUEUE_MAX {
            self.is_lost = true;
            return;
        }
        self.queue.extend_from_slice(event.as_bytes());
        self.queue.push(b'\n');
        self.send();
    }

    fn send(&mut self) {
        let mut sent = 0;
        while let Some(rest) = self.queue.get(sent..).filter(|rest| !rest.is_empty()) {
            match socket::send_now(self.socket.as_fd(), rest) {
                Ok(0) => break,
                Ok(count) => sent += count,
                Err(_) => {
                    self.is_lost = true;
                    break;
                }
            }
        }
        self.queue.drain(..sent);
    }

    #[inline(never)]
    fn receive(&mut self, take: &mut impl FnMut(Request)) {
        let mut buffer = [0; READ_BYTES];
        let count = match read_now(self.socket.as_fd(), &mut buffer) {
            Ok(None) => return,
            Ok(Some(count)) if count > 0 => count,
            Ok(_) | Err(_) => {
                self.is_lost = true;
                return;
            }
        };
        for part in buffer[..count].split_inclusive(|b| *b == b'\n') {
            if self.line.len() + part.len() > LINE_MAX {
                self.is_lost = true;
                return;
            }
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                self.obey(&line, take);
            }
        }
    }

    fn tell_news(&mut self) {
        if self.watches && self.has_news {
            (self.watches, self.has_news) = (false, false);
            self.tell(&Object::event("output").end());
        }
    }

    fn obey(&mut self, line: &[u8], take: &mut impl FnMut(Request)) {
        let Ok(line) = std::str::from_utf8(line) else {
            return;
        };
        let mut words = line.split_ascii_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some("stop"), None, None) => take(Request::Stop),
            (Some("kill"), None, None) => take(Request::Kill),
            (Some("watch"), None, None) => {
                self.watches = true;
                self.tell_news();
            }
            (Some("signal"), Some(name), None) => {
                if let Some(signal) = Signal::parse(name) {
                    take(Request::Signal(signal));
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    fn connected() -> (Control, UnixStream) {
        let (near, far) = UnixStream::pair().unwrap();
        let mut control = Control::deaf();
        control.add(near, "hello");
        let mut greeting = [0; 6];
        (&far).read_exact(&mut greeting).unwrap();
        assert_eq!(&greeting, b"hello\n");
        (control, far)
    }

    /// Serves until the peer has nothing more to say.
    fn requests(control: &mut Control) -> Vec<Request> {
        let mut taken = Vec::new();
        while control.peers.first().is_some_and(|peer| {
            !peer.is_lost && wait(peer.socket.as_fd(), Interest::Read, Some(0)).unwrap()
        }) {
            control.serve(0, |request| taken.push(request));
        }
        control.forget_lost();
        taken
    }

    #[test]
    fn requests_are_understood_and_all_else_is_ignored() {
        let (mut control, mut far) = connected();
        far.write_all(b"stop\nnull\n\n{\"a\":1}\nsignal HUP\r\nsignal NOPE\nsignal\nSTOP\n")
            .unwrap();
        far.write_all(b"\xff\xfe\nstop now\nkill\nsto").unwrap();
        let expected = [Request::Stop, Request::Signal(Signal::HUP), Request::Kill];
        assert_eq!(requests(&mut control), expected);
        far.write_all(b"p\n").unwrap();
        assert_eq!(requests(&mut control), [Request::Stop]);
    }

    #[test]
    fn an_endless_line_ends_its_connection_only() {
        let (mut control, mut far) = connected();
        far.write_all(&[b'x'; 3 * LINE_MAX]).unwrap();
        assert_eq!(requests(&mut control), []);
        assert!(control.peers.is_empty());
    }

    #[test]
    fn half_a_line_before_the_end_is_no_request() {
        let (mut control, mut far) = connected();
        far.write_all(b"kill").unwrap();
        drop(far);
        assert_eq!(requests(&mut control), []);
        assert!(control.peers.is_empty());
    }

    #[test]
    fn who_does_not_read_is_closed_when_too_much_waits() {
        let (mut control, far) = connected();
        let event = "x".repeat(1_000);
        let mut told = 0;
        while control.peers.first().is_some_and(|peer| !peer.is_lost) {
            control.tell(&event);
            told += 1;
            assert!(told < 10_000);
        }
        assert!(control.peers[0].queue.len() <= QUEUE_MAX);
        control.forget_lost();
        assert!(control.peers.is_empty());
        drop(far);
    }

    #[test]
    fn output_is_told_once_to_each_who_asks() {
        let (mut control, mut far) = connected();
        let output = "{\"event\":\"output\"}\n";
        let mut watch = |control: &mut Control| {
            far.write_all(b"watch\n").unwrap();
            requests(control);
        };
        // Whether there was output before nobody can say, so the first answer is at once.
        watch(&mut control);
        watch(&mut control);
        control.tell("still");
        control.tell_output();
        control.tell_output();
        control.tell("asked again");
        // What was written while nobody watched is told as soon as somebody does.
        watch(&mut control);
        control.tell("end");
        drop(control);
        let mut all = String::new();
        far.read_to_string(&mut all).unwrap();
        let expected = format!("{output}still\n{output}asked again\n{output}end\n");
        assert_eq!(all, expected);
    }

    #[test]
    fn the_dead_make_room_for_the_living() {
        let (mut control, mut oldest) = connected();
        for _ in 0..3 * PEERS_MAX {
            let (near, _) = UnixStream::pair().unwrap();
            control.add(near, "h");
        }
        oldest.write_all(b"stop\n").unwrap();
        assert_eq!(requests(&mut control), [Request::Stop]);
    }

    #[test]
    fn one_too_many_takes_the_place_of_the_oldest() {
        let (mut control, mut oldest) = connected();
        let mut others = Vec::new();
        for _ in 0..PEERS_MAX {
            let (near, far) = UnixStream::pair().unwrap();
            control.add(near, "h");
            others.push(far);
        }
        assert_eq!(oldest.read(&mut [0; 8]).unwrap(), 0);
        assert_eq!(control.peers.len(), PEERS_MAX);
    }
}
