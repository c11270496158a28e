//! A page that shows a run as it goes: beside the run itself, or from its folder alone.

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use dyno_live::{Door, RunBoard, Server, Site, cpu_ns, watch};
use dyno_record::RunFolder;

use crate::{
    arguments::{Common, LiveOptions},
    exit::Error,
    stop::STOP,
};

/// Time for browsers to take the last state.
const LAST_LOOK: Duration = Duration::from_millis(1500);

/// A page with the thread that watches its run's folder.
pub struct Page {
    board: Arc<RunBoard>,
    server: Server,
    watcher: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    opened: Instant,
}

impl Page {
    /// Opens a page of a run.
    pub fn open(folder: &RunFolder, port: u16, no_auth: bool) -> Result<Self, Error> {
        let board = Arc::new(RunBoard::default());
        let door = Door { port: Some(port), no_auth, socket: None, low_priority: true };
        let server = Server::start(&Site::Run(Arc::clone(&board)), &door)?;
        let stop = Arc::new(AtomicBool::new(false));
        let work = (Arc::clone(&board), folder.clone(), Arc::clone(&stop));
        let watcher = thread::Builder::new()
            .name("page-watch".to_owned())
            .spawn(move || watch(&work.0, &work.1, &work.2))?;
        Ok(Self { board, server, watcher: Some(watcher), stop, opened: Instant::now() })
    }

    /// Who wants to be told of events.
    pub fn board(&self) -> Arc<RunBoard> {
        Arc::clone(&self.board)
    }

    /// Where it is, in words.
    pub fn words(&self) -> String {
        format!("the run's page: {}", self.server.url().unwrap_or_default())
    }

    /// Shows the end, closes the page, and tells what it cost.
    pub fn close(self) -> String {
        self.board.ended();
        thread::sleep(LAST_LOOK);
        let (used_s, open_s) = (cpu_ns() as f64 / 1e9, self.opened.elapsed().as_secs_f64());
        format!("the run's page used {used_s:.2} s of CPU, {:.2} % of one core", used_s / open_s * 100.0)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(watcher) = self.watcher.take() {
            let _ = watcher.join();
        }
    }
}

/// `dyno live`.
pub fn live(common: &Common, options: &LiveOptions) -> Result<ExitCode, Error> {
    let folder = RunFolder::open(&common.runs, &options.run)?;
    // A folder that can't be shown is refused here, with the reason, and not on the page.
    folder.read_run()?;
    let page = Page::open(&folder, options.port, options.page.no_auth)?;
    eprintln!("{}", page.words());
    eprintln!("Ctrl-C closes it");
    while !STOP.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(100));
    }
    Ok(ExitCode::SUCCESS)
}
