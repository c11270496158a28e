//! What is known while a run goes on: a row for each stack, its throughput over the baseline's in each operation.

use dyno_analyse::Analysis;
use dyno_model::{
    Operation, StackName,
    output::{Comparison, Metric, Verdict},
    record::Run,
};

use crate::figures::number;

/// Columns of one operation.
const COLUMN: usize = 24;

/// A head, a line for each stack, and who is fastest where that is known. A stack's line has its ratio with the interval that its blocks
/// give: `=` is a tie, `?` not yet decided, `!` no verdict.
pub fn so_far(run: &Run, analysis: &Analysis) -> Vec<String> {
    let others: Vec<&StackName> = run
        .prepared
        .iter()
        .map(|one| &one.stack)
        .filter(|stack| **stack != run.plan.baseline && Some(*stack) != run.plan.design.canary.as_ref())
        .collect();
    let width = others.iter().map(|stack| stack.to_string().len()).max().unwrap_or(0).max(24);
    let names = run.plan.operations.iter().map(|operation| format!("{:<COLUMN$}", operation.name()));
    let title = format!("after {} blocks", analysis.blocks);
    let mut lines = vec![
        format!("throughput over {}, 95 % intervals; ? not decided yet", run.plan.baseline),
        format!("  {title:<width$}  {}", names.collect::<String>().trim_end()),
    ];
    for stack in others {
        let cells = run
            .plan
            .operations
            .iter()
            .map(|&operation| format!("{:<COLUMN$}", cell(analysis, stack, operation)));
        lines.push(format!("  {:<width$}  {}", stack.to_string(), cells.collect::<String>().trim_end()));
    }
    // Where the numbers decide when a run ends, only its looks may say who is faster.
    if !run.plan.design.looks {
        lines.push(format!("  {:<width$}  {}", "fastest", fastest(run, analysis).trim_end()));
    }
    lines
}

/// The stack of each operation whose rank is surely the first; a dash where none is yet.
fn fastest(run: &Run, analysis: &Analysis) -> String {
    let first = |operation: Operation| {
        let found = analysis.results.iter().find(|one| {
            one.operation == operation && one.metric == Metric::Throughput && one.rank == Some((1, 1))
        });
        found.map_or_else(|| "–".to_owned(), |one| one.stack.to_string())
    };
    run.plan.operations.iter().map(|&operation| format!("{:<COLUMN$}", first(operation))).collect()
}

fn cell(analysis: &Analysis, stack: &StackName, operation: Operation) -> String {
    let found =
        |one: &&Comparison| one.a == *stack && one.operation == operation && one.metric == Metric::Throughput;
    let Some(one) = analysis.comparisons.iter().find(found) else { return "–".to_owned() };
    let mark = match one.verdict {
        Verdict::Different => "",
        Verdict::NoDifference => " =",
        Verdict::Inconclusive => " ?",
        Verdict::NoVerdict => " !",
    };
    match one.low.zip(one.high) {
        Some((low, high)) => format!("{} [{}, {}]{mark}", number(one.ratio), number(low), number(high)),
        None => format!("{} [?]{mark}", number(one.ratio)),
    }
}

#[cfg(test)]
mod tests {
    use dyno_analyse::{analyse, synthetic};

    use super::*;

    #[test]
    fn a_row_for_each_stack_with_its_interval_and_what_is_undecided() {
        let stacks = [("flask/gunicorn", 1000.0), ("flask/waitress", 1000.0), ("go-bun/go", 3000.0)];
        let run = synthetic::run(&stacks);
        let lines = |noise, count| {
            let blocks = synthetic::blocks(&run, &stacks.map(|(_, rate)| rate), count, noise);
            so_far(&run, &analyse(&run, &blocks))
        };
        let calm = lines(0.005, 8);
        assert!(calm[0].contains("over flask/gunicorn") && calm[1].contains("after 8 blocks"), "{calm:?}");
        assert!(calm[2].contains("flask/waitress") && calm[2].contains("] ="), "{calm:?}");
        assert!(calm[3].contains("go-bun/go") && !calm[3].contains('?'), "{calm:?}");
        assert!(calm[4].contains("fastest") && calm[4].contains("go-bun/go"), "{calm:?}");
        assert!(!lines(0.01, 2)[4].contains("go-bun/go"), "two blocks know no winner");
        assert!(lines(0.3, 4)[2].contains("] ?"), "{:?}", lines(0.3, 4));
        assert!(lines(0.01, 2)[2].contains("[?] !"), "two blocks have no interval: {:?}", lines(0.01, 2));
    }
}
