//! `fullcount stat`: asks a running fullcount on its socket and shows the answer.
//!
//! tcpeek's socket is understood as well: the request ends as it wants it.
//! A side that does not answer within five seconds is no reason to hang.

use super::{RunError, output_error};
use crate::config::{Stat, StatShow};
use crate::output::stat::Statistics;
use std::env;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Between two pieces of an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// More than 64 watches can say.
const ANSWER_MAX: u64 = 1 << 20;
/// Below the runtime directory, which is the system's or the user's.
const DEFAULT: &str = "fullcount/fullcount.sock";

/// Does what the user decided.
///
/// # Errors
/// See [`RunError`].
pub fn stat(wanted: &Stat) -> Result<(), RunError> {
    let path = match &wanted.socket {
        Some(path) => path.clone(),
        None => found("stat --socket PATH")?,
    };
    let request = match wanted.refresh.as_deref() {
        None => "GET\r\n".to_owned(),
        Some("") => "REFRESH\r\n".to_owned(),
        Some(name) => format!("REFRESH {name}\r\n"),
    };
    let failed = |what: &dyn std::fmt::Display| RunError::Failed(vec![format!("{}: {what}", path.display())]);
    let answer = ask(&path, &request).map_err(|error| failed(&sentence(&error)))?;
    let statistics = Statistics::read(&answer).map_err(|error| failed(&error))?;
    match wanted.show {
        StatShow::Text => print(statistics.text().as_bytes()),
        StatShow::Json => print(&answer).and_then(|()| print(b"\n")),
        StatShow::Gmetric => gmetric(&statistics),
    }
}

/// Why nobody could be asked.
pub(super) fn sentence(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
            "nobody answers there: start fullcount with --socket, or name its path with --socket".to_owned()
        }
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            "no answer came within five seconds: ask again, it may have too many clients".to_owned()
        }
        ErrorKind::PermissionDenied => {
            "this user may not ask there: ask as the one who started it, or start it so that others may \
             (--socket-mode, --socket-owner)"
                .to_owned()
        }
        _ => format!("cannot ask there: {error}"),
    }
}

/// Where a fullcount answers by default; `words` name another place.
pub(super) fn found(words: &str) -> Result<PathBuf, RunError> {
    let mut places = vec![Path::new("/run").join(DEFAULT)];
    places.extend(env::var_os("XDG_RUNTIME_DIR").map(|user| Path::new(&user).join(DEFAULT)));
    if let Some(place) = places.iter().find(|place| place.exists()) {
        return Ok(place.clone());
    }
    let list: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
    Err(RunError::Failed(vec![format!(
        "no fullcount answers at {}: name the path that it was started with, as in fullcount {words}",
        list.join(" or ")
    )]))
}

fn ask(path: &Path, request: &str) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX).read_to_end(&mut answer)?;
    Ok(answer)
}

fn print(text: &[u8]) -> Result<(), RunError> {
    io::stdout().write_all(text).and_then(|()| io::stdout().flush()).map_err(output_error)
}

/// One call of gmetric for each figure, told on standard output as tcpeekstat
/// does. No shell reads the names.
fn gmetric(statistics: &Statistics) -> Result<(), RunError> {
    let mut failed = 0;
    for (name, figure) in statistics.metrics() {
        let figure = figure.to_string();
        let arguments = ["-n", &name, "-v", &figure, "-t", "uint32"];
        let told: String = arguments.join(" ").chars().filter(|one| !one.is_control()).collect();
        print(format!("gmetric {told}\n").as_bytes())?;
        match Command::new("gmetric").args(arguments).stdin(Stdio::null()).status() {
            Ok(status) if status.success() => {}
            Ok(_) => failed += 1,
            Err(error) => {
                return Err(RunError::Failed(vec![format!(
                    "cannot run gmetric: {error}: install Ganglia's gmetric, or put it on PATH"
                )]));
            }
        }
    }
    if failed > 0 {
        return Err(RunError::Failed(vec![format!("gmetric failed for {failed} figures: see what it said")]));
    }
    Ok(())
}
