//! Measured durations and what they say.

use std::future::Future;
use std::time::{Duration, Instant};

/// Calls of one stretch of [`Samples::usual_p99`].
const STRETCH: usize = 400;

/// Durations of one case, in microseconds.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// Adds one duration.
    pub fn push(&mut self, duration: Duration) {
        self.0.push(duration.as_secs_f64() * 1e6);
    }

    /// Adds those of another run.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The median.
    pub fn p50(&self) -> f64 {
        self.percentile(50)
    }

    /// The 99th percentile.
    pub fn p99(&self) -> f64 {
        self.percentile(99)
    }

    /// The 99th percentile of a usual stretch of [`STRETCH`] calls: something else that keeps the
    /// machine busy for a moment spoils the stretches it meets, and not the figure.
    pub fn usual_p99(&self) -> f64 {
        let stretches = self.0.chunks(STRETCH).map(|part| percentile(part, 99));
        percentile(&stretches.collect::<Vec<_>>(), 50)
    }

    fn percentile(&self, percent: usize) -> f64 {
        percentile(&self.0, percent)
    }
}

fn percentile(durations: &[f64], percent: usize) -> f64 {
    let mut sorted = durations.to_vec();
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
