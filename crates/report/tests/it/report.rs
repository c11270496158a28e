//! What a person reads, from a run made up of known truth.
#![allow(clippy::unwrap_used, missing_docs)]

use dyno_analyse::{analyse, synthetic};
use dyno_model::record::{Block, Run};
use dyno_report::Screen;

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
    let table = dyno_report::table(&run, &analyse(&run, &blocks), Screen::default());
    insta::assert_snapshot!(table);
    let wide: Vec<&str> = table.lines().filter(|line| line.chars().count() > 80).collect();
    assert_eq!(wide, Vec::<&str>::new());
}

#[test]
fn a_wide_terminal_is_told_more() {
    let (run, blocks) = made(8);
    let table = dyno_report::table(&run, &analyse(&run, &blocks), Screen { columns: 200, color: false });
    insta::assert_snapshot!(table);
    assert!(table.lines().all(|line| line.chars().count() <= 120));
}

#[test]
fn too_few_blocks_show_no_interval() {
    let (run, blocks) = made(2);
    let table = dyno_report::table(&run, &analyse(&run, &blocks), Screen::default());
    assert!(table.starts_with("No verdict: 2 complete blocks"), "{table}");
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
        "prefers-color-scheme:dark",
        "@media print",
        "bottle/waitress",
        "Repeat it",
        "data:text/csv",
        "rank-hello",
        "cpu-hello",
        "percentiles-contacts_fetch",
        "shift-hello",
        "distribution-hello",
        "memory-over-time",
        "Skip to the answer",
    ] {
        assert!(page.contains(part), "{part}");
    }
    for other in ["http://", "https://", "src=", "NaN", ">inf", "'inf", "@import", "url("] {
        // The script itself may speak of NaN.
        assert!(!page.split("<script").next().unwrap().contains(other), "{other}");
    }
    // Its own script, and no other may run.
    assert_eq!((page.matches("<script").count(), page.matches("script-src 'sha256-").count()), (1, 1));
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
    let analysis = analyse(&run, &blocks);
    let page = dyno_report::html(&run, &analysis);
    assert!(page.matches("<script").count() == 1 && page.contains("&lt;script&gt;"));
    assert!(!dyno_report::svg(&run, &analysis).contains("<script"));
    // In Markdown the command is code, in which nothing is markup.
    let markdown = dyno_report::markdown(&run, &analysis);
    assert!(markdown.lines().filter(|line| !line.starts_with("    ")).all(|line| !line.contains("<script")));
    let both = dyno_analyse::across::across((&run, &analysis), (&made(8).0, &analysis));
    let page = dyno_report::html_across(&run, &run, &both);
    assert!(
        page.matches("<script").count() == 1 && page.contains("&lt;script&gt;"),
        "what an app says of itself"
    );
}

#[test]
fn what_is_no_number_is_a_dash() {
    let (mut run, mut blocks) = made(8);
    for block in &mut blocks {
        block.spin_per_ms = f64::NAN;
        block.trials[0].slices.iter_mut().for_each(|slice| slice.outcome.window_ns = 0);
    }
    blocks[0].spin_per_ms = f64::INFINITY;
    run.plan.latency = None;
    let mut analysis = analyse(&run, &blocks);
    for one in &mut analysis.results {
        if one.stack == run.prepared[1].stack {
            (one.estimate, one.low, one.high, one.rank) =
                (f64::NAN, Some(f64::NEG_INFINITY), Some(f64::INFINITY), None);
        }
    }
    let texts = [
        dyno_report::html(&run, &analysis),
        dyno_report::markdown(&run, &analysis),
        dyno_report::svg(&run, &analysis),
        dyno_report::results_csv(&analysis),
    ];
    for text in texts {
        let low = text.to_lowercase();
        let script = low.find("<script").unwrap_or(low.len());
        for word in [">nan", ",nan", "nan/", " nan", "\"nan", "inf/", ">inf<", "±nan", "±inf"] {
            assert!(!low[..script].contains(word), "{word} in {}", &text[..200]);
        }
    }
}

/// A megabyte opens in a blink from disk (see evidence), and the bytes grow with stacks times operations.
#[test]
fn sixty_stacks_stay_below_a_mebibyte() {
    let apps = [
        "flask",
        "bottle",
        "django",
        "quart",
        "litestar",
        "starlette",
        "sanic",
        "tornado",
        "falcon",
        "aiohttp",
    ];
    let names: Vec<String> =
        apps.iter().flat_map(|app| (0..6).map(move |at| format!("{app}/server-{at}"))).collect();
    let rates: Vec<f64> = (0..60).map(|at| 500.0 + f64::from(at) * 20.0).collect();
    let stacks: Vec<(&str, f64)> = names.iter().map(String::as_str).zip(rates.iter().copied()).collect();
    let run = synthetic::run(&stacks);
    let page = dyno_report::html(&run, &analyse(&run, &synthetic::blocks(&run, &rates, 8, 0.01)));
    assert!(page.len() < 1 << 20, "{} bytes", page.len());
    // All rows are there: an interval plot of each metric and operation has them all.
    assert_eq!(
        page.matches("<tr data-s=\"flask/server-1\"").count(),
        page.matches("<tr data-s=\"aiohttp/server-5\"").count()
    );
    assert!(
        page.contains("<details class=\"op\" id=\"hello\" open>")
            && page.contains("<details class=\"op\" id=\"contacts_fetch\">")
    );
    let longer = dyno_report::html(&run, &analyse(&run, &synthetic::blocks(&run, &rates, 40, 0.01)));
    assert!(longer.len() < page.len() * 3 / 2, "blocks cost little: {} after {}", longer.len(), page.len());
}

#[test]
fn two_runs_of_different_machines_are_refused_plainly() {
    let (a, blocks) = made(8);
    let mut b = a.clone();
    b.fingerprint.machine.insert("cpu".to_owned(), "other".to_owned());
    let analysis = analyse(&a, &blocks);
    let both = dyno_analyse::across::across((&a, &analysis), (&b, &analysis));
    for text in [
        dyno_report::table_across(&a, &b, &both),
        dyno_report::markdown_across(&a, &b, &both),
        dyno_report::html_across(&a, &b, &both),
    ] {
        let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            one_line.contains("No ratio is given")
                && one_line.contains("machine: cpu (made up in A, other in B)"),
            "{text}"
        );
        assert!(!text.contains("1.00 [") && text.contains('–'), "{text}");
    }
    let same = dyno_analyse::across::across((&a, &analysis), (&a, &analysis));
    assert!(dyno_report::table_across(&a, &a, &same).contains("1.00 ["));
    assert!(dyno_report::csv_across(&same).lines().count() > 10);
    let nothing = analyse(&a, &[]);
    let none = dyno_analyse::across::across((&a, &nothing), (&a, &nothing));
    assert!(dyno_report::html_across(&a, &a, &none).contains("No stack was measured in both"));
}

#[test]
fn an_empty_run_is_a_page_too() {
    let (run, _) = made(1);
    let page = dyno_report::html(&run, &analyse(&run, &[]));
    assert!(page.contains("No verdict: 0 complete blocks") && page.ends_with("</html>\n"));
}
