//! All unix sockets, for `/proc/net/unix`.

use std::fmt::Write;
use std::sync::{Arc, Weak};

use super::{Names, UnixSocket};
use crate::net::addr::UnixAddr;
use crate::sync::Mutex;

/// Title of the table.
const TITLE: &str = "Num       RefCount Protocol Flags    Type St Inode Path\n";
/// Flag of a listening socket (`__SO_ACCEPTCON`).
const ACCEPTS: u32 = 0x1_0000;

/// Sockets that are there; dead ones are swept when the list has doubled.
#[derive(Default)]
pub(super) struct All(Mutex<(Vec<Weak<UnixSocket>>, usize)>);

/// Fewest sockets before the list is swept.
const SWEEP: usize = 64;

impl All {
    /// Enters a socket.
    pub(super) fn add(&self, socket: &Arc<UnixSocket>) {
        let mut all = self.0.lock();
        let (list, sweep_at) = &mut *all;
        if list.len() >= (*sweep_at).max(SWEEP) {
            list.retain(|s| s.strong_count() > 0);
            *sweep_at = list.len().saturating_mul(2);
        }
        list.push(Arc::downgrade(socket));
    }
}

impl Names {
    /// The text of `/proc/net/unix`.
    pub fn table(&self) -> String {
        let list = self.all.0.lock().0.clone();
        let mut out = TITLE.to_owned();
        for s in list.iter().filter_map(Weak::upgrade) {
            s.row(&mut out);
        }
        out
    }
}

impl UnixSocket {
    fn row(&self, out: &mut String) {
        let (name, listens, connected) = {
            let s = self.state.lock();
            (s.local.clone(), s.listener.is_some(), s.peer.is_some())
        };
        let flags = if listens { ACCEPTS } else { 0 };
        // SS_UNCONNECTED, SS_CONNECTED.
        let state = if connected { 3 } else { 1 };
        let refs = if connected { 3 } else { 2 };
        let name = match name {
            UnixAddr::Unnamed => String::new(),
            UnixAddr::Path(p) => format!(" {}", String::from_utf8_lossy(&p)),
            UnixAddr::Abstract(a) => {
                format!(" @{}", String::from_utf8_lossy(&a).replace('\0', "@"))
            }
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "{:016x}: {refs:08X} 00000000 {flags:08X} {:04X} {state:02X} {:>5}{name}",
            0, self.common.kind as u32, self.common.ino,
        );
    }
}
