//! Where words go: data to standard output, everything else to standard error. A closed pipe is no error.

use std::io::{ErrorKind, Write};

use anyhow::Context as _;
use serde::Serialize;

use crate::error::{CommandError, Exit};

/// Prints data. A reader that has gone (`| head`) ends the command with success.
pub(crate) fn print(text: &str) -> Result<(), CommandError> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(cause) if cause.kind() == ErrorKind::BrokenPipe => Err(CommandError::silent(0)),
        other => Ok(other.context("cannot write to standard output")?),
    }
}

/// Prints data that matters less than what is done besides: a reader that has gone changes nothing.
pub(crate) fn print_aside(text: &str) -> Result<(), CommandError> {
    or_unheard(print(text))
}

fn or_unheard(printed: Result<(), CommandError>) -> Result<(), CommandError> {
    match printed {
        Err(closed) if closed.exit == Exit::Silent(0) => Ok(()),
        other => other,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_nobody_listens_ends_nothing_else() {
        assert!(or_unheard(Err(CommandError::silent(0))).is_ok());
        assert!(or_unheard(Err(CommandError::failed("the disk is full"))).is_err());
    }
}
