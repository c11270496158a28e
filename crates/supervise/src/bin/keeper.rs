//! The keeper as a program of its own, for the tests of this room; in dyno it is a hidden command.

fn main() -> std::process::ExitCode {
    dyno_supervise::keeper::main()
}
