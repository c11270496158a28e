//! What a person reads, from a run made up of known truth.
#![allow(clippy::unwrap_used, missing_docs)]

use dyno_analyse::{analyse, synthetic};
use dyno_model::record::{Block, Run};

const STACKS: [(&str, f64); 4] = [
    ("fastapi-asyncpg/uvicorn", 1000.0),
    ("flask/gunicorn", 1000.0),
    ("go-bun/go", 2000.0),
    ("flask/uwsgi/nginx", 900.0),
];

fn made(count: u32) -> (Run, Vec<Block>) {
    let run = synthetic::run(&STACKS);
    let rates: Vec<f64> = STACKS.iter().map(|(_, rate)| *rate).collect();
    let blocks = synthetic::blocks(&run, &rates, count, 0.01);
    (run, blocks)
}

#[test]
fn the_table_reads_well_in_80_columns() {
    let (run, blocks) = made(8);
    let table = dyno_report::table(&run, &analyse(&run, &blocks), false);
    insta::assert_snapshot!(table);
    let wide: Vec<&str> = table.lines().filter(|line| line.chars().count() > 80).collect();
    assert_eq!(wide, Vec::<&str>::new());
}

#[test]
fn too_few_blocks_show_no_interval() {
    let (run, blocks) = made(3);
    let table = dyno_report::table(&run, &analyse(&run, &blocks), false);
    assert!(table.starts_with("No verdict: 3 complete blocks"), "{table}");
    assert!(table.contains("±?") && !table.contains("±0"), "{table}");
}

#[test]
fn the_page_is_whole_and_needs_nothing_else() {
    let (run, blocks) = made(8);
    let page = dyno_report::html(&run, &analyse(&run, &blocks));
    for part in [
        "is fastest",
        "<svg",
        "p99",
        "prefers-color-scheme: dark",
        "@media print",
        "bottle/waitress",
        "Repeat it",
    ] {
        assert!(page.contains(part), "{part}");
    }
    for other in ["http://", "https://", "<script", "src=", "NaN", ">inf", "'inf", "@import"] {
        assert!(!page.contains(other), "{other}");
    }
    for tag in ["section", "table", "svg", "details", "main"] {
        assert_eq!(
            page.matches(&format!("<{tag}")).count(),
            page.matches(&format!("</{tag}>")).count(),
            "{tag}"
        );
    }
}

#[test]
fn what_users_and_logs_say_is_escaped() {
    let (mut run, blocks) = made(8);
    let evil = "<script>alert('1')</script>";
    run.plan.title = evil.to_owned();
    run.command.push(evil.to_owned());
    run.not_run[0].reason = evil.to_owned();
    run.prepared[0].about.insert("framework".to_owned(), evil.to_owned());
    let page = dyno_report::html(&run, &analyse(&run, &blocks));
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;"));
}

#[test]
fn an_empty_run_is_a_page_too() {
    let (run, _) = made(1);
    let page = dyno_report::html(&run, &analyse(&run, &[]));
    assert!(page.contains("No verdict: 0 complete blocks") && page.ends_with("</html>\n"));
}
