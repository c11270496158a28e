//! Whether a stack runs on the interpreter that its name says, and whether a free-threaded one stays so under load.

use std::{net::SocketAddr, thread};

use serde_json::Value;

use crate::http::Client;

/// Askers at once: more than there are workers, so that each is met, and the interpreter has threads to run.
const ASKERS: usize = 32;

/// What a stack's `/about` tells against its interpreter's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// It is another one, in words.
    Another(String),
    /// A free-threaded build runs with its GIL: some module turned it on again.
    GilOn,
}

/// Asks every worker of a stack that has answered its cases what it runs on, for instance `3.14t` or `pypy3.11`.
///
/// # Errors
/// What doesn't fit the name; an answer that can't be understood counts as another interpreter.
pub fn runs_on(name: &str, address: SocketAddr) -> Result<(), Mismatch> {
    let ask = || {
        let client = Client::new(address);
        // Not the answer counts here but that a page is made, by all modules of the app.
        let _ = client.ask("GET", "/contacts/fetch?limit=3", None);
        let answer = client.ask("GET", "/about", None)?;
        serde_json::from_slice::<Value>(&answer.body).map_err(|error| format!("/about isn't JSON: {error}"))
    };
    let answers: Vec<Result<Value, String>> = thread::scope(|scope| {
        let askers: Vec<_> = (0..ASKERS).map(|_| scope.spawn(ask)).collect();
        askers.into_iter().map(|asker| asker.join().unwrap_or_else(|_| Err("panicked".to_owned()))).collect()
    });
    for answer in answers {
        fits(name, &answer.map_err(Mismatch::Another)?)?;
    }
    Ok(())
}

fn fits(name: &str, about: &Value) -> Result<(), Mismatch> {
    let number = name.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let (number, free_threaded) = match number.strip_suffix('t') {
        Some(number) => (number, true),
        None => (number, false),
    };
    let implementation = if name.starts_with("pypy") { "PyPy" } else { "CPython" };
    let version = about["interpreter"].as_str().unwrap_or_default();
    if about["implementation"] != implementation || !version.starts_with(&format!("{number}.")) {
        return Err(Mismatch::Another(format!(
            "/about says {} {version}, which isn't {name}",
            about["implementation"].as_str().unwrap_or("nothing of an implementation")
        )));
    }
    match about["gil"].as_bool() {
        Some(false) if !free_threaded => {
            Err(Mismatch::Another(format!("/about says that {name} has no GIL, as a free-threaded build")))
        }
        None if free_threaded => {
            Err(Mismatch::Another("/about doesn't say whether the GIL is on".to_owned()))
        }
        Some(true) if free_threaded => Err(Mismatch::GilOn),
        _ => Ok(()),
    }
}

/// The module that turned the GIL on, from the interpreter's own warning in a log.
pub fn module_with_gil(log: &str) -> Option<&str> {
    let (_, rest) = log.split_once("has been enabled to load module '")?;
    Some(rest.split_once('\'')?.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_is_held_against_what_runs() {
        let about = |implementation: &str, version: &str, gil: bool| json!({"implementation": implementation, "interpreter": version, "gil": gil});
        assert_eq!(fits("3.14", &about("CPython", "3.14.2", true)), Ok(()));
        assert_eq!(fits("3.14t", &about("CPython", "3.14.2", false)), Ok(()));
        assert_eq!(fits("pypy3.11", &about("PyPy", "3.11.11", true)), Ok(()));
        assert_eq!(fits("3.14t", &about("CPython", "3.14.2", true)), Err(Mismatch::GilOn));
        for (name, about) in [
            ("3.14", about("CPython", "3.13.2", true)),
            ("3.1", about("CPython", "3.14.0", true)),
            ("pypy3.11", about("CPython", "3.11.2", true)),
            ("3.11", about("PyPy", "3.11.11", true)),
            ("3.14", about("CPython", "3.14.2", false)),
            ("3.14t", json!({"implementation": "CPython", "interpreter": "3.14.2"})),
            ("3.14", json!([])),
        ] {
            assert!(matches!(fits(name, &about), Err(Mismatch::Another(_))), "{name} {about}");
        }
    }

    #[test]
    fn the_interpreters_own_warning_names_the_module() {
        let log = "starting\n<frozen importlib._bootstrap>:491: RuntimeWarning: The global interpreter lock (GIL) has \
            been enabled to load module 'greenlet._greenlet', which has not declared that it can run safely without \
            the GIL. To override this behavior and keep the GIL disabled (at your own risk), run with \
            PYTHON_GIL=0 or -Xgil=0.\n";
        assert_eq!(module_with_gil(log), Some("greenlet._greenlet"));
        assert_eq!(module_with_gil("nothing of the kind"), None);
    }
}
