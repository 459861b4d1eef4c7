//! The files of one run as one stream of frames.
//!
//! One file is walked directly; several are merged by time. Interfaces get
//! their numbers in the order in which their first frame comes, a filter is
//! compiled once for each link type, and a file that breaks ends alone: its
//! fault is kept, the others go on. Knows no packets, no flows.

use super::file::{FileError, FileInterface, FileSource};
use super::filter::{self, Filter, FilterError, Program};
use super::merge::{Merge, Source};
use super::{Frame, LINKS_MAX, LinkId, LinkType};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// An interface of the run.
#[derive(Clone, Debug)]
pub struct FileLink {
    /// What the file says of it.
    pub interface: FileInterface,
    /// Place of its file in the order given.
    pub file: usize,
    /// Link group.
    pub group: u8,
    /// Whether its first frame tells its direction.
    pub directed: bool,
}

/// What standard input is called where a file has its name.
pub const STANDARD_INPUT: &str = "-";

/// Input that is no regular file, and may so come at any time or never: it
/// ends when the run is told to stop, though its writer goes on. A read that
/// blocks would not see a signal.
struct Polled {
    input: File,
    stop: Arc<AtomicBool>,
}

impl Read for Polled {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wait = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(0);
            }
            let mut ready = [PollFd::new(&self.input, PollFlags::IN)];
            match poll(&mut ready, Some(&wait)) {
                Ok(0) | Err(Errno::INTR) => continue,
                Ok(_) => {}
                Err(error) => return Err(error.into()),
            }
            match rustix::io::read(&self.input, &mut *buffer) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                outcome => return Ok(outcome?),
            }
        }
    }
}

/// What a path names, so that reading it ends when the run is told to.
fn reader_of(path: &Path, stop: &Arc<AtomicBool>) -> io::Result<Box<dyn Read + Send>> {
    let polled = |input| Box::new(Polled { input, stop: stop.clone() });
    if path == Path::new(STANDARD_INPUT) {
        return Ok(polled(io::stdin().as_fd().try_clone_to_owned()?.into()));
    }
    // Otherwise opening a pipe waits for its writer.
    let input = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let kind = input.metadata()?;
    if kind.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok(if kind.is_file() { Box::new(input) } else { polled(input) })
}

/// `label`: the name of an interface that has none in the file.
fn open(path: &Path, label: &str, stop: &Arc<AtomicBool>) -> Result<FileSource, FileError> {
    let name = path.to_string_lossy().into_owned();
    match reader_of(path, stop) {
        Ok(reader) => FileSource::labelled(reader, &name, label, 0),
        Err(source) => Err(FileError::Open { name, source }),
    }
}

/// What a walk meets.
pub enum Met<'a> {
    /// A frame of this interface, or of one with a higher number, follows for
    /// the first time.
    Link(LinkId, &'a FileLink),
    /// A frame that the filter selects.
    Frame(&'a Frame<'a>),
}

/// See the module's description.
pub struct FileSet {
    files: Files,
    registry: Registry,
    expression: Option<String>,
    programs: Vec<(LinkType, Program)>,
    faults: Vec<FileError>,
    filter_fault: Option<FilterError>,
    /// Told to end: asked here where a filter selects nothing that `visit` could end at.
    stop: Arc<AtomicBool>,
    /// Frames that the filter did not select.
    pub refused: u64,
}

enum Files {
    None,
    One(Box<Feed>),
    Several(Merge<Feed>),
}

/// The run's interfaces; locked when a file's interface is met for the first time.
type Registry = Arc<Mutex<Run>>;

#[derive(Default)]
struct Run {
    links: Vec<FileLink>,
    /// Names that interfaces have, or will have once they have a frame.
    names: HashSet<String>,
}

impl Run {
    /// A name that no other interface has: this one, or with its file's, or with a number.
    fn name(&mut self, name: &str, label: &str) -> String {
        let of_file = format!("{label}:{name}");
        let named = (name != label).then_some(of_file);
        let numbered = (2..).map(|number| format!("{name}#{number}"));
        let mut names = std::iter::once(name.to_owned()).chain(named).chain(numbered);
        // There is always one more number.
        let name = names.find(|name| !self.names.contains(name)).unwrap_or_default();
        self.names.insert(name.clone());
        name
    }
}

/// The shortest end of each path that no other path ends with.
fn labels(paths: &[&Path]) -> Vec<String> {
    let end = |path: &Path, parts: usize| -> PathBuf {
        let all: Vec<_> = path.components().collect();
        all.iter().skip(all.len().saturating_sub(parts)).collect()
    };
    let label = |path: &&Path| {
        let others = || paths.iter().filter(|other| *other != path);
        let parts = 1..=path.components().count().max(1);
        let told = parts.map(|parts| (parts, end(path, parts)));
        let mut told = told.skip_while(|(parts, mine)| others().any(|other| end(other, *parts) == *mine));
        told.next().map_or_else(|| path.to_path_buf(), |(_, mine)| mine).to_string_lossy().into_owned()
    };
    paths.iter().map(label).collect()
}

/// A file in its place.
struct Feed {
    source: FileSource,
    file: usize,
    group: u8,
    /// What tells it from the other files.
    label: String,
    /// Names of its interfaces, each given once in the run.
    names: Vec<String>,
    /// Run's number of each of the file's interfaces.
    numbers: Vec<Option<LinkId>>,
    registry: Registry,
    /// The file has one interface, and this number is its.
    only: bool,
    number: LinkId,
    fault: Option<FileError>,
    ended: bool,
}

impl Feed {
    fn new(source: FileSource, file: usize, group: u8, label: String, registry: Registry) -> Feed {
        Feed {
            source,
            file,
            group,
            label,
            names: Vec::new(),
            numbers: Vec::new(),
            registry,
            only: false,
            number: 0,
            fault: None,
            ended: false,
        }
    }

    /// Names what the file has told of so far.
    fn name_interfaces(&mut self) {
        let mut run = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        for interface in self.source.interfaces().iter().skip(self.names.len()) {
            self.names.push(run.name(&interface.name, &self.label));
        }
    }

    /// Interfaces that the file has told of so far.
    fn interfaces(&self) -> impl Iterator<Item = FileInterface> {
        self.source.interfaces().iter().enumerate().map(|(at, interface)| {
            let name = self.names.get(at).unwrap_or(&interface.name).clone();
            FileInterface { name, ..interface.clone() }
        })
    }

    /// Gives the file's interface its number in the run.
    #[cold]
    #[inline(never)]
    fn register(&mut self, local: LinkId, directed: bool) {
        let at = local as usize;
        if self.numbers.len() <= at {
            self.numbers.resize(at + 1, None);
        }
        self.name_interfaces();
        let mut run = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let links = &mut run.links;
        // Interfaces for which no number is left share the last one.
        let number = links.len().min(LINKS_MAX - 1) as LinkId;
        if let Some(interface) = self.source.interfaces().get(at)
            && links.len() < LINKS_MAX
        {
            let mut interface = interface.clone();
            if let Some(name) = self.names.get(at) {
                interface.name.clone_from(name);
            }
            links.push(FileLink { interface, file: self.file, group: self.group, directed });
        }
        self.numbers[at] = Some(number);
        self.number = number;
    }

    fn peek(&mut self) -> Option<u64> {
        if self.ended {
            return None;
        }
        match self.source.peek() {
            Ok(Some(peeked)) => {
                if self.numbers.get(peeked.link as usize).copied().flatten().is_none() {
                    self.register(peeked.link, peeked.directed);
                }
                return Some(peeked.time_ns);
            }
            Ok(None) => {}
            Err(fault) => self.fault = Some(fault),
        }
        self.ended = true;
        None
    }
}

impl Source for Feed {
    fn peek_time(&mut self) -> Option<u64> {
        self.peek()
    }

    #[inline(always)]
    fn next_frame(&mut self) -> Option<Frame<'_>> {
        if !self.only {
            self.peek()?;
            self.only = self.source.has_one_interface();
        }
        match self.source.next_frame() {
            Ok(Some(frame)) if self.only => Some(Frame { link: self.number, ..frame }),
            Ok(Some(frame)) => {
                let number = self.numbers.get(frame.link as usize).copied().flatten();
                Some(Frame { link: number.unwrap_or(0), ..frame })
            }
            Ok(None) => {
                self.ended = true;
                None
            }
            Err(fault) => {
                self.fault = Some(fault);
                self.ended = true;
                None
            }
        }
    }

    fn is_ended(&self) -> bool {
        self.ended
    }

    fn lag_ns(&self) -> u64 {
        0
    }
}

impl FileSet {
    /// Opens all files; `groups` as the user joined them. A file that cannot be
    /// opened is a fault, not an end: the others are still counted.
    pub fn open(groups: &[Vec<PathBuf>], expression: Option<&str>, stop: &Arc<AtomicBool>) -> FileSet {
        let registry = Registry::default();
        let mut faults = Vec::new();
        let mut feeds = Vec::new();
        let all: Vec<&Path> = groups.iter().flatten().map(PathBuf::as_path).collect();
        let labels = labels(&all);
        let joined = groups.iter().enumerate();
        let paths = joined.flat_map(|(group, paths)| paths.iter().map(move |path| (group, path)));
        for (file, ((group, path), label)) in paths.zip(labels).enumerate() {
            let group = group.min(LINKS_MAX - 1) as u8;
            match open(path, &label, stop) {
                Ok(source) => {
                    let mut feed = Feed::new(source, file, group, label, registry.clone());
                    if !feed.source.has_one_interface() {
                        // pcapng tells its interfaces before its first frame.
                        feed.peek();
                    }
                    feed.name_interfaces();
                    feeds.push(feed);
                }
                Err(fault) => faults.push(fault),
            }
        }
        let files = if feeds.len() > 1 {
            let mut merge = Merge::new();
            for feed in feeds {
                merge.add(feed);
            }
            Files::Several(merge)
        } else {
            feeds.pop().map_or(Files::None, |feed| Files::One(Box::new(feed)))
        };
        let expression = expression.map(str::to_owned);
        FileSet {
            files,
            registry,
            expression,
            programs: Vec::new(),
            faults,
            filter_fault: None,
            stop: stop.clone(),
            refused: 0,
        }
    }

    /// Compiles the filter for what the files announce at their start.
    ///
    /// # Errors
    /// Of the expression: the user's mistake, told before anything is printed.
    pub fn compile(&mut self) -> Result<(), FilterError> {
        let Some(expression) = self.expression.clone() else { return Ok(()) };
        let mut types: Vec<LinkType> = self.announced().iter().map(|interface| interface.link_type).collect();
        if types.is_empty() {
            types.push(LinkType::Ethernet);
        }
        for link_type in types {
            if !self.programs.iter().any(|(known, _)| *known == link_type) {
                self.programs.push((link_type, Filter::for_file(&expression, link_type)?));
            }
        }
        Ok(())
    }

    /// Interfaces that the files announce at their start.
    pub fn announced(&self) -> Vec<FileInterface> {
        match &self.files {
            Files::None => Vec::new(),
            Files::One(feed) => feed.interfaces().collect(),
            Files::Several(merge) => merge.sources().flat_map(|(_, feed)| feed.interfaces()).collect(),
        }
    }

    /// Whether any file could be opened.
    pub fn is_empty(&self) -> bool {
        matches!(self.files, Files::None)
    }

    /// What broke; whole once the walk has ended.
    pub fn take_faults(&mut self) -> Vec<FileError> {
        match &mut self.files {
            Files::None => {}
            Files::One(feed) => self.faults.extend(feed.fault.take()),
            Files::Several(merge) => {
                self.faults.extend(merge.sources_mut().filter_map(|(_, feed)| feed.fault.take()));
            }
        }
        std::mem::take(&mut self.faults)
    }

    /// A filter that did not compile for a link type that came up on the way:
    /// frames of that type were not selected.
    pub fn take_filter_fault(&mut self) -> Option<FilterError> {
        self.filter_fault.take()
    }

    /// Walks all frames in order until `visit` answers false or the run is told to stop.
    pub fn walk(&mut self, mut visit: impl FnMut(Met<'_>) -> bool) {
        let FileSet { files, registry, expression, programs, filter_fault, stop, refused, .. } = self;
        let mut told = 0;
        let filtered = expression.is_some();
        // Everything that is not needed for each frame of one plain file.
        let mut rarely = |frame: &Frame<'_>, visit: &mut dyn FnMut(Met<'_>) -> bool| {
            if frame.link as usize >= told {
                let links = registry.lock().unwrap_or_else(PoisonError::into_inner).links.clone();
                for link in told..=frame.link as usize {
                    if let Some(file_link) = links.get(link)
                        && !visit(Met::Link(link as LinkId, file_link))
                    {
                        return false;
                    }
                }
                told = frame.link as usize + 1;
            }
            if let Some(expression) = expression
                && !selects(expression, programs, filter_fault, frame)
            {
                *refused += 1;
                return !refused.is_multiple_of(4096) || !stop.load(Ordering::Relaxed);
            }
            visit(Met::Frame(frame))
        };
        match files {
            Files::None => {}
            Files::One(feed) if filtered => {
                while feed.next_frame().is_some_and(|frame| rarely(&frame, &mut visit)) {}
            }
            Files::One(feed) => {
                let mut known = 0;
                while let Some(frame) = feed.next_frame() {
                    let goes_on = if frame.link as usize >= known {
                        known = frame.link as usize + 1;
                        rarely(&frame, &mut visit)
                    } else {
                        visit(Met::Frame(&frame))
                    };
                    if !goes_on {
                        return;
                    }
                }
            }
            Files::Several(merge) => loop {
                if let Some(frame) = merge.next_frame() {
                    if !rarely(&frame, &mut visit) {
                        return;
                    }
                } else if merge.is_ended() {
                    return;
                } else {
                    merge.poll(None);
                }
            },
        }
    }
}

/// Runs the filter's program for the frame's link type, compiled when one of it first comes.
#[inline]
fn selects(
    expression: &str,
    programs: &mut Vec<(LinkType, Program)>,
    fault: &mut Option<FilterError>,
    frame: &Frame<'_>,
) -> bool {
    if let Some((_, program)) = programs.iter().find(|(known, _)| *known == frame.link_type) {
        return filter::run(program, frame.data, frame.len) != 0;
    }
    if fault.is_some() {
        return false;
    }
    match Filter::for_file(expression, frame.link_type) {
        Ok(program) => {
            let selected = filter::run(&program, frame.data, frame.len) != 0;
            programs.push((frame.link_type, program));
            selected
        }
        Err(error) => {
            *fault = Some(error);
            false
        }
    }
}
