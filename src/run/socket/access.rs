//! Who may connect to the socket: mode and owner of its file.
//!
//! Names are looked up before there is a file. That is made for its owner alone,
//! given away, and only then opened as far as was asked; nobody can connect in the
//! meantime, as it listens later still. So it never is open to more than was said.
//! What stands at the path is held while it is changed: no link put there instead
//! of it changes anything else.

use super::SocketError;
use crate::config::{self, Owner};
use nix::unistd;
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid, chmodat, chownat, fstat, open};
use rustix::io::Errno;
use std::os::fd::AsRawFd;
use std::path::Path;

/// This user's alone.
const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);

/// See the module's description.
pub(super) struct Access {
    mode: Mode,
    user: Option<Uid>,
    group: Option<Gid>,
    /// As it was asked for.
    owner: Owner,
}

impl Access {
    /// What was asked for.
    ///
    /// # Errors
    /// Where a name is nobody's, or cannot be looked up.
    pub fn of(wanted: &config::Socket) -> Result<Access, SocketError> {
        let owner = wanted.owner.clone();
        let user = |name: &str| unistd::User::from_name(name).map(|user| user.map(|user| user.uid.as_raw()));
        let group =
            |name: &str| unistd::Group::from_name(name).map(|group| group.map(|group| group.gid.as_raw()));
        Ok(Access {
            mode: Mode::from_raw_mode(wanted.mode),
            user: number("user", owner.user.as_deref(), user)?.map(Uid::from_raw),
            group: number("group", owner.group.as_deref(), group)?.map(Gid::from_raw),
            owner,
        })
    }

    /// What the file is made with: no more than was asked for, and for nobody else.
    pub fn at_first(&self) -> Mode {
        self.mode & PRIVATE
    }

    /// Gives the file to whom it is for, then opens it as far as was asked.
    ///
    /// # Errors
    /// Where the system refuses, or something else stands there.
    pub fn give(&self, path: &Path) -> Result<(), SocketError> {
        if self.mode == PRIVATE && self.user.is_none() && self.group.is_none() {
            return Ok(());
        }
        let failed = |error: Errno| SocketError::Failed { path: path.to_owned(), error: error.into() };
        let file = open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
        let file = file.map_err(failed)?;
        let found = fstat(&file).map_err(failed)?;
        if FileType::from_raw_mode(found.st_mode) != FileType::Socket || found.st_nlink != 1 {
            return Err(SocketError::NoSocket { path: path.to_owned() });
        }
        if self.user.is_some() || self.group.is_some() {
            chownat(&file, "", self.user, self.group, AtFlags::EMPTY_PATH)
                .map_err(|error| SocketError::NotGiven { owner: self.owner.clone(), error: error.into() })?;
        }
        // By the descriptor: fchmod(2) does not take one of a path alone.
        let held = format!("/proc/self/fd/{}", file.as_raw_fd());
        chmodat(CWD, held, self.mode, AtFlags::empty())
            .map_err(|error| SocketError::NotOpened { mode: self.mode.bits(), error: error.into() })
    }
}

/// By name, else as a number, as chown(1) does.
fn number(
    kind: &'static str,
    name: Option<&str>,
    known: impl Fn(&str) -> nix::Result<Option<u32>>,
) -> Result<Option<u32>, SocketError> {
    let Some(name) = name else { return Ok(None) };
    match known(name) {
        Ok(Some(number)) => return Ok(Some(number)),
        Ok(None) => {}
        // Where there is no such database there is no such name in it.
        Err(nix::Error::ENOENT) => {}
        Err(error) => return Err(SocketError::NotKnown { kind, name: name.to_owned(), error: error.into() }),
    }
    let digits = name.bytes().all(|byte| byte.is_ascii_digit());
    // The highest number stands for "as it is".
    let number = name.parse().ok().filter(|&number| digits && number != u32::MAX);
    number.map(Some).ok_or_else(|| SocketError::Nobody { kind, name: name.to_owned() })
}
