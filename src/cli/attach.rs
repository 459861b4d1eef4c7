//! `fullcount attach`: its words, and what they mean.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser;

use super::{Request, UsageError, parse_own};
use crate::config::Attach;

/// The word that asks for it.
pub(super) const WORD: &str = "attach";

/// The screen of a fullcount that runs, on this terminal.
///
/// It shows what one counts that was started with --socket; several may look on.
/// Nothing is changed by it: q leaves, and the other goes on.
#[derive(Clone, Debug, Parser)]
#[command(name = "fullcount attach", version, args_override_self = true, max_term_width = 80)]
#[command(override_usage = "fullcount attach [OPTIONS] [PATH]")]
pub(super) struct AttachArguments {
    /// Where it answers, as it was started with
    ///
    /// Default: /run/fullcount/fullcount.sock where it is there, else
    /// fullcount/fullcount.sock below $XDG_RUNTIME_DIR.
    #[arg(value_name = "PATH")]
    path: Option<PathBuf>,

    /// The same
    #[arg(short = 'U', long, value_name = "PATH", conflicts_with = "path")]
    socket: Option<PathBuf>,

    /// No colours, as NO_COLOR
    #[arg(long)]
    no_color: bool,
}

/// Reads the words behind the program's name, `attach` the first of them.
pub(super) fn parse(args: &[OsString]) -> Result<Request, UsageError> {
    parse_own(args, |typed: AttachArguments| {
        Ok(Request::Attach(Attach { socket: typed.path.or(typed.socket), no_color: typed.no_color }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn ask(line: &str) -> Result<Request, UsageError> {
        let words = std::iter::once("fullcount").chain(line.split_whitespace()).map(OsString::from);
        super::super::parse(words, &|_| false)
    }

    #[test]
    fn what_is_looked_at() {
        let attach = |socket: Option<&str>, no_color| {
            Ok(Request::Attach(Attach { socket: socket.map(PathBuf::from), no_color }))
        };
        assert_eq!(ask("attach"), attach(None, false));
        assert_eq!(ask("attach /run/x"), attach(Some("/run/x"), false));
        assert_eq!(ask("attach -U /run/x --no-color"), attach(Some("/run/x"), true));
        let wrong = ask("attach --interval 1").unwrap_err().to_string();
        assert!(wrong.starts_with("there is no option --interval"), "{wrong}");
        assert!(matches!(ask("-- attach"), Ok(Request::Run(_))), "a filter");
        let Ok(Request::Print(help)) = ask("attach --help") else { panic!("no help") };
        assert!(help.contains("fullcount attach [OPTIONS] [PATH]"), "{help}");
    }

    #[test]
    fn definitions_are_sound() {
        AttachArguments::command().debug_assert();
    }
}
