//! What nginx says of itself (<https://nginx.org/en/docs/http/ngx_http_stub_status_module.html>), asked on a unix socket
//! of its own.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use dyno_model::up::NginxState;

const PATIENCE: Duration = Duration::from_millis(200);

/// Asks nginx; `None` when it doesn't answer in time.
pub fn read(socket: &Path) -> Option<NginxState> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text).ok()?;
    parse(str::from_utf8(&text).ok()?.split_once("\r\n\r\n")?.1)
}

fn parse(body: &str) -> Option<NginxState> {
    let numbers: Vec<u64> = body.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let &[active, accepted, _handled, requests, reading, writing, waiting] = numbers.as_slice() else {
        return None;
    };
    Some(NginxState { active, accepted, requests, busy: reading + writing, waiting })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_seven_numbers() {
        let body = "Active connections: 291 \nserver accepts handled requests\n 16630948 16630948 31070465 \n\
                    Reading: 6 Writing: 179 Waiting: 106 \n";
        let state =
            NginxState { active: 291, accepted: 16_630_948, requests: 31_070_465, busy: 185, waiting: 106 };
        assert_eq!(parse(body), Some(state));
        assert_eq!(parse("404 Not Found"), None);
    }
}
