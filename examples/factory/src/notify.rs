//! sd_notify(3), the sending side, by hand.
//!
//! Invariants: without `NOTIFY_SOCKET` every call does nothing; a name that begins with `@` is an
//! abstract socket (Linux).

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::{Failure, say};

/// The supervisor's end.
pub(crate) struct Notifier {
    socket: Option<UnixDatagram>,
}

impl Notifier {
    /// Connects to `NOTIFY_SOCKET`, if there is one.
    pub(crate) fn from_env() -> Result<Self, Failure> {
        let Ok(name) = std::env::var("NOTIFY_SOCKET") else {
            return Ok(Self { socket: None });
        };
        let socket = UnixDatagram::unbound().map_err(|e| format!("NOTIFY_SOCKET: {e}"))?;
        connect(&socket, &name).map_err(|e| format!("NOTIFY_SOCKET {name}: {e}"))?;
        Ok(Self {
            socket: Some(socket),
        })
    }

    /// Sends assignments such as `READY=1`, one a line.
    pub(crate) fn tell(&self, text: &str) {
        if let Some(socket) = &self.socket
            && let Err(e) = socket.send(text.as_bytes())
        {
            say::trouble(&format!("cannot notify: {e}"));
        }
    }
}

fn connect(socket: &UnixDatagram, name: &str) -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    if let Some(abstract_name) = name.strip_prefix('@') {
        use std::os::linux::net::SocketAddrExt as _;
        let addr = std::os::unix::net::SocketAddr::from_abstract_name(abstract_name)?;
        return socket.connect_addr(&addr);
    }
    socket.connect(name)
}

/// Half of what `WATCHDOG_USEC` allows: often enough that one late beat does no harm.
pub(crate) fn watchdog_pause() -> Option<Duration> {
    let allowed = std::env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    Some(Duration::from_micros(allowed) / 2)
}
