//! `make demo` passes its options on as their users mean them.
// The whole file is a test.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::process::Command;

/// The command line of the demo that `make demo OPTION` would run.
fn demo(option: &str) -> String {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let told = Command::new("make").args(["-n", "-C", root, "demo", option]).output().unwrap();
    assert!(told.status.success(), "{told:?}");
    let lines = String::from_utf8(told.stdout).unwrap();
    lines.lines().find(|line| line.contains("sp-ctl demo")).unwrap().trim().to_owned()
}

#[test]
fn keep_is_a_switch() {
    for (option, keeps) in [("KEEP=1", true), ("KEEP=yes", true), ("KEEP=0", false), ("KEEP=", false)] {
        assert_eq!(demo(option).contains("--keep"), keeps, "{option}: {}", demo(option));
    }
    assert!(demo("DIR=/tmp/x").ends_with("--dir \"/tmp/x\""), "{}", demo("DIR=/tmp/x"));
}
