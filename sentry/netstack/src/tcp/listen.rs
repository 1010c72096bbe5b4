//! Listening: half-open connections, the queue of those to be accepted, and SYN cookies
//! when the former are too many (RFC 4987).

use std::collections::VecDeque;
use std::hash::Hasher;
use std::net::IpAddr;

use super::table::ConnId;
use super::{Conn, Settings, Tuple};
use crate::Time;
use crate::wire::tcp::{Flags, Options, Segment};

/// What the route to a peer can do.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    /// Largest segment.
    pub mss: u16,
    /// Larger frames are cut by the device.
    pub gso: bool,
}

/// A listening socket.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) owner: u64,
    /// Its address, or none for any.
    pub(crate) ip: Option<IpAddr>,
    /// Takes IPv4, IPv6.
    pub(crate) families: (bool, bool),
    pub(crate) backlog: usize,
    pub(crate) accept: VecDeque<ConnId>,
    pub(crate) half_open: usize,
    pub(crate) settings: Settings,
}

impl Listener {
    /// How well it fits a destination: 0 not at all.
    pub(crate) fn score(&self, ip: IpAddr) -> u8 {
        match self.ip {
            Some(own) if own == ip => 4,
            Some(_) => 0,
            None => match (ip, self.families) {
                (IpAddr::V4(_), (true, true)) => 1,
                (IpAddr::V4(_), (true, _)) | (IpAddr::V6(_), (_, true)) => 2,
                _ => 0,
            },
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.accept.len() > self.backlog
    }
}

/// A SYN that was answered and whose answer is waited for.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) owner: u64,
    pub(crate) iss: u32,
    pub(crate) irs: u32,
    pub(crate) window: u16,
    pub(crate) options: Options,
    pub(crate) path: Path,
    pub(crate) retries: u32,
    pub(crate) due: Time,
    pub(crate) sent: Time,
    pub(crate) settings: Settings,
}

impl Request {
    /// The connection it becomes, before the handshake's third step.
    pub(crate) fn conn(&self, tuple: Tuple, now: Time) -> Conn {
        let settings = self.settings.clone();
        let mut conn = Conn::new(tuple, self.owner, settings, self.iss, self.path.mss);
        conn.gso = self.path.gso;
        conn.state = super::State::SynReceived;
        let syn = Segment {
            src: tuple.peer.port(),
            dst: tuple.local.port(),
            seq: self.irs,
            ack: 0,
            flags: Flags::SYN,
            window: self.window,
            urgent: 0,
            options: self.options,
            payload: &[],
        };
        conn.take_syn(&syn, now);
        conn
    }
}

/// Sizes a cookie can name.
const COOKIE_MSS: [u16; 8] = [536, 1220, 1300, 1400, 1440, 1460, 4312, 8960];

/// Keyed numbers: initial sequence numbers and cookies.
#[derive(Clone, Debug)]
pub(crate) struct Secret(pub(crate) [u8; 16]);

impl Secret {
    fn hash(&self, tuple: &Tuple, salt: u64) -> u64 {
        use std::hash::Hash;
        let mut h = std::hash::DefaultHasher::new();
        h.write(&self.0);
        tuple.hash(&mut h);
        h.write_u64(salt);
        h.write(&self.0);
        h.finish()
    }

    /// RFC 6528: a clock of 64 ns steps from a place nobody can guess.
    pub(crate) fn isn(&self, tuple: &Tuple, now: Time) -> u32 {
        let clock = now.wrapping_mul(1000) / 64;
        (self.hash(tuple, u64::MAX).wrapping_add(clock) & 0xffff_ffff) as u32
    }

    fn cookie_at(&self, tuple: &Tuple, irs: u32, minute: u64, index: u32) -> u32 {
        let salt = (minute << 32) ^ u64::from(irs);
        let hash = (self.hash(tuple, salt) & 0xffff_fff8) as u32;
        // The index is hidden too, so that it cannot be chosen.
        hash | ((index ^ (hash >> 3)) & 7)
    }

    /// A sequence number that remembers a SYN.
    pub(crate) fn cookie(&self, tuple: &Tuple, irs: u32, mss: u16, now: Time) -> u32 {
        let index = COOKIE_MSS.iter().rposition(|m| *m <= mss).unwrap_or(0);
        let index = u32::try_from(index).unwrap_or(0);
        self.cookie_at(tuple, irs, now / 60_000_000, index)
    }

    /// The segment size a cookie remembers, if it is ours and not older than two minutes.
    pub(crate) fn check(&self, tuple: &Tuple, irs: u32, cookie: u32, now: Time) -> Option<u16> {
        let minute = now / 60_000_000;
        for m in [minute, minute.saturating_sub(1)] {
            let index = (cookie ^ (cookie >> 3)) & 7;
            if self.cookie_at(tuple, irs, m, index) == cookie {
                return COOKIE_MSS.get(usize::try_from(index).ok()?).copied();
            }
        }
        None
    }
}

/// A timestamp that remembers the other options of a SYN in its low bits, and is older
/// than every later one.
pub(crate) fn stamp(ts_now: u32, o: &Options) -> u32 {
    let wscale = u32::from(o.wscale.unwrap_or(15) & 15);
    let sack = u32::from(o.sack_ok) << 4;
    (ts_now & !63).wrapping_sub(64) | wscale | sack
}

/// Options that an echoed timestamp remembers.
pub(crate) fn unstamp(echo: u32, mss: u16, ts: (u32, u32)) -> Options {
    let wscale = u8::try_from(echo & 15).unwrap_or(15);
    Options {
        mss: Some(mss),
        wscale: (wscale < 15).then_some(wscale),
        sack_ok: echo & 16 != 0,
        ts: Some(ts),
        ..Options::default()
    }
}
