//! The cases pass what is right and find what is planted, on operations that need no database.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{collections::BTreeMap, path::Path};

use dyno_contract::{Cases, Proof, Subject, Truth, prove};
use dyno_model::{Operation, StackName, check::CheckOutcome};
use dyno_testkit::{FakeServer, Reply, Seen};

/// Answers fibonacci, version and an unknown path rightly.
fn right(seen: &Seen) -> Reply {
    let json = |status, text: &str| Reply::Answer(status, "application/json", text.as_bytes().to_vec());
    match seen.target.as_str() {
        "/version" => json(200, "{ \"version\" : \"1.0.0\" }"),
        "/fibonacci/0" | "/fibonacci/1" => json(200, "{\"result\": 1}"),
        "/fibonacci/20" => json(200, "{\"result\": 10946}"),
        target if target.starts_with("/fibonacci/") => json(422, "{\"detail\": \"n\"}"),
        _ => Reply::Answer(404, "text/plain", b"not found".to_vec()),
    }
}

fn proof_of(behaviour: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Proof {
    let server = FakeServer::start(behaviour);
    let stack: StackName = "fake/fake".parse().unwrap();
    let cases = Cases::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contract")).unwrap();
    let tried = [Operation::Version, Operation::Fibonacci];
    let not_offered: BTreeMap<Operation, String> = Operation::ALL
        .into_iter()
        .filter(|operation| !tried.contains(operation))
        .map(|operation| (operation, "this fake has no database".to_owned()))
        .collect();
    let subject =
        Subject { stack: &stack, address: server.address(), not_offered: &not_offered, openapi: None };
    prove(subject, &cases, &Truth::default(), "postgres://nobody@127.0.0.1:1/none", &mut |_| true)
}

fn failure_of(proof: &Proof) -> Option<String> {
    let failed = proof.rows.iter().find(|row| row.outcome == CheckOutcome::Fail);
    failed.map(|row| format!("{}: {}", row.operation, row.detail))
}

#[test]
fn what_is_right_passes_and_what_is_not_offered_says_why() {
    let proof = proof_of(right);
    assert_eq!(failure_of(&proof), None);
    assert_eq!(proof.rows.len(), Operation::ALL.len());
    let passed = proof.rows.iter().filter(|row| row.outcome == CheckOutcome::Pass).count();
    assert_eq!(passed, 2);
    assert_eq!(proof.rows[0].detail, "this fake has no database");
}

#[test]
fn planted_mistakes_are_found_and_told_with_request_and_place() {
    type Plant = (&'static str, fn(&Seen) -> Reply, &'static str);
    let plants: [Plant; 5] = [
        (
            "/fibonacci/20",
            |_| Reply::Answer(200, "application/json", b"{\"result\": 6765}".to_vec()),
            "$.result is 6765 instead of 10946",
        ),
        (
            "/fibonacci/35",
            |_| Reply::Answer(200, "application/json", b"{\"result\": 1}".to_vec()),
            "status 200 instead of [422]",
        ),
        ("/fibonacci/-1", |_| Reply::Answer(422, "application/json", b"{}".to_vec()), "no `detail`"),
        (
            "/version",
            |_| Reply::Answer(200, "text/plain", b"{\"version\": \"1.0.0\"}".to_vec()),
            "content type \"text/plain\"",
        ),
        (
            "/no/such/path",
            |_| Reply::Answer(200, "text/plain", b"welcome".to_vec()),
            "status 200 instead of [404]",
        ),
    ];
    for (target, plant, words) in plants {
        let proof = proof_of(move |seen| if seen.target == target { plant(seen) } else { right(seen) });
        let failure = failure_of(&proof).unwrap();
        assert!(failure.contains(target) && failure.contains(words), "{failure}");
    }
}
