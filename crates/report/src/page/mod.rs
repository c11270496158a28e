//! One self-contained page: no network, readable without its script, which only filters, sorts, copies and lights up.
//!
//! All text goes through maud, which escapes it; the page's own style and script are the only texts that don't. A content
//! policy names the script by its hash, so that a text that slipped through still couldn't run.

mod about;
mod across;
mod answer;
mod capacity;
mod operation;
mod ranking;
mod time;

use base64::{Engine, engine::general_purpose::STANDARD};
use dyno_analyse::Analysis;
use dyno_model::{Operation, output::Metric, record::Run};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

pub use across::html_across;
pub use capacity::capacity_html;

use crate::text::sorted;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// Rows beyond which figures are folded by operation, and rows get compact.
pub(crate) const MANY: usize = 20;

/// The page of a run.
pub fn html(run: &Run, analysis: &Analysis) -> String {
    let many = run.prepared.len() > MANY;
    let measured: Vec<Operation> =
        run.plan.operations.iter().copied().filter(|operation| has(analysis, *operation)).collect();
    let body = html! {
        (answer::section(analysis))
        (answer::picture(run, analysis, &measured))
        @for (index, operation) in measured.iter().enumerate() {
            (operation::section(run, analysis, *operation, !many || index == 0))
        }
        (time::section(run, analysis))
        (about::servers(analysis))
        (about::not_run(analysis))
        (about::checks(analysis))
        (about::method(run))
        (about::repeat(run))
    };
    let canary = run.plan.design.canary.as_ref();
    let facts = [
        ("run", run.run.clone()),
        ("begun", run.started.split('.').next().unwrap_or_default().replace('T', " ")),
        ("blocks", analysis.blocks.to_string()),
        // The canary is a control, and no stack of the plan.
        ("stacks", run.prepared.iter().filter(|one| Some(&one.stack) != canary).count().to_string()),
        (
            "trust",
            if analysis.trust.grade == '-' {
                "none".to_owned()
            } else {
                format!("{} ({})", analysis.trust.grade, analysis.trust.score)
            },
        ),
        ("baseline", run.plan.baseline.to_string()),
    ];
    let mut links = Vec::new();
    if !measured.is_empty() {
        links.push(("#faster".to_owned(), "who is faster".to_owned()));
    }
    links.extend(measured.iter().map(|operation| (format!("#{operation}"), operation.to_string())));
    links.extend(
        [
            ("time", "over time"),
            ("not-run", "not measured"),
            ("checks", "checks"),
            ("method", "method"),
            ("repeat", "repeat"),
        ]
        .map(|(id, words)| (format!("#{id}"), words.to_owned())),
    );
    page(&run.plan.title, &facts, &links, &body)
}

fn has(analysis: &Analysis, operation: Operation) -> bool {
    !sorted(analysis, operation, Metric::Throughput).is_empty()
}

/// The frame of every page.
fn page(title: &str, facts: &[(&str, String)], links: &[(String, String)], body: &Markup) -> String {
    let policy = format!(
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{}'",
        STANDARD.encode(Sha256::digest(SCRIPT.as_bytes()))
    );
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="color-scheme" content="light dark";
                title { (title) " – dyno" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#main" { "Skip to the answer" }
                header.top {
                    h1 { (title) }
                    ul.facts { @for (name, fact) in facts { li { (name) " " b { (fact) } } } }
                }
                nav aria-label="Parts of this page" { div { @for (to, words) in links { a href=(to) { (words) } } } }
                main #main tabindex="-1" { (body) }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
    .into_string()
        + "\n"
}
