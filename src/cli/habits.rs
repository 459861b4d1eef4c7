//! Habits.
use super::UsageError;
use std::ffi::OsString;
use std::path::Path;
pub(super) fn check(_: &clap::Command, _: &[OsString], _: &dyn Fn(&Path) -> bool) -> Result<(), UsageError> {
    Ok(())
}
