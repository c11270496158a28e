//! Claims decided (METHOD, section 7): where the interval of each part lies to its region.
//!
//! - Within: supported. Nothing in common: refuted. Else inconclusive.
//! - `and`, orderings and `fastest` are several parts. Supported if all are, each at the claim's own level: to support a false
//!   claim its false part must be supported too (intersection–union, Berger 1982). Refuted if one of m parts is at α/m.
//! - A family is decided by Holm's procedure (1979), once for supports and once for refutations.
//!
//! With intervals that miss with the probability α over all looks, half on each side, a false part is supported with at most
//! α/2: the truth lies beyond one end of the region, and the interval must miss it on that side. A true claim is refuted with at
//! most α. Nothing here knows how the intervals come about.
//!
//! Capacities are no figures of blocks: what is known of one is a probability over rates (METHOD, section 5). Their ratios and
//! differences are those of independent draws, and their intervals hold that much of the probability in their middle.

mod part;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use dyno_model::claim::{Claim, ClaimDecision, ClaimResult, Quantity};

use crate::{
    FEWEST_BLOCKS,
    statistics::{mean, standard_deviation, t_quantile},
};

pub use part::{Part, Scale};

/// Estimate, lower and upper end.
pub type Ends = (f64, f64, f64);

/// One value for each block of a session; `None` where a block has none.
pub type PerBlock = Vec<Option<f64>>;

/// What a capacity search says of one stack.
#[derive(Clone, Debug, PartialEq)]
pub struct Posterior {
    /// Values of the capacity in requests per second, each as probable as the others, in random order. Those of several stacks are
    /// as many.
    pub draws: Vec<f64>,
    /// Trials of the search.
    pub trials: u32,
}

/// What claims are decided by.
pub struct Evidence<'a> {
    /// The values of a quantity, one for each block of the session in its order, in the unit of its metric
    /// (`ClaimMetric::unit`); `None` where a block has none. Or why there are none, or why they mustn't be believed.
    pub values: &'a dyn Fn(&Quantity) -> Result<PerBlock, String>,
    /// What is known of a capacity, which is searched in trials and not in blocks; or why nothing is.
    pub capacity: &'a dyn Fn(&Quantity) -> Result<Posterior, String>,
    /// The interval of a mean that misses with the probability `level`, half of it on each side; `None` for too few blocks. With
    /// looks, over all of them. A smaller level's interval must hold a larger one's.
    pub interval: &'a dyn Fn(&[f64], f64) -> Option<Ends>,
    /// Whether the session was, or will be, looked at more than once; for the words only.
    pub looks: bool,
}

/// A claim decided, with its parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// The decision.
    pub result: ClaimResult,
    /// Each part for itself, at the level that the claim was decided with.
    pub parts: Vec<Part>,
}

/// The interval of a fixed number of blocks, without looks: `m ± t(n-1, 1-level/2) s/√n`. `None` under eight blocks.
pub fn fixed_interval(d: &[f64], level: f64) -> Option<Ends> {
    if d.len() < FEWEST_BLOCKS {
        return None;
    }
    let n = d.len() as f64;
    let half = t_quantile(1.0 - level / 2.0, n - 1.0) * standard_deviation(d) / n.sqrt();
    let mean = mean(d);
    Some((mean, mean - half, mean + half))
}

/// Decides the claims of one file, in their order.
pub fn judge(claims: &[Claim], evidence: &Evidence<'_>) -> Vec<Judged> {
    let measured: Vec<Measured<'_>> = claims.iter().map(|claim| Measured::of(claim, evidence)).collect();
    let mut families: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, claim) in claims.iter().enumerate() {
        if let Some(family) = &claim.family {
            families.entry(family).or_default().push(index);
        }
    }
    let mut levels: Vec<Levels> = claims.iter().map(|claim| Levels::both(claim.alpha())).collect();
    for members in families.values() {
        // The strictest level, should a caller's claims of one family have several.
        let alpha = members.iter().map(|&index| claims[index].alpha()).fold(1.0, f64::min);
        let supports = holm(members, alpha, |index, level| measured[index].is_supported(level));
        let refutations = holm(members, alpha, |index, level| measured[index].is_refuted(level));
        for ((&index, support), refute) in members.iter().zip(supports).zip(refutations) {
            levels[index] = Levels { support, refute };
        }
    }
    let judged = measured.iter().zip(levels);
    judged.map(|(measured, levels)| measured.judge(levels, families.get(measured.family()))).collect()
}

/// The levels at which a claim may be supported and refuted.
#[derive(Clone, Copy)]
struct Levels {
    support: f64,
    refute: f64,
}

impl Levels {
    const fn both(level: f64) -> Self {
        Self { support: level, refute: level }
    }
}

/// Holm's procedure for tests that can only be asked "rejected at this level?": whoever is rejected at α over the number of
/// those left leaves, until nobody does. The level at which each left, or the last one for those that stay. The same as with
/// sorted p-values, since what is rejected at a level is at larger ones too.
fn holm(members: &[usize], alpha: f64, rejected: impl Fn(usize, f64) -> bool) -> Vec<f64> {
    let mut levels: Vec<Option<f64>> = vec![None; members.len()];
    loop {
        let left = levels.iter().filter(|level| level.is_none()).count();
        let level = alpha / left.max(1) as f64;
        let leaving: Vec<usize> =
            (0..members.len()).filter(|&at| levels[at].is_none() && rejected(members[at], level)).collect();
        if leaving.is_empty() {
            return levels.into_iter().map(|found| found.unwrap_or(level)).collect();
        }
        for at in leaving {
            levels[at] = Some(level);
        }
    }
}

/// A claim with the log-ratios or differences of its parts.
struct Measured<'a> {
    claim: &'a Claim,
    evidence: &'a Evidence<'a>,
    parts: Vec<part::Sample>,
}

impl<'a> Measured<'a> {
    fn of(claim: &'a Claim, evidence: &'a Evidence<'a>) -> Self {
        let parts = part::tests(claim).into_iter().map(|test| part::Sample::of(test, evidence)).collect();
        Self { claim, evidence, parts }
    }

    fn family(&self) -> &str {
        self.claim.family.as_deref().unwrap_or("")
    }

    /// Every part at the whole level.
    fn is_supported(&self, level: f64) -> bool {
        self.parts.iter().all(|part| part.decide(self.evidence, level) == ClaimDecision::Supported)
    }

    fn refuted(&self, level: f64) -> Option<usize> {
        let level = self.each(level);
        self.parts.iter().position(|part| part.decide(self.evidence, level) == ClaimDecision::Refuted)
    }

    /// One part at its share of the level.
    fn is_refuted(&self, level: f64) -> bool {
        self.refuted(level).is_some()
    }

    /// The share of a level that each part has.
    fn each(&self, level: f64) -> f64 {
        level / self.parts.len().max(1) as f64
    }

    fn judge(&self, levels: Levels, family: Option<&Vec<usize>>) -> Judged {
        let decided: Vec<ClaimDecision> =
            self.parts.iter().map(|part| part.decide(self.evidence, levels.support)).collect();
        let first = |decision| decided.iter().position(|one| *one == decision);
        // A claim is refuted by one part, whatever couldn't be measured of the others.
        let (decision, at, level, rate) = if let Some(at) = self.refuted(levels.refute) {
            (ClaimDecision::Refuted, at, self.each(levels.refute), Some(self.claim.alpha()))
        } else if let Some(at) = first(ClaimDecision::NoVerdict) {
            (ClaimDecision::NoVerdict, at, levels.support, None)
        // A part that is refuted at the whole level, and not at its share, is inconclusive for the claim.
        } else if let Some(at) = decided.iter().position(|one| *one != ClaimDecision::Supported) {
            (ClaimDecision::Inconclusive, at, levels.support, None)
        } else {
            (ClaimDecision::Supported, self.weakest(), levels.support, Some(self.claim.alpha() / 2.0))
        };
        let parts: Vec<Part> = self.parts.iter().map(|part| part.show(self.evidence, level)).collect();
        let shown = parts.get(at);
        let result = ClaimResult {
            claim: self.claim.name.clone(),
            decision,
            estimate: shown.and_then(|part| part.estimate),
            low: shown.and_then(|part| part.low),
            high: shown.and_then(|part| part.high),
            blocks: shown.map_or(0, |part| part.blocks),
            error_rate: rate,
            reason: self.reason(decision, at, level, shown, family),
        };
        Judged { result, parts }
    }

    /// The part that lies nearest to an end of its region, in standard deviations.
    fn weakest(&self) -> usize {
        let nearness = |at: &usize| self.parts[*at].distance_in_deviations();
        (0..self.parts.len()).min_by(|a, b| nearness(a).total_cmp(&nearness(b))).unwrap_or(0)
    }

    fn reason(
        &self,
        decision: ClaimDecision,
        at: usize,
        level: f64,
        shown: Option<&Part>,
        family: Option<&Vec<usize>>,
    ) -> String {
        let (Some(part), Some(sample)) = (shown, self.parts.get(at)) else {
            return "the claim says nothing".to_owned();
        };
        let mut reason = match decision {
            ClaimDecision::Supported => format!("{} lies within {}", part.figures(), part.region),
            ClaimDecision::Refuted => format!("{} lies outside of {}", part.figures(), part.region),
            ClaimDecision::Inconclusive => format!("{} lies partly in {}", part.figures(), part.region),
            ClaimDecision::NoVerdict => sample.why_none(self.evidence),
        };
        if decision == ClaimDecision::Inconclusive && !part.is_astride() {
            // All the interval is outside, yet not at the part's share of the level.
            reason = format!(
                "{} lies outside of {}, but not at the level for {} parts",
                part.figures(),
                part.region,
                self.parts.len()
            );
        }
        if self.parts.len() > 1 {
            reason = format!("{}: {reason}", part.text);
        }
        if decision == ClaimDecision::NoVerdict {
            return reason;
        }
        let percent = part::significant((1.0 - level) * 100.0);
        let looks = if self.evidence.looks && sample.is_of_blocks() { ", all looks together" } else { "" };
        let family = match (&self.claim.family, family) {
            (Some(name), Some(members)) => format!(", family {name} of {}", members.len()),
            _ => String::new(),
        };
        let fragile =
            if sample.is_fragile() { "; fragile: one block differs much from the others" } else { "" };
        let over = if sample.is_of_blocks() {
            format!("interval over {} blocks", part.blocks)
        } else {
            format!("of the probability after {} trials", part.blocks)
        };
        format!("{reason} ({percent} % {over}{looks}{family}){fragile}")
    }
}
