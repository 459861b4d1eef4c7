//! The file of `--report`: written beside its place, then moved there, so that
//! whoever reads it has a whole one, the old or the new.
//!
//! What is no file (a device, a pipe) is written to as it is: moving a file over
//! it would take it away. A report that cannot be written changes nothing else.

use super::RunError;
use crate::aggregate::snapshot::Snapshot;
use crate::config;
use crate::output::{Context, Coverages, Notice, Start, StopReason, Style, report};
use rustix::fs::{Access, access};
use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind};
use std::path::{Path, PathBuf};

/// Names that are tried: a run that was killed may have left its own behind.
const NAMES: u32 = 16;

/// See the module's description.
pub(super) struct Report {
    path: PathBuf,
    content: report::Report,
}

impl Report {
    pub fn new(wanted: &config::Report, style: Style) -> Report {
        Report { path: wanted.path.clone(), content: report::Report::new(wanted.mode, style) }
    }

    /// The run began. What makes it doubtful that there will be a report, as long as
    /// something can be done about it.
    pub fn begin(&mut self, start: &Start) -> Option<Notice> {
        self.content.begin(start);
        let place = Place::of(&self.path);
        let error = match &place {
            Place::Other(path) => access(path, Access::WRITE_OK),
            // The dot asks for a directory.
            Place::File(path) => access(folder_of(path).join("."), Access::WRITE_OK),
        };
        let message = self.sentence(&error.err()?.into());
        Some(Notice { time_ns: start.time_ns, event: "report", interface: None, count: None, message })
    }

    /// Something was told.
    pub fn note(&mut self, notice: &Notice) {
        self.content.note(notice);
    }

    /// Writes it.
    ///
    /// # Errors
    /// A sentence, exit code 1.
    pub fn write(
        &self,
        reason: &StopReason,
        snapshot: &Snapshot,
        coverage: &Coverages,
        context: &Context,
    ) -> Result<(), RunError> {
        let content = |file: File| {
            let mut to = BufWriter::new(file);
            self.content.write(&mut to, reason, snapshot, coverage, context)?;
            to.into_inner().map_err(io::IntoInnerError::into_error)
        };
        let written = match Place::of(&self.path) {
            Place::Other(path) => File::options().append(true).open(path).and_then(content).map(|_| ()),
            Place::File(path) => replace(&path, content),
        };
        written.map_err(|error| RunError::Failed(vec![self.sentence(&error)]))
    }

    fn sentence(&self, error: &io::Error) -> String {
        let path = self.path.display();
        format!(
            "--report {path}: cannot write it: {error}: name a file in a directory that this user may write to"
        )
    }
}

/// Where a report goes.
enum Place {
    /// A file, or nothing yet.
    File(PathBuf),
    /// Something else that can be written to.
    Other(PathBuf),
}

impl Place {
    /// What a name leads to, through links.
    fn of(path: &Path) -> Place {
        // /dev/stdout may be a file that somebody else writes to.
        let is_other = ["/dev", "/proc"].iter().any(|folder| path.starts_with(folder));
        match fs::metadata(path) {
            Ok(there) if is_other || !(there.is_file() || there.is_dir()) => Place::Other(path.to_owned()),
            _ => Place::File(fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())),
        }
    }
}

fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().unwrap_or(Path::new("/"));
    if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
}

/// Puts a new file in a file's place.
fn replace(path: &Path, content: impl FnOnce(File) -> io::Result<File>) -> io::Result<()> {
    let (beside, file) = create_beside(path)?;
    let written = content(file).and_then(|file| {
        // Who may read the old one may read the new one.
        if let Ok(old) = fs::metadata(path) {
            file.set_permissions(old.permissions())?;
        }
        file.sync_all()?;
        fs::rename(&beside, path)
    });
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

fn create_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    let name = |number| format!(".fullcount-report.{}.{number}", std::process::id());
    let mut last = io::Error::from(ErrorKind::AlreadyExists);
    for number in 0..NAMES {
        let beside = folder_of(path).join(name(number));
        match File::options().write(true).create_new(true).open(&beside) {
            Ok(file) => return Ok((beside, file)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn put(path: &Path, text: &'static str) -> io::Result<()> {
        replace(path, |mut file| {
            file.write_all(text.as_bytes())?;
            Ok(file)
        })
    }

    #[test]
    fn a_file_is_replaced_whole_and_keeps_who_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("a"), folder.path().join("link"));
        put(&path, "one").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        symlink(&path, &link).unwrap();
        let reader = File::open(&path).unwrap();
        let Place::File(through) = Place::of(&link) else { panic!("a file") };
        put(&through, "two").unwrap();
        assert_eq!(io::read_to_string(reader).unwrap(), "one", "who reads has a whole one");
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let failed = replace(&path, |_| Err(ErrorKind::StorageFull.into()));
        assert!(failed.is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "two", "the old one stays");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left beside it");
    }

    #[test]
    fn a_device_stays_one() {
        assert!(matches!(Place::of(Path::new("/dev/null")), Place::Other(_)));
        assert!(matches!(Place::of(Path::new("nothing/there")), Place::File(_)));
        assert_eq!(folder_of(Path::new("name")), Path::new("."));
    }

    #[test]
    fn what_another_run_left_is_no_hindrance() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let (left, _) = create_beside(&path).unwrap();
        put(&path, "one").unwrap();
        assert!(left.exists() && path.exists());
    }
}
