//! A headless Chromium driven by its DevTools protocol over a pipe: no port, and it ends when the pipe is closed.

#![allow(clippy::unwrap_used, reason = "a test that can't have its browser's answer ends there")]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

const PROGRAMS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Between two looks at what is waited for.
const PAUSE: Duration = Duration::from_millis(50);

/// Gives axe's violations in short.
const CHECK: &str = "axe.run(document, {resultTypes: ['violations']}).then((found) => found.violations.map((one) =>\
    one.id + ': ' + one.nodes.slice(0, 3).map((node) => node.html.slice(0, 160) + ' ' + node.failureSummary).join(' | ')))";

/// What a page weighs.
const WEIGHTS: &str = "(() => { const of = (type) => performance.getEntriesByType(type); const [page] = of('navigation'); return {\
    page_bytes: page.decodedBodySize, other_bytes: of('resource').reduce((sum, one) => sum + one.decodedBodySize, 0),\
    paint_ms: Object.fromEntries(of('paint').map((one) => [one.name, one.startTime])), load_ms: page.loadEventEnd,\
    elements: document.querySelectorAll('*').length}; })()";

/// The most of a page that a picture shows, in pixels.
const TALLEST: u32 = 2_400;

/// The folder of pages' pictures and weights: `DYNO_SCREENSHOTS`, else `screenshots` in a test's own (`CARGO_TARGET_TMPDIR`).
pub fn pictures(target: &str) -> PathBuf {
    std::env::var_os("DYNO_SCREENSHOTS").map_or_else(|| Path::new(target).join("screenshots"), PathBuf::from)
}

/// A browser with one page.
pub struct Chromium {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
    session: Option<String>,
    next: u64,
    /// What the page wrote to its console, and what it threw.
    pub console: Vec<String>,
    /// What a page may ask for, by how its address begins.
    allowed: Vec<String>,
    _profile: tempfile::TempDir,
}

impl Chromium {
    /// Starts one; `None` where the machine has none.
    pub fn start() -> Option<Self> {
        let found = |program: &&&str| {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
        };
        let program = PROGRAMS.iter().find(found)?;
        let profile = tempfile::tempdir().unwrap();
        // The protocol's pipes are descriptors 3 and 4, which the shell makes of standard input and output.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", "sh", program])
            .args([
                "--headless=new",
                "--no-sandbox",
                "--remote-debugging-pipe",
                "--disable-gpu",
                "--no-first-run",
            ])
            .args(["--disable-background-networking", "--hide-scrollbars", "--disable-dev-shm-usage"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, from) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let allowed = vec!["file:".to_owned(), "data:".to_owned()];
        let (session, console) = (None, Vec::new());
        let mut browser = Self { child, to, from, session, next: 0, console, allowed, _profile: profile };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}))["targetId"].clone();
        let session = browser.call("Target.attachToTarget", json!({"targetId": target, "flatten": true}));
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page.enable", "Runtime.enable", "Log.enable", "Network.enable"] {
            browser.call(domain, json!({}));
        }
        Some(browser)
    }

    /// One command and its result.
    pub fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.next += 1;
        let mut message = json!({"id": self.next, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let to = self.to.as_mut().unwrap();
        to.write_all(message.to_string().as_bytes()).and_then(|()| to.write_all(&[0])).unwrap();
        to.flush().unwrap();
        loop {
            let message = self.read();
            if message["id"] == json!(self.next) {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
        }
    }

    fn read(&mut self) -> Value {
        let mut bytes = Vec::new();
        self.from.read_until(0, &mut bytes).unwrap();
        assert_eq!(bytes.pop(), Some(0), "the browser went away");
        let message: Value = serde_json::from_slice(&bytes).unwrap();
        match message["method"].as_str().unwrap_or_default() {
            "Runtime.consoleAPICalled" | "Runtime.exceptionThrown" | "Log.entryAdded" => {
                self.console.push(message["params"].to_string());
            }
            // A page that opens from disk asks for nothing but itself, one of dyno's for nothing but dyno.
            "Network.requestWillBeSent" => {
                let url = message["params"]["request"]["url"].as_str().unwrap_or_default();
                assert!(self.allowed.iter().any(|begin| url.starts_with(begin)), "asks for {url}");
            }
            _ => {}
        }
        message
    }

    /// Opens a file and waits until it is loaded.
    pub fn open(&mut self, file: &Path, width: u32, dark: bool, script: bool) {
        self.look(width, dark);
        self.call("Emulation.setScriptExecutionDisabled", json!({"value": !script}));
        self.load("Page.navigate", json!({"url": format!("file://{}", file.display())}));
    }

    /// Opens a page of a server on loopback, such as `http://127.0.0.1:9001/`, and waits until it is loaded. From then on
    /// that server may be asked, and no other.
    pub fn open_url(&mut self, url: &str, width: u32, dark: bool) {
        let path = url.match_indices('/').nth(2).map_or(url.len(), |(at, _)| at + 1);
        assert!(url.starts_with("http://127.0.0.1:"), "{url}");
        self.allowed.push(url[..path].to_owned());
        self.look(width, dark);
        self.load("Page.navigate", json!({"url": url}));
    }

    /// Loads the page again.
    pub fn reload(&mut self) {
        self.load("Page.reload", json!({}));
    }

    fn load(&mut self, method: &str, parameters: Value) {
        self.call(method, parameters);
        while self.read()["method"] != json!("Page.loadEventFired") {}
    }

    /// Changes the window's width in pixels and the colour scheme.
    pub fn look(&mut self, width: u32, dark: bool) {
        self.call(
            "Emulation.setDeviceMetricsOverride",
            json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}),
        );
        let scheme = if dark { "dark" } else { "light" };
        self.call(
            "Emulation.setEmulatedMedia",
            json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]}),
        );
    }

    /// Waits until an expression is true.
    pub fn wait_for(&mut self, expression: &str, patience: Duration) {
        let begin = Instant::now();
        while self.evaluate(expression) != json!(true) {
            assert!(begin.elapsed() < patience, "it didn't happen: {expression}");
            thread::sleep(PAUSE);
        }
    }

    /// Keeps what the page weighs in a folder, as `NAME.json`: bytes as they are after decompression, the page's own and those
    /// of what it loaded; milliseconds until the first paint and the load event; elements.
    pub fn weigh(&mut self, folder: &Path, name: &str) {
        // The entry of the first paint may come after the load event.
        self.wait_for("performance.getEntriesByType('paint').length > 0", Duration::from_secs(10));
        let weights = self.evaluate(WEIGHTS);
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join(format!("{name}.json")), serde_json::to_vec_pretty(&weights).unwrap()).unwrap();
    }

    /// Keeps a picture of the page, or of its upper part where it is very long, in a folder, as `NAME-WIDTH-SCHEME.png`.
    pub fn keep(&mut self, folder: &Path, name: &str, width: u32, dark: bool) {
        let height = self.evaluate("document.documentElement.scrollHeight").as_u64().unwrap();
        let picture = self.screenshot(width, u32::try_from(height).unwrap().min(TALLEST));
        assert!(picture.starts_with(b"\x89PNG"));
        fs::create_dir_all(folder).unwrap();
        let scheme = if dark { "dark" } else { "light" };
        fs::write(folder.join(format!("{name}-{width}-{scheme}.png")), picture).unwrap();
    }

    /// What axe-core finds wrong, if its script is there: nothing, in a good page.
    pub fn violations(&mut self, axe: &str) -> Value {
        self.evaluate(axe);
        self.evaluate(CHECK)
    }

    /// The value of an expression; a promise is waited for.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let result = self.call("Runtime.evaluate", parameters);
        assert!(result["exceptionDetails"].is_null(), "{result}");
        result["result"]["value"].clone()
    }

    /// A picture of the first `height` pixels as PNG.
    fn screenshot(&mut self, width: u32, height: u32) -> Vec<u8> {
        let clip = json!({"x": 0, "y": 0, "width": width, "height": height, "scale": 1});
        let result = self.call(
            "Page.captureScreenshot",
            json!({"format": "png", "captureBeyondViewport": true, "clip": clip}),
        );
        STANDARD.decode(result["data"].as_str().unwrap()).unwrap()
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // Without its pipe it ends by itself, children and all.
        self.to = None;
        let _ = self.child.wait();
    }
}

/// axe-core's script, or why it can't be had. Fetched by pip with its hash into `folder`, the build's own, once.
///
/// # Errors
/// No pip, or no way to what it fetches from.
pub fn axe(folder: &Path) -> Result<String, String> {
    let script = folder.join("axe.min.js");
    if !script.is_file() {
        let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("axe/requirements.txt");
        let fetch = "import glob,subprocess,sys,zipfile\n\
            f,l=sys.argv[1:]\n\
            subprocess.run([sys.executable,'-m','pip','download','-q','--no-deps','--require-hashes','-r',l,'-d',f],check=True)\n\
            z=zipfile.ZipFile(glob.glob(f+'/*.whl')[0])\n\
            open(f+'/axe.min.js','wb').write(z.read('axe_playwright_python/axe.min.js'))";
        let done = Command::new("python3").args(["-c", fetch]).arg(folder).arg(&lock).output();
        let done = done.map_err(|error| format!("python3: {error}"))?;
        if !done.status.success() {
            return Err(String::from_utf8_lossy(&done.stderr).into_owned());
        }
    }
    fs::read_to_string(script).map_err(|error| error.to_string())
}
