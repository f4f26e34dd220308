//! The control socket of eudaemon: JSON-RPC 2.0, one message a line.
//!
//! Purpose: let programs of the same user, and root, talk to the manager.
//! Invariants: no line from a client can stop the manager; every request gets exactly one answer,
//! with its id as it came; everything is bounded, see [`server`].
//! Deliberately absent: decisions, files other than the socket, TCP.

pub mod client;
pub mod protocol;
pub mod server;
