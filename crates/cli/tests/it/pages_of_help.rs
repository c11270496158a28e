//! Completions and manual pages come from the arguments: none is empty, and each command is in them.

use std::{
    fs,
    process::{Command, Output, Stdio},
};

const COMMANDS: [&str; 27] = [
    "truth",
    "lock",
    "freeze",
    "schema",
    "calibrate",
    "gate",
    "history",
    "capacity",
    "scale",
    "run",
    "compare",
    "verdict",
    "check",
    "list",
    "doctor",
    "report",
    "up",
    "ps",
    "logs",
    "start",
    "stop",
    "restart",
    "down",
    "live",
    "load",
    "completions",
    "man",
];

fn dyno(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dyno")).args(arguments).output().unwrap()
}

#[test]
fn completions_name_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let output = dyno(&["completions", shell]);
        assert!(output.status.success(), "{shell}");
        let script = String::from_utf8(output.stdout).unwrap();
        for command in COMMANDS {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let output = dyno(&["man", folder.path().to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let whole = fs::read_to_string(folder.path().join("dyno.1")).unwrap();
    for command in COMMANDS {
        assert!(whole.contains(command), "{command} isn't in dyno.1");
        let page = fs::read_to_string(folder.path().join(format!("dyno-{command}.1"))).unwrap();
        assert!(page.contains(".SH"), "{command}: {page}");
    }
}

#[test]
fn a_reader_that_closes_the_pipe_is_no_panic() {
    // The reading end is closed before anything is written.
    for arguments in [&["completions", "bash"][..], &["schema"]] {
        let (read, write) = std::io::pipe().unwrap();
        drop(read);
        let child = Command::new(env!("CARGO_BIN_EXE_dyno"))
            .args(arguments)
            .stdout(write)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
        assert!(output.status.success(), "{arguments:?}: {}", output.status);
    }
}
