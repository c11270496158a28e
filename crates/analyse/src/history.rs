//! A history of runs: where the ratio to the anchor may have changed. E-divisive (Matteson and James 2014) with Student's t
//! test, as Hunter (Fleming and others, ICPE 2023) does it. It only proposes; a duet of old against new decides.
//!
//! Differences from Hunter, whose constants these are: values are logarithms, and the t test takes standard deviations of
//! samples, where its code takes those of populations and finds small windows more sure than they are.

pub mod comparable;
pub mod lines;

use dyno_model::history::ChangePoint;

use crate::statistics::{mean, t_beyond};

/// Runs that are looked at together.
pub const WINDOW: usize = 50;
/// Largest p of a change …
pub const LEVEL: f64 = 0.001;
/// … and, before neighbours are merged, of a candidate.
pub const CANDIDATE_LEVEL: f64 = 10.0 * LEVEL;
/// Smallest change: as a share, of the smaller side.
pub const SMALLEST: f64 = 0.03;

/// The logarithms of a stack's values over those of the anchor, the stack that every run of a history has: what the machine
/// did to both is gone. Runs in order; `None` where either value isn't above 0.
pub fn anchored(pairs: &[(f64, f64)]) -> Option<Vec<f64>> {
    let log = |(value, anchor): &(f64, f64)| (*value > 0.0 && *anchor > 0.0).then(|| (value / anchor).ln());
    pairs.iter().map(log).collect::<Option<Vec<f64>>>().filter(|logs| logs.iter().all(|log| log.is_finite()))
}

/// Proposes changes in a series of anchored logarithms, oldest first, of [`SMALLEST`] or more.
pub fn change_points(series: &[f64]) -> Vec<ChangePoint> {
    change_points_of(series, SMALLEST)
}

/// The same with changes of at least `smallest`, a share.
pub fn change_points_of(series: &[f64], smallest: f64) -> Vec<ChangePoint> {
    let mut at = merge(candidates(series), series, smallest.ln_1p());
    at.dedup();
    let edges: Vec<usize> = [0].into_iter().chain(at).chain([series.len()]).collect();
    edges.windows(3).map(|around| change_point(series, around[0], around[1], around[2])).collect()
}

fn change_point(series: &[f64], start: usize, index: usize, end: usize) -> ChangePoint {
    let (left, right) = (&series[start..index], &series[index..end]);
    let (before, after) = (mean(left).exp(), mean(right).exp());
    let runs = (left.len(), right.len());
    ChangePoint { index, before, after, ratio: after / before, p: t_test(left, right), runs }
}

/// The split step: windows that overlap by half, or begin at the last candidate.
fn candidates(series: &[f64]) -> Vec<usize> {
    let (mut all, mut start) = (Vec::new(), 0);
    while start < series.len() {
        let end = series.len().min(start + WINDOW);
        let found = divide(&series[start..end]);
        let last = found.last().map_or(0, |last| start + last);
        all.extend(found.into_iter().map(|at| start + at));
        start = last.max(start + WINDOW / 2);
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// Divides a window where its parts differ most, again and again, while Student's t test agrees.
fn divide(window: &[f64]) -> Vec<usize> {
    let sums = Sums::of(window);
    let mut at: Vec<usize> = Vec::new();
    loop {
        let edges: Vec<usize> = [0].into_iter().chain(at.iter().copied()).chain([window.len()]).collect();
        let best = edges
            .windows(2)
            .filter_map(|edge| sums.best(edge[0], edge[1]).map(|(q, index)| (q, index, edge[0], edge[1])))
            // The first of equals.
            .reduce(|best, other| if other.0 > best.0 { other } else { best });
        match best {
            Some((_, index, start, end))
                if t_test(&window[start..index], &window[index..end]) <= CANDIDATE_LEVEL =>
            {
                at.push(index);
                at.sort_unstable();
            }
            _ => return at,
        }
    }
}

/// The merge step: the least sure change goes, then the smallest, until all are sure and large.
fn merge(mut at: Vec<usize>, series: &[f64], smallest: f64) -> Vec<usize> {
    loop {
        let edges: Vec<usize> = [0].into_iter().chain(at.iter().copied()).chain([series.len()]).collect();
        let judged: Vec<(f64, f64)> = edges
            .windows(3)
            .map(|around| {
                let (left, right) = (&series[around[0]..around[1]], &series[around[1]..around[2]]);
                (t_test(left, right), (mean(right) - mean(left)).abs())
            })
            .collect();
        let places = || judged.iter().enumerate();
        let Some((least_sure, (p, _))) = places().max_by(|a, b| a.1.0.total_cmp(&b.1.0)) else { return at };
        let Some((least, (_, size))) = places().min_by(|a, b| a.1.1.total_cmp(&b.1.1)) else { return at };
        match (*p < LEVEL, *size >= smallest) {
            (true, true) => return at,
            (false, _) => at.remove(least_sure),
            (true, false) => at.remove(least),
        };
    }
}

/// Two-sided p of Student's t test with a common variance; 1 where it can't be made.
fn t_test(left: &[f64], right: &[f64]) -> f64 {
    let squares = |values: &[f64]| {
        let mean = mean(values);
        values.iter().map(|value| (value - mean).powi(2)).sum::<f64>()
    };
    if left.is_empty() || right.is_empty() || left.len() + right.len() < 3 {
        return 1.0;
    }
    let (n, m) = (left.len() as f64, right.len() as f64);
    let freedom = n + m - 2.0;
    let error = ((squares(left) + squares(right)) / freedom * (1.0 / n + 1.0 / m)).sqrt();
    let difference = (mean(left) - mean(right)).abs();
    if difference == 0.0 { 1.0 } else { t_beyond(difference / error.max(1e-12), freedom) }
}

/// Sums of all distances of a window: `sums[i][j]` is over the first i rows and j columns.
struct Sums(Vec<Vec<f64>>);

impl Sums {
    fn of(window: &[f64]) -> Self {
        let n = window.len();
        let mut sums = vec![vec![0.0; n + 1]; n + 1];
        for i in 0..n {
            let mut row = 0.0;
            for j in 0..n {
                row += (window[i] - window[j]).abs();
                sums[i + 1][j + 1] = sums[i][j + 1] + row;
            }
        }
        Self(sums)
    }

    fn rectangle(&self, rows: (usize, usize), columns: (usize, usize)) -> f64 {
        let sum = |i: usize, j: usize| self.0[i][j];
        sum(rows.1, columns.1) - sum(rows.0, columns.1) - sum(rows.1, columns.0) + sum(rows.0, columns.0)
    }

    /// Of all ways to take two neighbouring parts from the start of `start..end`, the largest scaled energy distance and where
    /// the second part begins.
    fn best(&self, start: usize, end: usize) -> Option<(f64, usize)> {
        let mut best = None;
        for index in start + 1..end {
            for stop in index + 1..=end {
                let q = self.energy(start, index, stop);
                if best.is_none_or(|(most, _)| q > most) {
                    best = Some((q, index));
                }
            }
        }
        best
    }

    /// `nm/(n+m)` times twice the mean distance between the parts less the mean distances within each.
    fn energy(&self, start: usize, index: usize, stop: usize) -> f64 {
        let (left, right) = ((start, index), (index, stop));
        let (n, m) = ((index - start) as f64, (stop - index) as f64);
        let within = |part: (usize, usize), count: f64| match count > 1.0 {
            true => self.rectangle(part, part) / count / (count - 1.0),
            false => 0.0,
        };
        let between = 2.0 * self.rectangle(left, right) / n / m;
        n * m / (n + m) * (between - within(left, n) - within(right, m))
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Runs around 0, or from each step on around its level.
    fn series(rng: &mut ChaCha8Rng, runs: usize, noise: f64, steps: &[(usize, f64)]) -> Vec<f64> {
        (0..runs)
            .map(|run| {
                let level = steps.iter().rev().find(|step| run >= step.0).map_or(0.0, |step| step.1);
                let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
                level + noise * (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
            })
            .collect()
    }

    #[test]
    fn planted_steps_are_found_where_they_are() {
        let mut rng = ChaCha8Rng::seed_from_u64(21);
        let runs = 60;
        let found = (0..runs)
            .filter(|_| {
                let series = series(&mut rng, 120, 0.015, &[(40, 0.05), (80, -0.02)]);
                let found = change_points(&series);
                let near = |at: usize, ratio: f64| {
                    found.iter().any(|one| one.index.abs_diff(at) <= 2 && (one.ratio - ratio).abs() < 0.02)
                };
                near(40, 0.05f64.exp()) && near(80, (-0.07f64).exp())
            })
            .count();
        assert!(found * 100 >= runs * 90, "{found} of {runs}");
    }

    #[test]
    fn noise_alone_proposes_nothing() {
        let mut rng = ChaCha8Rng::seed_from_u64(22);
        let histories = 200;
        // 5 % and two standard errors of so many histories. There are more places to choose from in a longer one: p is of a
        // single place.
        for (runs, noise, most) in
            [(30, 0.02, 16), (100, 0.01, 16), (100, 0.02, 16), (100, 0.05, 16), (300, 0.02, 24)]
        {
            let proposed = (0..histories)
                .filter(|_| !change_points(&series(&mut rng, runs, noise, &[])).is_empty())
                .count();
            println!("{runs} runs, noise {noise}: {proposed} of {histories}");
            assert!(proposed <= most, "{runs} runs, noise {noise}: {proposed} of {histories}");
        }
    }

    #[test]
    fn a_step_under_three_percent_is_left_out() {
        let mut rng = ChaCha8Rng::seed_from_u64(23);
        let series = series(&mut rng, 80, 0.004, &[(40, 0.02)]);
        assert_eq!(change_points(&series), []);
        let small = change_points_of(&series, 0.0);
        assert_eq!(small.iter().map(|one| (one.index, one.runs)).collect::<Vec<_>>(), [(40, (40, 40))]);
        assert_eq!(change_points_of(&series, 0.0), small);
    }

    #[test]
    fn short_and_still_histories_have_no_change() {
        for series in [&[][..], &[0.1], &[0.0, 1.0], &[0.3; 60]] {
            assert_eq!(change_points(series), [], "{series:?}");
        }
    }

    #[test]
    fn anchored_by_hand() {
        assert_eq!(anchored(&[(200.0, 100.0), (50.0, 50.0)]), Some(vec![2f64.ln(), 0.0]));
        assert_eq!(anchored(&[(200.0, 0.0)]), None);
    }
}
