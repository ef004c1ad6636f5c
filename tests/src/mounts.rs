//! A mount that blocks for ever, in a mount namespace of the test's own.
#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap as tests do")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Set for the run that has its own mounts.
const INSIDE: &str = "SP_TEST_OWN_MOUNTS";

/// Runs the test of this name of this program where it can mount what it likes. Where nobody may mount anything, says so.
pub fn with_own_mounts(name: &str, test: fn()) {
    if std::env::var_os(INSIDE).is_some() {
        return test();
    }
    // Mounts of its own end with it, whatever happens.
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--propagation", "private"]);
    let can = File::options().read(true).write(true).open("/dev/fuse").is_ok()
        && Command::new("unshare").args(["--mount", "true"]).status().is_ok_and(|status| status.success());
    if !can {
        println!("SKIPPED {name}: nothing can be mounted here");
        return;
    }
    let inside =
        unshare.arg(std::env::current_exe().unwrap()).args(["--exact", name, "--nocapture", "--include-ignored"]);
    let status = inside.env(INSIDE, "1").status().unwrap();
    assert!(status.success(), "{status}");
}

/// A mount whose server never answers, not even the first question.
pub struct DeadMount {
    at: PathBuf,
    connection: Option<File>,
}

impl DeadMount {
    /// Covers this directory.
    pub fn over(path: &Path) -> Self {
        let connection = File::options().read(true).write(true).open("/dev/fuse").unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-i", "-t", "fuse", "dead"]).arg(path).args(["-o", "fd=0,rootmode=40000,user_id=0,group_id=0"]);
        let status = mount.stdin(connection.try_clone().unwrap()).status().unwrap();
        assert!(status.success(), "{status}");
        drop(mount);
        Self { at: path.to_owned(), connection: Some(connection) }
    }
}

impl Drop for DeadMount {
    fn drop(&mut self) {
        // Everybody who waits gets an error.
        self.connection.take();
        let _ = Command::new("umount").arg("--lazy").arg(&self.at).status();
    }
}
