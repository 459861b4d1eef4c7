//! Start, run, exit code.

use fullcount::cli::{self, Request};
use fullcount::run::{self, RunError};
use std::io::Write;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match cli::parse_with(std::env::args_os(), &|path| path.exists(), &run::settings::read) {
        Ok(Request::Print(text)) => {
            // A pager that was left early is no fault.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Ok(Request::Run(config)) => code(run::run(&config)),
        Ok(Request::Stat(wanted)) => code(run::stat(&wanted)),
        Ok(Request::Attach(wanted)) => code(run::attach(&wanted)),
        Err(error) => {
            complain(&format!("fullcount: {error}"));
            ExitCode::from(2)
        }
    }
}

/// Where nobody can be told, the exit code still tells.
fn complain(sentence: &str) {
    let _ = writeln!(std::io::stderr(), "{sentence}");
}

fn code(ended: Result<(), RunError>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if error.exit_code() != 0 {
                complain(&error.to_string());
            }
            ExitCode::from(error.exit_code())
        }
    }
}
