//! The file of `--names`: read once, before anything is opened.

use super::RunError;
use crate::output::names::Names;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Largest file: a million lines are half of it.
const BYTES_MAX: u64 = 64 << 20;
/// Bad lines that are told one by one.
const TOLD_MAX: usize = 5;

/// Names of a file; none without one.
///
/// # Errors
/// Exit code 1: what is wrong with the file, or with which of its lines.
pub(super) fn read(path: Option<&Path>) -> Result<Names, RunError> {
    let Some(path) = path else { return Ok(Names::default()) };
    let about = |what: String| format!("--names {}: {what}", path.display());
    let failed = |what: String| RunError::Failed(vec![about(what)]);
    let text = bytes(path).map_err(|error| failed(format!("cannot read it: {error}")))?;
    if text.len() as u64 > BYTES_MAX {
        return Err(failed(format!(
            "this is larger than {} MiB: name a file like /etc/hosts",
            BYTES_MAX >> 20
        )));
    }
    Names::read(&text).map_err(|wrong| {
        let mut told: Vec<String> = wrong.iter().take(TOLD_MAX).map(|line| about(line.to_string())).collect();
        let more = wrong.len().saturating_sub(TOLD_MAX);
        if more > 0 {
            told.push(about(format!("{more} more lines are wrong")));
        }
        RunError::Failed(told)
    })
}

fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(BYTES_MAX + 1).read_to_end(&mut text)?;
    Ok(text)
}
