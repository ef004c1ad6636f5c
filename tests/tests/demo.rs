//! The main job, as a new user sees it: `sp-ctl demo` from start to end.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test of real processes")]

use std::process::{Child, Command, Stdio};

use sp_tests::process::bin_dir;

fn demo() -> Child {
    let mut command = Command::new(bin_dir().unwrap().join("sp-ctl"));
    command.arg("demo").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn assert_done(child: Child) {
    let output = child.wait_with_output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the demo failed: {}\n--- stdout\n{out}\n--- stderr\n{err}", output.status);
    for word in ["Proving", "Worker ", "deadline", "PC1"] {
        assert!(out.contains(word) || err.contains(word), "`{word}` is missing\n{out}\n{err}");
    }
}

#[test]
fn the_demo_seals_proves_and_survives() {
    assert_done(demo());
}

#[test]
#[ignore = "make test-long runs it"]
fn two_demos_at_once_do_not_disturb_each_other() {
    let (first, second) = (demo(), demo());
    assert_done(first);
    assert_done(second);
}
