//! smoltcp's stack as the other end: what two of ours agree on might still be wrong.

#[allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test uses a part of it"
)]
mod common;

use std::collections::VecDeque;

use common::{Rng, ip, pattern, stack};
use netstack::tcp::{Settings, Tuple};
use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};

#[derive(Default)]
struct Pipe {
    rx: VecDeque<Vec<u8>>,
    tx: VecDeque<Vec<u8>>,
}

struct Rx(Vec<u8>);
struct Tx<'a>(&'a mut VecDeque<Vec<u8>>);

impl RxToken for Rx {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Tx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        self.0.push_back(frame);
        result
    }
}

impl Device for Pipe {
    type RxToken<'a> = Rx;
    type TxToken<'a> = Tx<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(Rx, Tx<'_>)> {
        let frame = self.rx.pop_front()?;
        Some((Rx(frame), Tx(&mut self.tx)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Tx<'_>> {
        Some(Tx(&mut self.tx))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut caps = DeviceCapabilities::default();
        caps.medium = Medium::Ethernet;
        caps.max_transmission_unit = 1514;
        caps
    }
}

/// Both directions at once over a wire that loses `loss` in a thousand.
fn talk(loss: u64, seed: u64, total: u64) {
    let mut ours = stack(1, false, 1500);
    let mut pipe = Pipe::default();
    let mac = EthernetAddress([2, 0, 0, 0, 0, 2]);
    let mut iface = Interface::new(Config::new(mac.into()), &mut pipe, Instant::from_micros(0));
    iface.update_ip_addrs(|a| {
        let _ = a.push(IpCidr::new(IpAddress::v4(10, 0, 0, 2), 24));
    });
    let mut sockets = SocketSet::new(Vec::new());
    let buffer = || tcp::SocketBuffer::new(vec![0; 65_536]);
    let mut server = tcp::Socket::new(buffer(), buffer());
    server.listen(80).expect("listen");
    let server = sockets.add(server);
    let mut rng = Rng(seed);
    let mut now = 1_000_000u64;
    let tuple = Tuple {
        local: (ip(1), 40_000).into(),
        peer: (ip(2), 80).into(),
    };
    let path = ours.path_for(ip(2)).expect("path");
    let id = ours
        .tcp
        .connect(tuple, 1, Settings::default(), path, now)
        .expect("connect");
    let (mut sent, mut got, mut back_sent, mut back_got) = (0u64, 0u64, 0u64, 0u64);
    let mut closed = false;
    for _ in 0..2_000_000 {
        now += 500;
        ours.flush(now);
        for frame in ours.frames() {
            if !rng.chance(loss) {
                pipe.rx.push_back(frame.bytes().to_vec());
            }
        }
        iface.poll(Instant::from_micros(now as i64), &mut pipe, &mut sockets);
        while let Some(frame) = pipe.tx.pop_front() {
            if !rng.chance(loss) {
                ours.input(2, &frame, now);
            }
        }
        let s = sockets.get_mut::<tcp::Socket>(server);
        if s.can_recv() {
            let _ = s.recv(|b| {
                for byte in &*b {
                    assert_eq!(*byte, pattern(got));
                    got += 1;
                }
                (b.len(), ())
            });
        }
        while s.can_send() && back_sent < total {
            let data: Vec<u8> = (back_sent..total.min(back_sent + 1000))
                .map(pattern)
                .collect();
            match s.send_slice(&data) {
                Ok(n) if n > 0 => back_sent += n as u64,
                _ => break,
            }
        }
        if let Some(c) = ours.tcp.get(id) {
            let data: Vec<u8> = (sent..total.min(sent + 4000)).map(pattern).collect();
            sent += c.write(&data, false) as u64;
            let mut read = 0;
            for chunk in c.take_ready() {
                for byte in &chunk {
                    assert_eq!(*byte, pattern(back_got));
                    back_got += 1;
                }
                read += chunk.len();
            }
            c.consumed(read, now);
        }
        ours.tcp.touch(id);
        if got == total && back_got == total && !closed {
            closed = true;
            ours.tcp.get(id).expect("conn").shutdown_write();
            sockets.get_mut::<tcp::Socket>(server).close();
        }
        if closed && !sockets.get_mut::<tcp::Socket>(server).is_active() {
            return;
        }
    }
    panic!("loss {loss} seed {seed}: {got} and {back_got} of {total}, closed {closed}");
}

#[test]
fn a_clean_wire() {
    talk(0, 1, 2_000_000);
}

#[test]
fn a_lossy_wire() {
    for seed in 1..=5 {
        talk(20, seed, 200_000);
        talk(100, seed, 50_000);
    }
}
