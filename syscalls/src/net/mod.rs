//! Calls on sockets.

pub mod accept;
mod addr;
mod batch;
mod cmsg;
pub mod connect;
pub mod option;
pub mod recv;
pub mod send;
pub mod socket;
