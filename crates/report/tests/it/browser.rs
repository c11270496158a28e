//! The page in a real browser: no error on its console, nothing fetched, axe-core's checks green, nothing wider than a
//! phone, and the same without JavaScript. `DYNO_SCREENSHOTS=FOLDER` keeps the pictures there.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{fs, path::Path};

use dyno_analyse::{
    Analysis, analyse,
    capacity::{Search, rows},
    synthetic,
};
use dyno_model::{
    Operation,
    capacity::{CapacityOutput, CapacityRecord, StackSearch, TrialEnd, TrialPurpose, TrialRecord},
    output::OUTPUT_VERSION,
    record::{Run, ServerStats},
};
use dyno_testkit::browser::{Chromium, axe, pictures};
use serde_json::json;

const SERVERS: [&str; 6] = ["gunicorn", "uvicorn", "granian", "hypercorn", "uwsgi", "gunicorn-uvicorn"];
const APPS: [&str; 10] = [
    "flask",
    "bottle",
    "pyramid",
    "falcon-wsgi",
    "django",
    "fastapi-asyncpg",
    "starlette",
    "litestar",
    "quart",
    "blacksheep",
];

/// Sixty stacks, some slices disturbed, one server that tells of itself, a name that is hostile.
fn sixty() -> (Run, Analysis) {
    let names: Vec<String> =
        APPS.iter().flat_map(|app| SERVERS.iter().map(move |server| format!("{app}/{server}"))).collect();
    let rates: Vec<f64> =
        (0..names.len()).map(|at| 400.0 * 1.03f64.powi((at * 37 % 60) as i32 / 3 * 3)).collect();
    let stacks: Vec<(&str, f64)> = names.iter().map(String::as_str).zip(rates.iter().copied()).collect();
    let mut run = synthetic::run(&stacks);
    run.plan.title = "Sixty stacks <script>document.title='owned';console.error('owned')</script>".to_owned();
    run.not_run[0].reason = "made up: </pre><img src=x onerror=\"console.error('owned')\">".to_owned();
    let mut blocks = synthetic::blocks(&run, &rates, 8, 0.012);
    for (at, block) in blocks.iter_mut().enumerate() {
        block.length_ns = 120_000_000_000;
        block.spin_per_ms *= 1.0 + at as f64 / 200.0;
        let trials = block.trials.len();
        for (nth, trial) in block.trials.iter_mut().enumerate() {
            let slices = trial.slices.len();
            for (which, slice) in trial.slices.iter_mut().enumerate() {
                slice.at_ns = (which * trials + nth) as u64 * 110_000_000_000 / (slices * trials) as u64;
                slice.usage.memory_bytes += (nth as u64 * 700_000) + which as u64 * 100_000;
                slice.machine.foreign_ns = (nth as u64 * 7919 + which as u64 * 104_729) % 22_000_000;
                if trial.stack.server == "uwsgi" {
                    slice.server_stats = Some(ServerStats { busy: 0.9, queue: 3, requests: 100 });
                }
            }
        }
        // Something else was at work for a while.
        if at == 5 {
            block.trials[30].slices[0].machine.foreign_ns = 120_000_000;
            block.trials[31].slices[1].machine.foreign_ns = 150_000_000;
        }
    }
    let analysis = analyse(&run, &blocks);
    (run, analysis)
}

/// Opens all that is folded, so that it is checked too.
const OPEN: &str = "document.querySelectorAll('details').forEach((one) => (one.open = true))";

#[test]
fn sixty_stacks_in_a_browser() {
    let Some(mut browser) = Chromium::start() else {
        println!("skipped: no chromium");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.html");
    let (run, analysis) = sixty();
    fs::write(&file, dyno_report::html(&run, &analysis)).unwrap();
    let pictures = pictures(env!("CARGO_TARGET_TMPDIR"));
    let axe = axe(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("axe"));
    if let Err(why) = &axe {
        println!("skipped: no axe-core: {why}");
    }
    for width in [1280, 360] {
        for dark in [false, true] {
            browser.open(&file, width, dark, true);
            // Nothing is wider than the window, but what scrolls by itself.
            assert_eq!(browser.evaluate("document.documentElement.scrollWidth"), json!(width));
            browser.keep(&pictures, "report", width, dark);
            if let Ok(axe) = &axe {
                // Each scheme and each width once with all open: axe takes its time over ten thousand nodes.
                if (width == 1280) != dark {
                    browser.evaluate(OPEN);
                }
                assert_eq!(browser.violations(axe), json!([]), "{width} dark {dark}");
            }
        }
    }
    browser.weigh(&pictures, "report");
    assert_eq!(browser.console, Vec::<String>::new(), "the console is silent");
}

#[test]
fn doubts_stand_beside_what_they_touch_on_a_phone_too() {
    let Some(mut browser) = Chromium::start() else {
        println!("skipped: no chromium");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.html");
    let stacks = [
        ("fastapi-asyncpg/uvicorn", 1000.0),
        ("flask/gunicorn", 1000.0),
        ("go-bun/go", 2000.0),
        ("x/y", 900.0),
    ];
    let (run, rates) = (synthetic::run(&stacks), stacks.map(|one| one.1));
    let mut blocks = synthetic::blocks(&run, &rates, 8, 0.01);
    for trial in blocks.iter_mut().flat_map(|block| &mut block.trials) {
        for slice in &mut trial.slices {
            slice.machine.steal_ns = slice.outcome.window_ns / 8;
            if trial.stack.app == "go-bun" {
                slice.cpu_ns.insert("server".to_owned(), slice.outcome.window_ns / 3);
                slice.cpu_ns.insert("database".to_owned(), slice.outcome.window_ns * 3 / 4);
            }
        }
    }
    fs::write(&file, dyno_report::html(&run, &analyse(&run, &blocks))).unwrap();
    let axe = axe(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("axe"));
    if let Err(why) = &axe {
        println!("skipped: no axe-core: {why}");
    }
    let pictures = pictures(env!("CARGO_TARGET_TMPDIR"));
    for (width, dark) in [(1280, false), (1280, true), (360, false), (360, true)] {
        browser.open(&file, width, dark, true);
        assert_eq!(browser.evaluate("document.documentElement.scrollWidth"), json!(width));
        browser.keep(&pictures, "doubts", width, dark);
        if let Ok(axe) = &axe {
            assert_eq!(browser.violations(axe), json!([]), "{width} dark {dark}");
        }
        // The reason is below the marks of its own row, within the window, and the marks are greyed.
        let place = "(() => { const row = document.querySelector('#faster tr.grey'); \
            const [why, svg] = [row.querySelector('.why'), row.querySelector('svg')].map((one) => one.getBoundingClientRect()); \
            return [row.dataset.s, why.top >= svg.bottom - 1, why.right <= innerWidth, svg.width > 200] })()";
        assert_eq!(browser.evaluate(place), json!(["go-bun/go", true, true, true]), "{width}");
        let colours = "new Set([...document.querySelectorAll('#faster .d')].map((one) => getComputedStyle(one).stroke)).size";
        assert_eq!(browser.evaluate(colours), json!(2), "greyed marks and others");
        // The picture is the first on the page, right after the answer.
        assert_eq!(
            browser.evaluate(
                "document.querySelector('main>section.answer').nextElementSibling.querySelector('figure').id"
            ),
            json!("answer")
        );
    }
    assert_eq!(browser.console, Vec::<String>::new(), "the console is silent");
}

/// Two stacks whose latency grows towards a known edge, and one that was given up.
fn searched() -> (Run, CapacityRecord, CapacityOutput) {
    let run =
        synthetic::run(&[("flask/gunicorn", 800.0), ("flask/waitress", 600.0), ("bottle/cheroot", 1.0)]);
    let trial = |purpose, rate_per_s: f64, edge: f64| {
        let busy = (rate_per_s / edge).min(0.99);
        let end = if rate_per_s > edge { TrialEnd::Failed } else { TrialEnd::Passed };
        TrialRecord {
            purpose,
            rate_per_s,
            end,
            requests: 2_000,
            p50_us: Some(900.0 / (1.0 - busy)),
            p99_us: Some(4_000.0 / (1.0 - busy)),
            errors: Some(0.0),
            reason: if end == TrialEnd::Failed { "p99 <b>58 ms</b>".to_owned() } else { String::new() },
            not_server_bound: None,
        }
    };
    let mut stacks: Vec<StackSearch> = Vec::new();
    for (name, edge) in [("flask/gunicorn", 700.0), ("flask/waitress", 500.0)] {
        let mut search = Search::new(edge * 1.1).unwrap();
        let mut trials = Vec::new();
        while let Some(rate) = search.next_rate() {
            trials.push(trial(TrialPurpose::Search, rate, edge));
            search.observe(rate, rate > edge).unwrap();
        }
        while search.confirmation_rate().is_some() {
            search.confirm(false);
        }
        let shares = [0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95];
        trials.extend(shares.map(|share| trial(TrialPurpose::Curve, edge * 1.1 * share, edge)));
        let state = Some(search.state().clone());
        stacks.push(StackSearch { stack: name.parse().unwrap(), state, trials, no_verdict: None });
    }
    let no_verdict = Some("the generator was the limit".to_owned());
    let stack = "bottle/cheroot".parse().unwrap();
    stacks.push(StackSearch { stack, state: None, trials: Vec::new(), no_verdict });
    let record = CapacityRecord {
        format: 1,
        slo: "p99=50ms".to_owned(),
        operation: Operation::Types,
        connections: 64,
        seed: 1,
        curve: true,
        trial: None,
        stacks,
        spins_per_ms: vec![1.0; 4],
    };
    let output = CapacityOutput {
        version: OUTPUT_VERSION,
        folder: "runs/capacity".to_owned(),
        slo: record.slo.clone(),
        operation: record.operation,
        connections: record.connections,
        seed: record.seed,
        rows: rows(&record),
        not_run: run.not_run.clone(),
    };
    (run, record, output)
}

#[test]
fn capacities_in_a_browser() {
    let Some(mut browser) = Chromium::start() else {
        println!("skipped: no chromium");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.html");
    let (run, record, output) = searched();
    assert!(output.rows[0].is_found(), "{:?}", output.rows[0]);
    fs::write(&file, dyno_report::capacity_html(&run, &record, &output)).unwrap();
    let axe = axe(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("axe"));
    if let Err(why) = &axe {
        println!("skipped: no axe-core: {why}");
    }
    let pictures = pictures(env!("CARGO_TARGET_TMPDIR"));
    for (width, dark) in [(1280, false), (1280, true), (390, false), (390, true)] {
        browser.open(&file, width, dark, true);
        assert_eq!(browser.evaluate("document.documentElement.scrollWidth"), json!(width));
        browser.keep(&pictures, "capacity", width, dark);
        browser.evaluate(OPEN);
        // A line for the curve, and a point for each trial of the search.
        let mut drawn = |class: &str| {
            let path = format!("#p99-over-rate path.{class}[data-s=\"flask/gunicorn\"]");
            let d = browser.evaluate(&format!("document.querySelector('{path}').getAttribute('d')"));
            d.as_str().unwrap().matches('M').count()
        };
        let trials = record.stacks[0].trials.iter().filter(|one| one.purpose == TrialPurpose::Search).count();
        assert_eq!((drawn("l"), drawn("dots")), (1, trials));
        // A stack without trials is no line.
        assert_eq!(
            browser.evaluate("document.querySelectorAll('#p99-over-rate .legend li').length"),
            json!(2)
        );
        assert_eq!(browser.evaluate("document.querySelectorAll('#trials tbody b').length"), json!(0));
        if let Ok(axe) = &axe {
            assert_eq!(browser.violations(axe), json!([]), "{width} dark {dark}");
        }
    }
    browser.weigh(&pictures, "capacity");
    assert_eq!(browser.console, Vec::<String>::new(), "the console is silent");
}

#[test]
fn the_script_filters_and_sorts_and_the_page_is_whole_without_it() {
    let Some(mut browser) = Chromium::start() else {
        println!("skipped: no chromium");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.html");
    let (run, analysis) = sixty();
    fs::write(&file, dyno_report::html(&run, &analysis)).unwrap();
    browser.open(&file, 1280, false, true);
    let rows =
        "[...document.querySelectorAll('#throughput-hello tr[data-s]')].filter((row) => !row.hidden).length";
    assert_eq!(browser.evaluate(rows), json!(60));
    browser.evaluate(
        "const input = document.querySelector('nav input'); input.value = 'flask uvi'; input.dispatchEvent(new Event('input'))",
    );
    assert_eq!(browser.evaluate(rows), json!(2), "flask/uvicorn and flask/gunicorn-uvicorn");
    let column = "[...document.querySelector('table.sort').tBodies[0].rows].map((row) => Number(row.cells[2].dataset.v))";
    for order in ["a - b", "b - a"] {
        browser.evaluate("document.querySelectorAll('table.sort thead th button')[2].click()");
        let sorted = format!(
            "(() => {{ const all = {column}; const s = [...all].sort((a, b) => {order}); return JSON.stringify(all) === JSON.stringify(s) && all.length === 60 }})()"
        );
        assert_eq!(browser.evaluate(&sorted), json!(true), "{order}");
    }
    assert_eq!(
        browser.evaluate("document.title.startsWith('Sixty stacks <script>')"),
        json!(true),
        "shown as text"
    );
    // Every figure has its data, which is a table with as many columns in each row.
    let sheets = browser.evaluate(
        "Promise.all([...document.querySelectorAll('a.csv')].map((one) => decodeURIComponent(one.href.split(',').slice(1).join(','))))",
    );
    let sheets: Vec<&str> = sheets.as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    assert!(sheets.len() > 20, "{}", sheets.len());
    for sheet in sheets {
        let mut reader = csv::Reader::from_reader(sheet.as_bytes());
        assert!(reader.records().map(Result::unwrap).count() > 0, "{}", &sheet[..sheet.len().min(200)]);
    }
    assert_eq!(browser.evaluate("document.querySelectorAll('figure').length === document.querySelectorAll('figcaption a.csv').length"), json!(true));
    // Without the script: what the page says is the same, but for the filter and the buttons.
    browser.open(&file, 1280, false, false);
    let tree = browser.call("DOM.getDocument", json!({"depth": 0}))["root"]["nodeId"].clone();
    let mut count = |selector: &str| -> usize {
        let found = browser.call("DOM.querySelectorAll", json!({"nodeId": tree, "selector": selector}));
        found["nodeIds"].as_array().map_or(0, Vec::len)
    };
    assert_eq!((count("#throughput-hello tr[data-s]"), count("nav input")), (60, 0));
    assert!(count("svg.plot path") > 100 && count("a.csv[download]") > 20);
}

#[test]
fn two_runs_and_paper() {
    let Some(mut browser) = Chromium::start() else {
        println!("skipped: no chromium");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("compare.html");
    let rates = [900.0, 1200.0, 5000.0];
    let stacks =
        [("flask/uwsgi/nginx", 900.0), ("fastapi-orm-asyncpg/uvicorn", 1200.0), ("go-bun/go", 5000.0)];
    let run = synthetic::run(&stacks);
    let mut other = run.clone();
    other.fingerprint.software.insert("dyno <script>".to_owned(), "0.0.1".to_owned());
    let (a, b) =
        (synthetic::blocks(&run, &rates, 8, 0.01), synthetic::blocks_of_seed(&other, &rates, 8, 0.02, 9));
    let across = dyno_analyse::across::across((&run, &analyse(&run, &a)), (&other, &analyse(&other, &b)));
    fs::write(&file, dyno_report::html_across(&run, &other, &across)).unwrap();
    let axe = axe(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("axe"));
    if let Err(why) = &axe {
        println!("skipped: no axe-core: {why}");
    }
    let pictures = pictures(env!("CARGO_TARGET_TMPDIR"));
    for (width, dark) in [(1280, false), (1280, true), (390, false), (390, true)] {
        browser.open(&file, width, dark, true);
        assert_eq!(browser.evaluate("document.documentElement.scrollWidth"), json!(width));
        browser.keep(&pictures, "compare", width, dark);
        if let Ok(axe) = &axe {
            assert_eq!(browser.violations(axe), json!([]), "{width} dark {dark}");
        }
    }
    // On paper: what one clicks is gone, nothing is wider than the sheet, dark or not.
    browser.look(720, true);
    browser.call("Emulation.setEmulatedMedia", json!({"media": "print"}));
    let hidden = "[...document.querySelectorAll('nav, .csv, .copy')].every((one) => getComputedStyle(one).display === 'none')";
    assert_eq!(browser.evaluate(hidden), json!(true));
    assert_eq!(browser.evaluate("document.documentElement.scrollWidth"), json!(720));
    browser.keep(&pictures, "compare-print", 720, false);
    let pdf = browser.call("Page.printToPDF", json!({"paperWidth": 8.27, "paperHeight": 11.69}));
    assert!(pdf["data"].as_str().unwrap().starts_with("JVBERi0"), "a PDF");
    assert_eq!(browser.console, Vec::<String>::new(), "the console is silent");
}
