//! The program `dyno`: arguments -> request; `run` = lab; view = record -> analyse -> report; exit codes.

mod arguments;
mod commands;
mod exit;
mod output;
mod places;
mod progress;
mod schemas;
mod stop;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use arguments::{Arguments, Command};
use dyno_model::up::Action;

fn main() -> ExitCode {
    // Before clap: a keeper must start quickly, and never fail on a changed option.
    if std::env::args().nth(1).as_deref() == Some(commands::KEEPER) {
        return dyno_supervise::keeper::main();
    }
    if std::env::args().nth(1).as_deref() == Some(commands::TRUTH_SERVER) {
        return dyno_truth::server::main(std::env::args_os().skip(1));
    }
    let arguments = Arguments::parse();
    let Some(command) = &arguments.command else {
        let _ = Arguments::command().print_help();
        return ExitCode::SUCCESS;
    };
    let reports =
        matches!(command, Command::Run(_) | Command::Report(_) | Command::Compare(_) | Command::History(_));
    let summary = matches!((command, arguments.common.format), (Command::Gate(_), arguments::Format::Md));
    if arguments.common.format.of_reports() && !reports && !summary {
        eprintln!(
            "dyno: --format md, csv and svg are for `dyno run`, `dyno report`, `dyno compare` and `dyno history`, md for `dyno gate` too; here text and json can be had"
        );
        return ExitCode::from(exit::USAGE);
    }
    stop::listen();
    let result = match command {
        Command::Run(options) => commands::run(&arguments.common, options),
        Command::Compare(options) => commands::compare(&arguments.common, options),
        Command::Verdict(options) => commands::verdict(&arguments.common, options),
        Command::Calibrate(options) => commands::calibrate(&arguments.common, options),
        Command::Capacity(options) => commands::capacity(&arguments.common, options),
        Command::Scale(options) => commands::scale(&arguments.common, options),
        Command::Gate(options) => commands::gate(&arguments.common, options),
        Command::History(options) => commands::history(&arguments.common, options),
        Command::Check(options) => commands::check(&arguments.common, options),
        Command::List(options) => commands::list(&arguments.common, options),
        Command::Doctor => commands::doctor(&arguments.common),
        Command::Report(options) => commands::report(&arguments.common, options),
        Command::Up(options) => commands::up(&arguments.common, options),
        Command::Ps => commands::ps(&arguments.common),
        Command::Logs(options) => commands::logs(options),
        Command::Start(names) => commands::order(Action::Start, names),
        Command::Stop(names) => commands::order(Action::Stop, names),
        Command::Restart(names) => commands::order(Action::Restart, names),
        Command::Down => commands::down(),
        Command::Live(options) => commands::live(&arguments.common, options),
        Command::Load(options) => commands::load::load(&arguments.common, options),
        Command::Truth(options) => commands::truth(&arguments.common, options),
        Command::Lock(options) => commands::lock(&arguments.common, options),
        Command::Freeze(options) => commands::freeze(&arguments.common, options),
        Command::Schema => schemas::show_all(),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Arguments::command(), "dyno", &mut script);
            output::print(&String::from_utf8_lossy(&script)).map(|()| ExitCode::SUCCESS)
        }
        Command::Man { folder } => commands::man(folder),
    };
    result.unwrap_or_else(|error| {
        eprintln!("dyno: {error}");
        ExitCode::from(exit::code(&error))
    })
}
