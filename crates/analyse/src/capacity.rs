//! Capacity under an SLO: Bayesian search for the highest rate at which short trials pass (METHOD, section 5).
//!
//! Each trial passes or fails; `P(fail | r) = γ + (1 - γ) Φ(ln(r/C)/σ)`. σ says how sharp the edge is and γ how often a
//! trial fails for another reason, so that one unlucky trial doesn't decide as it does in a bisection. Their posterior is
//! kept on a grid as in Psi (Kontsevich and Tyler 1999); the next rate is a quantile of C's.

mod rows;
mod trial;

pub use rows::rows;
pub use trial::{judge, length, longest};

use dyno_model::capacity::{CapacityOutcome, CapacityResult, CapacityState, CapacityTrial};
use rand::{Rng, seq::SliceRandom};
use statrs::function::erf::erfc;

/// Values of C.
const GRID: usize = 240;
/// C from this share of the saturated throughput …
const LOWEST: f64 = 0.2;
/// … to this one: a little more, because the saturated throughput has noise too.
const HIGHEST: f64 = 1.08;
const SIGMAS: [f64; 5] = [0.004, 0.008, 0.015, 0.03, 0.06];
const GAMMAS: [f64; 4] = [0.01, 0.05, 0.1, 0.2];
/// Trials at the posterior's median, before its quantiles take turns.
const MEDIANS: usize = 6;
const TURNS: [f64; 4] = [0.5, 0.2, 0.5, 0.8];
/// Fewest trials of a search.
pub const FEWEST_TRIALS: usize = 12;
/// Most trials of a search.
pub const MOST_TRIALS: usize = 40;
/// The search is over when the central 95 % reach no further than this to either side.
pub const HALF_WIDTH: f64 = 0.02;
/// Trials at the lower end once the search is over …
pub const CONFIRMATIONS: usize = 3;
/// … and how many of them must pass.
pub const CONFIRMED: usize = 2;

/// A search under way.
#[derive(Clone, Debug)]
pub struct Search {
    state: CapacityState,
    /// Logarithm of the likelihood for each C, σ and γ, C outermost.
    log_likelihood: Vec<f64>,
}

/// What can't be a capacity search.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum CapacityError {
    /// No scale for the grid.
    #[error("saturated throughput is {0} requests/s; it must be a number above 0, for instance 1200")]
    Saturation(f64),
    /// No rate.
    #[error("a trial's rate is {0} requests/s; it must be a number above 0, for instance 950")]
    Rate(f64),
}

impl Search {
    /// A new search, around the throughput of a saturated closed loop.
    ///
    /// # Errors
    /// The throughput isn't above 0.
    pub fn new(saturation_per_s: f64) -> Result<Self, CapacityError> {
        Self::resume(CapacityState { saturation_per_s, trials: Vec::new(), confirmations: Vec::new() })
    }

    /// Goes on where another session stopped.
    ///
    /// # Errors
    /// The throughput or a trial's rate isn't above 0.
    pub fn resume(state: CapacityState) -> Result<Self, CapacityError> {
        if !positive(state.saturation_per_s) {
            return Err(CapacityError::Saturation(state.saturation_per_s));
        }
        let cells = GRID * SIGMAS.len() * GAMMAS.len();
        let mut search = Self { state: state.clone(), log_likelihood: vec![0.0; cells] };
        search.state.trials.clear();
        for trial in state.trials {
            search.observe(trial.rate_per_s, trial.failed)?;
        }
        Ok(search)
    }

    /// What to keep, for [`Search::resume`].
    pub fn state(&self) -> &CapacityState {
        &self.state
    }

    /// The rate of the next trial, in requests per second; `None` when the search is over.
    pub fn next_rate(&self) -> Option<f64> {
        if self.over() {
            return None;
        }
        let trials = self.state.trials.len();
        let quantile = match trials.checked_sub(MEDIANS) {
            None => 0.5,
            Some(after) => TURNS[after % TURNS.len()],
        };
        Some(self.quantile(quantile))
    }

    /// Takes in a trial of the search. A rate other than the one asked for is as good.
    ///
    /// # Errors
    /// The rate isn't above 0.
    pub fn observe(&mut self, rate_per_s: f64, failed: bool) -> Result<(), CapacityError> {
        if !positive(rate_per_s) {
            return Err(CapacityError::Rate(rate_per_s));
        }
        let mut cells = self.log_likelihood.iter_mut();
        for at in 0..GRID {
            let distance = rate_per_s.ln() - log_share(at) - self.state.saturation_per_s.ln();
            for sigma in SIGMAS {
                let beyond = 0.5 * erfc(-distance / sigma / std::f64::consts::SQRT_2);
                for (gamma, cell) in GAMMAS.into_iter().zip(&mut cells) {
                    let fail = gamma + (1.0 - gamma) * beyond;
                    *cell += if failed { fail.ln() } else { (1.0 - fail).max(f64::MIN_POSITIVE).ln() };
                }
            }
        }
        self.state.trials.push(CapacityTrial { rate_per_s, failed });
        Ok(())
    }

    /// The rate at which to confirm, the interval's lower end, in requests per second; `None` while the search goes on, once
    /// two trials have passed or two have failed, or when there is nothing to confirm.
    pub fn confirmation_rate(&self) -> Option<f64> {
        let (passed, failed) = self.confirmations();
        let decided = passed >= CONFIRMED || failed > CONFIRMATIONS - CONFIRMED;
        (self.over() && !decided && self.edge().is_none()).then(|| self.quantile(0.025))
    }

    /// Trials at the lower end that passed, and that failed.
    fn confirmations(&self) -> (usize, usize) {
        let failed = self.state.confirmations.iter().filter(|failed| **failed).count();
        (self.state.confirmations.len() - failed, failed)
    }

    /// Takes in a trial at the confirmation's rate.
    pub fn confirm(&mut self, failed: bool) {
        self.state.confirmations.push(failed);
    }

    /// Whether no further trial of the search is needed. Confirmations may be.
    pub fn over(&self) -> bool {
        let trials = self.state.trials.len();
        trials >= MOST_TRIALS || trials >= FEWEST_TRIALS && self.half_width() <= HALF_WIDTH
    }

    /// What the trials say.
    pub fn result(&self) -> CapacityResult {
        let edge = self.edge();
        let outcome = self.outcome(edge);
        let [low, median, high] = [0.025, 0.5, 0.975].map(|quantile| self.quantile(quantile));
        let within = |end: f64, not: CapacityOutcome| (edge != Some(not)).then_some(end);
        let (passed, failed) = self.confirmations();
        CapacityResult {
            outcome,
            capacity_per_s: edge.is_none().then_some(median),
            low_per_s: within(low, CapacityOutcome::BelowRange),
            high_per_s: within(high, CapacityOutcome::AboveRange),
            edge: self.mean(|cell| SIGMAS[cell / GAMMAS.len()]),
            chance: self.mean(|cell| GAMMAS[cell % GAMMAS.len()]),
            trials: self.state.trials.len() as u32,
            confirmed: (passed as u32, (passed + failed) as u32),
            reason: self.reason(outcome, low, high),
        }
    }

    fn outcome(&self, edge: Option<CapacityOutcome>) -> CapacityOutcome {
        let (passed, failed) = self.confirmations();
        match edge {
            _ if !self.over() => CapacityOutcome::Unfinished,
            Some(edge) => edge,
            None if failed > CONFIRMATIONS - CONFIRMED => CapacityOutcome::NotConfirmed,
            None if passed < CONFIRMED => CapacityOutcome::Unfinished,
            None if self.half_width() > HALF_WIDTH => CapacityOutcome::Wide,
            None => CapacityOutcome::Found,
        }
    }

    fn reason(&self, outcome: CapacityOutcome, low: f64, high: f64) -> String {
        let (trials, saturation) = (self.state.trials.len(), self.state.saturation_per_s);
        match outcome {
            CapacityOutcome::Unfinished if self.over() => {
                format!("to be confirmed at {low:.0} requests/s")
            }
            CapacityOutcome::Unfinished => format!("trials so far: {trials}; more are needed"),
            CapacityOutcome::Found => {
                format!("within {:.1} % after {trials} trials", self.half_width() * 100.0)
            }
            CapacityOutcome::Wide => {
                format!("only within {:.1} % after {trials} trials", self.half_width() * 100.0)
            }
            CapacityOutcome::NotConfirmed => {
                format!(
                    "fewer than {CONFIRMED} of {CONFIRMATIONS} trials at {low:.0} requests/s passed: the edge is soft (about {:.0} % to either side), or the server changed",
                    self.mean(|cell| SIGMAS[cell / GAMMAS.len()]) * 200.0
                )
            }
            CapacityOutcome::BelowRange => format!(
                "under {high:.0} requests/s, and trials begin at {:.0} (a fifth of the saturated throughput)",
                saturation * LOWEST
            ),
            CapacityOutcome::AboveRange => format!(
                "over {low:.0} requests/s, and trials end at {:.0} ({HIGHEST} times the saturated throughput, which was too low: search again)",
                saturation * HIGHEST
            ),
        }
    }

    /// Where the central 95 % touch an end of the grid, there is no telling what lies beyond.
    fn edge(&self) -> Option<CapacityOutcome> {
        let cdf = self.cdf();
        match (cdf[0] >= 0.025, 1.0 - cdf[GRID - 2] >= 0.025) {
            (true, _) => Some(CapacityOutcome::BelowRange),
            (false, true) => Some(CapacityOutcome::AboveRange),
            (false, false) => None,
        }
    }

    /// Half of the central 95 % on the logarithm: about a share of C.
    fn half_width(&self) -> f64 {
        (self.quantile(0.975) / self.quantile(0.025)).ln() / 2.0
    }

    /// Quantile (0..1) of the capacity's posterior, in requests per second. Each value of the grid stands for the stretch around it.
    pub fn quantile(&self, probability: f64) -> f64 {
        self.quantile_of(&self.cdf(), probability)
    }

    /// `count` values of the capacity's posterior in random order, in requests per second, evenly spread over its probability.
    pub fn draws(&self, count: usize, rng: &mut impl Rng) -> Vec<f64> {
        let cdf = self.cdf();
        let middle = |at: usize| (at as f64 + 0.5) / count as f64;
        let mut draws: Vec<f64> = (0..count).map(|at| self.quantile_of(&cdf, middle(at))).collect();
        draws.shuffle(rng);
        draws
    }

    fn quantile_of(&self, cdf: &[f64], probability: f64) -> f64 {
        let at = cdf.iter().position(|mass| *mass >= probability).unwrap_or(GRID - 1);
        let before = if at == 0 { 0.0 } else { cdf[at - 1] };
        let part = (probability - before) / (cdf[at] - before).max(f64::MIN_POSITIVE);
        let log = log_share(at) + step() * (part - 0.5);
        log.clamp(LOWEST.ln(), HIGHEST.ln()).exp() * self.state.saturation_per_s
    }

    /// Posterior mean of something of σ and γ, whose cells of one C are counted through.
    fn mean(&self, of: impl Fn(usize) -> f64) -> f64 {
        let most = self.log_likelihood.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let cells = self.log_likelihood.iter().enumerate();
        let (mut sum, mut weights) = (0.0, 0.0);
        for (at, log) in cells {
            let weight = (log - most).exp();
            sum += weight * of(at % (SIGMAS.len() * GAMMAS.len()));
            weights += weight;
        }
        sum / weights
    }

    /// Posterior probability of each value of C or a smaller one.
    fn cdf(&self) -> Vec<f64> {
        let most = self.log_likelihood.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut sum = 0.0;
        let per_value = self.log_likelihood.chunks(SIGMAS.len() * GAMMAS.len()).map(|cells| {
            sum += cells.iter().map(|cell| (cell - most).exp()).sum::<f64>();
            sum
        });
        let cdf: Vec<f64> = per_value.collect();
        cdf.into_iter().map(|mass| mass / sum).collect()
    }
}

fn positive(value: f64) -> bool {
    value.is_finite() && value > 0.0
}

fn step() -> f64 {
    (HIGHEST / LOWEST).ln() / (GRID - 1) as f64
}

/// Logarithm of a value of C over the saturated throughput.
fn log_share(at: usize) -> f64 {
    LOWEST.ln() + step() * at as f64
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const SATURATION: f64 = 1_000.0;

    fn fails(rng: &mut ChaCha8Rng, rate: f64, (c, sigma, gamma): (f64, f64, f64)) -> bool {
        let beyond = 0.5 * erfc(-(rate / c).ln() / sigma / std::f64::consts::SQRT_2);
        rng.random::<f64>() < gamma + (1.0 - gamma) * beyond
    }

    fn search(rng: &mut ChaCha8Rng, truth: (f64, f64, f64)) -> Search {
        let mut search = Search::new(SATURATION).unwrap();
        while let Some(rate) = search.next_rate() {
            let failed = fails(rng, rate, truth);
            search.observe(rate, failed).unwrap();
        }
        while let Some(rate) = search.confirmation_rate() {
            search.confirm(fails(rng, rate, truth));
        }
        search
    }

    #[test]
    fn the_interval_covers_the_truth_and_trials_are_within_their_bounds() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let runs = 120;
        let mut all = 0;
        let truths = [
            (700.0, 0.004, 0.01),
            (903.0, 0.008, 0.05),
            (512.3, 0.015, 0.01),
            (850.0, 0.02, 0.1),
            (640.0, 0.03, 0.05),
            (950.0, 0.05, 0.02),
            (777.0, 0.01, 0.2),
        ];
        for truth in truths {
            let (mut covered, mut trials, mut found, mut unconfirmed) = (0, 0, 0, 0);
            for _ in 0..runs {
                let result = search(&mut rng, truth).result();
                assert!((FEWEST_TRIALS..=MOST_TRIALS).contains(&(result.trials as usize)));
                trials += result.trials;
                found += u32::from(result.outcome == CapacityOutcome::Found);
                unconfirmed += u32::from(result.outcome == CapacityOutcome::NotConfirmed);
                covered += u32::from(
                    result.low_per_s.is_none_or(|low| low <= truth.0)
                        && result.high_per_s.is_none_or(|high| high >= truth.0),
                );
            }
            println!(
                "{truth:?}: covered {covered}, found {found}, not confirmed {unconfirmed} of {runs}; {:.1} trials",
                f64::from(trials) / f64::from(runs)
            );
            all += covered;
            // 90 % less two standard errors of so many runs.
            assert!(covered * 1000 >= runs * 845, "{truth:?}: {covered} of {runs}");
        }
        let runs = runs * truths.len() as u32;
        assert!(all * 100 >= runs * 94, "{all} of {runs}");
    }

    /// Whether the p99 of three seconds of a queue with Poisson arrivals and exponential service of 1 ms is over 50 ms. It is
    /// full or empty as queues are: not what the model of the search says.
    fn queue_fails(rng: &mut ChaCha8Rng, rate: f64) -> bool {
        let mut exponential = |mean: f64| -mean * (1.0 - rng.random::<f64>()).ln();
        let (mut now, mut free, mut slow, mut requests) = (0.0, 0.0f64, 0, 0);
        while now < 3.0 {
            now += exponential(1.0 / rate);
            free = free.max(now) + exponential(0.001);
            slow += u32::from(free - now > 0.050);
            requests += 1;
        }
        slow * 100 > requests
    }

    #[test]
    fn the_capacity_of_a_queue() {
        let mut rng = ChaCha8Rng::seed_from_u64(31);
        // Where half of its trials fail, by 400 trials at each step of half a percent.
        let rates = (0..20).map(|step| 925.0 * 1.005f64.powi(step));
        let truth = rates
            .into_iter()
            .find(|rate| (0..400).filter(|_| queue_fails(&mut rng, *rate)).count() >= 200)
            .unwrap();
        let runs = 60;
        let (mut covered, mut off) = (0, 0f64);
        for _ in 0..runs {
            let mut search = Search::new(SATURATION).unwrap();
            while let Some(rate) = search.next_rate() {
                let failed = queue_fails(&mut rng, rate);
                search.observe(rate, failed).unwrap();
            }
            let [low, median, high] = [0.025, 0.5, 0.975].map(|quantile| search.quantile(quantile));
            covered += u32::from(low <= truth && truth <= high);
            off += (median / truth).ln() / f64::from(runs);
        }
        println!("truth {truth:.0}: covered {covered} of {runs}, off by {:.2} % on average", off * 100.0);
        assert!(covered * 100 >= runs * 85, "{covered} of {runs}");
        assert!(off.abs() < 0.01, "{off}");
    }

    #[test]
    fn the_softness_of_the_edge_is_told() {
        let mut rng = ChaCha8Rng::seed_from_u64(13);
        let mut edge = |sigma: f64| {
            let all: f64 = (0..10).map(|_| search(&mut rng, (700.0, sigma, 0.01)).result().edge).sum();
            all / 10.0
        };
        let (sharp, soft) = (edge(0.004), edge(0.06));
        assert!(sharp < 0.015 && soft > 0.03, "{sharp} {soft}");
    }

    #[test]
    fn outside_the_range_there_is_no_number() {
        for (failed, outcome, words) in [
            (true, CapacityOutcome::BelowRange, "trials begin at"),
            (false, CapacityOutcome::AboveRange, "search again"),
        ] {
            let mut search = Search::new(SATURATION).unwrap();
            while let Some(rate) = search.next_rate() {
                search.observe(rate, failed).unwrap();
            }
            let result = search.result();
            assert_eq!((result.outcome, result.capacity_per_s), (outcome, None));
            assert!(result.reason.contains(words), "{}", result.reason);
            assert_eq!(search.confirmation_rate(), None);
            assert_eq!((result.low_per_s.is_none(), result.high_per_s.is_none()), (failed, !failed));
        }
    }

    #[test]
    fn a_search_goes_on_in_another_session() {
        let truth = (600.0, 0.008, 0.05);
        let whole = search(&mut ChaCha8Rng::seed_from_u64(9), truth);
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        let mut parts = Search::new(SATURATION).unwrap();
        while let Some(rate) = parts.next_rate() {
            parts.observe(rate, fails(&mut rng, rate, truth)).unwrap();
            let kept = serde_json::to_string(parts.state()).unwrap();
            parts = Search::resume(serde_json::from_str(&kept).unwrap()).unwrap();
        }
        assert_eq!(parts.state().trials, whole.state().trials);
        assert_eq!(parts.result().outcome, CapacityOutcome::Unfinished);
        assert_eq!(parts.result().capacity_per_s, whole.result().capacity_per_s);
    }

    #[test]
    fn two_of_three_must_pass_at_the_lower_end() {
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        let mut done = search(&mut rng, (600.0, 0.004, 0.01));
        assert_eq!(done.result().outcome, CapacityOutcome::Found);
        assert_eq!(done.result().confirmed.0, 2);
        done.state.confirmations = vec![true, false, true];
        assert_eq!((done.result().outcome, done.result().confirmed), (CapacityOutcome::NotConfirmed, (1, 3)));
        done.state.confirmations = vec![true, false];
        assert_eq!(done.result().outcome, CapacityOutcome::Unfinished);
        assert_eq!(done.confirmation_rate(), done.result().low_per_s);
    }

    #[test]
    fn refuses_what_is_no_rate() {
        assert_eq!(Search::new(0.0).unwrap_err(), CapacityError::Saturation(0.0));
        assert_eq!(Search::new(SATURATION).unwrap().observe(-1.0, true), Err(CapacityError::Rate(-1.0)));
    }
}
