//! Measured durations and what they say.

use std::future::Future;
use std::time::{Duration, Instant};

/// Durations of one case, in microseconds, in the order they were measured.
///
/// They come in stretches, so that those of a case can be compared with the ones of its floor that
/// were measured next to them: a machine that is shared changes its pace for longer than a stretch.
#[derive(Clone, Debug)]
pub struct Samples {
    durations: Vec<f64>,
    stretch: usize,
}

/// One stretch.
impl Default for Samples {
    fn default() -> Self {
        Self::in_stretches_of(usize::MAX)
    }
}

impl Samples {
    /// None yet; this many calls make a stretch.
    pub const fn in_stretches_of(calls: usize) -> Self {
        Self {
            durations: Vec::new(),
            stretch: calls,
        }
    }

    /// Adds one duration.
    pub fn push(&mut self, duration: Duration) {
        self.durations.push(duration.as_secs_f64() * 1e6);
    }

    /// Adds those of another run.
    pub fn extend(&mut self, other: Self) {
        self.durations.extend(other.durations);
    }

    /// The median of all.
    pub fn p50(&self) -> f64 {
        percentile(&self.durations, 50)
    }

    /// The 99th percentile of all.
    pub fn p99(&self) -> f64 {
        percentile(&self.durations, 99)
    }

    /// The medians of a stretch, and of the one of `floor` that was measured next to it: those whose
    /// ratio is the median of all such ratios. Whatever the machine does for longer than a stretch,
    /// it does to both.
    pub fn p50_beside(&self, floor: &Self) -> (f64, f64) {
        let own = self.durations.chunks(self.stretch);
        let mut pairs: Vec<_> = own
            .zip(floor.durations.chunks(floor.stretch))
            .map(|(own, floor)| (percentile(own, 50), percentile(floor, 50)))
            .collect();
        pairs.sort_by(|a, b| (a.0 / a.1).total_cmp(&(b.0 / b.1)));
        let middle = pairs.get(pairs.len() / 2);
        middle.copied().unwrap_or((f64::NAN, f64::NAN))
    }
}

fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

/// Times `count` calls, one after the other.
///
/// # Errors
///
/// The first call's that failed.
pub async fn repeat<F, Fut, E>(count: usize, mut call: F) -> Result<Samples, E>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<(), E>>,
{
    let mut samples = Samples::default();
    for _ in 0..count {
        let start = Instant::now();
        call().await?;
        samples.push(start.elapsed());
    }
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_compared() {
        let (mut own, mut floor) = (Samples::in_stretches_of(10), Samples::in_stretches_of(10));
        // The machine is faster at times, but not by the turn.
        for (factor, extra) in [(1, 0), (3, 0), (3, 9), (1, 9), (2, 0)] {
            for _ in 0..10 {
                own.push(Duration::from_micros(20 * factor + extra));
                floor.push(Duration::from_micros(10 * factor));
            }
        }
        let (own, floor) = own.p50_beside(&floor);
        assert!((own / floor - 2.0).abs() < 0.01);
    }

    #[test]
    fn all_calls_count_alike() {
        let mut samples = Samples::default();
        for call in [3, 1, 2, 9, 4] {
            samples.push(Duration::from_micros(call));
        }
        assert_eq!((samples.p50().round(), samples.p99().round()), (3.0, 9.0));
    }
}
