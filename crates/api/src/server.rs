//! The serving half of the control socket.
