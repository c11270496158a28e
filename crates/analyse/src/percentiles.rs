//! The interval of an absolute percentile: Woodruff's (1952), blocks as clusters (Francisco and Fuller 1991; METHOD, section 4).
//! The textbook's interval of order statistics takes requests for a sample and covers 20 to 70 % instead of 95 %.

use dyno_model::histogram::LatencyHistogram;

use crate::statistics::{standard_deviation, t_quantile};

/// A percentile with its 95 % interval, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Percentile {
    /// The percentile of all blocks' requests.
    pub estimate_ns: f64,
    /// Lower end; `None` for a single block.
    pub low_ns: Option<f64>,
    /// Upper end; `None` for a single block.
    pub high_ns: Option<f64>,
    /// Whether the interval reaches beyond the slowest request: the upper end is the slowest, and the truth may be above.
    pub beyond: bool,
}

/// The percentile `quantile` (0..=1) of all requests: with v its value and e_i the share of block i's requests above v,
/// `h = t(n-1, .975) sd(e)/√n`, and the interval is [Q(p-h), Q(p+h)] of all requests. `None` without requests.
pub fn woodruff(blocks: &[&LatencyHistogram], quantile: f64) -> Option<Percentile> {
    let mut pooled = LatencyHistogram::default();
    blocks.iter().for_each(|block| pooled.merge(block));
    let value_ns = pooled.quantile_ns(quantile)?;
    let shares: Vec<f64> =
        blocks.iter().filter(|block| block.count() > 0).map(|block| block.share_above(value_ns)).collect();
    let estimate_ns = value_ns as f64;
    if shares.len() < 2 {
        return Some(Percentile { estimate_ns, low_ns: None, high_ns: None, beyond: false });
    }
    let n = shares.len() as f64;
    let half = t_quantile(0.975, n - 1.0) * standard_deviation(&shares) / n.sqrt();
    let at = |quantile: f64| pooled.quantile_ns(quantile.clamp(0.0, 1.0)).map(|value_ns| value_ns as f64);
    // The histogram's own step is the least that can be told.
    Some(Percentile {
        estimate_ns,
        low_ns: at(quantile - half).map(|low| low.min(estimate_ns * 0.999)),
        high_ns: at(quantile + half).map(|high| high.max(estimate_ns * 1.001)),
        beyond: quantile + half >= 1.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(values_us: impl IntoIterator<Item = u64>) -> LatencyHistogram {
        let mut histogram = LatencyHistogram::default();
        values_us.into_iter().for_each(|value_us| histogram.record_ns(value_us * 1_000));
        histogram
    }

    #[test]
    fn by_hand() {
        // p75 of 1..=100 us twice over is 75 us; 20 and 30 of a hundred lie above in the two halves, 25 on average.
        let (a, b) = (histogram((1..=95).chain(101..=105)), histogram((1..=80).chain(91..=110)));
        let v = woodruff(&[&a, &b, &a, &b], 0.75).unwrap();
        assert!((v.estimate_ns / 1e3 - 75.0).abs() < 0.1, "{v:?}");
        // Both have 75 at or below 75: no spread, so that the histogram's step is the interval.
        assert!(v.high_ns.unwrap() - v.low_ns.unwrap() < 300.0);
    }

    #[test]
    fn one_block_has_no_interval_and_none_no_percentile() {
        assert_eq!(woodruff(&[&histogram(1..=100)], 0.5).unwrap().low_ns, None);
        assert_eq!(woodruff(&[], 0.5), None);
        assert_eq!(woodruff(&[&histogram([])], 0.5), None);
    }

    #[test]
    fn says_when_the_slowest_request_bounds_it() {
        let (quick, slow) = (histogram(1..=100), histogram(1_001..=1_100));
        assert!(woodruff(&[&quick, &slow], 0.9).unwrap().beyond);
    }
}
