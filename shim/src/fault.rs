//! Why a request failed: a sentence, and the code by which containerd tells failures apart.

use containerd_shim_protos::{protobuf, ttrpc};
use ttrpc::Code;

/// A failed request.
#[derive(Debug)]
pub struct Fault {
    /// What the client sees as the kind of the failure.
    pub code: Code,
    /// One sentence.
    pub text: String,
}

/// What can fail.
pub type Result<T> = std::result::Result<T, Fault>;

impl Fault {
    /// A failure without a kind.
    pub fn new(text: impl Into<String>) -> Fault {
        Fault::coded(Code::UNKNOWN, text)
    }

    /// A failure of this kind.
    pub fn coded(code: Code, text: impl Into<String>) -> Fault {
        Fault {
            code,
            text: text.into(),
        }
    }

    /// What was named is not there.
    pub fn not_found(text: impl Into<String>) -> Fault {
        Fault::coded(Code::NOT_FOUND, text)
    }

    /// What was named is not in a state for that.
    pub fn precondition(text: impl Into<String>) -> Fault {
        Fault::coded(Code::FAILED_PRECONDITION, text)
    }

    /// The same with `prefix: ` before its text.
    pub fn context(mut self, prefix: &str) -> Fault {
        self.text = format!("{prefix}: {}", self.text);
        self
    }
}

impl From<std::io::Error> for Fault {
    fn from(e: std::io::Error) -> Fault {
        Fault::new(e.to_string())
    }
}

impl From<rustix::io::Errno> for Fault {
    fn from(e: rustix::io::Errno) -> Fault {
        Fault::from(std::io::Error::from(e))
    }
}

impl From<serde_json::Error> for Fault {
    fn from(e: serde_json::Error) -> Fault {
        Fault::new(e.to_string())
    }
}

impl From<protobuf::Error> for Fault {
    fn from(e: protobuf::Error) -> Fault {
        Fault::coded(Code::INVALID_ARGUMENT, e.to_string())
    }
}

impl From<ttrpc::Error> for Fault {
    fn from(e: ttrpc::Error) -> Fault {
        Fault::new(e.to_string())
    }
}

impl From<Fault> for ttrpc::Error {
    fn from(e: Fault) -> ttrpc::Error {
        ttrpc::Error::RpcStatus(ttrpc::get_status(e.code, e.text))
    }
}
