//! Segments in, segments out: one stack against a peer made of written packets.

#[allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test uses a part of it"
)]
mod common;

use common::{ip, stack};
use netstack::tcp::table::ConnId;
use netstack::tcp::{Settings, State, Tuple};
use netstack::wire::ip::Header as IpHeader;
use netstack::wire::tcp::{Flags, Header, Options, parse};
use netstack::wire::{put, sum::Sum};
use netstack::{Stack, Time};

const PEER: u8 = 9;
const MS: Time = 1000;
const ACK: Flags = Flags::ACK;

/// A segment that came out: sequence and acknowledgement counted from the first numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Out {
    seq: u32,
    ack: u32,
    flags: u8,
    len: usize,
    sacks: usize,
}

struct Script {
    stack: Stack,
    now: Time,
    iss: u32,
    last_ts: u32,
}

impl Script {
    fn new() -> Script {
        let mut s = Script {
            stack: stack(1, false, 1500),
            now: 1_000_000,
            iss: 0,
            last_ts: 0,
        };
        // The peer says where it is.
        let mut arp = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, PEER, 8, 6];
        arp.extend_from_slice(&[0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, PEER, 10, 0, 0, PEER]);
        arp.extend_from_slice(&[0; 6]);
        arp.extend_from_slice(&[10, 0, 0, 1]);
        s.stack.input(2, &arp, s.now);
        s.out();
        s
    }

    /// Everything that comes out now.
    fn out(&mut self) -> Vec<Out> {
        self.stack.flush(self.now);
        let frames = self.stack.frames();
        let mut out = Vec::new();
        for f in frames {
            let Some(p) = netstack::wire::ip::parse(&f.bytes()[14..]).filter(|p| p.proto == 6)
            else {
                continue;
            };
            assert!(netstack::wire::tcp::sum_is_good(p.src, p.dst, 6, p.payload));
            let seg = parse(p.payload).expect("segment");
            if seg.flags.has(Flags::SYN) {
                self.iss = seg.seq;
            }
            if let Some((val, _)) = seg.options.ts {
                self.last_ts = val;
            }
            out.push(Out {
                seq: seg.seq.wrapping_sub(self.iss),
                ack: seg.ack,
                flags: seg.flags.0,
                len: seg.payload.len(),
                sacks: seg.options.sacks,
            });
        }
        out
    }

    /// A segment in; `seq` from 0, `ack` from our first number.
    fn input(
        &mut self,
        seq: u32,
        ack: u32,
        flags: Flags,
        window: u16,
        options: Options,
        data: &[u8],
    ) -> Vec<Out> {
        let mut seg = Vec::new();
        Header {
            src: 80,
            dst: 40_000,
            seq,
            ack: if flags.has(ACK) {
                self.iss.wrapping_add(ack)
            } else {
                0
            },
            flags,
            window,
            urgent: 0,
            options,
        }
        .emit(&mut seg);
        seg.extend_from_slice(data);
        let sum = Sum::default()
            .pseudo(ip(PEER), ip(1), 6, seg.len())
            .with(&seg)
            .finish();
        put(&mut seg, 16, &sum);
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, PEER, 8, 0];
        frame.resize(34, 0);
        IpHeader {
            src: ip(PEER),
            dst: ip(1),
            proto: 6,
            ttl: 64,
            tos: 0,
            df: true,
            id: 1,
        }
        .emit(&mut frame[14..], seg.len());
        frame.extend_from_slice(&seg);
        self.stack.input(2, &frame, self.now);
        self.out()
    }

    fn data(&mut self, seq: u32, ack: u32, data: &[u8]) -> Vec<Out> {
        self.input(seq, ack, ACK, 65_000, Options::default(), data)
    }

    /// Lets time pass, with its deadlines.
    fn wait(&mut self, span: Time) -> Vec<(Time, Out)> {
        let (start, end) = (self.now, self.now + span);
        let mut out = Vec::new();
        while let Some(at) = self.stack.deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            out.extend(self.out().into_iter().map(|o| (self.now - start, o)));
        }
        self.now = end;
        out
    }

    /// Connects, without timestamps; `sack` as asked.
    fn open(&mut self, settings: Settings, sack: bool) -> ConnId {
        let tuple = Tuple {
            local: (ip(1), 40_000).into(),
            peer: (ip(PEER), 80).into(),
        };
        let path = self.stack.path_for(ip(PEER)).expect("path");
        let id = self
            .stack
            .tcp
            .connect(tuple, 1, settings, path, self.now)
            .expect("connect");
        let syn = self.out();
        assert_eq!(syn[0].flags, Flags::SYN.0);
        let options = Options {
            mss: Some(1000),
            sack_ok: sack,
            ..Options::default()
        };
        self.now += 10 * MS;
        let done = self.input(0, 1, Flags::SYN.with(ACK), 65_000, options, &[]);
        assert_eq!(
            done,
            [Out {
                seq: 1,
                ack: 1,
                flags: ACK.0,
                len: 0,
                sacks: 0
            }]
        );
        id
    }

    fn write(&mut self, id: ConnId, n: usize) -> Vec<Out> {
        let data = vec![7; n];
        assert_eq!(self.stack.tcp.get(id).expect("conn").write(&data, false), n);
        self.stack.tcp.touch(id);
        self.out()
    }
}

#[test]
fn nagle_holds_the_second_small_segment() {
    let mut s = Script::new();
    let id = s.open(Settings::default(), true);
    assert_eq!(s.write(id, 10).len(), 1);
    assert_eq!(s.write(id, 10), []);
    let more = s.input(1, 11, ACK, 65_000, Options::default(), &[]);
    assert_eq!(more.len(), 1);
    assert_eq!((more[0].seq, more[0].len), (11, 10));
    let mut s = Script::new();
    let id = s.open(
        Settings {
            nodelay: true,
            ..Settings::default()
        },
        true,
    );
    assert_eq!(s.write(id, 10).len(), 1);
    assert_eq!(s.write(id, 10).len(), 1);
}

#[test]
fn acknowledgements_wait_once_a_dialogue_is_seen() {
    let mut s = Script::new();
    let id = s.open(Settings::default(), true);
    // The first ones are quick.
    assert_eq!(s.data(1, 1, &[1; 100]).len(), 1);
    s.write(id, 10);
    let got = s.data(101, 11, &[1; 100]);
    assert_eq!(got, [], "waits for data to ride on");
    let later = s.wait(300 * MS);
    assert_eq!(later[0].0, 40 * MS);
    assert_eq!(later[0].1.ack, 201);
}

#[test]
fn the_initial_window_is_ten_segments() {
    let mut s = Script::new();
    let id = s.open(Settings::default(), true);
    let out = s.write(id, 50_000);
    assert_eq!(out.len(), 10);
    assert!(out.iter().all(|o| o.len == 1000));
}

#[test]
fn three_sacked_segments_bring_the_lost_one_again() {
    let mut s = Script::new();
    let id = s.open(Settings::default(), true);
    s.write(id, 10_000);
    s.now += 10 * MS;
    let sack = |s: &mut Script, upto: u32| {
        let block = (s.iss.wrapping_add(1001), s.iss.wrapping_add(upto));
        let options = Options {
            sack: [block, (0, 0), (0, 0), (0, 0)],
            sacks: 1,
            ..Options::default()
        };
        s.input(1, 1, ACK, 65_000, options, &[])
    };
    assert_eq!(sack(&mut s, 2001), []);
    assert_eq!(sack(&mut s, 3001), []);
    let out = sack(&mut s, 4001);
    assert_eq!(out[0].seq, 1, "{out:?}");
    assert_eq!(s.stack.tcp.get(id).expect("conn").info().recovery, 3);
    // All else has arrived: nothing more is sent again.
    s.now += 10 * MS;
    let out = s.input(1, 10_001, ACK, 65_000, Options::default(), &[]);
    assert_eq!(out, []);
}

#[test]
fn duplicate_acknowledgements_do_without_sack() {
    let mut s = Script::new();
    let id = s.open(Settings::default(), false);
    s.write(id, 10_000);
    s.now += 10 * MS;
    for _ in 0..2 {
        assert_eq!(s.input(1, 1, ACK, 65_000, Options::default(), &[]), []);
    }
    let out = s.input(1, 1, ACK, 65_000, Options::default(), &[]);
    assert_eq!((out[0].seq, out[0].len), (1, 1000));
}

#[test]
fn a_lost_tail_is_probed_then_times_out() {
    let mut s = Script::new();
    let id = s.open(Settings::default(), true);
    s.write(id, 2000);
    let out = s.wait(3000 * MS);
    // The probe comes after two round trips, well before the timeout of 200 ms and more.
    assert!(out[0].0 < 100 * MS, "{out:?}");
    assert_eq!(out[0].1.seq, 1001);
    let (first, second) = (out[1].0, out[2].0);
    assert!(
        (200 * MS..400 * MS).contains(&(first - out[0].0)),
        "{out:?}"
    );
    assert!(second - first > 350 * MS, "{out:?}");
    assert_eq!(out[1].1.seq, 1);
}

#[test]
fn a_closed_window_is_probed() {
    let mut s = Script::new();
    let id = s.open(Settings::default(), true);
    s.write(id, 1000);
    s.input(1, 1001, ACK, 0, Options::default(), &[]);
    assert_eq!(s.write(id, 1000), []);
    let out = s.wait(1000 * MS);
    assert!(out.len() >= 2, "{out:?}");
    assert_eq!((out[0].1.seq, out[0].1.len), (1000, 0));
    let out = s.input(1, 1001, ACK, 65_000, Options::default(), &[]);
    assert_eq!((out[0].seq, out[0].len), (1001, 1000));
}

#[test]
fn gaps_are_named() {
    let mut s = Script::new();
    let _ = s.open(Settings::default(), true);
    let out = s.data(1001, 1, &[1; 1000]);
    assert_eq!((out[0].ack, out[0].sacks), (1, 1));
    let out = s.data(3001, 1, &[1; 1000]);
    assert_eq!((out[0].ack, out[0].sacks), (1, 2));
    let out = s.data(1, 1, &[1; 1000]);
    assert_eq!((out[0].ack, out[0].sacks), (2001, 1));
}

#[test]
fn resets_must_be_exact() {
    let mut s = Script::new();
    let id = s.open(Settings::default(), true);
    let out = s.input(500, 1, Flags::RST, 0, Options::default(), &[]);
    assert_eq!(out.len(), 1, "challenged");
    assert_eq!(s.stack.tcp.get(id).expect("conn").state, State::Established);
    let out = s.input(500, 1, Flags::SYN.with(ACK), 0, Options::default(), &[]);
    assert_eq!(out.len(), 1, "challenged");
    s.input(1, 1, Flags::RST, 0, Options::default(), &[]);
    assert_eq!(s.stack.tcp.get(id).expect("conn").state, State::Closed);
}

#[test]
fn a_close_in_four_steps() {
    let mut s = Script::new();
    let id = s.open(Settings::default(), true);
    s.stack.tcp.get(id).expect("conn").shutdown_write();
    s.stack.tcp.touch(id);
    let fin = s.out();
    assert_eq!(fin[0].flags, Flags::FIN.with(ACK).0);
    s.input(1, 2, ACK, 65_000, Options::default(), &[]);
    assert_eq!(s.stack.tcp.get(id).expect("conn").state, State::FinWait2);
    let out = s.input(1, 2, Flags::FIN.with(ACK), 65_000, Options::default(), &[]);
    assert_eq!(out[0].ack, 2);
    assert_eq!(s.stack.tcp.get(id).expect("conn").state, State::TimeWait);
    // A repeated FIN is acknowledged again.
    assert_eq!(
        s.input(1, 2, Flags::FIN.with(ACK), 65_000, Options::default(), &[])
            .len(),
        1
    );
}

#[test]
fn a_stray_segment_is_reset() {
    let mut s = Script::new();
    let out = s.input(5, 7, ACK, 100, Options::default(), &[]);
    assert_eq!(out[0].flags, Flags::RST.0);
    assert_eq!(out[0].seq, 7);
    let out = s.input(5, 0, Flags::SYN, 100, Options::default(), &[]);
    assert_eq!((out[0].flags, out[0].ack), (Flags::RST.with(ACK).0, 6));
    assert_eq!(s.input(5, 0, Flags::RST, 100, Options::default(), &[]), []);
}
