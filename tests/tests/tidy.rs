//! House rules that a machine can check, over every Rust file of the repository.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "reads the source tree")]

use std::path::{Path, PathBuf};

/// No file is longer.
const LINES_MAX: usize = 600;
/// Half of the files are not longer.
const LINES_MEDIAN_MAX: usize = 200;
/// Crates that may hold unsafe code, and where.
const UNSAFE_ALLOWED: [&str; 3] = ["proofs-core/src/kernels", "proofs-core/src/backend", "proofs-core/src/params"];

struct Source {
    path: String,
    text: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = vec![];
    let mut open: Vec<PathBuf> = ["crates", "tests", "sim"].map(|d| root.join(d)).to_vec();
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() && entry.file_name() != "target" {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(root).unwrap().display().to_string();
                // This file names what it forbids.
                if !path.ends_with("tidy.rs") {
                    found.push(Source { path, text });
                }
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 100, "the tree was not found");
    found
}

fn complain(what: &str, offenders: Vec<String>) {
    assert!(offenders.is_empty(), "{what}:\n  {}", offenders.join("\n  "));
}

#[test]
fn every_file_says_in_its_first_line_what_it_is_about() {
    let silent = sources().into_iter().filter(|s| !s.text.starts_with("//! ")).map(|s| s.path);
    complain("the first line is no `//!` line", silent.collect());
}

#[test]
fn files_are_short() {
    let mut lengths: Vec<(usize, String)> = sources().into_iter().map(|s| (s.text.lines().count(), s.path)).collect();
    lengths.sort();
    let median = lengths[lengths.len() / 2].0;
    assert!(median <= LINES_MEDIAN_MAX, "the median file has {median} lines");
    let long = lengths.into_iter().filter(|(n, _)| *n > LINES_MAX).map(|(n, path)| format!("{path}: {n} lines"));
    complain("longer than the limit", long.collect());
}

#[test]
fn nothing_is_left_for_later() {
    let marks = ["TODO", "FIXME", "todo!(", "unimplemented!("];
    let left = sources().into_iter().filter(|s| marks.iter().any(|m| s.text.contains(m))).map(|s| s.path);
    complain("unfinished marks", left.collect());
}

#[test]
fn unsafe_code_stays_in_its_rooms() {
    let escaped = sources().into_iter().filter(|s| {
        let allowed = UNSAFE_ALLOWED.iter().any(|room| s.path.contains(room));
        !allowed && s.text.lines().any(|l| l.trim_start().starts_with("unsafe ") || l.contains("= unsafe {"))
    });
    complain("unsafe code outside of kernels, backend and params", escaped.map(|s| s.path).collect());
}

#[test]
fn every_ignored_test_says_what_runs_it() {
    let said = |line: &&str| line.contains("make ") || line.contains("started by");
    let mute = sources().into_iter().flat_map(|s| {
        let lines = s.text.lines().filter(|l| l.trim_start().starts_with("#[ignore")).filter(|l| !said(l));
        lines.map(|l| format!("{}: {}", s.path, l.trim())).collect::<Vec<_>>()
    });
    complain("ignored without saying which make target or test runs it", mute.collect());
}
