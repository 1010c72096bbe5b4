//! Packets nobody means well with: nothing may panic, nothing may grow without end.

#[allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test uses a part of it"
)]
mod common;

use common::{CLEAN, Net, Rng, ip};
use netstack::tcp::Settings;

/// Frames of an ordinary talk, changed at random.
#[test]
fn changed_frames() {
    for seed in 1..=40u64 {
        let mut net = Net::new(CLEAN, seed, seed % 2 == 0);
        net.keep_log = true;
        let (a, b) = net.pair(Settings::default());
        common::transfer(&mut net, (0, a), (1, b), 20_000);
        net.hosts[0]
            .send_udp(
                (ip(1), 5).into(),
                (ip(2), 6).into(),
                &[1; 4000],
                Default::default(),
            )
            .expect("send");
        net.hosts[0]
            .send_raw(
                ip(1),
                ip(2),
                1,
                &[8, 0, 0, 0, 0, 1, 0, 1],
                Default::default(),
            )
            .expect("send");
        net.run(1_000_000, |_| false);
        let log = std::mem::take(&mut net.log);
        net.keep_log = false;
        let mut rng = Rng(seed * 77 + 1);
        for _ in 0..3000 {
            let (_, from, frame) = &log[rng.next() as usize % log.len()];
            let mut bytes = frame.clone();
            for _ in 0..1 + rng.next() % 4 {
                let at = rng.next() as usize % bytes.len().min(90);
                bytes[at] = match rng.next() % 4 {
                    0 => 0,
                    1 => 0xff,
                    _ => rng.next() as u8,
                };
            }
            if rng.chance(200) {
                bytes.truncate(rng.next() as usize % (bytes.len() + 1));
            }
            let now = net.now;
            net.hosts[1 - from].input(2, &bytes, now);
            if rng.chance(100) {
                net.flush(1 - from);
            }
        }
        net.run(1_000_000, |_| false);
    }
}

/// Segments of random numbers to an open connection, checksums right.
#[test]
fn random_segments() {
    use netstack::wire::tcp::{Flags, Header, Options};
    for seed in 1..=20u64 {
        let mut net = Net::new(CLEAN, seed, false);
        let (_a, b) = net.pair(Settings::default());
        net.run(1_000_000, |_| false);
        let mut rng = Rng(seed);
        for i in 0..3000u64 {
            let near = |rng: &mut Rng| {
                if rng.chance(500) {
                    rng.next() as u32
                } else {
                    (rng.next() % 70_000) as u32
                }
            };
            let mut out = Vec::new();
            Header {
                src: 40_000,
                dst: 80,
                seq: near(&mut rng),
                ack: near(&mut rng),
                flags: Flags((rng.next() & 0x3b) as u8),
                window: rng.next() as u16,
                urgent: rng.next() as u16,
                options: Options {
                    ts: rng
                        .chance(500)
                        .then(|| (rng.next() as u32, rng.next() as u32)),
                    sack: [(near(&mut rng), near(&mut rng)); 4],
                    sacks: (rng.next() % 4) as usize,
                    ..Options::default()
                },
            }
            .emit(&mut out);
            out.extend(vec![1; (rng.next() % 1400) as usize]);
            let now = net.now + i;
            // Host 0's own stack makes the packet, checksum and all.
            let _ = net.hosts[0].send_raw(ip(1), ip(2), 6, &out, Default::default());
            net.now = now;
            net.flush(0);
            net.step();
        }
        net.hosts[1].tcp.touch(b);
        net.run(1_000_000, |_| false);
    }
}

/// Noise.
#[test]
fn noise() {
    let mut rng = Rng(99);
    let mut net = Net::new(CLEAN, 1, false);
    for kind in [0x0800u16, 0x86dd, 0x0806] {
        for _ in 0..20_000 {
            let len = 14 + rng.next() as usize % 120;
            let mut bytes: Vec<u8> = (0..len).map(|_| rng.next() as u8).collect();
            bytes[..6].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
            bytes[12..14].copy_from_slice(&kind.to_be_bytes());
            if len > 14 {
                bytes[14] = if kind == 0x86dd { 0x60 } else { 0x45 };
            }
            net.hosts[0].input(2, &bytes, 5);
        }
        net.flush(0);
    }
}

/// A flood of fragments stays within its bounds and ends.
#[test]
fn fragments() {
    let mut net = Net::new(CLEAN, 1, false);
    net.keep_log = true;
    net.hosts[0]
        .send_udp(
            (ip(1), 5).into(),
            (ip(2), 6).into(),
            &[9; 60_000],
            Default::default(),
        )
        .expect("send");
    net.flush(0);
    net.run(100_000, |_| false);
    let whole = net.events[1].iter().any(|e| matches!(e, netstack::Event::Udp(d) if d.data().len() == 60_000 && d.data().iter().all(|b| *b == 9)));
    assert!(whole, "reassembled");
    let log = std::mem::take(&mut net.log);
    for i in 0..50_000u32 {
        for (_, from, frame) in log.iter().take(3).filter(|(_, f, _)| *f == 0) {
            let mut bytes = frame.clone();
            if bytes.len() > 60 {
                bytes[18..20].copy_from_slice(&(i as u16).to_be_bytes());
                netstack::wire::ip::fix_v4_sum(&mut bytes[14..]);
            }
            net.hosts[1 - from].input(2, &bytes, 10 + u64::from(i));
        }
    }
}
