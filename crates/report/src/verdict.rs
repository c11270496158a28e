//! Claims and what was decided about them: for a terminal, and as one page.

use std::fmt::Write as _;

use dyno_model::claim::{Claim, ClaimDecision, ClaimResult, SessionRecord, VerdictRecord};

use crate::text::wrap;

/// The decisions, a paragraph for each claim.
pub fn verdict_table(record: &VerdictRecord) -> String {
    let mut text = String::new();
    for (claim, result) in rows(record) {
        let _ = writeln!(text, "{:<13} {}", result.decision.words(), result.claim);
        for predicate in &claim.predicates {
            let _ = writeln!(text, "{}", wrap(&format!("  {predicate}"), 100, 6));
        }
        let _ = writeln!(text, "{}\n", wrap(&format!("  {}", figures(result)), 100, 6));
    }
    let count = |decision| record.results.iter().filter(|one| one.decision == decision).count();
    let _ = writeln!(
        text,
        "{} claims: {} supported, {} refuted, {} inconclusive, {} without a verdict",
        record.results.len(),
        count(ClaimDecision::Supported),
        count(ClaimDecision::Refuted),
        count(ClaimDecision::Inconclusive),
        count(ClaimDecision::NoVerdict),
    );
    text
}

fn rows(record: &VerdictRecord) -> impl Iterator<Item = (&Claim, &ClaimResult)> {
    record.claims.iter().flatten().filter_map(|claim| {
        let result = record.results.iter().find(|result| result.claim == claim.name)?;
        Some((claim, result))
    })
}

/// The reason, which has estimate, interval and blocks in it, and the error rate where there is one.
fn figures(result: &ClaimResult) -> String {
    match result.error_rate {
        Some(rate) => format!("{}; error rate at most {:.1} %", result.reason, rate * 100.0),
        None => result.reason.clone(),
    }
}

const STYLE: &str = "\
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
section{border-left:.4rem solid #888;padding:.2rem 1rem;margin:1rem 0}section h2{font-size:1.05rem;margin:.3rem 0}\
.supported{border-color:#009e73}.refuted{border-color:#d55e00}.inconclusive{border-color:#e69f00}\
b{text-transform:uppercase;font-size:.8rem;letter-spacing:.05em}pre{white-space:pre-wrap;margin:.3rem 0;font-size:.85rem}\
table{border-collapse:collapse}td,th{text-align:left;padding:.2rem .8rem .2rem 0;vertical-align:top}";

/// The decisions as one page that needs nothing else.
pub fn verdict_html(record: &VerdictRecord) -> String {
    let mut page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width,initial-scale=1'>\
         <title>Claims decided</title><style>{STYLE}</style><main><h1>Claims decided</h1><p>{}</p>",
        escape(verdict_table(record).lines().last().unwrap_or_default())
    );
    for (claim, result) in rows(record) {
        let predicates: Vec<String> = claim.predicates.iter().map(ToString::to_string).collect();
        let sessions = record.sessions.iter().filter(|one| one.claims.contains(&claim.name));
        let _ = write!(
            page,
            "<section class={}><h2>{}</h2><p><b>{}</b> {}</p><pre>{}</pre>{}</section>",
            result.decision.words().replace(' ', "-"),
            escape(&result.claim),
            result.decision.words(),
            escape(&figures(result)),
            escape(&predicates.join("\nand ")),
            sessions.map(link).collect::<String>(),
        );
    }
    let _ = write!(
        page,
        "<h2>How it was decided</h2><p>Each session measures its stacks in blocks of fresh processes, and is looked at \
         after 8, 12, 16, 24, 32 and 48 blocks, with intervals that hold over all looks. Supported: the interval lies within the \
         claim's region. Refuted: it has nothing in common with it. Capacities are searched trial by trial, and their intervals hold \
         that much of the probability. Seed {}.</p><pre>{}</pre></main></html>",
        record.seed,
        escape(&record.command.join(" ")),
    );
    page
}

fn link(session: &SessionRecord) -> String {
    match &session.run {
        Some(run) if session.failure.is_none() => {
            format!("<p><a href='{0}/report.html'>{0}: all that was measured</a></p>", escape(run))
        }
        _ => String::new(),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('\'', "&#39;")
        .replace('"', "&quot;")
}
