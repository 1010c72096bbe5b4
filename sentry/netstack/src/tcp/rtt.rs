//! Round-trip time and retransmission timeout (RFC 6298), with Linux's bounds.

use crate::Time;

/// First timeout.
pub const INITIAL_RTO: Time = 1_000_000;
const MIN_RTO: Time = 200_000;
/// Longest timeout.
pub const MAX_RTO: Time = 120_000_000;

/// What is known of the path.
#[derive(Clone, Debug, Default)]
pub struct Rtt {
    /// Smoothed; 0 before the first sample.
    pub srtt: Time,
    /// Deviation.
    pub var: Time,
    /// Smallest seen.
    pub min: Time,
    rto: Time,
}

impl Rtt {
    /// Takes a sample.
    pub fn sample(&mut self, rtt: Time) {
        let rtt = rtt.max(1);
        if self.srtt == 0 {
            self.srtt = rtt;
            self.var = rtt / 2;
            self.min = rtt;
        } else {
            let diff = self.srtt.abs_diff(rtt);
            self.var = (self.var.saturating_mul(3).saturating_add(diff)) / 4;
            self.srtt = (self.srtt.saturating_mul(7).saturating_add(rtt)) / 8;
            self.min = self.min.min(rtt);
        }
        // The floor is on the variance, as on Linux: at least 200 ms beyond the RTT.
        let slack = self.var.saturating_mul(4).max(MIN_RTO);
        self.rto = self.srtt.saturating_add(slack).min(MAX_RTO);
    }

    /// The timeout before backing off.
    pub fn rto(&self) -> Time {
        if self.rto == 0 { INITIAL_RTO } else { self.rto }
    }

    /// The timeout after `n` expiries.
    pub fn backed_off(&self, n: u32) -> Time {
        let factor = 1u64.checked_shl(n.min(20)).unwrap_or(1 << 20);
        self.rto().saturating_mul(factor).min(MAX_RTO)
    }
}
