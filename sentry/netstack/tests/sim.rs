//! Two stacks of ours over a wire that loses, doubles and reorders.

#[allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test uses a part of it"
)]
mod common;

use common::{CLEAN, Net, Wire, ip, transfer};
use netstack::tcp::{Settings, State};

#[test]
fn a_clean_wire_is_filled() {
    for offload in [false, true] {
        let mut net = Net::new(
            Wire {
                delay: 10_000,
                rate: 12_500_000,
                queue: 256_000,
                ..CLEAN
            },
            1,
            offload,
        );
        let (a, b) = net.pair(Settings::default());
        let took = transfer(&mut net, (0, a), (1, b), 20_000_000);
        // 100 Mbit/s, 20 ms: 1.6 s at best.
        assert!(
            took < 3_000_000,
            "offload {offload}: {took} us, dropped {}",
            net.dropped
        );
    }
}

#[test]
fn data_survives_any_wire() {
    for seed in 1..=12u64 {
        for (loss, duplicate, reorder) in [(1, 0, 0), (10, 5, 50), (50, 20, 200), (200, 50, 300)] {
            let wire = Wire {
                loss,
                duplicate,
                reorder,
                delay: 5_000,
                ..CLEAN
            };
            let mut net = Net::new(CLEAN, seed * 1000 + loss, seed % 2 == 0);
            let (a, b) = net.pair(Settings::default());
            net.wire = wire;
            transfer(&mut net, (0, a), (1, b), 300_000);
            transfer(&mut net, (1, b), (0, a), 100_000);
        }
    }
}

#[test]
fn recovery_is_fast() {
    let wire = Wire {
        loss: 10,
        delay: 10_000,
        rate: 125_000_000,
        queue: 1_000_000,
        ..CLEAN
    };
    let mut net = Net::new(wire, 7, false);
    let (a, b) = net.pair(Settings::default());
    let took = transfer(&mut net, (0, a), (1, b), 3_000_000);
    // At 1 % loss and 20 ms CUBIC settles at some 20 segments a round trip.
    assert!(took < 4_000_000, "{took}");
    let c = net.hosts[0].tcp.get(a).expect("conn").info();
    assert!(c.counters.retransmits > 5);
}

#[test]
fn both_sides_close() {
    let mut net = Net::new(CLEAN, 3, false);
    let (a, b) = net.pair(Settings::default());
    transfer(&mut net, (0, a), (1, b), 10_000);
    transfer(&mut net, (1, b), (0, a), 10_000);
    net.run(1_000_000, |_| false);
    let state = net.hosts[0].tcp.get(a).map(|c| c.state);
    assert_eq!(state, Some(State::TimeWait));
    let now = net.now;
    net.hosts[0].tcp.close(a, false, now);
    net.hosts[1].tcp.close(b, false, now);
    net.flush(0);
    net.flush(1);
    net.run(120_000_000, |_| false);
    assert_eq!(net.hosts[0].tcp.all().count(), 0);
    assert_eq!(net.hosts[1].tcp.all().count(), 0);
}

#[test]
fn simultaneous_open() {
    let mut net = Net::new(CLEAN, 3, false);
    let (x, y) = ((ip(1), 1000).into(), (ip(2), 2000).into());
    let a = net.connect_as(0, x, y, Settings::default());
    let b = net.connect_as(1, y, x, Settings::default());
    net.run(5_000_000, |_| false);
    for (host, id) in [(0, a), (1, b)] {
        let state = net.hosts[host].tcp.get(id).map(|c| c.state);
        assert_eq!(state, Some(State::Established), "host {host}");
    }
    transfer(&mut net, (0, a), (1, b), 50_000);
}

#[test]
fn nobody_listens() {
    let mut net = Net::new(CLEAN, 3, false);
    let a = net.connect_as(
        0,
        (ip(1), 1000).into(),
        (ip(2), 9).into(),
        Settings::default(),
    );
    net.run(1_000_000, |_| false);
    let c = net.hosts[0].tcp.get(a).expect("conn");
    assert_eq!(c.error, Some(netstack::tcp::Error::Refused));
    // A host that is not there.
    let a = net.connect_as(
        0,
        (ip(1), 1001).into(),
        (ip(77), 9).into(),
        Settings::default(),
    );
    net.run(10_000_000, |_| false);
    let c = net.hosts[0].tcp.get(a).expect("conn");
    assert_eq!(c.error, Some(netstack::tcp::Error::HostUnreachable));
}

#[test]
fn cookies_under_a_flood() {
    let mut net = Net::new(CLEAN, 3, false);
    net.listen(1, 80, 40);
    let mut ids = Vec::new();
    for i in 0..200u16 {
        ids.push(net.connect_as(
            0,
            (ip(1), 20_000 + i).into(),
            (ip(2), 80).into(),
            Settings::default(),
        ));
    }
    let mut taken = Vec::new();
    // What one that is connected sends brings back an acknowledgement that found no room.
    let mut wrote = vec![false; ids.len()];
    net.run(60_000_000, |n| {
        while let Some((id, _)) = n.hosts[1].tcp.accept(80, 80, 2) {
            taken.push(id);
        }
        for (id, wrote) in ids.iter().zip(&mut wrote).filter(|(_, w)| !**w) {
            *wrote = n.hosts[0]
                .tcp
                .get(*id)
                .is_some_and(|c| c.write(b"x", false) == 1);
            n.hosts[0].tcp.touch(*id);
        }
        n.flush(0);
        taken.len() == 200
    });
    net.run(1_000_000, |_| false);
    assert!(net.hosts[1].tcp.totals.cookies_sent > 0);
    assert_eq!(taken.len(), 200);
    let tuple = net.hosts[1].tcp.get(taken[150]).expect("conn").tuple;
    let client = ids
        .iter()
        .copied()
        .find(|id| {
            net.hosts[0]
                .tcp
                .get(*id)
                .is_some_and(|c| c.tuple.local == tuple.peer)
        })
        .expect("client");
    let got: Vec<u8> = net.hosts[1]
        .tcp
        .get(taken[150])
        .expect("conn")
        .take_ready()
        .flatten()
        .collect();
    assert_eq!(got, b"x");
    transfer(&mut net, (1, taken[150]), (0, client), 100_000);
}

#[test]
fn a_closed_window_opens_again() {
    let mut net = Net::new(CLEAN, 5, false);
    let (a, b) = net.pair(Settings::default());
    let big = vec![7u8; 60_000];
    let mut sent = 0;
    // Nobody reads: the window closes.
    net.run(20_000_000, |n| {
        sent += n.hosts[0].tcp.get(a).map_or(0, |c| c.write(&big, false));
        n.hosts[0].tcp.touch(a);
        n.flush(0);
        false
    });
    assert!(sent > 131_072);
    let mut got = 0;
    let ok = net.run(200_000_000, |n| {
        let now = n.now;
        if let Some(c) = n.hosts[1].tcp.get(b) {
            let len: usize = c.take_ready().map(|v| v.len()).sum();
            got += len;
            c.consumed(len, now);
        }
        n.hosts[1].tcp.touch(b);
        n.flush(1);
        got == sent
    });
    assert!(ok, "{got} of {sent}");
}

#[test]
fn a_dead_peer_is_noticed() {
    let mut net = Net::new(CLEAN, 5, false);
    let settings = Settings {
        keepalive: true,
        keep_idle: 1_000_000,
        keep_interval: 1_000_000,
        keep_count: 3,
        ..Settings::default()
    };
    let (a, _b) = net.pair(settings);
    net.wire.loss = 1000;
    net.run(20_000_000, |_| false);
    let c = net.hosts[0].tcp.get(a).expect("conn");
    assert_eq!(c.error, Some(netstack::tcp::Error::TimedOut));
}

#[test]
fn cost_does_not_grow_with_connections() {
    let time = |n: u16| {
        let mut net = Net::new(CLEAN, 5, false);
        net.listen(1, 80, 70_000);
        let mut last = None;
        for i in 0..n {
            last = Some(net.connect_as(
                0,
                (ip(1), 1 + i).into(),
                (ip(2), 80).into(),
                Settings::default(),
            ));
            if i % 500 == 0 {
                net.run(100_000, |_| false);
            }
        }
        net.run(3_000_000, |_| false);
        let a = last.expect("conn");
        let tuple = net.hosts[0].tcp.get(a).expect("conn").tuple;
        let mut b = None;
        while let Some((id, t)) = net.hosts[1].tcp.accept(80, 80, 2) {
            if t.peer == tuple.local {
                b = Some(id);
            }
        }
        let start = std::time::Instant::now();
        transfer(&mut net, (0, a), (1, b.expect("accepted")), 2_000_000);
        start.elapsed()
    };
    let few = time(10);
    let many = time(20_000);
    assert!(
        many < few * 4 + std::time::Duration::from_millis(200),
        "{few:?} {many:?}"
    );
}
