//! Asking a stack steadily while its database goes away and comes back, and what is to be said of it. Starts and stops
//! nothing itself.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use dyno_model::{
    StackName,
    check::{Recovery, RecoveryOutcome},
};

use crate::{http::Client, traffic::Traffic};

/// From one ask to the next: 50 a second.
const PACE: Duration = Duration::from_millis(20);
/// Asks that wait for an answer at once, at most, as from a front with so many connections. A server works off what it
/// has queued for clients that gave up long ago: without a limit a slow stack on a busy machine would never catch up
/// with the pace, which says nothing of its database.
const MOST_WAITING: usize = 32;
/// Longer without an answer is a hang.
const PATIENCE: Duration = Duration::from_secs(5);
/// The right answer, as it is counted.
const RIGHT: &str = "200";
/// What an app is to refuse with while its database is away, as it is counted.
const REFUSED: &str = "503";

/// What came of one ask; times are since the watch began.
#[derive(Clone, Debug)]
pub struct Seen {
    /// When it was asked.
    pub asked: Duration,
    /// When it was answered, or given up.
    pub done: Duration,
    /// `200` when right, else `wrong`, another status, `503 without a detail`, `hang`, or what broke.
    pub what: String,
}

/// Everything that is seen of one stack.
#[derive(Debug)]
pub struct Watch {
    begun: Instant,
    seen: Mutex<Vec<Seen>>,
}

impl Default for Watch {
    fn default() -> Self {
        Self { begun: Instant::now(), seen: Mutex::default() }
    }
}

impl Watch {
    /// Time since it began.
    pub fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Asks on a connection each, at a steady pace whatever comes back while not too many wait, until `stop`; returns
    /// when all are answered.
    pub fn ask(&self, address: SocketAddr, traffic: &[Traffic], stop: &AtomicBool) {
        let waiting = &AtomicUsize::new(0);
        thread::scope(|scope| {
            for one in traffic.iter().cycle() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                // Only this thread adds to it.
                if waiting.load(Ordering::Relaxed) < MOST_WAITING {
                    waiting.fetch_add(1, Ordering::Relaxed);
                    scope.spawn(move || {
                        self.one(address, one);
                        waiting.fetch_sub(1, Ordering::Relaxed);
                    });
                }
                thread::sleep(PACE);
            }
        });
    }

    fn one(&self, address: SocketAddr, traffic: &Traffic) {
        let asked = self.now();
        let answer = Client::patient(address, PATIENCE).ask("GET", &traffic.target, None);
        let done = self.now();
        let what = match answer {
            Ok(answer) if answer.status == 200 && traffic.judge(200, &answer.body).is_err() => {
                "wrong".to_owned()
            }
            Ok(answer) if answer.status == 503 && !has_detail(&answer.body) => {
                format!("{REFUSED} without a detail")
            }
            Ok(answer) => answer.status.to_string(),
            Err(_) if done - asked >= PATIENCE => "hang".to_owned(),
            Err(error) => error,
        };
        if let Ok(mut seen) = self.seen.lock() {
            seen.push(Seen { asked, done, what });
        }
    }

    /// Whether every ask since `from` was answered rightly, and there were some.
    pub fn steady(&self, from: Duration) -> bool {
        let Ok(seen) = self.seen.lock() else { return false };
        let mut since = seen.iter().filter(|one| one.done >= from).peekable();
        since.peek().is_some() && since.all(|one| one.what == RIGHT)
    }

    /// What is to be said, once the asking has ended: the database was away from `gone` to `back`.
    pub fn tell(&self, stack: &StackName, gone: Duration, back: Duration, steady: bool) -> Recovery {
        let seen = self.seen.lock().map(|seen| seen.clone()).unwrap_or_default();
        sentence(stack, &seen, gone, back, steady)
    }
}

/// Whether a refusal is the contract's: a JSON object with `detail`.
fn has_detail(body: &[u8]) -> bool {
    serde_json::from_slice(body).is_ok_and(|body: serde_json::Value| body.get("detail").is_some())
}

/// Whether what was refused was refused with 503 alone; nothing where nothing was. A note, no failure: what is
/// judged is whether the stack comes back. What hangs or breaks isn't an answer.
fn refusals(away: &BTreeMap<String, u64>) -> &'static str {
    let answered =
        |what: &&String| what.starts_with(|first: char| first.is_ascii_digit()) || *what == "wrong";
    let refused: Vec<&String> = away.keys().filter(|what| *what != RIGHT).filter(answered).collect();
    if refused.is_empty() {
        ""
    } else if refused.iter().all(|what| *what == REFUSED) {
        " (refused with 503 alone)"
    } else {
        " (refused not with 503 alone)"
    }
}

fn sentence(stack: &StackName, seen: &[Seen], gone: Duration, back: Duration, steady: bool) -> Recovery {
    let count = |from: Duration, to: Duration| {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for one in seen.iter().filter(|one| from <= one.asked && one.asked < to) {
            *counts.entry(one.what.clone()).or_default() += 1;
        }
        counts
    };
    let after = |one: &&Seen| one.asked >= back;
    let first = seen.iter().filter(after).filter(|one| one.what == RIGHT).map(|one| one.done).min();
    let right_after_s = first.map(|done| (done - back).as_secs_f64());
    let last_wrong = seen.iter().filter(after).filter(|one| one.what != RIGHT).map(|one| one.asked).max();
    let wrong_until_s = last_wrong
        .filter(|asked| first.is_some_and(|first| *asked > first))
        .map(|asked| (asked - back).as_secs_f64());
    let (away, back) = (count(gone, back), count(back, Duration::MAX));
    let words = |counts: &BTreeMap<String, u64>| {
        let each: Vec<String> = counts.iter().map(|(what, times)| format!("{times} x {what}")).collect();
        if each.is_empty() { "nothing".to_owned() } else { each.join(", ") }
    };
    let outcome = if steady { RecoveryOutcome::Recovered } else { RecoveryOutcome::DoesNot };
    let mut detail = match right_after_s {
        Some(seconds) => format!("right again after {seconds:.1} s"),
        None => "never right again".to_owned(),
    };
    if let Some(seconds) = wrong_until_s {
        detail += &format!(", the last wrong answer after {seconds:.1} s");
    }
    detail += &format!("; while it was away {}{}; then {}", words(&away), refusals(&away), words(&back));
    Recovery { stack: stack.clone(), outcome, right_after_s, wrong_until_s, away, back, detail }
}

#[cfg(test)]
mod tests {
    use std::{
        io::ErrorKind,
        net::{Ipv4Addr, TcpListener},
    };

    use super::*;
    use crate::traffic::Expected;

    fn seen(list: &[(u64, u64, &str)]) -> Vec<Seen> {
        let at = Duration::from_secs;
        list.iter()
            .map(|(asked, done, what)| Seen { asked: at(*asked), done: at(*done), what: (*what).to_owned() })
            .collect()
    }

    #[test]
    fn what_was_answered_is_told_by_when_it_was_asked() {
        let stack: StackName = "a/b".parse().unwrap();
        let all = seen(&[
            (1, 1, "200"),
            (2, 2, "500"),
            (3, 8, "hang"),
            (5, 5, "503"),
            (7, 7, "503"),
            (8, 9, "200"),
            (10, 10, "500"),
            (11, 11, "200"),
        ]);
        let told = sentence(&stack, &all, Duration::from_secs(2), Duration::from_secs(7), true);
        assert_eq!((told.right_after_s, told.wrong_until_s), (Some(2.0), Some(3.0)));
        assert_eq!(told.outcome, RecoveryOutcome::Recovered);
        assert_eq!(
            told.detail,
            "right again after 2.0 s, the last wrong answer after 3.0 s; while it was away 1 x 500, 1 x 503, 1 x hang \
             (refused not with 503 alone); then 2 x 200, 1 x 500, 1 x 503"
        );
        let told = sentence(&stack, &all[..5], Duration::from_secs(2), Duration::from_secs(7), false);
        assert_eq!((told.outcome, told.right_after_s), (RecoveryOutcome::DoesNot, None));
        assert!(told.detail.starts_with("never right again"), "{}", told.detail);
    }

    #[test]
    fn refusals_are_503_with_a_detail() {
        let note = |list: &[&str]| refusals(&list.iter().map(|what| ((*what).to_owned(), 1)).collect());
        assert_eq!(note(&["200", "503", "hang", "connection reset"]), " (refused with 503 alone)");
        for other in ["500", "503 without a detail", "wrong"] {
            assert_eq!(note(&["200", "503", other]), " (refused not with 503 alone)", "{other}");
        }
        assert_eq!(note(&["200", "hang"]), "");
        assert!(has_detail(br#"{"detail": "away"}"#));
        assert!(
            !has_detail(br#"{"starlette-server": "no database"}"#) && !has_detail(b"Service Unavailable")
        );
    }

    #[test]
    fn no_more_wait_than_the_limit() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let ask = [Traffic { target: "/".to_owned(), expected: Expected::Text(String::new()) }];
        let (watch, stop) = (Watch::default(), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| watch.ask(address, &ask, &stop));
            let waiting: Vec<_> = (0..MOST_WAITING).map(|_| listener.accept().unwrap().0).collect();
            listener.set_nonblocking(true).unwrap();
            thread::sleep(PACE * 10);
            assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
            // Those who wait are let go, and then others are asked.
            drop(waiting);
            listener.set_nonblocking(false).unwrap();
            assert!(listener.accept().is_ok());
            stop.store(true, Ordering::Relaxed);
        });
        assert!(watch.seen.lock().unwrap().len() > MOST_WAITING);
    }

    #[test]
    fn steady_needs_answers_and_only_right_ones() {
        let watch = Watch::default();
        assert!(!watch.steady(Duration::ZERO));
        *watch.seen.lock().unwrap() = seen(&[(1, 2, "500"), (3, 4, "200")]);
        assert!(watch.steady(Duration::from_secs(3)) && !watch.steady(Duration::from_secs(2)));
        assert!(!watch.steady(Duration::from_secs(5)));
    }
}
