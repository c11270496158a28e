//! How far a whole run may be trusted (METHOD, section 6): starts at 100, ten off for each flag.

use crate::{FIRST_BLOCKS, health::Health};

/// A score with its reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// 0..=100; 0 where no verdict is allowed.
    pub score: u32,
    /// `A` from 90, `B` from 70, `C` below, `-` where no verdict is allowed.
    pub grade: char,
    /// What took points off, or allows no verdict.
    pub reasons: Vec<String>,
    /// What disturbed all stacks alike: intervals are wider for it, and nothing is refused. Where a verdict is allowed these are among
    /// the reasons.
    pub noise: Vec<String>,
}

/// Judges a run.
pub fn judge(health: &Health, blocks: usize) -> Trust {
    let mut reasons = health.no_verdict.clone();
    let noise: Vec<String> =
        health.flags.iter().filter(|flag| flag.is_noise).map(|flag| flag.words.clone()).collect();
    if blocks < FIRST_BLOCKS {
        reasons.push(format!("{blocks} complete blocks; intervals need {FIRST_BLOCKS}"));
    }
    if !reasons.is_empty() {
        return Trust { score: 0, grade: '-', reasons, noise };
    }
    let score = 100 - health.flags.iter().map(|flag| flag.points).sum::<u32>().min(100);
    let grade = match score {
        90.. => 'A',
        70.. => 'B',
        _ => 'C',
    };
    Trust { score, grade, reasons: health.flags.iter().map(|flag| flag.words.clone()).collect(), noise }
}
