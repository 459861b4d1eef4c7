//! The file for JSON lines: opened again by its name when SIGHUP says so, as
//! programs that rotate logs expect. A line is never split between two files.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What a reader has to be told of the file, until it has been.
pub(super) type Trouble = Arc<Mutex<Option<String>>>;

/// See the module's description.
pub(super) struct LogFile {
    path: PathBuf,
    file: BufWriter<File>,
    again: Arc<AtomicBool>,
    trouble: Trouble,
    beside_screen: bool,
    /// Nothing was written since the last flush: a line begins here.
    between_lines: bool,
}

impl LogFile {
    /// Opened to append. `again`: set when it has to be opened anew; `trouble`:
    /// where is said that this failed, on standard error as well but beside a screen.
    ///
    /// # Errors
    /// Of the file system.
    pub fn open(
        path: &Path,
        again: Arc<AtomicBool>,
        trouble: Trouble,
        beside_screen: bool,
    ) -> io::Result<LogFile> {
        let file = BufWriter::new(append_to(path)?);
        Ok(LogFile { path: path.to_owned(), file, again, trouble, beside_screen, between_lines: true })
    }

    fn open_again(&mut self) {
        match append_to(&self.path) {
            Ok(file) => self.file = BufWriter::new(file),
            // What was counted is worth more than the name it goes to.
            Err(error) => {
                let message = format!(
                    "cannot open the log file {} again: {error}; lines go on into the old one",
                    self.path.display()
                );
                // Who reads the lines may never come upon a file that was moved away;
                // a screen has it as a note.
                if !self.beside_screen {
                    let _ = writeln!(io::stderr(), "fullcount: {message}");
                }
                *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(message);
            }
        }
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.between_lines && self.again.swap(false, Ordering::Relaxed) {
            self.open_again();
        }
        self.between_lines = false;
        self.file.write(bytes)
    }

    /// Outputs flush after whole lines, and only then.
    fn flush(&mut self) -> io::Result<()> {
        self.between_lines = true;
        self.file.flush()
    }
}
