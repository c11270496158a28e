//! Asking a stack once: not for timing.

use std::{net::SocketAddr, time::Duration};

use ureq::{Agent, http};

/// Longest wait for an answer; pools of a stack under 200 parallel requests make some wait.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks one stack.
#[derive(Clone)]
pub struct Client {
    agent: Agent,
    address: SocketAddr,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub content_type: String,
    pub body: Vec<u8>,
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        Self::patient(address, PATIENCE)
    }

    /// One that waits no longer than this for an answer.
    pub fn patient(address: SocketAddr, patience: Duration) -> Self {
        let configuration = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(patience))
            .max_redirects(0)
            // Proxies of the environment aren't for loopback.
            .proxy(None)
            .build();
        Self { agent: configuration.into(), address }
    }

    pub fn ask(&self, method: &str, target: &str, body: Option<(&str, &[u8])>) -> Result<Answer, String> {
        let mut request =
            http::Request::builder().method(method).uri(format!("http://{}{target}", self.address));
        let words = |error: &dyn std::fmt::Display| error.to_string();
        let answer = match body {
            Some((content_type, body)) => {
                request = request.header("Content-Type", content_type);
                self.agent.run(request.body(body.to_vec()).map_err(|error| words(&error))?)
            }
            // Without a length ureq would send an empty body in chunks, which not every server drains.
            None if ["POST", "PUT", "PATCH"].contains(&method) => {
                self.agent.run(request.body(Vec::new()).map_err(|error| words(&error))?)
            }
            None => self.agent.run(request.body(()).map_err(|error| words(&error))?),
        };
        let mut answer = answer.map_err(|error| words(&error))?;
        let content_type = answer
            .headers()
            .get("content-type")
            .and_then(|value| value.to_str().ok())
            .unwrap_or("")
            .to_owned();
        let body = answer.body_mut().read_to_vec().map_err(|error| words(&error))?;
        Ok(Answer { status: answer.status().as_u16(), content_type, body })
    }
}
