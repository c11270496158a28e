//! The truth server as a program of its own, to check any load generator: `cargo run -p testkit --bin truth-server`.

fn main() -> std::process::ExitCode {
    dyno_truth::server::main(std::env::args_os())
}
