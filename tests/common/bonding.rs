//! Where tests of real bonds run: here, if this kernel has the bonding driver,
//! else in user-mode Linux, which has it (scripts/with-bonding). Where neither
//! is to be had the test says so on standard error.
#![allow(dead_code)] // each test program uses its part

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Says to a test that was started again where it runs.
const INSIDE: &str = "FULLCOUNT_TEST_IN_USER_MODE_LINUX";
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/with-bonding");

/// The script's exit status where its command did not come to an end: no ptrace, no room.
const DID_NOT_RUN: i32 = 3;

/// One at a time: each takes half a gigabyte.
static ONE: Mutex<()> = Mutex::new(());

/// Whether a bond can be made here. Where not, this very test is run in
/// user-mode Linux by this call, which then fails or answers false as there is
/// nothing left to do.
pub fn bonding(test: &str) -> bool {
    let probe = Command::new("unshare").args(["-n", "ip", "link", "add", "probe0", "type", "bond"]).output();
    let why = match &probe {
        Ok(probe) if probe.status.success() => return true,
        Ok(probe) => String::from_utf8_lossy(&probe.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    assert!(std::env::var_os(INSIDE).is_none(), "no bond can be made in user-mode Linux: {why}");
    let root = std::env::var_os("UML_ROOT").map_or_else(|| PathBuf::from("/"), PathBuf::from);
    if !root.join("usr/bin/linux.uml").exists() {
        let why = format!("no bond can be made here ({why}), and user-mode-linux is not installed");
        writeln!(std::io::stderr(), "SKIPPED: {test}: {why}").expect("standard error");
        return false;
    }
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut command = Command::new(SCRIPT);
    command.args(["env", &format!("{INSIDE}=1")]).arg(std::env::current_exe().expect("this program's path"));
    let output = command.args(["--exact", test, "--nocapture"]).output().expect("the script runs");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.code() == Some(DID_NOT_RUN) {
        let why = format!("user-mode Linux does not run here: {}", said.trim().replace('\n', " / "));
        writeln!(std::io::stderr(), "SKIPPED: {test}: {why}").expect("standard error");
        return false;
    }
    assert!(output.status.success() && said.contains("1 passed"), "{test} in user-mode Linux:\n{said}");
    // What it skipped in there is no less skipped.
    for line in said.lines().filter(|line| line.starts_with("SKIPPED")) {
        writeln!(std::io::stderr(), "{line}").expect("standard error");
    }
    false
}
