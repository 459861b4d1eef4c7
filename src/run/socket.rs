//! The UNIX socket of `--socket`: its file, its clients, its thread.
//!
//! One thread serves all clients and waits for none: a client has five seconds
//! to say a line and five more to take the answer, sixteen are served at once.
//! Where there are more, the one that has said or taken nothing for longest makes
//! room, so that those who only sit there keep nobody out. It reads snapshots by
//! a pointer; no worker and no output knows of it. What is answered is
//! `output::socket`'s.
//!
//! The file is its owner's alone (0600) unless more was asked for (`access`). One
//! that nobody listens at is a program's that was killed, and is replaced; one that
//! is answered, or is no socket, is left alone and refused. At the end it is
//! removed, unless another one stands in its place.

mod access;

use self::access::Access;
use super::RunError;
use super::screen::hub::Hub;
use super::screen::viewers::{Hello, VIEWERS_MAX, Viewers};
use crate::aggregate::Handle;
use crate::aggregate::snapshot::Snapshot;
use crate::config::{Config, Input, Owner};
use crate::output::socket::{Answer, Answers, Latest, REQUEST_MAX, Refusal, refused};
use crate::output::{Context, Coverages};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fchmod, lstat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Clients served at once.
const CLIENTS_MAX: usize = 16;
/// Clients that may wait to be accepted.
const BACKLOG: i32 = 64;
/// In which nobody has to make room: longer than it takes to say a line.
const GRACE: Duration = Duration::from_millis(200);
/// For a request, and again for the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// After no client could be accepted (no descriptors left, …).
const PAUSE: Duration = Duration::from_secs(1);
/// Reads that what follows a request is worth.
const LEFT_OVER_READS: usize = 16;

/// Why there is no socket.
#[derive(Debug)]
enum SocketError {
    /// Somebody answers there.
    InUse {
        /// Where.
        path: PathBuf,
    },
    /// Something else has that name.
    NoSocket {
        /// What.
        path: PathBuf,
    },
    /// Not a name that a socket can have.
    BadPath {
        /// What was given.
        path: PathBuf,
    },
    /// A name that nobody has.
    Nobody {
        /// User or group.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// A name that could not be looked up.
    NotKnown {
        /// User or group.
        kind: &'static str,
        /// The name.
        name: String,
        /// The system's word.
        error: io::Error,
    },
    /// It may not be given to others.
    NotGiven {
        /// To whom.
        owner: Owner,
        /// The system's word.
        error: io::Error,
    },
    /// Its mode could not be set.
    NotOpened {
        /// Permission bits.
        mode: u32,
        /// The system's word.
        error: io::Error,
    },
    /// The system refused.
    Failed {
        /// Where.
        path: PathBuf,
        /// Its word.
        error: io::Error,
    },
}

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SocketError::InUse { path } => write!(
                f,
                "--socket {}: another program answers there: end it, or name another socket",
                path.display()
            ),
            SocketError::NoSocket { path } => {
                write!(
                    f,
                    "--socket {}: this is no socket and is left alone: name another path",
                    path.display()
                )
            }
            SocketError::BadPath { path } => {
                write!(f, "--socket {:?}: a socket's path has 1 to 107 bytes: name a shorter one", path)
            }
            SocketError::Nobody { kind, name } => write!(
                f,
                "--socket-owner: there is no {kind} {name:?} here: name another one, or give a number"
            ),
            SocketError::NotKnown { kind, name, error } => {
                write!(f, "--socket-owner: the {kind} {name:?} cannot be looked up: {error}: give its number")
            }
            SocketError::NotGiven { owner: Owner { user, group }, error } => {
                let user = user.as_deref().unwrap_or_default();
                let group = group.as_ref().map_or_else(String::new, |group| format!(":{group}"));
                write!(
                    f,
                    "--socket-owner {user}{group}: the socket cannot be given away: {error}: start it as root, or \
                     name a group that this user is in and no other user"
                )
            }
            SocketError::NotOpened { mode, error } => write!(
                f,
                "--socket-mode {mode:04o}: the mode cannot be set: {error}: see that /proc is mounted, and that \
                 this user may change files of --socket-owner"
            ),
            SocketError::Failed { path, error } => write!(
                f,
                "--socket {}: cannot listen there: {error}: name a path in a directory that this user may write to",
                path.display()
            ),
        }
    }
}

impl From<SocketError> for RunError {
    fn from(error: SocketError) -> RunError {
        match error {
            SocketError::NoSocket { .. } | SocketError::BadPath { .. } | SocketError::Nobody { .. } => {
                RunError::Usage(error.to_string())
            }
            SocketError::InUse { .. }
            | SocketError::NotKnown { .. }
            | SocketError::NotGiven { .. }
            | SocketError::NotOpened { .. }
            | SocketError::Failed { .. } => RunError::Failed(vec![error.to_string()]),
        }
    }
}

/// See the module's description. Dropped, it is gone with its file.
pub(super) struct Socket {
    latest: Arc<Latest>,
    live: bool,
    path: PathBuf,
    /// Device and inode of the file.
    file: Option<(u64, u64)>,
    /// Its other end is the thread's: gone, it ends.
    wake: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Socket {
    /// The one that was asked for, if any.
    ///
    /// # Errors
    /// Exit code 2 for a path that cannot be one or a name that is nobody's, 1 where
    /// somebody answers already or the system refuses.
    pub fn open(config: &Config, hub: Option<&Arc<Hub>>) -> Result<Option<Socket>, RunError> {
        let Some(wanted) = &config.socket else { return Ok(None) };
        let path = &wanted.path;
        let failed = |error: io::Error| SocketError::Failed { path: path.clone(), error };
        let listener = listen(path, &Access::of(wanted)?)?;
        let file = identity(path);
        let latest = Arc::<Latest>::default();
        let watches = config.watches.named.iter().map(|watch| watch.name.clone()).collect();
        let mut socket = Socket {
            latest: latest.clone(),
            live: matches!(config.input, Input::Live { .. }),
            path: path.clone(),
            file,
            wake: None,
            thread: None,
        };
        let (wake, woken) = UnixStream::pair().map_err(failed)?;
        let server = Server {
            listener,
            woken,
            answers: Answers::new(latest, watches),
            viewers: hub.map(Viewers::new),
            clients: Vec::with_capacity(CLIENTS_MAX),
            rests_until: None,
        };
        let thread = std::thread::Builder::new().name("socket".into()).spawn(move || server.run());
        socket.wake = Some(wake);
        socket.thread = Some(thread.map_err(failed)?);
        Ok(Some(socket))
    }

    /// Where the newest sums stand.
    pub fn count_from(&self, handle: Handle) {
        self.latest.count_from(handle);
    }

    /// An interval has ended.
    pub fn tell(&self, snapshot: &Arc<Snapshot>, coverage: &Coverages, context: &Context) {
        self.latest.tell(snapshot, coverage, context, self.live);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        remove(&self.path, self.file);
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    lstat(path).ok().map(|stat| (stat.st_dev, stat.st_ino))
}

/// Removes the file, unless another one stands in its place.
fn remove(path: &Path, file: Option<(u64, u64)>) {
    if file.is_some() && identity(path) == file {
        let _ = std::fs::remove_file(path);
    }
}

fn unix_socket() -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

fn listen(path: &Path, access: &Access) -> Result<UnixListener, SocketError> {
    let failed = |error: Errno| SocketError::Failed { path: path.to_owned(), error: error.into() };
    let bad = || SocketError::BadPath { path: path.to_owned() };
    // An empty name is one that the kernel makes up.
    if path.as_os_str().is_empty() {
        return Err(bad());
    }
    let address = SocketAddrUnix::new(path).map_err(|_| bad())?;
    remove_stale(path, &address)?;
    let socket = unix_socket().map_err(failed)?;
    // The file has the socket's own mode (unix_bind_bsd in net/unix/af_unix.c), so it
    // is nobody else's from the first moment on, without a umask for all threads.
    fchmod(&socket, access.at_first()).map_err(failed)?;
    rustix::net::bind(&socket, &address).map_err(failed)?;
    let file = identity(path);
    let listens = access.give(path).and_then(|()| rustix::net::listen(&socket, BACKLOG).map_err(failed));
    if let Err(error) = listens {
        remove(path, file);
        return Err(error);
    }
    Ok(UnixListener::from(socket))
}

/// Removes a socket that nobody listens at.
fn remove_stale(path: &Path, address: &SocketAddrUnix) -> Result<(), SocketError> {
    let failed = |error: Errno| SocketError::Failed { path: path.to_owned(), error: error.into() };
    let stat = match lstat(path) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
        return Err(SocketError::NoSocket { path: path.to_owned() });
    }
    let probe = unix_socket().map_err(failed)?;
    match rustix::net::connect(&probe, address) {
        // AGAIN: it has more clients than it takes.
        Ok(()) | Err(Errno::AGAIN) => Err(SocketError::InUse { path: path.to_owned() }),
        Err(Errno::NOENT) => Ok(()),
        Err(Errno::CONNREFUSED) => rustix::fs::unlink(path).map_err(failed),
        Err(error) => Err(failed(error)),
    }
}

/// Who has connected.
struct Client {
    stream: UnixStream,
    request: Vec<u8>,
    answer: Option<Answer>,
    /// Bytes of the answer that are on their way.
    written: usize,
    deadline: Instant,
    /// When it began to say its line, or took some of its answer.
    moved: Instant,
}

/// What becomes of a client.
#[derive(PartialEq)]
enum Next {
    /// To be looked at when it is ready.
    Waits,
    /// Gone, or served.
    Done,
    /// It looks on from now on; what came behind its first line.
    LooksOn(Hello, Vec<u8>),
}

impl Client {
    fn new(stream: UnixStream) -> Client {
        let now = Instant::now();
        let (request, deadline) = (Vec::new(), now + PATIENCE);
        Client { stream, request, answer: None, written: 0, deadline, moved: now }
    }

    /// Goes on as far as it can without waiting.
    fn go_on(&mut self, answers: &mut Answers) -> Next {
        let ended = match self.answer {
            None => self.listen(answers),
            Some(_) => self.tell(),
        };
        ended.unwrap_or_else(|error| match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::Interrupted => Next::Waits,
            _ => Next::Done,
        })
    }

    /// Reads up to the end of a line.
    fn listen(&mut self, answers: &mut Answers) -> io::Result<Next> {
        let mut piece = [0; 512];
        loop {
            let read = self.stream.read(&mut piece)?;
            self.request.extend_from_slice(piece.get(..read).unwrap_or(&[]));
            let end = self.request.iter().position(|&byte| byte == b'\n');
            let whole = end.map_or(self.request.len(), |end| end + 1);
            let hello = self.request.get(..whole).and_then(|line| std::str::from_utf8(line).ok());
            if let (Some(_), Some(Ok(hello))) = (end, hello.map(str::parse)) {
                return Ok(Next::LooksOn(hello, self.request.split_off(whole)));
            }
            let answer = if whole > REQUEST_MAX {
                refused(&Refusal::TooLong)
            } else if read == 0 && self.request.is_empty() {
                // Only wanted to know whether somebody is there.
                return Ok(Next::Done);
            } else if end.is_some() || read == 0 {
                answers.answer(self.request.get(..whole).unwrap_or(&[]))
            } else {
                continue;
            };
            self.answer = Some(answer);
            self.moved = Instant::now();
            self.deadline = self.moved + PATIENCE;
            return self.tell();
        }
    }

    fn tell(&mut self) -> io::Result<Next> {
        let Some(answer) = &self.answer else { return Ok(Next::Done) };
        while let Some(rest) = answer.bytes.get(self.written..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest)? {
                0 => return Ok(Next::Done),
                written => {
                    self.written += written;
                    self.moved = Instant::now();
                }
            }
        }
        // What was not read would break the connection off instead of ending it.
        let mut piece = [0; 4096];
        for _ in 0..LEFT_OVER_READS {
            if !matches!(self.stream.read(&mut piece), Ok(1..)) {
                break;
            }
        }
        Ok(Next::Done)
    }

    /// What it had not taken when it went is told again.
    fn gone(self, answers: &mut Answers) {
        if let Some(answer) = self.answer.filter(|answer| self.written < answer.bytes.len()) {
            answers.give_back(answer);
        }
    }
}

/// The thread.
struct Server {
    listener: UnixListener,
    woken: UnixStream,
    answers: Answers,
    viewers: Option<Viewers>,
    clients: Vec<Client>,
    /// Nobody is accepted before.
    rests_until: Option<Instant>,
}

impl Server {
    fn run(mut self) {
        while let Some(ready) = self.wait() {
            let now = Instant::now();
            if self.rests_until.is_some_and(|until| until <= now) {
                self.rests_until = None;
            }
            let clients = std::mem::take(&mut self.clients);
            for (number, mut client) in clients.into_iter().enumerate() {
                let is_ready = ready.get(number).copied().unwrap_or(false);
                let next = if is_ready { client.go_on(&mut self.answers) } else { Next::Waits };
                self.keep(client, next, now);
            }
            self.accept();
        }
    }

    fn keep(&mut self, client: Client, next: Next, now: Instant) {
        match next {
            Next::Waits if client.deadline > now => self.clients.push(client),
            Next::Waits | Next::Done => client.gone(&mut self.answers),
            Next::LooksOn(hello, rest) => self.look_on(client, hello, rest),
        }
    }

    /// Who makes room for one more, where there is none: of those that have said no line
    /// the first, else who has taken nothing for longest; and from when on.
    fn silent(&self) -> Option<(usize, Instant)> {
        if self.clients.len() < CLIENTS_MAX {
            return None;
        }
        let now = Instant::now();
        let order = |(_, client): &(usize, &Client)| {
            let may = client.moved + GRACE;
            // Nobody's time is up: whose is first.
            (may > now, may > now || client.answer.is_some(), may)
        };
        let first = self.clients.iter().enumerate().min_by_key(order);
        first.map(|(number, client)| (number, client.moved + GRACE))
    }

    /// A client becomes one who looks on, or is told why not.
    fn look_on(&mut self, mut client: Client, hello: Hello, rest: Vec<u8>) {
        match self.viewers.as_mut().and_then(|viewers| viewers.has_room().then_some(viewers)) {
            Some(viewers) => {
                // What fails there is its socket: it sees that itself.
                let _ = viewers.add(hello, client.stream, rest);
            }
            None => {
                client.answer = Some(refused(&Refusal::TooManyViewers { most: VIEWERS_MAX }));
                self.clients.push(client);
            }
        }
    }

    /// Which clients are ready; None where the run is over.
    fn wait(&self) -> Option<Vec<bool>> {
        let room_from = self.silent().map(|(_, from)| from).filter(|from| *from > Instant::now());
        let full = room_from.is_some() || self.rests_until.is_some();
        let mut asked = vec![PollFd::new(&self.woken, PollFlags::IN)];
        for client in &self.clients {
            let flags = if client.answer.is_some() { PollFlags::OUT } else { PollFlags::IN };
            asked.push(PollFd::new(&client.stream, flags));
        }
        if !full {
            asked.push(PollFd::new(&self.listener, PollFlags::IN));
        }
        let until =
            self.clients.iter().map(|client| client.deadline).chain(self.rests_until).chain(room_from).min();
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut asked, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            // No memory, for one: nothing here is worth a run.
            Err(_) => return None,
        }
        let mut ready = asked.iter().map(|asked| !asked.revents().is_empty());
        let over = ready.next().unwrap_or(true);
        (!over).then(|| ready.take(self.clients.len()).collect())
    }

    /// Some of those who wait; then the others have their turn, and the end of the run.
    fn accept(&mut self) {
        for _ in 0..CLIENTS_MAX {
            let silent = self.silent();
            if self.rests_until.is_some() || silent.is_some_and(|(_, from)| from > Instant::now()) {
                return;
            }
            let accepted = self.listener.accept().and_then(|(stream, _)| {
                stream.set_nonblocking(true)?;
                Ok(stream)
            });
            match accepted {
                Ok(stream) => {
                    if let Some((number, _)) = silent {
                        self.clients.remove(number).gone(&mut self.answers);
                    }
                    // Its line may be there already: it need not wait for a place among the others.
                    let mut client = Client::new(stream);
                    let next = client.go_on(&mut self.answers);
                    self.keep(client, next, Instant::now());
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.rests_until = Some(Instant::now() + PAUSE),
            }
        }
    }
}
