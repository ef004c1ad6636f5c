//! Programs of the cluster that lie next to this one.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::error::{CommandError, Exit};

/// The program of that name in the directory of this one.
pub(crate) fn path(name: &str) -> Result<PathBuf, CommandError> {
    let own = std::env::current_exe().context("cannot find out where sp-ctl lies")?;
    let path = own.with_file_name(name);
    if path.is_file() {
        return Ok(path);
    }
    let error = CommandError::new(Exit::Unavailable, format!("{} does not exist", path.display()));
    Err(error.hint("build it with `cargo build --workspace --bins`; all programs belong into one directory"))
}

/// Becomes `sp-verify` with these arguments: its output and exit code are ours.
pub(crate) fn become_verify(verb: &str, arguments: &[OsString]) -> Result<(), CommandError> {
    let program = path("sp-verify")?;
    let cause = std::process::Command::new(&program).arg(verb).args(arguments).exec();
    Err(anyhow::Error::new(cause).context(format!("cannot run {}", program.display())).into())
}
