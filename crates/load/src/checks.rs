//! The engine's checks of itself (METHOD, section 2), pure functions of what it counted.

use std::time::Duration;

use dyno_model::{
    load::{Pacing, SliceOutcome},
    output::{SelfCheck, SelfCheckOutcome},
    self_check::{
        self, GENERATOR_BUSIEST, GENERATOR_WAIT, LATE_FAIL, LATE_FLAG, LITTLE, PACING_LIMIT, UNREAD_NS,
        UNREAD_SHARE,
    },
};

use crate::{drive::Driven, schedule::Schedule};

/// A check that failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Failed {
    /// Which check, for instance `G1`.
    pub id: &'static str,
    /// What was seen, with figures.
    pub text: String,
}

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
    (share >= GENERATOR_BUSIEST || wait >= GENERATOR_WAIT).then_some(Failed { id: "G4", text })
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

/// The Anderson-Darling statistic of the gaps between `sends` (nanoseconds since the slice began, in any order) on
/// the scale of expected requests, where a Poisson process of any rate has exponential gaps. `None` for few gaps.
pub fn pacing(sends: &[u64], schedule: &Schedule) -> Option<Pacing> {
    let mut at: Vec<f64> = sends.iter().map(|&send| schedule.expected(send)).collect();
    at.sort_by(f64::total_cmp);
    let gaps: Vec<f64> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    self_check::pacing(&gaps)
}

/// A² grows with the number of gaps however small the difference is; per gap it measures the difference itself. Timers
/// that are late by a fifth of the mean gap stay below the first of these, ticks as long as two gaps are far beyond the
/// second.
const SMALL_MISFIT: f64 = 0.02;
const LARGE_MISFIT: f64 = 0.1;

/// G3: requests go out as a Poisson process does, when the schedule is one.
pub fn g3(outcome: &SliceOutcome) -> Option<Failed> {
    let pacing = outcome.pacing?;
    let text = format!(
        "sending fits no Poisson process: A² = {:.2} over {} gaps, where {PACING_LIMIT} is the limit",
        pacing.a_squared, pacing.gaps
    );
    let misfit = pacing.a_squared / pacing.gaps as f64;
    (pacing.a_squared >= PACING_LIMIT && misfit >= SMALL_MISFIT).then_some(Failed { id: "G3", text })
}

/// G7: answers are done when the kernel received them, or were read soon after.
pub fn g7(outcome: &SliceOutcome) -> Option<Failed> {
    let answers = outcome.counts.completed + outcome.counts.failed.total();
    if outcome.unstamped == 0 || outcome.unstamped * 100 <= answers {
        return None;
    }
    // Without stamps the wait can't be seen; with some, those tell what the others were like.
    let p99_ns = outcome.unread.quantile_ns(0.99)?;
    let p50_ns = outcome.latency.quantile_ns(0.5)? as f64;
    let stamped = answers > outcome.unstamped;
    let small = p99_ns <= UNREAD_NS || p99_ns as f64 <= UNREAD_SHARE * p50_ns;
    let text = format!(
        "{} of {answers} answers have no receive timestamp of the kernel: how long they lay unread isn't known",
        outcome.unstamped
    );
    (!stamped || !small).then_some(Failed { id: "G7", text })
}

/// Everything that the engine can say of itself after a load of `length` (its window, guard and drain), also what speaks
/// for the numbers. `quantiles` (0..=1) are those that are reported.
pub fn examine(driven: &Driven, length: Duration, quantiles: &[f64]) -> Vec<SelfCheck> {
    let outcome = &driven.outcome;
    let mut checks = vec![
        told("G1", g1(outcome), SelfCheckOutcome::Fail, "every request was sent and has an outcome"),
        lateness(outcome, quantiles),
    ];
    checks.push(match outcome.pacing {
        None => not_made("G3", "no Poisson arrivals, or too few of them"),
        Some(pacing) => {
            let misfit = pacing.a_squared / pacing.gaps as f64;
            let outcome_of =
                if misfit >= LARGE_MISFIT { SelfCheckOutcome::Fail } else { SelfCheckOutcome::Flag };
            let right = format!("requests went out as a Poisson process does (A² = {:.2})", pacing.a_squared);
            let mut check = told("G3", g3(outcome), outcome_of, &right);
            if let Some(most_ns) = outcome.gathered.max_ns() {
                let us = most_ns as f64 / 1e3;
                check.words += &format!(", but for what was gathered: up to {us:.0} us after the schedule");
            }
            check
        }
    });
    let length_ns = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX).max(1);
    let busiest = driven.threads.iter().max_by_key(|one| one.generator_cpu_ns).unwrap_or(outcome);
    let share = busiest.generator_cpu_ns as f64 / length_ns as f64 * 100.0;
    // A closed loop takes what it can get: its rate is then what both could do together.
    let busy = if outcome.late.count() > 0 { SelfCheckOutcome::Fail } else { SelfCheckOutcome::Flag };
    let right = format!("the generator used {share:.0} % of its core and didn't wait for it");
    checks.push(told("G4", driven.threads.iter().find_map(|one| g4(one, length_ns)), busy, &right));
    checks.push(told("G5", g5(outcome), SelfCheckOutcome::Fail, "requests in flight agree with latencies"));
    let right = "the kernel's receive timestamps say when answers came, or they were read at once";
    checks.push(told("G7", g7(outcome), SelfCheckOutcome::Flag, right));
    let words = "whether the server was the limit isn't known: dyno didn't start it (dyno run knows)";
    checks.push(not_made("G8", words));
    checks
}

fn check(id: &str, outcome: SelfCheckOutcome, words: String) -> SelfCheck {
    SelfCheck { id: id.to_owned(), outcome, words }
}

fn not_made(id: &str, words: &str) -> SelfCheck {
    check(id, SelfCheckOutcome::NotMade, words.to_owned())
}

fn told(id: &str, failed: Option<Failed>, outcome: SelfCheckOutcome, right: &str) -> SelfCheck {
    match failed {
        Some(failed) => check(id, outcome, failed.text),
        None => check(id, SelfCheckOutcome::Pass, right.to_owned()),
    }
}

/// G2 over the reported percentiles: under 1 % passes, over 5 % fails.
fn lateness(outcome: &SliceOutcome, quantiles: &[f64]) -> SelfCheck {
    if outcome.late.count() == 0 {
        return not_made("G2", "a closed loop has no schedule to be late for");
    }
    let shares = quantiles.iter().filter_map(|&quantile| Some((quantile, g2_share(outcome, quantile)?)));
    let Some((quantile, share)) = shares.max_by(|a, b| a.1.total_cmp(&b.1)) else {
        return not_made("G2", "nothing was measured");
    };
    let found = match share {
        share if share > LATE_FAIL => SelfCheckOutcome::Fail,
        share if share > LATE_FLAG => SelfCheckOutcome::Flag,
        _ => SelfCheckOutcome::Pass,
    };
    let words = format!(
        "at most {:.1} % of a percentile is the generator's own lateness (p{})",
        share * 100.0,
        quantile * 100.0
    );
    check("G2", found, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome() -> SliceOutcome {
        let mut outcome = crate::recorder::Recorder::default().outcome(1);
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

    /// METHOD, part IV: a schedule in ticks of 2 ms must fail; the jitter of a real timer may not.
    #[test]
    fn sending_in_ticks_is_no_poisson_process_and_a_little_late_still_is() {
        let rate = dyno_model::Rate::new_per_s(1000.0).unwrap();
        let schedule = Schedule::poisson(rate, Duration::from_secs(10), 1, 3);
        let sends: Vec<u64> = schedule.clone().map(|due| due.at_ns).collect();
        let found = |sends: &[u64]| {
            let mut outcome = outcome();
            outcome.pacing = pacing(sends, &schedule);
            g3(&outcome).map(|_| outcome.pacing.unwrap().a_squared / outcome.pacing.unwrap().gaps as f64)
        };
        assert_eq!(found(&sends), None);
        let late: Vec<u64> = sends.iter().map(|at| at + 30_000 + at % 50_000).collect();
        assert_eq!(found(&late), None);
        let ticks: Vec<u64> = sends.iter().map(|at| at.next_multiple_of(2_000_000)).collect();
        assert!(found(&ticks).unwrap() > LARGE_MISFIT);
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
