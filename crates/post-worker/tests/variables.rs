//! Lotus's variables on a PoSt worker: sealing tasks are refused like the flags, useless ones are named.
// The whole file is a test.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::process::{Command, Output, Stdio};

/// `sp-post-worker run --windowpost` with these variables and an empty parameter directory.
fn run(variables: &[(&str, &str)]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_sp-post-worker"))
        .args(["run", "--windowpost", "--parameters"])
        .arg(dir.path())
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_sealing_task_in_the_environment_is_refused_like_its_flag() {
    for (variable, flag) in [
        ("LOTUS_WORKER_ADDPIECE", "--addpiece"),
        ("LOTUS_WORKER_PRECOMMIT1", "--precommit1"),
        ("LOTUS_WORKER_PROVE_REPLICA_UPDATE2", "--prove-replica-update2"),
    ] {
        let refused = run(&[(variable, "true")]);
        let text = stderr(&refused);
        assert_eq!(refused.status.code(), Some(2), "{variable}: {text}");
        assert!(text.contains(variable) && text.contains(flag) && text.contains("does only PoSt"), "{text}");
        // Switched off it is what a PoSt worker is; that the parameters are missing comes later.
        let off = run(&[(variable, "false")]);
        assert_eq!(off.status.code(), Some(1), "{variable}: {}", stderr(&off));
    }
}

#[test]
fn variables_without_effect_are_named() {
    let named = stderr(&run(&[("LOTUS_WORKER_NO_DEFAULT", "true"), ("LOTUS_WORKER_SECTOR_DOWNLOAD", "true")]));
    for variable in ["LOTUS_WORKER_NO_DEFAULT", "LOTUS_WORKER_SECTOR_DOWNLOAD"] {
        assert!(named.contains(&format!("{variable} is set and has no effect")), "{named}");
    }
}
