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

/// Becomes `sp-verify` with these arguments: its output and exit code are ours. `json`: `--json` was given to us, which
/// may be before the verb or behind it.
pub(crate) fn become_verify(verb: &str, arguments: Vec<OsString>, json: bool) -> Result<(), CommandError> {
    let program = path("sp-verify")?;
    let cause = std::process::Command::new(&program).arg(verb).args(forwarded(arguments, json)).exec();
    Err(anyhow::Error::new(cause).context(format!("cannot run {}", program.display())).into())
}

/// With `--json` once if it was asked for, among the options.
fn forwarded(mut arguments: Vec<OsString>, json: bool) -> Vec<OsString> {
    let options = arguments.iter().position(|argument| argument == "--").unwrap_or(arguments.len());
    if json && !arguments[..options].iter().any(|argument| argument == "--json") {
        arguments.insert(options, "--json".into());
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_passed_on_once() {
        let passed = |arguments: &[&str], json| forwarded(arguments.iter().map(OsString::from).collect(), json);
        assert_eq!(passed(&["check", "--sector-size", "2KiB"], true), ["check", "--sector-size", "2KiB", "--json"]);
        assert_eq!(passed(&["check", "--json"], true), ["check", "--json"]);
        assert_eq!(passed(&["--", "--json"], true), ["--json", "--", "--json"]);
        assert_eq!(passed(&["-"], false), ["-"]);
    }
}
