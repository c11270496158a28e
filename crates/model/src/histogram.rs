//! A latency histogram that can be stored: HdrHistogram, three significant digits, in nanoseconds.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hdrhistogram::{
    Histogram,
    serialization::{Deserializer, Serializer as _, V2DeflateSerializer},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Smallest latency that is told apart, in nanoseconds.
pub const LOWEST_NS: u64 = 1_000;
/// Largest latency that is kept, in nanoseconds; longer ones count as this.
pub const HIGHEST_NS: u64 = 60_000_000_000;

/// An HdrHistogram of nanoseconds from 1 us to 60 s with three significant digits. Stored in the
/// standard's compressed V2 encoding as base64, which the HdrHistogram tools read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct LatencyHistogram(Histogram<u64>);

/// A text that isn't a stored histogram.
#[derive(Debug, thiserror::Error)]
#[error("not a stored HdrHistogram (V2, base64): {0}")]
pub struct HistogramError(String);

impl Default for LatencyHistogram {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(LOWEST_NS, HIGHEST_NS, 3);
        Self(histogram.expect("the bounds are constants that hdrhistogram accepts"))
    }
}

impl LatencyHistogram {
    /// Adds one latency; values outside the bounds count as the nearest bound.
    // The engine calls this for every answer: compiled with the engine, which is optimised more than this crate.
    #[inline]
    pub fn record_ns(&mut self, latency_ns: u64) {
        self.0.saturating_record(latency_ns.max(LOWEST_NS));
    }

    /// Adds the same latency so many times.
    pub fn record_many_ns(&mut self, latency_ns: u64, count: u64) {
        self.0.saturating_record_n(latency_ns.max(LOWEST_NS), count);
    }

    /// Adds all counts of another histogram. Percentiles are never averaged; counts are added.
    pub fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all histograms have the same bounds");
    }

    /// Number of latencies.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// Latency in nanoseconds below or at which the share `quantile` (0..=1) lies; `None` when empty.
    pub fn quantile_ns(&self, quantile: f64) -> Option<u64> {
        (!self.0.is_empty()).then(|| self.0.value_at_quantile(quantile))
    }

    /// Mean in nanoseconds; `None` when empty.
    pub fn mean_ns(&self) -> Option<f64> {
        (!self.0.is_empty()).then(|| self.0.mean())
    }

    /// Largest latency in nanoseconds; `None` when empty.
    pub fn max_ns(&self) -> Option<u64> {
        (!self.0.is_empty()).then(|| self.0.max())
    }

    /// Share (0..=1) of latencies above `latency_ns`, to the histogram's precision; 0 when empty.
    pub fn share_above(&self, latency_ns: u64) -> f64 {
        if self.0.is_empty() {
            return 0.0;
        }
        1.0 - self.0.quantile_below(latency_ns)
    }

    /// The histogram itself, for its iterators.
    pub fn inner(&self) -> &Histogram<u64> {
        &self.0
    }
}

impl TryFrom<String> for LatencyHistogram {
    type Error = HistogramError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let bytes = STANDARD.decode(text).map_err(|e| HistogramError(e.to_string()))?;
        let stored: Histogram<u64> = Deserializer::new()
            .deserialize(&mut bytes.as_slice())
            .map_err(|e| HistogramError(e.to_string()))?;
        let mut histogram = Self::default();
        histogram.0.add(&stored).map_err(|e| HistogramError(e.to_string()))?;
        Ok(histogram)
    }
}

impl From<LatencyHistogram> for String {
    fn from(histogram: LatencyHistogram) -> Self {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(&histogram.0, &mut bytes)
            .expect("writing to memory doesn't fail");
        STANDARD.encode(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_and_read_again_is_the_same() {
        let mut histogram = LatencyHistogram::default();
        for latency_ns in [0, 1_000, 1_234_567, 999_999_999, u64::MAX] {
            histogram.record_ns(latency_ns);
        }
        let text = serde_json::to_string(&histogram).unwrap();
        let again: LatencyHistogram = serde_json::from_str(&text).unwrap();
        assert_eq!(again, histogram);
        assert_eq!(again.count(), 5);
        assert!(again.max_ns().unwrap() >= HIGHEST_NS);
    }

    #[test]
    fn an_empty_one_has_no_quantile() {
        assert_eq!(LatencyHistogram::default().quantile_ns(0.5), None);
    }

    #[test]
    fn refuses_what_is_no_histogram() {
        assert!(serde_json::from_str::<LatencyHistogram>("\"abcd\"").is_err());
    }
}
