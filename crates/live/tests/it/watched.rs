//! A run's folder with a page that follows it.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use dyno_analyse::synthetic;
use dyno_live::{Door, RunBoard, Server, Site, watch};
use dyno_model::record::{Block, Run};
use dyno_record::RunFolder;

/// Three stacks over twelve blocks.
pub fn made() -> (Run, Vec<Block>) {
    let stacks = [("flask/uwsgi/nginx", 900.0), ("fastapi-asyncpg/uvicorn", 1200.0), ("go-bun/go", 5000.0)];
    let mut run = synthetic::run(&stacks);
    run.plan.title = "Three stacks, made up".to_owned();
    run.plan.design.blocks = 12;
    let blocks = synthetic::blocks(&run, &stacks.map(|(_, rate)| rate), 12, 0.02);
    (run, blocks)
}

/// A folder that is watched until the end of the test.
pub struct Watched {
    pub folder: RunFolder,
    pub board: Arc<RunBoard>,
    stop: Arc<AtomicBool>,
    watcher: Option<JoinHandle<()>>,
    _runs: tempfile::TempDir,
}

impl Watched {
    pub fn new() -> Self {
        let runs = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(runs.path(), "watched").unwrap();
        let (board, stop) = (Arc::<RunBoard>::default(), Arc::new(AtomicBool::new(false)));
        let theirs = (Arc::clone(&board), folder.clone(), Arc::clone(&stop));
        let watcher = Some(thread::spawn(move || watch(&theirs.0, &theirs.1, &theirs.2)));
        Self { folder, board, stop, watcher, _runs: runs }
    }

    pub fn serve(&self, port: u16, no_auth: bool) -> Server {
        let door = Door { port: Some(port), no_auth, socket: None, low_priority: false };
        Server::start(&Site::Run(Arc::clone(&self.board)), &door).unwrap()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.watcher.take().map(JoinHandle::join);
        assert!(
            thread::panicking() || ended.is_none_or(|it| it.is_ok()),
            "the watcher lives as long as the page"
        );
    }
}

/// The port in a page's address.
pub fn port(server: &Server) -> u16 {
    let url = server.url().unwrap();
    url.split(['/', ':']).nth(4).unwrap().parse().unwrap()
}

/// An answer, head and body.
pub fn ask(port: u16, target: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n").unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// The view as JSON, once it is as wanted.
pub fn wait_for(port: u16, what: &str, wanted: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
    let begin = Instant::now();
    loop {
        let answer = ask(port, "/api/state");
        let view = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        if wanted(&view) {
            return view;
        }
        assert!(begin.elapsed() < Duration::from_secs(120), "{what}: {view}");
        thread::sleep(Duration::from_millis(50));
    }
}
