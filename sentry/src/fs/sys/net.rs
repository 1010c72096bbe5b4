//! `/sys/class/net` and `/sys/devices/virtual/net`: the links, as they are at each look.

use std::sync::Arc;

use abi::Errno;

use super::Builder;
use crate::Result;
use crate::fs::pseudo::{Dir, Link, Text, Tree};
use crate::fs::vfs::{FileType, Inode};
use crate::net::view::{LOOPBACK, LinkView, View};
use crate::task::Task;

/// Up.
const IFF_UP: u32 = 1;
/// Lower layer up.
const IFF_LOWER_UP: u32 = 0x1_0000;
/// What `flags` shows beside what `SIOCGIFFLAGS` makes up.
const KEPT_FLAGS: u32 = 0x198f;

type Make = fn(&LinkView) -> String;

/// Files of a link.
const FILES: [(&str, Make); 14] = [
    ("addr_assign_type", |_| "0".to_owned()),
    ("addr_len", |_| "6".to_owned()),
    ("address", |l| mac(&l.mac)),
    ("broadcast", |l| match l.kind {
        LOOPBACK => mac(&[0; 6]),
        _ => mac(&[0xff; 6]),
    }),
    ("carrier", |l| {
        u8::from(l.flags & IFF_LOWER_UP != 0).to_string()
    }),
    ("dev_id", |_| "0x0".to_owned()),
    ("flags", |l| format!("{:#x}", l.flags & KEPT_FLAGS)),
    ("ifindex", |l| l.index.to_string()),
    ("iflink", |l| l.index.to_string()),
    ("link_mode", |_| "0".to_owned()),
    ("mtu", |l| l.mtu.to_string()),
    ("operstate", |l| {
        match (l.kind, l.flags & IFF_UP) {
            (LOOPBACK, _) => "unknown",
            (_, 0) => "down",
            _ => "up",
        }
        .to_owned()
    }),
    ("tx_queue_len", |_| "1000".to_owned()),
    ("type", |l| l.kind.to_string()),
];

/// Files of `statistics`.
const COUNTERS: [(&str, Make); 8] = [
    ("multicast", |l| l.counters.multicast.to_string()),
    ("rx_bytes", |l| l.counters.rx_bytes.to_string()),
    ("rx_dropped", |l| l.counters.rx_dropped.to_string()),
    ("rx_errors", |l| l.counters.rx_errors.to_string()),
    ("rx_packets", |l| l.counters.rx_packets.to_string()),
    ("tx_bytes", |l| l.counters.tx_bytes.to_string()),
    ("tx_dropped", |l| l.counters.tx_dropped.to_string()),
    ("tx_packets", |l| l.counters.tx_packets.to_string()),
];

fn mac(bytes: &[u8; 6]) -> String {
    bytes.map(|b| format!("{b:02x}")).join(":")
}

/// `/sys/class/net`.
pub fn class(b: &Builder) -> Arc<dyn Inode> {
    let tree = Links {
        b: b.clone(),
        class: true,
    };
    Dir::new(b.node(&"class/net", 0o755), tree)
}

/// `/sys/devices/virtual/net`.
pub fn devices(b: &Builder) -> Arc<dyn Inode> {
    let tree = Links {
        b: b.clone(),
        class: false,
    };
    Dir::new(b.node(&"virtual/net", 0o755), tree)
}

/// All links: as symbolic links in the class, as directories among the devices.
struct Links {
    b: Builder,
    class: bool,
}

impl Links {
    fn view(&self) -> Result<View> {
        let kernel = self.b.kernel.upgrade().ok_or(Errno::EIO)?;
        Ok(View::of(&kernel.net))
    }
}

impl Tree for Links {
    fn child(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        let view = self.view()?;
        let link = view.by_name(name).ok_or(Errno::ENOENT)?;
        if self.class {
            let to = format!("../../devices/virtual/net/{}", link.name);
            let node = self.b.node(&("class/net", link.index), 0o777);
            return Ok(Link::new(node, move |_: Option<&Arc<Task>>| {
                Ok(to.clone().into_bytes())
            }));
        }
        Ok(Device::directory(&self.b, link.index, false))
    }
    fn list(&self) -> Result<Vec<(Vec<u8>, FileType)>> {
        let kind = match self.class {
            true => FileType::Symlink,
            false => FileType::Directory,
        };
        let links = self.view()?.links;
        Ok(links
            .into_iter()
            .map(|l| (l.name.into_bytes(), kind))
            .collect())
    }
}

/// A link's directory, or the counters in it.
struct Device {
    b: Builder,
    index: i32,
    counters: bool,
}

impl Device {
    fn directory(b: &Builder, index: i32, counters: bool) -> Arc<dyn Inode> {
        let tree = Device {
            b: b.clone(),
            index,
            counters,
        };
        Dir::new(b.node(&("net", index, counters), 0o755), tree)
    }

    fn files(&self) -> &'static [(&'static str, Make)] {
        match self.counters {
            true => &COUNTERS,
            false => &FILES,
        }
    }
}

impl Tree for Device {
    fn child(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        if !self.counters && name == b"statistics" {
            return Ok(Device::directory(&self.b, self.index, true));
        }
        let found = self.files().iter().find(|(n, _)| n.as_bytes() == name);
        let (name, make) = *found.ok_or(Errno::ENOENT)?;
        let node = self.b.node(&("net", self.index, name), 0o444);
        let (kernel, index) = (self.b.kernel.clone(), self.index);
        Ok(Text::new(node, move |_: Option<&Arc<Task>>| {
            let kernel = kernel.upgrade().ok_or(Errno::EIO)?;
            let view = View::of(&kernel.net);
            let link = view.by_index(index).ok_or(Errno::ENODEV)?;
            Ok(format!("{}\n", make(link)).into_bytes())
        }))
    }
    fn list(&self) -> Result<Vec<(Vec<u8>, FileType)>> {
        let files = self.files().iter();
        let mut list: Vec<_> = files
            .map(|(n, _)| (n.as_bytes().to_vec(), FileType::Regular))
            .collect();
        if !self.counters {
            list.push((b"statistics".to_vec(), FileType::Directory));
        }
        Ok(list)
    }
}
