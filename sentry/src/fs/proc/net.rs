//! `/proc/PID/net`: the headers of the socket tables; rows come from the socket layer.

use std::sync::Arc;

use super::Proc;
use crate::fs::pseudo::{Dir, Node, Static, Text};
use crate::fs::vfs::Inode;
use crate::task::Task;

const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode                                                     \n";
const TCP6: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
const UDP: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops             \n";
const UDP6: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n";
const UNIX: &str = "Num       RefCount Protocol Flags    Type St Inode Path\n";
const DEV: &str = "Inter-|   Receive                                                |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0\n";
const ROUTE: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT                                                       \n";
const IF_INET6: &str = "00000000000000000000000000000001 01 80 10 80       lo\n";

/// The directory.
pub fn dir(proc: &Proc, node: Node) -> Arc<dyn Inode> {
    let file = |name: &'static str, text: &'static str| -> (&'static str, Arc<dyn Inode>) {
        let node = proc.node(&format!("net/{name}"), 0o444);
        (
            name,
            Text::new(node, move |_: Option<&Arc<Task>>| {
                Ok(text.as_bytes().to_vec())
            }),
        )
    };
    let files = vec![
        file("dev", DEV),
        file("if_inet6", IF_INET6),
        file("route", ROUTE),
        file("tcp", TCP),
        file("tcp6", TCP6),
        file("udp", UDP),
        file("udp6", UDP6),
        file("unix", UNIX),
    ];
    Dir::new(node, Static::new(files))
}
