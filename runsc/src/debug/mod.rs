//! Messages of the command line, in the form that clients of an OCI runtime read.
//!
//! [`log`] writes one line per message, as text (`time="…" level=error msg="…"`) or as
//! JSON, to stderr or to the file of `--log`. [`profile`] is the report of `--profile`.
//! Neighbour: [`crate::cli`] sets it up.

pub mod log;
pub mod profile;
pub mod time;
