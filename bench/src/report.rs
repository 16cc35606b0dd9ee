//! What a benchmark prints: a table for people, one line of JSON for programs.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::sample::Samples;

/// The figures of one benchmark.
#[derive(Debug, Serialize)]
pub struct Report {
    bench: &'static str,
    rows: Vec<Row>,
    extra: Map<String, Value>,
}

/// One measured case beside its floor, measured in the same run.
#[derive(Debug, Serialize)]
pub struct Row {
    case: String,
    p50_us: f64,
    p99_us: f64,
    floor: String,
    floor_p50_us: f64,
    ratio: Option<f64>,
    #[serde(skip)]
    reach: Option<f64>,
}

/// Which figure of a case is compared with its floor.
#[derive(Clone, Copy, Debug)]
pub enum Compare {
    /// Medians of turns, measured in turns with the floor; the ratio should not exceed the bound.
    P50(f64),
    /// 99th percentiles; the ratio should not exceed the bound.
    P99(f64),
    /// Nothing: the row is there for scale.
    Nothing,
}

impl Report {
    /// An empty report of the benchmark of this name.
    pub fn new(bench: &'static str) -> Self {
        Self {
            bench,
            rows: Vec::new(),
            extra: Map::new(),
        }
    }

    /// Adds a case and its floor.
    pub fn row(&mut self, case: &str, measured: &Samples, floor: (&str, &Samples), by: Compare) {
        let (name, floor) = floor;
        let (p50, floor_p50) = match by {
            Compare::P50(_) => measured.p50_beside(floor),
            Compare::P99(_) | Compare::Nothing => (measured.p50(), floor.p50()),
        };
        let (ratio, reach) = match by {
            Compare::P50(reach) => (Some(p50 / floor_p50), Some(reach)),
            Compare::P99(reach) => (Some(measured.p99() / floor.p99()), Some(reach)),
            Compare::Nothing => (None, None),
        };
        self.rows.push(Row {
            case: case.to_owned(),
            p50_us: rounded(p50),
            p99_us: rounded(measured.p99()),
            floor: name.to_owned(),
            floor_p50_us: rounded(floor_p50),
            ratio: ratio.map(rounded),
            reach,
        });
    }

    /// Adds a figure that is no latency.
    pub fn extra(&mut self, name: &str, value: impl Into<Value>) {
        self.extra.insert(name.to_owned(), value.into());
    }

    /// One line of JSON.
    ///
    /// # Errors
    ///
    /// Never in practice: every value is a number or text.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }

    /// The table.
    pub fn table(&self) -> String {
        let heading = format!(
            "{:<34} {:>10} {:>10}  {:<34} {:>10} {:>7} {:>7}\n",
            self.bench, "p50 µs", "p99 µs", "floor", "p50 µs", "ratio", "reach"
        );
        let rows = self.rows.iter().map(Row::line);
        let extra = self
            .extra
            .iter()
            .map(|(name, value)| format!("{name}: {value}\n"));
        std::iter::once(heading).chain(rows).chain(extra).collect()
    }
}

impl Row {
    fn line(&self) -> String {
        let number = |n: Option<f64>| n.map_or_else(|| "-".to_owned(), |n| format!("{n:.2}"));
        format!(
            "{:<34} {:>10.1} {:>10.1}  {:<34} {:>10.1} {:>7} {:>7}\n",
            self.case,
            self.p50_us,
            self.p99_us,
            self.floor,
            self.floor_p50_us,
            number(self.ratio),
            number(self.reach)
        )
    }
}

/// To three decimals, which is finer than any of it can be measured.
pub fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
