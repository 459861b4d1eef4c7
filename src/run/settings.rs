//! Configuration files: where they are, and what is in them.

use crate::config::{Text, Which};
use std::env;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Largest file that is read.
const BYTES_MAX: u64 = 1 << 20;
/// Ours, below a directory of configurations.
const OURS: &str = "fullcount/config.toml";

/// The file that is asked for; None where it is not there and nobody named it.
///
/// # Errors
/// A sentence: which file cannot be read, and why.
pub fn read(which: Which<'_>) -> Result<Option<Text>, String> {
    let home = || env::var_os("HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let path = match which {
        Which::Named(path) => return text(path).map(Some).map_err(|error| sentence(path, &error)),
        Which::Users => {
            let own = env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
            own.or_else(|| home().map(|home| home.join(".config"))).map(|at| at.join(OURS))
        }
        Which::Systems => Some(Path::new("/etc").join(OURS)),
        Which::Iftops => home().map(|home| home.join(".iftoprc")),
    };
    let Some(path) = path else { return Ok(None) };
    match text(&path) {
        Ok(text) => Ok(Some(text)),
        // A home that may not be looked into has no file either.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::PermissionDenied
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(sentence(&path, &error)),
    }
}

fn text(path: &Path) -> io::Result<Text> {
    let mut text = String::new();
    File::open(path)?.take(BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > BYTES_MAX {
        return Err(io::Error::other("it is larger than a MiB"));
    }
    // Some editors begin a file with a mark of its byte order: no part of the first line.
    let text = match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    };
    Ok(Text { path: path.to_owned(), text })
}

fn sentence(path: &Path, error: &io::Error) -> String {
    format!("cannot read {}: {error}: name a file that can be read, or leave it out", path.display())
}
