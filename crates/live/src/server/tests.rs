//! Over real sockets: who is let in, who is refused, and a reader that never reads.

use std::{
    fs::File,
    io::{Read, Write},
    net::TcpStream,
    sync::Mutex,
    time::Instant,
};

use dyno_model::up::{Action, Phase, ProcessState, UpState};

use super::*;
use crate::{Refusal, client};

struct Fake {
    log: PathBuf,
    orders: Mutex<Vec<(String, Action)>>,
}

impl Crew for Fake {
    fn state(&self) -> UpState {
        let one = ProcessState {
            name: "flask+gunicorn".to_owned(),
            stack: None,
            role: "server".to_owned(),
            phase: Phase::Running,
            pid: Some(1),
            up_s: Some(1.0),
            cpu_cores: 0.5,
            memory_bytes: 1024,
            processes: 1,
            restarts: 0,
            last_exit: None,
            again_s: None,
            url: None,
            uwsgi: None,
            nginx: None,
            log: self.log.clone(),
        };
        UpState { processes: vec![one], database: None }
    }

    fn order(&self, name: &str, action: Action) -> Result<Vec<String>, Refusal> {
        self.orders.lock().unwrap().push((name.to_owned(), action));
        self.named(name)
    }

    fn named(&self, name: &str) -> Result<Vec<String>, Refusal> {
        if name == "flask+gunicorn" {
            Ok(vec![name.to_owned()])
        } else {
            Err(Refusal::Unknown(format!("no {name}")))
        }
    }

    fn go_down(&self) {}
}

struct Bed {
    crew: Arc<Fake>,
    folder: tempfile::TempDir,
    server: Server,
    port: u16,
    token: String,
}

fn bed() -> Bed {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("a.log");
    fs::write(&log, "first <script>alert(1)</script>\nsecond\n").unwrap();
    let crew = Arc::new(Fake { log, orders: Mutex::default() });
    let socket = Some(folder.path().join("control"));
    let door = Door { port: Some(0), socket, ..Door::default() };
    let site = Site::Admin(Arc::clone(&crew) as Arc<dyn Crew>);
    let server = Server::start_with_patience(&site, &door, Duration::from_millis(500)).unwrap();
    let url = server.url().unwrap().to_owned();
    let (address, token) = url.split_once("/?token=").unwrap();
    let port = address.rsplit_once(':').unwrap().1.parse().unwrap();
    Bed { crew, folder, port, token: token.to_owned(), server }
}

impl Bed {
    fn send(&self, line: &str, headers: &[String]) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(stream, "{line} HTTP/1.1\r\nConnection: close\r\n{}\r\n", headers.concat()).unwrap();
        stream
    }

    fn ask(&self, line: &str, headers: &[String]) -> String {
        let mut text = String::new();
        self.send(line, headers).read_to_string(&mut text).unwrap();
        text
    }

    fn host(&self) -> String {
        format!("Host: 127.0.0.1:{}\r\n", self.port)
    }

    fn origin(&self) -> String {
        format!("Origin: http://127.0.0.1:{}\r\n", self.port)
    }

    fn cookie(&self) -> String {
        format!("Cookie: dyno_{}={}\r\n", self.port, self.token)
    }
}

#[test]
fn a_token_opens_the_page_and_nothing_else_does() {
    let bed = bed();
    let token = bed.token.clone();
    let first = bed.ask(&format!("GET /?token={token}"), &[bed.host()]);
    assert!(first.starts_with("HTTP/1.1 303") && first.contains("HttpOnly; SameSite=Strict"), "{first}");
    assert!(first.to_lowercase().contains("location: /\r\n"), "the token leaves the address: {first}");
    let page = bed.ask("GET /", &[bed.host(), bed.cookie()]);
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("content-security-policy"), "{page}");
    for path in
        ["/", "/api/state", "/api/stream", "/api/log?name=flask%2Bgunicorn", "/metrics", "/admin.js", "/no"]
    {
        let none = bed.ask(&format!("GET {path}"), &[bed.host()]);
        assert!(none.starts_with("HTTP/1.1 403"), "{path}: {none}");
        let foreign = bed.ask(&format!("GET {path}"), &["Host: evil.example\r\n".to_owned(), bed.cookie()]);
        assert!(foreign.starts_with("HTTP/1.1 403") && foreign.contains("wrong Host"), "{path}: {foreign}");
    }
    let wrong = bed.ask(&format!("GET /?token={}", "0".repeat(64)), &[bed.host(), bed.cookie()]);
    assert!(wrong.starts_with("HTTP/1.1 403") && !wrong.contains(&token), "{wrong}");
    let metrics = bed.ask("GET /metrics", &[bed.host(), format!("Authorization: Bearer {token}\r\n")]);
    let line = "dyno_process_up{process=\"flask+gunicorn\",role=\"server\"} 1.0";
    assert!(metrics.contains(line), "{metrics}");
}

#[test]
fn only_the_page_itself_changes_something() {
    let bed = bed();
    let order = "POST /api/order?name=flask%2Bgunicorn&action=restart";
    let evil = "Origin: http://evil.example\r\n".to_owned();
    for headers in [
        vec![bed.host(), bed.cookie(), evil],
        vec![bed.host(), bed.cookie()],
        vec![bed.host(), bed.cookie(), bed.origin(), "Sec-Fetch-Site: cross-site\r\n".to_owned()],
        vec![bed.host(), bed.origin()],
    ] {
        let answer = bed.ask(order, &headers);
        assert!(answer.starts_with("HTTP/1.1 403"), "{headers:?}: {answer}");
    }
    let get = bed.ask(&order.replace("POST", "GET"), &[bed.host(), bed.cookie()]);
    assert!(get.starts_with("HTTP/1.1 405"), "{get}");
    let down = bed.ask("POST /api/down", &[bed.host(), bed.cookie(), bed.origin()]);
    assert!(down.starts_with("HTTP/1.1 404"), "the end is the terminal's alone: {down}");
    assert_eq!(bed.crew.orders.lock().unwrap().len(), 0);
    let answer = bed.ask(order, &[bed.host(), bed.cookie(), bed.origin()]);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(*bed.crew.orders.lock().unwrap(), [("flask+gunicorn".to_owned(), Action::Restart)]);
    let unknown = bed.ask(&order.replace("flask", "../../etc"), &[bed.host(), bed.cookie(), bed.origin()]);
    assert!(unknown.starts_with("HTTP/1.1 404"), "{unknown}");
}

#[test]
fn a_log_goes_on_where_its_reader_stopped() {
    let bed = bed();
    let line = "GET /api/log?name=flask%2Bgunicorn";
    let read = |headers: &[String], wanted: &str| {
        let mut stream = bed.send(line, headers);
        let (mut text, mut buffer) = (String::new(), [0; 4096]);
        while !text.contains(wanted) {
            let length = stream.read(&mut buffer).unwrap();
            assert!(length > 0, "it ended: {text}");
            text += &String::from_utf8_lossy(&buffer[..length]);
        }
        text
    };
    let first = read(&[bed.host(), bed.cookie()], "data: second");
    let id = first.lines().find_map(|line| line.strip_prefix("id: ")).unwrap();
    assert_eq!(id.parse::<u64>().unwrap(), fs::metadata(&bed.crew.log).unwrap().len());
    assert!(first.contains("data: first <script>") && first.contains("text/event-stream"), "{first}");
    File::options().append(true).open(&bed.crew.log).unwrap().write_all(b"third\n").unwrap();
    let more = read(&[bed.host(), bed.cookie(), format!("Last-Event-ID: {id}\r\n")], "data: third");
    assert!(!more.contains("second"), "{more}");
    let path = bed.ask("GET /api/log?name=..%2Fa.log", &[bed.host(), bed.cookie()]);
    assert!(path.starts_with("HTTP/1.1 404"), "a name is no path: {path}");
}

#[test]
fn a_reader_that_never_reads_is_dropped_and_the_others_stay() {
    let bed = bed();
    let mut log = File::options().append(true).open(&bed.crew.log).unwrap();
    // More than the sockets' buffers hold: the rest would have to wait in this process.
    let line = format!("{}\n", "y".repeat(1000));
    let total = 40 * 1024 * 1024;
    for _ in 0..total / 1001 {
        log.write_all(line.as_bytes()).unwrap();
    }
    let from_begin = "Last-Event-ID: 0\r\n".to_owned();
    let mut slow = bed.send("GET /api/log?name=flask%2Bgunicorn", &[bed.host(), bed.cookie(), from_begin]);
    let begin = Instant::now();
    // It asked for 40 MiB and reads nothing for several times the patience.
    thread::sleep(Duration::from_millis(2500));
    let other = bed.ask("GET /api/state", &[bed.host(), bed.cookie()]);
    assert!(other.starts_with("HTTP/1.1 200"), "{other}");
    let (mut got, mut buffer) = (0, vec![0; 1 << 20]);
    loop {
        match slow.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(length) => got += length,
        }
    }
    assert!(begin.elapsed() < Duration::from_secs(20), "it ended by the server's hand, not by the test's");
    assert!(got < total / 2, "{got} bytes of {total} came, what the kernel's buffers held");
}

#[test]
fn streams_are_counted() {
    let bed = bed();
    let ask = || bed.send("GET /api/stream", &[bed.host(), bed.cookie()]);
    let mut open: Vec<TcpStream> = (0..crate::stream::MOST_STREAMS).map(|_| ask()).collect();
    let mut first = [0; 12];
    for stream in &mut open {
        stream.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
    }
    ask().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 503");
}

#[test]
fn the_terminal_asks_over_a_socket_of_its_own() {
    let bed = bed();
    let folder = bed.folder.path().join("control");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&socket_path(&folder))), (0o700, 0o600));
    let home = bed.folder.path();
    let state: UpState = client::ask_json(home, &folder, "GET", "/api/state").unwrap();
    assert_eq!(state.processes[0].name, "flask+gunicorn");
    let url: Option<String> = client::ask_json(home, &folder, "GET", "/api/address").unwrap();
    assert_eq!(url.as_deref(), bed.server.url());
    let mut text = Vec::new();
    client::ask(home, &folder, "GET", "/api/logs?lines=1", &mut |piece| text.extend_from_slice(piece))
        .unwrap();
    assert_eq!(String::from_utf8(text).unwrap(), "flask+gunicorn | second\n");
    let refused =
        client::ask(home, &folder, "POST", "/api/order?name=x&action=stop", &mut |_| ()).unwrap_err();
    assert_eq!(refused.to_string(), "no x");
    let socket = socket_path(&folder);
    drop(bed.server);
    assert!(!socket.exists());
    let gone = client::ask(home, &folder, "GET", "/api/state", &mut |_| ()).unwrap_err();
    assert!(gone.to_string().contains("no dyno is up"), "{gone}");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let site = Site::Run(Arc::default());
    let error = Server::start(&site, &Door { port: Some(port), ..Door::default() }).err().unwrap();
    assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
}
