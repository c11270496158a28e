//! What the figures rest on: servers' own statistics, what couldn't run, checks, method, machine, commands.

use dyno_analyse::Analysis;
use dyno_model::{
    output::SelfCheckOutcome,
    record::{NotRun, NotRunKind, PreparedStack, Run},
};
use maud::{Markup, html};

use crate::{csv::Sheet, figures::outcome};

/// What servers say of themselves.
pub fn servers(analysis: &Analysis) -> Markup {
    let mut sheet = Sheet::new(&["stack", "operation", "least_busy", "most_busy", "most_queued", "slices"]);
    for one in &analysis.servers {
        let numbers = [one.busy.0, one.busy.1].map(crate::csv::cell);
        let begin = [one.stack.to_string(), one.operation.to_string()];
        sheet.push(begin.into_iter().chain(numbers).chain([one.queue.to_string(), one.slices.to_string()]));
    }
    let percent =
        |share: f64| if share.is_finite() { format!("{:.0} %", share * 100.0) } else { "–".to_owned() };
    html! { @if !analysis.servers.is_empty() {
        section #servers {
            h2 { "What servers say of themselves, saturated" }
            p { a.csv download="servers.csv" href=(sheet.link()) { "CSV" span.hide { " of servers' own statistics" } } }
            div.scroll tabindex="0" role="group" aria-label="servers' own statistics" { table.data.sort {
                thead { tr { th scope="col" { "stack" } th.w scope="col" { "operation" } th scope="col" { "threads busy, least" } th scope="col" { "most" } th scope="col" { "connections queued, most" } th scope="col" { "slices" } } }
                tbody { @for one in &analysis.servers { tr data-s=(one.stack) {
                    th scope="row" { (one.stack) } td.w { (one.operation) }
                    td { (percent(one.busy.0)) } td { (percent(one.busy.1)) } td { (one.queue) } td { (one.slices) }
                } } }
            } }
        }
    } }
}

/// What isn't in the results, by kind and reason.
pub fn not_run(analysis: &Analysis) -> Markup {
    const KINDS: [(NotRunKind, &str); 3] = [
        (NotRunKind::Failed, "should work and doesn't, or not in every block"),
        (NotRunKind::Missing, "this machine lacks a part"),
        (NotRunKind::Impossible, "can't work, as the catalogue knows"),
    ];
    let mut sheet = Sheet::new(&["stack", "kind", "reason"]);
    for one in &analysis.not_run {
        sheet.push([one.stack.to_string(), format!("{:?}", one.kind).to_lowercase(), one.reason.clone()]);
    }
    html! {
        section #not-run {
            h2 { "Not measured, or not in every block" }
            @if analysis.not_run.is_empty() { p { "Nothing: every stack of the plan was measured in every block." } } @else {
                p { (analysis.not_run.len()) " rows. " a.csv download="not-run.csv" href=(sheet.link()) { "CSV" span.hide { " of what was not measured" } } }
                @for (kind, words) in KINDS {
                    @let of: Vec<&NotRun> = analysis.not_run.iter().filter(|one| one.kind == kind).collect();
                    @if !of.is_empty() {
                        h3 { (of.len()) ": " (words) }
                        @for (reason, stacks) in by_reason(&of) { pre { (reason) } ul.stacks { @for stack in stacks { li { (stack) } } } }
                    }
                }
            }
        }
    }
}

fn by_reason<'a>(rows: &[&'a NotRun]) -> Vec<(&'a str, Vec<String>)> {
    let mut reasons: Vec<(&str, Vec<String>)> = Vec::new();
    for row in rows {
        match reasons.iter_mut().find(|reason| reason.0 == row.reason) {
            Some(reason) => reason.1.push(row.stack.to_string()),
            None => reasons.push((&row.reason, vec![row.stack.to_string()])),
        }
    }
    reasons
}

/// Self-checks and warnings.
pub fn checks(analysis: &Analysis) -> Markup {
    let mut sheet = Sheet::new(&["check", "about", "seen", "advice"]);
    for one in &analysis.warnings {
        sheet.push([one.id.clone(), one.subject.clone(), one.text.clone(), one.advice.clone()]);
    }
    html! {
        section #checks {
            h2 { "Checks" }
            div.scroll tabindex="0" role="group" aria-label="self-checks" { table.data {
                caption { "What dyno checks of itself and of the machine, over all stacks and operations" }
                thead { tr { th scope="col" { "check" } th.w scope="col" { "outcome" } th.w scope="col" { "seen" } } }
                tbody { @for check in &analysis.checks { tr {
                    th scope="row" { (check.id) } td.w { span.(class(check.outcome)) { (outcome(check.outcome)) } } td.w { (check.words) }
                } } }
            } }
            @if analysis.warnings.is_empty() { p { "No warning." } } @else {
                details open[analysis.warnings.len() <= 12] { summary { "Every check that fired: " (analysis.warnings.len()) }
                p { a.csv download="warnings.csv" href=(sheet.link()) { "CSV" span.hide { " of warnings" } } }
                div.scroll tabindex="0" role="group" aria-label="warnings" { table.data.sort {
                    thead { tr { th scope="col" { "check" } th.w scope="col" { "about" } th.w scope="col" { "seen" } th.w scope="col" { "advice" } } }
                    tbody { @for one in &analysis.warnings { tr { th scope="row" { (one.id) } td.w { (one.subject) } td.w { (one.text) } td.w { (one.advice) } } } }
                } } }
            }
        }
    }
}

const fn class(outcome: SelfCheckOutcome) -> &'static str {
    match outcome {
        SelfCheckOutcome::Pass => "pass",
        SelfCheckOutcome::Flag => "flag",
        SelfCheckOutcome::Fail => "fail",
        SelfCheckOutcome::NotMade => "soft",
    }
}

/// How it was measured, on what.
pub fn method(run: &Run) -> Markup {
    let plan = &run.plan;
    html! {
        section #method {
            h2 { "How it was measured, and on what" }
            p { "Each block starts every stack afresh (" (plan.capacity.workers) " workers, " (plan.capacity.threads) " threads each where the server has threads, "
                (plan.capacity.connections) " database connections for the whole stack), warms each up for " (plan.design.warm_up)
                ", then loads one at a time in short slices in a random, balanced order: " (plan.throughput.slices) " closed-loop slices of "
                (plan.throughput.slice) " with " (plan.throughput.connections) " connections"
                @if let Some(latency) = &plan.latency { ", and " (latency.slices) " open-loop slices of " (latency.slice) " with Poisson arrivals at a fixed rate" }
                ", for each operation. Every answer is compared byte by byte with one that was proven right. The block is the only unit of inference. CPUs: servers "
                (format!("{:?}", run.cpus.server)) ", database " (format!("{:?}", run.cpus.database)) ", generator " (format!("{:?}", run.cpus.generator)) "." }
            @if let Some(choice) = &plan.design.rehearsal {
                p { "Before the first block stacks were loaded alone, to choose the figures:" }
                ul { @for words in &choice.words { li { (words) } } }
            }
            (machine(run))
        }
    }
}

/// Machine, software, and the stacks' programs.
pub fn machine(run: &Run) -> Markup {
    html! {
        h3 { "Fingerprint: two runs compare only where these are alike" }
        dl { @for (name, fact) in run.fingerprint.machine.iter().chain(&run.fingerprint.software) { dt { (name) } dd { (fact) } } }
        details { summary { "Stacks as they ran: " (run.prepared.len()) } @for one in &run.prepared { (stack(one)) } }
    }
}

fn stack(one: &PreparedStack) -> Markup {
    let about = |name: &str| one.about.get(name).map_or("?", String::as_str);
    html! {
        h3 { (one.stack) }
        p.soft { (about("framework")) " " (about("framework_version")) ", " (about("server")) " " (about("server_version")) ", "
            (about("driver")) " " (about("driver_version")) ", " (about("implementation")) " " (about("interpreter")) ", GIL " (about("gil"))
            ", event loop " (about("event_loop")) ", keep-alive " (one.keep_alive) ", lock " (one.lock_sha256.chars().take(12).collect::<String>()) }
        @for (role, argv) in &one.commands { pre { (role) ": " (argv.join(" ")) } }
    }
}

/// The commands that repeat it.
pub fn repeat(run: &Run) -> Markup {
    let seed = if run.command.iter().any(|word| word == "--seed" || word.starts_with("--seed=")) {
        String::new()
    } else {
        format!(" --seed {}", run.seed)
    };
    html! {
        section #repeat {
            h2 { "Repeat it" }
            p { "The same plan with the same random choices:" }
            pre.command { (run.command.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")) (seed) }
            p { "This page again from the run's folder, or its data:" }
            pre.command { "dyno report " (quoted(&run.run)) }
            pre.command { "dyno report " (quoted(&run.run)) " --format csv" }
        }
    }
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/@%_-+=:,.".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}
