//! Congestion control: CUBIC (RFC 9438) and Reno (RFC 5681), in bytes.

use crate::Time;

/// Segments a new connection may send (RFC 6928).
const INITIAL_WINDOW: u64 = 10;
const C: f64 = 0.4;
const BETA: f64 = 0.7;

/// Which algorithm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// CUBIC.
    #[default]
    Cubic,
    /// Reno.
    Reno,
}

/// Window and threshold of one connection.
#[derive(Clone, Debug)]
pub struct Control {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// Congestion window in bytes.
    pub cwnd: u64,
    /// Slow start threshold in bytes.
    pub ssthresh: u64,
    mss: u64,
    epoch: Option<Time>,
    w_max: f64,
    k: f64,
    w_est: f64,
}

impl Control {
    /// Of a new connection.
    pub fn new(algorithm: Algorithm, mss: u64) -> Control {
        Control {
            algorithm,
            cwnd: INITIAL_WINDOW * mss.max(1),
            ssthresh: u64::MAX / 2,
            mss: mss.max(1),
            epoch: None,
            w_max: 0.0,
            k: 0.0,
            w_est: 0.0,
        }
    }

    /// The segment size has become known or smaller.
    pub fn set_mss(&mut self, mss: u64) {
        if self.ssthresh == u64::MAX / 2 && self.cwnd == INITIAL_WINDOW * self.mss {
            self.cwnd = INITIAL_WINDOW * mss.max(1);
        }
        self.mss = mss.max(1);
    }

    /// `acked` bytes have arrived while the window was what held us back.
    pub fn on_ack(&mut self, acked: u64, now: Time, rtt: Time) {
        let mut left = acked;
        if self.cwnd < self.ssthresh {
            let grow = left.min(self.ssthresh - self.cwnd);
            self.cwnd = self.cwnd.saturating_add(grow);
            left -= grow;
        }
        if left == 0 {
            return;
        }
        match self.algorithm {
            Algorithm::Reno => {
                let grow = self.mss.saturating_mul(left) / self.cwnd.max(1);
                self.cwnd = self.cwnd.saturating_add(grow.max(1));
            }
            Algorithm::Cubic => self.cubic(left, now, rtt),
        }
    }

    fn cubic(&mut self, acked: u64, now: Time, rtt: Time) {
        let mss = self.mss as f64;
        let window = self.cwnd as f64 / mss;
        let epoch = match self.epoch {
            Some(at) => at,
            None => {
                self.epoch = Some(now);
                if self.w_max < window {
                    self.w_max = window;
                    self.k = 0.0;
                } else {
                    self.k = ((self.w_max - window) / C).cbrt();
                }
                self.w_est = window;
                now
            }
        };
        let t = (now.saturating_sub(epoch).saturating_add(rtt)) as f64 / 1e6;
        let target = (C * (t - self.k).powi(3) + self.w_max).clamp(window, window * 1.5);
        let segments = acked as f64 / mss;
        let alpha = 3.0 * (1.0 - BETA) / (1.0 + BETA);
        self.w_est += alpha * segments / window.max(1.0);
        let grown = window + (target - window) / window.max(1.0) * segments;
        let next = grown.max(self.w_est).min(window + segments);
        self.cwnd = self.cwnd.max((next * mss) as u64);
    }

    /// A loss: the new threshold; the window is the caller's to lower.
    pub fn on_loss(&mut self) {
        let window = self.cwnd as f64 / self.mss as f64;
        let factor = match self.algorithm {
            Algorithm::Reno => 0.5,
            Algorithm::Cubic => BETA,
        };
        // Fast convergence: leave room to newcomers.
        self.w_max = if window < self.w_max {
            window * (1.0 + BETA) / 2.0
        } else {
            window
        };
        self.epoch = None;
        self.ssthresh = ((self.cwnd as f64 * factor) as u64).max(2 * self.mss);
    }

    /// A retransmission timeout.
    pub fn on_timeout(&mut self) {
        self.on_loss();
        self.cwnd = self.mss;
    }

    /// Nothing was sent for a while: the path is not known any more.
    pub fn on_idle(&mut self) {
        self.cwnd = self.cwnd.min(INITIAL_WINDOW * self.mss);
        self.epoch = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_start_then_cubic() {
        let mut c = Control::new(Algorithm::Cubic, 1000);
        assert_eq!(c.cwnd, 10_000);
        c.on_ack(10_000, 0, 1000);
        assert_eq!(c.cwnd, 20_000);
        c.on_loss();
        assert_eq!(c.ssthresh, 14_000);
        c.cwnd = c.ssthresh;
        let mut now = 0;
        for _ in 0..2000 {
            now += 10_000;
            c.on_ack(c.cwnd, now, 10_000);
        }
        assert!(c.cwnd > 20_000, "{}", c.cwnd);
    }
}
