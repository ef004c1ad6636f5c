//! Where words go: data to standard output, everything else to standard error. A closed pipe is no error.

use std::io::{ErrorKind, Write};

use anyhow::Context as _;
use serde::Serialize;

use crate::error::CommandError;

/// Prints data. A reader that has gone (`| head`) ends the command with success.
pub(crate) fn print(text: &str) -> Result<(), CommandError> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(cause) if cause.kind() == ErrorKind::BrokenPipe => Err(CommandError::silent(0)),
        other => Ok(other.context("cannot write to standard output")?),
    }
}

/// Prints data as indented JSON.
pub(crate) fn print_json<T: Serialize>(data: &T) -> Result<(), CommandError> {
    print(&json_text(data)?)
}

/// Indented JSON with a newline at its end.
pub(crate) fn json_text<T: Serialize>(data: &T) -> Result<String, CommandError> {
    let mut text = serde_json::to_string_pretty(data).context("cannot write the answer as JSON")?;
    text.push('\n');
    Ok(text)
}

/// Says something to the person. Nobody listening is no error.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
