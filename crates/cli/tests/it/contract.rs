//! The stacks of the default plan, and the plain one, answer the contract.

use std::{collections::BTreeSet, process::Output};

use dyno_model::{Operation, check::CheckOutcome, output::CheckOutput};

use crate::bench::{Bench, PLAIN, plain_parts, real_parts, text};

fn passed(output: &Output) -> CheckOutput {
    let told: CheckOutput =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
    let failed: Vec<_> = told.rows.iter().filter(|row| row.outcome == CheckOutcome::Fail).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    told
}

#[test]
fn every_stack_of_the_default_plan_answers_the_contract() {
    let CheckOutput { rows, differences, recovery } = passed(real_parts());
    let stacks: BTreeSet<String> = rows.iter().map(|row| row.stack.to_string()).collect();
    assert_eq!((stacks.len(), rows.len()), (8, 8 * Operation::ALL.len()));
    let counted = rows.iter().filter(|row| row.detail.contains("3 statements each")).count();
    assert_eq!(counted, 16, "a page is three statements, both ways, in every stack");
    let done = rows.iter().filter(|row| row.operation == Operation::TaskResult);
    let done = done.filter(|row| row.outcome == CheckOutcome::Pass).count();
    assert_eq!(done, 7, "tasks of every Python stack are done by its worker");
    let documented: BTreeSet<&str> = differences.iter().map(|one| one.stack.app.as_str()).collect();
    assert!(documented.iter().all(|app| app.starts_with("fastapi-")), "{documented:?}");
    assert_eq!(recovery.len(), 0, "nobody asked for it");
}

#[test]
fn the_plain_stack_answers_what_it_offers() {
    let CheckOutput { rows, .. } = passed(plain_parts());
    let offered = rows.iter().filter(|row| row.outcome == CheckOutcome::Pass);
    let offered: Vec<Operation> = offered.map(|row| row.operation).collect();
    let wanted = [Operation::Heartbeat, Operation::About, Operation::Version, Operation::Fibonacci];
    assert_eq!(offered.len(), wanted.len(), "{rows:#?}");
    assert!(wanted.iter().all(|one| offered.contains(one)), "{offered:?}");
    assert_eq!(Bench::plain().left_over(), Vec::<String>::new(), "of {PLAIN}");
}
