//! Upstream's word on a proof that was printed, by `sp-verify` or by way of `sp-ctl`.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process::bin_dir;

/// Exit code of `<program> verify -` on this document: 0 for valid, 1 for invalid, 2 for undecided.
pub fn verify(program: &str, document: &Value) -> Result<Option<i32>> {
    let mut child = Command::new(bin_dir()?.join(program))
        .args(["verify", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {program}"))?;
    child.stdin.take().context("no stdin")?.write_all(document.to_string().as_bytes())?;
    Ok(child.wait()?.code())
}
