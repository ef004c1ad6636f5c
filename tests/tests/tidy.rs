//! House rules that a machine can check: over every Rust file of the repository, its documents and its contract.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "reads the source tree")]

use std::path::{Path, PathBuf};

/// No file is longer.
const LINES_MAX: usize = 600;
/// Half of the files are not longer.
const LINES_MEDIAN_MAX: usize = 200;
/// Crates that may hold unsafe code, and where.
const UNSAFE_ALLOWED: [&str; 3] = ["proofs-core/src/kernels", "proofs-core/src/backend", "proofs-core/src/params"];

/// A name in backticks is a path of the repository if it begins with one of these.
const TOP: [&str; 7] = ["crates/", "proto/", "tests/", "sim/", ".ci/", "docker/", "deploy/"];

struct Source {
    path: String,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn sources() -> Vec<Source> {
    let root = root();
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

#[test]
fn every_path_that_a_document_names_exists() {
    let mut missing = vec![];
    let mut named = 0;
    for document in ["ARCHITECTURE.md", "README.md"] {
        let text = std::fs::read_to_string(root().join(document)).unwrap();
        for name in in_backticks(&text).filter(|name| TOP.iter().any(|top| name.starts_with(top))) {
            named += 1;
            let paths = alternatives(name);
            missing.extend(paths.into_iter().filter(|p| !exists(p)).map(|path| format!("{document}: {path}")));
        }
    }
    assert!(named > 10, "only {named} paths were found in the documents");
    assert!(missing.is_empty(), "named, but not there:\n  {}", missing.join("\n  "));
}

/// Backticks come in pairs on a line; what lies between is code.
fn in_backticks(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// `a/{b,c}.rs` is `a/b.rs` and `a/c.rs`.
fn alternatives(name: &str) -> Vec<String> {
    let braces = name.split_once('{').and_then(|(head, rest)| Some((head, rest.split_once('}')?)));
    let Some((head, (choices, tail))) = braces else { return vec![name.to_owned()] };
    choices.split(',').flat_map(|choice| alternatives(&format!("{head}{choice}{tail}"))).collect()
}

/// A part with `*` or `<placeholder>` stands for any that begins and ends likewise.
fn exists(path: &str) -> bool {
    let mut places = vec![root().to_owned()];
    for part in path.trim_end_matches('/').split('/') {
        places = places.iter().flat_map(|place| children(place, part)).collect();
    }
    !places.is_empty()
}

fn children(place: &Path, part: &str) -> Vec<PathBuf> {
    let open = part.find(['*', '<']);
    let Some(open) = open else {
        return Some(place.join(part)).filter(|p| p.exists()).into_iter().collect();
    };
    let close = part.rfind(['*', '>']).unwrap_or(open);
    let (head, tail) = (&part[..open], &part[close + 1..]);
    let names = std::fs::read_dir(place).into_iter().flatten().map(|entry| entry.unwrap().file_name());
    let fits = |name: &std::ffi::OsString| {
        name.to_str().is_some_and(|n| n.starts_with(head) && n.ends_with(tail) && n.len() >= head.len() + tail.len())
    };
    names.filter(fits).map(|name| place.join(name)).collect()
}

#[test]
fn patterns_are_understood() {
    assert_eq!(alternatives("a/{b,c}.rs"), ["a/b.rs", "a/c.rs"]);
    assert!(exists("crates/sp-env/src/crash.rs") && exists("tests/tests/*.rs") && exists("crates/<crate>/src/"));
    assert!(!exists("crates/sp-env/src/none.rs") && !exists("tests/tests/*.none") && !exists("crates/<crate>/none"));
}

#[test]
fn every_field_and_call_of_the_contract_has_a_comment() {
    let dir = root().join("proto/sp/v1");
    let mut mute = vec![];
    let mut said = 0;
    for entry in std::fs::read_dir(&dir).unwrap().map(Result::unwrap) {
        let text = std::fs::read_to_string(entry.path()).unwrap();
        let mut above = "";
        for (at, line) in text.lines().map(str::trim).enumerate() {
            if is_field(line) || line.starts_with("rpc ") {
                said += 1;
                if !above.starts_with("//") {
                    mute.push(format!("{}:{}: {line}", entry.file_name().display(), at + 1));
                }
            }
            above = line;
        }
    }
    assert!(said > 300, "only {said} fields and calls were found in {}", dir.display());
    assert!(mute.is_empty(), "without a comment in the line above:\n  {}", mute.join("\n  "));
}

/// `repeated Foo bar = 3;`, also with options; values of enums have no type and are none.
fn is_field(line: &str) -> bool {
    let Some((left, right)) = line.split_once(" = ") else { return false };
    let number: String = right.chars().take_while(char::is_ascii_digit).collect();
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.<>, ".contains(c);
    !number.is_empty() && left.contains(' ') && left.chars().all(plain) && !left.starts_with("option ")
}
