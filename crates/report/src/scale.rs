//! Scaling over workers for a terminal.

use std::fmt::Write;

use dyno_model::scaling::{Figure, ScaleOutput, ScalingResult};

use crate::{figures::number, text::wrap};

/// What `dyno scale` prints, for a terminal of 80 columns. What forbids a verdict comes before the first number.
pub fn scale_text(output: &ScaleOutput) -> String {
    let head = format!(
        "{} over its workers, operation {}, {} connections, {} blocks",
        output.stack, output.operation, output.connections, output.blocks
    );
    let mut text = format!("{}\n", wrap(&head, 80, 2));
    let mut said: Vec<&str> = Vec::new();
    for row in &output.rows {
        if let Some(why) = row.no_verdict.as_deref().filter(|why| !said.contains(why)) {
            said.push(why);
            let _ = writeln!(text, "{}", wrap(&format!("NO VERDICT: {why}"), 80, 2));
        }
    }
    let _ =
        writeln!(text, "\n{:>7}  {:>24}  {:>20}  {:>20}", "workers", "requests/s", "speed-up", "efficiency");
    for row in &output.rows {
        let mark = if row.no_verdict.is_some() { "  ?" } else { "" };
        let two = |value: f64| format!("{value:.2}");
        let _ = writeln!(
            text,
            "{:>7}  {:>24}  {:>20}  {:>20}{mark}",
            row.workers,
            figure(row.throughput_per_s, number),
            figure(row.speed_up, two),
            figure(row.efficiency, two)
        );
    }
    for one in &output.not_run {
        let words: Vec<&str> = one.reason.split_whitespace().collect();
        let _ =
            writeln!(text, "{}", wrap(&format!("{}: not measured: {}", one.stack, words.join(" ")), 80, 2));
    }
    text.push('\n');
    for line in law(output.law.as_ref(), &output.reason).iter().chain(&output.notes) {
        let _ = writeln!(text, "{}", wrap(line, 80, 2));
    }
    let _ = writeln!(text, "report: {}", output.report);
    text
}

fn law(law: Option<&ScalingResult>, reason: &str) -> Vec<String> {
    let Some(law) = law else { return vec![format!("No scalability law: {reason}.")] };
    let four = |value: f64| format!("{value:.4}");
    let mut lines = vec![
        format!(
            "Universal Scalability Law: contention σ = {}, coherency κ = {}, one worker {} requests/s.",
            figure(Some(law.sigma), four),
            figure(Some(law.kappa), four),
            figure(Some(law.lambda_per_s), number)
        ),
        format!("By the law throughput has {reason}.").replace("has highest", "is highest"),
    ];
    if law.misfit > 0.02 {
        lines.push(format!("The law misses a measured mean by {:.1} %.", law.misfit * 100.0));
    }
    lines
}

/// `1,234 [1,200, 1,270]`; a dash where there is no interval.
fn figure(figure: Option<Figure>, number: impl Fn(f64) -> String) -> String {
    figure.map_or_else(
        || "–".to_owned(),
        |one| format!("{} [{}, {}]", number(one.estimate), number(one.low), number(one.high)),
    )
}
