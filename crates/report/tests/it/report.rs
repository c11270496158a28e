//! What a person reads, from a run made up of known truth.
#![allow(clippy::unwrap_used, missing_docs)]

use dyno_analyse::{Analysis, analyse, synthetic};
use dyno_model::{
    Operation,
    output::Metric,
    record::{Block, Run},
};
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
    assert!(!table.contains("rank "), "no rank, no column of ranks: {table}");
}

/// Two load engines drove it: the run allows no verdict on anything. Another system took an eighth of a CPU as well.
fn untrusted() -> (Run, Analysis) {
    let (mut run, mut blocks) = made(8);
    run.plan.operations.retain(|operation| *operation == Operation::Hello);
    blocks[3].trials[0].slices[0].outcome.engine = "another".to_owned();
    for slice in blocks.iter_mut().flat_map(|block| &mut block.trials).flat_map(|trial| &mut trial.slices) {
        slice.machine.steal_ns = slice.outcome.window_ns / 8;
    }
    let analysis = analyse(&run, &blocks);
    assert_eq!(analysis.trust.grade, '-', "{:?}", analysis.trust);
    (run, analysis)
}

#[test]
fn without_any_verdict_all_figures_and_intervals_are_shown() {
    let (run, analysis) = untrusted();
    let page = dyno_report::html(&run, &analysis);
    let table = dyno_report::table(&run, &analysis, Screen::default());
    for one in analysis.comparisons.iter().filter(|one| one.metric == Metric::Throughput) {
        let words = format!("{:.2} [{:.2}, {:.2}]", one.ratio, one.low.unwrap(), one.high.unwrap());
        assert!(page.contains(&words) && table.contains(&words), "{words}");
    }
    assert!(!table.contains("±?"), "{table}");
    let lines = table.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(lines.starts_with("No verdict: different load engines were used"), "{table}");
    assert!(
        lines.contains("hello: no ranking; as measured go-bun/go has the most answers, 1.99 times ["),
        "{table}"
    );
    // What disturbed it is told in words all the same, with what it did.
    for words in ["it took 12 % of a CPU", "Intervals are wider for this; nothing is refused for it."] {
        assert!(lines.contains(words) && page.contains(words), "{words}");
    }
}

#[test]
fn a_picture_with_nothing_to_show_is_not_drawn() {
    // No rank: none of the figures is of ranks, and each axis has as many marks as its rows.
    let (run, analysis) = untrusted();
    let page = dyno_report::html(&run, &analysis);
    assert!(!page.contains("rank-hello") && !page.contains(">rank<"), "ranks without ranks");
    for (run, blocks) in [made(8), made(2), made(1)] {
        let page = dyno_report::html(&run, &analyse(&run, &blocks));
        let first = page.split("id=\"faster\"").nth(1).unwrap().split("</section>").next().unwrap();
        assert_eq!(first.matches("<table").count(), 2, "an operation each");
        assert_eq!(first.matches("<tr data-s").count() + first.matches("<tr class").count(), 8, "{first}");
        // The baseline is the dashed line, all others have a mark.
        assert_eq!(first.matches("class=\"d s0\"").count(), 6, "{first}");
        for table in page.split("<table class=\"rows").skip(1) {
            let body = table.split("<tbody>").nth(1).unwrap().split("</tbody>").next().unwrap();
            assert!(body.contains("<path") || body.contains("<rect"), "an empty axis: {body}");
        }
    }
    let (run, _) = made(1);
    let page = dyno_report::html(&run, &analyse(&run, &[]));
    assert!(!page.contains("<figure") && !page.contains("id=\"faster\"") && !page.contains("#faster"));
}

#[test]
fn a_column_that_is_empty_is_not_there() {
    let (mut run, mut blocks) = made(8);
    let table = |run: &Run, blocks: &[Block], columns| {
        dyno_report::table(run, &analyse(run, blocks), Screen { columns, color: false })
    };
    let narrow = table(&run, &blocks, 80);
    assert!(narrow.contains("p50 ms   p99 ms\n") && !narrow.contains("p90"), "{narrow}");
    // Two open-loop slices of 50 answers in each of two blocks: enough for p90, too few for p99.
    for block in &mut blocks {
        for slice in block.trials.iter_mut().flat_map(|trial| &mut trial.slices) {
            let mut few = dyno_model::histogram::LatencyHistogram::default();
            (0..50).for_each(|at| few.record_ns(1_000_000 + at * 1000));
            (slice.outcome.latency, slice.outcome.latency_less_late) = (few.clone(), few);
        }
    }
    let narrow = table(&run, &blocks, 80);
    assert!(narrow.contains("p50 ms   p90 ms\n") && !narrow.contains("p99"), "{narrow}");
    let wide = table(&run, &blocks, 200);
    assert!(wide.contains("p50 ms   p90 ms      MiB") && !wide.contains("p99 ms"), "{wide}");
    run.plan.latency = None;
    for slice in blocks.iter_mut().flat_map(|block| &mut block.trials).flat_map(|trial| &mut trial.slices) {
        slice.outcome.latency = dyno_model::histogram::LatencyHistogram::default();
    }
    for columns in [80, 200] {
        let none = table(&run, &blocks, columns);
        assert!(!none.contains("p50") && !none.contains("p90") && !none.contains("p10 to"), "{none}");
    }
    let page = dyno_report::html(&run, &analyse(&run, &blocks));
    let body = page.split("<main").nth(1).unwrap();
    assert!(
        !body.contains(">p50<") && !body.contains(">p99<") && !body.contains("latency-hello"),
        "no latencies"
    );
    let markdown = dyno_report::markdown(&run, &analyse(&run, &blocks));
    assert!(!markdown.contains("p50") && markdown.contains("database CPU"), "{markdown}");
}

/// The third stack isn't its own limit: its server has half of its CPUs left, database and generator none of theirs.
fn limited() -> (Run, Analysis) {
    let (run, mut blocks) = made(8);
    for slice in blocks.iter_mut().flat_map(|block| &mut block.trials[2].slices) {
        slice.cpu_ns.insert("server".to_owned(), slice.outcome.window_ns / 2);
        slice.cpu_ns.insert("database".to_owned(), slice.outcome.window_ns * 3 / 4);
    }
    let analysis = analyse(&run, &blocks);
    (run, analysis)
}

#[test]
fn a_refused_stack_is_greyed_in_its_place_with_its_words() {
    let (run, analysis) = limited();
    let page = dyno_report::html(&run, &analysis);
    let first = page.split("id=\"faster\"").nth(1).unwrap().split("</section>").next().unwrap();
    let grey: Vec<&str> =
        first.split("<tr class=\"grey\"").skip(1).map(|row| row.split("</tr>").next().unwrap()).collect();
    assert_eq!(grey.len(), 2, "one in each operation: {first}");
    for row in grey {
        assert!(row.starts_with(" data-s=\"go-bun/go\""), "{row}");
        assert!(row.contains("no verdict: the server had work for 50 % of its CPUs' time"), "{row}");
        // Its figure and its interval are there, and its estimate is hollow.
        assert!(row.contains(" [") && row.contains("class=\"h\"") && row.contains("class=\"i s0\""), "{row}");
    }
    let sentence = &analysis.sentences[0];
    assert!(!sentence.contains("go-bun/go has"), "of those ranked: {sentence}");
    assert!(sentence.contains("; not ranked: go-bun/go, because the server had work for 50 %"), "{sentence}");
    // In its place: the fastest, before those that have ranks.
    let place = |name: &str| first.find(&format!("data-s=\"{name}\"")).unwrap();
    assert!(place("go-bun/go") < place("flask/gunicorn"), "{first}");
    let table = dyno_report::table(&run, &analysis, Screen::default());
    let lines: Vec<&str> = table.lines().collect();
    let at = lines.iter().position(|line| line.starts_with("  go-bun/go")).unwrap();
    assert!(lines[at + 1].starts_with("    ! no verdict: the server had work for 50 %"), "{table}");
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{table}");
}

#[test]
fn a_baseline_that_is_refused_is_the_reason_once_and_greys_no_other() {
    let (mut run, _) = limited();
    run.plan.baseline = "go-bun/go".parse().unwrap();
    let mut blocks = synthetic::blocks(&run, &STACKS.map(|one| one.1), 8, 0.01);
    for slice in blocks.iter_mut().flat_map(|block| &mut block.trials[2].slices) {
        slice.cpu_ns.insert("server".to_owned(), slice.outcome.window_ns / 2);
        slice.cpu_ns.insert("database".to_owned(), slice.outcome.window_ns * 3 / 4);
    }
    let analysis = analyse(&run, &blocks);
    let page = dyno_report::html(&run, &analysis);
    let first = page.split("id=\"faster\"").nth(1).unwrap().split("</section>").next().unwrap();
    assert_eq!(first.matches("class=\"grey\"").count(), 2, "the baseline in each operation");
    assert_eq!(first.matches("no verdict on any ratio to go-bun/go").count(), 2, "{first}");
    let table = dyno_report::table(&run, &analysis, Screen::default());
    assert_eq!(table.matches("! no verdict on any ratio to go-bun/go").count(), 2, "{table}");
}

#[test]
fn those_tied_for_the_first_place_are_marked_by_a_word() {
    let run = synthetic::run(&[("a/s", 1000.0), ("b/s", 1000.0), ("c/s", 500.0)]);
    let analysis = analyse(&run, &synthetic::blocks(&run, &[1000.0, 1000.0, 500.0], 8, 0.01));
    let page = dyno_report::html(&run, &analysis);
    let first = page.split("id=\"faster\"").nth(1).unwrap().split("</section>").next().unwrap();
    assert_eq!((first.matches("1–2 tied").count(), first.matches("<tr class=\"tied\"").count()), (4, 4));
    assert!(first.contains(">3<") && !first.contains("fastest"), "{first}");
    assert!(
        analysis.sentences[0].contains(" are tied for the first place, none surely faster; "),
        "{:?}",
        analysis.sentences
    );
    let alone = analyse(&run, &synthetic::blocks(&run, &[1000.0, 1500.0, 500.0], 8, 0.01));
    let page = dyno_report::html(&run, &alone);
    assert!(page.contains("1 fastest") && !page.contains("<tr class=\"tied\""));
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
    let rows = |name: &str| {
        let of = |class: &str| page.matches(&format!("<tr{class} data-s=\"{name}\"")).count();
        of("") + of(" class=\"tied\"")
    };
    assert!(rows("flask/server-1") > 10);
    assert_eq!(rows("flask/server-1"), rows("aiohttp/server-5"));
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
