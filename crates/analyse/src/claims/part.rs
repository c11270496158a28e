//! The parts of a claim: each is one figure, one value per block, and a region.

use dyno_model::claim::{Claim, ClaimDecision, ClaimMetric, Predicate, Quantity, Ratio, Region};

use super::{Ends, Evidence};
use crate::{
    FEWEST_BLOCKS,
    statistics::{mean, skewness, standard_deviation},
};

/// What a part's values are before they are averaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Logarithms: of ratios, of ratios of ratios, and of figures, which are all above zero.
    Log,
    /// As they are: differences.
    Plain,
}

/// One part of a claim for itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// What it says, in the grammar, without its region.
    pub text: String,
    /// Where it is claimed to lie.
    pub region: String,
    /// Unit of the figures below; `None` for ratios.
    pub unit: Option<&'static str>,
    /// The decision, at the level of the interval.
    pub decision: ClaimDecision,
    /// The estimate.
    pub estimate: Option<f64>,
    /// Lower end of its interval.
    pub low: Option<f64>,
    /// Upper end of its interval.
    pub high: Option<f64>,
    /// Blocks that have every quantity; of capacities the trials.
    pub blocks: u32,
    /// What the next two figures are in.
    pub scale: Scale,
    /// Standard deviation over blocks; `None` for fewer than two.
    pub deviation: Option<f64>,
    /// From the estimate to the nearest end of the region: with the deviation it tells how many blocks are needed.
    pub distance: Option<f64>,
}

/// A part before anything is known of it.
pub(super) struct Test {
    text: String,
    /// In words, as it is shown.
    region_text: String,
    region: Region,
    scale: Scale,
    unit: Option<&'static str>,
    /// Signs with quantities; their values, or the logs of these, are added.
    sum: Vec<(f64, Quantity)>,
}

/// A part with its values.
pub(super) struct Sample {
    test: Test,
    /// What it can be decided by; or why there is nothing.
    d: Result<Values, String>,
}

/// Values of a part, on its scale.
enum Values {
    /// One for each block that has every quantity.
    Blocks(Vec<f64>),
    /// Of capacities: each as probable as the others, in order; and how many trials they rest on.
    Draws(Vec<f64>, u32),
}

impl Values {
    fn all(&self) -> &[f64] {
        match self {
            Self::Blocks(d) | Self::Draws(d, _) => d,
        }
    }

    fn centre(&self) -> Option<f64> {
        match self {
            Self::Blocks(d) => (!d.is_empty()).then(|| mean(d)),
            Self::Draws(d, _) => quantile(d, 0.5),
        }
    }
}

/// A quantile of values in order.
fn quantile(sorted: &[f64], probability: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((probability * sorted.len() as f64).floor().clamp(0.0, last as f64) as usize).copied()
}

/// The parts of a claim, in the order of its text.
pub(super) fn tests(claim: &Claim) -> Vec<Test> {
    let delta = claim.delta_percent.unwrap_or(0.0) / 100.0;
    claim.predicates.iter().flat_map(|predicate| of_predicate(predicate, delta)).collect()
}

fn of_predicate(predicate: &Predicate, delta: f64) -> Vec<Test> {
    let ratio = |of: &Ratio, sign: f64| [(sign, of.over.clone()), (-sign, of.under.clone())];
    let logs = |text: String, region: &Region, sum: Vec<(f64, Quantity)>| Test {
        text,
        region_text: region.to_string(),
        region: *region,
        scale: Scale::Log,
        unit: None,
        sum,
    };
    match predicate {
        Predicate::Value { of, region } => {
            let unit = Some(of.metric.unit());
            vec![Test { unit, ..logs(of.to_string(), region, vec![(1.0, of.clone())]) }]
        }
        Predicate::Ratio { of, region } => vec![logs(of.to_string(), region, ratio(of, 1.0).to_vec())],
        Predicate::Difference { from, less, region } => {
            let sum = vec![(1.0, from.clone()), (-1.0, less.clone())];
            let test = logs(format!("{from} - {less}"), region, sum);
            vec![Test { scale: Scale::Plain, unit: Some(from.metric.unit()), ..test }]
        }
        Predicate::RatioOfRatios { over, under, region } => {
            let sum = [ratio(over, 1.0), ratio(under, -1.0)].concat();
            vec![logs(format!("({over}) / ({under})"), region, sum)]
        }
        Predicate::Ordering { of } => of.windows(2).map(|pair| more(&pair[0], &pair[1], delta)).collect(),
        Predicate::Fastest { of, .. } => predicate.quantities()[1..]
            .iter()
            .map(
                |other| {
                    if of.metric.more_is_better() { more(of, other, delta) } else { more(other, of, delta) }
                },
            )
            .collect(),
    }
}

/// `a` is more than `b`, by at least `delta`.
fn more(a: &Quantity, b: &Quantity, delta: f64) -> Test {
    let end = |number| dyno_model::claim::End { number, unit: None };
    let region =
        Region { low: end(1.0 + delta), low_closed: false, high: end(f64::INFINITY), high_closed: false };
    Test {
        text: format!("{a} / {b}"),
        region_text: region.to_string(),
        region,
        scale: Scale::Log,
        unit: None,
        sum: vec![(1.0, a.clone()), (-1.0, b.clone())],
    }
}

impl Test {
    /// Ends of the region on the scale of the values.
    fn ends(&self) -> (f64, f64) {
        match self.scale {
            // ln 0 is minus infinity: no lower end.
            Scale::Log => (self.region.low().max(0.0).ln(), self.region.high().ln()),
            Scale::Plain => (self.region.low(), self.region.high()),
        }
    }

    fn place(&self, (_, low, high): Ends) -> ClaimDecision {
        let (from, to) = self.ends();
        let above = if self.region.low_closed { low >= from } else { low > from };
        let below = if self.region.high_closed { high <= to } else { high < to };
        let under = if self.region.low_closed { high < from } else { high <= from };
        let over = if self.region.high_closed { low > to } else { low >= to };
        match (above && below, under || over) {
            (true, _) => ClaimDecision::Supported,
            (_, true) => ClaimDecision::Refuted,
            _ => ClaimDecision::Inconclusive,
        }
    }

    fn values(&self, evidence: &Evidence<'_>) -> Result<Values, String> {
        let capacities = self.sum.iter().filter(|(_, one)| one.metric == ClaimMetric::Capacity).count();
        match capacities {
            0 => self.of_blocks(evidence).map(Values::Blocks),
            all if all == self.sum.len() => self.of_draws(evidence),
            _ => Err("a capacity and a figure of blocks can't be put into one ratio".to_owned()),
        }
    }

    /// Independent draws of each capacity, put together.
    fn of_draws(&self, evidence: &Evidence<'_>) -> Result<Values, String> {
        let (mut sum, mut trials) = (Vec::new(), 0);
        for (sign, quantity) in &self.sum {
            let known = (evidence.capacity)(quantity).map_err(|why| format!("{quantity}: {why}"))?;
            trials += known.trials;
            sum.resize(known.draws.len(), 0.0);
            for (sum, draw) in sum.iter_mut().zip(known.draws) {
                *sum += sign * if self.scale == Scale::Log { draw.ln() } else { draw };
            }
        }
        sum.sort_by(f64::total_cmp);
        Ok(Values::Draws(sum, trials))
    }

    /// One value for each block that has every quantity.
    fn of_blocks(&self, evidence: &Evidence<'_>) -> Result<Vec<f64>, String> {
        let mut columns = Vec::new();
        for (sign, quantity) in &self.sum {
            let values = (evidence.values)(quantity).map_err(|why| format!("{quantity}: {why}"))?;
            columns.push((*sign, quantity, values));
        }
        let blocks = columns.iter().map(|(_, _, values)| values.len()).min().unwrap_or(0);
        let mut d = Vec::new();
        for block in 0..blocks {
            let mut sum = Some(0.0);
            for (sign, quantity, values) in &columns {
                let Some(value) = values[block] else {
                    sum = None;
                    break;
                };
                let usable = value.is_finite() && (self.scale == Scale::Plain || value > 0.0);
                if !usable {
                    return Err(format!("{quantity}: {value} in block {} can't be compared", block + 1));
                }
                let value = if self.scale == Scale::Log { value.ln() } else { value };
                sum = sum.map(|sum| sum + sign * value);
            }
            d.extend(sum);
        }
        Ok(d)
    }
}

impl Sample {
    /// With its values.
    pub(super) fn of(test: Test, evidence: &Evidence<'_>) -> Self {
        let d = test.values(evidence);
        Self { test, d }
    }

    fn interval(&self, evidence: &Evidence<'_>, level: f64) -> Option<Ends> {
        match self.d.as_ref().ok()? {
            Values::Blocks(d) => (evidence.interval)(d, level),
            Values::Draws(d, _) => {
                Some((quantile(d, 0.5)?, quantile(d, level / 2.0)?, quantile(d, 1.0 - level / 2.0)?))
            }
        }
    }

    /// Where its interval lies.
    pub(super) fn decide(&self, evidence: &Evidence<'_>, level: f64) -> ClaimDecision {
        self.interval(evidence, level).map_or(ClaimDecision::NoVerdict, |interval| self.test.place(interval))
    }

    /// Why it can't be decided.
    pub(super) fn why_none(&self, evidence: &Evidence<'_>) -> String {
        match &self.d {
            Err(why) => why.clone(),
            Ok(d) => {
                let needed = if evidence.looks { "the first look is" } else { "an interval needs" };
                format!("{} blocks with every figure; {needed} {FEWEST_BLOCKS}", d.all().len())
            }
        }
    }

    /// Whether one block may carry it (METHOD, section 4).
    pub(super) fn is_fragile(&self) -> bool {
        matches!(&self.d, Ok(Values::Blocks(d)) if skewness(d).abs() > 1.5)
    }

    /// Whether it rests on blocks, and not on a search's trials.
    pub(super) fn is_of_blocks(&self) -> bool {
        !matches!(&self.d, Ok(Values::Draws(..)))
    }

    fn deviation(&self) -> Option<f64> {
        self.d.as_ref().ok().map(Values::all).filter(|d| d.len() >= 2).map(standard_deviation)
    }

    fn distance(&self) -> Option<f64> {
        let mean = self.d.as_ref().ok().and_then(Values::centre)?;
        let (low, high) = self.test.ends();
        Some((mean - low).abs().min((high - mean).abs()))
    }

    /// Infinite where nothing is known.
    pub(super) fn distance_in_deviations(&self) -> f64 {
        match (self.distance(), self.deviation()) {
            (Some(distance), Some(deviation)) if deviation > 0.0 => distance / deviation,
            _ => f64::INFINITY,
        }
    }

    /// As people see it.
    pub(super) fn show(&self, evidence: &Evidence<'_>, level: f64) -> Part {
        let back = |value: f64| if self.test.scale == Scale::Log { value.exp() } else { value };
        let interval = self.interval(evidence, level);
        let estimate = self.d.as_ref().ok().and_then(Values::centre);
        Part {
            text: self.test.text.clone(),
            region: self.test.region_text.clone(),
            unit: self.test.unit,
            decision: self.decide(evidence, level),
            estimate: interval.map(|(mean, _, _)| mean).or(estimate).map(back),
            low: interval.map(|(_, low, _)| back(low)),
            high: interval.map(|(_, _, high)| back(high)),
            blocks: match &self.d {
                Ok(Values::Blocks(d)) => u32::try_from(d.len()).unwrap_or(u32::MAX),
                Ok(Values::Draws(_, trials)) => *trials,
                Err(_) => 0,
            },
            scale: self.test.scale,
            deviation: self.deviation().filter(|_| self.is_of_blocks()),
            distance: self.distance(),
        }
    }
}

impl Part {
    /// Whether its interval lies partly in its region.
    pub(super) fn is_astride(&self) -> bool {
        self.decision == ClaimDecision::Inconclusive
    }

    /// `1.23 [1.10, 1.38]`, with the unit where there is one.
    pub(super) fn figures(&self) -> String {
        let unit = self.unit.map_or(String::new(), |unit| format!(" {unit}"));
        let show = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), significant);
        format!("{} [{}, {}]{unit}", show(self.estimate), show(self.low), show(self.high))
    }
}

/// About three digits, as people read figures.
pub(super) fn significant(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}
