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
        // The first 300 of 400 us are dealt to four blocks unevenly, and so are the others: 20, 24, 26, 30 of a hundred lie above
        // 300 us. sd .041633, h = 3.18245 x .041633 / 2 = .066249; 0.683751 and 0.816249 of 400 are 273.5 and 326.5.
        let (mut below, mut above) = (1..=300, 301..=400);
        let blocks: Vec<LatencyHistogram> = [20, 24, 26, 30]
            .into_iter()
            .map(|count| {
                histogram(
                    below.by_ref().take(100 - count).chain(above.by_ref().take(count)).collect::<Vec<_>>(),
                )
            })
            .collect();
        let v = woodruff(&blocks.iter().collect::<Vec<_>>(), 0.75).unwrap();
        let us = |value: f64| (value / 1e3).floor();
        assert_eq!((us(v.low_ns.unwrap()), us(v.estimate_ns), us(v.high_ns.unwrap())), (274.0, 300.0, 327.0));
        assert!(!v.beyond);
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
