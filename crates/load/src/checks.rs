//! The engine's checks of itself (METHOD, section 2), pure functions of what it counted. G3 and G7 need send
//! times and kernel timestamps, which come with the next engine.

use dyno_model::load::SliceOutcome;

/// A check that failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Failed {
    /// Which check, for instance `G1`.
    pub id: &'static str,
    /// What was seen, with figures.
    pub text: String,
}

/// Largest share of its core that the generator may use (G4).
const BUSIEST: f64 = 0.70;
/// Largest share of the time that the generator may wait for its core (G4).
const LONGEST_WAIT: f64 = 0.01;
/// Largest error of Little's law (G5).
const LITTLE: f64 = 0.02;

/// G1: every request of the schedule was sent, and every one sent has an outcome.
pub fn g1(outcome: &SliceOutcome) -> Option<Failed> {
    let counts = outcome.counts;
    let whole = counts.planned == counts.sent + counts.not_sent
        && counts.sent == counts.completed + counts.failed.total()
        && counts.not_sent == 0;
    let text = format!(
        "planned {}, sent {}, not sent {}, answered {}, failed {}",
        counts.planned,
        counts.sent,
        counts.not_sent,
        counts.completed,
        counts.failed.total()
    );
    (!whole).then_some(Failed { id: "G1", text })
}

/// G2: how much the percentile `quantile` (0..=1) would fall if the generator had never been late, as a share of
/// it. `None` when nothing was measured.
pub fn g2_share(outcome: &SliceOutcome, quantile: f64) -> Option<f64> {
    let with_ns = outcome.latency.quantile_ns(quantile)? as f64;
    let without_ns = outcome.latency_less_late.quantile_ns(quantile)? as f64;
    Some(1.0 - without_ns / with_ns)
}

/// G4: the generator had its core to itself and wasn't the limit, over `length_ns` of wall time.
pub fn g4(outcome: &SliceOutcome, length_ns: u64) -> Option<Failed> {
    let share = outcome.generator_cpu_ns as f64 / length_ns as f64;
    let wait = outcome.generator_wait_ns as f64 / length_ns as f64;
    let text = format!(
        "the generator used {:.0} % of its core and waited {:.1} % of the time for it",
        share * 100.0,
        wait * 100.0
    );
    (share >= BUSIEST || wait >= LONGEST_WAIT).then_some(Failed { id: "G4", text })
}

/// G5, Little's law: the integral of requests in flight is the sum of their latencies.
pub fn g5(outcome: &SliceOutcome) -> Option<Failed> {
    if outcome.latency_sum_ns == 0 {
        return None;
    }
    let error = (outcome.in_flight_ns as f64 / outcome.latency_sum_ns as f64 - 1.0).abs();
    let text = format!("requests in flight and latencies differ by {:.1} %", error * 100.0);
    (error >= LITTLE).then_some(Failed { id: "G5", text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome() -> SliceOutcome {
        let mut outcome = crate::recorder::Recorder::default().outcome(1, 0, 0);
        outcome.counts.planned = 10;
        outcome.counts.sent = 10;
        outcome.counts.completed = 10;
        outcome
    }

    #[test]
    fn counts_that_do_not_add_up_are_found() {
        assert_eq!(g1(&outcome()), None);
        let mut lost = outcome();
        lost.counts.completed = 9;
        assert_eq!(g1(&lost).unwrap().id, "G1");
    }

    #[test]
    fn a_generator_that_is_the_limit_is_found() {
        let mut busy = outcome();
        busy.generator_cpu_ns = 60;
        assert_eq!(g4(&busy, 100), None);
        busy.generator_cpu_ns = 80;
        assert!(g4(&busy, 100).unwrap().text.contains("80 %"));
    }

    #[test]
    fn a_broken_little_is_found() {
        let mut wrong = outcome();
        (wrong.in_flight_ns, wrong.latency_sum_ns) = (1030, 1000);
        assert!(g5(&wrong).is_some());
        wrong.in_flight_ns = 1010;
        assert_eq!(g5(&wrong), None);
    }
}
