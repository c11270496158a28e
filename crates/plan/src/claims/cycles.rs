//! Orderings of one file: they may not go round.

use std::collections::{BTreeMap, BTreeSet};

use dyno_model::claim::Quantity;

/// What was said to be more than what, and in which line.
#[derive(Default)]
pub struct Orderings(BTreeMap<String, Vec<(String, usize)>>);

impl Orderings {
    /// Notes `more > less`.
    ///
    /// # Errors
    /// Nothing can be more than itself, directly or by what was said before: in words.
    pub fn add(&mut self, more: &Quantity, less: &Quantity, line: usize) -> Result<(), String> {
        let (more, less) = (more.to_string(), less.to_string());
        if more == less {
            return Err(format!("{more} can't be more than itself"));
        }
        if let Some(path) = self.path(&less, &more) {
            return Err(format!("this ordering goes round: {more} > {less} here, but {path}"));
        }
        self.0.entry(more).or_default().push((less, line));
        Ok(())
    }

    /// How one is more than another, in words.
    fn path(&self, from: &str, to: &str) -> Option<String> {
        let mut reached: BTreeSet<&str> = BTreeSet::from([from]);
        let mut open: Vec<(&str, Vec<String>)> = vec![(from, Vec::new())];
        while let Some((at, steps)) = open.pop() {
            for (next, line) in self.0.get(at).into_iter().flatten() {
                let mut steps = steps.clone();
                steps.push(format!("{at} > {next} in line {line}"));
                if next == to {
                    return Some(steps.join(", "));
                }
                if reached.insert(next) {
                    open.push((next, steps));
                }
            }
        }
        None
    }
}
