//! The load average: there is no tick to sample by, so it is made from the CPU time used
//! between two looks, which is what ran on average.

use std::time::Duration;

/// The three spans in seconds.
const SPANS: [f64; 3] = [60.0, 300.0, 900.0];

/// Averages, and when and at what CPU time they were made.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadAverage {
    averages: [f64; 3],
    at: Duration,
    used: Duration,
    idle: Duration,
}

impl LoadAverage {
    /// The idle time, of which `idle` is an estimate: it never shrinks.
    pub fn idle(&mut self, idle: Duration) -> Duration {
        self.idle = self.idle.max(idle);
        self.idle
    }

    /// Looks at the CPU time `used` by all at time `now`; the averages.
    pub fn look(&mut self, now: Duration, used: Duration) -> [f64; 3] {
        let span = now.saturating_sub(self.at).as_secs_f64();
        if span > 0.0 {
            let ran = used.saturating_sub(self.used).as_secs_f64() / span;
            for (average, length) in self.averages.iter_mut().zip(SPANS) {
                let keep = (-span / length).exp();
                *average = *average * keep + ran * (1.0 - keep);
            }
            (self.at, self.used) = (now, used);
        }
        self.averages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tends_to_what_runs() {
        let mut load = LoadAverage::default();
        let s = Duration::from_secs;
        let [one, five, _] = load.look(s(60), s(120));
        assert!((one - 2.0 * (1.0 - (-1.0f64).exp())).abs() < 1e-9 && five < one);
        let [one, ..] = load.look(s(6000), s(120));
        assert!(one < 0.01);
    }
}
