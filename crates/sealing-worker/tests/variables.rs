//! Lotus's variables on a sealing worker: those that only a PoSt worker has a use for are named.
// The whole file is a test.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::process::{Command, Stdio};

#[test]
fn variables_of_post_workers_are_named() {
    let variables = ["LOTUS_WORKER_POST_PARALLEL_READS", "LOTUS_WORKER_POST_READ_TIMEOUT"];
    // Without an address of a scheduler it ends after it has looked at its settings.
    let output = Command::new(env!("CARGO_BIN_EXE_sp-sealing-worker"))
        .args(["run", "--no-default"])
        .envs(variables.map(|name| (name, "1s")))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for variable in variables {
        assert!(text.contains(&format!("{variable} is set and has no effect")), "{text}");
    }
}
