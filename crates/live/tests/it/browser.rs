//! A run's page in a real browser: in mid-run, as it moves, after a reload, a dropped connection and another token.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{fs, path::Path, time::Duration};

use crate::watched::{Watched, made, port};
use dyno_model::event::{Event, Step};
use dyno_testkit::browser::{Chromium, axe, pictures};
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(30);

fn shows(id: &str, text: &str) -> String {
    format!("document.getElementById('{id}').textContent === '{text}'")
}

#[test]
fn a_run_is_followed() {
    let Some(mut browser) = Chromium::start() else {
        println!("skipped: no chromium");
        return;
    };
    let (mut run, mut blocks) = made();
    let evil = "<img src=x onerror=\"console.error('owned')\"><script>console.error('owned')</script>";
    run.not_run[0].reason = format!("made up: {evil}");
    run.plan.title = format!("Three stacks {evil}");
    blocks[6].trials[1].slices[0].outcome.wrong_answers.push(dyno_model::load::WrongAnswer {
        request: "GET /hello".to_owned(),
        kind: "wrong_status".to_owned(),
        status: Some(500),
        body: evil.to_owned(),
    });
    blocks[6].trials[1].slices[0].outcome.counts.failed.wrong_status = 1;
    let watched = Watched::new();
    let server = watched.serve(0, false);
    watched.board.take(&Event::Step { step: Step::Prepare, detail: "flask/uwsgi/nginx".to_owned() });
    browser.open_url(server.url().unwrap(), 1280, false);
    browser.weigh(&pictures(env!("CARGO_TARGET_TMPDIR")), "live");
    browser.wait_for(&shows("step", "prepare"), PATIENCE);
    browser.wait_for("!document.getElementById('none').hidden", PATIENCE);

    // It moves with each block.
    watched.folder.write_run(&run).unwrap();
    watched.board.take(&Event::Step { step: Step::Measure, detail: "3 stacks, 12 blocks".to_owned() });
    watched.board.take(&Event::Progress {
        done: 130,
        total: 216,
        left_s: Some(74.2),
        stack: Some(run.plan.stacks[1].clone()),
        operation: Some(dyno_model::Operation::ContactsFetch),
    });
    watched.folder.write_block(&blocks[0]).unwrap();
    browser.wait_for(&shows("blocks", "1 of 12"), PATIENCE);
    browser.wait_for("document.querySelectorAll('#results tbody tr').length === 6", PATIENCE);
    blocks[1..8].iter().for_each(|block| watched.folder.write_block(block).unwrap());
    browser.wait_for(&shows("blocks", "8 of 12"), PATIENCE);
    watched.folder.write_block(&blocks[8]).unwrap();
    browser.wait_for(&shows("blocks", "9 of 12"), PATIENCE);
    browser.wait_for("!document.getElementById('narrowing-plot').hasAttribute('hidden')", PATIENCE);
    browser.wait_for(&shows("left", "1 min 14 s"), PATIENCE);
    browser.wait_for(&shows("failed", "1"), PATIENCE);
    assert_eq!(browser.evaluate("document.querySelectorAll('main img, main script').length"), json!(0));

    let axe = axe(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("axe"));
    if let Err(why) = &axe {
        println!("skipped: no axe-core: {why}");
    }
    for (width, dark) in [(1280, false), (1280, true), (390, false), (390, true)] {
        browser.look(width, dark);
        assert_eq!(browser.evaluate("document.documentElement.scrollWidth"), json!(width));
        browser.keep(&pictures(env!("CARGO_TARGET_TMPDIR")), "live", width, dark);
        if let Ok(axe) = &axe {
            assert_eq!(browser.violations(axe), json!([]), "{width} dark {dark}");
        }
    }
    browser.reload();
    browser.wait_for(&shows("blocks", "9 of 12"), PATIENCE);
    browser.wait_for(&shows("connection", "live"), PATIENCE);
    assert_eq!(browser.console, Vec::<String>::new(), "the console is silent");

    // A connection that breaks comes back with what has happened meanwhile.
    let port = port(&server);
    drop(server);
    browser.wait_for(&shows("connection", "connection lost, trying again"), PATIENCE);
    watched.folder.write_block(&blocks[9]).unwrap();
    let server = watched.serve(port, true);
    browser.wait_for(&shows("connection", "live"), PATIENCE);
    browser.wait_for(&shows("blocks", "10 of 12"), PATIENCE);

    // Another dyno on the same port has another token: that is said, and not tried for ever.
    drop(server);
    let _server = watched.serve(port, false);
    browser
        .wait_for("document.getElementById('connection').textContent.includes('no longer good')", PATIENCE);
    browser.wait_for("document.querySelector('main').className === 'stale'", PATIENCE);
    fs::remove_dir_all(watched.folder.path()).unwrap();
}
