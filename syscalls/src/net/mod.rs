//! Calls on sockets.
